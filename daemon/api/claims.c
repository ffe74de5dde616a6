/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/claims.h"

#include "daemon/api/call.h"
#include "daemon/api/fault.h"
#include "daemon/api/request.h"
#include "daemon/http/exchange.h"
#include "daemon/http/tls_client.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *header(const struct call *call, const char *name)
{
    return name[0] == '\0' ? NULL : exchange_header(call->exchange, name);
}

/* Authorization has other schemes too; a header of its own may hold the token alone. */
static const char *token(const struct call *call, const char *name)
{
    static const char scheme[] = "bearer ";
    const char *value = header(call, name);
    if (value == NULL)
        return NULL;
    if (strncasecmp(value, scheme, sizeof scheme - 1) != 0)
        return strcmp(name, "authorization") == 0 ? NULL : value;
    value += sizeof scheme - 1;
    return value + strspn(value, " ");
}

static void read_certificate(const struct call *call, struct policy_claims *claims)
{
    const struct tls_client *client = NULL;
    if (call->live->claims.certificate != CERTIFICATE_USER_OFF)
        client = exchange_tls_client(call->exchange);
    if (client == NULL)
        return;
    switch (call->live->claims.certificate) {
    case CERTIFICATE_USER_SPIFFE:
        claims->certificate_issuer = client->trust_domain;
        claims->certificate_subject = client->spiffe;
        break;
    case CERTIFICATE_USER_SAN:
        claims->certificate_issuer = client->issuer;
        claims->certificate_subject = client->alternative;
        break;
    default:
        claims->certificate_issuer = client->issuer;
        claims->certificate_subject = client->subject;
        break;
    }
}

static int check_single(const struct call *call, const char *name, struct fault *fault)
{
    if (name[0] == '\0' || !exchange_header_differs(call->exchange, name))
        return 0;
    return fault_code(fault, 400, "ambiguous_header",
                      "'%.64s' came twice, with different values: send it once", name);
}

int claims_check(const struct call *call, struct fault *fault)
{
    const struct claim_names *names = &call->live->claims;
    if (check_single(call, names->token, fault) < 0 ||
        check_single(call, names->gateway, fault) < 0)
        return -1;
    for (uint32_t i = 0; i < names->user_count; i++)
        if (check_single(call, names->users[i], fault) < 0)
            return -1;
    return 0;
}

void claims_read(const struct call *call, const struct request *request, struct claims *ret)
{
    const struct claim_names *names = &call->live->claims;
    const struct auth_identity *identity = &call->identity;
    ret->policy = (struct policy_claims){
        .tenant = identity->tenant[0] == '\0' ? NULL : identity->tenant,
        .bearer = token(call, names->token),
        .gateway = header(call, names->gateway),
        .safety_identifier = request->safety_identifier,
        .user = request->user,
        .metadata_user_id = request->metadata_user_id,
        .api_key = identity->key == NULL && identity->subject[0] != '\0' ? identity->subject
                                                                         : identity->key,
        .address = exchange_client(call->exchange),
        .request_id = ret->request_id,
        .worker = call->api->worker,
    };
    read_certificate(call, &ret->policy);
    for (uint32_t i = 0; i < names->user_count; i++)
        ret->policy.headers[i] = header(call, names->users[i]);
    /* Not x-request-id, which clients choose: with one for all, their requests would be one. */
    (void)snprintf(ret->request_id, sizeof ret->request_id, "%016llx",
                   (unsigned long long)api_random_u64(call->api));
}
