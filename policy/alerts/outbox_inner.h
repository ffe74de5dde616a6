/* SPDX-License-Identifier: Apache-2.0 */
/* outbox_inner.h -- what alert_store.c shares with outbox.c: the connection, and how SQLite's
 * answers become errors. Keeping both in one file is what lets the state of an alert and its
 * messages change in one transaction. */
#ifndef WEIR_POLICY_ALERTS_OUTBOX_INNER_H
#define WEIR_POLICY_ALERTS_OUTBOX_INNER_H

#include "policy/alerts/outbox.h"

#include <sqlite3.h>

sqlite3 *outbox_connection(struct outbox *outbox);

/* The error of the connection's newest call. */
int outbox_fault(struct outbox *outbox, struct error *err);
int outbox_execute(struct outbox *outbox, const char *sql, struct error *err);
int outbox_prepare(struct outbox *outbox, const char *sql, sqlite3_stmt **ret, struct error *err);
/* Steps a statement that answers with no rows, and resets it with its bindings. */
int outbox_step(struct outbox *outbox, sqlite3_stmt *statement, struct error *err);

#endif
