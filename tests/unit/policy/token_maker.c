/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <string.h>

#include "tests/unit/policy/token_maker.h"

struct token_key token_key_secret(uint8_t seed)
{
    struct token_key key = {.pair = NULL};
    for (size_t i = 0; i < sizeof key.secret; i++)
        key.secret[i] = (uint8_t)(seed + 7 * i);
    return key;
}

struct token_key token_key_rsa(unsigned bits)
{
    struct token_key key = {.pair = EVP_RSA_gen(bits)};
    assert_non_null(key.pair);
    return key;
}

struct token_key token_key_ec(const char *curve)
{
    struct token_key key = {.pair = EVP_EC_gen(curve)};
    assert_non_null(key.pair);
    return key;
}

struct token_key token_key_ed25519(void)
{
    struct token_key key = {.pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
    assert_non_null(key.pair);
    return key;
}

void token_key_release(struct token_key *key)
{
    EVP_PKEY_free(key->pair);
    key->pair = NULL;
}

void token_base64url(const void *bytes, size_t count, struct text *out)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const uint8_t *at = bytes;
    uint32_t bits = 0, bit_count = 0;
    for (size_t i = 0; i < count; i++) {
        bits = bits << 8 | at[i];
        for (bit_count += 8; bit_count >= 6; bit_count -= 6)
            text_append_char(out, letters[bits >> (bit_count - 6) & 63]);
    }
    if (bit_count > 0)
        text_append_char(out, letters[bits << (6 - bit_count) & 63]);
}

static void write_number(EVP_PKEY *pair, const char *parameter, const char *name, size_t count,
                         struct text *out)
{
    BIGNUM *number = NULL;
    uint8_t bytes[1024];
    assert_int_equal(EVP_PKEY_get_bn_param(pair, parameter, &number), 1);
    if (count == 0)
        count = (size_t)BN_num_bytes(number);
    assert_int_equal(BN_bn2binpad(number, bytes, (int)count), (int)count);
    text_append_format(out, ",\"%s\":\"", name);
    token_base64url(bytes, count, out);
    text_append_char(out, '"');
    BN_free(number);
}

void token_key_write(const struct token_key *key, const char *more, struct text *out)
{
    uint8_t bytes[32];
    size_t count = sizeof bytes;
    if (key->pair == NULL) {
        text_append_string(out, "{\"kty\":\"oct\",\"k\":\"");
        token_base64url(key->secret, sizeof key->secret, out);
        text_append_char(out, '"');
    } else if (EVP_PKEY_is_a(key->pair, "RSA")) {
        text_append_string(out, "{\"kty\":\"RSA\"");
        write_number(key->pair, OSSL_PKEY_PARAM_RSA_N, "n", 0, out);
        write_number(key->pair, OSSL_PKEY_PARAM_RSA_E, "e", 0, out);
    } else if (EVP_PKEY_is_a(key->pair, "EC")) {
        count = EVP_PKEY_get_bits(key->pair) == 256 ? 32 : 48;
        text_append_format(out, "{\"kty\":\"EC\",\"crv\":\"%s\"", count == 32 ? "P-256" : "P-384");
        write_number(key->pair, OSSL_PKEY_PARAM_EC_PUB_X, "x", count, out);
        write_number(key->pair, OSSL_PKEY_PARAM_EC_PUB_Y, "y", count, out);
    } else {
        assert_int_equal(EVP_PKEY_get_raw_public_key(key->pair, bytes, &count), 1);
        text_append_string(out, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"");
        token_base64url(bytes, count, out);
        text_append_char(out, '"');
    }
    text_append_format(out, "%s}", more);
}

/* DER to the r and s side by side of JWS. */
static size_t raw_pair(const uint8_t *der, size_t count, uint8_t ret[64])
{
    const unsigned char *at = der;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)count);
    assert_non_null(pair);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(pair), ret, 32), 32);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(pair), ret + 32, 32), 32);
    ECDSA_SIG_free(pair);
    return 64;
}

static size_t sign(const struct token_key *key, const char *bytes, size_t count, uint8_t ret[1024])
{
    unsigned mac_count = 0;
    if (key->pair == NULL) {
        assert_non_null(HMAC(EVP_sha256(), key->secret, sizeof key->secret,
                             (const unsigned char *)bytes, count, ret, &mac_count));
        return mac_count;
    }
    size_t length = 1024;
    bool ed25519 = EVP_PKEY_is_a(key->pair, "ED25519") == 1;
    EVP_MD_CTX *signing = EVP_MD_CTX_new();
    assert_int_equal(
        EVP_DigestSignInit(signing, NULL, ed25519 ? NULL : EVP_sha256(), NULL, key->pair), 1);
    assert_int_equal(EVP_DigestSign(signing, ret, &length, (const unsigned char *)bytes, count), 1);
    EVP_MD_CTX_free(signing);
    if (!EVP_PKEY_is_a(key->pair, "EC"))
        return length;
    uint8_t raw[64];
    length = raw_pair(ret, length, raw);
    memcpy(ret, raw, length);
    return length;
}

void token_make(const struct token_key *key, const char *header, const char *claims,
                struct text *out)
{
    uint8_t signature[1024];
    text_reset(out);
    token_base64url(header, strlen(header), out);
    text_append_char(out, '.');
    token_base64url(claims, strlen(claims), out);
    size_t count = sign(key, out->bytes, out->count, signature);
    text_append_char(out, '.');
    token_base64url(signature, count, out);
}

void token_gateway(const uint8_t *secret, size_t secret_count, long long unix_s, const char *id,
                   struct text *out)
{
    uint8_t mac[32];
    unsigned count = 0;
    text_reset(out);
    text_append_format(out, "v1;t=%lld;id=%s", unix_s, id);
    assert_non_null(HMAC(EVP_sha256(), secret, (int)secret_count,
                         (const unsigned char *)text_string(out), out->count, mac, &count));
    text_append_string(out, ";sig=");
    for (size_t i = 0; i < sizeof mac; i++)
        text_append_format(out, "%02x", mac[i]);
}
