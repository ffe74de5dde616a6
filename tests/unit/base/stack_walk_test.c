/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/stack_walk.h"
#include "base/thread.h"

struct walked {
    uintptr_t frames[STACK_WALK_FRAMES_MAX];
    uint32_t count;
    bool broken;
};

/* A handler finds it as the sampler's finds its own: by what the signal carries. */
static void on_ask(int number, siginfo_t *cause, void *context)
{
    struct walked *walked = cause->si_value.sival_ptr;
    (void)number;
    walked->count = stack_walk(context, walked->frames, &walked->broken);
}

static void handle(int number, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    assert_int_equal(sigaction(number, &action, NULL), 0);
}

static void ask(struct walked *walked)
{
    const union sigval value = {.sival_ptr = walked};
    memset(walked, 0, sizeof *walked);
    assert_int_equal(pthread_sigqueue(pthread_self(), THREAD_SAMPLE_SIGNAL, value), 0);
}

/* Exported, so that dladdr() knows them; what follows a call keeps it from being the last thing. */
void *stack_walk_test_inner(void *argument);
void *stack_walk_test_outer(void *argument);
volatile int stack_walk_test_calls;

__attribute__((noinline)) void *stack_walk_test_inner(void *argument)
{
    ask(argument);
    stack_walk_test_calls++;
    return argument;
}

__attribute__((noinline)) void *stack_walk_test_outer(void *argument)
{
    void *result = stack_walk_test_inner(argument);
    stack_walk_test_calls++;
    return result;
}

static int place_of(const struct walked *walked, const char *name)
{
    Dl_info info;
    for (uint32_t i = 0; i < walked->count; i++)
        if (dladdr((const void *)(walked->frames[i] - (i > 0)), &info) != 0 &&
            info.dli_sname != NULL && strcmp(info.dli_sname, name) == 0)
            return (int)i;
    return -1;
}

static void in_a_thread(void *(*run)(void *), struct walked *walked)
{
    pthread_t thread;
    void *result;
    assert_int_equal(thread_start(&thread, "walked", 0, run, walked), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, walked);
}

static void callers_come_innermost_first(void **state)
{
    (void)state;
    struct walked walked;
    in_a_thread(stack_walk_test_outer, &walked);
    assert_false(walked.broken);
    int inner = place_of(&walked, "stack_walk_test_inner");
    assert_true(inner > 0);
    assert_int_equal(place_of(&walked, "stack_walk_test_outer"), inner + 1);
}

static void *dig(struct walked *walked, int deep);
static void *(*volatile dig_again)(struct walked *, int) = dig; /* no compiler unrolls that */

static void *dig(struct walked *walked, int deep)
{
    void *result = deep == 0 ? stack_walk_test_outer(walked) : dig_again(walked, deep - 1);
    stack_walk_test_calls++;
    return result;
}

static void *dig_deep(void *argument)
{
    return dig(argument, 2 * (int)STACK_WALK_FRAMES_MAX);
}

static void a_deep_stack_lacks_its_outer_end(void **state)
{
    (void)state;
    struct walked walked;
    in_a_thread(dig_deep, &walked);
    assert_false(walked.broken);
    assert_int_equal(walked.count, STACK_WALK_FRAMES_MAX);
    assert_true(place_of(&walked, "stack_walk_test_inner") > 0);
}

#if !defined(WEIR_SANITIZED) && defined(__x86_64__)

static void on_fault(int number, siginfo_t *cause, void *context)
{
    (void)cause;
    (void)context;
    stack_walk_escape();
    (void)signal(number, SIG_DFL); /* it was not a walk's: this test ends by it */
}

/* The frame pointer, by which the tables go, leads nowhere while the signal comes. */
__attribute__((noinline)) static void ask_astray(struct walked *walked)
{
    const union sigval value = {.sival_ptr = walked};
    siginfo_t cause = {.si_signo = THREAD_SAMPLE_SIGNAL, .si_code = SI_QUEUE};
    cause.si_value = value;
    long result, process_id = getpid(), thread_id = gettid();
    register long process __asm__("rdi") = process_id;
    register long thread __asm__("rsi") = thread_id;
    register long number __asm__("rdx") = THREAD_SAMPLE_SIGNAL;
    register void *what __asm__("r10") = &cause;
    __asm__ volatile("mov %%rbp, %%r12\n\t"
                     "mov $0x10, %%ebp\n\t"
                     "syscall\n\t"
                     "mov %%r12, %%rbp"
                     : "=a"(result)
                     : "a"(297L), "r"(process), "r"(thread), "r"(number), "r"(what)
                     : "rcx", "r11", "r12", "memory");
    assert_int_equal(result, 0); /* of rt_tgsigqueueinfo(2) */
}

static void *go_astray(void *argument)
{
    struct walked *walked = argument;
    for (int i = 0; i < 100; i++) {
        memset(walked, 0, sizeof *walked);
        ask_astray(walked);
        assert_true(walked->broken);
        assert_int_equal(walked->count, 1);
        stack_walk_test_outer(walked);
        assert_false(walked->broken);
    }
    return argument;
}

static void a_stack_that_lies_breaks_the_walk_and_nothing_else(void **state)
{
    (void)state;
    struct walked walked;
    handle(SIGSEGV, on_fault);
    in_a_thread(go_astray, &walked);
    (void)signal(SIGSEGV, SIG_DFL);
    assert_int_equal(place_of(&walked, "stack_walk_test_outer"),
                     place_of(&walked, "stack_walk_test_inner") + 1);
}

static void a_thread_without_a_net_is_not_walked(void **state)
{
    (void)state;
    struct walked walked;
    ask(&walked); /* of the test's own thread, which nobody prepared */
    assert_true(walked.broken);
    assert_int_equal(walked.count, 1);
    assert_true(walked.frames[0] != 0);
}

static volatile sig_atomic_t faults;

static void on_own_fault(int number, siginfo_t *cause, void *context)
{
    (void)number;
    (void)cause;
    (void)context;
    stack_walk_escape();
    faults++;
}

static void *fault(void *argument)
{
    stack_walk_test_outer(argument); /* a walk that ended leaves no way out */
    (void)raise(SIGSEGV);
    return argument;
}

static void a_fault_that_is_not_a_walks_is_the_handlers(void **state)
{
    (void)state;
    struct walked walked;
    handle(SIGSEGV, on_own_fault);
    in_a_thread(fault, &walked);
    (void)signal(SIGSEGV, SIG_DFL);
    assert_int_equal(faults, 1);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callers_come_innermost_first),
        cmocka_unit_test(a_deep_stack_lacks_its_outer_end),
#if !defined(WEIR_SANITIZED) && defined(__x86_64__)
        cmocka_unit_test(a_stack_that_lies_breaks_the_walk_and_nothing_else),
        cmocka_unit_test(a_thread_without_a_net_is_not_walked),
        cmocka_unit_test(a_fault_that_is_not_a_walks_is_the_handlers),
#endif
    };
    stack_walk_prepare();
    handle(THREAD_SAMPLE_SIGNAL, on_ask);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
