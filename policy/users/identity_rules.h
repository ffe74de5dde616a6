/* SPDX-License-Identifier: Apache-2.0 */
/* identity_rules.h -- what proves a user: keys of tokens, a gateway's secret. Immutable once
 * loaded; any thread. */
#ifndef WEIR_POLICY_USERS_IDENTITY_RULES_H
#define WEIR_POLICY_USERS_IDENTITY_RULES_H

#include "base/error.h"
#include "policy/policy_config.h"
#include "policy/users/gateway.h"
#include "policy/users/jwt.h"

struct identity_rules {
    struct jwt_keys *jwt;   /* NULL: no token proves anything */
    struct gateway gateway; /* secret_count 0: no header does */
};

/* Reads the files that settings name. ERROR_REFUSED for a file with a secret in it that others may
 * read; ERROR_INVALID for rules without the keys that they need. */
int identity_rules_load(const struct policy_identity *settings, struct identity_rules *ret,
                        struct error *err);
/* All zero is fine, and what it leaves. */
void identity_rules_destroy(struct identity_rules *rules);

#endif
