/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/users/base64url.h"
#include "policy/users/jwt.h"
#include "tests/unit/policy/token_maker.h"

#define NOW INT64_C(1796083200)
#define CLAIMS                                                                                     \
    "{\"iss\":\"https://id.example\",\"sub\":\"alice\",\"aud\":\"weir\",\"exp\":1796083260}"

static const struct jwt_rules any = {.issuer = "", .audience = "", .subject_claim = "sub"};
static const struct jwt_rules ours = {
    .issuer = "https://id.example", .audience = "weir", .subject_claim = "sub"};

struct fixture {
    struct token_key secret, rsa, ec, ed25519;
    struct text json, token;
    struct jwt_keys *keys; /* all four, kids hs, rs, es, ed */
};

static void begin_keys(struct text *json)
{
    text_reset(json);
    text_append_string(json, "{\"keys\":[");
}

static void end_keys(struct text *json)
{
    text_append_string(json, "]}");
}

static struct jwt_keys *load(const struct text *json, const struct jwt_rules *rules)
{
    struct jwt_keys *keys = NULL;
    struct error err = {0};
    int result = jwt_keys_load(json->bytes, json->count, rules, &keys, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(result, 0);
    return keys;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    *fixture = (struct fixture){.secret = token_key_secret(1),
                                .rsa = token_key_rsa(2048),
                                .ec = token_key_ec("P-256"),
                                .ed25519 = token_key_ed25519()};
    begin_keys(&fixture->json);
    token_key_write(&fixture->secret, ",\"kid\":\"hs\",\"alg\":\"HS256\"", &fixture->json);
    text_append_char(&fixture->json, ',');
    token_key_write(&fixture->rsa, ",\"kid\":\"rs\",\"use\":\"sig\"", &fixture->json);
    text_append_char(&fixture->json, ',');
    token_key_write(&fixture->ec, ",\"kid\":\"es\",\"key_ops\":[\"verify\"]", &fixture->json);
    text_append_char(&fixture->json, ',');
    token_key_write(&fixture->ed25519, ",\"kid\":\"ed\"", &fixture->json);
    end_keys(&fixture->json);
    fixture->keys = load(&fixture->json, &any);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    jwt_keys_free(fixture->keys);
    token_key_release(&fixture->rsa);
    token_key_release(&fixture->ec);
    token_key_release(&fixture->ed25519);
    text_destroy(&fixture->json);
    text_destroy(&fixture->token);
    free(fixture);
    return 0;
}

static int verify_text(const struct jwt_keys *keys, const char *token, struct jwt_identity *ret,
                       struct error *err)
{
    return jwt_verify(keys, token, strlen(token), NOW, ret, err);
}

/* Fails unless it is refused with a reason that holds `why`, and the result is untouched. */
static void refuse_text(const struct jwt_keys *keys, const char *token, const char *why)
{
    struct error err = {0};
    struct jwt_identity identity = {.subject = "untouched"};
    assert_int_equal(verify_text(keys, token, &identity, &err), ERROR_REFUSED);
    if (strstr(err.text, why) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, why);
    assert_string_equal(identity.subject, "untouched");
    assert_int_equal(ERR_peek_error(), 0); /* TLS reads this queue */
    assert_int_equal(jwt_verify(keys, token, strlen(token), NOW, &identity, NULL), ERROR_REFUSED);
}

static void accept_text(const struct jwt_keys *keys, const char *token, const char *subject)
{
    struct error err = {0};
    struct jwt_identity identity;
    int result = verify_text(keys, token, &identity, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(result, 0);
    assert_string_equal(identity.subject, subject);
}

/* Claims signed by the fixture's secret. */
static void accept_claims(struct fixture *fixture, const char *claims, const char *subject)
{
    token_make(&fixture->secret, "{\"alg\":\"HS256\"}", claims, &fixture->token);
    accept_text(fixture->keys, text_string(&fixture->token), subject);
}

static void refuse_claims(struct fixture *fixture, const char *claims, const char *why)
{
    token_make(&fixture->secret, "{\"alg\":\"HS256\"}", claims, &fixture->token);
    refuse_text(fixture->keys, text_string(&fixture->token), why);
}

static void refuse_header(struct fixture *fixture, const char *header, const char *why)
{
    token_make(&fixture->secret, header, CLAIMS, &fixture->token);
    refuse_text(fixture->keys, text_string(&fixture->token), why);
}

/* RFC 7515, appendix A.1: its key, its token, which expired in 2011. */
static void token_of_rfc_7515_holds_at_its_time(void **state)
{
    (void)state;
    static const char json[] =
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75"
        "aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}]}";
    static const char token[] = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
                                "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcG"
                                "xlLmNvbS9pc19yb290Ijp0cnVl"
                                "fQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const struct jwt_rules by_issuer = {.issuer = "joe", .audience = "", .subject_claim = "iss"};
    struct jwt_keys *keys = NULL;
    struct jwt_identity identity;
    struct error err = {0};
    assert_int_equal(jwt_keys_load(json, sizeof json - 1, &by_issuer, &keys, &err), 0);
    assert_int_equal(jwt_verify(keys, token, sizeof token - 1, 1300819379, &identity, &err), 0);
    assert_string_equal(identity.issuer, "joe");
    assert_string_equal(identity.subject, "joe");
    assert_int_equal(identity.expires_unix, 1300819380);
    assert_int_equal(jwt_verify(keys, token, sizeof token - 1, NOW, &identity, &err),
                     ERROR_REFUSED);
    jwt_keys_free(keys);
}

/* tests/golden/jwt_vectors.py made them with Python's cryptography. */
static void tokens_of_another_implementation_hold(void **state)
{
    (void)state;
    char json[4096], token[4096];
    struct jwt_keys *keys = NULL;
    struct error err = {0};
    FILE *file = fopen("tests/golden/jwt-keys.json", "re");
    assert_non_null(file);
    size_t count = fread(json, 1, sizeof json, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(jwt_keys_load(json, count, &ours, &keys, &err), 0);
    uint32_t tokens = 0;
    file = fopen("tests/golden/jwt-tokens.txt", "re");
    assert_non_null(file);
    for (; fgets(token, sizeof token, file) != NULL; tokens++) {
        token[strcspn(token, "\n")] = '\0';
        accept_text(keys, token, "alice");
    }
    assert_int_equal(fclose(file), 0);
    assert_int_equal(tokens, 4);
    jwt_keys_free(keys);
}

static void each_algorithm_verifies_its_own_tokens(void **state)
{
    struct fixture *fixture = *state;
    const struct {
        const struct token_key *key;
        const char *header;
    } tokens[] = {{&fixture->secret, "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"hs\"}"},
                  {&fixture->rsa, "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"rs\"}"},
                  {&fixture->ec, "{\"alg\":\"ES256\",\"typ\":\"application/at+JWT\"}"},
                  {&fixture->ed25519, "{\"alg\":\"EdDSA\",\"kid\":\"ed\"}"},
                  {&fixture->ed25519, "{\"alg\":\"Ed25519\"}"}};
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        token_make(tokens[i].key, tokens[i].header, CLAIMS, &fixture->token);
        accept_text(fixture->keys, text_string(&fixture->token), "alice");
    }
    struct jwt_identity identity;
    assert_int_equal(verify_text(fixture->keys, text_string(&fixture->token), &identity, NULL), 0);
    assert_string_equal(identity.issuer, "https://id.example");
    assert_int_equal(identity.expires_unix, 1796083260);
    assert_true(jwt_keys_hold_secrets(fixture->keys));
}

/* r or s begins with a zero byte in one signature of 128, and DER then is shorter. */
static void es256_holds_whatever_the_length_of_its_numbers(void **state)
{
    struct fixture *fixture = *state;
    char claims[64];
    for (uint32_t i = 0; i < 600; i++) {
        (void)snprintf(claims, sizeof claims, "{\"sub\":\"user-%u\"}", i);
        token_make(&fixture->ec, "{\"alg\":\"ES256\"}", claims, &fixture->token);
        struct jwt_identity identity;
        assert_int_equal(verify_text(fixture->keys, text_string(&fixture->token), &identity, NULL),
                         0);
    }
}

static void any_changed_byte_is_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct token_key *keys[] = {&fixture->secret, &fixture->rsa, &fixture->ec,
                                      &fixture->ed25519};
    static const char *const headers[] = {"{\"alg\":\"HS256\"}", "{\"alg\":\"RS256\"}",
                                          "{\"alg\":\"ES256\"}", "{\"alg\":\"EdDSA\"}"};
    struct jwt_identity identity;
    for (size_t k = 0; k < 4; k++) {
        token_make(keys[k], headers[k], CLAIMS, &fixture->token);
        for (size_t i = 0; i < fixture->token.count; i++) {
            char kept = fixture->token.bytes[i];
            fixture->token.bytes[i] = kept == 'A' ? 'B' : 'A';
            assert_int_equal(jwt_verify(fixture->keys, fixture->token.bytes, fixture->token.count,
                                        NOW, &identity, NULL),
                             ERROR_REFUSED);
            fixture->token.bytes[i] = kept;
        }
        for (size_t count = 0; count < fixture->token.count; count++)
            assert_int_equal(
                jwt_verify(fixture->keys, fixture->token.bytes, count, NOW, &identity, NULL),
                ERROR_REFUSED);
    }
}

static void token_never_chooses_the_algorithm(void **state)
{
    struct fixture *fixture = *state;
    refuse_header(fixture, "{\"alg\":\"none\"}", "no key for such an alg");
    refuse_header(fixture, "{\"alg\":\"HS384\"}", "no key for such an alg");
    refuse_header(fixture, "{\"alg\":\"hs256\"}", "no key for such an alg");
    refuse_header(fixture, "{\"alg\":\"RS256\",\"kid\":\"hs\"}", "no key for such an alg and kid");
    refuse_header(fixture, "{\"alg\":\"HS256\",\"kid\":\"rs\"}", "no key for such an alg and kid");
    refuse_header(fixture, "{\"alg\":\"RS256\"}", "signature");
    /* "alg: none" with nothing where the signature was */
    text_reset(&fixture->token);
    token_base64url("{\"alg\":\"none\"}", 14, &fixture->token);
    text_append_char(&fixture->token, '.');
    token_base64url(CLAIMS, sizeof CLAIMS - 1, &fixture->token);
    text_append_char(&fixture->token, '.');
    refuse_text(fixture->keys, text_string(&fixture->token), "HEADER.CLAIMS.SIGNATURE");
}

/* The public key is public: a token that uses its bytes as an HMAC secret must not hold. */
static void public_key_is_no_hmac_secret(void **state)
{
    struct fixture *fixture = *state;
    struct token_key forged = {.pair = NULL};
    size_t count = sizeof forged.secret;
    assert_int_equal(EVP_PKEY_get_raw_public_key(fixture->ed25519.pair, forged.secret, &count), 1);
    begin_keys(&fixture->json);
    token_key_write(&fixture->ed25519, ",\"kid\":\"ed\"", &fixture->json);
    end_keys(&fixture->json);
    struct jwt_keys *keys = load(&fixture->json, &any);
    assert_false(jwt_keys_hold_secrets(keys));
    token_make(&forged, "{\"alg\":\"HS256\",\"kid\":\"ed\"}", CLAIMS, &fixture->token);
    refuse_text(keys, text_string(&fixture->token), "no key for such an alg");
    token_make(&forged, "{\"alg\":\"EdDSA\",\"kid\":\"ed\"}", CLAIMS, &fixture->token);
    refuse_text(keys, text_string(&fixture->token), "signature");
    jwt_keys_free(keys);
}

static void header_is_read_strictly(void **state)
{
    struct fixture *fixture = *state;
    refuse_header(fixture, "{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":true}", "crit");
    refuse_header(fixture, "{\"alg\":\"HS256\",\"crit\":[]}", "crit");
    refuse_header(fixture, "{\"typ\":\"JWT\"}", "alg: missing");
    refuse_header(fixture, "{\"alg\":[\"HS256\"]}", "alg: missing, or not a string");
    refuse_header(fixture, "{\"alg\":\"HS256\",\"kid\":7}", "kid: not a string");
    refuse_header(fixture, "{\"alg\":\"HS256\",\"typ\":\"dpop+jwt\"}", "typ");
    refuse_header(fixture, "{\"alg\":\"HS256\",\"typ\":\"logout+jwt\"}", "typ");
    refuse_header(fixture, "{\"alg\":\"HS256\",\"typ\":null}", "typ");
    refuse_header(fixture, "{\"alg\":\"HS256\",\"alg\":\"HS256\"}", "given twice");
    refuse_header(fixture, "{\"alg\":\"HS256\",\"a\\u006cg\":\"none\"}", "given twice");
    refuse_header(fixture, "[\"HS256\"]", "not a JSON object");
    refuse_header(fixture, "{\"alg\":\"HS256\"} x", "not a JSON object");
    refuse_header(fixture, "{\"alg\":\"HS256\",\"x\":[[[[[[[[1]]]]]]]]}", "nested deeper");
    refuse_header(fixture, "{\"alg\":\"HS256\",\"kid\":\"hs\\u0000\"}", "not a JSON object");
}

/* A brace in a string opens nothing, and a quote after a backslash closes nothing. */
static void depth_is_counted_outside_of_strings(void **state)
{
    struct fixture *fixture = *state;
    accept_claims(fixture, "{\"sub\":\"alice\",\"x\":\"[[[[[[[[[[{{{\\\"[[[[[[[[\"}", "alice");
}

static void kid_narrows_the_keys_down(void **state)
{
    struct fixture *fixture = *state;
    struct token_key second = token_key_secret(2), third = token_key_secret(3);
    begin_keys(&fixture->json);
    token_key_write(&fixture->secret, ",\"kid\":\"one\"", &fixture->json);
    text_append_char(&fixture->json, ',');
    token_key_write(&second, ",\"kid\":\"two\"", &fixture->json);
    text_append_char(&fixture->json, ',');
    token_key_write(&third, "", &fixture->json);
    end_keys(&fixture->json);
    struct jwt_keys *keys = load(&fixture->json, &any);
    token_make(&second, "{\"alg\":\"HS256\",\"kid\":\"two\"}", CLAIMS, &fixture->token);
    accept_text(keys, text_string(&fixture->token), "alice");
    token_make(&second, "{\"alg\":\"HS256\",\"kid\":\"one\"}", CLAIMS, &fixture->token);
    refuse_text(keys, text_string(&fixture->token), "none of the 2 keys");
    /* a token without a name is tried under all, and a key without a name tries all */
    token_make(&second, "{\"alg\":\"HS256\"}", CLAIMS, &fixture->token);
    accept_text(keys, text_string(&fixture->token), "alice");
    token_make(&third, "{\"alg\":\"HS256\",\"kid\":\"else\"}", CLAIMS, &fixture->token);
    accept_text(keys, text_string(&fixture->token), "alice");
    jwt_keys_free(keys);
}

static void few_keys_are_tried_for_a_token_that_names_none(void **state)
{
    struct fixture *fixture = *state;
    char kid[32];
    begin_keys(&fixture->json);
    for (uint8_t i = 0; i < 64; i++) {
        struct token_key key = token_key_secret(i);
        (void)snprintf(kid, sizeof kid, ",\"kid\":\"%u\"", i);
        if (i > 0)
            text_append_char(&fixture->json, ',');
        token_key_write(&key, kid, &fixture->json);
    }
    end_keys(&fixture->json);
    struct jwt_keys *keys = load(&fixture->json, &any);
    struct token_key last = token_key_secret(63);
    token_make(&last, "{\"alg\":\"HS256\"}", CLAIMS, &fixture->token);
    refuse_text(keys, text_string(&fixture->token), "none of the 8 keys");
    token_make(&last, "{\"alg\":\"HS256\",\"kid\":\"63\"}", CLAIMS, &fixture->token);
    accept_text(keys, text_string(&fixture->token), "alice");
    jwt_keys_free(keys);
}

static void shape_is_three_parts_of_canonical_base64url(void **state)
{
    struct fixture *fixture = *state;
    token_make(&fixture->secret, "{\"alg\":\"HS256\"}", CLAIMS, &fixture->token);
    char changed[TOKEN_BYTES_MAX];
    const char *token = text_string(&fixture->token);
    const char *const shapes[] = {"%s.", ".%s", "%s.x", "a.b.%s", "%s=", "%s ", " %s", "%s\n"};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        size_t at = (size_t)(strstr(shapes[i], "%s") - shapes[i]);
        (void)snprintf(changed, sizeof changed, "%.*s%s%s", (int)at, shapes[i], token,
                       shapes[i] + at + 2);
        refuse_text(fixture->keys, changed, "");
    }
    refuse_text(fixture->keys, "", "HEADER.CLAIMS.SIGNATURE");
    refuse_text(fixture->keys, "..", "HEADER.CLAIMS.SIGNATURE");
    memset(changed, 'A', sizeof changed);
    changed[JWT_BYTES_MAX + 1] = '\0';
    refuse_text(fixture->keys, changed, "at most 8192");
    /* the last letter of 32 bytes carries two bits that mean nothing */
    (void)snprintf(changed, sizeof changed, "%s", token);
    char *last = changed + strlen(changed) - 1;
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    *last = letters[(size_t)(strchr(letters, *last) - letters) + 1];
    refuse_text(fixture->keys, changed, "signature: not base64url");
}

