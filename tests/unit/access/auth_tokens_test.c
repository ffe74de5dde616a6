/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/api/auth_tokens.h"

#define NOW    INT64_C(1796061600)
#define SECRET "an HMAC secret of more than 32 bytes"

struct place {
    char path[32];
    struct config *config;
    struct auth *auth;
    struct auth_cache cache;
};

static void append_base64url(struct text *out, const void *bytes, size_t count)
{
    unsigned char coded[1024];
    int used = EVP_EncodeBlock(coded, bytes, (int)count);
    while (used > 0 && coded[used - 1] == '=')
        used--;
    for (int i = 0; i < used; i++)
        text_append_char(out, (char)(coded[i] == '+' ? '-' : coded[i] == '/' ? '_' : coded[i]));
}

/* "Bearer TOKEN", signed by the secret. */
static void sign(struct text *out, const char *claims)
{
    static const char head[] = "{\"alg\":\"HS256\"}";
    static const char scheme[] = "Bearer ";
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_count = 0;
    text_reset(out);
    text_append_string(out, scheme);
    append_base64url(out, head, sizeof head - 1);
    text_append_char(out, '.');
    append_base64url(out, claims, strlen(claims));
    size_t skip = sizeof scheme - 1;
    assert_non_null(HMAC(EVP_sha256(), SECRET, sizeof SECRET - 1,
                         (const unsigned char *)out->bytes + skip, out->count - skip, mac,
                         &mac_count));
    text_append_char(out, '.');
    append_base64url(out, mac, mac_count);
}

static void configure(struct place *place, const char *jwt, const char *rest)
{
    char yaml[512];
    struct error err = {0};
    auth_free(place->auth);
    config_free(place->config);
    place->auth = NULL;
    place->config = NULL;
    memset(&place->cache, 0, sizeof place->cache);
    (void)snprintf(yaml, sizeof yaml, "access: {jwt: {keys: %s, %s}}\n%s", place->path, jwt, rest);
    (void)config_parse_yaml("w", yaml, strlen(yaml), &place->config, &err);
    assert_string_equal(err.text, "");
    place->auth = auth_new(place->config, &err);
    assert_string_equal(err.text, "");
}

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    struct text keys;
    assert_non_null(place);
    strncpy(place->path, "/tmp/weir-jwks-XXXXXX", sizeof place->path - 1);
    int fd = mkstemp(place->path);
    text_init(&keys);
    text_append_string(&keys, "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"");
    append_base64url(&keys, SECRET, sizeof SECRET - 1);
    text_append_string(&keys, "\"}]}");
    assert_int_equal(write(fd, keys.bytes, keys.count), keys.count);
    close(fd);
    text_destroy(&keys);
    configure(place, "audience: weir, issuer: 'https://id', tenant_claim: org",
              "tenants: [{name: acme, priority: 4}]\n");
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    auth_free(place->auth);
    config_free(place->config);
    (void)unlink(place->path);
    free(place);
    return 0;
}

static enum auth_outcome ask(struct place *place, const char *header, unsigned scope,
                             int64_t now_unix, struct auth_identity *ret)
{
    const struct auth_question question = {
        .authorization = header, .scope = scope, .now_unix = now_unix};
    struct auth_identity alone;
    enum auth_outcome outcome = auth_check(place->auth, &place->cache, &question, ret);
    assert_int_equal(auth_check(place->auth, NULL, &question, &alone), outcome);
    return outcome;
}

#define WHO "\"iss\":\"https://id\",\"aud\":\"weir\",\"sub\":\"u1\""
#define END "\"exp\":1796061700"
#define ORG "\"org\":\"acme\""

