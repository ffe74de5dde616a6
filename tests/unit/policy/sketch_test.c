/* SPDX-License-Identifier: Apache-2.0 */
/* Against hash4j's states (tests/golden/ull-hash4j.csv) and against the laws of unions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/users/sketch.h"
#include "policy/users/sketch_registers.h"

#define VECTORS   "tests/golden/ull-hash4j.csv"
#define JOIN_RUNS 10000u

/* SplitMix64 (S. Vigna, public domain), the vectors' source of hashes. */
static uint64_t next_hash(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint8_t *registers_of(uint32_t p, uint64_t seed, uint64_t count)
{
    uint8_t *registers = calloc(1, (size_t)1 << p);
    assert_non_null(registers);
    for (uint64_t i = 0; i < count; i++)
        (void)registers_add(registers, p, next_hash(&seed), NULL, NULL);
    return registers;
}

static void assert_state(const uint8_t *registers, uint32_t p, const char *sha256)
{
    uint8_t digest[32];
    char hex[65];
    assert_int_equal(EVP_Digest(registers, (size_t)1 << p, digest, NULL, EVP_sha256(), NULL), 1);
    for (size_t i = 0; i < sizeof digest; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(hex, sha256);
}

/* hash4j stops its solver early: by less than 1e-9 from p = 8 on, 1e-7 with 8 registers. */
static void assert_estimate(const uint8_t *registers, uint32_t p, double expected)
{
    struct registers_estimate estimate;
    registers_estimate(registers, p, &estimate);
    double limit = (p < 8 ? 1e-7 : 1e-9) * expected;
    assert_true(fabs(estimate.value - expected) <= fmax(limit, 1e-9));
}

static bool check_vector(const char *line)
{
    unsigned p;
    unsigned long long seed, count;
    char sha256[65];
    double expected;
    if (sscanf(line, "%u,%llu,%llu,%64[0-9a-f],%lf,", &p, &seed, &count, sha256, &expected) != 5)
        return false;
    uint8_t *registers = registers_of(p, seed, count);
    assert_state(registers, p, sha256);
    assert_estimate(registers, p, expected);
    free(registers);
    return true;
}

static bool check_merge(const char *line)
{
    unsigned p[2], merged_p;
    unsigned long long seed[2], count[2];
    char sha256[65];
    double expected;
    if (sscanf(line, "%u,%llu,%llu,%u,%llu,%llu,%u,%64[0-9a-f],%lf", &p[0], &seed[0], &count[0],
               &p[1], &seed[1], &count[1], &merged_p, sha256, &expected) != 9)
        return false;
    uint8_t *registers[2];
    for (size_t i = 0; i < 2; i++) {
        registers[i] = registers_of(p[i], seed[i], count[i]);
        registers_downsize(registers[i], p[i], registers[i], merged_p);
    }
    registers_join(registers[0], registers[1], merged_p);
    assert_state(registers[0], merged_p, sha256);
    assert_estimate(registers[0], merged_p, expected);
    free(registers[0]);
    free(registers[1]);
    return true;
}

static bool check_downsize(const char *line)
{
    unsigned p, to_p;
    unsigned long long seed, count;
    char sha256[65];
    if (sscanf(line, "%u,%llu,%llu,%u,%64[0-9a-f]", &p, &seed, &count, &to_p, sha256) != 5)
        return false;
    uint8_t *registers = registers_of(p, seed, count);
    registers_downsize(registers, p, registers, to_p);
    assert_state(registers, to_p, sha256);
    free(registers);
    return true;
}

static void states_and_estimates_are_those_of_hash4j(void **state)
{
    (void)state;
    char line[1024];
    uint32_t checked[3] = {0};
    bool (*check)(const char *) = check_vector;
    FILE *file = fopen(VECTORS, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file)); /* the columns */
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "# merge", 7) == 0)
            check = check_merge;
        else if (strncmp(line, "# downsize", 10) == 0)
            check = check_downsize;
        else if (check(line))
            checked[check == check_vector ? 0 : check == check_merge ? 1 : 2]++;
        else
            fail_msg("not read: %s", line);
    }
    (void)fclose(file);
    assert_int_equal(checked[0], 42);
    assert_int_equal(checked[1], 3);
    assert_int_equal(checked[2], 2);
}