static void times_are_kept_with_a_leeway(void **state)
{
    struct fixture *fixture = *state;
    accept_claims(fixture, "{\"sub\":\"a\",\"exp\":1796083141}", "a"); /* 59 s ago */
    refuse_claims(fixture, "{\"sub\":\"a\",\"exp\":1796083140}", "exp: expired 60 s ago");
    accept_claims(fixture, "{\"sub\":\"a\",\"exp\":1796083141.9}", "a");
    accept_claims(fixture, "{\"sub\":\"a\",\"nbf\":1796083260}", "a");
    refuse_claims(fixture, "{\"sub\":\"a\",\"nbf\":1796083261}", "nbf: valid in 61 s");
    accept_claims(fixture, "{\"sub\":\"a\",\"iat\":1796083260}", "a");
    refuse_claims(fixture, "{\"sub\":\"a\",\"iat\":1796083261}", "iat: issued in 61 s");
    refuse_claims(fixture, "{\"sub\":\"a\",\"exp\":\"1796083300\"}", "exp: not a number");
    refuse_claims(fixture, "{\"sub\":\"a\",\"exp\":null}", "exp: not a number");
    refuse_claims(fixture, "{\"sub\":\"a\",\"exp\":1796083300000}", "not in seconds");
    refuse_claims(fixture, "{\"sub\":\"a\",\"exp\":9223372036854775807}", "not in seconds");
    refuse_claims(fixture, "{\"sub\":\"a\",\"exp\":1e300}", "not in seconds");
    refuse_claims(fixture, "{\"sub\":\"a\",\"nbf\":-1}", "not in seconds");
    refuse_claims(fixture, "{\"sub\":\"a\",\"exp\":92233720368547758070}", "not a JSON object");
}

