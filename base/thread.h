/* SPDX-License-Identifier: Apache-2.0 */
/* thread.h -- how every thread but the first begins: named, deaf to signals, ready for a fault.
 *
 * Signals that ask something of the process are the main thread's and are blocked in all others.
 * Those that a fault raises in the thread itself (SIGSEGV and its like) are never blocked: the
 * kernel would end the process without a word, and the report of the crash would be lost. They are
 * handled on a stack of their own, so that an overflowed one can be reported too. */
#ifndef WEIR_BASE_THREAD_H
#define WEIR_BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define THREAD_NAME_MAX          15u           /* what the kernel keeps */
#define THREAD_FAULT_STACK_BYTES (32u * 1024u) /* a frame with all AVX-512 and AMX state takes 12 */

/* Starts a thread. stack_bytes 0: the system's default. 0 or an errno, as pthread_create(). */
int thread_start(pthread_t *ret, const char *name, size_t stack_bytes, void *(*run)(void *argument),
                 void *argument);
/* The same with "-NUMBER" behind the name: "worker-3". */
int thread_start_numbered(pthread_t *ret, const char *name, uint32_t number,
                          void *(*run)(void *argument), void *argument);

/* The signals of faults, ended by 0. */
extern const int thread_fault_signals[];

#endif
