/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/users/identity.h"

#include "policy/users/identity_text.h"

#include <assert.h>
#include <string.h>

#define TENANT_BYTES_MAX    (IDENTITY_TENANT_MAX + 1)
#define NAMESPACE_BYTES_MAX 16u

static_assert(JWT_CLAIM_MAX <= IDENTITY_BYTES_MAX, "what is proven fits");
static_assert(GATEWAY_ID_MAX <= IDENTITY_BYTES_MAX, "what is proven fits");

const char *identity_class_name(enum identity_class identity)
{
    static const char *const names[IDENTITY_CLASS_COUNT] = {"verified", "asserted", "weak", "none"};
    assert((uint32_t)identity < IDENTITY_CLASS_COUNT);
    return names[identity];
}

static const char *or_empty(const char *string)
{
    return string == NULL ? "" : string;
}

/* 0 marks an empty slot and a torn record. */
static uint64_t not_zero(uint64_t hash)
{
    return hash == 0 ? 1 : hash;
}

/* False when there is nothing left to tell people apart by. */
static bool canonical(const char *claim, const char **ret, size_t *ret_count)
{
    if (claim == NULL)
        return false;
    const char *id = claim;
    size_t count = strnlen(claim, 2 * IDENTITY_BYTES_MAX);
    identity_text_trim(&id, &count);
    if (count == 0 || count > IDENTITY_BYTES_MAX || identity_text_is_placeholder(id, count))
        return false;
    *ret = id;
    *ret_count = count;
    return true;
}

struct domain {
    const char *tenant, *name_space, *issuer, *id;
    size_t id_count;
};

/* No two domains give the same bytes, for none of the parts holds a NUL. */
static uint64_t domain_hash(const struct domain *domain, const uint8_t key[SIPHASH_KEY_BYTES])
{
    char bytes[TENANT_BYTES_MAX + NAMESPACE_BYTES_MAX + JWT_CLAIM_MAX + 1 + IDENTITY_BYTES_MAX];
    const struct {
        const char *part;
        size_t count;
    } parts[] = {
        {domain->tenant, strnlen(domain->tenant, TENANT_BYTES_MAX - 1)},
        {domain->name_space, strnlen(domain->name_space, NAMESPACE_BYTES_MAX - 1)},
        {domain->issuer, strnlen(domain->issuer, JWT_CLAIM_MAX)},
    };
    size_t used = 0;
    assert(domain->id_count <= IDENTITY_BYTES_MAX);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        memcpy(bytes + used, parts[i].part, parts[i].count);
        used += parts[i].count;
        bytes[used++] = '\0';
    }
    memcpy(bytes + used, domain->id, domain->id_count);
    return not_zero(siphash(key, bytes, used + domain->id_count));
}

/* Leaves proof_refused as it is. */
static void identify(const struct domain *domain, enum identity_class class,
                     const struct identity_keys *keys, struct identity *ret)
{
    ret->class = class;
    ret->hash = domain_hash(domain, keys->key);
    ret->other_hash = keys->other == NULL ? 0 : domain_hash(domain, keys->other);
}

/* -- Proofs -- */

/* A bearer token may be an API key as well, of any shape: only three parts are worth a look, and
 * the server's own key never is. */
static bool looks_like_jwt(const struct policy_claims *claims)
{
    const char *token = claims->bearer;
    if (token == NULL || (claims->api_key != NULL && strcmp(token, claims->api_key) == 0))
        return false;
    const char *first = strchr(token, '.');
    const char *second = first == NULL ? NULL : strchr(first + 1, '.');
    return second != NULL && strchr(second + 1, '.') == NULL;
}

/* The token's identity where there is one that holds. */
static bool proven_by_token(const struct identity_rules *rules, const struct policy_claims *claims,
                            int64_t now_unix, struct jwt_identity *ret, bool *ret_refused)
{
    if (rules->jwt == NULL || !looks_like_jwt(claims))
        return false;
    const char *token = claims->bearer;
    bool holds = jwt_verify(rules->jwt, token, strlen(token), now_unix, ret, NULL) == 0;
    *ret_refused = *ret_refused || !holds;
    return holds;
}

static bool proven_by_gateway(const struct identity_rules *rules,
                              const struct policy_claims *claims, int64_t now_unix,
                              char ret[GATEWAY_ID_MAX + 1], bool *ret_refused)
{
    if (rules->gateway.secret_count == 0 || claims->gateway == NULL)
        return false;
    bool holds = gateway_verify(&rules->gateway, claims->gateway, now_unix, ret, NULL) == 0;
    *ret_refused = *ret_refused || !holds;
    return holds;
}

