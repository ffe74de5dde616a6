/* SPDX-License-Identifier: Apache-2.0 */
/* ring.h -- a bounded queue of pointers between threads, without locks.
 *
 * Many producers, many consumers (D. Vyukov's bounded MPMC queue): each slot carries the turn at
 * which it may next be written or read, so a push or a pop is one compare-and-swap and never
 * waits for a thread that sleeps. Order is kept for each producer. Ownership of what a pointer
 * names moves with it. Waking the consumer is the caller's affair (an eventfd, usually). */
#ifndef WEIR_BASE_RING_H
#define WEIR_BASE_RING_H

#include <stdbool.h>
#include <stddef.h>

struct ring;

/* capacity: a power of two, 2 or more. NULL when there is no memory. */
struct ring *ring_new(size_t capacity);
void ring_free(struct ring *ring); /* NULL is fine; what is still queued is not freed */

/* Any thread. False when full: the caller keeps the item. The item must not be NULL. */
bool ring_push(struct ring *ring, void *item);
/* Any thread. NULL when empty. */
void *ring_pop(struct ring *ring);

#endif
