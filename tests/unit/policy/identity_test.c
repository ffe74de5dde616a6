/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "policy/users/identity.h"
#include "policy/users/sketch.h"
#include "tests/unit/policy/token_maker.h"

#define NOW INT64_C(1796083200)

static const uint8_t key[SIPHASH_KEY_BYTES] = {0, 1, 2,  3,  4,  5,  6,  7,
                                               8, 9, 10, 11, 12, 13, 14, 15};

static struct identity of_user(const char *tenant, const char *user)
{
    const struct policy_claims claims = {.tenant = tenant, .user = user};
    return identity_of(NULL, &claims, key, NOW);
}

/* The first values of the reference implementation's table: inputs 00, 00 01, 00 01 02 ... */
static void siphash_gives_the_reference_vectors(void **state)
{
    (void)state;
    static const uint64_t expected[] = {
        UINT64_C(0x726fdb47dd0e0e31), UINT64_C(0x74f839c593dc67fd), UINT64_C(0x0d6c8009d9a94f5a),
        UINT64_C(0x85676696d7fb7e2d), UINT64_C(0xcf2794e0277187b7), UINT64_C(0x18765564cd99a68d),
        UINT64_C(0xcbc9466e58fee3ce), UINT64_C(0xab0200f58b01d137), UINT64_C(0x93f5f5799a932462)};
    uint8_t input[64];
    for (uint8_t i = 0; i < sizeof input; i++)
        input[i] = i;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_true(siphash(key, input, i) == expected[i]);
    assert_true(siphash(key, input, 15) == UINT64_C(0xa129ca6149be45e5)); /* the paper's own */
    assert_true(siphash(key, input, 63) == UINT64_C(0x958a324ceb064572));
}

static void strongest_usable_claim_wins(void **state)
{
    (void)state;
    struct policy_claims claims = {.headers = {NULL, "h", [POLICY_HEADERS_MAX - 1] = "g"},
                                   .safety_identifier = "s",
                                   .user = "u",
                                   .metadata_user_id = "m",
                                   .api_key = "sk-1234",
                                   .address = "192.0.2.1"};
    const char **fields[] = {&claims.headers[1], &claims.headers[POLICY_HEADERS_MAX - 1],
                             &claims.safety_identifier, &claims.user, &claims.metadata_user_id};
    const char *ids[] = {"h", "g", "s", "u", "m"};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        struct identity found = identity_of(NULL, &claims, key, NOW);
        assert_int_equal(found.class, IDENTITY_ASSERTED);
        assert_true(found.hash == of_user(NULL, ids[i]).hash);
        *fields[i] = NULL;
    }
    struct identity by_key = identity_of(NULL, &claims, key, NOW);
    assert_int_equal(by_key.class, IDENTITY_WEAK);
    claims.api_key = NULL;
    struct identity by_address = identity_of(NULL, &claims, key, NOW);
    assert_int_equal(by_address.class, IDENTITY_WEAK);
    assert_true(by_key.hash != by_address.hash);
    claims.address = NULL;
    struct identity nobody = identity_of(NULL, &claims, key, NOW);
    assert_int_equal(nobody.class, IDENTITY_NONE);
    assert_true(nobody.hash == 0);
}

