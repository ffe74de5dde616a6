/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/render/render.h"
#include "tests/unit/render/parsed.h"
#include "tests/unit/render/samples.h"

static json_t *rendered(const struct assessment *assessment,
                        void (*render)(const struct assessment *, struct text *))
{
    struct text out;
    text_init(&out);
    render(assessment, &out);
    return parsed(&out);
}

static void license_object(const struct assessment *assessment, struct text *out)
{
    render_license_object(assessment, "", out);
}

static void words_that_are_due_are_in_the_license_object(void **state)
{
    (void)state;
    struct text out;
    text_init(&out);
    render_license_object(sample_plain(), "Built with \"W\"", &out);
    json_t *root = parsed(&out);
    assert_string_equal(string_at(root, "attribution"), "Built with \"W\"");
    json_decref(root);
    root = rendered(sample_plain(), license_object);
    assert_null(value_at(root, "attribution"));
    json_decref(root);
}

static void the_assessment_holds_what_the_schema_names(void **state)
{
    (void)state;
    json_t *root = rendered(sample_full(), render_json);
    assert_string_equal(string_at(root, "model"), "weirdo-5-chat");
    assert_string_equal(string_at(root, "license.id"), "MIT AND weirdo-5");
    assert_string_equal(string_at(root, "license.name"), "MIT License AND Weirdo 5 License");
    assert_string_equal(string_at(root, "license.recognised_by"), "card");
    assert_string_equal(string_at(root, "verdict"), "breach");
    assert_string_equal(string_at(root, "interpretation"), "conservative");
    assert_int_equal(json_array_size(value_at(root, "conditions")), 6);
    assert_string_equal(string_at(root, "conditions.0.id"), "weirdo-5/eu");
    assert_string_equal(string_at(root, "conditions.0.kind"), "territory");
    assert_string_equal(string_at(root, "conditions.0.verdict"), "breach");
    assert_string_equal(string_at(root, "conditions.0.remedy"),
                        "Use a model that reads text alone.");
    assert_string_equal(string_at(root, "conditions.3.text"), "Weirdo 5");
    assert_string_equal(string_at(root, "conditions.3.where.1"), "website");
    assert_string_equal(string_at(root, "conditions.3.any_of.0.op"), ">");
    assert_int_equal(json_integer_value(value_at(root, "conditions.3.any_of.0.value")), 100000000);
    assert_null(value_at(root, "conditions.3.any_of.0.currency"));
    assert_string_equal(string_at(root, "conditions.3.any_of.1.op"), ">=");
    assert_string_equal(string_at(root, "conditions.3.any_of.1.currency"), "CNY");
    assert_string_equal(string_at(root, "conditions.4.acknowledged"), "contract 7/2026");
    assert_string_equal(string_at(root, "conditions.4.literal"), "breach");
    assert_string_equal(string_at(root, "licenses.1.base"), "weirdo/Weirdo-5-Base");
    assert_string_equal(string_at(root, "licenses.1.category"), "threshold");
    assert_string_equal(string_at(root, "licenses.1.grade"), "P");
    assert_true(json_is_true(value_at(root, "licenses.1.verified")));
    assert_true(json_is_false(value_at(root, "licenses.0.verified")));
    assert_string_equal(string_at(root, "osaid.answer"), "no");
    assert_string_equal(string_at(root, "ai_act.exemption"), "uncertain");
    assert_string_equal(string_at(root, "ai_act.basis"), "para. 83");
    assert_string_equal(string_at(root, "evaluated_at"), "2026-11-25T01:08:52Z");
    json_decref(root);
}

static void nothing_recognised_is_unknown_by_nothing(void **state)
{
    (void)state;
    json_t *root = rendered(sample_bare(), render_json);
    assert_string_equal(string_at(root, "license.id"), "unknown");
    assert_string_equal(string_at(root, "license.recognised_by"), "nothing");
    assert_true(json_is_null(value_at(root, "license.link")));
    assert_int_equal(json_array_size(value_at(root, "conditions")), 0);
    assert_true(json_is_array(value_at(root, "licenses")));
    json_decref(root);
}

