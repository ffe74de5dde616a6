/* SPDX-License-Identifier: Apache-2.0 */
/* jwks.c -- from a JWKS document to keys that OpenSSL has looked at.
 *
 * A key says once and for all what it verifies: the type and curve decide, "alg" may only agree.
 * So no token can have a public key taken for an HMAC secret, nor choose a weaker algorithm.
 *
 * Identity providers publish one document for many purposes. A key for encryption, or of a type or
 * algorithm that we do not have, is passed over as RFC 7517 section 5 asks; one that is meant for
 * us and broken, weak or private is an error, for somebody would wait for its tokens in vain. */
#include "policy/users/jwks.h"

#include "policy/users/base64url.h"

#include <assert.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

#define P256_BYTES    32u
#define ED25519_BYTES 32u
#define EXPONENT_MAX  8u /* bytes: OpenSSL takes no more with large moduli */

bool jwt_algorithm_is(enum jwt_algorithm algorithm, const char *name)
{
    /* RFC 9864 calls EdDSA over Ed25519 by its own name */
    static const char *const names[] = {"HS256", "RS256", "ES256", "EdDSA"};
    return strcmp(name, names[algorithm]) == 0 ||
           (algorithm == JWT_EDDSA && strcmp(name, "Ed25519") == 0);
}

/* jansson descends by recursion, up to 2,048 levels; we need four. */
static bool too_deep(const char *bytes, size_t count)
{
    uint32_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < count; i++) {
        char c = bytes[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            depth++;
        else if (!in_string && (c == '}' || c == ']') && depth > 0)
            depth--;
        if (depth > JWT_JSON_DEPTH)
            return true;
    }
    return false;
}

int jwt_json_read(const char *bytes, size_t count, json_t **ret, struct error *err)
{
    json_error_t problem = {.line = 0}; /* jansson leaves the code alone when memory is out */
    if (too_deep(bytes, count))
        return error_set(err, ERROR_INVALID, "nested deeper than %u", JWT_JSON_DEPTH);
    json_t *json = json_loadb(bytes, count, JSON_REJECT_DUPLICATES, &problem);
    enum json_error_code code = json == NULL ? json_error_code(&problem) : json_error_unknown;
    if (json == NULL && (code == json_error_out_of_memory || code == json_error_unknown))
        return error_no_memory(err); /* jansson has a code for every other reason */
    if (json == NULL && code == json_error_duplicate_key)
        return error_set(err, ERROR_INVALID, "a name is given twice (line %d)", problem.line);
    if (json == NULL || !json_is_object(json)) {
        json_decref(json);
        return error_set(err, ERROR_INVALID, "not a JSON object");
    }
    *ret = json;
    return 0;
}

/* -- Members of a key -- */

/* NULL in *ret when it is not there. */
static int member(const json_t *key, const char *name, const char **ret, struct error *err)
{
    const json_t *value = json_object_get(key, name);
    if (value != NULL && !json_is_string(value))
        return error_set(err, ERROR_INVALID, "'%s' is not a string", name);
    *ret = json_string_value(value);
    return 0;
}

static int octets(const json_t *key, const char *name, uint8_t *ret, size_t ret_bytes,
                  size_t *ret_count, struct error *err)
{
    const char *text = NULL;
    int result = member(key, name, &text, err);
    if (result != 0)
        return result;
    if (text == NULL)
        return error_set(err, ERROR_INVALID, "'%s' is missing", name);
    if (!base64url_decode(text, strlen(text), ret, ret_bytes, ret_count))
        return error_set(err, ERROR_INVALID,
                         "'%s' is not base64url without padding, or longer than %zu bytes", name,
                         ret_bytes);
    return 0;
}

/* -- OpenSSL's side -- */