static void subject_is_a_plain_string(void **state)
{
    struct fixture *fixture = *state;
    char claims[1024], long_id[JWT_CLAIM_MAX + 2];
    memset(long_id, 'x', sizeof long_id);
    long_id[JWT_CLAIM_MAX + 1] = '\0';
    (void)snprintf(claims, sizeof claims, "{\"sub\":\"%s\"}", long_id);
    refuse_claims(fixture, claims, "sub: 513 bytes");
    long_id[JWT_CLAIM_MAX] = '\0';
    (void)snprintf(claims, sizeof claims, "{\"sub\":\"%s\"}", long_id);
    accept_claims(fixture, claims, long_id);
    refuse_claims(fixture, "{}", "sub: missing");
    refuse_claims(fixture, "{\"sub\":\"\"}", "sub: 0 bytes");
    refuse_claims(fixture, "{\"sub\":7}", "sub: not a string");
    refuse_claims(fixture, "{\"sub\":[\"a\"]}", "sub: not a string");
    refuse_claims(fixture, "{\"sub\":\"a\\u0000b\"}", "not a JSON object");
    refuse_claims(fixture, "{\"sub\":\"a\\nb\"}", "control characters");
    refuse_claims(fixture, "{\"sub\":\"a\\u007f\"}", "control characters");
    refuse_claims(fixture, "{\"sub\":\"a\\u0085\"}", "control characters");
    refuse_claims(fixture, "{\"iss\":\"i\\u001f\",\"sub\":\"a\"}", "iss: control characters");
    refuse_claims(fixture, "{\"sub\":\"a\",\"sub\":\"b\"}", "given twice");
    refuse_claims(fixture, "{\"sub\":\"\xff\"}", "not a JSON object");
    refuse_claims(fixture, "{\"sub\":\"\\ud800\"}", "not a JSON object");
    accept_claims(fixture, "{\"sub\":\"Zo\\u00eb\"}", "Zo\xc3\xab");
}