static void join_is_a_union_in_any_order(void **state)
{
    (void)state;
    enum { P = 8, REGISTERS = 1 << P };
    uint64_t random = 7;
    for (uint32_t run = 0; run < JOIN_RUNS; run++) {
        uint8_t a[REGISTERS] = {0}, b[REGISTERS] = {0}, both[REGISTERS] = {0};
        uint8_t ab[REGISTERS], ba[REGISTERS], scalar[REGISTERS];
        uint64_t count = (uint64_t)1 << (next_hash(&random) % 12);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t hash = next_hash(&random);
            uint8_t *one = (hash & 64) != 0 ? a : b;
            (void)registers_add(one, P, next_hash(&hash), NULL, NULL);
            hash -= 0x9e3779b97f4a7c15; /* the same again, for both */
            (void)registers_add(both, P, next_hash(&hash), NULL, NULL);
        }
        memcpy(ab, a, sizeof ab);
        registers_join(ab, b, P);
        memcpy(ba, b, sizeof ba);
        registers_join(ba, a, P);
        memcpy(scalar, a, sizeof scalar);
        registers_join_scalar(scalar, b, P);
        assert_memory_equal(ab, both, sizeof both);
        assert_memory_equal(ab, ba, sizeof ab);
        assert_memory_equal(ab, scalar, sizeof ab);
        registers_join(ab, b, P);
        assert_memory_equal(ab, ba, sizeof ab);
    }
}

/* Every pair of bytes that registers can hold, lane by lane. */
static void wide_join_is_the_scalar_one_for_every_pair(void **state)
{
    (void)state;
    enum { P = 8 };
    uint8_t possible[256];
    size_t count = 0;
    possible[count++] = 0;
    for (uint32_t value = 4 * (P - 1); value < 256; value++)
        possible[count++] = (uint8_t)value;
    for (size_t i = 0; i < count; i++) {
        uint8_t wide[256], scalar[256], from[256];
        for (size_t j = 0; j < 256; j++) {
            wide[j] = scalar[j] = possible[i];
            from[j] = possible[j % count];
        }
        registers_join(wide, from, P);
        registers_join_scalar(scalar, from, P);
        assert_memory_equal(wide, scalar, sizeof wide);
    }
}

static void would_change_is_what_add_does(void **state)
{
    (void)state;
    uint64_t random = 3;
    uint8_t registers[1 << 8] = {0};
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t hash = next_hash(&random);
        uint32_t index = 0;
        uint8_t value = 0;
        bool would = registers_would_change(registers, 8, hash);
        assert_int_equal(registers_add(registers, 8, hash, &index, &value), would);
        if (would)
            assert_int_equal(registers[index], value);
        assert_false(registers_would_change(registers, 8, hash));
    }
}

/* -- Sketches -- */

static struct sketch *sketch_of(uint32_t p, uint64_t seed, uint64_t count)
{
    struct sketch *sketch = sketch_new(p);
    assert_non_null(sketch);
    for (uint64_t i = 0; i < count; i++)
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

static void few_users_are_counted_exactly(void **state)
{
    (void)state;
    uint64_t seed = 5;
    struct sketch *sketch = sketch_new(SKETCH_P);
    struct sketch_count count;
    for (uint64_t i = 0; i < SKETCH_EXACT_MAX; i++) {
        bool changed = false;
        uint64_t hash = i == 0 ? 0 : next_hash(&seed);
        assert_int_equal(sketch_add(sketch, hash, &changed, NULL), 0);
        assert_true(changed);
        assert_int_equal(sketch_add(sketch, hash, &changed, NULL), 0);
        assert_false(changed);
    }
    sketch_count(sketch, &count);
    assert_true(sketch_is_exact(sketch));
    assert_true(count.value == SKETCH_EXACT_MAX);
    assert_true(sketch_upper(&count, SKETCH_Z_ENFORCE) == SKETCH_EXACT_MAX);
    assert_int_equal(sketch_add(sketch, next_hash(&seed), NULL, NULL), 0);
    assert_false(sketch_is_exact(sketch));
    sketch_count(sketch, &count);
    assert_true(sketch_lower(&count, SKETCH_Z_REPORT) <= SKETCH_EXACT_MAX + 1);
    assert_true(sketch_upper(&count, SKETCH_Z_REPORT) >= SKETCH_EXACT_MAX + 1);
    assert_true(sketch_memory(sketch) <= (1u << SKETCH_P) + 256);
    sketch_free(sketch);
}

static void bytes_depend_on_the_set_alone(void **state)
{
    (void)state;
    static const uint64_t counts[] = {0, 1, 100, SKETCH_EXACT_MAX, SKETCH_EXACT_MAX + 1, 200000};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct sketch *all = sketch_of(SKETCH_P, 1, counts[i]), *joined = sketch_new(SKETCH_P);
        uint64_t seed = 1;
        struct sketch *parts[3];
        for (size_t part = 0; part < 3; part++)
            parts[part] = sketch_new(SKETCH_P);
        for (uint64_t j = 0; j < counts[i]; j++) /* some users in two parts */
            for (uint64_t hash = next_hash(&seed), part = 0; part < 1 + j % 2; part++)
                assert_int_equal(sketch_add(parts[(j + part) % 3], hash, NULL, NULL), 0);
        for (size_t part = 3; part-- > 0;) {
            assert_int_equal(sketch_join(joined, parts[part], NULL), 0);
            assert_int_equal(sketch_join(joined, parts[part], NULL), 0);
            sketch_free(parts[part]);
        }
        assert_same(all, joined);
        sketch_free(all);
        sketch_free(joined);
    }
}

