/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <time.h>

#include "policy/license/month.h"
#include "policy/users/calendar.h"

static void every_day_is_the_c_librarys(void **state)
{
    (void)state;
    for (uint32_t day = 0; day <= CALENDAR_DAY_MAX; day++) {
        char text[CALENDAR_TEXT_BYTES], expected[16];
        struct tm tm;
        uint32_t again;
        time_t seconds = (time_t)day * 86400;
        assert_non_null(gmtime_r(&seconds, &tm));
        assert_true(strftime(expected, sizeof expected, "%Y%m%d", &tm) > 0);
        calendar_write(day, text);
        assert_string_equal(text, expected);
        assert_true(calendar_parse(text, &again));
        assert_int_equal(again, day);
        uint32_t month = (uint32_t)(tm.tm_year + 1900) * 12 + (uint32_t)tm.tm_mon;
        assert_int_equal(calendar_month(day), month);
        assert_int_equal(calendar_first_day(month), day - (uint32_t)tm.tm_mday + 1);
        assert_in_range(calendar_last_day(month), day, day + 30);
        assert_int_equal(calendar_month(calendar_last_day(month)), month);
        assert_int_equal(calendar_month(calendar_last_day(month) + 1), month + 1);
    }
}

static void months_are_numbered_as_licences_number_them(void **state)
{
    (void)state;
    assert_int_equal(calendar_month(20772), month_of_unix(INT64_C(20772) * 86400));
}

static void day_turns_at_midnight_and_stays_in_range(void **state)
{
    (void)state;
    assert_int_equal(calendar_day(CALENDAR_DAY_US * 20772 - 1), 20771);
    assert_int_equal(calendar_day(CALENDAR_DAY_US * 20772), 20772);
    assert_int_equal(calendar_day(-5), 0);
    assert_int_equal(calendar_day(INT64_MIN), 0);
    assert_int_equal(calendar_day(INT64_MAX), CALENDAR_DAY_MAX);
}

/* However far a clock is off, up to the skew, and whichever side of midnight it is on. */
static void day_of_the_true_time_is_among_those_around_a_wrong_clock(void **state)
{
    (void)state;
    const int64_t midnight_us = CALENDAR_DAY_US * 20788, step_us = 100000, skew_us = 2000000;
    for (int64_t at_us = -3 * skew_us; at_us <= 3 * skew_us; at_us += step_us)
        for (int64_t off_us = 1 - skew_us; off_us < skew_us; off_us += step_us) {
            uint32_t days[CALENDAR_DAYS_AROUND], truth = calendar_day(midnight_us + at_us);
            int64_t told_us = midnight_us + at_us + off_us;
            uint32_t count = calendar_days_around(told_us, skew_us, days);
            assert_int_equal(days[0], calendar_day(told_us));
            assert_true(days[0] == truth || (count == 2 && days[1] == truth));
        }
}

static void only_days_nearer_than_the_skew_are_around(void **state)
{
    (void)state;
    const int64_t midnight_us = CALENDAR_DAY_US * 20788, skew_us = 2000000;
    uint32_t days[CALENDAR_DAYS_AROUND];
    assert_int_equal(calendar_days_around(midnight_us - skew_us, skew_us, days), 1);
    assert_int_equal(calendar_days_around(midnight_us - skew_us + 1, skew_us, days), 2);
    assert_int_equal(days[1], 20788);
    assert_int_equal(calendar_days_around(midnight_us + skew_us - 1, skew_us, days), 2);
    assert_int_equal(days[1], 20787);
    assert_int_equal(calendar_days_around(midnight_us + skew_us, skew_us, days), 1);
    assert_int_equal(calendar_days_around(midnight_us, 0, days), 1);
    assert_int_equal(calendar_days_around(midnight_us - 1, 0, days), 1);
    assert_int_equal(calendar_days_around(0, skew_us, days), 1); /* no day is before the first */
    assert_int_equal(calendar_days_around(INT64_MIN, skew_us, days), 1);
    assert_int_equal(calendar_days_around(INT64_MAX, skew_us, days), 1);
    assert_int_equal(
        calendar_days_around(CALENDAR_DAY_US * (CALENDAR_DAY_MAX + 1) - 1, skew_us, days), 1);
}

static void what_is_no_day_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"20260229", "20261301", "20260100", "20260431", "19691231",
                                        "21490607", "2026-1-1", "20260",    ""};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        uint32_t day = 7;
        assert_false(calendar_parse(texts[i], &day));
        assert_int_equal(day, 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_day_is_the_c_librarys),
        cmocka_unit_test(months_are_numbered_as_licences_number_them),
        cmocka_unit_test(day_turns_at_midnight_and_stays_in_range),
        cmocka_unit_test(day_of_the_true_time_is_among_those_around_a_wrong_clock),
        cmocka_unit_test(only_days_nearer_than_the_skew_are_around),
        cmocka_unit_test(what_is_no_day_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
