/* SPDX-License-Identifier: Apache-2.0 */
/* linear_test.cpp -- matrices on the (emulated) GPU held against kernels/cpu at its scalar level.
 *
 * Quantised and F32 weights owe the CPU's bits. F16 and BF16 weights multiply activations that were
 * rounded to their type: each by at most half a unit of its last place, 2^-11 or 2^-8 of its size
 * (under F16 of 2^-25 * 2^-14 of the row's largest, where it is far below that), and add in floats
 * in another order, for which 2^-20 of the sum of sizes is allowed. */
extern "C" {
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/cpu/weight.h"
#include "kernels/quant_codes.h"
}

#include "kernels/cuda/linear.h"

#include <cuda_runtime.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const enum weight_type every_type[] = {
    WEIGHT_F32,  WEIGHT_F16,  WEIGHT_BF16, WEIGHT_Q4_0, WEIGHT_Q4_1, WEIGHT_Q5_0,
    WEIGHT_Q5_1, WEIGHT_Q8_0, WEIGHT_Q4_K, WEIGHT_Q5_K, WEIGHT_Q6_K,
};
#define TYPE_COUNT (sizeof every_type / sizeof *every_type)

#define ROWS_MAX 100u

/* ThreadSanitizer looks at each access and not at values: fewer batches, shapes and numbers, of
 * which every kernel, every count of buffers and every ragged end still has some. */
#ifdef __SANITIZE_THREAD__
static const bool watched = true;
#else
static const bool watched = false;
#endif

struct fixture {
    struct pool *pool;
    cudaStream_t stream;
    void *staging;
    uint64_t seed;
};

/* One matrix on both sides, and activations for it. */
struct problem {
    enum weight_type type;
    uint32_t rows, columns, x_rows;
    uint8_t *bytes;
    float *x, *bias;
    struct weight *cpu, *cuda;
    void *tiles;
    float *device_x, *device_bias;
};

static uint32_t draw(struct fixture *fixture)
{
    fixture->seed = fixture->seed * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(fixture->seed >> 33);
}

/* In -1..1. */
static float draw_float(struct fixture *fixture)
{
    return static_cast<float>(draw(fixture)) / 0x1p30f - 1;
}

static bool is_half(enum weight_type type)
{
    return type == WEIGHT_F16 || type == WEIGHT_BF16;
}

static bool is_quantised(enum weight_type type)
{
    return quant_scaling_of(type) != QUANT_SCALING_NONE;
}

template <class T> static T *host_new(size_t count)
{
    T *memory = static_cast<T *>(calloc(count, sizeof(T)));
    assert_non_null(memory);
    return memory;
}

template <class T> static T *device_new(const T *from, size_t count)
{
    void *memory = NULL;
    assert_int_equal(cudaMalloc(&memory, count * sizeof(T)), cudaSuccess);
    if (from)
        assert_int_equal(cudaMemcpy(memory, from, count * sizeof(T), cudaMemcpyHostToDevice),
                         cudaSuccess);
    return static_cast<T *>(memory);
}

static void device_read(struct fixture *fixture, float *to, const float *from, size_t count)
{
    assert_int_equal(cudaStreamSynchronize(fixture->stream), cudaSuccess);
    assert_int_equal(cudaMemcpy(to, from, count * sizeof(float), cudaMemcpyDeviceToHost),
                     cudaSuccess);
}

static void put_half(uint8_t *bytes, float value)
{
    uint16_t bits = quant_float_to_half(value);
    memcpy(bytes, &bits, sizeof bits);
}

/* The halves of a block; any other bytes will do. */
static void put_halves(enum weight_type type, uint8_t *block, float scale, float minimum)
{
    put_half(block + (type == WEIGHT_Q6_K ? 208 : 0), scale);
    if (quant_scaling_of(type) == QUANT_SCALING_MINIMUM ||
        quant_scaling_of(type) == QUANT_SCALING_NESTED)
        put_half(block + 2, minimum);
}

static void fill_block(struct fixture *fixture, enum weight_type type, uint8_t *block, size_t size)
{
    for (size_t i = 0; i < size; i++)
        block[i] = static_cast<uint8_t>(draw(fixture));
    float value = draw_float(fixture);
    uint16_t bf16 = quant_float_to_bf16(value);
    if (type == WEIGHT_F32)
        memcpy(block, &value, sizeof value);
    else if (type == WEIGHT_BF16)
        memcpy(block, &bf16, sizeof bf16);
    else if (type == WEIGHT_F16)
        put_half(block, value);
    else
        put_halves(type, block, value * 0.02f, draw_float(fixture) * 0.02f);
}