static void a_label_outside_of_the_catalogue_has_no_category(void **state)
{
    (void)state;
    json_t *root = rendered(sample_hostile(), render_json);
    assert_true(json_is_null(value_at(root, "licenses.0.category")));
    assert_true(json_is_null(value_at(root, "licenses.0.grade")));
    json_decref(root);
}

static void hostile_strings_stay_strings(void **state)
{
    (void)state;
    /* What is no UTF-8 is replaced, everything else comes back as it went in. */
    const char *expected = "a\033[31m\"\\<b>`|*_[x](http://y)\n# z\x07\x7f\xef\xbf\xbd\xc2\x9b"
                           "\xe2\x80\xae";
    json_t *root = rendered(sample_hostile(), render_json);
    assert_string_equal(string_at(root, "model"), expected);
    assert_string_equal(string_at(root, "conditions.0.reason"), expected);
    assert_string_equal(string_at(root, "disagreements.1"), expected);
    json_decref(root);
    root = rendered(sample_hostile(), license_object);
    assert_string_equal(string_at(root, "id"), expected);
    json_decref(root);
}

static void the_license_object_is_short(void **state)
{
    (void)state;
    json_t *root = rendered(sample_full(), license_object);
    assert_string_equal(string_at(root, "id"), "MIT AND weirdo-5");
    assert_string_equal(string_at(root, "link"), "https://example.org/li cense?a=b");
    assert_string_equal(string_at(root, "recognised_by"), "card");
    assert_string_equal(string_at(root, "verdict"), "breach");
    assert_string_equal(string_at(root, "disagreement"),
                        "The card says MIT, the base model does not.");
    assert_int_equal(json_object_size(root), 7);
    json_decref(root);
    root = rendered(sample_plain(), license_object);
    assert_null(value_at(root, "disagreement"));
    assert_true(json_is_null(value_at(root, "link")));
    json_decref(root);
}

static void only_words_that_are_due_to_be_shown_are_obligations(void **state)
{
    (void)state;
    const struct assessment *full = sample_full();
    struct assessed_condition conditions[4];
    for (int i = 0; i < 3; i++)
        conditions[i] = full->conditions[3]; /* the name on the interface, only watched */
    conditions[3] = full->conditions[2];     /* a notice for copies: no user sees it */
    struct assessment due = *full;
    due.conditions = conditions;
    due.condition_count = 4;
    json_t *root = rendered(&due, license_object);
    assert_int_equal(json_array_size(value_at(root, "obligations")), 0);
    json_decref(root);
    conditions[1].verdict = conditions[2].verdict = VERDICT_OBLIGATION;
    root = rendered(&due, license_object);
    assert_int_equal(json_array_size(value_at(root, "obligations")), 1);
    assert_string_equal(string_at(root, "obligations.0"), "Weirdo 5");
    json_decref(root);
}

static void what_stands_before_is_kept_and_no_comma_is_made_up(void **state)
{
    (void)state;
    struct text out;
    text_init(&out);
    text_append_string(&out, "{\"license\":");
    render_license_object(sample_plain(), "", &out);
    text_append_string(&out, ",\"all\":[");
    render_json(sample_plain(), &out);
    text_append_char(&out, ',');
    render_json(sample_bare(), &out);
    text_append_string(&out, "]}");
    json_t *root = parsed(&out);
    assert_string_equal(string_at(root, "license.id"), "MIT");
    assert_string_equal(string_at(root, "all.1.model"), "m");
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_that_are_due_are_in_the_license_object),
        cmocka_unit_test(the_assessment_holds_what_the_schema_names),
        cmocka_unit_test(nothing_recognised_is_unknown_by_nothing),
        cmocka_unit_test(a_label_outside_of_the_catalogue_has_no_category),
        cmocka_unit_test(hostile_strings_stay_strings),
        cmocka_unit_test(the_license_object_is_short),
        cmocka_unit_test(only_words_that_are_due_to_be_shown_are_obligations),
        cmocka_unit_test(what_stands_before_is_kept_and_no_comma_is_made_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
