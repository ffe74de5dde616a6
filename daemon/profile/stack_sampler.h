/* SPDX-License-Identifier: Apache-2.0 */
/* stack_sampler.h -- where this process's threads spend their time, asked of them while they do.
 *
 * One in a process at a time. All calls are one thread's, the profile's, which is not sampled;
 * what the sampled threads do in a handler of signals is in stack_sampler.c. */
#ifndef WEIR_DAEMON_PROFILE_STACK_SAMPLER_H
#define WEIR_DAEMON_PROFILE_STACK_SAMPLER_H

#include "base/error.h"
#include "base/stack_walk.h"
#include "base/thread.h"

#include <stdbool.h>
#include <stdint.h>

#define STACK_SAMPLER_THREADS_MAX 4096u /* further ones are not sampled, and counted */

struct stack_sampler;

struct sample {
    char thread[THREAD_NAME_MAX + 1];
    uint32_t ticks; /* of the clock since its last sample: 1, or more on a coarse clock */
    uint32_t frame_count;
    bool broken; /* the stack could not be walked: there is its innermost place alone */
    uintptr_t
        frames[STACK_WALK_FRAMES_MAX]; /* innermost first; all but that are return addresses */
};

struct stack_sampler_counts {
    uint64_t lost;     /* ticks for which there was no room */
    uint32_t threads;  /* sampled, those included that have ended */
    uint32_t left_out; /* not sampled: too many, or the system gave no timer */
};

/* Threads that take its signal may outlive a stop, and not this. */
struct stack_sampler *stack_sampler_new(struct error *err);
void stack_sampler_free(struct stack_sampler *sampler); /* stopped; NULL is fine */

/* Every thread from now on, `hz` times in a second of its own processor time. */
int stack_sampler_start(struct stack_sampler *sampler, uint32_t hz, struct error *err);
/* Threads that were begun since. A few times a second. */
void stack_sampler_look(struct stack_sampler *sampler);
/* The next sample; false when there is none. While it runs, and after. */
bool stack_sampler_take(struct stack_sampler *sampler, struct sample *ret);
/* When it returns no handler runs, and none will. What was sampled can still be taken. */
void stack_sampler_stop(struct stack_sampler *sampler);
/* Frees what samples lie in. */
void stack_sampler_clear(struct stack_sampler *sampler);

void stack_sampler_counts(const struct stack_sampler *sampler, struct stack_sampler_counts *ret);

#endif
