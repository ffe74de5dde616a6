/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "policy/users/identity_rules.h"
#include "tests/unit/policy/scratch.h"
#include "tests/unit/policy/token_maker.h"

#define NOW INT64_C(1796083200)

struct fixture {
    char folder[SCRATCH_PATH_BYTES];
    char path[SCRATCH_PATH_BYTES + 16];
    struct token_key secret, pair;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->secret = token_key_secret(1);
    fixture->pair = token_key_ed25519();
    scratch_make(fixture->folder);
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/file", fixture->folder);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    token_key_release(&fixture->pair);
    scratch_remove(fixture->folder);
    free(fixture);
    return 0;
}

static void write_file(struct fixture *fixture, const void *bytes, size_t count, mode_t mode)
{
    scratch_write(fixture->folder, "file", bytes, count);
    assert_int_equal(chmod(fixture->path, mode), 0);
}

static void write_keys(struct fixture *fixture, const struct token_key *key, mode_t mode)
{
    struct text json = {0};
    text_append_string(&json, "{\"keys\":[");
    token_key_write(key, "", &json);
    text_append_string(&json, "]}\n");
    write_file(fixture, json.bytes, json.count, mode);
    text_destroy(&json);
}

static void accept(const struct policy_identity *settings, struct identity_rules *ret)
{
    struct error err = {0};
    int result = identity_rules_load(settings, ret, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(result, 0);
}

static void refuse(const struct policy_identity *settings, int code, const char *why)
{
    struct error err = {0};
    struct identity_rules rules = {.jwt = NULL};
    assert_int_equal(identity_rules_load(settings, &rules, &err), code);
    if (strstr(err.text, why) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, why);
    assert_null(rules.jwt);
    assert_int_equal(rules.gateway.secret_count, 0);
    assert_int_equal(identity_rules_load(settings, &rules, NULL), code);
}

static void nothing_named_proves_nothing(void **state)
{
    (void)state;
    struct identity_rules rules;
    const struct policy_identity none = {.jwt_keys_file = NULL};
    const struct policy_identity empty = {"", "", "", "sub", ""};
    accept(&none, &rules);
    assert_null(rules.jwt);
    assert_int_equal(rules.gateway.secret_count, 0);
    identity_rules_destroy(&rules);
    identity_rules_destroy(&rules);
    accept(&empty, &rules);
    assert_null(rules.jwt);
}

static void keys_of_the_file_verify_by_the_rules(void **state)
{
    struct fixture *fixture = *state;
    struct identity_rules rules;
    struct jwt_identity identity;
    struct text token = {0};
    const struct policy_identity settings = {
        .jwt_keys_file = fixture->path, .jwt_issuer = "i", .jwt_audience = "a", .jwt_claim = "oid"};
    write_keys(fixture, &fixture->pair, 0644); /* public keys are public */
    accept(&settings, &rules);
    token_make(&fixture->pair, "{\"alg\":\"EdDSA\"}",
               "{\"iss\":\"i\",\"aud\":\"a\",\"oid\":\"alice\"}", &token);
    assert_int_equal(jwt_verify(rules.jwt, token.bytes, token.count, NOW, &identity, NULL), 0);
    assert_string_equal(identity.subject, "alice");
    token_make(&fixture->pair, "{\"alg\":\"EdDSA\"}", "{\"iss\":\"i\",\"oid\":\"alice\"}", &token);
    assert_int_equal(jwt_verify(rules.jwt, token.bytes, token.count, NOW, &identity, NULL),
                     ERROR_REFUSED);
    text_destroy(&token);
    identity_rules_destroy(&rules);
}

static void hmac_secret_that_others_may_read_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct identity_rules rules;
    const struct policy_identity settings = {.jwt_keys_file = fixture->path};
    write_keys(fixture, &fixture->secret, 0640);
    refuse(&settings, ERROR_REFUSED, "mode 640");
    write_keys(fixture, &fixture->secret, 0600);
    accept(&settings, &rules);
    identity_rules_destroy(&rules);
}

static void rules_without_keys_are_refused(void **state)
{
    (void)state;
    const struct policy_identity issuer = {.jwt_issuer = "i"}, audience = {.jwt_audience = "a"};
    refuse(&issuer, ERROR_INVALID, "need users.jwt_keys");
    refuse(&audience, ERROR_INVALID, "need users.jwt_keys");
}

static void broken_files_are_named(void **state)
{
    struct fixture *fixture = *state;
    const struct policy_identity settings = {.jwt_keys_file = fixture->path},
                                 folder = {.jwt_keys_file = fixture->folder},
                                 gateway = {.gateway_secret_file = fixture->path};
    refuse(&settings, ERROR_NOT_FOUND, fixture->path);
    refuse(&gateway, ERROR_NOT_FOUND, fixture->path);
    refuse(&folder, ERROR_INVALID, "not a regular file");
    write_file(fixture, "{\"keys\":[]}", 11, 0600);
    refuse(&settings, ERROR_INVALID, fixture->path);
    refuse(&settings, ERROR_INVALID, "none of the 0 keys");
    refuse(&gateway, ERROR_INVALID, "expected 32 to 256 bytes, got 11");
}

static void gateway_secret_ends_before_its_lines_end(void **state)
{
    struct fixture *fixture = *state;
    struct identity_rules rules;
    const struct policy_identity settings = {.gateway_secret_file = fixture->path};
    static const char secret[] = "0123456789abcdef0123456789abcdef";
    static const char *const files[] = {"0123456789abcdef0123456789abcdef",
                                        "0123456789abcdef0123456789abcdef\n",
                                        "0123456789abcdef0123456789abcdef\r\n"};
    for (size_t i = 0; i < 3; i++) {
        write_file(fixture, files[i], strlen(files[i]), 0600);
        accept(&settings, &rules);
        assert_int_equal(rules.gateway.secret_count, 32);
        assert_memory_equal(rules.gateway.secret, secret, 32);
        assert_int_equal(rules.gateway.window_s, GATEWAY_WINDOW_S);
        identity_rules_destroy(&rules);
    }
    write_file(fixture, "0123456789abcdef0123456789abcde\n", 32, 0600);
    refuse(&settings, ERROR_INVALID, "31 bytes of secret; at least 32");
    write_file(fixture, secret, 32, 0604);
    refuse(&settings, ERROR_REFUSED, "mode 604");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_named_proves_nothing),
        cmocka_unit_test_setup_teardown(keys_of_the_file_verify_by_the_rules, setup, teardown),
        cmocka_unit_test_setup_teardown(hmac_secret_that_others_may_read_is_refused, setup,
                                        teardown),
        cmocka_unit_test(rules_without_keys_are_refused),
        cmocka_unit_test_setup_teardown(broken_files_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(gateway_secret_ends_before_its_lines_end, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