static void configured_claim_is_the_subject(void **state)
{
    struct fixture *fixture = *state;
    const struct jwt_rules rules = {.issuer = "", .audience = "", .subject_claim = "oid"};
    struct jwt_keys *keys = load(&fixture->json, &rules);
    token_make(&fixture->secret, "{\"alg\":\"HS256\"}", "{\"sub\":\"app\",\"oid\":\"alice\"}",
               &fixture->token);
    accept_text(keys, text_string(&fixture->token), "alice");
    token_make(&fixture->secret, "{\"alg\":\"HS256\"}", "{\"sub\":\"app\"}", &fixture->token);
    refuse_text(keys, text_string(&fixture->token), "oid: missing");
    jwt_keys_free(keys);
}

static void issuer_and_audience_are_ours(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *claims, *why; /* NULL: it holds */
    } tokens[] = {
        {CLAIMS, NULL},
        {"{\"iss\":\"https://id.example\",\"sub\":\"alice\",\"aud\":[\"x\",\"weir\"]}", NULL},
        {"{\"iss\":\"https://id.example/\",\"sub\":\"alice\",\"aud\":\"weir\"}", "iss: another"},
        {"{\"sub\":\"alice\",\"aud\":\"weir\"}", "iss: another"},
        {"{\"iss\":[\"https://id.example\"],\"sub\":\"alice\",\"aud\":\"weir\"}",
         "iss: not a string"},
        {"{\"iss\":\"https://id.example\",\"sub\":\"alice\"}", "aud: meant for"},
        {"{\"iss\":\"https://id.example\",\"sub\":\"alice\",\"aud\":\"Weir\"}", "aud: meant for"},
        {"{\"iss\":\"https://id.example\",\"sub\":\"alice\",\"aud\":[]}", "aud: meant for"},
        {"{\"iss\":\"https://id.example\",\"sub\":\"alice\",\"aud\":[\"weir\",7]}", "aud: not all"},
        {"{\"iss\":\"https://id.example\",\"sub\":\"alice\",\"aud\":{\"weir\":1}}", "aud: neither"},
    };
    struct jwt_keys *keys = load(&fixture->json, &ours);
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        token_make(&fixture->secret, "{\"alg\":\"HS256\"}", tokens[i].claims, &fixture->token);
        if (tokens[i].why == NULL)
            accept_text(keys, text_string(&fixture->token), "alice");
        else
            refuse_text(keys, text_string(&fixture->token), tokens[i].why);
    }
    jwt_keys_free(keys);
}

