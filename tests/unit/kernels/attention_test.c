/* SPDX-License-Identifier: Apache-2.0 */
/* kv_write and attention: against the formula in double over what the cache holds, every level
 * against the scalar one bit for bit, and a row alone against the row in company.
 *
 * Tolerance: scores are sums of head_dim products in single precision (relative 1e-6), softmax
 * turns their absolute error into a relative one of the weights: 2e-5 covers scores up to 16. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kv_fp8.h"
#include "tests/unit/kernels/op_levels.h"
#include "tests/unit/kernels/random_values.h"

#define BLOCKS 64u
/* One sequence: q, k and v of `tokens` positions, and a shuffled block table. */
struct sequence {
    uint32_t tokens, heads, kv_heads, head_dim;
    float *q, *k, *v;
    uint32_t table[BLOCKS];
};

static struct sequence sequence_new(uint32_t tokens, uint32_t heads, uint32_t kv_heads,
                                    uint32_t head_dim, uint64_t seed)
{
    struct sequence sequence = {tokens, heads, kv_heads, head_dim, NULL, NULL, NULL, {0}};
    sequence.q = random_floats((size_t)tokens * heads * head_dim, 1.5f, seed);
    sequence.k = random_floats((size_t)tokens * kv_heads * head_dim, 1.5f, seed + 1);
    sequence.v = random_floats((size_t)tokens * kv_heads * head_dim, 1.5f, seed + 2);
    for (uint32_t i = 0; i < BLOCKS; i++)
        sequence.table[i] = i;
    for (uint32_t i = BLOCKS - 1; i > 0; i--) {
        uint32_t other = (uint32_t)(random_next(&seed) % (i + 1)), mine = sequence.table[i];
        sequence.table[i] = sequence.table[other];
        sequence.table[other] = mine;
    }
    return sequence;
}

static void sequence_destroy(struct sequence *sequence)
{
    free(sequence->q), free(sequence->k), free(sequence->v);
}

/* A cache in which every slot that nobody wrote is a NaN: reading one shows. */
static void *cache_new(const struct sequence *sequence, enum kv_format format)
{
    size_t bytes = BLOCKS * 2 * sequence->kv_heads * kv_slice_bytes(format, sequence->head_dim);
    return memset(malloc(bytes), 0xff, bytes);
}

struct options {
    float softcap;
    uint32_t window;
    const float *sinks; /* [heads] or NULL */
    enum kv_format format;
};

/* Rows [begin, end) of a sequence. */
struct chunk {
    uint32_t begin, end;
};

/* Writes the chunk's rows to the cache and attends them. */
static void run_chunk(const struct cpu_ops *ops, const struct sequence *sequence,
                      struct chunk chunk, const struct options *options, void *cache, float *out)
{
    const uint32_t begin = chunk.begin, end = chunk.end;
    const size_t query = (size_t)sequence->heads * sequence->head_dim;
    const size_t pair = (size_t)sequence->kv_heads * sequence->head_dim;
    struct attention_span span = {0, end - begin, begin, 0};
    struct kv_write_args write = {sequence->k + begin * pair,
                                  sequence->v + begin * pair,
                                  cache,
                                  sequence->kv_heads,
                                  sequence->head_dim,
                                  &span,
                                  1,
                                  sequence->table,
                                  options->format};
    ops->kv_write(&write, 0, end - begin);
    struct attention_args args = {.q = sequence->q + begin * query,
                                  .cache = cache,
                                  .heads = sequence->heads,
                                  .kv_heads = sequence->kv_heads,
                                  .head_dim = sequence->head_dim,
                                  .scale = 1.0f / sqrtf((float)sequence->head_dim),
                                  .softcap = options->softcap,
                                  .window = options->window,
                                  .spans = &span,
                                  .span_count = 1,
                                  .block_tables = sequence->table,
                                  .out = out + begin * query,
                                  .sinks = options->sinks,
                                  .format = options->format};
    for (uint32_t head = 0; head < sequence->kv_heads; head++)
        cpu_attention(ops->attend, &args, 0, end - begin, head);
}

