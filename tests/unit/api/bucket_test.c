/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "daemon/api/bucket.h"

#define SECOND UINT64_C(1000000)
#define NOW    (1000 * SECOND)

static void a_new_bucket_holds_a_minutes_worth_at_once_and_not_one_more(void **state)
{
    (void)state;
    static const uint32_t rates[] = {1, 3, 7, 60, 59999, BUCKET_PER_MINUTE_MAX};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct bucket bucket = {0};
        uint64_t wait_us = 0, full_us;
        assert_int_equal(bucket_left(&bucket, rates[i], NOW, &full_us), rates[i]);
        assert_int_equal(full_us, 0);
        uint32_t each = rates[i] < 1000 ? rates[i] : 7, taken = 0;
        for (uint32_t part = 0; part < each; part++) {
            uint32_t cost = part + 1 == each ? rates[i] - taken : rates[i] / each;
            assert_true(bucket_take(&bucket, rates[i], cost, NOW, &wait_us));
            taken += cost;
            assert_int_equal(bucket_left(&bucket, rates[i], NOW, &full_us), rates[i] - taken);
        }
        assert_false(bucket_take(&bucket, rates[i], 1, NOW, &wait_us));
        assert_in_range(full_us, 60 * SECOND - 1, 60 * SECOND);
        assert_in_range(wait_us, 1, 60 * SECOND / rates[i] + 1);
    }
}

static void it_fills_as_time_goes_by_and_says_when(void **state)
{
    (void)state;
    struct bucket bucket = {0};
    uint64_t wait_us = 0, full_us;
    assert_true(bucket_take(&bucket, 60, 60, NOW, &wait_us));
    assert_false(bucket_take(&bucket, 60, 5, NOW, &wait_us));
    assert_int_equal(wait_us, 5 * SECOND);
    assert_false(bucket_take(&bucket, 60, 5, NOW + 5 * SECOND - 1, &wait_us));
    assert_int_equal(wait_us, 1);
    assert_true(bucket_take(&bucket, 60, 5, NOW + 5 * SECOND, &wait_us));
    assert_int_equal(bucket_left(&bucket, 60, NOW + 35 * SECOND, &full_us), 30);
    assert_int_equal(full_us, 30 * SECOND);
    assert_false(bucket_is_full(&bucket, NOW + 65 * SECOND - 1));
    assert_true(bucket_is_full(&bucket, NOW + 65 * SECOND));
    assert_int_equal(bucket_left(&bucket, 60, NOW + 9999 * SECOND, &full_us), 60); /* no more */
}

static void what_is_refused_costs_nothing(void **state)
{
    (void)state;
    struct bucket bucket = {0};
    uint64_t wait_us = 0, full_us;
    assert_true(bucket_take(&bucket, 100, 60, NOW, &wait_us));
    for (int i = 0; i < 1000; i++)
        assert_false(bucket_take(&bucket, 100, 41, NOW, &wait_us));
    assert_int_equal(bucket_left(&bucket, 100, NOW, &full_us), 40);
    assert_true(bucket_take(&bucket, 100, 40, NOW, &wait_us));
}

static void more_than_it_ever_holds_never_fits(void **state)
{
    (void)state;
    struct bucket bucket = {0};
    uint64_t wait_us = 0;
    assert_false(bucket_take(&bucket, 100, 101, NOW, &wait_us));
    assert_true(wait_us == UINT64_MAX);
    assert_false(bucket_take(&bucket, 100, UINT64_MAX, NOW, &wait_us));
    assert_true(wait_us == UINT64_MAX);
    assert_true(bucket_take(&bucket, 100, 100, NOW, &wait_us));
}

static void what_is_given_back_can_be_taken_again_and_never_overflows(void **state)
{
    (void)state;
    struct bucket bucket = {0};
    uint64_t wait_us = 0, full_us;
    assert_true(bucket_take(&bucket, 1000, 1000, NOW, &wait_us));
    bucket_give(&bucket, 1000, 900);
    assert_int_equal(bucket_left(&bucket, 1000, NOW, &full_us), 900);
    /* An hour later all of it has come back by itself: the gift must not come on top. */
    bucket_give(&bucket, 1000, 100);
    assert_int_equal(bucket_left(&bucket, 1000, NOW + 3600 * SECOND, &full_us), 1000);
    assert_true(bucket_take(&bucket, 1000, 1000, NOW + 3600 * SECOND, &wait_us));
    assert_false(bucket_take(&bucket, 1000, 1, NOW + 3600 * SECOND, &wait_us));
}

static void a_new_limit_keeps_the_share_that_is_taken(void **state)
{
    (void)state;
    struct bucket bucket = {0};
    uint64_t wait_us = 0, full_us;
    assert_true(bucket_take(&bucket, 100, 75, NOW, &wait_us));
    assert_int_equal(bucket_left(&bucket, 1000, NOW, &full_us), 250);
    assert_int_equal(bucket_left(&bucket, 4, NOW, &full_us), 1);
}

#define THREADS 4
#define TRIES   20000

struct race {
    struct bucket *bucket;
    uint32_t taken;
};

static void *race_main(void *argument)
{
    struct race *race = argument;
    uint64_t wait_us;
    for (uint32_t i = 0; i < TRIES; i++)
        race->taken += bucket_take(race->bucket, THREADS * TRIES / 2, 1, NOW, &wait_us);
    return NULL;
}

static void threads_together_take_what_there_is_and_no_more(void **state)
{
    (void)state;
    struct bucket bucket = {0};
    struct race races[THREADS];
    pthread_t threads[THREADS];
    uint32_t taken = 0;
    for (int i = 0; i < THREADS; i++) {
        races[i] = (struct race){.bucket = &bucket};
        assert_int_equal(pthread_create(&threads[i], NULL, race_main, &races[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
        taken += races[i].taken;
    }
    assert_int_equal(taken, THREADS * TRIES / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_bucket_holds_a_minutes_worth_at_once_and_not_one_more),
        cmocka_unit_test(it_fills_as_time_goes_by_and_says_when),
        cmocka_unit_test(what_is_refused_costs_nothing),
        cmocka_unit_test(more_than_it_ever_holds_never_fits),
        cmocka_unit_test(what_is_given_back_can_be_taken_again_and_never_overflows),
        cmocka_unit_test(a_new_limit_keeps_the_share_that_is_taken),
        cmocka_unit_test(threads_together_take_what_there_is_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