static struct weight_source source_of(const struct problem *problem)
{
    struct weight_source source = {problem->bytes, problem->type, problem->rows, problem->columns,
                                   0};
    return source;
}

static struct cuda_weight_place place_of(struct fixture *fixture, void *device,
                                         size_t staging_bytes)
{
    struct cuda_weight_place place = {device, fixture->staging, staging_bytes, fixture->stream};
    return place;
}

/* Lays the bytes out on both sides. */
static void problem_prepare(struct fixture *fixture, struct problem *problem, size_t staging_bytes)
{
    struct weight_source source = source_of(problem);
    struct error err = {};
    cpu_weight_free(problem->cpu);
    cuda_weight_free(problem->cuda);
    problem->cpu = cpu_weight_prepare(CPU_LEVEL_SCALAR, fixture->pool, &source, &err);
    struct cuda_weight_place place = place_of(fixture, problem->tiles, staging_bytes);
    problem->cuda = cuda_weight_prepare(&source, &place, &err);
    assert_non_null(problem->cpu);
    assert_non_null(problem->cuda);
    assert_int_equal(cuda_weight_bytes(problem->cuda), cuda_weight_bytes_wanted(&source));
}

static struct problem problem_new(struct fixture *fixture, enum weight_type type, uint32_t rows,
                                  uint32_t columns, uint32_t x_rows)
{
    const struct quant_format *format = quant_format_find(type);
    size_t row_bytes = quant_row_bytes(format, columns);
    struct problem problem = {};
    problem.type = type;
    problem.rows = rows;
    problem.columns = columns;
    problem.x_rows = x_rows;
    problem.bytes = host_new<uint8_t>(rows * row_bytes);
    problem.x = host_new<float>(static_cast<size_t>(x_rows) * columns);
    problem.bias = host_new<float>(rows);
    for (size_t at = 0; at < rows * row_bytes; at += format->block_bytes)
        fill_block(fixture, type, problem.bytes + at, format->block_bytes);
    for (size_t i = 0; i < static_cast<size_t>(x_rows) * columns; i++)
        problem.x[i] = draw_float(fixture) * (draw(fixture) % 16 ? 1 : 30);
    for (uint32_t i = 0; i < rows; i++)
        problem.bias[i] = draw_float(fixture);
    struct weight_source source = source_of(&problem);
    problem.tiles = device_new<uint8_t>(NULL, cuda_weight_bytes_wanted(&source));
    problem.device_x = device_new(problem.x, static_cast<size_t>(x_rows) * columns);
    problem.device_bias = device_new(problem.bias, rows);
    problem_prepare(fixture, &problem, CUDA_WEIGHT_STAGING_MIN);
    return problem;
}

static void problem_free(struct problem *problem)
{
    cpu_weight_free(problem->cpu);
    cuda_weight_free(problem->cuda);
    cudaFree(problem->tiles);
    cudaFree(problem->device_x);
    cudaFree(problem->device_bias);
    free(problem->bytes);
    free(problem->x);
    free(problem->bias);
}

static float *multiply_on_cpu(struct fixture *fixture, const struct problem *problem, bool biased)
{
    float *out = host_new<float>(static_cast<size_t>(problem->x_rows) * problem->rows);
    void *scratch =
        aligned_alloc(64, cpu_linear_scratch_bytes(problem->x_rows, problem->columns) + 64);
    assert_non_null(scratch);
    struct linear_args args = {};
    args.x = problem->x;
    args.rows = problem->x_rows;
    args.weight_count = 1;
    args.weights[0] = problem->cpu;
    args.biases[0] = biased ? problem->bias : NULL;
    args.outs[0] = out;
    cpu_linear(CPU_LEVEL_SCALAR, fixture->pool, scratch, &args);
    free(scratch);
    return out;
}

