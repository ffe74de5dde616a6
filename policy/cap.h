/* SPDX-License-Identifier: Apache-2.0 */
/* cap.h -- who was here already: a blocked Bloom filter, so that a cap lets known users in.
 *
 * A counting sketch cannot answer membership, so a cap has a filter of its own: blocks of 512 bits
 * (one cache line, one miss), 20 bits a user, false positives 1.9e-4 when full, false negatives
 * none. Filters of replicas join by OR. The hash is keyed apart from the counters' (another HKDF
 * purpose), so that refusals tell nothing about registers. */
#ifndef WEIR_POLICY_CAP_H
#define WEIR_POLICY_CAP_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define CAP_BITS_A_USER 20u

struct cap_filter;

/* users_max: users it is sized for. Memory from one anonymous map with huge pages asked for. */
struct cap_filter *cap_filter_new(uint64_t users_max, struct error *err);
void cap_filter_free(struct cap_filter *filter);                     /* NULL is fine */
bool cap_filter_has(const struct cap_filter *filter, uint64_t hash); /* any thread, no lock */
bool cap_filter_add(struct cap_filter *filter, uint64_t hash);       /* any thread; true: was new */
void cap_filter_join(struct cap_filter *into, const struct cap_filter *from); /* same size */
void cap_filter_reset(struct cap_filter *filter);
uint64_t cap_filter_bytes(const struct cap_filter *filter);
/* The expected share of new users taken for known ones after so many were added. */
double cap_filter_error(const struct cap_filter *filter, uint64_t users);

/* -- The decision: known users always pass, new ones take a ticket while there are any. -- */

enum cap_answer { CAP_KNOWN, CAP_TAKEN, CAP_REFUSED };

struct cap; /* one scope: the filter, the tickets left, whether it is armed */

struct cap_config {
    uint64_t users_cap;
    bool fail_open; /* with no tickets and no store to ask: let new users in, and say so */
};
struct cap *cap_new(const struct cap_config *config, struct error *err);
void cap_free(struct cap *cap);
/* At the first of a month: everyone is new again. `counted`: users already counted, when armed
 * late; arming late grandfathers only those seen since. */
void cap_arm(struct cap *cap, uint32_t month, uint64_t counted);
enum cap_answer cap_admit(struct cap *cap, uint64_t hash); /* any thread, no lock */
/* Tickets leased from the fleet's store; without a fleet, users_cap - counted once. */
void cap_grant(struct cap *cap, uint64_t tickets);
uint64_t cap_return(struct cap *cap); /* takes back what is left, to be given to the store */
uint64_t cap_tickets(const struct cap *cap);

#endif
