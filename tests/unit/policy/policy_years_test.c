/* SPDX-License-Identifier: Apache-2.0 */
/* policy_years_test.c -- what policy_admit() makes of midnights and of a year's turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "policy/policy.h"
#include "policy/policy_users.h"
#include "tests/unit/policy/few_licenses.h"
#include "tests/unit/policy/scratch.h"

#define SECOND_US INT64_C(1000000)
#define DAY_US    (86400 * SECOND_US)
#define DEC_1_US  (INT64_C(1796083200) * SECOND_US) /* 2026-12-01T00:00:00Z */
#define JAN_1_US  (DEC_1_US + 31 * DAY_US)
#define OCT_20_US (DEC_1_US - 42 * DAY_US)

struct fixture {
    char folder[SCRATCH_PATH_BYTES];
    struct catalogue *catalogue;
    struct policy *policy;
    struct policy_model *model;
};

static void open_policy(struct fixture *fixture, uint32_t clock_skew_ms)
{
    struct error err = {0};
    const struct policy_config config = {.state_folder = fixture->folder,
                                         .rules = {.catalogue = fixture->catalogue},
                                         .clock_skew_ms = clock_skew_ms};
    policy_free(fixture->policy);
    fixture->policy = policy_new(&config, &err);
    assert_string_equal(err.text, "");
    const struct policy_model_facts facts = {.id = "q", .path = fixture->folder};
    assert_int_equal(policy_model_add(fixture->policy, &facts, 0, &fixture->model, &err), 0);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    scratch_make(fixture->folder);
    fixture->catalogue = few_licenses();
    open_policy(fixture, 2000);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    policy_free(fixture->policy);
    catalogue_free(fixture->catalogue);
    scratch_remove(fixture->folder);
    free(fixture);
    return 0;
}

static uint64_t admit(struct fixture *fixture, const char *user, int64_t now_us)
{
    struct policy_decision decision;
    const struct policy_claims claims = {.tenant = "acme", .user = user, .address = "192.0.2.1"};
    policy_admit(fixture->policy, fixture->model, &claims, now_us, &decision);
    return decision.sequence;
}

static void admit_many(struct fixture *fixture, uint32_t count, int64_t now_us)
{
    char user[32];
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(user, sizeof user, "user-%u", i);
        (void)admit(fixture, user, now_us);
    }
}

static struct usage_figures figures_at(struct fixture *fixture, enum usage_window window,
                                       int64_t now_us)
{
    struct policy_usage usage;
    policy_usage(fixture->policy, fixture->model, now_us, &usage);
    assert_true(usage.known);
    return usage.windows[window];
}

static double best_at(struct fixture *fixture, enum usage_window window, int64_t now_us)
{
    return figures_at(fixture, window, now_us).best.users;
}

/* -- Midnight -- */

static void request_next_to_midnight_counts_in_both_days_and_months(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *user;
        int64_t after_us;
    } sights[] = {{"before", -2 * SECOND_US},
                  {"just before", -2 * SECOND_US + 1},
                  {"last", -1},
                  {"first", 0},
                  {"just after", 2 * SECOND_US - 1},
                  {"after", 2 * SECOND_US}};
    for (size_t i = 0; i < sizeof sights / sizeof sights[0]; i++)
        (void)admit(fixture, sights[i].user, DEC_1_US + sights[i].after_us);
    const int64_t sides[] = {DEC_1_US - DAY_US / 2, DEC_1_US + DAY_US / 2};
    for (size_t i = 0; i < 2; i++) {
        assert_true(best_at(fixture, USAGE_WINDOW_DAY, sides[i]) == 5);
        assert_true(best_at(fixture, USAGE_WINDOW_MONTH, sides[i]) == 5);
        struct usage_figures day = figures_at(fixture, USAGE_WINDOW_DAY, sides[i]);
        assert_int_equal(day.requests[IDENTITY_ASSERTED], 3); /* each in its own day alone */
    }
    assert_true(best_at(fixture, USAGE_WINDOW_ROLLING_31, sides[1]) == 6);
}

static void nameless_request_next_to_midnight_is_one_in_each_day(void **state)
{
    struct fixture *fixture = *state;
    (void)admit(fixture, NULL, DEC_1_US);
    for (int64_t day = -1; day <= 0; day++) {
        struct usage_figures figures =
            figures_at(fixture, USAGE_WINDOW_DAY, DEC_1_US + day * DAY_US + DAY_US / 2);
        assert_true(figures.upper.users == 1 && figures.best.users == 1);
    }
    assert_true(figures_at(fixture, USAGE_WINDOW_ROLLING_31, DEC_1_US + DAY_US).upper.users == 1);
}

static void answer_waits_for_both_days_to_be_on_disk(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(admit(fixture, "alice", OCT_20_US + DAY_US / 2), 1);
    assert_int_equal(admit(fixture, "bob", OCT_20_US), 3);      /* two days */
    assert_int_equal(admit(fixture, "carol", DEC_1_US), 7);     /* of two years each */
    assert_int_equal(admit(fixture, "carol", DEC_1_US + 1), 0); /* nothing new in either */
}

