/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "batching/pace.h"

#define SECOND_US UINT64_C(1000000)

/* Steps that follow each other, each as long as the one before. */
struct clockwork {
    struct pace pace;
    uint64_t now_us;
};

static void go(struct clockwork *work, uint64_t us, struct pace_step step)
{
    step.begun_us = work->now_us;
    work->now_us += us;
    step.ended_us = work->now_us;
    pace_note(&work->pace, &step);
}

static uint32_t retry_after_s(const struct clockwork *work, uint32_t waiting, uint32_t seats)
{
    const struct pace_queue queue = {.waiting = waiting, .running = seats, .seats = seats};
    struct pace_costs costs = pace_costs(&work->pace);
    return pace_retry_after_s(pace_wait_us(&queue, &costs));
}

/* -- The wait, from costs -- */

static const struct pace_costs costs = {.token_ns = 1000000, .turn_us = 2 * SECOND_US};

static void who_finds_a_seat_and_nobody_ahead_does_not_wait(void **state)
{
    (void)state;
    const struct pace_queue queue = {.running = 3, .seats = 4};
    assert_int_equal(pace_wait_us(&queue, &costs), 0);
}

static void prompts_ahead_are_computed_first(void **state)
{
    (void)state;
    const struct pace_queue queue = {.waiting = 1, .waiting_tokens = 5000, .seats = 4};
    assert_int_equal(pace_wait_us(&queue, &costs), 5 * SECOND_US);
}

static void without_a_seat_somebody_has_to_end(void **state)
{
    (void)state;
    struct pace_queue queue = {.running = 4, .seats = 4};
    assert_int_equal(pace_wait_us(&queue, &costs), SECOND_US / 2);
    queue.waiting = 5;
    queue.waiting_tokens = 10;
    assert_int_equal(pace_wait_us(&queue, &costs), 3 * SECOND_US);
    queue.waiting_tokens = 4000; /* the longer of the two */
    assert_int_equal(pace_wait_us(&queue, &costs), 4 * SECOND_US);
}

static void what_was_never_measured_sends_nobody_away(void **state)
{
    (void)state;
    const struct pace_queue full = {
        .running = 64, .waiting = 1000, .waiting_tokens = UINT32_MAX, .seats = 64};
    const struct pace pace = {0};
    struct pace_costs none = pace_costs(&pace);
    assert_int_equal(none.token_ns, 0);
    assert_int_equal(none.turn_us, 0);
    assert_int_equal(pace_wait_us(&full, &none), 0);
    assert_int_equal(pace_retry_after_s(0), 1);
}

static void the_largest_queue_does_not_overflow(void **state)
{
    (void)state;
    const struct pace_queue full = {
        .running = UINT32_MAX, .waiting = UINT32_MAX, .waiting_tokens = UINT32_MAX, .seats = 1};
    const struct pace_costs slow = {.token_ns = UINT32_MAX, .turn_us = UINT64_MAX};
    assert_true(pace_wait_us(&full, &slow) >= UINT32_MAX * SECOND_US);
    assert_int_equal(pace_retry_after_s(UINT64_MAX), PACE_RETRY_AFTER_MAX_S);
}

static void retry_after_is_whole_seconds_that_suffice(void **state)
{
    (void)state;
    assert_int_equal(pace_retry_after_s(1), 1);
    assert_int_equal(pace_retry_after_s(SECOND_US), 1);
    assert_int_equal(pace_retry_after_s(SECOND_US + 1), 2);
    assert_int_equal(pace_retry_after_s(59 * SECOND_US), 59);
    assert_int_equal(pace_retry_after_s(3600 * SECOND_US), PACE_RETRY_AFTER_MAX_S);
}

/* -- The costs, from steps -- */

static void costs_are_of_steps_that_show_them(void **state)
{
    (void)state;
    struct clockwork work = {0};
    for (int i = 0; i < 20; i++) { /* half the time prompts, at 2000 a second; then decodes alone */
        go(&work, 100000, (struct pace_step){.running = 2, .prompt_tokens = 200});
        go(&work, 100000, (struct pace_step){.running = 2, .ends = 1});
    }
    struct pace_costs measured = pace_costs(&work.pace);
    assert_in_range(measured.token_ns, 499000, 501000);
    assert_in_range(measured.turn_us, 390000, 410000);
}

/* 900 of each 1000 tokens are found, and 100 are computed in a second. */
static void what_the_cache_finds_makes_those_who_wait_cheaper(void **state)
{
    (void)state;
    struct clockwork work = {0};
    for (int i = 0; i < 60; i++)
        go(&work, SECOND_US, (struct pace_step){.running = 1, .prompt_tokens = 100 + 900});
    const struct pace_queue queue = {.waiting = 4, .waiting_tokens = 4000, .seats = 8};
    struct pace_costs measured = pace_costs(&work.pace);
    assert_in_range(pace_wait_us(&queue, &measured), 3999000, 4001000);
}

static void what_is_long_ago_is_forgotten(void **state)
{
    (void)state;
    struct clockwork work = {0};
    for (int i = 0; i < 3000; i++)
        go(&work, 100000, (struct pace_step){.running = 1, .prompt_tokens = 1000, .ends = 10});
    for (int i = 0; i < 3000; i++)
        go(&work, 100000, (struct pace_step){.running = 1, .prompt_tokens = 100, .ends = 1});
    struct pace_costs measured = pace_costs(&work.pace);
    assert_in_range(measured.token_ns, 990000, 1000000);
    assert_in_range(measured.turn_us, 99000, 100000);
    go(&work, 3600 * SECOND_US, (struct pace_step){.running = 1, .prompt_tokens = 1});
    measured = pace_costs(&work.pace);
    assert_int_equal(measured.token_ns, UINT32_MAX); /* one endless step is all that there was */
}

