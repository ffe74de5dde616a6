/* SPDX-License-Identifier: Apache-2.0 */
/* stack_walk.h -- who called whom, asked by a handler of signals in the middle of anything.
 *
 * Nothing here allocates or locks. A walk goes by the unwind tables, so it sees through libraries
 * that keep no frame pointer, and costs tens of microseconds by estimate. */
#ifndef WEIR_BASE_STACK_WALK_H
#define WEIR_BASE_STACK_WALK_H

#include <stdbool.h>
#include <stdint.h>

#define STACK_WALK_FRAMES_MAX 64u

/* Once, in ordinary code, before the first walk: what that loads and allocates is had now. */
void stack_walk_prepare(void);
/* Where the thread was interrupted: `context` is the handler's third argument. */
uintptr_t stack_walk_place(const void *context);
/* That place, then its callers, innermost first; returns how many, 1 or more. *ret_broken: the
 * stack did not hold what the tables say of it, or the thread is none of thread_start()'s; then
 * there is the place alone. A stack that is deeper lacks its outermost callers. */
uint32_t stack_walk(const void *context, uintptr_t frames[STACK_WALK_FRAMES_MAX], bool *ret_broken);
/* For the handler of faults, before all else: does not return when the fault was a walk's. */
void stack_walk_escape(void);

#endif