/* -- Documents of keys -- */

static void refuse_keys(const char *json, const char *why)
{
    struct jwt_keys *keys = NULL;
    struct error err = {0};
    assert_int_equal(jwt_keys_load(json, strlen(json), &any, &keys, &err), ERROR_INVALID);
    if (strstr(err.text, why) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, why);
    assert_null(keys);
    assert_int_equal(jwt_keys_load(json, strlen(json), &any, &keys, NULL), ERROR_INVALID);
    assert_int_equal(ERR_peek_error(), 0);
}

static void refuse_key(const struct token_key *key, const char *more, const char *why)
{
    struct text json = {0};
    begin_keys(&json);
    token_key_write(key, more, &json);
    end_keys(&json);
    refuse_keys(text_string(&json), why);
    text_destroy(&json);
}

static void document_of_keys_is_read_strictly(void **state)
{
    (void)state;
    refuse_keys("", "not a JSON object");
    refuse_keys("[]", "not a JSON object");
    refuse_keys("{}", "expected {\"keys\"");
    refuse_keys("{\"keys\":{}}", "expected {\"keys\"");
    refuse_keys("{\"keys\":[]}", "none of the 0 keys");
    refuse_keys("{\"keys\":[],\"keys\":[]}", "given twice");
    refuse_keys("{\"keys\":[7]}", "keys[0]: not an object");
    refuse_keys("{\"keys\":[{\"kid\":\"a\"}]}", "keys[0] (kid 'a'): 'kty' is missing");
    refuse_keys("{\"keys\":[{\"kty\":7}]}", "'kty' is not a string");
    refuse_keys("{\"keys\":[{\"kty\":\"oct\"}]}", "'k' is missing");
    refuse_keys("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}",
                "a secret of 3 bytes; at least 32");
    refuse_keys("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA==\"}]}", "not base64url");
    refuse_keys("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}]}", "is 32 bytes");
    refuse_keys("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}]}",
                "32 bytes each");
    refuse_keys("{\"keys\":[{\"kty\":\"oct\",\"key_ops\":\"verify\"}]}", "not a list");
    refuse_keys("{\"keys\":[[[[[[[[[]]]]]]]]]}", "nested deeper");
    struct text many = {0};
    begin_keys(&many);
    for (uint32_t i = 0; i < JWT_KEYS_MAX; i++)
        text_append_string(&many, "{\"kty\":\"x\"},");
    text_append_string(&many, "{\"kty\":\"x\"}");
    end_keys(&many);
    refuse_keys(text_string(&many), "65 keys, at most 64");
    while (many.count <= JWKS_BYTES_MAX)
        text_append_string(&many, "                                                        ");
    refuse_keys(text_string(&many), "at most 262144");
    text_destroy(&many);
}

