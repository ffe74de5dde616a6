/* SPDX-License-Identifier: Apache-2.0 */
/* jwks.h -- the keys that tokens are checked against (RFC 7517). Internal to jwt.c and jwks.c. */
#ifndef WEIR_POLICY_USERS_JWKS_H
#define WEIR_POLICY_USERS_JWKS_H

#include "policy/users/jwt.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>

#define JWT_KID_MAX         128u
#define JWT_JSON_DEPTH      8u
#define JWT_RSA_BITS_MIN    2048u
#define JWT_RSA_BITS_MAX    8192u
#define JWT_HMAC_BYTES_MIN  32u /* RFC 7518, section 3.2: no shorter than the digest */
#define JWT_HMAC_BYTES_MAX  1024u
#define JWT_SIGNATURE_BYTES (JWT_RSA_BITS_MAX / 8)

enum jwt_algorithm { JWT_HS256, JWT_RS256, JWT_ES256, JWT_EDDSA };

struct jwt_key {
    enum jwt_algorithm algorithm;
    char kid[JWT_KID_MAX + 1]; /* "" for none */
    EVP_PKEY *public_key;      /* NULL for JWT_HS256 */
    uint8_t *secret;           /* NULL for all others */
    size_t secret_count;
};

struct jwt_keys {
    char issuer[JWT_CLAIM_MAX + 1]; /* "" for any, and so below */
    char audience[JWT_CLAIM_MAX + 1];
    char subject_claim[JWT_CLAIM_MAX + 1];
    uint32_t count;
    struct jwt_key keys[JWT_KEYS_MAX];
};

/* Whether "alg" of a token or a key means the algorithm. */
bool jwt_algorithm_is(enum jwt_algorithm algorithm, const char *name);

/* An object, of at most JWT_JSON_DEPTH levels, no name of it twice, no NUL in a string. The
 * caller json_decref()s it. ERROR_INVALID or ERROR_NO_MEMORY, without a word of the input. */
int jwt_json_read(const char *bytes, size_t count, json_t **ret, struct error *err);

#endif
