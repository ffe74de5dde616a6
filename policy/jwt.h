/* SPDX-License-Identifier: Apache-2.0 */
/* jwt.h -- a bearer token that proves who asks: RFC 7515 compact, RFC 7519 claims, RFC 7517 keys.
 *
 * HS256, RS256, ES256 and EdDSA (Ed25519) by OpenSSL; the key decides the algorithm, never the
 * token ("alg: none" and a public key taken for an HMAC secret are refused). exp, nbf, iss and aud
 * are checked, clocks may differ by JWT_LEEWAY_S. Pure after loading; any thread. */
#ifndef WEIR_POLICY_JWT_H
#define WEIR_POLICY_JWT_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define JWT_BYTES_MAX  8192u
#define JWT_CLAIM_MAX  512u
#define JWT_KEYS_MAX   64u
#define JWT_LEEWAY_S   60
#define JWKS_BYTES_MAX 262144u

struct jwt_keys;

struct jwt_rules {
    const char *issuer;        /* "" for any */
    const char *audience;      /* "" for any */
    const char *subject_claim; /* "sub" */
};

/* A JWKS document. ERROR_INVALID names the key (by index and kid) and what is wrong with it. */
int jwt_keys_load(const char *json, size_t count, const struct jwt_rules *rules,
                  struct jwt_keys **ret, struct error *err);
void jwt_keys_free(struct jwt_keys *keys); /* NULL is fine */

struct jwt_identity {
    char issuer[JWT_CLAIM_MAX + 1];
    char subject[JWT_CLAIM_MAX + 1];
    int64_t expires_unix; /* INT64_MAX when the token does not say */
};
/* ERROR_REFUSED, with the reason, for a token that proves nothing; *ret is untouched then. */
int jwt_verify(const struct jwt_keys *keys, const char *token, size_t count, int64_t now_unix,
               struct jwt_identity *ret, struct error *err);

#endif
