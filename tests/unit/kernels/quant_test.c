/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/quant.h"

#define GOLDEN_COLUMNS 768

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* The definition of binary16, in arithmetic. */
static double half_by_definition(uint16_t half)
{
    int exponent = half >> 10 & 31;
    double mantissa = half & 0x3ff;
    double size = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return half & 0x8000 ? -size : size;
}

static void every_half_means_its_definition_and_comes_back(void **state)
{
    (void)state;
    for (uint32_t half = 0; half <= 0xffff; half++) {
        float value = quant_half_to_float((uint16_t)half);
        uint16_t back = quant_float_to_half(value);
        if ((half & 0x7c00) != 0x7c00) {
            assert_true(value == (float)half_by_definition((uint16_t)half));
            assert_int_equal(bits_of(value) >> 31, half >> 15);
            assert_int_equal(back, half);
        } else if (half & 0x3ff) {
            assert_true(isnan(value));
            assert_int_equal(back, half | 0x200); /* quiet, sign and payload kept */
        } else {
            assert_true(isinf(value));
            assert_int_equal(back, half);
        }
    }
}

/* Between two neighbours everything below the middle goes down, everything above goes up, and the
 * middle goes to the even one: tried at every boundary there is. */
static void floats_round_to_the_nearest_half_ties_to_even(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x7c00; half++) {
        double low = half_by_definition((uint16_t)half);
        double high = half == 0x7bff ? 65536 : half_by_definition((uint16_t)(half + 1));
        float middle = (float)((low + high) / 2); /* 12 significant bits: exact */
        uint32_t even = half & 1 ? half + 1 : half;
        assert_int_equal(quant_float_to_half(middle), even);
        assert_int_equal(quant_float_to_half(-middle), even | 0x8000);
        assert_int_equal(quant_float_to_half(nextafterf(middle, 0)), half);
        assert_int_equal(quant_float_to_half(nextafterf(middle, INFINITY)), half + 1);
    }
    assert_int_equal(quant_float_to_half(INFINITY), 0x7c00);
    assert_int_equal(quant_float_to_half(-3e38f), 0xfc00);
    assert_int_equal(quant_float_to_half(1e-40f), 0);
}

static void bfloat_keeps_every_value_and_rounds_ties_to_even(void **state)
{
    (void)state;
    for (uint32_t bf16 = 0; bf16 <= 0xffff; bf16++) {
        float value = quant_bf16_to_float((uint16_t)bf16);
        assert_int_equal(bits_of(value), bf16 << 16);
        if (isnan(value))
            assert_true(isnan(quant_bf16_to_float(quant_float_to_bf16(value))));
        else
            assert_int_equal(quant_float_to_bf16(value), bf16);
        if ((bf16 & 0x7fff) >= 0x7f80)
            continue;
        uint32_t middle_bits = bf16 << 16 | 0x8000;
        float middle;
        memcpy(&middle, &middle_bits, sizeof middle);
        assert_int_equal(quant_float_to_bf16(middle), bf16 + (bf16 & 1));
        assert_int_equal(quant_float_to_bf16(nextafterf(middle, 0)), bf16);
    }
    uint32_t low_payload = 0x7f800001;
    float nan_value;
    memcpy(&nan_value, &low_payload, sizeof nan_value);
    assert_true(isnan(quant_bf16_to_float(quant_float_to_bf16(nan_value))));
}

static void rows_dequantise_as_the_reference_does(void **state)
{
    (void)state;
    const uint32_t types[] = {0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 30};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const struct quant_format *format = quant_format_find(types[i]);
        assert_non_null(format);
        size_t row_bytes = quant_row_bytes(format, GOLDEN_COLUMNS);
        char path[64];
        snprintf(path, sizeof path, "tests/golden/quant/%s.bin", format->name);
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        uint8_t *row = malloc(row_bytes + 1);
        float expected[GOLDEN_COLUMNS], got[GOLDEN_COLUMNS];
        assert_int_equal(fread(row + 1, 1, row_bytes, file), row_bytes); /* unaligned on purpose */
        assert_int_equal(fread(expected, sizeof *expected, GOLDEN_COLUMNS, file), GOLDEN_COLUMNS);
        assert_int_equal(fgetc(file), EOF);
        fclose(file);
        quant_dequantize_row(format, row + 1, GOLDEN_COLUMNS, got);
        for (size_t column = 0; column < GOLDEN_COLUMNS; column++)
            assert_true(got[column] == expected[column]);
        free(row);
    }
}

static void unknown_and_removed_ids_have_no_format(void **state)
{
    (void)state;
    const uint32_t ids[] = {4, 5, 9, 10, 11, 15, 16, 24, 28, 31, 33, 36, 38, 39, 100, UINT32_MAX};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        assert_null(quant_format_find(ids[i]));
}

static void row_sizes_refuse_parts_of_blocks_and_overflow(void **state)
{
    (void)state;
    const struct quant_format *q4_1 = quant_format_find(WEIGHT_Q4_1);
    const struct quant_format *q6_k = quant_format_find(WEIGHT_Q6_K);
    assert_int_equal(quant_row_bytes(q4_1, 576), 360);
    assert_int_equal(quant_row_bytes(q4_1, 16), 0);
    assert_int_equal(quant_row_bytes(q6_k, 576), 0);
    assert_int_equal(quant_row_bytes(q6_k, 512), 420);
    assert_int_equal(quant_row_bytes(quant_format_find(WEIGHT_F32), 7), 28);
    assert_int_equal(quant_row_bytes(quant_format_find(WEIGHT_F32), UINT64_MAX / 2), 0);
    assert_int_equal(quant_row_bytes(quant_format_find(WEIGHT_F32), UINT64_MAX), 0);
    assert_int_not_equal(quant_row_bytes(q4_1, UINT64_MAX & ~31ull), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_means_its_definition_and_comes_back),
        cmocka_unit_test(floats_round_to_the_nearest_half_ties_to_even),
        cmocka_unit_test(bfloat_keeps_every_value_and_rounds_ties_to_even),
        cmocka_unit_test(rows_dequantise_as_the_reference_does),
        cmocka_unit_test(unknown_and_removed_ids_have_no_format),
        cmocka_unit_test(row_sizes_refuse_parts_of_blocks_and_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
