/* SPDX-License-Identifier: Apache-2.0 */
/* crash.h -- a process that dies of a fault says in one line where.
 *
 *     event=crash signal=SIGSEGV address=0x10 thread=worker-0 version=0.1.0 build_id=ec29...
 *         pid=7 unix_s=1800000000 at=weir+0x41e20 backtrace=weir+0x41e20,libc.so.6+0x...
 *
 * (one line, on standard error, whatever log.format is). `addr2line -e weir 0x41e20`, with the weir
 * of that build id, names the line. Then the signal has its default effect: the status, and a core
 * where LimitCORE= allows one, are as if nobody had looked. Under a sanitizer, whose own reports
 * are better, this does nothing. */
#ifndef WEIR_DAEMON_CRASH_H
#define WEIR_DAEMON_CRASH_H

/* For the whole process. fault_stack: the main thread's (thread.h has the others'), which lives as
 * long as the process: THREAD_FAULT_STACK_BYTES, aligned as malloc()'s. Before threads are made,
 * for it loads what backtrace() needs. */
void crash_prepare(void *fault_stack);

#endif
