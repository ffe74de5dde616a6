/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"

struct seen {
    sigset_t blocked;
    stack_t fault_stack;
    struct thread_fault_head *head;
    char name[THREAD_NAME_MAX + 1];
};

static void *look(void *argument)
{
    struct seen *seen = argument;
    (void)pthread_sigmask(SIG_BLOCK, NULL, &seen->blocked);
    (void)sigaltstack(NULL, &seen->fault_stack);
    seen->head = thread_fault_head();
    (void)pthread_getname_np(pthread_self(), seen->name, sizeof seen->name);
    return seen;
}

static void join(pthread_t thread, const struct seen *seen)
{
    void *result = NULL;
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, seen);
}

static void a_thread_hears_faults_and_nothing_else(void **state)
{
    (void)state;
    static const int asked_of_the_process[] = {SIGTERM, SIGINT,  SIGHUP, SIGUSR1,
                                               SIGPIPE, SIGALRM, SIGCHLD};
    struct seen seen;
    pthread_t thread;
    assert_int_equal(thread_start(&thread, "policy", 0, look, &seen), 0);
    join(thread, &seen);
    for (size_t i = 0; i < sizeof asked_of_the_process / sizeof asked_of_the_process[0]; i++)
        assert_int_equal(sigismember(&seen.blocked, asked_of_the_process[i]), 1);
    for (const int *signal = thread_fault_signals; *signal != 0; signal++)
        assert_int_equal(sigismember(&seen.blocked, *signal), 0);
    assert_int_equal(sigismember(&seen.blocked, THREAD_SAMPLE_SIGNAL), 0);
}

static void the_starters_own_mask_stays(void **state)
{
    (void)state;
    struct seen seen, before, after;
    pthread_t thread;
    (void)look(&before);
    assert_int_equal(thread_start_numbered(&thread, "worker", 3, look, &seen), 0);
    join(thread, &seen);
    (void)look(&after);
    assert_int_equal(sigismember(&after.blocked, SIGTERM), sigismember(&before.blocked, SIGTERM));
    assert_int_equal(sigismember(&after.blocked, SIGUSR1), 0);
}

static void names_are_cut_to_what_the_kernel_keeps(void **state)
{
    (void)state;
    struct seen seen;
    pthread_t thread;
    assert_int_equal(thread_start_numbered(&thread, "worker", 3, look, &seen), 0);
    join(thread, &seen);
    assert_string_equal(seen.name, "worker-3");
    assert_int_equal(thread_start(&thread, "a-name-of-many-letters", 0, look, &seen), 0);
    join(thread, &seen);
    assert_string_equal(seen.name, "a-name-of-many-");
}

static void a_fault_has_a_stack_of_its_own(void **state)
{
    (void)state;
    struct seen seen;
    pthread_t thread;
    assert_int_equal(thread_start(&thread, "compute-1", 512 * 1024, look, &seen), 0);
    join(thread, &seen);
#ifndef WEIR_SANITIZED
    assert_int_equal(seen.fault_stack.ss_flags & SS_DISABLE, 0);
    assert_int_equal(seen.fault_stack.ss_size, THREAD_FAULT_STACK_BYTES);
    assert_true((long)seen.fault_stack.ss_size >= sysconf(_SC_MINSIGSTKSZ));
    assert_ptr_equal(seen.head, seen.fault_stack.ss_sp);
#endif
    (void)look(&seen); /* of a thread that was begun by somebody else */
    assert_null(seen.head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_hears_faults_and_nothing_else),
        cmocka_unit_test(the_starters_own_mask_stays),
        cmocka_unit_test(names_are_cut_to_what_the_kernel_keeps),
        cmocka_unit_test(a_fault_has_a_stack_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
