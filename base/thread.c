/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const int thread_fault_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS, 0};

#define FAULT_MARK UINT64_C(0x77656972666c7401)

struct beginning {
    void *(*run)(void *argument);
    void *argument;
    char name[THREAD_NAME_MAX + 1];
};

int thread_fault_stack_set(void *storage, stack_t *ret_before)
{
    *(struct thread_fault_head *)storage = (struct thread_fault_head){.mark = FAULT_MARK};
    return sigaltstack(&(const stack_t){.ss_sp = storage, .ss_size = THREAD_FAULT_STACK_BYTES},
                       ret_before);
}

struct thread_fault_head *thread_fault_head(void)
{
    stack_t stack;
    if (sigaltstack(NULL, &stack) != 0 || (stack.ss_flags & SS_DISABLE) != 0 ||
        stack.ss_size != THREAD_FAULT_STACK_BYTES)
        return NULL;
    struct thread_fault_head *head = stack.ss_sp;
    return head->mark == FAULT_MARK ? head : NULL;
}

/* The fault stack lies at the far end from where this thread's own would overflow. Sanitizers have
 * one of theirs, which they unmap by what they find set: hence back to it. */
static void *begin(void *argument)
{
    struct beginning beginning = *(struct beginning *)argument;
    free(argument);
    (void)pthread_setname_np(pthread_self(), beginning.name);
#ifdef WEIR_SANITIZED
    return beginning.run(beginning.argument);
#else
    _Alignas(max_align_t) char storage[THREAD_FAULT_STACK_BYTES];
    stack_t before;
    int set = thread_fault_stack_set(storage, &before); /* else a fault is handled where it is */
    void *result = beginning.run(beginning.argument);
    if (set == 0)
        (void)sigaltstack(&before, NULL);
    return result;
#endif
}

int thread_start(pthread_t *ret, const char *name, size_t stack_bytes, void *(*run)(void *argument),
                 void *argument)
{
    pthread_attr_t attributes;
    sigset_t blocked, before;
    struct beginning *beginning = malloc(sizeof *beginning);
    if (beginning == NULL)
        return ENOMEM;
    *beginning = (struct beginning){.run = run, .argument = argument};
    (void)snprintf(beginning->name, sizeof beginning->name, "%s", name);
    int failed = pthread_attr_init(&attributes);
    if (failed != 0) {
        free(beginning);
        return failed;
    }
    if (stack_bytes > 0)
        (void)pthread_attr_setstacksize(&attributes, stack_bytes);
    (void)sigfillset(&blocked);
    for (const int *signal = thread_fault_signals; *signal != 0; signal++)
        (void)sigdelset(&blocked, *signal);
    (void)sigdelset(&blocked, THREAD_SAMPLE_SIGNAL);
    (void)pthread_sigmask(SIG_SETMASK, &blocked, &before); /* a thread is born with it */
    failed = pthread_create(ret, &attributes, begin, beginning);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    if (failed != 0)
        free(beginning);
    return failed;
}

int thread_start_numbered(pthread_t *ret, const char *name, uint32_t number,
                          void *(*run)(void *argument), void *argument)
{
    char numbered[THREAD_NAME_MAX + 1];
    (void)snprintf(numbered, sizeof numbered, "%s-%u", name, number);
    return thread_start(ret, numbered, 0, run, argument);
}
