/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const int thread_fault_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS, 0};

struct beginning {
    void *(*run)(void *argument);
    void *argument;
    char name[THREAD_NAME_MAX + 1];
};

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
    char storage[THREAD_FAULT_STACK_BYTES];
    const stack_t fault = {.ss_sp = storage, .ss_size = sizeof storage};
    stack_t before;
    int set = sigaltstack(&fault, &before); /* without it a fault is handled where it happened */
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