static void placeholders_and_overlong_ids_are_no_identity(void **state)
{
    (void)state;
    static const char *const words[] = {"default",
                                        "Anonymous",
                                        "NULL",
                                        " undefined ",
                                        "none",
                                        "user",
                                        "test",
                                        "0",
                                        "default_user_id",
                                        "(null)",
                                        "N/A",
                                        "-1",
                                        "{{user_id}}",
                                        "[object Object]",
                                        "00000000-0000-0000-0000-000000000000",
                                        "",
                                        " \t\n"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        assert_int_equal(of_user("", words[i]).class, IDENTITY_NONE);
    char id[IDENTITY_BYTES_MAX + 2];
    memset(id, 'x', sizeof id);
    id[IDENTITY_BYTES_MAX] = '\0';
    assert_int_equal(of_user("", id).class, IDENTITY_ASSERTED);
    id[IDENTITY_BYTES_MAX] = 'x';
    id[IDENTITY_BYTES_MAX + 1] = '\0';
    assert_int_equal(of_user("", id).class, IDENTITY_NONE);
    assert_int_equal(of_user("", "test-1").class, IDENTITY_ASSERTED);
}

static void unusable_claim_falls_through_to_the_next(void **state)
{
    (void)state;
    const struct policy_claims claims = {.headers = {"null"}, .user = "  alice "};
    assert_true(identity_of(NULL, &claims, key, NOW).hash == of_user(NULL, "alice").hash);
}

static void same_id_of_two_tenants_is_two_people(void **state)
{
    (void)state;
    assert_true(of_user("a", "1001").hash != of_user("b", "1001").hash);
    assert_true(of_user("", "1001").hash == of_user(NULL, "1001").hash);
    /* no tenant and id run together to the same bytes */
    assert_true(of_user("ab", "c1").hash != of_user("a", "bc1").hash);
}

static void hash_is_of_tenant_namespace_issuer_and_id(void **state)
{
    (void)state;
    static const char domain[] = "acme\0user\0\0alice";
    struct identity alice = of_user("acme", "alice");
    assert_true(alice.hash == siphash(key, domain, sizeof domain - 1));
    uint8_t other[SIPHASH_KEY_BYTES] = {9};
    const struct policy_claims claims = {.tenant = "acme", .user = "alice"};
    assert_true(identity_of(NULL, &claims, other, NOW).hash != alice.hash);
}

static void case_and_unicode_form_are_the_senders(void **state)
{
    (void)state;
    assert_true(of_user("", "Alice").hash != of_user("", "alice").hash);
    assert_true(of_user("", "Zo\xc3\xab").hash != of_user("", "Zoe\xcc\x88").hash);
}

/* -- Proofs -- */

struct proofs {
    struct token_key signer;
    struct identity_rules rules;
    struct text token, header;
};

static void make_proofs(struct proofs *proofs)
{
    static const struct jwt_rules any = {.issuer = "", .audience = "", .subject_claim = "sub"};
    struct text json = {0};
    *proofs = (struct proofs){.signer = token_key_secret(1)};
    text_append_string(&json, "{\"keys\":[");
    token_key_write(&proofs->signer, "", &json);
    text_append_string(&json, "]}");
    assert_int_equal(jwt_keys_load(json.bytes, json.count, &any, &proofs->rules.jwt, NULL), 0);
    memset(proofs->rules.gateway.secret, 's', GATEWAY_SECRET_MIN);
    proofs->rules.gateway.secret_count = GATEWAY_SECRET_MIN;
    proofs->rules.gateway.window_s = GATEWAY_WINDOW_S;
    text_destroy(&json);
}

static void release_proofs(struct proofs *proofs)
{
    identity_rules_destroy(&proofs->rules);
    text_destroy(&proofs->token);
    text_destroy(&proofs->header);
}

static const char *token_of(struct proofs *proofs, const char *claims)
{
    token_make(&proofs->signer, "{\"alg\":\"HS256\"}", claims, &proofs->token);
    return text_string(&proofs->token);
}

static const char *header_of(struct proofs *proofs, const char *id, long long unix_s)
{
    struct text spelled = {0};
    token_base64url(id, strlen(id), &spelled);
    token_gateway(proofs->rules.gateway.secret, GATEWAY_SECRET_MIN, unix_s, text_string(&spelled),
                  &proofs->header);
    text_destroy(&spelled);
    return text_string(&proofs->header);
}

static void proof_goes_before_assertion(void **state)
{
    (void)state;
    static const char domain[] = "acme\0user\0https://id.example\0alice";
    struct proofs proofs;
    make_proofs(&proofs);
    struct policy_claims claims = {
        .tenant = "acme",
        .bearer = token_of(&proofs, "{\"iss\":\"https://id.example\",\"sub\":\" alice \"}"),
        .gateway = header_of(&proofs, "bob", NOW),
        .user = "carol"};
    struct identity found = identity_of(&proofs.rules, &claims, key, NOW);
    assert_int_equal(found.class, IDENTITY_VERIFIED);
    assert_true(found.hash == siphash(key, domain, sizeof domain - 1));
    assert_false(found.proof_refused);
    claims.bearer = NULL;
    found = identity_of(&proofs.rules, &claims, key, NOW);
    assert_int_equal(found.class, IDENTITY_VERIFIED);
    assert_true(found.hash == of_user("acme", "bob").hash);
    /* without rules nothing is proven, and nothing was refused */
    found = identity_of(NULL, &claims, key, NOW);
    assert_int_equal(found.class, IDENTITY_ASSERTED);
    assert_true(found.hash == of_user("acme", "carol").hash);
    assert_false(found.proof_refused);
    release_proofs(&proofs);
}

/* Two classes, one hash: a union counts the person once. Two issuers, two people. */
static void union_of_classes_counts_a_person_once(void **state)
{
    (void)state;
    struct proofs proofs;
    make_proofs(&proofs);
    struct policy_claims by_gateway = {.tenant = "a", .gateway = header_of(&proofs, "1001", NOW)};
    uint64_t proven = identity_of(&proofs.rules, &by_gateway, key, NOW).hash;
    assert_true(proven == of_user("a", "1001").hash);
    struct policy_claims by_token = {.tenant = "a"};
    uint64_t hashes[2];
    static const char *const tokens[] = {"{\"iss\":\"x\",\"sub\":\"1001\"}",
                                         "{\"iss\":\"y\",\"sub\":\"1001\"}"};
    for (size_t i = 0; i < 2; i++) {
        by_token.bearer = token_of(&proofs, tokens[i]);
        hashes[i] = identity_of(&proofs.rules, &by_token, key, NOW).hash;
    }
    assert_true(hashes[0] != hashes[1] && hashes[0] != proven && hashes[1] != proven);
    struct policy_claims weak = {.tenant = "a", .api_key = "1001"};
    assert_true(identity_of(&proofs.rules, &weak, key, NOW).hash != proven);
    release_proofs(&proofs);
}

static void refused_proof_is_told_and_falls_through(void **state)
{
    (void)state;
    struct proofs proofs;
    make_proofs(&proofs);
    struct policy_claims claims = {.bearer = token_of(&proofs, "{\"sub\":\"alice\",\"exp\":1}"),
                                   .user = "carol"};
    struct identity found = identity_of(&proofs.rules, &claims, key, NOW);
    assert_int_equal(found.class, IDENTITY_ASSERTED);
    assert_true(found.proof_refused);
    claims.bearer = NULL;
    claims.gateway = header_of(&proofs, "alice", NOW - GATEWAY_WINDOW_S - 1);
    found = identity_of(&proofs.rules, &claims, key, NOW);
    assert_int_equal(found.class, IDENTITY_ASSERTED);
    assert_true(found.proof_refused);
    claims.bearer = token_of(&proofs, "{\"sub\":\"alice\",\"exp\":1}");
    claims.gateway = header_of(&proofs, "alice", NOW);
    found = identity_of(&proofs.rules, &claims, key, NOW);
    assert_int_equal(found.class, IDENTITY_VERIFIED);
    assert_true(found.proof_refused);
    release_proofs(&proofs);
}

static void proof_of_a_placeholder_proves_nobody(void **state)
{
    (void)state;
    struct proofs proofs;
    make_proofs(&proofs);
    struct policy_claims claims = {.bearer = token_of(&proofs, "{\"sub\":\"anonymous\"}"),
                                   .gateway = header_of(&proofs, " null ", NOW),
                                   .user = "carol"};
    struct identity found = identity_of(&proofs.rules, &claims, key, NOW);
    assert_int_equal(found.class, IDENTITY_ASSERTED);
    assert_true(found.hash == of_user("", "carol").hash);
    release_proofs(&proofs);
}

static void certificate_is_a_proof_behind_the_others(void **state)
{
    (void)state;
    static const char domain[] = "acme\0user\0CN=Root\0CN=alice";
    struct proofs proofs;
    make_proofs(&proofs);
    struct policy_claims claims = {.tenant = "acme",
                                   .certificate_issuer = "CN=Root",
                                   .certificate_subject = "CN=alice",
                                   .user = "carol"};
    for (int i = 0; i < 2; i++) { /* it needs no rules */
        struct identity found = identity_of(i == 0 ? NULL : &proofs.rules, &claims, key, NOW);
        assert_int_equal(found.class, IDENTITY_VERIFIED);
        assert_true(found.hash == siphash(key, domain, sizeof domain - 1));
        assert_false(found.proof_refused);
    }
    claims.gateway = header_of(&proofs, "bob", NOW);
    assert_true(identity_of(&proofs.rules, &claims, key, NOW).hash == of_user("acme", "bob").hash);
    claims.gateway = header_of(&proofs, "bob", NOW - GATEWAY_WINDOW_S - 1);
    struct identity found = identity_of(&proofs.rules, &claims, key, NOW);
    assert_true(found.hash == siphash(key, domain, sizeof domain - 1));
    assert_true(found.proof_refused);
    release_proofs(&proofs);
}

/* Who came by a certificate and is fed as a login is one. */
static void certificate_is_bound_to_its_issuer(void **state)
{
    (void)state;
    struct policy_claims claims = {.certificate_issuer = "acme.example",
                                   .certificate_subject = "spiffe://acme.example/web"};
    uint64_t hash = identity_of(NULL, &claims, key, NOW).hash, fed;
    const struct identity_user user = {
        .tenant = "", .issuer = "acme.example", .id = "spiffe://acme.example/web"};
    assert_true(identity_user_hash(&user, key, &fed));
    assert_true(hash == fed);
    claims.certificate_issuer = "other.example";
    assert_true(identity_of(NULL, &claims, key, NOW).hash != hash);
    /* What is missing, or would be cut, is no proof. */
    char huge[JWT_CLAIM_MAX + 2];
    memset(huge, 'a', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    const struct {
        const char *issuer, *subject;
    } none[] = {{"", "CN=alice"},   {NULL, "CN=alice"}, {"CN=Root", ""},         {"CN=Root", NULL},
                {huge, "CN=alice"}, {"CN=Root", huge},  {"CN=Root", "anonymous"}};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        claims = (struct policy_claims){.certificate_issuer = none[i].issuer,
                                        .certificate_subject = none[i].subject};
        assert_int_equal(identity_of(NULL, &claims, key, NOW).class, IDENTITY_NONE);
    }
    huge[JWT_CLAIM_MAX] = '\0'; /* as long as it may be */
    claims = (struct policy_claims){.certificate_issuer = huge, .certificate_subject = huge};
    assert_int_equal(identity_of(NULL, &claims, key, NOW).class, IDENTITY_VERIFIED);
}

static void bearer_that_is_no_token_is_not_tried(void **state)
{
    (void)state;
    struct proofs proofs;
    make_proofs(&proofs);
    static const char *const bearers[] = {"sk-1234", "a.b", "a.b.c.d", ""};
    struct policy_claims claims = {.user = "carol"};
    for (size_t i = 0; i < sizeof bearers / sizeof bearers[0]; i++) {
        claims.bearer = bearers[i];
        assert_false(identity_of(&proofs.rules, &claims, key, NOW).proof_refused);
    }
    claims.bearer = claims.api_key = "sk.live.1234"; /* an API key may have two dots */
    assert_false(identity_of(&proofs.rules, &claims, key, NOW).proof_refused);
    claims.api_key = NULL;
    assert_true(identity_of(&proofs.rules, &claims, key, NOW).proof_refused);
    release_proofs(&proofs);
}

/* -- Other hashes -- */

static void request_of_nobody_has_a_hash_of_its_own(void **state)
{
    (void)state;
    uint8_t other[SIPHASH_KEY_BYTES] = {9};
    uint64_t hash = identity_request_hash(key, "00f1");
    assert_true(hash != 0);
    assert_true(hash == identity_request_hash(key, "00f1"));
    assert_true(hash != identity_request_hash(key, "00f2"));
    assert_true(hash != identity_request_hash(other, "00f1"));
}

static void api_keys_are_told_apart_by_tenant_and_key(void **state)
{
    (void)state;
    const struct policy_claims claims[] = {{.tenant = "a", .api_key = "sk-1"},
                                           {.tenant = "a", .api_key = "sk-2"},
                                           {.tenant = "b", .api_key = "sk-1"},
                                           {.tenant = "a"},
                                           {.tenant = NULL}};
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++)
        for (size_t j = 0; j < i; j++)
            assert_true(identity_key_hash(key, &claims[i]) != identity_key_hash(key, &claims[j]));
    assert_true(identity_key_hash(key, &claims[0]) != identity_of(NULL, &claims[0], key, NOW).hash);
}

