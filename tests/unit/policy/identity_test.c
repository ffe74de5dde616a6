/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "policy/identity.h"

static const uint8_t key[SIPHASH_KEY_BYTES] = {0, 1, 2,  3,  4,  5,  6,  7,
                                               8, 9, 10, 11, 12, 13, 14, 15};

static struct identity of_user(const char *tenant, const char *user)
{
    const struct policy_claims claims = {.tenant = tenant, .user = user};
    return identity_of(&claims, key);
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
    struct policy_claims claims = {.header = "h",
                                   .safety_identifier = "s",
                                   .user = "u",
                                   .metadata_user_id = "m",
                                   .api_key = "sk-1234",
                                   .address = "192.0.2.1"};
    const char **fields[] = {&claims.header, &claims.safety_identifier, &claims.user,
                             &claims.metadata_user_id};
    const char *ids[] = {"h", "s", "u", "m"};
    for (int i = 0; i < 4; i++) {
        struct identity found = identity_of(&claims, key);
        assert_int_equal(found.class, IDENTITY_ASSERTED);
        assert_true(found.pseudonym == of_user(NULL, ids[i]).pseudonym);
        *fields[i] = NULL;
    }
    struct identity by_key = identity_of(&claims, key);
    assert_int_equal(by_key.class, IDENTITY_WEAK);
    claims.api_key = NULL;
    struct identity by_address = identity_of(&claims, key);
    assert_int_equal(by_address.class, IDENTITY_WEAK);
    assert_true(by_key.pseudonym != by_address.pseudonym);
    claims.address = NULL;
    assert_int_equal(identity_of(&claims, key).class, IDENTITY_NONE);
}

static void placeholders_and_overlong_ids_are_no_identity(void **state)
{
    (void)state;
    static const char *const words[] = {
        "default", "Anonymous", "NULL", " undefined ", "none", "user", "test", "0", "", " \t\n"};
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
    const struct policy_claims claims = {.header = "null", .user = "  alice "};
    assert_true(identity_of(&claims, key).pseudonym == of_user(NULL, "alice").pseudonym);
}

static void same_id_of_two_tenants_is_two_people(void **state)
{
    (void)state;
    assert_true(of_user("a", "1001").pseudonym != of_user("b", "1001").pseudonym);
    assert_true(of_user("", "1001").pseudonym == of_user(NULL, "1001").pseudonym);
    /* no tenant and id run together to the same bytes */
    assert_true(of_user("ab", "c1").pseudonym != of_user("a", "bc1").pseudonym);
}

static void pseudonym_carries_its_class_and_needs_the_key(void **state)
{
    (void)state;
    struct identity alice = of_user("", "alice");
    assert_int_equal(alice.pseudonym & IDENTITY_CLASS_BITS, IDENTITY_ASSERTED);
    uint8_t other[SIPHASH_KEY_BYTES] = {9};
    const struct policy_claims claims = {.user = "alice"};
    assert_true(identity_of(&claims, other).pseudonym != alice.pseudonym);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_gives_the_reference_vectors),
        cmocka_unit_test(strongest_usable_claim_wins),
        cmocka_unit_test(placeholders_and_overlong_ids_are_no_identity),
        cmocka_unit_test(unusable_claim_falls_through_to_the_next),
        cmocka_unit_test(same_id_of_two_tenants_is_two_people),
        cmocka_unit_test(pseudonym_carries_its_class_and_needs_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
