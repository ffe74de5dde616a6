/* SPDX-License-Identifier: Apache-2.0 */
/* ledger.h -- evidence, kept in order: licence verdicts and acknowledgements, in SQLite.
 *
 * ledger.db in the state folder. A row is a JSON body with its time, kind, model and subject; each
 * carries the SHA-256 over its own fields and the hash of the row before it, so that a row changed,
 * taken out or put in later shows (ledger_verify). Rows are never updated. One connection, one
 * thread at a time: main's. */
#ifndef WEIR_POLICY_LEDGER_H
#define WEIR_POLICY_LEDGER_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define LEDGER_FILE           "ledger.db"
#define LEDGER_BODY_BYTES_MAX (1u << 20)
#define LEDGER_HASH_BYTES     65 /* hexadecimal, NUL-terminated */

struct ledger;

/* Makes the file, 0600, when it is missing. ERROR_INVALID, with a remedy, for a file that is no
 * ledger, of a later format, or damaged. */
struct ledger *ledger_open(const char *folder, struct error *err);
void ledger_close(struct ledger *ledger); /* NULL is fine; a transaction left open is undone */

struct ledger_entry {
    int64_t at_unix;
    const char *kind;    /* "license_verdict" */
    const char *model;   /* the served id */
    const char *subject; /* what of the model, "" for all of it: a condition's id */
    const char *body;    /* JSON, at most LEDGER_BODY_BYTES_MAX */
};
/* Appends unless the newest row of that kind, model and subject has the same body. Durable when it
 * returns; between ledger_begin() and ledger_commit() with the commit. ret_appended may be NULL. */
int ledger_append(struct ledger *ledger, const struct ledger_entry *entry, bool *ret_appended,
                  struct error *err);

/* All that is appended in between stays, or nothing of it. */
int ledger_begin(struct ledger *ledger, struct error *err);
int ledger_commit(struct ledger *ledger, struct error *err); /* on failure: undone */
void ledger_rollback(struct ledger *ledger);

struct ledger_row {
    int64_t sequence, at_unix;
    const char *kind, *model, *subject, *body, *hash; /* borrowed until the next row */
};
/* In order; a callback that returns false ends it. kind NULL: all. */
int ledger_read(struct ledger *ledger, const char *kind,
                bool (*on_row)(void *argument, const struct ledger_row *row), void *argument,
                struct error *err);

/* Recomputes the chain. ERROR_INVALID names the first row that does not fit. */
int ledger_verify(struct ledger *ledger, int64_t *ret_rows, struct error *err);

#endif