static EVP_PKEY *build(const char *type, OSSL_PARAM_BLD *builder)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *making = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (params == NULL || making == NULL || EVP_PKEY_fromdata_init(making) != 1 ||
        EVP_PKEY_fromdata(making, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(making);
    OSSL_PARAM_free(params);
    return key;
}

/* A point off the curve, a modulus that is even or prime: things that a signature could be forged
 * with, or that make OpenSSL fail later. */
static bool sound(EVP_PKEY *key)
{
    EVP_PKEY_CTX *checking = EVP_PKEY_CTX_new(key, NULL);
    bool is_sound = checking != NULL && EVP_PKEY_public_check(checking) == 1;
    EVP_PKEY_CTX_free(checking);
    return is_sound;
}

static int take_public_key(EVP_PKEY *public_key, struct jwt_key *ret, struct error *err)
{
    if (public_key == NULL || !sound(public_key)) {
        EVP_PKEY_free(public_key);
        return error_set(err, ERROR_INVALID, "its numbers make no public key");
    }
    ret->public_key = public_key;
    return 0;
}

static int read_rsa(const json_t *json, struct jwt_key *ret, struct error *err)
{
    uint8_t modulus[JWT_RSA_BITS_MAX / 8], exponent[EXPONENT_MAX];
    size_t modulus_count = 0, exponent_count = 0;
    int result = octets(json, "n", modulus, sizeof modulus, &modulus_count, err);
    if (result == 0)
        result = octets(json, "e", exponent, sizeof exponent, &exponent_count, err);
    if (result != 0)
        return result;
    BIGNUM *n = BN_bin2bn(modulus, (int)modulus_count, NULL);
    BIGNUM *e = BN_bin2bn(exponent, (int)exponent_count, NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    int bits = n == NULL ? 0 : BN_num_bits(n);
    if (n == NULL || e == NULL || builder == NULL)
        result = error_no_memory(err);
    else if (bits < (int)JWT_RSA_BITS_MIN)
        result =
            error_set(err, ERROR_INVALID, "RSA of %d bits; at least %u", bits, JWT_RSA_BITS_MIN);
    else if (!BN_is_odd(e) || BN_is_one(e))
        result = error_set(err, ERROR_INVALID, "the exponent 'e' is even or 1");
    else if (OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
             OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) != 1)
        result = error_no_memory(err);
    else
        result = take_public_key(build("RSA", builder), ret, err);
    OSSL_PARAM_BLD_free(builder);
    BN_free(n);
    BN_free(e);
    return result;
}

static int read_ec(const json_t *json, struct jwt_key *ret, struct error *err)
{
    uint8_t point[1 + 2 * P256_BYTES] = {POINT_CONVERSION_UNCOMPRESSED};
    size_t x_count = 0, y_count = 0;
    int result = octets(json, "x", point + 1, P256_BYTES, &x_count, err);
    if (result == 0)
        result = octets(json, "y", point + 1 + P256_BYTES, P256_BYTES, &y_count, err);
    if (result != 0)
        return result;
    if (x_count != P256_BYTES || y_count != P256_BYTES)
        return error_set(err, ERROR_INVALID, "'x' and 'y' of P-256 are %u bytes each", P256_BYTES);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (builder == NULL ||
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) !=
            1)
        result = error_no_memory(err);
    else
        result = take_public_key(build("EC", builder), ret, err);
    OSSL_PARAM_BLD_free(builder);
    return result;
}

static int read_ed25519(const json_t *json, struct jwt_key *ret, struct error *err)
{
    uint8_t bytes[ED25519_BYTES];
    size_t count = 0;
    int result = octets(json, "x", bytes, sizeof bytes, &count, err);
    if (result != 0)
        return result;
    if (count != sizeof bytes)
        return error_set(err, ERROR_INVALID, "'x' of Ed25519 is %u bytes", ED25519_BYTES);
    ret->public_key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, bytes, sizeof bytes);
    return ret->public_key == NULL ? error_no_memory(err) : 0;
}

static int read_secret(const json_t *json, struct jwt_key *ret, struct error *err)
{
    uint8_t bytes[JWT_HMAC_BYTES_MAX];
    size_t count = 0;
    int result = octets(json, "k", bytes, sizeof bytes, &count, err);
    if (result == 0 && count < JWT_HMAC_BYTES_MIN)
        result = error_set(err, ERROR_INVALID, "a secret of %zu bytes; at least %u", count,
                           JWT_HMAC_BYTES_MIN);
    if (result == 0) {
        ret->secret = malloc(count);
        ret->secret_count = count;
        result = ret->secret == NULL ? error_no_memory(err) : 0;
    }
    if (result == 0)
        memcpy(ret->secret, bytes, count);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return result;
}