/* -- An attacker who knows the function and not the key -- */

#define ATTACK_P         12u
#define ATTACK_USERS     5000u
#define ATTACK_REGISTERS 64u /* of 4,096, and the lowest rank in each */

static void add_to(struct sketch *sketch, const char *id, const uint8_t under[SIPHASH_KEY_BYTES])
{
    const struct policy_claims claims = {.user = id};
    assert_int_equal(sketch_add(sketch, identity_of(NULL, &claims, under, NOW).hash, NULL, NULL),
                     0);
}

static double counted(const struct sketch *sketch)
{
    struct sketch_count count;
    assert_false(sketch_is_exact(sketch));
    sketch_count(sketch, &count);
    return count.value;
}

/* Ids that all fall into a few registers under the key he guesses, and never fill them: 5,000
 * people would be some dozens. Under ours they are 5,000, within four standard errors. */
static void crafted_ids_do_not_move_a_keyed_count(void **state)
{
    (void)state;
    static const uint8_t guessed[SIPHASH_KEY_BYTES];
    struct sketch *known = sketch_new(ATTACK_P), *secret = sketch_new(ATTACK_P);
    assert_non_null(known);
    assert_non_null(secret);
    char id[32];
    for (uint32_t tried = 0, found = 0; found < ATTACK_USERS; tried++) {
        (void)snprintf(id, sizeof id, "id-%u", tried);
        const struct policy_claims claims = {.user = id};
        uint64_t hash = identity_of(NULL, &claims, guessed, NOW).hash;
        bool small_rank = (hash << ATTACK_P) >> 63 == 1;
        if (hash >> (64 - ATTACK_P) >= ATTACK_REGISTERS || !small_rank)
            continue;
        add_to(known, id, guessed);
        add_to(secret, id, key);
        found++;
    }
    assert_true(counted(known) < ATTACK_USERS / 10);
    assert_true(fabs(counted(secret) - ATTACK_USERS) <
                4 * 0.761 / sqrt(1 << ATTACK_P) * ATTACK_USERS);
    sketch_free(known);
    sketch_free(secret);
}

