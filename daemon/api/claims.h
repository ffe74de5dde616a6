/* SPDX-License-Identifier: Apache-2.0 */
/* claims.h -- from headers and body to what policy/ is told of the user. Worker's thread. */
#ifndef WEIR_DAEMON_API_CLAIMS_H
#define WEIR_DAEMON_API_CLAIMS_H

#include "base/error.h"
#include "daemon/config.h"
#include "policy/policy_users.h"

#include <stdint.h>

#define CLAIMS_REQUEST_ID_BYTES 17u

struct call;
struct request;

/* Which headers are looked at. Immutable once made. */
struct claim_names {
    char *text; /* what the names below point into, lower case */
    const char *users[POLICY_HEADERS_MAX];
    uint32_t user_count;
    const char *gateway, *token; /* "" for none */
};

/* users.header goes before users.headers. ERROR_INVALID for what is no header's name, and for more
 * than POLICY_HEADERS_MAX of them. */
int claim_names_init(struct claim_names *names, const struct config *config, struct error *err);
void claim_names_destroy(struct claim_names *names); /* all zero is fine */

struct claims {
    struct policy_claims policy; /* borrows from the call, the request and this struct */
    char request_id[CLAIMS_REQUEST_ID_BYTES];
};
void claims_read(const struct call *call, const struct request *request, struct claims *ret);

#endif
