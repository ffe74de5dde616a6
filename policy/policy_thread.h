/* SPDX-License-Identifier: Apache-2.0 */
/* policy_thread.h -- the thread that waits for the disk, so that no worker does.
 *
 * It sleeps until somebody pokes it or a second has passed: then it commits the journal, and once a
 * second it turns usage_tick(). What was asked for during a commit goes with the next one. */
#ifndef WEIR_POLICY_POLICY_THREAD_H
#define WEIR_POLICY_POLICY_THREAD_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct usage;
struct policy_thread;

struct policy_thread_config {
    struct usage *usage; /* borrowed; nobody else commits or ticks it while the thread runs */
    /* On the thread, after more is on disk, or failed to be; must not block. NULL: nobody asks. */
    void (*on_durable)(void *argument);
    void *argument;
    /* On the thread, between commits; does a short piece of something else, and returns after how
     * many milliseconds it wants to go on. NULL: there is nothing else. */
    uint32_t (*turn)(void *argument, int64_t now_unix_us);
    void *turn_argument;
};

struct policy_thread *policy_thread_new(const struct policy_thread_config *config,
                                        struct error *err);
void policy_thread_free(struct policy_thread *thread); /* ends and joins it; NULL is fine */

/* Something waits to be committed. Any thread; a system call only where the thread sleeps. */
void policy_thread_poke(struct policy_thread *thread);
/* The last commit failed: who waits for a disk that is broken would wait for good. Any thread. */
bool policy_thread_failing(const struct policy_thread *thread);

#endif
