/* SPDX-License-Identifier: Apache-2.0 */
/* jwt.c -- a token is taken apart from the outside in, and nothing is believed before its turn.
 *
 *     header . payload . signature            each base64url; the signature covers "header.payload"
 *
 *     header     which keys may fit: alg must be what a key of ours is for, kid narrows it down.
 *                crit (we understand no extension) and types of other tokens are refused.
 *     signature  under each candidate, JWT_TRIES_MAX at most: a token without kid must not make
 *                us try 64 keys.
 *     payload    only now read: what reaches its parser was written by an issuer.
 *
 * jku, jwk, x5u, x5c and their kin are never looked at: keys come from the operator alone. */
#include "policy/users/jwt.h"

#include "policy/users/base64url.h"
#include "policy/users/identity_text.h"
#include "policy/users/jwks.h"

#include <assert.h>
#include <math.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <string.h>
#include <strings.h>

#define JWT_TRIES_MAX     8u
#define DECODED_BYTES_MAX (JWT_BYTES_MAX / 4 * 3)
#define ECDSA_HALF        32u
#define ECDSA_DER_MAX     72u
#define UNIX_MAX          INT64_C(253402300799) /* the year 9999: more is not counted in seconds */

struct parts {
    const char *header, *payload, *signature;
    size_t header_count, payload_count, signature_count;
    size_t signed_count; /* bytes from the start that are signed */
};

/* Exactly three parts: two would be unsigned, five encrypted. */
static bool split(const char *token, size_t count, struct parts *ret)
{
    const char *end = token + count;
    const char *first = memchr(token, '.', count);
    const char *second = first == NULL ? NULL : memchr(first + 1, '.', (size_t)(end - first - 1));
    if (second == NULL || memchr(second + 1, '.', (size_t)(end - second - 1)) != NULL)
        return false;
    *ret = (struct parts){.header = token,
                          .header_count = (size_t)(first - token),
                          .payload = first + 1,
                          .payload_count = (size_t)(second - first - 1),
                          .signature = second + 1,
                          .signature_count = (size_t)(end - second - 1),
                          .signed_count = (size_t)(second - token)};
    return ret->header_count > 0 && ret->payload_count > 0 && ret->signature_count > 0;
}

/* A part's JSON. ERROR_REFUSED, or ERROR_NO_MEMORY. */
static int read_part(const char *part, size_t count, json_t **ret, struct error *err)
{
    uint8_t bytes[DECODED_BYTES_MAX];
    size_t byte_count = 0;
    if (!base64url_decode(part, count, bytes, sizeof bytes, &byte_count))
        return error_set(err, ERROR_REFUSED, "not base64url without padding");
    int result = jwt_json_read((const char *)bytes, byte_count, ret, err);
    if (result == ERROR_INVALID && err != NULL)
        err->code = ERROR_REFUSED;
    return result == ERROR_INVALID ? ERROR_REFUSED : result;
}

/* -- Header -- */

/* An id token, an access token (RFC 9068), or one that does not say. A logout or DPoP token names
 * a user too and proves something else. */
static bool type_is_ours(const char *type)
{
    if (strncasecmp(type, "application/", 12) == 0)
        type += 12;
    return strcasecmp(type, "JWT") == 0 || strcasecmp(type, "at+jwt") == 0;
}

/* Borrowed strings, valid as long as json. kid: NULL for none. */
static int read_header(const json_t *json, const char **ret_algorithm, const char **ret_kid,
                       struct error *err)
{
    const json_t *algorithm = json_object_get(json, "alg"), *kid = json_object_get(json, "kid");
    const json_t *type = json_object_get(json, "typ");
    if (json_object_get(json, "crit") != NULL)
        return error_set(err, ERROR_REFUSED, "crit: no extension is understood");
    if (!json_is_string(algorithm))
        return error_set(err, ERROR_REFUSED, "alg: missing, or not a string");
    if (kid != NULL && !json_is_string(kid))
        return error_set(err, ERROR_REFUSED, "kid: not a string");
    if (type != NULL && (!json_is_string(type) || !type_is_ours(json_string_value(type))))
        return error_set(err, ERROR_REFUSED, "typ: neither JWT nor at+jwt");
    *ret_algorithm = json_string_value(algorithm);
    *ret_kid = json_string_value(kid);
    return 0;
}

