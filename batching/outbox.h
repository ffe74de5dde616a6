/* SPDX-License-Identifier: Apache-2.0 */
/* outbox.h -- what an engine sends to its workers: events, one batch a worker and step.
 *
 * Room is reserved before the step that makes the events runs, so that no drawn token is lost for
 * want of memory; events outside of steps bring their own room (sequence.last_words). The engine
 * thread sends; each worker receives its own. */
#ifndef WEIR_BATCHING_OUTBOX_H
#define WEIR_BATCHING_OUTBOX_H

#include "batching/engine.h"

#include <stdbool.h>
#include <stdint.h>

struct outbox;

struct outbox *outbox_new(uint32_t workers); /* NULL without memory */
void outbox_free(struct outbox *outbox);     /* with what was not received; NULL is fine */

/* -- the engine thread -- */

/* Room for `count` events for the worker in this step; false without memory, nothing changed. */
bool outbox_reserve(struct outbox *outbox, uint32_t worker, uint32_t count);
/* The next reserved event, zeroed; to be filled before anything else is called. */
struct generation_event *outbox_next(struct outbox *outbox, uint32_t worker);
/* A batch of its own, after all events so far; taken. */
void outbox_append(struct outbox *outbox, uint32_t worker, struct generation_events *batch);
/* Hands over everything since the last call, and wakes each worker that got something once. */
void outbox_deliver(struct outbox *outbox, void (*wake)(void *wake_argument, uint32_t worker),
                    void *wake_argument);

/* -- the worker's thread -- */

/* Oldest first; NULL if there is nothing. The caller frees each. */
struct generation_events *outbox_receive(struct outbox *outbox, uint32_t worker);

#endif