#define INFLATION_P 8u /* 256 registers: the ids for all of them are found in a second */

/* Three ids a register, of three ranks in a row, leave the state that many people would: 768 ids
 * pass for more than 50 times as many under a key that is known, for 768 under ours. */
static void few_crafted_ids_do_not_pass_for_many(void **state)
{
    (void)state;
    enum { REGISTERS = 1 << INFLATION_P, RANK_MIN = 6, RANKS = 3 };
    static const uint8_t guessed[SIPHASH_KEY_BYTES];
    bool taken[REGISTERS][RANKS] = {{false}};
    struct sketch *known = sketch_new(INFLATION_P), *secret = sketch_new(INFLATION_P);
    assert_non_null(known);
    assert_non_null(secret);
    uint32_t found = 0;
    for (uint32_t tried = 0; found < REGISTERS * RANKS; tried++) {
        char id[32];
        (void)snprintf(id, sizeof id, "id-%u", tried);
        const struct policy_claims claims = {.user = id};
        uint64_t hash = identity_of(NULL, &claims, guessed, NOW).hash;
        uint64_t rest = hash << INFLATION_P | 1;
        int rank = __builtin_clzll(rest) - RANK_MIN;
        if (rank < 0 || rank >= RANKS || taken[hash >> (64 - INFLATION_P)][rank])
            continue;
        taken[hash >> (64 - INFLATION_P)][rank] = true;
        add_to(known, id, guessed);
        add_to(secret, id, key);
        found++;
    }
    assert_true(counted(known) > 50.0 * found);
    assert_true(fabs(counted(secret) - found) < 4 * 0.761 / sqrt(REGISTERS) * found);
    sketch_free(known);
    sketch_free(secret);
}

