/* SPDX-License-Identifier: Apache-2.0 */
/* policy_tokens.h -- tokens and requests by tenant, model and day (UTC), for accounting.
 *
 * A worker adds to its own table: no lock, no system call, and no allocation but at its first use.
 * The policy thread takes what is new of each into tokens.db, about every TOKENS_FOLD_S seconds: a
 * killed process or a power cut loses those seconds of them and no more, and what ends within them
 * around midnight may be of the day after. (Users are not counted here: none of those is lost.)
 *
 * Days are kept users.keep_days, then as months, those TOKENS_KEEP_MONTHS (tokens_store.h). Past
 * TOKENS_TENANTS_MAX tenants that a worker has seen since the start, further ones are counted
 * together, as TOKENS_REST. */
#ifndef WEIR_POLICY_POLICY_TOKENS_H
#define WEIR_POLICY_POLICY_TOKENS_H

#include "base/error.h"
#include "policy/tokens_store.h"

#include <stdbool.h>
#include <stdint.h>

#define TOKENS_FOLD_S           5u
#define TOKENS_TENANTS_MAX      255u
#define TOKENS_TENANT_BYTES_MAX 128u
#define TOKENS_WORKERS_MAX      256u
#define TOKENS_REST             "(other tenants)"

struct policy;
struct policy_model;

struct policy_tokens_use {
    const char *tenant; /* "" for none; a longer name than the limit is one of the rest */
    uint32_t worker;    /* of the calling thread; below TOKENS_WORKERS_MAX */
    struct token_counts counts;
};
/* After the models were added. Any worker, on its own thread. */
void policy_tokens_add(struct policy *policy, const struct policy_model *model,
                       const struct policy_tokens_use *use);

/* All that workers added since the start, a row a worker, tenant and model; rows of nothing are
 * left out. Names stay where they are as long as the policy lives. No lock. Any thread. */
void policy_tokens_each(const struct policy *policy,
                        void (*on_row)(void *argument, const struct token_row *row),
                        void *argument);

/* As tokens_store_read(); the newest seconds are not in it. The callback must not block: while it
 * runs nothing is taken over. Any thread. */
int policy_tokens_read(struct policy *policy, uint32_t month,
                       bool (*on_row)(void *argument, const struct token_row *row), void *argument,
                       struct error *err);

/* Internal to policy/: made before others, freed after all. */
struct policy_tokens;
struct policy_tokens *policy_tokens_open(const char *folder, uint32_t keep_days, struct error *err);
void policy_tokens_close(struct policy_tokens *tokens); /* NULL is fine; what is new is lost */
/* Policy thread: one worker's table, or one old day; in how many milliseconds to go on. */
uint32_t policy_tokens_turn(struct policy *policy, int64_t now_us);
/* All that is new, once nobody adds any more and the thread has ended. */
void policy_tokens_stop(struct policy *policy, int64_t now_us);

#endif
