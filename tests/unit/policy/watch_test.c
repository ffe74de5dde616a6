/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/alerts/watch.h"
#include "policy/users/calendar.h"
#include "tests/unit/policy/scratch.h"

#define FIRST_DAY  20800u /* the first day that anybody was counted */
#define THRESHOLD  1000000.0
#define START      200000.0
#define GROWTH     0.006 /* of ln(users), a day */
#define NOON_US    (CALENDAR_DAY_US / 2)
#define TURNS_MAX  2000u
#define EVENTS_MAX 256u

struct seen_event {
    char condition[64], scope[64];
    struct alert_event event;
};

struct fixture {
    char folder[SCRATCH_PATH_BYTES];
    struct outbox *outbox;
    struct watch *watch;
    struct line lines[4];
    uint32_t line_count, target_count;
    bool figures_fail, record_fails;
    uint32_t asked, notes;
    char note[512]; /* the newest */
    uint32_t event_count;
    struct seen_event events[EVENTS_MAX];
};

static double users_on(uint32_t day)
{
    return day < FIRST_DAY ? 0 : START * exp(GROWTH * (double)(day - FIRST_DAY));
}

static uint32_t lines(void *argument, int64_t now_us, struct line *ret, uint32_t capacity)
{
    struct fixture *fixture = argument;
    (void)now_us;
    assert_true(fixture->line_count <= capacity);
    memcpy(ret, fixture->lines, fixture->line_count * sizeof *ret);
    return fixture->line_count;
}

static int figures(void *argument, const struct line *line, int64_t now_us, struct point *ret,
                   struct error *err)
{
    struct fixture *fixture = argument;
    (void)line;
    fixture->asked++;
    assert_true(ret->day < calendar_day(now_us)); /* it is over */
    if (fixture->figures_fail)
        return error_set(err, ERROR_IO, "the disk is away");
    double users = users_on(ret->day);
    ret->rolling_30 = users;
    ret->monthly_high = users * 1.005;
    ret->daily = users / 10;
    ret->daily_high = users / 10 * 1.005;
    return 0;
}

static int record(void *argument, const struct watch_event *event, struct error *err)
{
    struct fixture *fixture = argument;
    if (fixture->record_fails)
        return error_set(err, ERROR_IO, "the ledger is away");
    assert_true(fixture->event_count < EVENTS_MAX);
    struct seen_event *seen = &fixture->events[fixture->event_count++];
    (void)snprintf(seen->condition, sizeof seen->condition, "%s", event->scope->condition);
    (void)snprintf(seen->scope, sizeof seen->scope, "%s", event->scope->scope);
    seen->event = *event->event;
    return 0;
}

static void note(void *argument, const char *text)
{
    struct fixture *fixture = argument;
    fixture->notes++;
    (void)snprintf(fixture->note, sizeof fixture->note, "%s", text);
}

static void open_watch(struct fixture *fixture)
{
    static const char *const targets[] = {"counsel", "engineers"};
    struct error err = {0};
    const struct watch_config config = {.targets = targets,
                                        .target_count = fixture->target_count,
                                        .lines = lines,
                                        .figures = figures,
                                        .record = record,
                                        .note = note,
                                        .argument = fixture};
    struct watch_config with_outbox = config;
    fixture->outbox = outbox_open(fixture->folder, &err);
    assert_non_null(fixture->outbox);
    with_outbox.outbox = fixture->outbox;
    fixture->watch = watch_new(&with_outbox, &err);
    assert_non_null(fixture->watch);
}