static void two_keys_give_what_each_of_them_gives_alone(void **state)
{
    (void)state;
    static const uint8_t other[SIPHASH_KEY_BYTES] = {200, 1};
    const struct policy_claims claims[] = {
        {.tenant = "acme", .user = "alice", .api_key = "k"},
        {.tenant = "acme", .headers = {NULL, "bob"}},
        {.api_key = "k", .address = "192.0.2.1"},
        {.address = "192.0.2.1"},
        {.user = "null"},
    };
    const struct identity_keys both = {.key = key, .other = other}, one = {.key = key};
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        struct identity first = identity_of(NULL, &claims[i], key, NOW);
        struct identity second = identity_of(NULL, &claims[i], other, NOW);
        struct identity found = identity_of_keys(NULL, &claims[i], &both, NOW);
        assert_int_equal(found.class, first.class);
        assert_true(found.hash == first.hash && found.other_hash == second.hash);
        assert_true(found.class == IDENTITY_NONE || found.hash != found.other_hash);
        assert_true(identity_of_keys(NULL, &claims[i], &one, NOW).other_hash == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_keys_give_what_each_of_them_gives_alone),
        cmocka_unit_test(siphash_gives_the_reference_vectors),
        cmocka_unit_test(strongest_usable_claim_wins),
        cmocka_unit_test(placeholders_and_overlong_ids_are_no_identity),
        cmocka_unit_test(unusable_claim_falls_through_to_the_next),
        cmocka_unit_test(same_id_of_two_tenants_is_two_people),
        cmocka_unit_test(hash_is_of_tenant_namespace_issuer_and_id),
        cmocka_unit_test(case_and_unicode_form_are_the_senders),
        cmocka_unit_test(proof_goes_before_assertion),
        cmocka_unit_test(union_of_classes_counts_a_person_once),
        cmocka_unit_test(refused_proof_is_told_and_falls_through),
        cmocka_unit_test(proof_of_a_placeholder_proves_nobody),
        cmocka_unit_test(certificate_is_a_proof_behind_the_others),
        cmocka_unit_test(certificate_is_bound_to_its_issuer),
        cmocka_unit_test(bearer_that_is_no_token_is_not_tried),
        cmocka_unit_test(request_of_nobody_has_a_hash_of_its_own),
        cmocka_unit_test(api_keys_are_told_apart_by_tenant_and_key),
        cmocka_unit_test(crafted_ids_do_not_move_a_keyed_count),
        cmocka_unit_test(few_crafted_ids_do_not_pass_for_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