static void sketches_of_two_sizes_meet_at_the_smaller(void **state)
{
    (void)state;
    static const uint64_t counts[] = {10, 2000, 100000};
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 3; j++) {
            struct sketch *large = sketch_of(16, 1, counts[i]);
            struct sketch *small = sketch_of(12, 2, counts[j]);
            struct sketch *all = sketch_of(12, 1, counts[i]);
            struct sketch *others = sketch_of(12, 2, counts[j]);
            assert_int_equal(sketch_join(all, others, NULL), 0);
            assert_int_equal(sketch_join(large, small, NULL), 0);
            assert_same(large, all);
            sketch_free(large);
            sketch_free(small);
            sketch_free(all);
            sketch_free(others);
        }
}

static void bytes_come_back_or_are_refused(void **state)
{
    (void)state;
    static const uint64_t counts[] = {0, 77, 100000};
    for (size_t i = 0; i < 3; i++) {
        struct sketch *sketch = sketch_of(12, 9, counts[i]), *back = NULL;
        struct text bytes;
        struct error err = {0};
        text_init(&bytes);
        sketch_write(sketch, &bytes);
        assert_int_equal(sketch_read(bytes.bytes, bytes.count, &back, &err), 0);
        assert_same(sketch, back);
        sketch_free(back);
        back = NULL;
        assert_int_equal(sketch_read(bytes.bytes, bytes.count - 1, &back, &err), ERROR_INVALID);
        static const struct {
            size_t at;
            uint8_t value;
        } wrong[] = {{0, 'X'}, {4, 3}, {5, 7}, {5, 27}, {7, 1}, {15, 1}};
        for (size_t j = 0; j < sizeof wrong / sizeof wrong[0]; j++) {
            char kept = bytes.bytes[wrong[j].at];
            bytes.bytes[wrong[j].at] = (char)wrong[j].value;
            assert_int_equal(sketch_read(bytes.bytes, bytes.count, &back, &err), ERROR_INVALID);
            bytes.bytes[wrong[j].at] = kept;
        }
        if (counts[i] > SKETCH_EXACT_MAX) {
            bytes.bytes[16] = 45; /* the first rank, with a bit of one below it */
            assert_int_equal(sketch_read(bytes.bytes, bytes.count, &back, &err), ERROR_INVALID);
        } else if (counts[i] > 0) {
            memset(bytes.bytes + bytes.count - 8, 0, 8);
            assert_int_equal(sketch_read(bytes.bytes, bytes.count, &back, &err), ERROR_INVALID);
        }
        assert_null(back);
        text_destroy(&bytes);
        sketch_free(sketch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_and_estimates_are_those_of_hash4j),
        cmocka_unit_test(join_is_a_union_in_any_order),
        cmocka_unit_test(wide_join_is_the_scalar_one_for_every_pair),
        cmocka_unit_test(would_change_is_what_add_does),
        cmocka_unit_test(few_users_are_counted_exactly),
        cmocka_unit_test(bytes_depend_on_the_set_alone),
        cmocka_unit_test(sketches_of_two_sizes_meet_at_the_smaller),
        cmocka_unit_test(bytes_come_back_or_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
