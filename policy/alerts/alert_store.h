/* SPDX-License-Identifier: Apache-2.0 */
/* alert_store.h -- what the watches remember, beside the messages that they cause.
 *
 * Rows of outbox.db, so that a watch and its messages change in one transaction: a crash leaves
 * both or neither, and an evaluation done again says the same again. Rules are kept by name; one
 * that is new begins quiet, one that is gone is left alone. The outbox's thread. */
#ifndef WEIR_POLICY_ALERTS_ALERT_STORE_H
#define WEIR_POLICY_ALERTS_ALERT_STORE_H

#include "policy/alerts/alert.h"
#include "policy/alerts/outbox.h"

#include <stdint.h>

struct alert_store;

/* outbox: borrowed; must outlive the store. */
struct alert_store *alert_store_new(struct outbox *outbox, struct error *err);
void alert_store_free(struct alert_store *store); /* NULL is fine */

/* A watch of which nothing is kept yet is all zero. ERROR_INVALID for a state that no evaluation
 * leaves behind. */
int alert_store_load(struct alert_store *store, const char *condition, const char *scope,
                     struct alert_watch *ret, struct error *err);

struct alert_change {
    const char *condition, *scope;
    const struct alert_watch *watch;
    const struct outbox_message *messages; /* of the events that changed it; may be none */
    uint32_t message_count;
};
/* All of it, durable when it returns, or nothing. ERROR_BUSY when the outbox is full. */
int alert_store_save(struct alert_store *store, const struct alert_change *change, int64_t now_ms,
                     struct error *err);

#endif
