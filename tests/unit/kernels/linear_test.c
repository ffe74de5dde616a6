/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/linear_level.h"
#include "kernels/cpu/weight.h"

/* linear_avx512.c over an emulation: linear_emulated_avx2.c. */
extern const struct linear_level linear_level_emulated;

static const enum weight_type every_type[] = {
    WEIGHT_F32,  WEIGHT_F16,  WEIGHT_BF16, WEIGHT_Q4_0, WEIGHT_Q4_1, WEIGHT_Q5_0,
    WEIGHT_Q5_1, WEIGHT_Q8_0, WEIGHT_Q4_K, WEIGHT_Q5_K, WEIGHT_Q6_K,
};
#define TYPE_COUNT (sizeof every_type / sizeof *every_type)

struct fixture {
    struct pool *pool;
    uint64_t seed;
    bool has_avx2;
};

/* One matrix with its bytes, and activations for it. */
struct problem {
    uint8_t *bytes;
    struct weight *weight;
    float *x, *bias;
    uint32_t rows, columns, tokens;
};

static uint32_t draw(struct fixture *fixture)
{
    fixture->seed = fixture->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(fixture->seed >> 33);
}

/* In -1..1. */
static float draw_float(struct fixture *fixture)
{
    return (float)draw(fixture) / 0x1p30f - 1;
}

static void put_half(uint8_t *bytes, float value)
{
    uint16_t half = quant_float_to_half(value);
    memcpy(bytes, &half, sizeof half);
}

/* Any bytes are a block, once the halves are sane numbers. */
static void fill_block(struct fixture *fixture, enum weight_type type, uint8_t *block, size_t size)
{
    for (size_t i = 0; i < size; i++)
        block[i] = (uint8_t)draw(fixture);
    float value = draw_float(fixture);
    uint16_t bf16 = quant_float_to_bf16(value);
    if (type == WEIGHT_F32)
        memcpy(block, &value, sizeof value);
    else if (type == WEIGHT_BF16)
        memcpy(block, &bf16, sizeof bf16);
    else
        put_half(block + (type == WEIGHT_Q6_K ? 208 : 0), value * 0.02f);
    if (quant_scaling_of(type) == QUANT_SCALING_MINIMUM ||
        quant_scaling_of(type) == QUANT_SCALING_NESTED)
        put_half(block + 2, draw_float(fixture) * 0.02f);
}

static void problem_prepare(struct fixture *fixture, struct problem *problem, enum weight_type type)
{
    struct weight_source source = {problem->bytes, type, problem->rows, problem->columns, 0};
    struct error err = {0};
    problem->weight = cpu_weight_prepare(CPU_LEVEL_SCALAR, fixture->pool, &source, &err);
    assert_non_null(problem->weight);
}

static struct problem problem_new(struct fixture *fixture, enum weight_type type, uint32_t rows,
                                  uint32_t columns, uint32_t tokens)
{
    const struct quant_format *format = quant_format_find(type);
    size_t row_bytes = quant_row_bytes(format, columns);
    struct problem problem = {.rows = rows, .columns = columns, .tokens = tokens};
    problem.bytes = malloc(rows * row_bytes);
    problem.x = malloc(sizeof(float) * tokens * columns);
    problem.bias = malloc(sizeof(float) * rows);
    assert_true(problem.bytes && problem.x && problem.bias);
    for (size_t at = 0; at < rows * row_bytes; at += format->block_bytes)
        fill_block(fixture, type, problem.bytes + at, format->block_bytes);
    for (size_t i = 0; i < (size_t)tokens * columns; i++)
        problem.x[i] = draw_float(fixture) * (draw(fixture) % 16 ? 1 : 30);
    for (uint32_t i = 0; i < rows; i++)
        problem.bias[i] = draw_float(fixture);
    problem_prepare(fixture, &problem, type);
    return problem;
}

static void problem_free(struct problem *problem)
{
    cpu_weight_free(problem->weight);
    free(problem->bytes);
    free(problem->x);
    free(problem->bias);
}

/* The whole product at one level, without a pool; the caller frees. */
static float *multiply_at(const struct linear_level *level, const struct problem *problem,
                          const float *bias)
{
    uint32_t blocks = problem->columns / BLOCK_COLUMNS;
    bool quantised = problem->weight->block_count != 0;
    float *out = malloc(sizeof(float) * problem->tokens * problem->rows);
    struct activation_block *x = calloc((size_t)problem->tokens * blocks + 1, sizeof *x);
    assert_true(out && x);
    for (uint32_t token = 0; quantised && token < problem->tokens; token++)
        level->quantize(problem->x + (size_t)token * problem->columns, blocks,
                        x + (size_t)token * blocks);
    struct linear_job job = {
        .weight = problem->weight,
        .blocks = x,
        .x = problem->x,
        .bias = bias,
        .out = out,
        .row_end = problem->tokens,
        .tile_end = problem->weight->tile_count,
    };
    level->multiply(&job);
    free(x);
    return out;
}

