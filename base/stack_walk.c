/* SPDX-License-Identifier: Apache-2.0 */
/* stack_walk.c -- a walk that may fail, and may not crash.
 *
 * There are two ways up a stack. Frame pointers take a nanosecond a frame; our own code has them,
 * and libc, jemalloc and OpenSSL do not: there the walk ends, or loses the very caller that asked
 * for the memory. Unwind tables (backtrace(), which is libgcc's) lead through everything that a
 * compiler made, take a microsecond a frame, and are believed blindly: code that says one thing of
 * its stack and does another sends libgcc to an address that is not there. We take the tables, and
 * the fault with them: before a walk the thread leaves where to go on in the head of its fault
 * stack; the handler of SIGSEGV and SIGBUS finds it there and jumps (stack_walk_escape).
 *
 *     sample signal -> stack_walk -> backtrace -> fault -> on_fault -> escape -.
 *                           ^---------------- "broken" -----------------------'
 *
 * The jump leaves nothing behind: since glibc 2.35 and gcc 12 libgcc finds the tables without a
 * lock (_dl_find_object), and keeps all else on the stack. Where libraries are older, it locks the
 * loader, and a walk that interrupts a dlopen() would wait for ever.
 *
 * Sanitizers have fault handlers of their own; under them a walk goes without the net. */
#include "base/stack_walk.h"

#include "base/thread.h"

#include <execinfo.h>
#include <setjmp.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

#define HANDLER_FRAMES_MAX 8 /* of the handler and what called it, above the interrupted place */
#define WALKED_MAX         ((int)STACK_WALK_FRAMES_MAX + HANDLER_FRAMES_MAX)

void stack_walk_prepare(void)
{
    void *frame;
    (void)backtrace(&frame, 1);
}

uintptr_t stack_walk_place(const void *context)
{
    const ucontext_t *at = context;
#if defined(__x86_64__)
    return (uintptr_t)at->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uintptr_t)at->uc_mcontext.pc;
#else
    (void)at;
    return 0;
#endif
}

void stack_walk_escape(void)
{
    struct thread_fault_head *head = thread_fault_head();
    if (head == NULL || head->escape == NULL)
        return;
    void *escape = head->escape;
    head->escape = NULL;
    siglongjmp(*(sigjmp_buf *)escape, 1);
}

/* -1 when it was broken off. */
static int walk(void *walked[WALKED_MAX])
{
#ifdef WEIR_SANITIZED
    return backtrace(walked, WALKED_MAX);
#else
    struct thread_fault_head *head = thread_fault_head();
    sigjmp_buf escape;
    if (head == NULL || sigsetjmp(escape, 1) != 0)
        return -1;
    head->escape = &escape;
    int count = backtrace(walked, WALKED_MAX);
    head->escape = NULL;
    return count;
#endif
}

/* A walk begins with the handler itself. Where the place is not found behind it (thread sanitizers
 * deliver signals later than they come), the callers are those of the handler. */
uint32_t stack_walk(const void *context, uintptr_t frames[STACK_WALK_FRAMES_MAX], bool *ret_broken)
{
    void *walked[WALKED_MAX];
    uintptr_t place = stack_walk_place(context);
    int count = walk(walked), first = 0;
    uint32_t kept = 0;
    frames[kept++] = place;
    *ret_broken = count < 0;
    for (int i = 0; i < count && i < HANDLER_FRAMES_MAX; i++)
        if ((uintptr_t)walked[i] == place)
            first = i;
    for (int i = first + 1; i < count && kept < STACK_WALK_FRAMES_MAX; i++)
        frames[kept++] = (uintptr_t)walked[i];
    return kept;
}
