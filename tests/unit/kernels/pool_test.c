/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <string.h>

#include "kernels/cpu/pool.h"

#define TASKS_MAX 97u

struct round {
    uint32_t runs[TASKS_MAX]; /* plain on purpose: each index is written by one thread only */
    uint32_t threads;
    atomic_uint bad_threads;
};

static void count_run(void *argument, uint32_t index, uint32_t thread)
{
    struct round *round = argument;
    round->runs[index]++;
    if (thread >= round->threads)
        atomic_fetch_add(&round->bad_threads, 1);
}

static void run_rounds(uint32_t threads, uint32_t rounds)
{
    struct pool *pool = pool_new(threads, NULL);
    assert_non_null(pool);
    for (uint32_t i = 0; i < rounds; i++) {
        struct round round = {.threads = pool_threads(pool)};
        uint32_t tasks = i % (TASKS_MAX + 1);
        pool_run(pool, count_run, &round, tasks);
        for (uint32_t index = 0; index < TASKS_MAX; index++)
            assert_int_equal(round.runs[index], index < tasks ? 1 : 0);
        assert_int_equal(atomic_load(&round.bad_threads), 0);
    }
    pool_free(pool);
}

static void every_index_runs_once_in_every_round(void **state)
{
    (void)state;
    run_rounds(1, 200);
    run_rounds(2, 20000);
    run_rounds(5, 2000); /* more threads than cores here, perhaps: nobody spins then */
}

/* Neither job may wait for helpers that never woke. */
static void a_pool_may_die_right_after_its_birth_or_its_last_job(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct pool *pool = pool_new(3, NULL);
        assert_non_null(pool);
        struct round round = {.threads = 3};
        if (i % 2 == 1)
            pool_run(pool, count_run, &round, 2);
        pool_free(pool);
        assert_int_equal(round.runs[1], i % 2);
    }
}

struct chain {
    uint64_t *values;
    uint32_t step;
};

static void add_neighbour(void *argument, uint32_t index, uint32_t thread)
{
    (void)thread;
    struct chain *chain = argument;
    const uint64_t *from = chain->values + (chain->step % 2) * TASKS_MAX;
    uint64_t *to = chain->values + (1 - chain->step % 2) * TASKS_MAX;
    to[index] = from[index] * 3 + from[(index + 1) % TASKS_MAX];
}

/* What one job wrote, the next reads, whoever runs it: plain memory, so a missing happens-before
 * is TSan's to find. */
static void a_job_sees_everything_the_job_before_it_wrote(void **state)
{
    (void)state;
    uint64_t parallel[2 * TASKS_MAX], serial[2 * TASKS_MAX];
    for (uint32_t i = 0; i < 2 * TASKS_MAX; i++)
        parallel[i] = serial[i] = i + 1;
    struct pool *pool = pool_new(3, NULL);
    assert_non_null(pool);
    struct chain chain = {.values = parallel};
    struct chain alone = {.values = serial};
    for (uint32_t step = 0; step < 3000; step++) {
        chain.step = alone.step = step;
        pool_run(pool, add_neighbour, &chain, TASKS_MAX);
        for (uint32_t i = 0; i < TASKS_MAX; i++)
            add_neighbour(&alone, i, 0);
    }
    assert_memory_equal(parallel, serial, sizeof serial);
    pool_free(pool);
}

static void zero_threads_means_at_least_one_and_too_many_are_refused(void **state)
{
    (void)state;
    struct pool *pool = pool_new(0, NULL);
    assert_non_null(pool);
    assert_true(pool_threads(pool) >= 1);
    pool_free(pool);
    struct error err = {0};
    assert_null(pool_new(100000, &err));
    assert_int_equal(err.code, ERROR_INVALID);
    assert_non_null(strstr(err.text, "100000 compute threads"));
    pool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_runs_once_in_every_round),
        cmocka_unit_test(a_pool_may_die_right_after_its_birth_or_its_last_job),
        cmocka_unit_test(a_job_sees_everything_the_job_before_it_wrote),
        cmocka_unit_test(zero_threads_means_at_least_one_and_too_many_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
