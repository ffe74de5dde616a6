/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "policy/users/calendar.h"
#include "policy/users/year_keys.h"
#include "policy/users/years.h"

static bool counted_under(uint32_t day, uint32_t year)
{
    uint32_t years[YEARS_MAX], count = years_of_day(day, years);
    return years[0] == year || (count == 2 && years[1] == year);
}

/* The days that a window reads, those at a month's edge included. */
static void days_of_window(enum usage_window window, uint32_t day, uint32_t *ret_first,
                           uint32_t *ret_last)
{
    static const uint32_t rolling[USAGE_WINDOW_COUNT] = {[USAGE_WINDOW_DAY] = 1,
                                                         [USAGE_WINDOW_ROLLING_28] = 28,
                                                         [USAGE_WINDOW_ROLLING_30] = 30,
                                                         [USAGE_WINDOW_ROLLING_31] = 31};
    *ret_last = day;
    *ret_first = day + 1 > rolling[window] ? day + 1 - rolling[window] : 0;
    if (window != USAGE_WINDOW_MONTH)
        return;
    *ret_first = calendar_first_day(calendar_month(day));
    *ret_first -= *ret_first > 0;
    *ret_last = calendar_last_day(calendar_month(day)) + 1;
}

static void every_window_of_every_day_has_one_year_that_all_its_days_are_counted_under(void **state)
{
    (void)state;
    for (uint32_t day = 0; day <= CALENDAR_DAY_MAX; day++) {
        for (enum usage_window window = 0; window < USAGE_WINDOW_COUNT; window++) {
            uint32_t first, last, year = years_of_window(window, day);
            days_of_window(window, day, &first, &last);
            for (uint32_t at = first; at <= last; at++)
                if (!counted_under(at, year))
                    fail_msg("window %d of day %u: day %u is not under %u", (int)window, day, at,
                             year);
        }
    }
}

static void days_have_two_years_from_30_november_to_31_december_alone(void **state)
{
    (void)state;
    for (uint32_t day = 0; day <= CALENDAR_DAY_MAX; day++) {
        struct tm tm;
        uint32_t years[YEARS_MAX];
        time_t seconds = (time_t)day * 86400;
        assert_non_null(gmtime_r(&seconds, &tm));
        bool two = tm.tm_mon == 11 || (tm.tm_mon == 10 && tm.tm_mday == 30);
        assert_int_equal(years_of_day(day, years), two ? 2 : 1);
        assert_int_equal(years[0], tm.tm_year + 1900);
        if (two)
            assert_int_equal(years[1], years[0] + 1);
    }
}

/* So the two hashes of a request at midnight do for both days. */
static void one_of_two_neighbours_has_all_years_of_the_other(void **state)
{
    (void)state;
    for (uint32_t day = 0; day < CALENDAR_DAY_MAX; day++) {
        uint32_t left[YEARS_MAX], right[YEARS_MAX];
        uint32_t left_count = years_of_day(day, left), right_count = years_of_day(day + 1, right);
        const uint32_t *most = left_count >= right_count ? left : right;
        const uint32_t *others = most == left ? right : left;
        uint32_t most_count = most == left ? left_count : right_count;
        uint32_t other_count = most == left ? right_count : left_count;
        for (uint32_t i = 0; i < other_count; i++)
            assert_true(others[i] == most[0] || (most_count == 2 && others[i] == most[1]));
    }
}

static void years_keys_are_the_secrets_and_each_its_own(void **state)
{
    (void)state;
    const struct secret secret = {.epochs_root = {1, 2, 3}};
    struct secret_epoch epoch;
    struct year_keys *keys = year_keys_new(&secret, NULL);
    assert_non_null(keys);
    for (uint32_t year = 1970; year <= 2149; year++) {
        const struct year_key *key = year_keys_peek(keys, year);
        assert_true(key->id != year_keys_id(keys));
        for (uint32_t before = 1970; before < year; before++) {
            const struct year_key *other = year_keys_peek(keys, before);
            assert_true(key->id != other->id);
            assert_memory_not_equal(key->users, other->users, sizeof key->users);
        }
    }
    assert_int_equal(secret_epoch(&secret, 2026, &epoch, NULL), 0);
    assert_memory_equal(year_keys_peek(keys, 2026)->users, epoch.users, sizeof epoch.users);
    assert_true(year_keys_peek(keys, 2026)->id == epoch.key_id);
    year_keys_free(keys);
    year_keys_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            every_window_of_every_day_has_one_year_that_all_its_days_are_counted_under),
        cmocka_unit_test(days_have_two_years_from_30_november_to_31_december_alone),
        cmocka_unit_test(one_of_two_neighbours_has_all_years_of_the_other),
        cmocka_unit_test(years_keys_are_the_secrets_and_each_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
