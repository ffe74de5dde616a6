/* SPDX-License-Identifier: Apache-2.0 */
/* auth.h -- who may ask, and what tells tenants apart in the engine. Immutable once made. */
#ifndef WEIR_DAEMON_API_AUTH_H
#define WEIR_DAEMON_API_AUTH_H

#include "base/error.h"
#include "daemon/config.h"

#include <stdbool.h>
#include <stdint.h>

struct auth;

/* config: borrowed, outlives it. */
struct auth *auth_new(const struct config *config, struct error *err);
void auth_free(struct auth *auth); /* NULL is fine */

struct auth_identity {
    const char *key;    /* NULL when the server has no keys */
    const char *tenant; /* "" for none; borrowed: config */
    uint64_t tenant_id; /* of the name; 0 for none */
    const char *admin;  /* the name of an admin key; NULL for everyone else; borrowed: config */
    const struct config_tenant *rules; /* the tenant's; NULL before a check; borrowed: config */
};

/* authorization: the header's value, NULL when absent. False: no key, or none that we know. Takes
 * the same time for every wrong key. */
bool auth_check(const struct auth *auth, const char *authorization, struct auth_identity *ret);

/* Whether there is an admin door at all, and whether this opens it. No API key does, and an admin's
 * is none. */
bool auth_has_admin(const struct auth *auth);
bool auth_check_admin(const struct auth *auth, const char *authorization,
                      struct auth_identity *ret);

/* What a tenant's cached prefixes are found by. salt: the client's own, NULL for none. One tenant
 * cannot name another's value, whatever salt it invents: the digest takes both. */
uint64_t auth_cache_salt(const struct auth_identity *identity, const char *salt);

#endif