static float *run_chunks(const struct cpu_ops *ops, const struct sequence *sequence, uint32_t rows,
                         const struct options *options)
{
    void *cache = cache_new(sequence, options->format);
    float *out =
        random_floats((size_t)sequence->tokens * sequence->heads * sequence->head_dim, 1, 1);
    for (uint32_t begin = 0; begin < sequence->tokens; begin += rows) {
        uint32_t end = begin + rows < sequence->tokens ? begin + rows : sequence->tokens;
        run_chunk(ops, sequence, (struct chunk){begin, end}, options, cache, out);
    }
    free(cache);
    return out;
}

/* The least power of two, but 2^-7, by which none of the numbers is above 1.75. */
static double fp8_scale(const float *numbers, uint32_t count)
{
    double scale = 0x1p-7;
    for (uint32_t i = 0; i < count; i++)
        while (fabs(numbers[i]) > 1.75 * scale)
            scale *= 2;
    return scale;
}

/* Four bits of significand, down to a step of 2^-17. */
static double fp8_rounded(double number)
{
    int exponent;
    (void)frexp(number, &exponent);
    const double step = ldexp(1, exponent < -13 ? -17 : exponent - 4);
    return rint(number / step) * step;
}

/* What the cache holds of one token's numbers of one head. */
static void hold(float *numbers, uint32_t count, enum kv_format format)
{
    const double scale = fp8_scale(numbers, count);
    for (uint32_t i = 0; i < count; i++)
        numbers[i] = format == KV_FP8    ? (float)(fp8_rounded(numbers[i] / scale) * scale)
                     : format == KV_BF16 ? quant_bf16_to_float(quant_float_to_bf16(numbers[i]))
                                         : quant_half_to_float(quant_float_to_half(numbers[i]));
}

/* softmax(scale q K^T) V in double. */
static void attention_in_double(const struct sequence *sequence, const struct options *options,
                                uint32_t row, uint32_t head, double *out)
{
    const uint32_t dim = sequence->head_dim, kv = head / (sequence->heads / sequence->kv_heads);
    const float *q = sequence->q + ((size_t)row * sequence->heads + head) * dim;
    double total = options->sinks == NULL ? 0 : exp(options->sinks[head]);
    memset(out, 0, dim * sizeof *out);
    for (uint32_t p = 0; p <= row; p++) {
        if (options->window != 0 && p + options->window <= row)
            continue;
        const size_t at = ((size_t)p * sequence->kv_heads + kv) * dim;
        double dot = 0;
        for (uint32_t d = 0; d < dim; d++)
            dot += q[d] * (double)sequence->k[at + d];
        dot /= sqrt(dim);
        if (options->softcap != 0)
            dot = options->softcap * tanh(dot / options->softcap);
        double weight = exp(dot);
        total += weight;
        for (uint32_t d = 0; d < dim; d++)
            out[d] += weight * (double)sequence->v[at + d];
    }
    for (uint32_t d = 0; d < dim; d++)
        out[d] /= total;
}

static void check_shape(uint32_t tokens, uint32_t heads, uint32_t kv_heads, uint32_t head_dim,
                        struct options options)
{
    struct sequence sequence = sequence_new(tokens, heads, kv_heads, head_dim, tokens + head_dim);
    const size_t bytes = (size_t)tokens * heads * head_dim * sizeof(float);
    const struct cpu_ops *ops[OP_LEVELS_MAX];
    uint32_t count = op_levels(ops);
    float *whole = run_chunks(ops[0], &sequence, tokens, &options);
    struct sequence held = sequence_new(tokens, heads, kv_heads, head_dim, tokens + head_dim);
    for (size_t i = 0; i < (size_t)tokens * kv_heads; i++) {
        hold(held.k + i * head_dim, head_dim, options.format);
        hold(held.v + i * head_dim, head_dim, options.format);
    }
    for (uint32_t row = 0; row < tokens; row++)
        for (uint32_t head = 0; head < heads; head++) {
            double wanted[256];
            attention_in_double(&held, &options, row, head, wanted);
            const float *got = whole + ((size_t)row * heads + head) * head_dim;
            for (uint32_t d = 0; d < head_dim; d++)
                if (!(fabs(got[d] - wanted[d]) <= 2e-5 * (1 + fabs(wanted[d]))))
                    fail_msg("row %u head %u: %.9g, wanted %.9g", row, head, got[d], wanted[d]);
        }
    static const uint32_t chunks[] = {1, 7, 16, 50, 1000};
    for (uint32_t level = 0; level < count; level++)
        for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
            float *parts = run_chunks(ops[level], &sequence, chunks[i], &options);
            assert_memory_equal(parts, whole, bytes);
            free(parts);
        }
    free(whole);
    sequence_destroy(&held);
    sequence_destroy(&sequence);
}