static void weak_and_broken_keys_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct token_key small = token_key_rsa(1024);
    refuse_key(&small, ",\"kid\":\"old\"", "keys[0] (kid 'old'): RSA of 1024 bits; at least 2048");
    token_key_release(&small);
    refuse_key(&fixture->rsa, ",\"alg\":\"HS256\"", "'alg' HS256 is not for a key of kty RSA");
    refuse_key(&fixture->secret, ",\"alg\":\"RS256\"", "'alg' RS256 is not for a key of kty oct");
    refuse_key(&fixture->rsa, ",\"d\":\"AAAA\"", "a private key");
    refuse_key(&fixture->ed25519, ",\"d\":\"AAAA\"", "a private key");
    refuse_key(&fixture->ec, ",\"kid\":[]", "'kid' is not a string");
    char even[512], json[1024];
    memset(even, 'B', 341);
    even[341] = 'A'; /* 256 bytes, the last of them even, the first 0000 0100 */
    even[342] = '\0';
    (void)snprintf(json, sizeof json, "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"}]}",
                   even);
    refuse_keys(json, "RSA of 2043 bits");
    even[0] = '_';
    (void)snprintf(json, sizeof json, "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"}]}",
                   even);
    refuse_keys(json, "make no public key");
    (void)snprintf(json, sizeof json, "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQ\"}]}",
                   even);
    refuse_keys(json, "the exponent 'e' is even or 1");
    refuse_keys("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
                "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\",\"y\":"
                "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}]}",
                "make no public key"); /* (1, 1) is not on the curve */
}