/* Equal bits; a NaN equals any NaN, for its payload tells which operand came first, not more. */
static void assert_same_bits(const float *got, const float *expected, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (isnan(expected[i]) && isnan(got[i]))
            continue;
        assert_memory_equal(&got[i], &expected[i], sizeof *got);
    }
}

static void assert_levels_agree(struct fixture *fixture, const struct problem *problem)
{
    size_t count = (size_t)problem->tokens * problem->rows;
    for (int with_bias = 0; with_bias < 2; with_bias++) {
        const float *bias = with_bias ? problem->bias : NULL;
        float *expected = multiply_at(&linear_level_scalar, problem, bias);
        if (fixture->has_avx2) {
            float *avx2 = multiply_at(&linear_level_avx2, problem, bias);
            float *avx512 = multiply_at(&linear_level_emulated, problem, bias);
            assert_same_bits(avx2, expected, count);
            assert_same_bits(avx512, expected, count);
            free(avx2);
            free(avx512);
        }
        free(expected);
    }
}

/* Scalar code against the dot product of dequantised weights and the activations as they came, in
 * doubles. Rounding an activation to 8 bits moves it by up to half a scale, in a random direction:
 * we allow that much for all of them at once (the worst case), and the float chain 1e-5. */
static void linear_is_the_dot_product(void **state)
{
    struct fixture *fixture = *state;
    for (size_t t = 0; t < TYPE_COUNT; t++) {
        struct problem problem = problem_new(fixture, every_type[t], 21, 512, 3);
        const struct quant_format *format = quant_format_find(every_type[t]);
        float *out = multiply_at(&linear_level_scalar, &problem, problem.bias), w[512];
        for (uint32_t i = 0; i < problem.tokens * problem.rows; i++) {
            uint32_t row = i % problem.rows;
            const float *x = problem.x + (size_t)(i / problem.rows) * 512;
            quant_dequantize_row(format, problem.bytes + row * quant_row_bytes(format, 512), 512,
                                 w);
            double sum = problem.bias[row], sizes = 0, rounding = 0;
            for (uint32_t block = 0; block < 512; block += STRETCH_COLUMNS) {
                double largest = 0, weights = 0;
                for (uint32_t k = block; k < block + STRETCH_COLUMNS; k++) {
                    sum += (double)w[k] * x[k];
                    sizes += fabs((double)w[k] * x[k]);
                    weights += fabs(w[k]);
                    largest = fmax(largest, fabs(x[k]));
                }
                rounding += weights * largest / (2 * activation_steps(ACTIVATION_SCALES_TRIED - 1));
            }
            bool quantised = problem.weight->block_count != 0;
            assert_true(fabs(out[i] - sum) <= 1e-5 * (1 + sizes) + (quantised ? rounding : 0));
        }
        free(out);
        problem_free(&problem);
    }
}

static void every_level_gives_the_same_bits(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t shapes[][3] = {{16, 256, 1}, {33, 768, 7},  {1, 256, 2},  {95, 512, 13},
                                  {48, 256, 6}, {160, 256, 5}, {64, 1536, 4}};
    for (size_t t = 0; t < TYPE_COUNT; t++) {
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            struct problem problem =
                problem_new(fixture, every_type[t], shapes[s][0], shapes[s][1], shapes[s][2]);
            assert_levels_agree(fixture, &problem);
            problem_free(&problem);
        }
    }
}

/* Superblocks aside, a row may be any number of blocks; floats any number of columns. */
static void odd_numbers_of_columns_work(void **state)
{
    struct fixture *fixture = *state;
    const enum weight_type types[] = {WEIGHT_Q4_0, WEIGHT_Q4_1, WEIGHT_Q5_0, WEIGHT_Q5_1,
                                      WEIGHT_Q8_0, WEIGHT_F32,  WEIGHT_F16,  WEIGHT_BF16};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        uint32_t unit = quant_format_find(types[t])->block_weights;
        for (uint32_t count = 1; count <= 19; count += 3) {
            struct problem problem = problem_new(fixture, types[t], 17, count * unit, 3);
            assert_levels_agree(fixture, &problem);
            problem_free(&problem);
        }
    }
}

/* Every block all ones, all zeros and all 0x80, against activations at +-largest: the sums that
 * come closest to the ends of 16 and 32 bits. The scalar sums are plain 32-bit integers, so
 * saturation anywhere would show. */