static void attention_is_its_formula_however_the_prompt_was_chunked(void **state)
{
    (void)state;
    const struct options plain = {0};
    check_shape(150, 9, 3, 64, plain); /* groups of 3: runs of 6 cross rows */
    check_shape(70, 4, 4, 48, plain);  /* a group of 1 */
    check_shape(33, 8, 1, 8, plain);   /* a group above a run; half a vector of dimensions */
    check_shape(20, 64, 1, 20, plain); /* a group above the queries of a task */
    check_shape(1, 2, 1, 128, plain);
}

static void a_window_hides_what_lies_before_it(void **state)
{
    (void)state;
    check_shape(150, 4, 2, 32, (struct options){.window = 1});
    check_shape(150, 4, 2, 32, (struct options){.window = 16});
    check_shape(200, 6, 2, 32, (struct options){.window = 77});
    check_shape(80, 6, 2, 32, (struct options){.window = 500});
}

static void a_soft_cap_bounds_the_scores(void **state)
{
    (void)state;
    check_shape(90, 4, 2, 32, (struct options){.softcap = 2.0f});
    check_shape(90, 4, 2, 32, (struct options){.softcap = 30.0f, .window = 40});
}

static void a_sink_takes_weight_and_brings_no_value(void **state)
{
    (void)state;
    const float sinks[] = {-3.0f, 0.5f, 9.0f, -INFINITY, 1.0f, 2.0f};
    check_shape(150, 6, 2, 32, (struct options){.sinks = sinks});
    check_shape(90, 4, 1, 64, (struct options){.sinks = sinks, .window = 16, .softcap = 5.0f});
}

static void every_format_is_its_formula(void **state)
{
    (void)state;
    const float sinks[] = {-3.0f, 0.5f, 9.0f, -INFINITY, 1.0f, 2.0f};
    for (enum kv_format format = KV_F16; format <= KV_FP8; format++) {
        check_shape(70, 6, 2, 64, (struct options){.format = format});
        check_shape(70, 6, 2, 40, (struct options){.format = format, .sinks = sinks});
        check_shape(33, 8, 1, 8, (struct options){.format = format, .window = 16, .softcap = 5.0f});
    }
}

/* What a level writes of one token with one head: K, then V. The table's first block has it. */
static uint8_t *written(const struct cpu_ops *ops, const struct sequence *sequence,
                        enum kv_format format)
{
    const struct options options = {.format = format};
    uint8_t *cache = cache_new(sequence, format);
    float *out = malloc(sequence->head_dim * sizeof *out);
    run_chunk(ops, sequence, (struct chunk){0, 1}, &options, cache, out);
    const size_t bytes = 2 * kv_slice_bytes(format, sequence->head_dim);
    memmove(cache, cache + sequence->table[0] * bytes, bytes);
    free(out);
    return cache;
}

/* Infinities, NaN, what is too small or too large, and ties among them. */
static void numbers_of_bf16_are_rounded_as_files_have_them(void **state)
{
    (void)state;
    enum { COUNT = 4096 };
    struct sequence sequence = sequence_new(1, 1, 1, COUNT, 3);
    const struct cpu_ops *ops[OP_LEVELS_MAX];
    uint64_t seed = 4;
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t bits = (uint32_t)random_next(&seed);
        bits = i % 4 == 0 ? bits & 0xffff8000u : i % 4 == 1 ? bits | 0x7f800000u : bits;
        memcpy(&sequence.k[i], &bits, sizeof bits);
    }
    for (uint32_t level = op_levels(ops); level-- > 0;) {
        uint8_t *cache = written(ops[level], &sequence, KV_BF16);
        const uint16_t *keys = (const uint16_t *)(const void *)cache;
        const uint16_t *values = keys + (size_t)KV_BLOCK_TOKENS * COUNT;
        for (uint32_t i = 0; i < COUNT; i++) {
            assert_int_equal(keys[i * KV_BLOCK_TOKENS], quant_float_to_bf16(sequence.k[i]));
            assert_int_equal(values[i], quant_float_to_bf16(sequence.v[i]));
        }
        free(cache);
    }
    sequence_destroy(&sequence);
}

