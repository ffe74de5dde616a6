/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "batching/pace.h"

#define SECOND_US UINT64_C(1000000)

static void nothing_measured_is_a_second(void **state)
{
    (void)state;
    const struct pace pace = {0};
    assert_int_equal(pace_a_ks(&pace), 0);
    assert_int_equal(pace_retry_after_s(1024, pace_a_ks(&pace)), 1);
    assert_int_equal(pace_retry_after_s(0, 5000), 1);
}

/* 20 begin each second with 300 waiting: in 15 seconds those have begun. */
static void retry_comes_when_those_who_wait_have_begun(void **state)
{
    (void)state;
    struct pace pace = {0};
    for (uint64_t second = 1; second <= 120; second++)
        pace_note(&pace, 20, 300, second * SECOND_US);
    assert_in_range(pace_a_ks(&pace), 19900, 20100);
    assert_in_range(pace_retry_after_s(300, pace_a_ks(&pace)), 15, 16);
}

/* 10 ms steps of decodes take in nobody for a while, then a seat is free: it is the mean that
 * counts, not the last step. */
static void steps_of_decodes_alone_do_not_make_it_slow(void **state)
{
    (void)state;
    struct pace pace = {0};
    for (uint64_t step = 1; step <= 12000; step++)
        pace_note(&pace, step % 10 == 0, 64, step * 10000);
    assert_in_range(pace_retry_after_s(64, pace_a_ks(&pace)), 6, 8);
    for (uint64_t step = 12001; step <= 12009; step++)
        pace_note(&pace, 0, 64, step * 10000);
    assert_in_range(pace_retry_after_s(64, pace_a_ks(&pace)), 6, 8);
}

static void few_requests_are_not_a_slow_machine(void **state)
{
    (void)state;
    struct pace pace = {0};
    for (uint64_t minute = 1; minute <= 60; minute++) /* one a minute, and none waits */
        pace_note(&pace, 1, 0, minute * 60 * SECOND_US);
    assert_int_equal(pace_a_ks(&pace), 0);
    uint64_t now_us = 3600 * SECOND_US;
    pace_note(&pace, 0, 1024, now_us);
    pace_note(&pace, 50, 1000, now_us + SECOND_US); /* the crowd came */
    assert_in_range(pace_retry_after_s(1000, pace_a_ks(&pace)), 19, 21);
}

static void a_standstill_is_bounded(void **state)
{
    (void)state;
    struct pace pace = {0};
    pace_note(&pace, 0, 10, SECOND_US);
    for (uint64_t minute = 1; minute <= 600; minute++)
        pace_note(&pace, 0, 10, minute * 60 * SECOND_US);
    assert_int_equal(pace_retry_after_s(10, pace_a_ks(&pace)), PACE_RETRY_AFTER_MAX_S);
    assert_int_equal(pace_retry_after_s(UINT32_MAX, 1), PACE_RETRY_AFTER_MAX_S);
    pace_note(&pace, UINT64_MAX, 10, 36001 * SECOND_US);
    assert_int_equal(pace_retry_after_s(10, pace_a_ks(&pace)), 1);
}

static void an_idle_engine_does_not_stand_still(void **state)
{
    (void)state;
    const struct engine_stats idle = {.busy = false, .last_progress_us = 1};
    const struct engine_stats busy = {.busy = true, .last_progress_us = 4 * SECOND_US};
    assert_int_equal(pace_still_us(&idle, 90 * SECOND_US), 0);
    assert_int_equal(pace_still_us(&busy, 90 * SECOND_US), 86 * SECOND_US);
    assert_int_equal(pace_still_us(&busy, 3 * SECOND_US), 0); /* it got on since we looked */
    assert_false(pace_stalled(&busy, 6 * SECOND_US, 2000));
    assert_true(pace_stalled(&busy, 6 * SECOND_US + 1, 2000));
    assert_false(pace_stalled(&idle, 90 * SECOND_US, 2000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_measured_is_a_second),
        cmocka_unit_test(retry_comes_when_those_who_wait_have_begun),
        cmocka_unit_test(steps_of_decodes_alone_do_not_make_it_slow),
        cmocka_unit_test(few_requests_are_not_a_slow_machine),
        cmocka_unit_test(a_standstill_is_bounded),
        cmocka_unit_test(an_idle_engine_does_not_stand_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
