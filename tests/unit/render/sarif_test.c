/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "policy/render/render.h"
#include "tests/unit/render/parsed.h"
#include "tests/unit/render/samples.h"

static json_t *rendered(const struct assessment *const *assessments, uint32_t count)
{
    struct text out;
    text_init(&out);
    render_sarif(assessments, count, &out);
    return parsed(&out);
}

/* The result of a rule for a model, or NULL. */
static const json_t *result_of(const json_t *root, const char *rule, const char *model)
{
    const json_t *results = value_at(root, "runs.0.results");
    for (size_t i = 0; i < json_array_size(results); i++) {
        const json_t *result = json_array_get(results, i);
        if (strcmp(string_at(result, "ruleId"), rule) == 0 &&
            strcmp(string_at(result, "properties.model"), model) == 0)
            return result;
    }
    return NULL;
}

static void verdicts_become_levels_and_what_asks_nothing_is_left_out(void **state)
{
    (void)state;
    const struct assessment *one[] = {sample_full()};
    json_t *root = rendered(one, 1);
    assert_string_equal(string_at(root, "version"), "2.1.0");
    assert_string_equal(string_at(root, "runs.0.tool.driver.name"), "weir");
    assert_string_equal(string_at(root, "runs.0.tool.driver.version"), WEIR_VERSION);
    assert_string_equal(string_at(result_of(root, "weirdo-5/eu", "weirdo-5-chat"), "level"),
                        "error");
    assert_string_equal(
        string_at(result_of(root, "recognition/text-unknown", "weirdo-5-chat"), "level"),
        "warning");
    assert_string_equal(string_at(result_of(root, "weirdo-5/notice", "weirdo-5-chat"), "level"),
                        "note");
    assert_null(result_of(root, "weirdo-5/ui-name", "weirdo-5-chat"));
    assert_null(result_of(root, "MIT/notice", "weirdo-5-chat"));
    assert_int_equal(json_array_size(value_at(root, "runs.0.results")), 4);
    json_decref(root);
}

static void what_was_taken_on_is_a_suppressed_result(void **state)
{
    (void)state;
    const struct assessment *one[] = {sample_full()};
    json_t *root = rendered(one, 1);
    const json_t *result = result_of(root, "weirdo-5/research", "weirdo-5-chat");
    assert_string_equal(string_at(result, "level"), "error");
    assert_string_equal(string_at(result, "suppressions.0.justification"), "contract 7/2026");
    assert_null(value_at(result_of(root, "weirdo-5/eu", "weirdo-5-chat"), "suppressions"));
    json_decref(root);
}

static void two_models_share_a_rule_and_not_a_fingerprint(void **state)
{
    (void)state;
    struct assessment other = *sample_full();
    other.model = "weirdo-5-code";
    const struct assessment *two[] = {sample_full(), &other};
    json_t *root = rendered(two, 2);
    assert_int_equal(json_array_size(value_at(root, "runs.0.tool.driver.rules")), 4);
    const json_t *results = value_at(root, "runs.0.results");
    assert_int_equal(json_array_size(results), 8);
    for (size_t i = 0; i < 8; i++) {
        char path[64];
        const json_t *result = json_array_get(results, i);
        (void)snprintf(path, sizeof path, "runs.0.tool.driver.rules.%d.id",
                       (int)json_integer_value(value_at(result, "ruleIndex")));
        assert_string_equal(string_at(root, path), string_at(result, "ruleId"));
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(
                string_at(result, "partialFingerprints.weirModelCondition/v1"),
                string_at(json_array_get(results, j), "partialFingerprints.weirModelCondition/v1"));
    }
    json_t *again = rendered(two, 2);
    assert_true(json_equal(root, again));
    json_decref(again);
    json_decref(root);
}

static void a_location_is_the_evidence_as_a_uri(void **state)
{
    (void)state;
    const char *at = "locations.0.physicalLocation.artifactLocation.uri";
    const struct assessment *samples[] = {sample_full(), sample_hostile()};
    json_t *root = rendered(samples, 2);
    assert_string_equal(string_at(result_of(root, "weirdo-5/eu", "weirdo-5-chat"), at),
                        "models/weirdo%205/LICENSE");
    const json_t *results = value_at(root, "runs.0.results");
    const char *uri = string_at(json_array_get(results, 4), at);
    assert_non_null(strstr(uri, "a%1B%5B31m%22%5C%3Cb%3E%60"));
    for (; *uri != '\0'; uri++)
        assert_true(*uri > 0x20 && *uri < 0x7f);
    json_decref(root);

    static const char *const files[] = {"/models/m/LICENSE"};
    struct recognition recognition = *sample_bare()->recognition;
    struct assessment absolute = *sample_hostile();
    absolute.recognition = &recognition;
    recognition.files = files;
    recognition.file_count = 1;
    samples[0] = &absolute;
    root = rendered(samples, 1);
    assert_string_equal(string_at(json_array_get(value_at(root, "runs.0.results"), 0), at),
                        "file:///models/m/LICENSE");
    json_decref(root);
}

static void nothing_found_is_a_run_without_results(void **state)
{
    (void)state;
    const struct assessment *one[] = {sample_plain()};
    json_t *root = rendered(one, 1);
    assert_int_equal(json_array_size(value_at(root, "runs.0.results")), 0);
    assert_true(json_is_array(value_at(root, "runs.0.tool.driver.rules")));
    json_decref(root);
    root = rendered(NULL, 0);
    assert_int_equal(json_array_size(value_at(root, "runs.0.results")), 0);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_become_levels_and_what_asks_nothing_is_left_out),
        cmocka_unit_test(what_was_taken_on_is_a_suppressed_result),
        cmocka_unit_test(two_models_share_a_rule_and_not_a_fingerprint),
        cmocka_unit_test(a_location_is_the_evidence_as_a_uri),
        cmocka_unit_test(nothing_found_is_a_run_without_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
