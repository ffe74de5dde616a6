/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/api/refusals.h"

#define SECOND_US UINT64_C(1000000)
#define NOW_US    (1000 * SECOND_US)

static struct refusals *fresh(void)
{
    struct refusals *refusals = calloc(1, sizeof *refusals);
    assert_non_null(refusals);
    return refusals;
}

static void so_many_a_minute_then_the_rest_of_it_is_waited_out(void **state)
{
    (void)state;
    struct refusals *refusals = fresh();
    for (uint32_t i = 0; i < REFUSALS_A_MINUTE; i++)
        assert_int_equal(refusals_note(refusals, "a", NOW_US), 0);
    assert_int_equal(refusals_note(refusals, "a", NOW_US + 10 * SECOND_US), 50);
    assert_int_equal(refusals_note(refusals, "a", NOW_US + 59 * SECOND_US + 1), 1);
    assert_int_equal(refusals_note(refusals, "b", NOW_US), 0);
    assert_int_equal(refusals_note(refusals, NULL, NOW_US), 0);
    assert_int_equal(refusals_note(refusals, "a", NOW_US + 60 * SECOND_US), 0);
    free(refusals);
}

static void who_asks_is_not_forgotten_for_a_few_others(void **state)
{
    (void)state;
    struct refusals *refusals = fresh();
    char asker[16];
    for (uint32_t i = 0; i < 100; i++) {
        (void)snprintf(asker, sizeof asker, "other-%u", i);
        assert_int_equal(refusals_note(refusals, asker, NOW_US), 0);
    }
    for (uint32_t i = 0; i < REFUSALS_A_MINUTE; i++)
        assert_int_equal(refusals_note(refusals, "a", NOW_US + 1), 0);
    assert_true(refusals_note(refusals, "a", NOW_US + 2) > 0);
    for (uint32_t i = 0; i < 100000; i++) { /* more than there are slots: bounded, not perfect */
        (void)snprintf(asker, sizeof asker, "flood-%u", i);
        assert_int_equal(refusals_note(refusals, asker, NOW_US + 3), 0);
    }
    free(refusals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(so_many_a_minute_then_the_rest_of_it_is_waited_out),
        cmocka_unit_test(who_asks_is_not_forgotten_for_a_few_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