static void no_sum_of_products_saturates(void **state)
{
    struct fixture *fixture = *state;
    const uint8_t patterns[] = {0xff, 0x00, 0x80, 0x7f, 0xf0, 0x0f, 0x88};
    for (size_t t = 3; t < TYPE_COUNT; t++) {
        const struct quant_format *format = quant_format_find(every_type[t]);
        for (size_t p = 0; p < sizeof patterns * 4; p++) {
            struct problem problem = problem_new(fixture, every_type[t], 16, 256, 4);
            size_t bytes = 16 * quant_row_bytes(format, 256);
            memset(problem.bytes, patterns[p / 4], bytes);
            for (size_t at = 0; at < bytes; at += format->block_bytes) {
                put_half(problem.bytes + at + (every_type[t] == WEIGHT_Q6_K ? 208 : 0), 1);
                if (quant_scaling_of(every_type[t]) == QUANT_SCALING_MINIMUM ||
                    quant_scaling_of(every_type[t]) == QUANT_SCALING_NESTED)
                    put_half(problem.bytes + at + 2, 1);
            }
            for (uint32_t i = 0; i < 4 * 256; i++)
                problem.x[i] = p % 4 == 0   ? 127
                               : p % 4 == 1 ? -127
                               : p % 4 == 2 ? (i & 1 ? 127 : -127)
                                            : (i & 2 ? 127 : -127);
            cpu_weight_free(problem.weight);
            problem_prepare(fixture, &problem, every_type[t]);
            assert_levels_agree(fixture, &problem);
            problem_free(&problem);
        }
    }
}

/* Activations that are not numbers, and too small or too large ones: nothing crashes, levels agree,
 * and what is not finite spoils its own row only. */
static void odd_activations_stay_in_their_row(void **state)
{
    struct fixture *fixture = *state;
    const float odd[] = {NAN,    INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, 0,      -0.0f,
                         1e-45f, 1e-38f,   1e-31f,    1e-30f,  3e-30f,   1e-10f, 1e30f};
    for (size_t t = 0; t < TYPE_COUNT; t++) {
        for (size_t o = 0; o < sizeof odd / sizeof *odd; o++) {
            struct problem problem = problem_new(fixture, every_type[t], 32, 256, 3);
            float *before = multiply_at(&linear_level_scalar, &problem, NULL);
            for (uint32_t i = 0; i < 32; i++)
                problem.x[256 + 64 + i] = i % 5 ? odd[o] * 0.5f : odd[o];
            assert_levels_agree(fixture, &problem);
            float *after = multiply_at(&linear_level_scalar, &problem, NULL);
            assert_same_bits(after, before, 32);
            assert_same_bits(after + 64, before + 64, 32);
            for (uint32_t i = 32; i < 64; i++)
                assert_true(isfinite(odd[o]) || !isfinite(after[i]));
            free(before);
            free(after);
            problem_free(&problem);
        }
    }
}

/* An activation's code is the nearest, ties to even, at every level. */
static void quantised_activations_agree(void **state)
{
    struct fixture *fixture = *state;
    const struct linear_level *levels[] = {&linear_level_avx2, &linear_level_emulated};
    for (int i = 0; fixture->has_avx2 && i < 20000; i++) {
        float x[BLOCK_COLUMNS];
        for (uint32_t k = 0; k < BLOCK_COLUMNS; k++)
            x[k] = i % 2 ? draw_float(fixture)
                         : (float)(draw(fixture) % 254) - 127 + (draw(fixture) % 8 ? 0 : 0.5f);
        if (i % 2 == 0) /* scale 1 is the best by far, and the few halves are ties */
            x[draw(fixture) % STRETCH_COLUMNS] =
                x[STRETCH_COLUMNS + draw(fixture) % STRETCH_COLUMNS] = 127;
        x[draw(fixture) % BLOCK_COLUMNS] *= ldexpf(1, (int)(draw(fixture) % 9) * 12 - 48);
        struct activation_block expected, got;
        linear_level_scalar.quantize(x, 1, &expected);
        for (int level = 0; level < 2; level++) {
            levels[level]->quantize(x, 1, &got);
            assert_memory_equal(&got, &expected, sizeof got);
        }
        for (uint32_t k = 0; k < BLOCK_COLUMNS; k++)
            assert_true(fabsf(x[k] - expected.scales[k / STRETCH_COLUMNS] * expected.codes[k]) <=
                        expected.scales[k / STRETCH_COLUMNS] * 0.50001f);
    }
}