static void the_last_ends_are_kept_where_turns_are_long(void **state)
{
    (void)state;
    struct clockwork work = {0};
    for (int minute = 1; minute <= 100; minute++)
        for (int second = 1; second <= 60; second++)
            go(&work, SECOND_US,
               (struct pace_step){.running = 1, .ends = minute % 5 == 0 && second == 60});
    assert_in_range(pace_costs(&work.pace).turn_us, 299 * SECOND_US, 301 * SECOND_US);
}

/* 20 end each second with 300 waiting: in 15 seconds those have begun. */
static void retry_comes_when_those_who_wait_have_begun(void **state)
{
    (void)state;
    struct clockwork work = {0};
    for (int second = 1; second <= 120; second++)
        go(&work, SECOND_US, (struct pace_step){.running = 40, .ends = 20});
    assert_in_range(retry_after_s(&work, 300, 40), 15, 16);
}

/* 10 ms steps of decodes let nobody go for a while, then one: it is the mean that counts. */
static void steps_of_decodes_alone_do_not_make_it_slow(void **state)
{
    (void)state;
    struct clockwork work = {0};
    for (uint32_t step = 1; step <= 12000; step++)
        go(&work, 10000, (struct pace_step){.running = 64, .ends = step % 10 == 0});
    assert_in_range(retry_after_s(&work, 64, 64), 6, 8);
    for (uint32_t step = 1; step <= 9; step++)
        go(&work, 10000, (struct pace_step){.running = 64});
    assert_in_range(retry_after_s(&work, 64, 64), 6, 8);
}

static void few_requests_are_not_a_slow_machine(void **state)
{
    (void)state;
    struct clockwork work = {0};
    for (int minute = 1; minute <= 60; minute++) { /* one a minute, a second long, and none waits */
        go(&work, SECOND_US, (struct pace_step){.running = 1, .ends = 1});
        work.now_us += 59 * SECOND_US;
    }
    assert_in_range(retry_after_s(&work, 1000, 50), 20, 21); /* 50 seats turn over in a second */
}

static void a_standstill_is_bounded(void **state)
{
    (void)state;
    struct clockwork work = {0};
    for (int minute = 1; minute <= 600; minute++)
        go(&work, 60 * SECOND_US, (struct pace_step){.running = 10});
    assert_int_equal(retry_after_s(&work, 10, 10), PACE_RETRY_AFTER_MAX_S);
    for (int second = 1; second <= 600; second++) /* and it is forgotten once it is over */
        go(&work, SECOND_US, (struct pace_step){.running = 10, .ends = 10});
    assert_in_range(retry_after_s(&work, 9, 10), 1, 2);
}

static void a_clock_that_does_not_move_divides_by_nothing(void **state)
{
    (void)state;
    struct clockwork work = {.now_us = 5 * SECOND_US};
    go(&work, 0, (struct pace_step){.running = 1, .prompt_tokens = 10, .ends = 1});
    struct pace_costs measured = pace_costs(&work.pace);
    assert_in_range(measured.token_ns, 1, 1000);
    assert_int_equal(measured.turn_us, 1);
}

/* -- Ranks -- */

static void ranks_follow_classes(void **state)
{
    (void)state;
    const int32_t rising[] = {INT32_MIN, -1000, -100, -7, -3, -1, 0, 1, 3, 7, 100, 1000, INT32_MAX};
    for (size_t i = 1; i < sizeof rising / sizeof *rising; i++)
        assert_true(pace_rank(rising[i - 1]) < pace_rank(rising[i]));
    for (int32_t priority = -5000; priority < 5000; priority++)
        assert_true(pace_rank(priority) <= pace_rank(priority + 1));
    assert_int_equal(pace_rank(INT32_MIN), 0);
    assert_int_equal(pace_rank(INT32_MAX), PACE_RANKS - 1);
    assert_int_equal(pace_rank(4), pace_rank(7));
    assert_int_equal(pace_rank(-2), pace_rank(-3));
}

/* -- Whether it gets on -- */

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
        cmocka_unit_test(who_finds_a_seat_and_nobody_ahead_does_not_wait),
        cmocka_unit_test(prompts_ahead_are_computed_first),
        cmocka_unit_test(without_a_seat_somebody_has_to_end),
        cmocka_unit_test(what_was_never_measured_sends_nobody_away),
        cmocka_unit_test(the_largest_queue_does_not_overflow),
        cmocka_unit_test(retry_after_is_whole_seconds_that_suffice),
        cmocka_unit_test(costs_are_of_steps_that_show_them),
        cmocka_unit_test(what_the_cache_finds_makes_those_who_wait_cheaper),
        cmocka_unit_test(what_is_long_ago_is_forgotten),
        cmocka_unit_test(the_last_ends_are_kept_where_turns_are_long),
        cmocka_unit_test(retry_comes_when_those_who_wait_have_begun),
        cmocka_unit_test(steps_of_decodes_alone_do_not_make_it_slow),
        cmocka_unit_test(few_requests_are_not_a_slow_machine),
        cmocka_unit_test(a_standstill_is_bounded),
        cmocka_unit_test(a_clock_that_does_not_move_divides_by_nothing),
        cmocka_unit_test(ranks_follow_classes),
        cmocka_unit_test(an_idle_engine_does_not_stand_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
