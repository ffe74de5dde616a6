/* SPDX-License-Identifier: Apache-2.0 */
/* claim_names.h -- what may name a user: headers, a certificate; as the configuration has them. */
#ifndef WEIR_DAEMON_API_CLAIM_NAMES_H
#define WEIR_DAEMON_API_CLAIM_NAMES_H

#include "base/error.h"
#include "daemon/config.h"
#include "policy/policy_users.h"

#include <stdint.h>

/* Which headers are looked at. Immutable once made. */
struct claim_names {
    char *text; /* what the names below point into, lower case */
    const char *users[POLICY_HEADERS_MAX];
    uint32_t user_count;
    const char *gateway, *token; /* "" for none */
    enum certificate_user certificate;
};

/* users.header goes before users.headers. ERROR_INVALID for what is no header's name, and for more
 * than POLICY_HEADERS_MAX of them. */
int claim_names_init(struct claim_names *names, const struct config *config, struct error *err);
void claim_names_destroy(struct claim_names *names); /* all zero is fine */

#endif
