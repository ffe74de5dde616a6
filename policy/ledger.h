/* SPDX-License-Identifier: Apache-2.0 */
/* ledger.h -- evidence, kept in order: licence verdicts and acknowledgements, in SQLite.
 *
 * ledger.db in the state folder. A row is a JSON body with its time, kind and model; each carries
 * the SHA-256 over its own fields and the hash of the row before it, so that a row changed, taken
 * out or put in later shows (ledger_verify). Rows are never updated. One connection, one thread at
 * a time: main's. */
#ifndef WEIR_POLICY_LEDGER_H
#define WEIR_POLICY_LEDGER_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct ledger;

/* Makes the file when it is missing. ERROR_INVALID, with a remedy, for a file that is no ledger,
 * of a later format, or damaged. */
struct ledger *ledger_open(const char *folder, struct error *err);
void ledger_close(struct ledger *ledger); /* NULL is fine */

/* Appends unless the newest row of that kind and model has the same body. Durable when it
 * returns. ret_appended may be NULL. */
int ledger_append(struct ledger *ledger, int64_t at_unix, const char *kind, const char *model,
                  const char *body, bool *ret_appended, struct error *err);

struct ledger_row {
    int64_t sequence, at_unix;
    const char *kind, *model, *body, *hash; /* borrowed until the next row */
};
/* In order; a callback that returns false ends it. kind NULL: all. */
int ledger_read(struct ledger *ledger, const char *kind,
                bool (*on_row)(void *argument, const struct ledger_row *row), void *argument,
                struct error *err);

/* Recomputes the chain. ERROR_INVALID names the first row that does not fit. */
int ledger_verify(struct ledger *ledger, int64_t *ret_rows, struct error *err);

#endif
