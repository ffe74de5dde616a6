/* SPDX-License-Identifier: Apache-2.0 */
/* claims.h -- from headers and body to what policy/ is told of the user. Worker's thread. */
#ifndef WEIR_DAEMON_API_CLAIMS_H
#define WEIR_DAEMON_API_CLAIMS_H

#include "policy/policy_users.h"

#include <stdint.h>

#define CLAIMS_REQUEST_ID_BYTES 17u

struct call;
struct fault;
struct request;

struct claims {
    struct policy_claims policy; /* borrows from the call, the request and this struct */
    char request_id[CLAIMS_REQUEST_ID_BYTES];
};
/* 400 where two lines of a header that names a user, or proves one, differ: a gateway that adds its
 * word behind a client's own must not be overheard. */
int claims_check(const struct call *call, struct fault *fault);
void claims_read(const struct call *call, const struct request *request, struct claims *ret);

#endif
