/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "policy/fleet/fleet_blob.h"
#include "policy/fleet/fleet_delta.h"
#include "world.h"

#define P_LOW 10u /* exact up to 112 */

static const uint8_t key_bytes[FLEET_KEY_BYTES] = {9, 8, 7};
static const struct fleet_name name = {.scope = 0x1122334455667788, .day = 20485, .class = 2};

static struct fleet_key *key_of(uint64_t key_id, uint8_t first)
{
    uint8_t bytes[FLEET_KEY_BYTES];
    memcpy(bytes, key_bytes, sizeof bytes);
    bytes[0] = first;
    struct fleet_key *key = fleet_key_new(bytes, key_id, NULL);
    assert_non_null(key);
    return key;
}

static void seal(struct fleet_key *key, struct text *out)
{
    const struct fleet_blob blob = {
        .kind = FLEET_DELTA, .name = name, .sender = 5, .body = "body", .body_count = 4};
    text_init(out);
    assert_int_equal(fleet_blob_seal(key, &blob, out, NULL), 0);
}

static void what_is_sealed_opens_as_it_was(void **state)
{
    (void)state;
    struct fleet_key *key = key_of(7, 1);
    struct fleet_blob blob;
    struct text sealed;
    seal(key, &sealed);
    assert_int_equal(sealed.count, FLEET_HEADER_BYTES + 4);
    assert_int_equal(fleet_blob_open(key, sealed.bytes, sealed.count, &blob, NULL), 0);
    assert_int_equal(blob.kind, FLEET_DELTA);
    assert_true(blob.name.scope == name.scope && blob.name.day == name.day);
    assert_int_equal(blob.name.class, name.class);
    assert_true(blob.sender == 5 && blob.body_count == 4);
    assert_memory_equal(blob.body, "body", 4);
    text_destroy(&sealed);
    fleet_key_free(key);
}

static void any_flipped_bit_and_any_cut_is_damage(void **state)
{
    (void)state;
    struct fleet_key *key = key_of(7, 1);
    struct fleet_blob blob;
    struct text sealed;
    seal(key, &sealed);
    for (size_t i = 0; i < sealed.count * 8; i++) {
        sealed.bytes[i / 8] = (char)(sealed.bytes[i / 8] ^ 1 << i % 8);
        int result = fleet_blob_open(key, sealed.bytes, sealed.count, &blob, NULL);
        bool in_seal = i / 8 >= 48 && i / 8 < 64; /* which the checksum does not cover */
        assert_int_equal(result, in_seal ? ERROR_REFUSED : ERROR_INVALID);
        sealed.bytes[i / 8] = (char)(sealed.bytes[i / 8] ^ 1 << i % 8);
    }
    for (size_t count = 0; count < sealed.count; count++)
        assert_int_equal(fleet_blob_open(key, sealed.bytes, count, &blob, NULL), ERROR_INVALID);
    assert_int_equal(fleet_blob_open(key, sealed.bytes, sealed.count, &blob, NULL), 0);
    text_destroy(&sealed);
    fleet_key_free(key);
}

static void another_key_is_told_from_damage(void **state)
{
    (void)state;
    struct fleet_key *ours = key_of(7, 1), *renamed = key_of(8, 1), *forged = key_of(7, 2);
    struct error err = {0};
    struct fleet_blob blob;
    struct text sealed;
    seal(renamed, &sealed);
    assert_int_equal(fleet_blob_open(ours, sealed.bytes, sealed.count, &blob, &err), ERROR_REFUSED);
    assert_non_null(strstr(err.text, "0000000000000008"));
    text_destroy(&sealed);
    seal(forged, &sealed);
    assert_int_equal(fleet_blob_open(ours, sealed.bytes, sealed.count, &blob, &err), ERROR_REFUSED);
    assert_non_null(strstr(err.text, "seal"));
    text_destroy(&sealed);
    fleet_key_free(ours);
    fleet_key_free(renamed);
    fleet_key_free(forged);
}

/* -- Deltas -- */

static struct sketch *sketch_of(uint64_t seed, uint32_t count)
{
    struct sketch *sketch = sketch_new(P_LOW);
    assert_non_null(sketch);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(sketch_add(sketch, next_hash(&seed), NULL, NULL), 0);
    return sketch;
}

static void assert_same(const struct sketch *a, const struct sketch *b)
{
    struct text left, right;
    text_init(&left);
    text_init(&right);
    sketch_write(a, &left);
    sketch_write(b, &right);
    assert_int_equal(left.count, right.count);
    assert_memory_equal(left.bytes, right.bytes, left.count);
    text_destroy(&left);
    text_destroy(&right);
}

