/* SPDX-License-Identifier: Apache-2.0 */
/* usage_fleet.h -- usage, as the fleet sees it: counters by scope, day and class.
 *
 * All scopes whose names are known take part, served here or not, so that each replica can answer
 * for a family and for the organisation. What is joined goes into the counters' mapped files: a
 * killed process loses nothing of it. It is not in the journal, for a power cut may take it: the
 * fleet's store and the replica that counted it have it, and it is fetched again.
 *
 * The fleet's thread alone, but for what usage.h says of other threads. */
#ifndef WEIR_POLICY_USERS_USAGE_FLEET_H
#define WEIR_POLICY_USERS_USAGE_FLEET_H

#include "base/error.h"
#include "policy/fleet/fleet.h"
#include "policy/users/usage.h"

#include <stdbool.h>
#include <stdint.h>

#define USAGE_FLEET_SCOPES_MAX 1024u /* known from others alone */

struct usage_fleet;

struct usage_fleet_config {
    struct usage *usage; /* borrowed */
    /* Asked for a scope that others count and nobody has named: may call usage_fleet_learn(). It is
     * for this to limit how often it looks. NULL: nobody knows more. */
    void (*find_name)(void *argument, uint64_t scope);
    void *argument;
};

struct usage_fleet *usage_fleet_new(const struct usage_fleet_config *config, struct error *err);
void usage_fleet_free(struct usage_fleet *fleet);                /* NULL is fine */
struct fleet_store usage_fleet_store(struct usage_fleet *fleet); /* borrows it */
/* Joins that had nowhere to go, for their scope has no name here. */
uint64_t usage_fleet_unnamed(const struct usage_fleet *fleet);

/* What others serve: a scope of this id and name is known from now on. One that is known already
 * keeps what is said of it here. ERROR_INVALID: the name is not the id's; ERROR_BUSY: no room. */
int usage_fleet_learn(struct usage_fleet *fleet, uint64_t scope,
                      const struct usage_scope_name *name, struct error *err);
/* Each scope that is known here. Stops at the first error, which it returns. */
int usage_fleet_each_name(struct usage_fleet *fleet,
                          int (*on_name)(void *argument, uint64_t scope,
                                         const struct usage_scope_name *name, struct error *err),
                          void *argument, struct error *err);

#endif