/* The law of the house: through the pool, at any number of rows, a row keeps its bits. */
static void a_row_keeps_its_bits_in_any_batch(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t batches[] = {1, 2, 3, 5, 33, 48, 49, 97};
    enum cpu_level levels[2] = {CPU_LEVEL_SCALAR, CPU_LEVEL_SCALAR};
    assert_int_equal(cpu_level_resolve(CPU_LEVEL_AUTO, &levels[1], NULL), 0);
    float *out = malloc(sizeof(float) * 97 * 176);
    void *scratch = aligned_alloc(64, cpu_linear_scratch_bytes(97, 768));
    assert_true(out && scratch);
    for (size_t t = 0; t < TYPE_COUNT; t++) {
        struct problem problem = problem_new(fixture, every_type[t], 176, 256, 97);
        float *expected = multiply_at(&linear_level_scalar, &problem, problem.bias);
        for (size_t b = 0; b < 2 * sizeof batches / sizeof *batches; b++) {
            uint32_t rows = batches[b / 2], from = 97 - rows;
            struct linear_args args = {
                .x = problem.x + (size_t)from * 256,
                .rows = rows,
                .weight_count = 1,
                .weights = {problem.weight},
                .biases = {problem.bias},
                .outs = {out},
            };
            memset(out, 0xff, sizeof(float) * 97 * 176);
            cpu_linear(levels[b % 2], fixture->pool, scratch, &args);
            assert_same_bits(out, expected + (size_t)from * 176, (size_t)rows * 176);
            for (size_t i = (size_t)rows * 176; i < 97 * 176; i++)
                assert_true(isnan(out[i])); /* and nothing else was written */
        }
        free(expected);
        problem_free(&problem);
    }
    free(out);
    free(scratch);
}

/* Weights of three types and heights in one call equal three calls. */
static void fused_weights_equal_single_ones(void **state)
{
    struct fixture *fixture = *state;
    enum cpu_level level;
    assert_int_equal(cpu_level_resolve(CPU_LEVEL_AUTO, &level, NULL), 0);
    struct problem q = problem_new(fixture, WEIGHT_Q4_1, 190, 512, 50);
    struct problem k = problem_new(fixture, WEIGHT_F16, 33, 512, 50);
    struct problem v = problem_new(fixture, WEIGHT_Q6_K, 7, 512, 50);
    struct problem *all[] = {&q, &k, &v};
    struct linear_args args = {.x = q.x, .rows = 50, .weight_count = 3};
    void *scratch = aligned_alloc(64, cpu_linear_scratch_bytes(50, 512));
    for (int i = 0; i < 3; i++) {
        memcpy(all[i]->x, q.x, sizeof(float) * 50 * 512);
        args.weights[i] = all[i]->weight;
        args.biases[i] = i == 1 ? all[i]->bias : NULL;
        args.outs[i] = malloc(sizeof(float) * 50 * all[i]->rows);
        assert_non_null(args.outs[i]);
    }
    cpu_linear(level, fixture->pool, scratch, &args);
    for (int i = 0; i < 3; i++) {
        float *expected = multiply_at(&linear_level_scalar, all[i], args.biases[i]);
        assert_same_bits(args.outs[i], expected, (size_t)50 * all[i]->rows);
        free(expected);
        free(args.outs[i]);
        problem_free(all[i]);
    }
    free(scratch);
}

static void levels_resolve_to_what_the_processor_has(void **state)
{
    (void)state;
    enum cpu_level best, level = CPU_LEVEL_AUTO;
    assert_int_equal(cpu_level_resolve(CPU_LEVEL_AUTO, &best, NULL), 0);
    assert_int_not_equal(best, CPU_LEVEL_AUTO);
    for (enum cpu_level wanted = CPU_LEVEL_SCALAR; wanted <= CPU_LEVEL_AVX512; wanted++) {
        struct error err = {0};
        level = CPU_LEVEL_AUTO;
        int code = cpu_level_resolve(wanted, &level, &err);
        assert_int_equal(code, wanted <= best ? 0 : ERROR_UNSUPPORTED);
        assert_int_equal(level, wanted <= best ? wanted : CPU_LEVEL_AUTO);
        if (code)
            assert_non_null(strstr(err.text, cpu_level_name(wanted)));
    }
}

static int setup(void **state)
{
    static const struct fixture start = {.seed = 20261101};
    struct fixture *fixture = malloc(sizeof *fixture);
    enum cpu_level best;
    if (!fixture)
        return -1;
    *fixture = start;
    fixture->pool = pool_new(2, NULL);
    fixture->has_avx2 = !cpu_level_resolve(CPU_LEVEL_AUTO, &best, NULL) && best >= CPU_LEVEL_AVX2;
    *state = fixture;
    return fixture->pool ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    pool_free(fixture->pool);
    free(fixture);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_is_the_dot_product),
        cmocka_unit_test(every_level_gives_the_same_bits),
        cmocka_unit_test(odd_numbers_of_columns_work),
        cmocka_unit_test(no_sum_of_products_saturates),
        cmocka_unit_test(odd_activations_stay_in_their_row),
        cmocka_unit_test(quantised_activations_agree),
        cmocka_unit_test(a_row_keeps_its_bits_in_any_batch),
        cmocka_unit_test(fused_weights_equal_single_ones),
        cmocka_unit_test(levels_resolve_to_what_the_processor_has),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
