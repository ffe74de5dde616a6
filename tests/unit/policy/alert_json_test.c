/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "policy/alerts/alert_json.h"

static const struct alert_scope kimi = {"kimi-k2.5/ui-name", "organisation", 100e6};

static json_t *body_of(const struct alert_note *note)
{
    struct text body;
    text_init(&body);
    alert_json(note, &body);
    assert_false(body.failed);
    json_t *object = json_loads(text_string(&body), JSON_REJECT_DUPLICATES, NULL);
    text_destroy(&body);
    assert_non_null(object);
    return object;
}

static const char *string_of(json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void a_body_says_what_when_and_how_far(void **state)
{
    (void)state;
    struct alert_event event = {.id = "an-id",
                                .rule = 2,
                                .fires = true,
                                .upper = 90340000.4,
                                .threshold = 100e6,
                                .days_early = 31.5,
                                .day = 20780};
    struct alert_note note = {.scope = &kimi, .event = &event, .now_ms = INT64_C(1795428245123)};
    json_t *object = body_of(&note), *facts = json_object_get(object, "data");
    assert_string_equal(string_of(object, "type"), "license.alert.fired");
    assert_string_equal(string_of(object, "timestamp"), "2026-11-23T10:04:05Z");
    assert_string_equal(string_of(facts, "id"), "an-id");
    assert_string_equal(string_of(facts, "condition"), "kimi-k2.5/ui-name");
    assert_string_equal(string_of(facts, "scope"), "organisation");
    assert_string_equal(string_of(facts, "rule"), "level-90");
    assert_string_equal(string_of(facts, "day"), "2026-11-23");
    assert_true(json_number_value(json_object_get(facts, "users_upper")) == 90340000);
    assert_true(json_number_value(json_object_get(facts, "threshold")) == 100e6);
    assert_true(json_number_value(json_object_get(facts, "days_early")) == 31.5);
    assert_true(json_is_false(json_object_get(facts, "rehearsal")));
    assert_string_equal(string_of(facts, "text"),
                        "organisation: 90% of the user threshold of kimi-k2.5/ui-name reached, or "
                        "about to be (at most 90,340,000 of 100,000,000 users on 2026-11-23)");
    json_decref(object);
}

static void a_rehearsal_says_so_twice(void **state)
{
    (void)state;
    struct alert_event event = {
        .rule = ALERT_LEVELS, .upper = 1, .threshold = 2, .day = 1, .days_early = NAN};
    struct alert_note note = {.scope = &kimi, .event = &event, .rehearsal = true};
    json_t *object = body_of(&note), *facts = json_object_get(object, "data");
    assert_string_equal(string_of(object, "type"), "license.alert.cleared");
    assert_true(json_is_true(json_object_get(facts, "rehearsal")));
    assert_true(json_is_null(json_object_get(facts, "days_early")));
    assert_ptr_equal(strstr(string_of(facts, "text"), "rehearsal: "), string_of(facts, "text"));
    json_decref(object);
}

static void names_cannot_break_out_of_their_strings(void **state)
{
    (void)state;
    const struct alert_scope hostile = {"a\",\"rehearsal\":true,\"b\":\"\xff\n", "\\\"", 1};
    struct alert_event event = {.rule = 0, .fires = true, .upper = INFINITY, .threshold = 1};
    struct alert_note note = {.scope = &hostile, .event = &event};
    json_t *object = body_of(&note), *facts = json_object_get(object, "data");
    assert_true(json_is_false(json_object_get(facts, "rehearsal")));
    assert_string_equal(string_of(facts, "scope"), "\\\"");
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_says_what_when_and_how_far),
        cmocka_unit_test(a_rehearsal_says_so_twice),
        cmocka_unit_test(names_cannot_break_out_of_their_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
