/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/weight.h"

/* Under a sanitizer too an impossible allocation is to fail, not to end the test. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static const enum weight_type every_type[] = {
    WEIGHT_F32,  WEIGHT_F16,  WEIGHT_BF16, WEIGHT_Q4_0, WEIGHT_Q4_1, WEIGHT_Q5_0,
    WEIGHT_Q5_1, WEIGHT_Q8_0, WEIGHT_Q4_K, WEIGHT_Q5_K, WEIGHT_Q6_K,
};
#define TYPE_COUNT (sizeof every_type / sizeof *every_type)

static uint8_t *some_bytes(size_t count)
{
    uint8_t *bytes = malloc(count);
    assert_non_null(bytes);
    for (size_t i = 0; i < count; i++) /* 0x01..0x3f in a half's top byte: finite, not tiny */
        bytes[i] = (uint8_t)(i * 37 % 63 + 1);
    return bytes;
}

static void embed_is_the_dequantised_row(void **state)
{
    for (size_t t = 0; t < TYPE_COUNT; t++) {
        const struct quant_format *format = quant_format_find(every_type[t]);
        size_t row_bytes = quant_row_bytes(format, 512);
        uint8_t *bytes = some_bytes(40 * row_bytes);
        struct weight_source source = {bytes, every_type[t], 40, 512, 0};
        struct weight *table = cpu_weight_prepare(CPU_LEVEL_SCALAR, *state, &source, NULL);
        assert_non_null(table);
        assert_int_equal(cpu_weight_rows(table), 40);
        assert_int_equal(cpu_weight_columns(table), 512);
        const uint32_t tokens[] = {39, 0, 17, 17};
        float out[4 * 512], expected[512];
        struct embed_args args = {table, tokens, 4, out};
        cpu_embed(*state, &args);
        for (int i = 0; i < 4; i++) {
            quant_dequantize_row(format, bytes + tokens[i] * row_bytes, 512, expected);
            assert_memory_equal(out + i * 512, expected, sizeof expected);
        }
        cpu_weight_free(table);
        free(bytes);
    }
}

/* linear() reads the prepared tiles alone: the file may be dropped from memory. */
static void prepared_weight_outlives_the_pages_of_its_file(void **state)
{
    void *scratch = aligned_alloc(64, cpu_linear_scratch_bytes(1, 512));
    float x[512], out[2][40];
    for (int i = 0; i < 512; i++)
        x[i] = (float)(i % 7) - 3;
    for (size_t t = 0; t < TYPE_COUNT; t++) {
        size_t size = 40 * quant_row_bytes(quant_format_find(every_type[t]), 512);
        uint8_t *bytes = some_bytes(size);
        struct weight_source source = {bytes, every_type[t], 40, 512, 0};
        struct weight *weight = cpu_weight_prepare(CPU_LEVEL_SCALAR, *state, &source, NULL);
        assert_non_null(weight);
        for (int i = 0; i < 2; i++) {
            struct linear_args args = {
                .x = x, .rows = 1, .weight_count = 1, .weights = {weight}, .outs = {out[i]}};
            cpu_linear(CPU_LEVEL_SCALAR, *state, scratch, &args);
            memset(bytes, 0xff, size);
        }
        assert_memory_equal(out[0], out[1], sizeof out[0]);
        cpu_weight_free(weight);
        free(bytes);
    }
    free(scratch);
}

/* A quantised weight takes the memory that the file gives it: bandwidth is what a decode step
 * spends. 3% is the alignment of superscales (Q6_K's int8 scales are the file's). */
static void prepared_weight_is_no_larger_than_its_file(void **state)
{
    for (size_t t = 0; t < TYPE_COUNT; t++) {
        size_t size = 256 * quant_row_bytes(quant_format_find(every_type[t]), 4096);
        uint8_t *bytes = some_bytes(size);
        struct weight_source source = {bytes, every_type[t], 256, 4096, 0};
        struct weight *weight = cpu_weight_prepare(CPU_LEVEL_SCALAR, *state, &source, NULL);
        assert_non_null(weight);
        assert_true(cpu_weight_bytes(weight) <= size + size * 3 / 100);
        cpu_weight_free(weight);
        free(bytes);
    }
}

static void refuse(struct pool *pool, struct weight_source source, int code, const char *says)
{
    struct error err = {0};
    assert_null(cpu_weight_prepare(CPU_LEVEL_SCALAR, pool, &source, &err));
    assert_int_equal(err.code, code);
    assert_non_null(strstr(err.text, says));
}

static void malformed_weights_are_refused_by_name(void **state)
{
    refuse(*state, (struct weight_source){"", (enum weight_type)31, 1, 32, 0}, ERROR_UNSUPPORTED,
           "31");
    refuse(*state, (struct weight_source){"", WEIGHT_Q4_1, 16, 33, 0}, ERROR_INVALID, "Q4_1");
    refuse(*state, (struct weight_source){"", WEIGHT_Q6_K, 16, 128, 0}, ERROR_INVALID, "256");
    refuse(*state, (struct weight_source){"", WEIGHT_F32, 0, 16, 0}, ERROR_INVALID, "0 x 16");
    refuse(*state, (struct weight_source){"", WEIGHT_F32, 16, 0, 0}, ERROR_INVALID, "16 x 0");
}

/* 2^32 rows of 2^32 columns of floats are 2^66 bytes, and half a row's worth is 2^61: no machine
 * has either, and neither may wrap around to something it has. */
static void weights_past_all_memory_are_no_memory(void **state)
{
    refuse(*state, (struct weight_source){"", WEIGHT_F32, UINT32_MAX, UINT32_MAX, 0},
           ERROR_NO_MEMORY, "memory");
    refuse(*state, (struct weight_source){"", WEIGHT_F32, 1u << 27, UINT32_MAX, 0}, ERROR_NO_MEMORY,
           "memory");
    refuse(*state, (struct weight_source){"", WEIGHT_Q4_1, UINT32_MAX, UINT32_MAX - 31, 0},
           ERROR_NO_MEMORY, "memory");
}

static void freeing_nothing_is_fine(void **state)
{
    (void)state;
    cpu_weight_free(NULL);
}

static int setup(void **state)
{
    *state = pool_new(2, NULL);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    pool_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embed_is_the_dequantised_row),
        cmocka_unit_test(prepared_weight_outlives_the_pages_of_its_file),
        cmocka_unit_test(prepared_weight_is_no_larger_than_its_file),
        cmocka_unit_test(malformed_weights_are_refused_by_name),
        cmocka_unit_test(weights_past_all_memory_are_no_memory),
        cmocka_unit_test(freeing_nothing_is_fine),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
