/* SPDX-License-Identifier: Apache-2.0 */
/* jwt.h -- a bearer token that proves who asks: RFC 7515 compact, RFC 7519 claims, RFC 7517 keys.
 *
 * HS256, RS256, ES256 and EdDSA (Ed25519) by OpenSSL; the key decides the algorithm, never the
 * token ("alg: none" and a public key taken for an HMAC secret are refused). exp, nbf, iat, iss
 * and aud are checked, clocks may differ by JWT_LEEWAY_S. Pure after loading; any thread. */
#ifndef WEIR_POLICY_USERS_JWT_H
#define WEIR_POLICY_USERS_JWT_H

#include "base/error.h"

#include <stdbool.h>
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

/* A JWKS document; rules are copied. Keys that are for something else (encryption, algorithms that
 * we do not have) are passed over. ERROR_INVALID names the key (by index and kid) and what is wrong
 * with it: RSA below 2048 bits, a secret below 32 bytes, a private key, two of one kid. */
int jwt_keys_load(const char *json, size_t count, const struct jwt_rules *rules,
                  struct jwt_keys **ret, struct error *err);
void jwt_keys_free(struct jwt_keys *keys); /* NULL is fine */
/* Whether one of them is an HMAC secret: who reads the document can sign tokens then. */
bool jwt_keys_hold_secrets(const struct jwt_keys *keys);

struct jwt_identity {
    char issuer[JWT_CLAIM_MAX + 1]; /* "" when the token does not say */
    char subject[JWT_CLAIM_MAX + 1];
    int64_t expires_unix; /* INT64_MAX when the token does not say */
};
/* ERROR_REFUSED, with the reason (which quotes nothing of the token), for a token that proves
 * nothing; *ret is untouched then. A token that names no key is tried under the first 8 that its
 * alg fits. */
int jwt_verify(const struct jwt_keys *keys, const char *token, size_t count, int64_t now_unix,
               struct jwt_identity *ret, struct error *err);

/* A claim that is wanted besides. A list of strings, as scopes may be, is joined by blanks. */
struct jwt_wish {
    const char *name;              /* "" for none */
    char value[JWT_CLAIM_MAX + 1]; /* "" when the token does not say; unset on failure */
};
struct jwt_question {
    const char *token;
    size_t count;
    int64_t now_unix;
    struct jwt_wish *wishes; /* [wish_count] */
    uint32_t wish_count;
};
/* As jwt_verify(). A claim that is wished for and is no string nor list of them is refused. */
int jwt_ask(const struct jwt_keys *keys, const struct jwt_question *question,
            struct jwt_identity *ret, struct error *err);

#endif