/* The last x_rows rows of x; the caller frees. All around what it owes stays as it was. */
static float *multiply_on_cuda(struct fixture *fixture, const struct problem *problem,
                               uint32_t x_rows, bool biased)
{
    size_t count = static_cast<size_t>(x_rows) * problem->rows;
    float *out = host_new<float>(count + 2);
    for (size_t i = 0; i < count + 2; i++)
        out[i] = 12345;
    float *device_out = device_new(out, count + 2);
    void *scratch = device_new<uint8_t>(NULL, cuda_linear_scratch_bytes(x_rows, problem->columns));
    struct linear_args args = {};
    args.x = problem->device_x + static_cast<size_t>(problem->x_rows - x_rows) * problem->columns;
    args.rows = x_rows;
    args.weight_count = 1;
    args.weights[0] = problem->cuda;
    args.biases[0] = biased ? problem->device_bias : NULL;
    args.outs[0] = device_out + 1;
    assert_int_equal(cuda_linear(&args, scratch, fixture->stream), cudaSuccess);
    device_read(fixture, out, device_out, count + 2);
    cudaFree(device_out);
    cudaFree(scratch);
    assert_true(out[0] == 12345 && out[count + 1] == 12345);
    memmove(out, out + 1, count * sizeof *out);
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

/* What rounding the activations may do to one output. */
static double half_tolerance(const struct problem *problem, uint32_t x_row, uint32_t row)
{
    const float *x = problem->x + static_cast<size_t>(x_row) * problem->columns;
    const struct quant_format *format = quant_format_find(problem->type);
    float *w = host_new<float>(problem->columns);
    quant_dequantize_row(format, problem->bytes + row * quant_row_bytes(format, problem->columns),
                         problem->columns, w);
    double sizes = 0, weights = 0, largest = 0;
    for (uint32_t k = 0; k < problem->columns; k++) {
        sizes += fabs(static_cast<double>(w[k]) * x[k]);
        weights += fabs(w[k]);
        largest = fmax(largest, fabs(x[k]));
    }
    free(w);
    double rounding = problem->type == WEIGHT_F16 ? 0x1p-11 : 0x1p-8;
    return sizes * (rounding + 0x1p-20) + weights * largest * 0x1p-39 + 1e-30;
}

/* The CPU's sums may overflow on their way where ours, of a row scaled down, do not. */
static void assert_close(const struct problem *problem, const float *got, const float *expected)
{
    for (uint32_t i = 0; i < problem->x_rows * problem->rows; i++) {
        if (!isfinite(expected[i]))
            continue;
        assert_true(fabs(static_cast<double>(got[i]) - expected[i]) <=
                    half_tolerance(problem, i / problem->rows, i % problem->rows));
    }
}

/* One matrix at all of these numbers of rows: the CPU's numbers, and a row's bits whatever is
 * beside it. A batch of n is the last n rows, so a row is also elsewhere in each. */
static void check_rows(struct fixture *fixture, const struct problem *problem,
                       const uint32_t *batches, size_t count)
{
    for (int biased = 0; biased < 2; biased++) {
        float *expected = multiply_on_cpu(fixture, problem, biased);
        if (is_half(problem->type)) {
            float *all = multiply_on_cuda(fixture, problem, problem->x_rows, biased);
            assert_close(problem, all, expected);
            free(expected);
            expected = all;
        }
        for (size_t b = biased; b < count; b += 1 + biased) {
            float *got = multiply_on_cuda(fixture, problem, batches[b], biased);
            assert_same_bits(
                got, expected + static_cast<size_t>(problem->x_rows - batches[b]) * problem->rows,
                static_cast<size_t>(batches[b]) * problem->rows);
            free(got);
        }
        free(expected);
    }
}

static void every_type_at_any_number_of_rows(void **state)
{
    struct fixture *fixture = static_cast<struct fixture *>(*state);
    const uint32_t batches[] = {1, 3, 9, 35, 2, 5, 8, 16, 17, 33, 64, ROWS_MAX};
    const size_t count = watched ? 4 : sizeof batches / sizeof *batches;
    const uint32_t rows = watched ? 35 : ROWS_MAX;
    for (size_t t = 0; t < TYPE_COUNT; t++) {
        uint32_t columns = is_quantised(every_type[t]) ? 512 : 501;
        struct problem problem = problem_new(fixture, every_type[t], 41, columns, rows);
        check_rows(fixture, &problem, batches, count);
        problem_free(&problem);
    }
}

/* From one block or column up, over the ends of pairs, chunks, stages, parts and tiles. */
static void odd_shapes(void **state)
{
    struct fixture *fixture = static_cast<struct fixture *>(*state);
    const uint32_t blocks[] = {1, 2, 3, 15, 17, 33}, superblocks[] = {1, 3, 5};
    const uint32_t floats[] = {1, 2, 15, 17, 127, 129, 577};
    const uint32_t batches[] = {1, 6, 35, 3, 33};
    for (size_t t = 0; t < TYPE_COUNT; t++) {
        uint32_t unit = quant_format_find(every_type[t])->block_weights;
        const uint32_t *counts = unit == 1 ? floats : unit == 32 ? blocks : superblocks;
        size_t shapes = unit == 1 ? 7 : unit == 32 ? 6 : 3;
        for (size_t s = 0; s < shapes; s += watched ? 2 : 1) {
            struct problem problem =
                problem_new(fixture, every_type[t], s % 2 ? 1 : 18, counts[s] * unit, 35);
            check_rows(fixture, &problem, batches, watched ? 3 : 5);
            problem_free(&problem);
        }
    }
}

/* More chunks and stages than there are buffers for. */
static void long_rows(void **state)
{
    struct fixture *fixture = static_cast<struct fixture *>(*state);
    const uint32_t batches[] = {1, 7, 34, 2};
    for (size_t t = 0; t < TYPE_COUNT; t++) {
        uint32_t unit = quant_format_find(every_type[t])->block_weights;
        uint32_t columns = unit == 1 ? 1411 : unit == 32 ? 32 * 117 : 256 * 14;
        struct problem problem = problem_new(fixture, every_type[t], 17, columns, 34);
        check_rows(fixture, &problem, batches, watched ? 3 : 4);
        problem_free(&problem);
    }
}

/* Enough rows for the largest blocks of threads. */
static void a_large_prefill(void **state)
{
    struct fixture *fixture = static_cast<struct fixture *>(*state);
    const uint32_t x_rows = 16390;
    const enum weight_type types[] = {WEIGHT_Q8_0, WEIGHT_Q4_1, WEIGHT_Q6_K};
    for (size_t t = 0; t < (watched ? 1 : sizeof types / sizeof *types); t++) {
        uint32_t unit = quant_format_find(types[t])->block_weights;
        uint32_t columns = types[t] == WEIGHT_Q4_1 ? 5 * unit : unit;
        struct problem problem = problem_new(fixture, types[t], 5, columns, x_rows);
        check_rows(fixture, &problem, &x_rows, 1);
        problem_free(&problem);
    }
}

/* Weights of several types and heights in one call equal single calls. */
static void fused_weights_equal_single_ones(void **state)
{
    struct fixture *fixture = static_cast<struct fixture *>(*state);
    const enum weight_type sets[][3] = {{WEIGHT_Q4_1, WEIGHT_F16, WEIGHT_Q6_K},
                                        {WEIGHT_Q4_K, WEIGHT_Q4_K, WEIGHT_Q6_K},
                                        {WEIGHT_Q8_0, WEIGHT_Q8_0, WEIGHT_Q8_0},
                                        {WEIGHT_BF16, WEIGHT_F32, WEIGHT_F16},
                                        {WEIGHT_F32, WEIGHT_F32, WEIGHT_BF16}};
    const uint32_t heights[] = {95, 16, 7}, batches[] = {1, 12, 50};
    for (size_t s = 0; s < sizeof sets / sizeof *sets * 3; s++) {
        uint32_t rows = batches[s % 3];
        struct problem problems[3];
        struct linear_args args = {};
        args.rows = rows;
        args.weight_count = 3;
        for (int i = 0; i < 3; i++) {
            problems[i] = problem_new(fixture, sets[s / 3][i], heights[i], 256, rows);
            cudaMemcpy(problems[i].device_x, problems[0].x, sizeof(float) * rows * 256,
                       cudaMemcpyHostToDevice);
            args.weights[i] = problems[i].cuda;
            args.biases[i] = i == 1 ? NULL : problems[i].device_bias;
            args.outs[i] = device_new<float>(NULL, rows * heights[i]);
        }
        args.x = problems[0].device_x;
        void *scratch = device_new<uint8_t>(NULL, cuda_linear_scratch_bytes(rows, 256));
        assert_int_equal(cuda_linear(&args, scratch, fixture->stream), cudaSuccess);
        for (int i = 0; i < 3; i++) {
            float *expected = multiply_on_cuda(fixture, &problems[i], rows, i != 1);
            float *got = host_new<float>(rows * heights[i]);
            device_read(fixture, got, args.outs[i], rows * heights[i]);
            assert_same_bits(got, expected, rows * heights[i]);
            free(expected);
            free(got);
            cudaFree(args.outs[i]);
        }
        cudaFree(scratch);
        for (int i = 0; i < 3; i++)
            problem_free(&problems[i]);
    }
}

/* Every code at its ends against activations at theirs: the largest integers there can be. */
static void no_sum_of_products_overflows(void **state)
{
    struct fixture *fixture = static_cast<struct fixture *>(*state);
    const uint8_t patterns[] = {0x00, 0xff, 0x80, 0x7f};
    const uint32_t batches[] = {4, 36};
    for (size_t p = 0; p < TYPE_COUNT * 4; p += watched ? 4 : 1) {
        enum weight_type type = every_type[p / 4];
        const struct quant_format *format = quant_format_find(type);
        if (!is_quantised(type))
            continue;
        struct problem problem = problem_new(fixture, type, 16, 256, 36);
        size_t bytes = 16 * quant_row_bytes(format, 256);
        memset(problem.bytes, patterns[p % 4], bytes);
        for (size_t at = 0; at < bytes; at += format->block_bytes)
            put_halves(type, problem.bytes + at, 1, 1);
        for (uint32_t i = 0; i < 36 * 256; i++)
            problem.x[i] = i / 256 % 4 == 0   ? 127
                           : i / 256 % 4 == 1 ? -127
                           : i / 256 % 4 == 2 ? (i & 1 ? 127 : -127)
                                              : (i & 2 ? 127 : -127);
        cudaMemcpy(problem.device_x, problem.x, sizeof(float) * 36 * 256, cudaMemcpyHostToDevice);
        problem_prepare(fixture, &problem, CUDA_WEIGHT_STAGING_MIN);
        check_rows(fixture, &problem, batches, 2);
        problem_free(&problem);
    }
}

/* Activations that are not numbers, and too small or too large ones: the CPU's answer, and what is
 * not finite spoils its own row only. Under F16 no finite activation is too large. */
static void odd_activations_stay_in_their_row(void **state)
{
    struct fixture *fixture = static_cast<struct fixture *>(*state);
    const float odd[] = {NAN,    INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, 0,      -0.0f,
                         1e-45f, 1e-38f,   1e-31f,    1e-30f,  3e-30f,   1e-10f, 1e30f};
    for (size_t t = 0; t < TYPE_COUNT; t++) {
        for (size_t o = 0; o < sizeof odd / sizeof *odd; o += watched ? 5 : 1) {
            uint32_t rows = o % 3 == 0 ? 35 : 3;
            struct problem problem = problem_new(fixture, every_type[t], 18, 256, rows);
            float *before = multiply_on_cuda(fixture, &problem, rows, false);
            for (uint32_t i = 0; i < 32; i++)
                problem.x[256 + 64 + i] = i % 5 ? odd[o] * 0.5f : odd[o];
            cudaMemcpy(problem.device_x, problem.x, sizeof(float) * rows * 256,
                       cudaMemcpyHostToDevice);
            float *expected = multiply_on_cpu(fixture, &problem, false);
            float *after = multiply_on_cuda(fixture, &problem, rows, false);
            if (is_half(every_type[t]))
                assert_close(&problem, after, expected);
            else
                assert_same_bits(after, expected, rows * 18);
            assert_same_bits(after, before, 18);
            assert_same_bits(after + 36, before + 36, (rows - 2) * 18);
            for (uint32_t i = 18; i < 36; i++)
                assert_true(isfinite(odd[o]) || !isfinite(after[i]));
            free(before);
            free(expected);
            free(after);
            problem_free(&problem);
        }
    }
}

static void embedding_is_the_dequantised_row(void **state)
{
    struct fixture *fixture = static_cast<struct fixture *>(*state);
    const uint32_t tokens[] = {0, 36, 7, 8, 15, 16, 31, 36, 1};
    const uint32_t count = sizeof tokens / sizeof *tokens;
    for (size_t t = 0; t < TYPE_COUNT; t++) {
        const struct quant_format *format = quant_format_find(every_type[t]);
        uint32_t columns = format->block_weights == 1    ? 301
                           : format->block_weights == 32 ? 352
                                                         : 768;
        struct problem problem = problem_new(fixture, every_type[t], 37, columns, 1);
        struct embed_args args = {};
        args.table = problem.cuda;
        args.tokens = device_new(tokens, count);
        args.rows = count;
        float *got = host_new<float>(count * columns + 1), *expected = host_new<float>(columns);
        got[count * columns] = 12345; /* nobody's */
        args.out = device_new<float>(got, count * columns + 1);
        assert_int_equal(cuda_embed(&args, fixture->stream), cudaSuccess);
        device_read(fixture, got, args.out, count * columns + 1);
        assert_true(got[count * columns] == 12345);
        for (uint32_t i = 0; i < count; i++) {
            quant_dequantize_row(format,
                                 problem.bytes + tokens[i] * quant_row_bytes(format, columns),
                                 columns, expected);
            assert_same_bits(got + i * columns, expected, columns);
        }
        free(got);
        free(expected);
        cudaFree(const_cast<uint32_t *>(args.tokens));
        cudaFree(args.out);
        problem_free(&problem);
    }
}

/* One tile at a time, two in turns, a few: the same bytes arrive. */
static void staging_of_any_size_will_do(void **state)
{
    struct fixture *fixture = static_cast<struct fixture *>(*state);
    for (size_t t = 0; t < TYPE_COUNT; t++) {
        struct problem problem = problem_new(fixture, every_type[t], 135, 256, 1);
        struct weight_source source = source_of(&problem);
        size_t bytes = cuda_weight_bytes(problem.cuda);
        uint8_t *expected = host_new<uint8_t>(bytes), *got = host_new<uint8_t>(bytes);
        cudaMemcpy(expected, problem.tiles, bytes, cudaMemcpyDeviceToHost);
        for (size_t tiles = 1; tiles <= 5; tiles++) {
            assert_int_equal(cudaMemset(problem.tiles, 0xee, bytes), cudaSuccess);
            assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
            problem_prepare(fixture, &problem, tiles * cuda_weight_staging_wanted(&source) + 1);
            cudaMemcpy(got, problem.tiles, bytes, cudaMemcpyDeviceToHost);
            assert_memory_equal(got, expected, bytes);
        }
        free(expected);
        free(got);
        problem_free(&problem);
    }
}

static void a_weight_is_within_3_percent_of_its_file(void **state)
{
    (void)state;
    const uint32_t widths[] = {1024, 2048, 4096, 14336};
    for (size_t i = 0; i < TYPE_COUNT * 4; i++) {
        struct weight_source source = {NULL, every_type[i / 4], 4096, widths[i % 4], 0};
        size_t file = 4096 * quant_row_bytes(quant_format_find(source.type), source.columns);
        size_t wanted = cuda_weight_bytes_wanted(&source);
        assert_true(wanted >= file && wanted <= file + file * 3 / 100);
    }
    struct weight_source smollm = {NULL, WEIGHT_Q4_1, 1536, 576, 0};
    assert_true(cuda_weight_bytes_wanted(&smollm) <= 1536 * 360 * 103 / 100);
}

static void what_cannot_be_a_weight_is_refused(void **state)
{
    struct fixture *fixture = static_cast<struct fixture *>(*state);
    uint8_t bytes[1024] = {0};
    const struct weight_source sources[] = {{bytes, static_cast<enum weight_type>(99), 1, 32, 0},
                                            {bytes, WEIGHT_Q4_0, 1, 33, 0},
                                            {bytes, WEIGHT_Q4_0, 0, 32, 0},
                                            {bytes, WEIGHT_Q4_K, 1, 32, 0}};
    for (const struct weight_source &source : sources) {
        struct error err = {};
        struct cuda_weight_place place = place_of(fixture, NULL, CUDA_WEIGHT_STAGING_MIN);
        assert_int_equal(cuda_weight_bytes_wanted(&source), 0);
        assert_int_equal(cuda_weight_staging_wanted(&source), 0);
        assert_null(cuda_weight_prepare(&source, &place, &err));
        assert_int_equal(err.code, ERROR_INVALID);
    }
    struct weight_source source = {bytes, WEIGHT_Q8_0, 1, 32, 0};
    struct error err = {};
    struct cuda_weight_place place =
        place_of(fixture, NULL, cuda_weight_staging_wanted(&source) - 1);
    assert_null(cuda_weight_prepare(&source, &place, &err));
    assert_int_equal(err.code, ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "staging"));
    cuda_weight_free(NULL);
}

