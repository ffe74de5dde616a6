/* SPDX-License-Identifier: Apache-2.0 */
/* tokens_store.h -- tokens by tenant, model and day of UTC: tokens.db in the state folder, SQLite.
 *
 * Days become months when they are too old to be told apart; months go after TOKENS_KEEP_MONTHS.
 * Accounting, no evidence: nothing is sealed. A tenant's name is what the operator calls an API
 * key's owner, and no user's. One thread at a time; another process may read at the same time. */
#ifndef WEIR_POLICY_TOKENS_STORE_H
#define WEIR_POLICY_TOKENS_STORE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define TOKENS_FILE        "tokens.db"
#define TOKENS_KEEP_MONTHS 36u
#define TOKENS_ROWS_MAX    65536u /* of one month, that are read */

struct tokens_store;

/* Makes the file, 0600, when it is missing and `make` says so; else ERROR_NOT_FOUND. ERROR_INVALID,
 * with a remedy, for a file that is none of ours, of a later format, or damaged. */
struct tokens_store *tokens_store_open(const char *folder, bool make, struct error *err);
void tokens_store_close(struct tokens_store *store); /* NULL is fine; what is open is undone */

struct token_counts {
    uint64_t requests, prompt, cached, generated; /* cached: of the prompt tokens */
};
struct token_row {
    const char *tenant, *model; /* "" for no tenant */
    struct token_counts counts;
};

/* All that is added in between stays, or nothing of it. Durable with the commit. */
int tokens_store_begin(struct tokens_store *store, struct error *err);
int tokens_store_add(struct tokens_store *store, uint32_t day, const struct token_row *row,
                     struct error *err);
int tokens_store_commit(struct tokens_store *store, struct error *err); /* on failure: undone */
void tokens_store_rollback(struct tokens_store *store);

/* Puts the oldest day into its month, if it is more than keep_days old, and removes what is older
 * than months are kept. ret_more: there may be another such day. */
int tokens_store_age(struct tokens_store *store, uint32_t today, uint32_t keep_days, bool *ret_more,
                     struct error *err);

/* A month's rows by tenant and model; strings are borrowed until the next one. A callback that
 * returns false ends it. month: as calendar.h numbers them. */
int tokens_store_read(struct tokens_store *store, uint32_t month,
                      bool (*on_row)(void *argument, const struct token_row *row), void *argument,
                      struct error *err);

#endif
