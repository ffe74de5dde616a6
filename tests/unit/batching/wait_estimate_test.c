/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "batching/wait_estimate.h"

#define SECOND UINT64_C(1000000)

static const struct wait_rates rates = {.prompt_tokens_per_s = 1000, .ends_per_1000_s = 2000};

static void who_finds_a_seat_and_nobody_ahead_does_not_wait(void **state)
{
    (void)state;
    const struct wait_queue queue = {.running = 3, .seats = 4};
    assert_int_equal(wait_estimate_us(&queue, &rates), 0);
}

static void prompts_ahead_are_computed_first(void **state)
{
    (void)state;
    const struct wait_queue queue = {.waiting = 1, .waiting_tokens = 5000, .seats = 4};
    assert_int_equal(wait_estimate_us(&queue, &rates), 5 * SECOND);
}

static void without_a_seat_somebody_has_to_end(void **state)
{
    (void)state;
    struct wait_queue queue = {.running = 4, .seats = 4};
    assert_int_equal(wait_estimate_us(&queue, &rates), SECOND / 2);
    queue.waiting = 5;
    queue.waiting_tokens = 10;
    assert_int_equal(wait_estimate_us(&queue, &rates), 3 * SECOND);
    queue.waiting_tokens = 4000; /* the longer of the two */
    assert_int_equal(wait_estimate_us(&queue, &rates), 4 * SECOND);
}

static void what_was_never_measured_sends_nobody_away(void **state)
{
    (void)state;
    const struct wait_queue full = {
        .running = 64, .waiting = 1000, .waiting_tokens = UINT32_MAX, .seats = 64};
    const struct wait_meter meter = {0};
    struct wait_rates none = wait_meter_rates(&meter);
    assert_int_equal(none.prompt_tokens_per_s, 0);
    assert_int_equal(none.ends_per_1000_s, 0);
    assert_int_equal(wait_estimate_us(&full, &none), 0);
}

static void the_largest_queue_does_not_overflow(void **state)
{
    (void)state;
    const struct wait_queue full = {
        .running = UINT32_MAX / 8, .waiting = 1000000, .waiting_tokens = UINT32_MAX, .seats = 1};
    const struct wait_rates slow = {.prompt_tokens_per_s = 1, .ends_per_1000_s = 1};
    assert_true(wait_estimate_us(&full, &slow) >= (uint64_t)UINT32_MAX / 8 * 1000 * SECOND);
}

static void rates_are_of_steps_that_show_them(void **state)
{
    (void)state;
    struct wait_meter meter = {0};
    for (int i = 0; i < 20; i++) { /* half the time prompts, at 2000 a second; then decodes alone */
        wait_meter_note(&meter, 200, 0, 100000);
        wait_meter_note(&meter, 0, 1, 100000);
    }
    struct wait_rates measured = wait_meter_rates(&meter);
    assert_in_range(measured.prompt_tokens_per_s, 1999, 2000);
    assert_in_range(measured.ends_per_1000_s, 4900, 5200);
}

static void what_is_long_ago_is_forgotten(void **state)
{
    (void)state;
    struct wait_meter meter = {0};
    for (int i = 0; i < 1000; i++)
        wait_meter_note(&meter, 1000, 10, 100000);
    for (int i = 0; i < 1000; i++)
        wait_meter_note(&meter, 100, 1, 100000);
    struct wait_rates measured = wait_meter_rates(&meter);
    assert_in_range(measured.prompt_tokens_per_s, 999, 1010);
    assert_in_range(measured.ends_per_1000_s, 9990, 10100);
    wait_meter_note(&meter, 1, 0, 3600 * SECOND); /* one endless step does not make it zero */
    assert_true(wait_meter_rates(&meter).prompt_tokens_per_s >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_finds_a_seat_and_nobody_ahead_does_not_wait),
        cmocka_unit_test(prompts_ahead_are_computed_first),
        cmocka_unit_test(without_a_seat_somebody_has_to_end),
        cmocka_unit_test(what_was_never_measured_sends_nobody_away),
        cmocka_unit_test(the_largest_queue_does_not_overflow),
        cmocka_unit_test(rates_are_of_steps_that_show_them),
        cmocka_unit_test(what_is_long_ago_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