static void keys_for_other_purposes_are_passed_over(void **state)
{
    struct fixture *fixture = *state;
    struct token_key other_curve = token_key_ec("P-384");
    refuse_key(&fixture->rsa, ",\"use\":\"enc\"", "none of the 1 keys");
    refuse_key(&fixture->rsa, ",\"alg\":\"PS256\"", "none of the 1 keys");
    refuse_key(&fixture->rsa, ",\"key_ops\":[\"encrypt\"]", "none of the 1 keys");
    refuse_key(&other_curve, "", "none of the 1 keys");
    begin_keys(&fixture->json);
    token_key_write(&other_curve, ",\"kid\":\"a\"", &fixture->json);
    text_append_string(&fixture->json, ",{\"kty\":\"new\",\"kid\":\"a\"},");
    token_key_write(&fixture->rsa, ",\"kid\":\"a\",\"use\":\"enc\"", &fixture->json);
    text_append_char(&fixture->json, ',');
    token_key_write(&fixture->rsa, ",\"kid\":\"a\"", &fixture->json);
    end_keys(&fixture->json);
    struct jwt_keys *keys = load(&fixture->json, &any);
    token_make(&fixture->rsa, "{\"alg\":\"RS256\",\"kid\":\"a\"}", CLAIMS, &fixture->token);
    accept_text(keys, text_string(&fixture->token), "alice");
    jwt_keys_free(keys);
    token_key_release(&other_curve);
}

static void two_keys_of_one_kind_have_two_kids(void **state)
{
    struct fixture *fixture = *state;
    struct token_key second = token_key_secret(2);
    begin_keys(&fixture->json);
    token_key_write(&fixture->secret, ",\"kid\":\"a\"", &fixture->json);
    text_append_char(&fixture->json, ',');
    token_key_write(&second, ",\"kid\":\"a\"", &fixture->json);
    end_keys(&fixture->json);
    refuse_keys(text_string(&fixture->json), "keys[1] (kid 'a'): another key of that kind");
}

/* -- Memory that runs out -- */

static uint32_t allocations_left; /* of jansson; of this test alone */

static void *allocate_some(size_t bytes)
{
    if (allocations_left == 0)
        return NULL;
    allocations_left--;
    return malloc(bytes);
}

static void json_without_memory_proves_nothing(void **state)
{
    struct fixture *fixture = *state;
    int result = ERROR_NO_MEMORY;
    token_make(&fixture->secret, "{\"alg\":\"HS256\",\"kid\":\"hs\"}", CLAIMS, &fixture->token);
    json_set_alloc_funcs(allocate_some, free);
    for (uint32_t given = 0; result != 0; given++) {
        struct jwt_identity identity;
        struct error err = {0};
        allocations_left = given;
        result = jwt_verify(fixture->keys, fixture->token.bytes, fixture->token.count, NOW,
                            &identity, &err);
        assert_int_equal(err.code, result);
        assert_true(given < 1000);
        assert_true(given > 0 || result == ERROR_NO_MEMORY);
    }
    result = ERROR_NO_MEMORY;
    for (uint32_t given = 0; result != 0; given++) {
        struct jwt_keys *keys = NULL;
        allocations_left = given;
        result = jwt_keys_load(fixture->json.bytes, fixture->json.count, &any, &keys, NULL);
        assert_true((result == 0) == (keys != NULL));
        assert_true(given < 1000);
        jwt_keys_free(keys);
    }
    json_set_alloc_funcs(malloc, free);
}

static void rules_are_bounded(void **state)
{
    struct fixture *fixture = *state;
    char long_rule[JWT_CLAIM_MAX + 2];
    memset(long_rule, 'x', sizeof long_rule);
    long_rule[JWT_CLAIM_MAX + 1] = '\0';
    const struct jwt_rules rules[] = {{.issuer = long_rule, .audience = "", .subject_claim = "sub"},
                                      {.issuer = "", .audience = long_rule, .subject_claim = "sub"},
                                      {.issuer = "", .audience = "", .subject_claim = ""}};
    struct jwt_keys *keys = NULL;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        assert_int_equal(
            jwt_keys_load(fixture->json.bytes, fixture->json.count, &rules[i], &keys, NULL),
            ERROR_INVALID);
    assert_null(keys);
    jwt_keys_free(NULL);
}