static void close_watch(struct fixture *fixture)
{
    watch_free(fixture->watch);
    outbox_close(fixture->outbox);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    scratch_make(fixture->folder);
    fixture->target_count = 2;
    fixture->line_count = 1;
    fixture->lines[0] = (struct line){.model = "q",
                                      .license = "acme-1",
                                      .condition = "acme-1/size",
                                      .product = "",
                                      .scope = LINE_ORGANISATION,
                                      .threshold = THRESHOLD};
    open_watch(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    close_watch(fixture);
    scratch_remove(fixture->folder);
    free(fixture);
    return 0;
}

/* All turns of a day's noon. */
static uint32_t turn(struct fixture *fixture, uint32_t day)
{
    uint32_t turns = 0;
    int64_t now_us = (int64_t)day * CALENDAR_DAY_US + NOON_US;
    while (watch_turn(fixture->watch, 1, now_us))
        assert_true(++turns < TURNS_MAX);
    return turns;
}

static uint32_t crossing_day(void)
{
    uint32_t day = FIRST_DAY;
    while (users_on(day) <= THRESHOLD)
        day++;
    return day;
}

static const struct alert_event *fired(const struct fixture *fixture, const char *rule)
{
    const struct alert_event *found = NULL;
    for (uint32_t i = 0; i < fixture->event_count; i++) {
        const struct alert_event *event = &fixture->events[i].event;
        if (strcmp(alert_rule_name(event->rule), rule) != 0)
            continue;
        assert_null(found); /* once */
        assert_true(event->fires);
        found = event;
    }
    return found;
}

static uint64_t pending(struct fixture *fixture)
{
    struct outbox_counts counts = {0};
    assert_int_equal(outbox_count(fixture->outbox, &counts, NULL), 0);
    return counts.pending;
}

/* -- A year -- */

static void every_rule_fires_once_before_its_line(void **state)
{
    struct fixture *fixture = *state;
    uint32_t crossing = crossing_day();
    for (uint32_t day = FIRST_DAY; day <= crossing; day++)
        (void)turn(fixture, day);
    assert_int_equal(fixture->event_count, ALERT_RULES);
    for (uint32_t rule = 0; rule < ALERT_RULES; rule++) {
        const struct alert_event *event = fired(fixture, alert_rule_name(rule));
        assert_non_null(event);
        assert_true(event->day < crossing);
    }
    assert_true(fired(fixture, "lead-90")->day < fired(fixture, "lead-30")->day);
    assert_true(fired(fixture, "level-50")->day < fired(fixture, "level-75")->day);
    /* One for each who hears of it. */
    assert_int_equal(pending(fixture), 2 * ALERT_RULES);
    assert_int_equal(fixture->notes, ALERT_RULES);
    assert_non_null(strstr(fixture->note, "alert_fired "));
}

static void a_restart_repeats_nothing_and_missed_days_are_made_up_for(void **state)
{
    struct fixture *fixture = *state;
    uint32_t crossing = crossing_day(), day = FIRST_DAY;
    while (day <= crossing) {
        (void)turn(fixture, day);
        close_watch(fixture);
        open_watch(fixture);
        day += day % 20 == 0 ? 9 : 1; /* off for a week, now and then */
    }
    (void)turn(fixture, crossing + 10);
    assert_int_equal(fixture->event_count, ALERT_RULES);
    for (uint32_t rule = 0; rule < ALERT_RULES; rule++)
        assert_true(fired(fixture, alert_rule_name(rule))->day < crossing);
    assert_int_equal(pending(fixture), 2 * ALERT_RULES);
}

static void counters_of_before_give_a_forecast_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct forecast forecast;
    uint32_t day = FIRST_DAY + 100;
    assert_false(watch_forecast(fixture->watch, &fixture->lines[0], &forecast));
    (void)turn(fixture, day);
    assert_true(watch_forecast(fixture->watch, &fixture->lines[0], &forecast));
    assert_int_equal(forecast.outcome, FORECAST_DATED);
    double truth = crossing_day() - (day - 1.0);
    assert_true(forecast.days_early <= truth && truth <= forecast.days_late + 1);
}

static void a_restart_knows_the_forecast_again(void **state)
{
    struct fixture *fixture = *state;
    struct forecast before, after;
    (void)turn(fixture, FIRST_DAY + 100);
    assert_true(watch_forecast(fixture->watch, &fixture->lines[0], &before));
    close_watch(fixture);
    open_watch(fixture);
    uint32_t asked = fixture->asked;
    (void)turn(fixture, FIRST_DAY + 100);
    assert_true(watch_forecast(fixture->watch, &fixture->lines[0], &after));
    assert_true(before.days_early == after.days_early);
    assert_int_equal(fixture->asked, asked);
}

/* -- Turns -- */

static void a_turn_asks_the_counters_once_at_most(void **state)
{
    struct fixture *fixture = *state;
    int64_t now_us = (int64_t)(FIRST_DAY + 50) * CALENDAR_DAY_US + NOON_US;
    for (uint32_t before = 0; watch_turn(fixture->watch, 1, now_us); before = fixture->asked)
        assert_true(fixture->asked - before <= 1);
    assert_int_equal(fixture->asked, WATCH_CATCH_UP_DAYS);
}

static void a_day_is_looked_at_once_and_not_before_it_has_settled(void **state)
{
    struct fixture *fixture = *state;
    uint32_t day = FIRST_DAY + 50;
    (void)turn(fixture, day);
    assert_int_equal(turn(fixture, day), 0);
    int64_t midnight_us = (int64_t)(day + 1) * CALENDAR_DAY_US;
    assert_false(watch_turn(fixture->watch, 1, midnight_us + 60000000));
    assert_true(watch_turn(fixture->watch, 1, midnight_us + 660000000));
}

static void a_failure_is_said_once_and_made_up_for(void **state)
{
    struct fixture *fixture = *state;
    uint32_t day = FIRST_DAY + 50;
    int64_t now_us = (int64_t)day * CALENDAR_DAY_US + NOON_US;
    fixture->figures_fail = true;
    for (uint32_t i = 0; i < 5; i++)
        assert_false(watch_turn(fixture->watch, 1, now_us + i * INT64_C(61000000)));
    assert_int_equal(fixture->notes, 1);
    assert_non_null(strstr(fixture->note, "the disk is away"));
    assert_int_equal(fixture->asked, 5);
    assert_false(watch_turn(fixture->watch, 1, now_us + 5 * INT64_C(61000000) - 60000000));
    fixture->figures_fail = false;
    assert_true(watch_turn(fixture->watch, 1, now_us + 6 * INT64_C(61000000)));
}