/* -- Signature -- */

static bool verify_hmac(const struct jwt_key *key, const char *token, const struct parts *parts,
                        const uint8_t *signature, size_t count)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_count = 0;
    return HMAC(EVP_sha256(), key->secret, (int)key->secret_count, (const unsigned char *)token,
                parts->signed_count, mac, &mac_count) != NULL &&
           mac_count == count && CRYPTO_memcmp(mac, signature, count) == 0;
}

/* OpenSSL wants DER where JWS has r and s side by side. Returns its length, 0 for no signature. */
static size_t ecdsa_der(const uint8_t *signature, size_t count, uint8_t der[ECDSA_DER_MAX])
{
    if (count != (size_t)2 * ECDSA_HALF)
        return 0;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature, ECDSA_HALF, NULL);
    BIGNUM *s = BN_bin2bn(signature + ECDSA_HALF, ECDSA_HALF, NULL);
    size_t length = 0;
    if (pair != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1) {
        r = s = NULL; /* the pair's now */
        int wanted = i2d_ECDSA_SIG(pair, NULL);
        if (wanted > 0 && wanted <= (int)ECDSA_DER_MAX && i2d_ECDSA_SIG(pair, &der) == wanted)
            length = (size_t)wanted;
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(pair);
    return length;
}

static bool verify_public(const struct jwt_key *key, const char *token, const struct parts *parts,
                          const uint8_t *signature, size_t count)
{
    uint8_t der[ECDSA_DER_MAX];
    if (key->algorithm == JWT_ES256) {
        count = ecdsa_der(signature, count, der);
        signature = der;
    }
    EVP_MD_CTX *verifying = count == 0 ? NULL : EVP_MD_CTX_new();
    const EVP_MD *digest = key->algorithm == JWT_EDDSA ? NULL : EVP_sha256();
    bool holds = verifying != NULL &&
                 EVP_DigestVerifyInit(verifying, NULL, digest, NULL, key->public_key) == 1 &&
                 EVP_DigestVerify(verifying, signature, count, (const unsigned char *)token,
                                  parts->signed_count) == 1;
    EVP_MD_CTX_free(verifying);
    return holds;
}

/* A key that has no kid may be the one of any token, and a token that names none may be any key's;
 * two names must agree. */
static bool fits(const struct jwt_key *key, const char *algorithm, const char *kid)
{
    return jwt_algorithm_is(key->algorithm, algorithm) &&
           (kid == NULL || key->kid[0] == '\0' || strcmp(key->kid, kid) == 0);
}

static int check_signature(const struct jwt_keys *keys, const char *token,
                           const struct parts *parts, const json_t *header, struct error *err)
{
    const char *algorithm = NULL, *kid = NULL;
    uint8_t signature[JWT_SIGNATURE_BYTES];
    size_t count = 0;
    int result = read_header(header, &algorithm, &kid, err);
    if (result != 0)
        return error_wrap(err, "header");
    if (!base64url_decode(parts->signature, parts->signature_count, signature, sizeof signature,
                          &count))
        return error_set(err, ERROR_REFUSED, "signature: not base64url without padding");
    uint32_t tried = 0;
    for (uint32_t i = 0; i < keys->count && tried < JWT_TRIES_MAX; i++) {
        const struct jwt_key *key = &keys->keys[i];
        if (!fits(key, algorithm, kid))
            continue;
        tried++;
        if (key->algorithm == JWT_HS256 ? verify_hmac(key, token, parts, signature, count)
                                        : verify_public(key, token, parts, signature, count))
            return 0;
    }
    return error_set(err, ERROR_REFUSED,
                     tried == 0 ? "no key for such an alg and kid"
                                : "signature: of none of the %u keys that it could be of",
                     tried);
}

