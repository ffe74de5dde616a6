/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "policy/render/render.h"
#include "tests/unit/render/parsed.h"
#include "tests/unit/render/samples.h"

static json_t *rendered(const struct assessment *const *assessments, uint32_t count, int64_t at)
{
    struct text out;
    text_init(&out);
    render_cyclonedx(assessments, count, at, &out);
    return parsed(&out);
}

static const char *property(const json_t *component, const char *name)
{
    const json_t *properties = value_at(component, "properties");
    for (size_t i = 0; i < json_array_size(properties); i++)
        if (strcmp(string_at(json_array_get(properties, i), "name"), name) == 0)
            return string_at(json_array_get(properties, i), "value");
    return NULL;
}

static void a_model_is_a_component_with_its_licences(void **state)
{
    (void)state;
    const struct assessment *one[] = {sample_full()};
    json_t *root = rendered(one, 1, 1795568932);
    assert_string_equal(string_at(root, "bomFormat"), "CycloneDX");
    assert_string_equal(string_at(root, "specVersion"), "1.6");
    assert_string_equal(string_at(root, "metadata.timestamp"), "2026-11-25T01:08:52Z");
    assert_string_equal(string_at(root, "metadata.tools.components.0.name"), "weir");
    const json_t *component = value_at(root, "components.0");
    assert_string_equal(string_at(component, "type"), "machine-learning-model");
    assert_string_equal(string_at(component, "name"), "weirdo-5-chat");
    assert_string_equal(string_at(component, "licenses.0.license.id"), "MIT");
    /* A LicenseRef is no id of the format's list. */
    assert_null(value_at(component, "licenses.1.license.id"));
    assert_string_equal(string_at(component, "licenses.1.license.name"), "Weirdo 5 License");
    assert_string_equal(string_at(component, "pedigree.ancestors.0.name"), "weirdo/Weirdo-5-Base");
    assert_string_equal(string_at(component, "pedigree.ancestors.0.licenses.0.license.name"),
                        "Weirdo 5 License");
    assert_string_equal(string_at(component, "externalReferences.0.url"),
                        "https://example.org/li%20cense?a=b");
    json_decref(root);
}

static void verdicts_and_thresholds_are_properties(void **state)
{
    (void)state;
    const struct assessment *one[] = {sample_full()};
    json_t *root = rendered(one, 1, 0);
    const json_t *component = value_at(root, "components.0");
    assert_string_equal(property(component, "weir:verdict"), "breach");
    assert_string_equal(property(component, "weir:condition:weirdo-5/eu"), "breach");
    assert_string_equal(property(component, "weir:condition:MIT/notice"), "met");
    assert_string_equal(property(component, "weir:mau.threshold:weirdo-5/ui-name"),
                        "more than 100,000,000 users a month");
    assert_string_equal(property(component, "weir:revenue.threshold:weirdo-5/ui-name"),
                        "at least CNY 20,000,000 a year");
    assert_string_equal(property(component, "weir:ai_act.exemption"), "uncertain");
    const json_t *considerations =
        value_at(component, "modelCard.considerations.ethicalConsiderations");
    assert_int_equal(json_array_size(considerations), 1); /* the research clause is taken on */
    assert_string_equal(string_at(considerations, "0.mitigationStrategy"),
                        "Use a model that reads text alone.");
    json_decref(root);
}

static void the_serial_number_follows_the_content(void **state)
{
    (void)state;
    const struct assessment *samples[] = {sample_full(), sample_plain()};
    json_t *first = rendered(samples, 2, 7), *again = rendered(samples, 2, 7);
    json_t *later = rendered(samples, 2, 8), *fewer = rendered(samples, 1, 7);
    const char *serial = string_at(first, "serialNumber");
    assert_int_equal(strlen(serial), strlen("urn:uuid:3e671687-395b-81f5-a30f-a58921a69b79"));
    assert_int_equal(strncmp(serial, "urn:uuid:", 9), 0);
    assert_int_equal(serial[9 + 14], '8');
    assert_non_null(strchr("89ab", serial[9 + 19]));
    assert_true(json_equal(first, again));
    assert_string_not_equal(serial, string_at(later, "serialNumber"));
    assert_string_not_equal(serial, string_at(fewer, "serialNumber"));
    json_decref(first);
    json_decref(again);
    json_decref(later);
    json_decref(fewer);
}

static void a_model_without_licence_or_base_is_a_component_all_the_same(void **state)
{
    (void)state;
    const struct assessment *samples[] = {sample_bare(), sample_hostile()};
    json_t *root = rendered(samples, 2, INT64_MAX);
    assert_int_equal(json_array_size(value_at(root, "components.0.licenses")), 0);
    assert_null(value_at(root, "components.0.pedigree"));
    assert_null(value_at(root, "components.0.externalReferences"));
    assert_non_null(strstr(string_at(root, "components.1.externalReferences.0.url"), "%0A"));
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_is_a_component_with_its_licences),
        cmocka_unit_test(verdicts_and_thresholds_are_properties),
        cmocka_unit_test(the_serial_number_follows_the_content),
        cmocka_unit_test(a_model_without_licence_or_base_is_a_component_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
