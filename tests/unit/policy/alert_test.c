/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "policy/alerts/alert.h"

#define FIRST_DAY 20454u /* 2026-01-01 */

static const struct alert_scope kimi = {"kimi-k2.5/ui-name", "organisation", 100e6};

/* -- One rule at a time -- */

/* Days of one upper bound; returns the events of the last day. */
static int hold(struct alert_watch *watch, uint32_t days, double upper,
                const struct forecast *forecast, struct alert_event *ret)
{
    int count = 0;
    for (uint32_t i = 0; i < days; i++) {
        struct alert_figures figures = {.day =
                                            watch->last_day == 0 ? FIRST_DAY : watch->last_day + 1,
                                        .upper = upper,
                                        .forecast = forecast};
        count = alert_evaluate(watch, &kimi, &figures, ret, NULL);
        assert_true(i + 1 == days || count == 0);
    }
    return count;
}

static void a_level_fires_on_the_third_evaluation_in_a_row(void **state)
{
    (void)state;
    struct alert_watch watch = {0};
    struct alert_event events[ALERT_RULES];
    assert_int_equal(hold(&watch, 2, 51e6, NULL, events), 0);
    assert_int_equal(hold(&watch, 1, 49e6, NULL, events), 0); /* breaks the row */
    assert_int_equal(hold(&watch, 2, 51e6, NULL, events), 0);
    assert_int_equal(hold(&watch, 1, 51e6, NULL, events), 1);
    assert_true(events[0].fires);
    assert_string_equal(alert_rule_name(events[0].rule), "level-50");
    assert_int_equal(events[0].day, FIRST_DAY + 5);
    assert_true(events[0].upper == 51e6 && events[0].threshold == 100e6);
    assert_true(isnan(events[0].days_early));
    assert_int_equal(hold(&watch, 1, 51e6, NULL, events), 0); /* and once */
}

static void a_jump_over_all_levels_fires_them_all(void **state)
{
    (void)state;
    struct alert_watch watch = {0};
    struct alert_event events[ALERT_RULES];
    assert_int_equal(hold(&watch, 3, 101e6, NULL, events), ALERT_LEVELS);
}

static void a_level_clears_when_well_below_for_a_week(void **state)
{
    (void)state;
    struct alert_watch watch = {0};
    struct alert_event events[ALERT_RULES];
    char fired[ALERT_ID_BYTES], cleared[ALERT_ID_BYTES];
    assert_int_equal(hold(&watch, 3, 51e6, NULL, events), 1);
    memcpy(fired, events[0].id, sizeof fired);
    assert_int_equal(hold(&watch, 30, 49e6, NULL, events), 0); /* 2% below is not away */
    assert_int_equal(hold(&watch, 6, 48e6, NULL, events), 0);
    assert_int_equal(hold(&watch, 1, 49e6, NULL, events), 0); /* breaks the row */
    assert_int_equal(hold(&watch, 7, 48e6, NULL, events), 1);
    assert_false(events[0].fires);
    memcpy(cleared, events[0].id, sizeof cleared);
    assert_string_not_equal(fired, cleared);
    assert_int_equal(hold(&watch, 3, 51e6, NULL, events), 1);
    assert_string_not_equal(events[0].id, fired); /* a new period is news */
}

static void growth_makes_a_level_fire_before_it_is_crossed(void **state)
{
    (void)state;
    struct alert_watch watch = {0};
    struct alert_event events[ALERT_RULES];
    struct forecast fast = {.outcome = FORECAST_TOO_SHORT, .growth_high = 0.01};
    struct forecast wild = {.outcome = FORECAST_TOO_SHORT, .growth_high = 2};
    assert_int_equal(hold(&watch, 3, 48.4e6, NULL, events), 0);
    assert_int_equal(hold(&watch, 3, 48.4e6, &fast, events), 1);
    memset(&watch, 0, sizeof watch);
    assert_int_equal(hold(&watch, 30, 44e6, &wild, events), 0); /* looks ahead by a tenth at most */
}

static void a_lead_time_fires_and_clears_on_the_early_edge(void **state)
{
    (void)state;
    struct alert_watch watch = {0};
    struct alert_event events[ALERT_RULES];
    struct forecast forecast = {
        .outcome = FORECAST_DATED, .days = 140, .days_early = 91, .days_late = INFINITY};
    assert_int_equal(hold(&watch, 2, 1e6, &forecast, events), 0);
    assert_int_equal(hold(&watch, 1, 1e6, &forecast, events), 1);
    assert_string_equal(alert_rule_name(events[0].rule), "lead-90");
    assert_true(events[0].days_early == 91);
    forecast.days_early = 114;
    assert_int_equal(hold(&watch, 20, 1e6, &forecast, events), 0);
    assert_int_equal(hold(&watch, 20, 1e6, NULL, events), 0); /* no forecast says nothing */
    forecast.outcome = FORECAST_NOT_GROWING;
    forecast.days_early = INFINITY;
    assert_int_equal(hold(&watch, 6, 1e6, &forecast, events), 0);
    assert_int_equal(hold(&watch, 1, 1e6, &forecast, events), 1);
    assert_false(events[0].fires);
}