/* A proof that names a placeholder proves nobody, and the next claim has its turn. */
static bool proven(const struct identity_rules *rules, const struct policy_claims *claims,
                   const struct identity_keys *keys, int64_t now_unix, struct identity *ret)
{
    struct jwt_identity token;
    char id[GATEWAY_ID_MAX + 1];
    struct domain domain = {.tenant = or_empty(claims->tenant), .name_space = "user", .issuer = ""};
    if (proven_by_token(rules, claims, now_unix, &token, &ret->proof_refused) &&
        canonical(token.subject, &domain.id, &domain.id_count)) {
        domain.issuer = token.issuer;
        identify(&domain, IDENTITY_VERIFIED, keys, ret);
        return true;
    }
    if (proven_by_gateway(rules, claims, now_unix, id, &ret->proof_refused) &&
        canonical(id, &domain.id, &domain.id_count)) {
        identify(&domain, IDENTITY_VERIFIED, keys, ret);
        return true;
    }
    return false;
}

/* The handshake was the proof. An issuer that is empty or would be cut is none. */
static bool proven_by_certificate(const struct policy_claims *claims,
                                  const struct identity_keys *keys, struct identity *ret)
{
    const char *issuer = or_empty(claims->certificate_issuer);
    struct domain domain = {
        .tenant = or_empty(claims->tenant), .name_space = "user", .issuer = issuer};
    if (issuer[0] == '\0' || strlen(issuer) > JWT_CLAIM_MAX ||
        !canonical(claims->certificate_subject, &domain.id, &domain.id_count))
        return false;
    identify(&domain, IDENTITY_VERIFIED, keys, ret);
    return true;
}

/* -- Everything -- */

struct source {
    const char *claim, *name_space;
    enum identity_class class;
};

static bool claimed(const struct source *source, const struct policy_claims *claims,
                    const struct identity_keys *keys, struct identity *ret)
{
    struct domain domain = {
        .tenant = or_empty(claims->tenant), .name_space = source->name_space, .issuer = ""};
    if (!canonical(source->claim, &domain.id, &domain.id_count))
        return false;
    identify(&domain, source->class, keys, ret);
    return true;
}

struct identity identity_of_keys(const struct identity_rules *rules,
                                 const struct policy_claims *claims,
                                 const struct identity_keys *keys, int64_t now_unix)
{
    struct identity identity = {.class = IDENTITY_NONE};
    if (rules != NULL && proven(rules, claims, keys, now_unix, &identity))
        return identity;
    if (proven_by_certificate(claims, keys, &identity))
        return identity;
    for (size_t i = 0; i < POLICY_HEADERS_MAX; i++) {
        const struct source header = {claims->headers[i], "user", IDENTITY_ASSERTED};
        if (claimed(&header, claims, keys, &identity))
            return identity;
    }
    const struct source sources[] = {
        {claims->safety_identifier, "user", IDENTITY_ASSERTED},
        {claims->user, "user", IDENTITY_ASSERTED},
        {claims->metadata_user_id, "user", IDENTITY_ASSERTED},
        {claims->api_key, "key", IDENTITY_WEAK},
        {claims->address, "address", IDENTITY_WEAK},
    };
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        if (claimed(&sources[i], claims, keys, &identity))
            return identity;
    return identity;
}

struct identity identity_of(const struct identity_rules *rules, const struct policy_claims *claims,
                            const uint8_t key[SIPHASH_KEY_BYTES], int64_t now_unix)
{
    const struct identity_keys keys = {.key = key};
    return identity_of_keys(rules, claims, &keys, now_unix);
}

bool identity_user_hash(const struct identity_user *user, const uint8_t key[SIPHASH_KEY_BYTES],
                        uint64_t *ret)
{
    struct domain domain = {.tenant = user->tenant, .name_space = "user", .issuer = user->issuer};
    if (!canonical(user->id, &domain.id, &domain.id_count))
        return false;
    *ret = domain_hash(&domain, key);
    return true;
}

uint64_t identity_request_hash(const uint8_t key[SIPHASH_KEY_BYTES], const char *request_id)
{
    assert(request_id != NULL);
    return not_zero(siphash(key, request_id, strlen(request_id)));
}

uint64_t identity_key_hash(const uint8_t key[SIPHASH_KEY_BYTES], const struct policy_claims *claims)
{
    const char *api_key = or_empty(claims->api_key);
    bool has_key = api_key[0] != '\0';
    const char *sender = has_key ? api_key : or_empty(claims->address);
    const struct domain domain = {.tenant = or_empty(claims->tenant),
                                  .name_space = has_key ? "api key" : "api address",
                                  .issuer = "",
                                  .id = sender,
                                  .id_count = strnlen(sender, IDENTITY_BYTES_MAX)};
    return domain_hash(&domain, key);
}
