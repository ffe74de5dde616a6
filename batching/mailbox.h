/* SPDX-License-Identifier: Apache-2.0 */
/* mailbox.h -- what workers send to an engine: generations, and cancellations.
 *
 * Bounded: max_queue generations and max_queue_tokens prompt tokens wait; beyond, ERROR_BUSY at
 * once. A cancellation is a bit in a word that the generation has had since it was posted, so it
 * needs no room and cannot fail. */
#ifndef WEIR_BATCHING_MAILBOX_H
#define WEIR_BATCHING_MAILBOX_H

#include "base/error.h"
#include "batching/pace.h"
#include "batching/sequence.h"

#include <stdbool.h>
#include <stdint.h>

struct mailbox;

struct mailbox_limits {
    uint32_t max_queue, max_queue_tokens;
    uint32_t slots; /* generations posted and not retired */
};

struct mailbox *mailbox_new(const struct mailbox_limits *limits, struct error *err);
void mailbox_free(struct mailbox *mailbox); /* NULL is fine */

/* -- any thread -- */

/* 0, ERROR_BUSY with *ret_retry_after_s (may be NULL), or ERROR_CLOSED. */
int mailbox_admission(const struct mailbox *mailbox, int32_t priority, uint32_t *ret_retry_after_s,
                      struct error *err);
/* How long a newcomer of that class would wait. */
uint64_t mailbox_wait_us(const struct mailbox *mailbox, int32_t priority);
/* Gives the generation its id and hands it over. On failure the caller keeps it. */
int mailbox_post(struct mailbox *mailbox, struct generation *generation, uint64_t *ret_id,
                 struct error *err);
/* choices: bit c for choice c. Ids that are no more are ignored. */
void mailbox_cancel(struct mailbox *mailbox, uint64_t id, uint32_t choices);
/* Nothing is accepted any more. */
void mailbox_close(struct mailbox *mailbox);
uint32_t mailbox_waiting(const struct mailbox *mailbox, uint32_t *ret_tokens);
/* Since when a generation lies here that the engine has not taken (its times.submitted_us); 0 while
 * none does. Any thread. */
uint64_t mailbox_mail_us(const struct mailbox *mailbox);

/* -- the engine thread -- */

/* The oldest generation, or NULL. */
struct generation *mailbox_take(struct mailbox *mailbox);
/* Whether anything may have been cancelled since the last call. Ask before mailbox_cancelled(). */
bool mailbox_has_cancels(struct mailbox *mailbox);
uint32_t mailbox_cancelled(const struct mailbox *mailbox, uint64_t id); /* bits of choices */
uint32_t mailbox_slot(uint64_t id);                                     /* below limits.slots */
/* Generations of that rank that wait no longer, with their prompts' tokens. */
void mailbox_left_queue(struct mailbox *mailbox, uint32_t rank, uint32_t generations,
                        uint32_t tokens);
/* The id names nothing from now on, and its slot may be used again. */
void mailbox_retire(struct mailbox *mailbox, uint64_t id);
/* What waits are reckoned with, besides those who wait. */
void mailbox_set_costs(struct mailbox *mailbox, const struct pace_costs *costs);
void mailbox_set_seats(struct mailbox *mailbox, uint32_t running, uint32_t seats);
/* Sleeps until there is mail, a cancellation, or the close; or timeout_ms, unless negative. May
 * return early. */
void mailbox_wait(struct mailbox *mailbox, int timeout_ms);
bool mailbox_closed(const struct mailbox *mailbox);
/* After the close: waits for posts under way, so that what mailbox_take() gives then is all. */
void mailbox_settle(struct mailbox *mailbox);

#endif