static void without_skew_a_request_has_one_day(void **state)
{
    struct fixture *fixture = *state;
    open_policy(fixture, 0);
    (void)admit(fixture, "last", DEC_1_US - 1);
    (void)admit(fixture, "first", DEC_1_US);
    assert_true(best_at(fixture, USAGE_WINDOW_DAY, DEC_1_US - 1) == 1);
    assert_true(best_at(fixture, USAGE_WINDOW_DAY, DEC_1_US + 1) == 1);
}

static void skew_beyond_a_minute_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    const struct policy_config config = {.state_folder = fixture->folder,
                                         .rules = {.catalogue = fixture->catalogue},
                                         .clock_skew_ms = POLICY_SKEW_MS_MAX + 1};
    policy_free(fixture->policy);
    fixture->policy = policy_new(&config, &err);
    assert_null(fixture->policy);
    assert_int_equal(err.code, ERROR_INVALID);
    assert_non_null(strstr(err.text, "60000 ms"));
    open_policy(fixture, POLICY_SKEW_MS_MAX);
    (void)admit(fixture, "alice", DEC_1_US - 59 * SECOND_US);
    assert_true(best_at(fixture, USAGE_WINDOW_DAY, DEC_1_US) == 1);
}

/* -- The year -- */

static void users_are_themselves_over_the_turn_of_a_year_and_a_restart(void **state)
{
    struct fixture *fixture = *state;
    admit_many(fixture, 100, DEC_1_US - DAY_US / 2);
    admit_many(fixture, 300, DEC_1_US + DAY_US / 2);
    admit_many(fixture, 200, JAN_1_US - DAY_US / 2);
    open_policy(fixture, 2000);
    admit_many(fixture, 250, JAN_1_US + DAY_US / 2);
    assert_true(best_at(fixture, USAGE_WINDOW_MONTH, DEC_1_US - DAY_US / 2) == 100);
    assert_true(best_at(fixture, USAGE_WINDOW_MONTH, JAN_1_US - DAY_US / 2) == 300);
    assert_true(best_at(fixture, USAGE_WINDOW_MONTH, JAN_1_US + DAY_US / 2) == 250);
    assert_true(best_at(fixture, USAGE_WINDOW_ROLLING_31, JAN_1_US + DAY_US / 2) == 250);
    assert_true(best_at(fixture, USAGE_WINDOW_ROLLING_31, JAN_1_US - DAY_US / 2) == 300);
    assert_true(figures_at(fixture, USAGE_WINDOW_MONTH, JAN_1_US - DAY_US / 2).upper.users == 300);
}

static void request_next_to_the_years_midnight_counts_in_all_its_days_years(void **state)
{
    struct fixture *fixture = *state;
    (void)admit(fixture, "new year", JAN_1_US + SECOND_US);
    (void)admit(fixture, "old year", JAN_1_US - SECOND_US);
    (void)admit(fixture, "november", DEC_1_US - DAY_US - SECOND_US); /* 29 and 30 November */
    const int64_t new_years_eve = JAN_1_US - DAY_US / 2, new_year = JAN_1_US + DAY_US / 2;
    assert_true(best_at(fixture, USAGE_WINDOW_DAY, new_years_eve) == 2);        /* under 2026 */
    assert_true(best_at(fixture, USAGE_WINDOW_ROLLING_28, new_years_eve) == 2); /* likewise */
    assert_true(best_at(fixture, USAGE_WINDOW_MONTH, new_years_eve) == 2);      /* under 2027 */
    assert_true(figures_at(fixture, USAGE_WINDOW_MONTH, new_years_eve).upper.users == 3);
    assert_true(best_at(fixture, USAGE_WINDOW_DAY, new_year) == 2);
    assert_true(best_at(fixture, USAGE_WINDOW_ROLLING_31, new_year) == 2);
}

/* What two counters a user cost is seen beside what one costs. */
static void cost_of_a_user_in_december_is_printed(void **state)
{
    struct fixture *fixture = *state;
    enum { ROUNDS = 200000 };
    const int64_t days_us[] = {OCT_20_US + DAY_US / 2, DEC_1_US + DAY_US / 2};
    uint64_t ns[2];
    for (size_t i = 0; i < 2; i++) {
        admit_many(fixture, 1000, days_us[i]);
        uint64_t started_us = clock_monotonic_us();
        for (uint32_t round = 0; round < ROUNDS / 1000; round++)
            admit_many(fixture, 1000, days_us[i]);
        ns[i] = (clock_monotonic_us() - started_us) * 1000 / ROUNDS;
    }
    print_message("admission: %llu ns, in December %llu ns, the making of the id included\n",
                  (unsigned long long)ns[0], (unsigned long long)ns[1]);
    assert_true(best_at(fixture, USAGE_WINDOW_DAY, days_us[1]) == 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(request_next_to_midnight_counts_in_both_days_and_months),
        TEST(nameless_request_next_to_midnight_is_one_in_each_day),
        TEST(answer_waits_for_both_days_to_be_on_disk),
        TEST(without_skew_a_request_has_one_day),
        TEST(skew_beyond_a_minute_is_refused),
        TEST(users_are_themselves_over_the_turn_of_a_year_and_a_restart),
        TEST(request_next_to_the_years_midnight_counts_in_all_its_days_years),
        TEST(cost_of_a_user_in_december_is_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
