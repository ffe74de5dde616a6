/* SPDX-License-Identifier: Apache-2.0 */
/* When a model that did not load is tried again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/load_retry.h"

#define NOW     UINT64_C(1000000000)
#define SECOND  UINT64_C(1000000)
#define LONGEST 300000u

static void first_try_is_due_at_once(void **state)
{
    (void)state;
    const struct load_retry retry = {0};
    assert_int_equal(load_retry_left_us(&retry, 0), 0);
    assert_int_equal(load_retry_left_us(&retry, NOW), 0);
}

static void wait_doubles_up_to_the_longest(void **state)
{
    (void)state;
    static const uint64_t seconds[] = {5, 10, 20, 40, 80, 160, 300, 300, 300};
    struct load_retry retry = {0};
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        load_retry_failed(&retry, LONGEST, NOW);
        assert_int_equal(retry.failures, i + 1);
        assert_int_equal(load_retry_left_us(&retry, NOW), seconds[i] * SECOND);
        assert_int_equal(load_retry_left_us(&retry, NOW + seconds[i] * SECOND - 1), 1);
        assert_int_equal(load_retry_left_us(&retry, NOW + seconds[i] * SECOND), 0);
    }
}

static void longest_may_be_shorter_than_the_first(void **state)
{
    (void)state;
    struct load_retry retry = {0};
    load_retry_failed(&retry, 1000, NOW);
    assert_int_equal(load_retry_left_us(&retry, NOW), SECOND);
    load_retry_failed(&retry, 1000, NOW);
    assert_int_equal(load_retry_left_us(&retry, NOW), SECOND);
}

static void years_of_failures_do_not_wrap(void **state)
{
    (void)state;
    struct load_retry retry = {.failures = UINT32_MAX};
    load_retry_failed(&retry, 86400000, NOW);
    assert_int_equal(retry.failures, UINT32_MAX);
    assert_int_equal(load_retry_left_us(&retry, NOW), 86400 * SECOND);
}

static void hurry_makes_it_due_and_short_again(void **state)
{
    (void)state;
    struct load_retry retry = {0};
    for (uint32_t i = 0; i < 9; i++)
        load_retry_failed(&retry, LONGEST, NOW);
    load_retry_hurry(&retry);
    assert_int_equal(load_retry_left_us(&retry, NOW), 0);
    load_retry_failed(&retry, LONGEST, NOW);
    assert_int_equal(load_retry_left_us(&retry, NOW), 5 * SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_try_is_due_at_once),
        cmocka_unit_test(wait_doubles_up_to_the_longest),
        cmocka_unit_test(longest_may_be_shorter_than_the_first),
        cmocka_unit_test(years_of_failures_do_not_wrap),
        cmocka_unit_test(hurry_makes_it_due_and_short_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
