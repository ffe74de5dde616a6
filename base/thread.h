/* SPDX-License-Identifier: Apache-2.0 */
/* thread.h -- how every thread but the first begins: named, deaf to signals, ready for a fault.
 *
 * Signals that ask something of the process are the main thread's and are blocked in all others.
 * THREAD_SAMPLE_SIGNAL is not: a profile's timers send it to the very thread whose time they count,
 * which it asks where it is. While no profile runs it is ignored, and never sent.
 * Those that a fault raises in the thread itself (SIGSEGV and its like) are never blocked: the
 * kernel would end the process without a word, and the report of the crash would be lost. They are
 * handled on a stack of their own, so that an overflowed one can be reported too. */
#ifndef WEIR_BASE_THREAD_H
#define WEIR_BASE_THREAD_H

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#define THREAD_NAME_MAX          15u           /* what the kernel keeps */
#define THREAD_FAULT_STACK_BYTES (32u * 1024u) /* a frame with all AVX-512 and AMX state takes 12 */
#define THREAD_SAMPLE_SIGNAL     SIGPROF

/* Starts a thread. stack_bytes 0: the system's default. 0 or an errno, as pthread_create(). */
int thread_start(pthread_t *ret, const char *name, size_t stack_bytes, void *(*run)(void *argument),
                 void *argument);
/* The same with "-NUMBER" behind the name: "worker-3". */
int thread_start_numbered(pthread_t *ret, const char *name, uint32_t number,
                          void *(*run)(void *argument), void *argument);

/* The far end of a fault stack, where a handler finds what is its thread's own: there is no other
 * memory of a thread's that it could find without a mutable global. */
struct thread_fault_head {
    uint64_t mark;
    void *volatile escape; /* stack_walk.c: where to go on after a fault; NULL for nowhere */
};
/* Has faults of this thread handled on `storage`, THREAD_FAULT_STACK_BYTES that are aligned as
 * malloc()'s. 0, and *ret_before is what was set; or -1. */
int thread_fault_stack_set(void *storage, stack_t *ret_before);
/* Of the calling thread; NULL for one that was not begun here. Handlers of signals may. */
struct thread_fault_head *thread_fault_head(void);

/* The signals of faults, ended by 0. */
extern const int thread_fault_signals[];

#endif