/* -- One key -- */

struct kind {
    const char *type, *curve; /* curve NULL: the type has none */
    enum jwt_algorithm algorithm;
    int (*read)(const json_t *json, struct jwt_key *ret, struct error *err);
};
static const struct kind kinds[] = {{"oct", NULL, JWT_HS256, read_secret},
                                    {"RSA", NULL, JWT_RS256, read_rsa},
                                    {"EC", "P-256", JWT_ES256, read_ec},
                                    {"OKP", "Ed25519", JWT_EDDSA, read_ed25519}};
#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

static const struct kind *find_kind(const char *type, const char *curve)
{
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (strcmp(kinds[i].type, type) == 0 &&
            (kinds[i].curve == NULL || (curve != NULL && strcmp(kinds[i].curve, curve) == 0)))
            return &kinds[i];
    return NULL;
}

/* Whether "use" and "key_ops" let it verify. */
static int meant_for_signatures(const json_t *json, bool *ret, struct error *err)
{
    const char *use = NULL;
    int result = member(json, "use", &use, err);
    const json_t *operations = json_object_get(json, "key_ops"), *operation;
    size_t i;
    if (result != 0)
        return result;
    if (operations != NULL && !json_is_array(operations))
        return error_set(err, ERROR_INVALID, "'key_ops' is not a list");
    bool verifies = operations == NULL;
    json_array_foreach(operations, i, operation)
    {
        const char *name = json_string_value(operation);
        verifies = verifies || (name != NULL && strcmp(name, "verify") == 0);
    }
    *ret = verifies && (use == NULL || strcmp(use, "sig") == 0);
    return 0;
}

/* *ret: how to read it, or NULL for a key that is not for us. */
static int choose_kind(const json_t *json, const struct kind **ret, struct error *err)
{
    const char *type = NULL, *curve = NULL, *algorithm = NULL;
    bool meant = false;
    int result = member(json, "kty", &type, err);
    if (result == 0 && type == NULL)
        result = error_set(err, ERROR_INVALID, "'kty' is missing");
    if (result == 0)
        result = member(json, "crv", &curve, err);
    if (result == 0)
        result = member(json, "alg", &algorithm, err);
    if (result == 0)
        result = meant_for_signatures(json, &meant, err);
    if (result != 0)
        return result;
    const struct kind *kind = find_kind(type, curve);
    *ret = NULL;
    if (kind == NULL || !meant)
        return 0;
    if (algorithm == NULL || jwt_algorithm_is(kind->algorithm, algorithm)) {
        *ret = kind;
        return 0;
    }
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (jwt_algorithm_is(kinds[i].algorithm, algorithm))
            return error_set(err, ERROR_INVALID, "'alg' %s is not for a key of kty %s", algorithm,
                             kind->type);
    return 0; /* RS512, PS256 and such */
}

static int read_kid(const json_t *json, const struct jwt_keys *keys, struct jwt_key *key,
                    struct error *err)
{
    const char *kid = NULL;
    int result = member(json, "kid", &kid, err);
    if (result != 0 || kid == NULL)
        return result;
    size_t count = strlen(kid);
    if (count > JWT_KID_MAX)
        return error_set(err, ERROR_INVALID, "'kid' is longer than %u bytes", JWT_KID_MAX);
    for (uint32_t i = 0; count > 0 && i < keys->count; i++)
        if (keys->keys[i].algorithm == key->algorithm && strcmp(keys->keys[i].kid, kid) == 0)
            return error_set(err, ERROR_INVALID, "another key of that kind has the same kid");
    memcpy(key->kid, kid, count + 1);
    return 0;
}

static void release(struct jwt_key *key)
{
    EVP_PKEY_free(key->public_key);
    if (key->secret != NULL)
        OPENSSL_cleanse(key->secret, key->secret_count);
    free(key->secret);
}