/* Of `count` numbers of V, by all levels. */
static void check_fp8(const struct sequence *sequence)
{
    const uint32_t count = sequence->head_dim;
    const struct cpu_ops *ops[OP_LEVELS_MAX];
    const double scale = fp8_scale(sequence->v, count);
    for (uint32_t level = op_levels(ops); level-- > 0;) {
        uint8_t *cache = written(ops[level], sequence, KV_FP8);
        const uint8_t *codes = cache + kv_slice_bytes(KV_FP8, count);
        const uint16_t *scales = (const uint16_t *)(const void *)(codes + KV_BLOCK_TOKENS * count);
        assert_true(quant_half_to_float(scales[0]) == scale);
        for (uint32_t i = 0; i < count; i++) {
            const double held = quant_half_to_float(kv_fp8_half(codes[i])) * scale;
            const double off = fabs(held - sequence->v[i]);
            assert_true(held == fp8_rounded(sequence->v[i] / scale) * scale);
            assert_int_equal(!signbit(held), !signbit(sequence->v[i]));
            assert_true(off <= fmax(0x1p-4 * fabs(sequence->v[i]), 0x1p-18 * scale));
            assert_true(quant_half_to_float(quant_float_to_half((float)held)) == held);
        }
        free(cache);
    }
}

/* Every code's neighbourhood, ties above all, at scales from the least to the largest. */
static void numbers_of_fp8_are_the_nearest_by_their_scale(void **state)
{
    (void)state;
    enum { COUNT = 0x7f * 3 + 1 };
    struct sequence sequence = sequence_new(1, 1, 1, COUNT, 3);
    for (int exponent = -20; exponent <= 15; exponent++) {
        for (uint32_t i = 0; i + 1 < COUNT; i++) {
            const float low = quant_half_to_float(kv_fp8_half((uint8_t)(i / 3)));
            const float high = quant_half_to_float(kv_fp8_half((uint8_t)(i / 3 + 1)));
            const float tie = i / 3 == 0x7e ? low : (low + high) / 2;
            const float near = i % 3 == 0 ? tie : nextafterf(tie, i % 3 == 1 ? 0.0f : 1.75f);
            sequence.v[i] = ldexpf(i % 2 == 0 ? near : -near, exponent);
        }
        sequence.v[COUNT - 1] = -0.0f;
        check_fp8(&sequence);
    }
    sequence_destroy(&sequence);
}

/* Its own, and no other's. */
static void a_token_that_fp8_cannot_hold_is_no_number(void **state)
{
    (void)state;
    static const float beyond[] = {57348.0f, -57348.0f, 1e30f, INFINITY, -INFINITY, NAN};
    const struct options options = {.format = KV_FP8};
    const struct cpu_ops *ops[OP_LEVELS_MAX];
    const uint32_t levels = op_levels(ops);
    for (uint32_t i = 0; i < 2 * sizeof beyond / sizeof *beyond; i++) {
        struct sequence sequence = sequence_new(20, 2, 2, 24, 5);
        float *spoilt = i % 2 == 0 ? sequence.k : sequence.v;
        spoilt[(17 * 2 + 1) * 24 + 13] = beyond[i / 2]; /* position 17, head 1 */
        for (uint32_t level = 0; level < levels; level++) {
            float *out = run_chunks(ops[level], &sequence, 20, &options);
            for (uint32_t at = 0; at < 20 * 2 * 24; at++)
                assert_int_equal(isnan(out[at]) != 0, at / 48 >= 17 && at / 24 % 2 == 1);
            free(out);
        }
        sequence_destroy(&sequence);
    }
}

