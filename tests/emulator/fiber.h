/* SPDX-License-Identifier: Apache-2.0 */
/* fiber.h -- a CUDA thread: a stack of its own, and what it waits for. */
#ifndef WEIR_EMULATOR_FIBER_H
#define WEIR_EMULATOR_FIBER_H

#include "copy_async.h"
#include "include/emulator/engine.h"

#include <string.h>

enum fiber_state { FIBER_READY, FIBER_AT_BARRIER, FIBER_IN_WARP, FIBER_DONE };

/* Where execution stands that a fiber was switched to from: another fiber or a worker. */
struct context {
    void *stack_pointer;
    const void *stack; /* lowest byte */
    size_t stack_bytes;
    void *tsan;
};

#define FENCED_ATOMICS_MAX 8u /* of one thread, between two fences */

struct fiber {
    struct context context;
    uint3 thread_index;
    unsigned index; /* in the block */
    enum fiber_state state;
    struct emulator_site site;             /* where it waits */
    const struct emulator_warp_call *call; /* on its stack, while it is in one */
    uint32_t mask;                         /* of those that there are */
    char *warp_order; /* what the collective hands over from and to under TSan */
    int barrier_result;
    struct copy_queue copies;
    char fence_order; /* what its last fence published */
    bool fenced;
    const void *observed[FENCED_ATOMICS_MAX]; /* atomics since the last fence */
    unsigned observed_count;
};

static inline bool is_same_site(struct emulator_site a, struct emulator_site b)
{
    return a.line == b.line && (a.file == b.file || strcmp(a.file, b.file) == 0);
}

/* A fiber runs `entry` when it is first switched to; entry never returns. */
struct fiber *fiber_new(unsigned index, void (*entry)(void));
/* Saves the state of `from` and goes on in `to`; returns when something switches back. */
void fiber_switch(struct context *from, struct context *to);
/* The one that runs on this thread of the machine; NULL outside kernels (block.c). */
struct fiber *fiber_current(void);
/* To be called first in entry. */
void fiber_arrived(struct context *previous);

#endif