/* before joined with the delta is both, whether either has turned to registers or not. */
static void a_delta_brings_what_is_missing(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 50, 112, 113, 5000};
    for (size_t i = 0; i < 6; i++)
        for (size_t j = 0; j < 6; j++) {
            struct sketch *before = sketch_of(i < j ? 1 : 2, counts[i]);
            struct sketch *now = sketch_of(1, counts[j]), *news = NULL;
            struct fleet_gather gather;
            struct text delta;
            uint32_t count = 77;
            text_init(&delta);
            assert_int_equal(sketch_join(now, before, NULL), 0);
            assert_int_equal(fleet_delta_write(now, before, &delta, &count, NULL), 0);
            fleet_gather_init(&gather, P_LOW);
            if (count > 0)
                assert_int_equal(fleet_gather_add(&gather, delta.bytes, delta.count, NULL), 0);
            else
                assert_int_equal(delta.count, 0);
            assert_int_equal(fleet_gather_sketch(&gather, &news, NULL), 0);
            assert_int_equal(sketch_join(before, news, NULL), 0);
            assert_same(before, now);
            fleet_gather_destroy(&gather);
            text_destroy(&delta);
            sketch_free(news);
            sketch_free(before);
            sketch_free(now);
        }
}

static void only_the_difference_is_sent(void **state)
{
    (void)state;
    struct sketch *before = sketch_of(1, 60), *now = sketch_of(1, 63);
    struct text delta;
    uint32_t count;
    text_init(&delta);
    assert_int_equal(fleet_delta_write(now, before, &delta, &count, NULL), 0);
    assert_int_equal(count, 3);
    assert_int_equal(delta.count, 8 + 3 * 8);
    text_destroy(&delta);
    sketch_free(before);
    sketch_free(now);
}

static void malformed_deltas_are_refused_and_add_nothing(void **state)
{
    (void)state;
#define HASH(n) n, 0, 0, 0, 0, 0, 0, 0
    static const struct {
        const char *what;
        uint8_t bytes[24];
        size_t count;
    } cases[] = {
        {"nothing", {0}, 0},
        {"no form", {0, P_LOW, 0, 0, 1, 0, 0, 0, HASH(1)}, 16},
        {"another form", {3, P_LOW, 0, 0, 1, 0, 0, 0, HASH(1)}, 16},
        {"another p", {1, P_LOW + 1, 0, 0, 1, 0, 0, 0, HASH(1)}, 16},
        {"reserved", {1, P_LOW, 1, 0, 1, 0, 0, 0, HASH(1)}, 16},
        {"no records", {1, P_LOW, 0, 0, 0, 0, 0, 0}, 8},
        {"cut", {1, P_LOW, 0, 0, 2, 0, 0, 0, HASH(1), HASH(2)}, 23},
        {"too many", {1, P_LOW, 0, 0, 1, 0, 0, 64, HASH(1)}, 16},
        {"twice", {1, P_LOW, 0, 0, 2, 0, 0, 0, HASH(1), HASH(1)}, 24},
        {"falling", {1, P_LOW, 0, 0, 2, 0, 0, 0, HASH(2), HASH(1)}, 24},
        {"index", {2, P_LOW, 0, 0, 1, 0, 0, 0, 40, 0, 4, 0}, 12},
        {"empty register", {2, P_LOW, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0}, 12},
        {"low register", {2, P_LOW, 0, 0, 1, 0, 0, 0, 37, 1, 0, 0}, 12},
        {"register twice", {2, P_LOW, 0, 0, 2, 0, 0, 0, 40, 1, 0, 0, 40, 1, 0, 0}, 16},
    };
    struct fleet_gather gather;
    fleet_gather_init(&gather, P_LOW);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int result = fleet_gather_add(&gather, cases[i].bytes, cases[i].count, NULL);
        if (result != ERROR_INVALID)
            fail_msg("taken: %s", cases[i].what);
        assert_null(gather.hashes);
        assert_null(gather.registers);
    }
    static const uint8_t good[] = {2, P_LOW, 0, 0, 1, 0, 0, 0, 36, 1, 0, 0};
    assert_int_equal(fleet_gather_add(&gather, good, sizeof good, NULL), 0);
    fleet_gather_destroy(&gather);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_opens_as_it_was),
        cmocka_unit_test(any_flipped_bit_and_any_cut_is_damage),
        cmocka_unit_test(another_key_is_told_from_damage),
        cmocka_unit_test(a_delta_brings_what_is_missing),
        cmocka_unit_test(only_the_difference_is_sent),
        cmocka_unit_test(malformed_deltas_are_refused_and_add_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
