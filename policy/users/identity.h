/* SPDX-License-Identifier: Apache-2.0 */
/* identity.h -- from what a request claims to a keyed hash. Pure; any thread.
 *
 * In this order, the first usable claim wins:
 *
 *     verified   a token that holds (jwt.h), a header that its gateway signed (gateway.h), a
 *                certificate that the connection was begun with
 *     asserted   headers by name, safety_identifier, user, metadata.user_id
 *     weak       the API key, the client's address
 *     none       nothing usable
 *
 * What is hashed, SipHash-2-4 under the key of a year, or those of two (years.h):
 *
 *     tenant \0 namespace \0 issuer \0 id
 *
 * All that means "our end user is" shares the namespace "user", so that somebody who is proven in
 * one request and asserted in the next is one in a union of classes. The issuer is the token's or
 * the certificate's, else empty: two issuers' "1001" are two people. "key" and "address" stay apart
 * from people. */
#ifndef WEIR_POLICY_USERS_IDENTITY_H
#define WEIR_POLICY_USERS_IDENTITY_H

#include "policy/policy_users.h"
#include "policy/users/identity_rules.h"
#include "policy/users/siphash.h"

#include <stdbool.h>
#include <stdint.h>

#define IDENTITY_BYTES_MAX 512u /* an id that is longer is a payload, not an id */

struct identity {
    enum identity_class class;
    bool proof_refused;  /* a token or a signed header was offered and did not hold */
    uint64_t hash;       /* the same person, the same hash; never 0; 0 for IDENTITY_NONE */
    uint64_t other_hash; /* likewise, under the other key; 0 where there is none */
};

/* A claim is unusable when, with blanks trimmed, it is empty, longer than IDENTITY_BYTES_MAX, or a
 * placeholder (identity_text.h). Bytes are taken as they come otherwise: no case folding and no
 * Unicode normalisation. rules: NULL where nothing proves anything. No allocation but what OpenSSL
 * and jansson do for a token or a signed header. */
struct identity identity_of(const struct identity_rules *rules, const struct policy_claims *claims,
                            const uint8_t key[SIPHASH_KEY_BYTES], int64_t now_unix);

struct identity_keys {
    const uint8_t *key, *other; /* SIPHASH_KEY_BYTES each; other: NULL for none */
};
/* The same under both keys; proofs are checked once. */
struct identity identity_of_keys(const struct identity_rules *rules,
                                 const struct policy_claims *claims,
                                 const struct identity_keys *keys, int64_t now_unix);

/* Somebody of whom there is an id and no request: hashed as a request's user is. issuer: of the
 * token that requests come with, "" where they come without. tenant and issuer: at most
 * IDENTITY_TENANT_MAX and JWT_CLAIM_MAX bytes. False for what would be no claim in a request. */
#define IDENTITY_TENANT_MAX 255u
struct identity_user {
    const char *tenant, *issuer, *id;
};
bool identity_user_hash(const struct identity_user *user, const uint8_t key[SIPHASH_KEY_BYTES],
                        uint64_t *ret);

/* A request that names nobody, as a user of its own in an upper bound. The id must be the server's
 * and not the client's, who could give all its requests one. key: of the purpose "requests".
 * Never 0. */
uint64_t identity_request_hash(const uint8_t key[SIPHASH_KEY_BYTES], const char *request_id);

/* Tenant and API key, for identity_watch.h; where there is no key, tenant and address. Never 0. */
uint64_t identity_key_hash(const uint8_t key[SIPHASH_KEY_BYTES],
                           const struct policy_claims *claims);

#endif