static void crossed_without_warning_fires_every_lead_time(void **state)
{
    (void)state;
    struct alert_watch watch = {0};
    struct alert_event events[ALERT_RULES];
    struct forecast crossed = {.outcome = FORECAST_CROSSED};
    assert_int_equal(hold(&watch, 3, 101e6, &crossed, events), ALERT_RULES);
}

static void a_day_is_evaluated_once(void **state)
{
    (void)state;
    struct alert_watch watch = {0};
    struct alert_event events[ALERT_RULES];
    struct alert_figures figures = {.day = FIRST_DAY, .upper = 60e6};
    assert_int_equal(alert_evaluate(&watch, &kimi, &figures, events, NULL), 0);
    struct alert_watch before = watch;
    for (uint32_t i = 0; i < 10; i++) {
        figures.day = FIRST_DAY - i;
        assert_int_equal(alert_evaluate(&watch, &kimi, &figures, events, NULL), 0);
    }
    assert_memory_equal(&watch, &before, sizeof watch);
}

static void what_is_no_figure_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    const double bad[] = {NAN, INFINITY, -INFINITY, -1};
    struct alert_watch watch = {0}, before = {0};
    struct alert_event events[ALERT_RULES];
    for (uint32_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error err = {0};
        struct alert_figures figures = {.day = FIRST_DAY, .upper = bad[i]};
        assert_int_equal(alert_evaluate(&watch, &kimi, &figures, events, &err), ERROR_INVALID);
        assert_non_null(strstr(err.text, "kimi-k2.5/ui-name"));
    }
    assert_memory_equal(&watch, &before, sizeof watch);
}

/* -- Ids -- */

static void id_of(const struct alert_scope *scope, struct alert_watch watch, uint32_t day,
                  char ret[ALERT_ID_BYTES])
{
    struct alert_event events[ALERT_RULES];
    watch.rules[0].streak = ALERT_FIRE_AFTER - 1;
    struct alert_figures figures = {.day = day, .upper = 0.6 * scope->threshold};
    assert_int_equal(alert_evaluate(&watch, scope, &figures, events, NULL), 1);
    memcpy(ret, events[0].id, ALERT_ID_BYTES);
}

static void an_id_is_the_same_everywhere(void **state)
{
    (void)state;
    char id[ALERT_ID_BYTES], other[ALERT_ID_BYTES];
    struct alert_watch watch = {0};
    id_of(&kimi, watch, FIRST_DAY, id);
    /* printf 'weir alert 1\0kimi-k2.5/ui-name\0organisation\0level-50\0fires\0''24312/1' */
    assert_string_equal(id, "91cbbff9ef6a18ad591fe41683c94f15b9232118b91e0bb04814988043fff9e6");
    id_of(&kimi, watch, FIRST_DAY + 30, other); /* a replica that saw it on another day */
    assert_string_equal(id, other);
}

static void an_id_tells_apart_what_differs(void **state)
{
    (void)state;
    const struct alert_scope others[] = {{"kimi-k2.5/ui-nam", "eorganisation", 100e6},
                                         {"kimi-k2.5/ui-name", "organisations", 100e6},
                                         {"kimi-k2/ui-name", "organisation", 100e6}};
    struct alert_watch watch = {0};
    char id[ALERT_ID_BYTES], other[ALERT_ID_BYTES];
    id_of(&kimi, watch, FIRST_DAY, id);
    for (uint32_t i = 0; i < sizeof others / sizeof *others; i++) {
        id_of(&others[i], watch, FIRST_DAY, other);
        assert_string_not_equal(id, other);
    }
    watch.rules[0].period = 1;
    id_of(&kimi, watch, FIRST_DAY, other);
    assert_string_not_equal(id, other);
}

static void a_replica_that_lost_its_state_is_heard_in_another_month(void **state)
{
    (void)state;
    char id[ALERT_ID_BYTES], other[ALERT_ID_BYTES];
    id_of(&kimi, (struct alert_watch){0}, FIRST_DAY + 30, id);
    id_of(&kimi, (struct alert_watch){0}, FIRST_DAY + 31, other);
    assert_string_not_equal(id, other);
}

static void a_rule_is_found_by_its_name(void **state)
{
    (void)state;
    for (uint32_t rule = 0; rule < ALERT_RULES; rule++)
        assert_int_equal(alert_rule_find(alert_rule_name(rule)), rule);
    assert_int_equal(alert_rule_find("level-51"), ALERT_RULES);
    assert_int_equal(alert_rule_find(""), ALERT_RULES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_level_fires_on_the_third_evaluation_in_a_row),
        cmocka_unit_test(a_jump_over_all_levels_fires_them_all),
        cmocka_unit_test(a_level_clears_when_well_below_for_a_week),
        cmocka_unit_test(growth_makes_a_level_fire_before_it_is_crossed),
        cmocka_unit_test(a_lead_time_fires_and_clears_on_the_early_edge),
        cmocka_unit_test(crossed_without_warning_fires_every_lead_time),
        cmocka_unit_test(a_day_is_evaluated_once),
        cmocka_unit_test(what_is_no_figure_is_refused_and_changes_nothing),
        cmocka_unit_test(an_id_is_the_same_everywhere),
        cmocka_unit_test(an_id_tells_apart_what_differs),
        cmocka_unit_test(a_replica_that_lost_its_state_is_heard_in_another_month),
        cmocka_unit_test(a_rule_is_found_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