static int add_key(struct jwt_keys *keys, const json_t *json, struct error *err)
{
    if (!json_is_object(json))
        return error_set(err, ERROR_INVALID, "not an object");
    const struct kind *kind = NULL;
    int result = choose_kind(json, &kind, err);
    if (result != 0 || kind == NULL)
        return result;
    struct jwt_key key = {.algorithm = kind->algorithm};
    result = read_kid(json, keys, &key, err);
    if (result == 0 && kind->algorithm != JWT_HS256 && json_object_get(json, "d") != NULL)
        result = error_set(err, ERROR_INVALID,
                           "a private key: its 'd' can sign tokens; only the public part belongs "
                           "here");
    if (result == 0)
        result = kind->read(json, &key, err);
    if (result != 0) {
        release(&key);
        return result;
    }
    keys->keys[keys->count++] = key;
    return 0;
}

/* -- The document -- */

static int keep_rule(char to[JWT_CLAIM_MAX + 1], const char *from, const char *what,
                     struct error *err)
{
    size_t count = strlen(from);
    if (count > JWT_CLAIM_MAX)
        return error_set(err, ERROR_INVALID, "the %s is longer than %u bytes", what, JWT_CLAIM_MAX);
    memcpy(to, from, count + 1);
    return 0;
}

static int keep_rules(struct jwt_keys *keys, const struct jwt_rules *rules, struct error *err)
{
    int result = keep_rule(keys->issuer, rules->issuer, "issuer", err);
    if (result == 0)
        result = keep_rule(keys->audience, rules->audience, "audience", err);
    if (result == 0)
        result = keep_rule(keys->subject_claim, rules->subject_claim, "claim's name", err);
    if (result == 0 && keys->subject_claim[0] == '\0')
        result = error_set(err, ERROR_INVALID, "no claim is named that holds the user");
    return result;
}

static int add_keys(struct jwt_keys *keys, const json_t *document, struct error *err)
{
    const json_t *list = json_object_get(document, "keys"), *json;
    size_t i, count = json_array_size(list);
    if (!json_is_array(list))
        return error_set(err, ERROR_INVALID, "expected {\"keys\": [...]}");
    if (count > JWT_KEYS_MAX)
        return error_set(err, ERROR_INVALID, "%zu keys, at most %u", count, JWT_KEYS_MAX);
    json_array_foreach(list, i, json)
    {
        int result = add_key(keys, json, err);
        if (result == 0)
            continue;
        const char *kid = json_string_value(json_object_get(json, "kid"));
        return kid == NULL ? error_wrap(err, "keys[%zu]", i)
                           : error_wrap(err, "keys[%zu] (kid '%.64s')", i, kid);
    }
    if (keys->count == 0)
        return error_set(err, ERROR_INVALID,
                         "none of the %zu keys verifies HS256, RS256, ES256 or EdDSA", count);
    return 0;
}

int jwt_keys_load(const char *json, size_t count, const struct jwt_rules *rules,
                  struct jwt_keys **ret, struct error *err)
{
    struct error local = {0};
    if (err == NULL)
        err = &local;
    if (count > JWKS_BYTES_MAX)
        return error_set(err, ERROR_INVALID, "%zu bytes, at most %u", count, JWKS_BYTES_MAX);
    struct jwt_keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL)
        return error_no_memory(err);
    json_t *document = NULL;
    (void)ERR_set_mark(); /* what fails here must not be found in the queue by TLS */
    int result = keep_rules(keys, rules, err);
    if (result == 0)
        result = jwt_json_read(json, count, &document, err);
    if (result == 0)
        result = add_keys(keys, document, err);
    (void)ERR_pop_to_mark();
    json_decref(document);
    if (result != 0) {
        jwt_keys_free(keys);
        return result;
    }
    *ret = keys;
    return 0;
}

void jwt_keys_free(struct jwt_keys *keys)
{
    if (keys == NULL)
        return;
    for (uint32_t i = 0; i < keys->count; i++)
        release(&keys->keys[i]);
    free(keys);
}

bool jwt_keys_hold_secrets(const struct jwt_keys *keys)
{
    for (uint32_t i = 0; i < keys->count; i++)
        if (keys->keys[i].secret != NULL)
            return true;
    return false;
}
