/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that are busy until they are told to stop; whoever waits, waits for samples of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/profile/stack_sampler.h"

struct busy {
    pthread_t thread;
    _Atomic bool stop;
    _Atomic uint64_t rounds;
};

static void *be_busy(void *argument)
{
    struct busy *busy = argument;
    errno = EDOM;
    while (!atomic_load(&busy->stop))
        (void)atomic_fetch_add(&busy->rounds, errno == EDOM);
    return errno == EDOM ? busy : NULL;
}

static void begin(struct busy *busy, const char *name)
{
    *busy = (struct busy){0};
    assert_int_equal(thread_start(&busy->thread, name, 0, be_busy, busy), 0);
}

static void end(struct busy *busy)
{
    void *result;
    atomic_store(&busy->stop, true);
    assert_int_equal(pthread_join(busy->thread, &result), 0);
    assert_ptr_equal(result, busy); /* no handler changed its errno */
}

static void wait_for_sample_of(struct stack_sampler *sampler, const char *name)
{
    struct sample sample;
    for (;;) {
        while (!stack_sampler_take(sampler, &sample)) {
            stack_sampler_look(sampler);
            (void)sched_yield();
        }
        assert_true(sample.frame_count >= 1 && sample.ticks >= 1);
        if (strcmp(sample.thread, name) == 0)
            return;
    }
}

static void busy_threads_are_sampled_those_that_come_later_too(void **state)
{
    (void)state;
    struct error err = {0};
    struct busy early, late;
    struct stack_sampler *sampler = stack_sampler_new(&err);
    assert_non_null(sampler);
    begin(&early, "early-0");
    for (int again = 0; again < 3; again++) {
        assert_int_equal(stack_sampler_start(sampler, 1000, &err), 0);
        wait_for_sample_of(sampler, "early-0");
        begin(&late, "late-0");
        wait_for_sample_of(sampler, "late-0");
        end(&late);
        wait_for_sample_of(sampler, "early-0"); /* a thread that went takes nothing with it */
        stack_sampler_stop(sampler);
        struct stack_sampler_counts counts;
        stack_sampler_counts(sampler, &counts);
        assert_true(counts.threads >= 2);
        assert_int_equal(counts.left_out, 0);
    }
    end(&early);
    stack_sampler_free(sampler);
}

static void after_a_stop_there_is_no_sample_more(void **state)
{
    (void)state;
    struct error err = {0};
    struct busy busy;
    struct sample sample;
    struct stack_sampler *sampler = stack_sampler_new(&err);
    assert_non_null(sampler);
    begin(&busy, "busy-0");
    assert_int_equal(stack_sampler_start(sampler, 1000, &err), 0);
    wait_for_sample_of(sampler, "busy-0");
    stack_sampler_stop(sampler);
    while (stack_sampler_take(sampler, &sample))
        ;
    uint64_t rounds = atomic_load(&busy.rounds);
    while (atomic_load(&busy.rounds) < rounds + 1000000)
        (void)sched_yield();
    assert_false(stack_sampler_take(sampler, &sample));
    stack_sampler_clear(sampler);
    assert_false(stack_sampler_take(sampler, &sample));
    end(&busy);
    stack_sampler_free(sampler);
}

static void the_signal_from_elsewhere_is_nothing(void **state)
{
    (void)state;
    struct error err = {0};
    struct busy busy;
    struct stack_sampler *sampler = stack_sampler_new(&err);
    assert_non_null(sampler);
    assert_int_equal(kill(getpid(), THREAD_SAMPLE_SIGNAL), 0); /* by default it ends a process */
    begin(&busy, "busy-0");
    assert_int_equal(stack_sampler_start(sampler, 10, &err), 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(kill(getpid(), THREAD_SAMPLE_SIGNAL), 0);
        assert_int_equal(pthread_kill(busy.thread, THREAD_SAMPLE_SIGNAL), 0);
    }
    wait_for_sample_of(sampler, "busy-0");
    stack_sampler_stop(sampler);
    end(&busy);
    stack_sampler_free(sampler);
    assert_int_equal(kill(getpid(), THREAD_SAMPLE_SIGNAL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(busy_threads_are_sampled_those_that_come_later_too),
        cmocka_unit_test(after_a_stop_there_is_no_sample_more),
        cmocka_unit_test(the_signal_from_elsewhere_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