static void a_token_has_the_scopes_and_the_tenant_of_its_claims(void **state)
{
    struct place *place = *state;
    static const struct {
        const char *claims;
        enum auth_outcome inference, usage, admin;
    } rows[] = {
        {"{" WHO "," END "," ORG ",\"scope\":\"openid inference\"}", AUTH_GRANTED, AUTH_SCOPE,
         AUTH_SCOPE},
        {"{" WHO "," END "," ORG ",\"scope\":[\"usage\",\"inference\"]}", AUTH_GRANTED,
         AUTH_GRANTED, AUTH_SCOPE},
        {"{" WHO "," END "," ORG ",\"scope\":\"admin\"}", AUTH_SCOPE, AUTH_GRANTED, AUTH_GRANTED},
        {"{" WHO "," END "," ORG ",\"scope\":\"administrator inference2\"}", AUTH_SCOPE, AUTH_SCOPE,
         AUTH_SCOPE},
        {"{" WHO "," END "," ORG "}", AUTH_SCOPE, AUTH_SCOPE, AUTH_SCOPE},
        {"{" WHO "," END ",\"scope\":\"inference\"}", AUTH_TOKEN, AUTH_TOKEN, AUTH_TOKEN},
        {"{" WHO "," ORG ",\"scope\":\"inference\"}", AUTH_TOKEN, AUTH_TOKEN, AUTH_TOKEN},
        {"{\"iss\":\"https://id\",\"aud\":\"else\",\"sub\":\"u1\"," END "," ORG
         ",\"scope\":\"inference\"}",
         AUTH_TOKEN, AUTH_TOKEN, AUTH_TOKEN},
        {"{\"iss\":\"https://di\",\"aud\":\"weir\",\"sub\":\"u1\"," END "," ORG
         ",\"scope\":\"inference\"}",
         AUTH_TOKEN, AUTH_TOKEN, AUTH_TOKEN},
    };
    struct text token;
    struct auth_identity who = {.scopes = 0};
    text_init(&token);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        sign(&token, rows[i].claims);
        assert_int_equal(ask(place, token.bytes, SCOPE_USAGE, NOW, &who), rows[i].usage);
        assert_int_equal(ask(place, token.bytes, SCOPE_ADMIN, NOW, &who), rows[i].admin);
        assert_int_equal(ask(place, token.bytes, SCOPE_INFERENCE, NOW, &who), rows[i].inference);
        if (rows[i].inference == AUTH_GRANTED) {
            assert_string_equal(who.tenant, "acme");
            assert_int_equal(who.rules->priority, 4);
            assert_int_equal(who.tenant_id, auth_tenant_id("acme"));
            assert_int_equal(strncmp(who.subject, "jwt_", 4), 0);
            assert_null(strstr(who.subject, "u1"));
        }
    }
    assert_true(auth_has_admin(place->auth));
    assert_int_equal(ask(place, NULL, SCOPE_INFERENCE, NOW, &who), AUTH_ABSENT);
    assert_int_equal(ask(place, "Bearer some-key", SCOPE_INFERENCE, NOW, &who), AUTH_UNKNOWN);
    assert_int_equal(ask(place, "Bearer a.b.c", SCOPE_INFERENCE, NOW, &who), AUTH_TOKEN);
    text_destroy(&token);
}

static void a_remembered_token_ends_when_it_says(void **state)
{
    struct place *place = *state;
    struct text token;
    struct auth_identity who;
    text_init(&token);
    sign(&token, "{" WHO "," END "," ORG ",\"scope\":\"inference\"}");
    static const int64_t ends = 1796061700 + 60; /* clocks may differ by a minute */
    assert_int_equal(ask(place, token.bytes, SCOPE_INFERENCE, NOW, &who), AUTH_GRANTED);
    assert_int_equal(ask(place, token.bytes, SCOPE_INFERENCE, ends - 1, &who), AUTH_GRANTED);
    assert_int_equal(ask(place, token.bytes, SCOPE_INFERENCE, ends, &who), AUTH_TOKEN);
    token.bytes[token.count - 2] ^= 1; /* another token, of the same claims */
    assert_int_equal(ask(place, token.bytes, SCOPE_INFERENCE, NOW, &who), AUTH_TOKEN);
    text_destroy(&token);
}

static void without_claims_of_its_own_a_token_is_for_inference(void **state)
{
    struct place *place = *state;
    struct text token;
    struct auth_identity who;
    text_init(&token);
    configure(place, "audience: weir, scope_claim: ''", "tenants: [{name: '*', priority: 9}]\n");
    sign(&token, "{\"aud\":[\"else\",\"weir\"],\"sub\":\"u1\"," END ",\"scope\":\"admin\"}");
    assert_int_equal(ask(place, token.bytes, SCOPE_INFERENCE, NOW, &who), AUTH_GRANTED);
    assert_string_equal(who.tenant, "");
    assert_int_equal(who.tenant_id, 0);
    assert_int_equal(who.rules->priority, 9);
    assert_int_equal(ask(place, token.bytes, SCOPE_ADMIN, NOW, &who), AUTH_SCOPE);
    text_destroy(&token);
}

static void unsound_settings_open_nothing(void **state)
{
    struct place *place = *state;
    struct error err = {0};
    char yaml[128];
    struct config *config = NULL;
    (void)snprintf(yaml, sizeof yaml, "access: {jwt: {keys: %s}}\n", place->path);
    assert_int_equal(config_parse_yaml("w", yaml, strlen(yaml), &config, &err), 0);
    assert_null(auth_new(config, &err));
    assert_int_equal(strncmp(err.text, "access.jwt.audience: must not be empty", 38), 0);
    assert_int_equal(chmod(place->path, 0644), 0);
    assert_null(auth_new(place->config, &err));
    assert_int_equal(err.code, ERROR_REFUSED);
    assert_int_equal(strncmp(err.text, "access.jwt.keys: ", 17), 0);
    config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_token_has_the_scopes_and_the_tenant_of_its_claims, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_remembered_token_ends_when_it_says, setup, teardown),
        cmocka_unit_test_setup_teardown(without_claims_of_its_own_a_token_is_for_inference, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(unsound_settings_open_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
