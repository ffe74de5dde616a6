/* SPDX-License-Identifier: Apache-2.0 */
/* tenant_names.h -- tenants by number, so many and no more: what labels of metrics are made of.
 *
 * A name that was given a number keeps it for the life of the process, for a counter must not move
 * from one series to another. Any thread; only a name that is new takes a lock. */
#ifndef WEIR_DAEMON_TENANT_NAMES_H
#define WEIR_DAEMON_TENANT_NAMES_H

#include "policy/policy_tokens.h"

#include <stdint.h>

/* As many as tokens are counted by. */
#define TENANT_NAMES_MAX  (TOKENS_TENANTS_MAX + 1)
#define TENANT_NAMES_REST "other"

struct tenant_names;

struct tenant_names *tenant_names_new(void); /* NULL when there is no memory */
void tenant_names_free(struct tenant_names *names);

/* Below TENANT_NAMES_MAX. 0, which is TENANT_NAMES_REST, for all that came too late, for names too
 * long, and for those that policy/ counts together. "" has a number of its own: no tenant. */
uint32_t tenant_names_number(struct tenant_names *names, const char *tenant);
uint32_t tenant_names_count(const struct tenant_names *names);
const char *tenant_names_at(const struct tenant_names *names,
                            uint32_t number); /* below the count */

#endif