/* -- Claims -- */

/* Seconds since 1970; *ret untouched when the claim is not there. */
static int read_time(const json_t *claims, const char *name, int64_t *ret, struct error *err)
{
    const json_t *value = json_object_get(claims, name);
    if (value == NULL)
        return 0;
    if (!json_is_number(value))
        return error_set(err, ERROR_REFUSED, "%s: not a number", name);
    double seconds = json_number_value(value);
    if (!(seconds >= 0 && seconds <= (double)UNIX_MAX))
        return error_set(err, ERROR_REFUSED, "%s: not in seconds since 1970", name);
    *ret = (int64_t)floor(seconds);
    return 0;
}

static int check_times(const json_t *claims, int64_t now_unix, int64_t *ret_expires,
                       struct error *err)
{
    int64_t expires = INT64_MAX, begins = 0, issued = 0;
    int result = read_time(claims, "exp", &expires, err);
    if (result == 0)
        result = read_time(claims, "nbf", &begins, err);
    if (result == 0)
        result = read_time(claims, "iat", &issued, err);
    if (result != 0)
        return result;
    if (expires != INT64_MAX && now_unix >= expires + JWT_LEEWAY_S)
        return error_set(err, ERROR_REFUSED, "exp: expired %lld s ago",
                         (long long)(now_unix - expires));
    if (begins > now_unix + JWT_LEEWAY_S)
        return error_set(err, ERROR_REFUSED, "nbf: valid in %lld s",
                         (long long)(begins - now_unix));
    if (issued > now_unix + JWT_LEEWAY_S)
        return error_set(err, ERROR_REFUSED, "iat: issued in %lld s: do the clocks agree?",
                         (long long)(issued - now_unix));
    *ret_expires = expires;
    return 0;
}

/* A string of 1 to JWT_CLAIM_MAX bytes without control characters; "" in ret when it is absent. */
static int read_string(const json_t *claims, const char *name, char ret[JWT_CLAIM_MAX + 1],
                       struct error *err)
{
    const json_t *value = json_object_get(claims, name);
    ret[0] = '\0';
    if (value == NULL)
        return 0;
    if (!json_is_string(value))
        return error_set(err, ERROR_REFUSED, "%s: not a string", name);
    size_t count = json_string_length(value);
    if (count == 0 || count > JWT_CLAIM_MAX)
        return error_set(err, ERROR_REFUSED, "%s: %zu bytes; 1 to %u", name, count, JWT_CLAIM_MAX);
    if (!identity_text_is_plain(json_string_value(value), count))
        return error_set(err, ERROR_REFUSED, "%s: control characters in it", name);
    memcpy(ret, json_string_value(value), count + 1);
    return 0;
}

/* One string, or a list of strings (RFC 7519, section 4.1.3). */
static int check_audience(const struct jwt_keys *keys, const json_t *claims, struct error *err)
{
    const json_t *audience = json_object_get(claims, "aud"), *entry;
    bool found =
        json_is_string(audience) && strcmp(json_string_value(audience), keys->audience) == 0;
    size_t i;
    if (audience != NULL && !json_is_string(audience) && !json_is_array(audience))
        return error_set(err, ERROR_REFUSED, "aud: neither a string nor a list");
    json_array_foreach(audience, i, entry)
    {
        if (!json_is_string(entry))
            return error_set(err, ERROR_REFUSED, "aud: not all of the list are strings");
        found = found || strcmp(json_string_value(entry), keys->audience) == 0;
    }
    if (keys->audience[0] != '\0' && !found)
        return error_set(err, ERROR_REFUSED, "aud: meant for somebody else");
    return 0;
}

