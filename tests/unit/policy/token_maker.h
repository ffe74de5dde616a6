/* SPDX-License-Identifier: Apache-2.0 */
/* token_maker.h -- keys and signed tokens for tests, made by OpenSSL, not by what is tested. */
#ifndef WEIR_TESTS_POLICY_TOKEN_MAKER_H
#define WEIR_TESTS_POLICY_TOKEN_MAKER_H

#include "base/text.h"

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_BYTES_MAX 16384

struct token_key {
    EVP_PKEY *pair;     /* NULL for an HMAC secret */
    uint8_t secret[32]; /* else unused */
};

struct token_key token_key_secret(uint8_t seed);
struct token_key token_key_rsa(unsigned bits);
struct token_key token_key_ec(const char *curve); /* "P-256" */
struct token_key token_key_ed25519(void);
void token_key_release(struct token_key *key);

/* {"kty":...,<more>}, the public part or the secret. more: "" or members, a comma before each. */
void token_key_write(const struct token_key *key, const char *more, struct text *out);

void token_base64url(const void *bytes, size_t count, struct text *out);
/* base64url(header).base64url(claims).signature, by the key's algorithm. */
void token_make(const struct token_key *key, const char *header, const char *claims,
                struct text *out);
/* The header of gateway.h; id: as it is to be in base64url. */
void token_gateway(const uint8_t *secret, size_t secret_count, long long unix_s, const char *id,
                   struct text *out);

#endif
