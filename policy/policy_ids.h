/* SPDX-License-Identifier: Apache-2.0 */
/* policy_ids.h -- what admission knows of ids beside counting them. Internal to policy.c and
 * policy_watch.c.
 *
 * A key that sprays is under a flag for the day and the day after. Meanwhile what its requests
 * assert counts in the best and the upper view alone, by the same hash as ever, so that nobody is
 * counted twice: a new tenant's first day looks like spraying too, and its people are people. What
 * it had asserted before stays: a counter forgets nobody. So one key adds at most a window of ids a
 * worker to the lower view, and that only where tenants are trusted; else nothing asserted is ever
 * in it. */
#ifndef WEIR_POLICY_POLICY_IDS_H
#define WEIR_POLICY_POLICY_IDS_H

#include "base/error.h"
#include "policy/policy_config.h"
#include "policy/policy_moment.h"
#include "policy/policy_users.h"
#include "policy/users/identity.h"
#include "policy/users/siphash.h"
#include "policy/users/usage.h"

#include <stdint.h>

struct ledger;
struct policy_ids;

struct policy_ids_config {
    const struct policy_identity *rules;
    const char *folder; /* borrowed */
    const uint8_t *key; /* borrowed: SIPHASH_KEY_BYTES, of the keys that requests come by */
    /* Borrowed: years' keys are its own; what the fleet counted is known, too; notes go there. */
    struct usage *usage;
    uint32_t worker_count; /* 0: 1 */
};
struct policy_ids *policy_ids_new(const struct policy_ids_config *config, struct error *err);
void policy_ids_free(struct policy_ids *ids); /* NULL is fine */

struct policy_id {
    struct identity identity;
    uint64_t key; /* that the request came by */
    uint32_t day;
};
/* Who it is, and as what they count. ret_sight lacks the hash of a request that names nobody, which
 * is the caller's to make; ret_names_request: it is there already. Any thread. */
void policy_ids_see(struct policy_ids *ids, const struct policy_claims *claims,
                    const struct policy_moment *moment, struct policy_id *ret,
                    struct usage_sight *ret_sight, bool *ret_names_request);
/* After it was counted; changed: usage_count() said so. Any thread. */
void policy_ids_seen(struct policy_ids *ids, const struct policy_claims *claims,
                     const struct policy_id *id, bool changed);

struct policy_finding;
/* One finding a call of on_finding, once a day each. */
struct policy_ids_listener {
    void (*on_finding)(void *argument, const struct policy_finding *finding, int64_t now_unix_us);
    void *argument;
};
/* Policy thread, at any time; does something every few seconds. */
void policy_ids_turn(struct policy_ids *ids, int64_t now_unix_us,
                     const struct policy_ids_listener *listener);

void policy_ids_read_rules(struct policy_ids *ids, bool anyway); /* any thread */
void policy_ids_suspects(struct policy_ids *ids, uint32_t *ret_shared, uint32_t *ret_sprayed);
uint32_t policy_ids_findings(struct policy_ids *ids, struct policy_finding *ret, uint32_t capacity);

#endif