static void base64url_has_one_spelling(void **state)
{
    (void)state;
    uint8_t bytes[4];
    size_t count = 9;
    assert_true(base64url_decode("", 0, bytes, sizeof bytes, &count));
    assert_int_equal(count, 0);
    assert_true(base64url_decode("-_8", 3, bytes, sizeof bytes, &count));
    assert_int_equal(count, 2);
    assert_int_equal(bytes[0], 0xfb);
    assert_int_equal(bytes[1], 0xff);
    static const char *const wrong[] = {"A",   "AB",  "AAB",  "AAAAA", "AA=", "AA==",    "+_8",
                                        "-/8", "A A", "AA\n", "\xff",  "AA.", "AAAAAAAA"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(base64url_decode(wrong[i], strlen(wrong[i]), bytes, sizeof bytes, &count));
    struct text spelled = {0};
    for (size_t length = 0; length <= sizeof bytes; length++) {
        static const uint8_t from[] = {0xfe, 0x01, 0x80, 0x7f};
        text_reset(&spelled);
        token_base64url(from, length, &spelled);
        assert_true(
            base64url_decode(text_string(&spelled), spelled.count, bytes, sizeof bytes, &count));
        assert_int_equal(count, length);
        assert_memory_equal(bytes, from, length);
    }
    text_destroy(&spelled);
}

static void claims_that_are_wished_for_come_as_words(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *claims, *value; /* NULL: refused */
    } rows[] = {
        {"\"scope\":\"inference usage\"", "inference usage"},
        {"\"scope\":[\"inference\",\"usage\"]", "inference usage"},
        {"\"scope\":[]", ""},
        {"\"other\":1", ""},
        {"\"scope\":7", NULL},
        {"\"scope\":\"\"", NULL},
        {"\"scope\":[\"inference\",7]", NULL},
        {"\"scope\":[\"\"]", NULL},
        {"\"scope\":[\"a\\u0001b\"]", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char claims[256];
        struct jwt_wish wishes[2] = {{.name = "scope", .value = "unset"}, {.name = ""}};
        (void)snprintf(claims, sizeof claims, "{\"sub\":\"alice\",%s}", rows[i].claims);
        token_make(&fixture->secret, "{\"alg\":\"HS256\"}", claims, &fixture->token);
        const struct jwt_question question = {.token = text_string(&fixture->token),
                                              .count = fixture->token.count,
                                              .now_unix = NOW,
                                              .wishes = wishes,
                                              .wish_count = 2};
        struct jwt_identity identity = {.subject = "untouched"};
        struct error err = {0};
        int result = jwt_ask(fixture->keys, &question, &identity, &err);
        assert_int_equal(result, rows[i].value == NULL ? ERROR_REFUSED : 0);
        assert_string_equal(identity.subject, rows[i].value == NULL ? "untouched" : "alice");
        if (rows[i].value != NULL)
            assert_string_equal(wishes[0].value, rows[i].value);
        if (rows[i].value != NULL)
            assert_string_equal(wishes[1].value, "");
    }
    /* a list that is too long in all is refused, not cut */
    struct text claims;
    text_init(&claims);
    text_append_string(&claims, "{\"sub\":\"alice\",\"scope\":[");
    for (uint32_t i = 0; i < 60; i++)
        text_append_format(&claims, "%s\"scope-%u\"", i == 0 ? "" : ",", i);
    text_append_string(&claims, "]}");
    token_make(&fixture->secret, "{\"alg\":\"HS256\"}", text_string(&claims), &fixture->token);
    struct jwt_wish wish = {.name = "scope"};
    const struct jwt_question question = {.token = text_string(&fixture->token),
                                          .count = fixture->token.count,
                                          .now_unix = NOW,
                                          .wishes = &wish,
                                          .wish_count = 1};
    struct jwt_identity identity;
    assert_int_equal(jwt_ask(fixture->keys, &question, &identity, NULL), ERROR_REFUSED);
    text_destroy(&claims);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_of_rfc_7515_holds_at_its_time),
        cmocka_unit_test(tokens_of_another_implementation_hold),
        cmocka_unit_test_setup_teardown(each_algorithm_verifies_its_own_tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(es256_holds_whatever_the_length_of_its_numbers, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(any_changed_byte_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(token_never_chooses_the_algorithm, setup, teardown),
        cmocka_unit_test_setup_teardown(public_key_is_no_hmac_secret, setup, teardown),
        cmocka_unit_test_setup_teardown(header_is_read_strictly, setup, teardown),
        cmocka_unit_test_setup_teardown(depth_is_counted_outside_of_strings, setup, teardown),
        cmocka_unit_test_setup_teardown(kid_narrows_the_keys_down, setup, teardown),
        cmocka_unit_test_setup_teardown(few_keys_are_tried_for_a_token_that_names_none, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(shape_is_three_parts_of_canonical_base64url, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(times_are_kept_with_a_leeway, setup, teardown),
        cmocka_unit_test_setup_teardown(subject_is_a_plain_string, setup, teardown),
        cmocka_unit_test_setup_teardown(configured_claim_is_the_subject, setup, teardown),
        cmocka_unit_test_setup_teardown(issuer_and_audience_are_ours, setup, teardown),
        cmocka_unit_test(document_of_keys_is_read_strictly),
        cmocka_unit_test_setup_teardown(weak_and_broken_keys_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_for_other_purposes_are_passed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(two_keys_of_one_kind_have_two_kids, setup, teardown),
        cmocka_unit_test_setup_teardown(json_without_memory_proves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(rules_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(claims_that_are_wished_for_come_as_words, setup, teardown),
        cmocka_unit_test(base64url_has_one_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
