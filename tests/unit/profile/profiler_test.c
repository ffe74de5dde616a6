/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/thread.h"
#include "daemon/profile/profiler.h"

#define LONG_S PROFILER_SECONDS_MAX /* none of these tests waits for it */

struct fixture {
    struct profiler *profiler;
    struct profile_request request;
    pthread_t thread;
    _Atomic bool stop;
    _Atomic uint64_t rounds;
};

static void *be_busy(void *argument)
{
    struct fixture *fixture = argument;
    while (!atomic_load(&fixture->stop))
        (void)atomic_fetch_add(&fixture->rounds, 1);
    return NULL;
}

static int setup(void **state)
{
    struct error err = {0};
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->profiler = profiler_new(&err);
    assert_non_null(fixture->profiler);
    fixture->request = (struct profile_request){.kind = PROFILE_CPU,
                                                .seconds = LONG_S,
                                                .hz = 100,
                                                .bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    assert_int_equal(thread_start(&fixture->thread, "busy-0", 0, be_busy, fixture), 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    atomic_store(&fixture->stop, true);
    assert_int_equal(pthread_join(fixture->thread, NULL), 0);
    profiler_free(fixture->profiler);
    assert_int_equal(close(fixture->request.bell_fd), 0);
    free(fixture);
    return 0;
}

static void start(struct fixture *fixture)
{
    struct error err = {0};
    int code;
    while ((code = profiler_start(fixture->profiler, &fixture->request, &err)) == ERROR_BUSY)
        (void)sched_yield(); /* one that was cancelled winds down */
    assert_int_equal(code, 0);
}

static void wait_for_ring(const struct fixture *fixture)
{
    struct pollfd bell = {.fd = fixture->request.bell_fd, .events = POLLIN};
    eventfd_t rings;
    while (poll(&bell, 1, -1) != 1)
        ;
    assert_int_equal(eventfd_read(bell.fd, &rings), 0);
}

static void a_profile_that_is_hurried_has_what_there_is(void **state)
{
    struct fixture *fixture = *state;
    struct profile_result result;
    start(fixture);
    uint64_t before = atomic_load(&fixture->rounds);
    while (atomic_load(&fixture->rounds) < before + 50000000) /* some tenths of a second's */
        (void)sched_yield();
    assert_false(profiler_take(fixture->profiler, &result));
    profiler_hurry(fixture->profiler);
    wait_for_ring(fixture);
    assert_true(profiler_take(fixture->profiler, &result));
    assert_int_equal(result.err.code, 0);
    assert_true(result.samples > 0);
    assert_non_null(strstr(text_string(&result.body), "busy-0;"));
    assert_non_null(strstr(text_string(&result.body), ";be_busy"));
    assert_true(result.took_us < LONG_S * UINT64_C(1000000));
    text_destroy(&result.body);
    assert_false(profiler_take(fixture->profiler, &result)); /* once */
}

static void there_is_one_at_a_time(void **state)
{
    struct fixture *fixture = *state;
    struct profiler_stats stats;
    struct error err = {0};
    start(fixture);
    assert_int_equal(profiler_start(fixture->profiler, &fixture->request, &err), ERROR_BUSY);
    profiler_stats(fixture->profiler, &stats);
    assert_true(stats.running);
    assert_int_equal(stats.profiles[PROFILE_CPU], 1);
    profiler_hurry(fixture->profiler);
    wait_for_ring(fixture);
    /* Until it is taken it is there. */
    assert_int_equal(profiler_start(fixture->profiler, &fixture->request, &err), ERROR_BUSY);
    struct profile_result result;
    assert_true(profiler_take(fixture->profiler, &result));
    text_destroy(&result.body);
    profiler_stats(fixture->profiler, &stats);
    assert_false(stats.running);
}

static void a_profile_that_is_cancelled_rings_nobody_and_makes_room(void **state)
{
    struct fixture *fixture = *state;
    eventfd_t rings;
    for (int i = 0; i < 20; i++) {
        start(fixture);
        if (i % 2 == 1)
            profiler_hurry(fixture->profiler); /* both ends may meet */
        profiler_cancel(fixture->profiler);
    }
    start(fixture);                                       /* which joins the one before */
    (void)eventfd_read(fixture->request.bell_fd, &rings); /* a hurried one's, if it was faster */
    profiler_cancel(fixture->profiler);
}

static void a_cancel_after_the_end_drops_it(void **state)
{
    struct fixture *fixture = *state;
    struct profile_result result;
    start(fixture);
    profiler_hurry(fixture->profiler);
    wait_for_ring(fixture);
    profiler_cancel(fixture->profiler);
    assert_false(profiler_take(fixture->profiler, &result));
    struct profiler_stats stats;
    profiler_stats(fixture->profiler, &stats);
    assert_false(stats.running);
}

static void who_frees_it_ends_what_runs(void **state)
{
    start(*state); /* and the teardown does */
}

static void a_heap_profile_that_cannot_be_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    struct profile_result result;
    fixture->request.kind = PROFILE_HEAP;
    start(fixture);
    wait_for_ring(fixture);
    assert_true(profiler_take(fixture->profiler, &result));
    assert_true(result.err.code == ERROR_REFUSED || result.err.code == ERROR_UNSUPPORTED);
    assert_int_equal(result.body.count, 0);
    text_destroy(&result.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_profile_that_is_hurried_has_what_there_is, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(there_is_one_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_profile_that_is_cancelled_rings_nobody_and_makes_room,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_cancel_after_the_end_drops_it, setup, teardown),
        cmocka_unit_test_setup_teardown(who_frees_it_ends_what_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(a_heap_profile_that_cannot_be_is_an_error, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
