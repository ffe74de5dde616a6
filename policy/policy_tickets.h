/* SPDX-License-Identifier: Apache-2.0 */
/* policy_tickets.h -- caps that a fleet shares: tickets leased from its store, and users who came
 * in elsewhere made known here. The fleet's thread, which alone arms, grants and takes back. */
#ifndef WEIR_POLICY_POLICY_TICKETS_H
#define WEIR_POLICY_POLICY_TICKETS_H

#include "base/error.h"
#include "policy/fleet/fleet_blob.h"

#include <stdbool.h>
#include <stdint.h>

struct enforce_cap;
struct fleet_redis;
struct policy;
struct policy_tickets;
struct tickets; /* of one cap */

/* One cap's step, with both clocks as arguments. */
struct tickets_turn {
    struct fleet_redis *redis;
    struct fleet_key *key;
    uint64_t sender;   /* this process, not 0 */
    uint32_t replicas; /* about */
    int64_t now_unix_us;
    uint64_t now_us; /* monotonic */
    bool last;       /* the process ends: tickets are given back */
};
struct tickets *tickets_new(struct enforce_cap *cap, struct error *err);
void tickets_free(struct tickets *tickets); /* NULL is fine */
/* Arms, leases, tells and hears. 0, or the first error; all is tried again with the next step. */
int tickets_step(struct tickets *tickets, const struct tickets_turn *turn, struct error *err);
/* That of the store of whom it heard: forged or damaged messages. */
uint64_t tickets_refused(const struct tickets *tickets);

/* Of all caps, as the fleet's turn. Main thread, before policy_fleet_start(); does nothing where
 * the policy is alone. */
int policy_tickets_open(struct policy *policy, struct error *err);
void policy_tickets_close(struct policy_tickets *all); /* NULL is fine */

#endif