/* A decode step is a captured graph: what it reads may change between replays, and nothing else. */
static void a_captured_product_replays(void **state)
{
    struct fixture *fixture = static_cast<struct fixture *>(*state);
    const enum weight_type types[] = {WEIGHT_Q8_0, WEIGHT_F16};
    for (size_t i = 0; i < 4; i++) {
        uint32_t x_rows = i / 2 ? 40 : 4, count = x_rows * 33;
        struct problem problem = problem_new(fixture, types[i % 2], 33, 512, 2 * x_rows);
        float *both = multiply_on_cuda(fixture, &problem, 2 * x_rows, false);
        float *got = host_new<float>(count), *device_out = device_new<float>(NULL, count);
        void *scratch = device_new<uint8_t>(NULL, cuda_linear_scratch_bytes(x_rows, 512));
        struct linear_args args = {};
        args.x = problem.device_x;
        args.rows = x_rows;
        args.weight_count = 1;
        args.weights[0] = problem.cuda;
        args.outs[0] = device_out;
        cudaGraph_t graph;
        cudaGraphExec_t exec;
        assert_int_equal(cudaStreamBeginCapture(fixture->stream, cudaStreamCaptureModeThreadLocal),
                         cudaSuccess);
        assert_int_equal(cuda_linear(&args, scratch, fixture->stream), cudaSuccess);
        assert_int_equal(cudaStreamEndCapture(fixture->stream, &graph), cudaSuccess);
        assert_int_equal(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
        for (uint32_t replay = 0; replay < 2; replay++) {
            cudaMemcpy(problem.device_x, problem.x + replay * x_rows * 512,
                       sizeof(float) * x_rows * 512, cudaMemcpyHostToDevice);
            assert_int_equal(cudaGraphLaunch(exec, fixture->stream), cudaSuccess);
            device_read(fixture, got, device_out, count);
            assert_same_bits(got, both + replay * count, count);
        }
        cudaGraphExecDestroy(exec);
        cudaGraphDestroy(graph);
        cudaFree(scratch);
        cudaFree(device_out);
        free(got);
        free(both);
        problem_free(&problem);
    }
}

static void no_rows_are_no_work(void **state)
{
    struct fixture *fixture = static_cast<struct fixture *>(*state);
    struct problem problem = problem_new(fixture, WEIGHT_Q4_0, 16, 32, 1);
    struct linear_args args = {};
    args.weight_count = 1;
    args.weights[0] = problem.cuda;
    assert_int_equal(cuda_linear(&args, NULL, fixture->stream), cudaSuccess);
    struct embed_args embed = {};
    embed.table = problem.cuda;
    assert_int_equal(cuda_embed(&embed, fixture->stream), cudaSuccess);
    problem_free(&problem);
}

static int setup(void **state)
{
    struct fixture *fixture = host_new<struct fixture>(1);
    fixture->seed = 20261130;
    fixture->pool = pool_new(1, NULL);
    *state = fixture;
    if (cudaStreamCreateWithFlags(&fixture->stream, cudaStreamNonBlocking) ||
        cudaMallocHost(&fixture->staging, CUDA_WEIGHT_STAGING_MIN))
        return -1;
    return fixture->pool ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = static_cast<struct fixture *>(*state);
    cudaFreeHost(fixture->staging);
    cudaStreamDestroy(fixture->stream);
    pool_free(fixture->pool);
    free(fixture);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_at_any_number_of_rows),
        cmocka_unit_test(odd_shapes),
        cmocka_unit_test(long_rows),
        cmocka_unit_test(a_large_prefill),
        cmocka_unit_test(fused_weights_equal_single_ones),
        cmocka_unit_test(no_sum_of_products_overflows),
        cmocka_unit_test(odd_activations_stay_in_their_row),
        cmocka_unit_test(embedding_is_the_dequantised_row),
        cmocka_unit_test(staging_of_any_size_will_do),
        cmocka_unit_test(a_weight_is_within_3_percent_of_its_file),
        cmocka_unit_test(what_cannot_be_a_weight_is_refused),
        cmocka_unit_test(a_captured_product_replays),
        cmocka_unit_test(no_rows_are_no_work),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
