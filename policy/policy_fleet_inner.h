/* SPDX-License-Identifier: Apache-2.0 */
/* policy_fleet_inner.h -- the fleet's thread, for policy.c and for those who have something to ask
 * of the fleet's store beside counters.
 *
 * Its calls block, up to a second each: so it has a thread of its own, while the policy thread goes
 * on to commit. */
#ifndef WEIR_POLICY_POLICY_FLEET_INNER_H
#define WEIR_POLICY_POLICY_FLEET_INNER_H

#include "base/error.h"
#include "policy/policy_config.h"

#include <stdbool.h>
#include <stdint.h>

struct fleet_redis;
struct policy;
struct policy_fleet;

/* Main thread, before others: *ret is NULL where config->fleet names no store. ERROR_REFUSED: the
 * root key is one that no other replica has. */
int policy_fleet_open(struct policy *policy, const struct policy_config *config,
                      struct policy_fleet **ret, struct error *err);
void policy_fleet_close(struct policy_fleet *fleet);                   /* NULL is fine */
int policy_fleet_start(struct policy_fleet *fleet, struct error *err); /* NULL is fine */
/* Tells the others what they lack, if that takes no longer than two seconds, and ends the thread.
 * NULL is fine. */
void policy_fleet_stop(struct policy_fleet *fleet);

/* A step of somebody else's on the fleet's thread, with the store's connection: returns after how
 * many milliseconds it wants to go on. What fails in it is its own to try again. `last`: the daemon
 * ends, and there is no further call. Before policy_fleet_start(), once; fleet may be NULL: then it
 * is never called. */
typedef uint32_t (*policy_fleet_turn)(void *argument, struct fleet_redis *redis,
                                      int64_t now_unix_us, bool last);
void policy_fleet_set_turn(struct policy_fleet *fleet, policy_fleet_turn turn, void *argument);
/* Of this process, random, not 0: the account of its tickets. 0 when fleet is NULL. */
uint64_t policy_fleet_replica(const struct policy_fleet *fleet);
/* How many replicas there are, about; 1 when alone. Any thread. */
uint32_t policy_fleet_replicas(const struct policy_fleet *fleet);

#endif
