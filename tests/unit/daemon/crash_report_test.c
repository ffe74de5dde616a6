/* SPDX-License-Identifier: Apache-2.0 */
/* Each crash is a child's, whose standard error is ours to read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/build_id.h"
#include "base/thread.h"

#include "daemon/crash.h"

#define REPORT_BYTES 8192

static void build_ids_are_hexadecimal_and_ours(void **state)
{
    (void)state;
    char build[BUILD_ID_TEXT_BYTES];
    uintptr_t offset;
    build_id_read(build);
    assert_int_equal(strlen(build), 40);
    assert_int_equal(strspn(build, "0123456789abcdef"), strlen(build));
    assert_true(build_id_offset((uintptr_t)&build_id_read, &offset));
    assert_true(offset > 0);
    assert_false(build_id_offset((uintptr_t)&state, &offset)); /* of the stack */
    assert_false(build_id_offset(0, &offset));
}

#ifndef WEIR_SANITIZED

static void *crash_here(void *argument)
{
    volatile uintptr_t nowhere = 16;
    *(volatile int *)nowhere = 1;
    return argument;
}

static uintptr_t dig(uintptr_t deep)
{
    volatile unsigned char frame[4096];
    frame[deep % sizeof frame] = 1;
    return deep == 0 ? 0 : dig(deep - 1) + frame[deep % sizeof frame];
}

static void *overflow(void *argument)
{
    (void)argument;
    return (void *)dig(UINTPTR_MAX);
}

static void *abort_here(void *argument)
{
    abort();
    return argument;
}

/* Runs `run` in a thread of a child, and gives what it said before it died of the signal. */
static void crash(void *(*run)(void *argument), int expected, char report[REPORT_BYTES])
{
    int pipe_ends[2];
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _Alignas(max_align_t) char fault_stack[THREAD_FAULT_STACK_BYTES];
        const struct rlimit no_core = {0};
        pthread_t thread;
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)dup2(pipe_ends[1], STDERR_FILENO);
        crash_prepare(fault_stack);
        if (thread_start_numbered(&thread, "worker", 7, run, NULL) == 0)
            (void)pthread_join(thread, NULL);
        _exit(0);
    }
    close(pipe_ends[1]);
    size_t count = 0;
    for (ssize_t got; (got = read(pipe_ends[0], report + count, REPORT_BYTES - 1 - count)) > 0;)
        count += (size_t)got;
    report[count] = '\0';
    close(pipe_ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), expected);
}

static void expect(const char *report, const char *part)
{
    if (strstr(report, part) == NULL)
        fail_msg("no '%s' in: %s", part, report);
}

static void a_fault_is_one_line_that_says_where(void **state)
{
    (void)state;
    char report[REPORT_BYTES], build[BUILD_ID_TEXT_BYTES], expected[128];
    uintptr_t offset;
    crash(crash_here, SIGSEGV, report);
    assert_ptr_equal(strchr(report, '\n'), report + strlen(report) - 1);
    expect(report, "level=error event=crash signal=SIGSEGV address=0x10 thread=worker-7 version=");
    build_id_read(build);
    (void)snprintf(expected, sizeof expected, " build_id=%s ", build);
    expect(report, expected);
    const char *at = strstr(report, " at=weir+0x");
    assert_non_null(at);
    unsigned long where = strtoul(at + strlen(" at=weir+"), NULL, 16);
    assert_true(build_id_offset((uintptr_t)crash_here, &offset));
    assert_in_range(where, offset, offset + 256);
    (void)snprintf(expected, sizeof expected, " backtrace=weir+0x%lx,weir+0x", where);
    expect(report, expected); /* and who called it: thread.c */
    expect(report, ",libc.so.6+0x");
}

static void a_stack_that_overflows_is_reported_too(void **state)
{
    (void)state;
    char report[REPORT_BYTES];
    crash(overflow, SIGSEGV, report);
    expect(report, "signal=SIGSEGV address=0x");
    expect(report, " thread=worker-7 ");
    assert_ptr_equal(strchr(report, '\n'), report + strlen(report) - 1);
}

static void an_assertion_is_an_abort_of_our_own(void **state)
{
    (void)state;
    char report[REPORT_BYTES];
    crash(abort_here, SIGABRT, report);
    expect(report, "signal=SIGABRT sender_pid=");
    expect(report, " at=libc.so.6+0x");
    expect(report, ",weir+0x");
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(build_ids_are_hexadecimal_and_ours),
#ifndef WEIR_SANITIZED
        cmocka_unit_test(a_fault_is_one_line_that_says_where),
        cmocka_unit_test(a_stack_that_overflows_is_reported_too),
        cmocka_unit_test(an_assertion_is_an_abort_of_our_own),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