static void nothing_is_sent_that_the_ledger_does_not_have(void **state)
{
    struct fixture *fixture = *state;
    uint32_t crossing = crossing_day();
    fixture->record_fails = true;
    for (uint32_t day = FIRST_DAY; day <= crossing; day++)
        (void)turn(fixture, day);
    assert_int_equal(pending(fixture), 0);
    fixture->record_fails = false;
    (void)turn(fixture, crossing + 1);
    assert_true(fixture->event_count > 0);
    assert_int_equal(pending(fixture), 2 * fixture->event_count);
}

/* -- Lines -- */

static void what_two_models_share_is_said_once(void **state)
{
    struct fixture *fixture = *state;
    fixture->lines[1] = fixture->lines[0];
    fixture->lines[1].model = "r";
    fixture->line_count = 2;
    for (uint32_t day = FIRST_DAY; day <= crossing_day(); day++)
        (void)turn(fixture, day);
    assert_int_equal(fixture->event_count, ALERT_RULES);
    struct forecast forecast;
    assert_true(watch_forecast(fixture->watch, &fixture->lines[1], &forecast));
}

static void models_have_lines_of_their_own_and_days_beside_months(void **state)
{
    struct fixture *fixture = *state;
    fixture->lines[0].scope = LINE_MODEL;
    fixture->lines[1] = fixture->lines[0];
    fixture->lines[1].model = "r";
    fixture->lines[2] = fixture->lines[0];
    fixture->lines[2].daily = fixture->lines[2].beside = true;
    fixture->lines[2].threshold = THRESHOLD / 10;
    fixture->line_count = 3;
    for (uint32_t day = FIRST_DAY; day <= crossing_day(); day++)
        (void)turn(fixture, day);
    assert_int_equal(fixture->event_count, 3 * ALERT_RULES);
    uint32_t counts[3] = {0};
    for (uint32_t i = 0; i < fixture->event_count; i++) {
        const char *scope = fixture->events[i].scope;
        counts[0] += strcmp(scope, "q") == 0;
        counts[1] += strcmp(scope, "r") == 0;
        counts[2] += strcmp(scope, "q a day") == 0;
    }
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(counts[i], ALERT_RULES);
}

static void a_declared_figure_counts_where_it_is_more(void **state)
{
    struct fixture *fixture = *state;
    fixture->lines[0].declared = 0.92 * THRESHOLD;
    for (uint32_t day = FIRST_DAY; day < FIRST_DAY + 10; day++)
        (void)turn(fixture, day);
    assert_non_null(fired(fixture, "level-90"));
    assert_null(fired(fixture, "level-95"));
    assert_true(fired(fixture, "level-90")->upper == 0.92 * THRESHOLD);
}

static void new_lines_are_taken_up_when_told(void **state)
{
    struct fixture *fixture = *state;
    struct forecast forecast;
    uint32_t day = FIRST_DAY + 50;
    (void)turn(fixture, day);
    fixture->lines[0].condition = "acme-2/size";
    assert_false(watch_turn(fixture->watch, 1, (int64_t)day * CALENDAR_DAY_US + NOON_US));
    assert_true(watch_turn(fixture->watch, 2, (int64_t)day * CALENDAR_DAY_US + NOON_US));
    assert_true(watch_forecast(fixture->watch, &fixture->lines[0], &forecast));
}

static void figures_of_scopes_that_nobody_watches_any_more_go_too(void **state)
{
    struct fixture *fixture = *state;
    struct point_store *points = point_store_new(fixture->outbox, NULL);
    struct point point = {.day = FIRST_DAY, .daily = 1};
    uint32_t newest = 0;
    assert_non_null(points);
    assert_int_equal(point_store_put(points, "gone", &point, NULL), 0);
    point.day = FIRST_DAY + POINTS_DAYS_MAX - 1;
    assert_int_equal(point_store_put(points, "here", &point, NULL), 0);
    assert_int_equal(point_store_newest(points, "gone", &newest, NULL), 0);
    assert_int_equal(newest, FIRST_DAY);
    point.day++;
    assert_int_equal(point_store_put(points, "here", &point, NULL), 0);
    assert_int_equal(point_store_newest(points, "gone", &newest, NULL), 0);
    assert_int_equal(newest, 0);
    point_store_free(points);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_rule_fires_once_before_its_line, setup, teardown),
        cmocka_unit_test_setup_teardown(a_restart_repeats_nothing_and_missed_days_are_made_up_for,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(counters_of_before_give_a_forecast_at_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_restart_knows_the_forecast_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_turn_asks_the_counters_once_at_most, setup, teardown),
        cmocka_unit_test_setup_teardown(a_day_is_looked_at_once_and_not_before_it_has_settled,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_failure_is_said_once_and_made_up_for, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_sent_that_the_ledger_does_not_have, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_two_models_share_is_said_once, setup, teardown),
        cmocka_unit_test_setup_teardown(models_have_lines_of_their_own_and_days_beside_months,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_declared_figure_counts_where_it_is_more, setup, teardown),
        cmocka_unit_test_setup_teardown(new_lines_are_taken_up_when_told, setup, teardown),
        cmocka_unit_test_setup_teardown(figures_of_scopes_that_nobody_watches_any_more_go_too,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