/* Sequences of one step lie side by side in rows and tables; each must get what it gets alone. */
static void a_row_in_company_equals_the_row_alone(void **state)
{
    (void)state;
    enum { SEQUENCES = 3 };
    static const uint32_t lengths[SEQUENCES] = {130, 1, 37};
    const uint32_t heads = 6, kv_heads = 2, dim = 32, rows = 130 + 1 + 37;
    const size_t query = heads * dim, pair = kv_heads * dim;
    const struct options plain = {0};
    float *q = malloc(rows * query * sizeof *q), *k = malloc(rows * pair * sizeof *k);
    float *v = malloc(rows * pair * sizeof *v), *alone = malloc(rows * query * sizeof *alone);
    uint32_t tables[SEQUENCES * BLOCKS];
    struct attention_span spans[SEQUENCES];
    const struct cpu_ops *ops[OP_LEVELS_MAX];
    const struct cpu_ops *best = ops[op_levels(ops) - 1];
    struct sequence shape = {0, heads, kv_heads, dim, NULL, NULL, NULL, {0}};
    for (uint32_t i = 0, row = 0; i < SEQUENCES; row += lengths[i++]) {
        struct sequence sequence = sequence_new(lengths[i], heads, kv_heads, dim, 50 + i);
        memcpy(q + row * query, sequence.q, lengths[i] * query * sizeof *q);
        memcpy(k + row * pair, sequence.k, lengths[i] * pair * sizeof *k);
        memcpy(v + row * pair, sequence.v, lengths[i] * pair * sizeof *v);
        float *out = run_chunks(best, &sequence, 1000, &plain);
        memcpy(alone + row * query, out, lengths[i] * query * sizeof *out);
        spans[i] = (struct attention_span){row, lengths[i], 0, i * BLOCKS};
        for (uint32_t block = 0; block < BLOCKS; block++) /* a third of the blocks each */
            tables[i * BLOCKS + block] = (block * SEQUENCES + i) % BLOCKS;
        free(out);
        sequence_destroy(&sequence);
    }
    void *cache = cache_new(&shape, KV_F16);
    struct kv_write_args write = {.k = k,
                                  .v = v,
                                  .cache = cache,
                                  .kv_heads = kv_heads,
                                  .head_dim = dim,
                                  .spans = spans,
                                  .span_count = SEQUENCES,
                                  .block_tables = tables};
    float *out = malloc(rows * query * sizeof *out);
    struct attention_args args = {.q = q,
                                  .cache = cache,
                                  .heads = heads,
                                  .kv_heads = kv_heads,
                                  .head_dim = dim,
                                  .scale = 1.0f / sqrtf((float)dim),
                                  .spans = spans,
                                  .span_count = SEQUENCES,
                                  .block_tables = tables,
                                  .out = out};
    for (uint32_t per_task = 5; per_task < 200; per_task += 31) {
        for (uint32_t row = 0; row < rows; row += per_task)
            best->kv_write(&write, row, row + per_task < rows ? row + per_task : rows);
        for (uint32_t row = 0; row < rows; row += per_task)
            for (uint32_t head = 0; head < kv_heads; head++)
                cpu_attention(best->attend, &args, row,
                              row + per_task < rows ? row + per_task : rows, head);
        assert_memory_equal(out, alone, rows * query * sizeof *out);
    }
    free(q), free(k), free(v), free(alone), free(out), free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_is_its_formula_however_the_prompt_was_chunked),
        cmocka_unit_test(a_window_hides_what_lies_before_it),
        cmocka_unit_test(a_soft_cap_bounds_the_scores),
        cmocka_unit_test(a_sink_takes_weight_and_brings_no_value),
        cmocka_unit_test(every_format_is_its_formula),
        cmocka_unit_test(numbers_of_bf16_are_rounded_as_files_have_them),
        cmocka_unit_test(numbers_of_fp8_are_the_nearest_by_their_scale),
        cmocka_unit_test(a_token_that_fp8_cannot_hold_is_no_number),
        cmocka_unit_test(a_row_in_company_equals_the_row_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