static int check_claims(const struct jwt_keys *keys, const json_t *claims, int64_t now_unix,
                        struct jwt_identity *ret, struct error *err)
{
    struct jwt_identity identity;
    int result = check_times(claims, now_unix, &identity.expires_unix, err);
    if (result == 0)
        result = read_string(claims, "iss", identity.issuer, err);
    if (result == 0 && keys->issuer[0] != '\0' && strcmp(identity.issuer, keys->issuer) != 0)
        result = error_set(err, ERROR_REFUSED, "iss: another issuer");
    if (result == 0)
        result = check_audience(keys, claims, err);
    if (result == 0)
        result = read_string(claims, keys->subject_claim, identity.subject, err);
    if (result == 0 && identity.subject[0] == '\0')
        result = error_set(err, ERROR_REFUSED, "%s: missing", keys->subject_claim);
    if (result == 0)
        *ret = identity;
    return result;
}

/* Each with a blank before it but the first. */
static int join(const json_t *list, struct jwt_wish *wish, struct error *err)
{
    const json_t *entry;
    size_t i, used = 0;
    json_array_foreach(list, i, entry)
    {
        if (!json_is_string(entry) || json_string_length(entry) == 0 ||
            !identity_text_is_plain(json_string_value(entry), json_string_length(entry)))
            return error_set(err, ERROR_REFUSED, "%s: not all of the list are words", wish->name);
        size_t count = json_string_length(entry), blank = used > 0 ? 1 : 0;
        if (used + blank + count > JWT_CLAIM_MAX)
            return error_set(err, ERROR_REFUSED, "%s: more than %u bytes", wish->name,
                             JWT_CLAIM_MAX);
        wish->value[used] = ' ';
        memcpy(wish->value + used + blank, json_string_value(entry), count + 1);
        used += blank + count;
    }
    return 0;
}

static int fulfil(const json_t *claims, struct jwt_wish *wish, struct error *err)
{
    wish->value[0] = '\0';
    const json_t *value = wish->name[0] == '\0' ? NULL : json_object_get(claims, wish->name);
    if (json_is_array(value))
        return join(value, wish, err);
    return wish->name[0] == '\0' ? 0 : read_string(claims, wish->name, wish->value, err);
}

static int verify_parts(const struct jwt_keys *keys, const struct jwt_question *question,
                        const struct parts *parts, struct jwt_identity *ret, struct error *err)
{
    struct jwt_identity identity;
    json_t *json = NULL;
    int result = read_part(parts->header, parts->header_count, &json, err);
    if (result != 0)
        return error_wrap(err, "header");
    result = check_signature(keys, question->token, parts, json, err);
    json_decref(json);
    if (result != 0)
        return result;
    json = NULL;
    result = read_part(parts->payload, parts->payload_count, &json, err);
    if (result != 0)
        return error_wrap(err, "claims");
    result = check_claims(keys, json, question->now_unix, &identity, err);
    for (uint32_t i = 0; result == 0 && i < question->wish_count; i++)
        result = fulfil(json, &question->wishes[i], err);
    json_decref(json);
    if (result == 0)
        *ret = identity;
    return result;
}

int jwt_ask(const struct jwt_keys *keys, const struct jwt_question *question,
            struct jwt_identity *ret, struct error *err)
{
    struct parts parts;
    struct error local = {0};
    if (err == NULL)
        err = &local; /* error_wrap() answers by what it finds there */
    if (question->count > JWT_BYTES_MAX)
        return error_set(err, ERROR_REFUSED, "%zu bytes, at most %u", question->count,
                         JWT_BYTES_MAX);
    if (!split(question->token, question->count, &parts))
        return error_set(err, ERROR_REFUSED, "expected HEADER.CLAIMS.SIGNATURE");
    (void)ERR_set_mark(); /* a bad signature must not be found in the queue by TLS */
    int result = verify_parts(keys, question, &parts, ret, err);
    (void)ERR_pop_to_mark();
    return result;
}

int jwt_verify(const struct jwt_keys *keys, const char *token, size_t count, int64_t now_unix,
               struct jwt_identity *ret, struct error *err)
{
    const struct jwt_question question = {.token = token, .count = count, .now_unix = now_unix};
    return jwt_ask(keys, &question, ret, err);
}
