/* SPDX-License-Identifier: Apache-2.0 */
/* kv_write and attention on the emulated GPU: against the CPU's backend, against the formula in
 * double (attention_world.cpp derives the tolerance), and a row's bits whoever it runs with. */
#include "tests/unit/cuda/attention_world.cuh"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

extern "C" {
#include <cmocka.h>

#include "kernels/kv_fp8.h"
}
#include <math.h>
#include <string.h>

#include <algorithm>

/* One row, all heads, against both references. */
static void check_row(const struct world *world, uint32_t sequence, uint32_t row, const float *got,
                      const std::vector<float> &cpu)
{
    const struct world_shape &shape = world->shape;
    for (uint32_t head = 0; head < shape.heads; head++) {
        const struct wanted_row wanted =
            world_in_double(world, &world->sequences[sequence], row, head);
        for (uint32_t d = 0; d < shape.head_dim; d++) {
            const size_t at = (size_t)head * shape.head_dim + d;
            const float twin = cpu[(size_t)row * shape.heads * shape.head_dim + at];
            if (!(fabs(got[at] - wanted.out[d]) <= wanted.tolerance[d]))
                fail_msg("head_dim %u, row %u, head %u, d %u: %.9g, wanted %.9g +- %.2g",
                         shape.head_dim, row, head, d, got[at], wanted.out[d], wanted.tolerance[d]);
            if (!(fabs(got[at] - twin) <= wanted.tolerance[d] + wanted.from_rounding_q))
                fail_msg("head_dim %u, row %u, head %u, d %u: %.9g, the CPU's %.9g", shape.head_dim,
                         row, head, d, got[at], twin);
        }
    }
}

/* Rows [begin, tokens) of one sequence, whose others are only written, in chunks of so many. */
static std::vector<float> run_chunks(struct world *world, uint32_t begin, uint32_t rows)
{
    std::vector<float> out;
    const uint32_t tokens = world->sequences[0].tokens;
    if (begin > 0)
        world_step(world, {{0, 0, begin}}, false);
    for (uint32_t first = begin; first < tokens; first += rows) {
        const std::vector<float> part =
            world_step(world, {{0, first, std::min(first + rows, tokens)}}, true);
        out.insert(out.end(), part.begin(), part.end());
    }
    return out;
}

/* Rows from `begin` on against the references, and chunked in other ways: the same bits. */
static void check_shape(const struct world_shape &shape, uint32_t begin, uint32_t tokens,
                        const std::vector<uint32_t> &chunks)
{
    struct world world = world_new(shape, {tokens}, tokens + shape.head_dim, 1);
    const std::vector<float> cpu = world_on_cpu(&world, 0);
    const std::vector<float> whole = run_chunks(&world, begin, tokens);
    const size_t width = (size_t)shape.heads * shape.head_dim;
    for (uint32_t row = begin; row < tokens; row += 1 + (tokens - begin) / 9)
        check_row(&world, 0, row, &whole[(row - begin) * width], cpu);
    check_row(&world, 0, tokens - 1, &whole[(tokens - 1 - begin) * width], cpu);
    world_free(&world);
    for (uint32_t rows : chunks) {
        world = world_new(shape, {tokens}, tokens + shape.head_dim, rows);
        world.partial_max = rows % 2 == 0 ? 0 : CUDA_PARTIALS_MAX;
        const std::vector<float> parts = run_chunks(&world, begin, rows);
        assert_int_equal(parts.size(), whole.size());
        for (size_t i = 0; i < whole.size(); i++)
            if (memcmp(&parts[i], &whole[i], sizeof(float)) != 0)
                fail_msg("head_dim %u, chunks of %u, row %zu: %.9g, whole %.9g", shape.head_dim,
                         rows, begin + i / width, parts[i], whole[i]);
        world_free(&world);
    }
}

static void attention_is_its_formula_however_the_prompt_was_chunked(void **state)
{
    (void)state;
    check_shape({2, 2, 64, 0, 0, false}, 0, 75, {1, 7, 16, 64});
    check_shape({4, 2, 80, 0, 0, false}, 0, 33, {1, 16});
    check_shape({3, 1, 96, 0, 0, false}, 0, 40, {1, 7});
    check_shape({6, 2, 128, 0, 0, false}, 0, 40, {1, 7, 16});
    check_shape({2, 1, 192, 0, 0, false}, 0, 35, {1, 16});
    check_shape({4, 1, 256, 0, 0, false}, 0, 36, {1, 7});
}

static void every_width_of_heads_is_served(void **state)
{
    (void)state;
    for (uint32_t dim = CUDA_HEAD_DIM_STEP; dim <= CUDA_HEAD_DIM_MAX; dim += CUDA_HEAD_DIM_STEP)
        check_shape({2, 1, dim, 0, 0, false}, 0, 21, {3});
}

static void every_group_of_heads_is_served(void **state)
{
    (void)state;
    for (uint32_t group = 1; group <= CUDA_GROUP_MAX; group++)
        check_shape({2 * group, 2, 32, 0, 0, false}, 0, 23, {4, 16});
}

static void what_no_kernel_has_is_refused(void **state)
{
    (void)state;
    static const struct world_shape shapes[] = {{2, 1, 8, 0, 0, false},
                                                {2, 1, 272, 0, 0, false},
                                                {17, 1, 64, 0, 0, false},
                                                {3, 2, 64, 0, 0, false}};
    for (const struct world_shape &shape : shapes) {
        struct attention_args args = {};
        struct attention_step step = {};
        args.heads = shape.heads;
        args.kv_heads = shape.kv_heads;
        args.head_dim = shape.head_dim;
        assert_int_equal(cuda_attention(&args, &step, NULL), cudaErrorInvalidValue);
    }
}

/* Every width that has a kernel of its own, by chunks and decodes, whole and split. */
static void every_format_is_its_formula(void **state)
{
    (void)state;
    for (enum kv_format format : {KV_BF16, KV_FP8}) {
        check_shape({4, 2, 64, 0, 0, false, format}, 0, 70, {1, 16});
        check_shape({3, 1, 96, 0, 0, true, format}, 0, 35, {1, 7});
        check_shape({16, 1, 128, 0, 5.0f, false, format}, 0, 35, {1, 16});
        check_shape({2, 1, 176, 20, 0, false, format}, 0, 35, {1, 16});
        check_shape({2, 1, 256, 0, 0, false, format}, 0, 35, {1, 7});
        check_shape({3, 1, 48, 77, 0, false, format}, CUDA_SPLIT_TOKENS - 9, CUDA_SPLIT_TOKENS + 9,
                    {1, 2, 7});
    }
}

/* Contexts of many stretches: chunks and decodes across their boundaries, and far into them. */
static void stretches_join_to_the_same_bits_wherever_they_were_walked(void **state)
{
    (void)state;
    check_shape({2, 1, 64, 0, 0, false}, CUDA_SPLIT_TOKENS - 9, CUDA_SPLIT_TOKENS + 9, {1, 2, 7});
    check_shape({3, 1, 128, 0, 0, false}, 2 * CUDA_SPLIT_TOKENS - 3, 2 * CUDA_SPLIT_TOKENS + 3,
                {1, 2});
    check_shape({2, 1, 64, 0, 0, false}, 1985, 2000, {1, 4});
    check_shape({1, 1, 256, 0, 0, false}, 1025, 1031, {1, 2});
}

static void a_window_hides_what_lies_before_it(void **state)
{
    (void)state;
    check_shape({2, 1, 64, 1, 0, false}, 0, 40, {1, 7});
    check_shape({4, 2, 64, 16, 0, false}, 0, 90, {1, 16});
    check_shape({3, 1, 128, 77, 0, false}, 100, 170, {2, 64});
    check_shape({2, 1, 64, 500, 0, false}, 0, 30, {7});
    check_shape({2, 1, 64, 600, 0, false}, 1100, 1130, {1, 2, 7}); /* its edge crosses stretches */
}

static void a_soft_cap_bounds_the_scores(void **state)
{
    (void)state;
    check_shape({2, 1, 64, 0, 2.0f, false}, 0, 45, {1, 7});
    check_shape({2, 1, 128, 40, 30.0f, false}, 0, 45, {1, 16});
}

static void a_sink_takes_weight_and_brings_no_value(void **state)
{
    (void)state;
    check_shape({6, 2, 64, 0, 0, true}, 0, 45, {1, 7});
    check_shape({8, 1, 64, 24, 0, true}, 0, 50, {1, 16});
    check_shape({2, 1, 128, 0, 5.0f, true}, 1020, 1030, {1, 2, 5});
}

/* Decodes and chunks of several sequences in one replayed step: each row as it is alone. */
static void a_row_in_company_equals_the_row_alone(void **state)
{
    (void)state;
    const struct world_shape shape = {6, 2, 64, 0, 0, false};
    const size_t width = (size_t)shape.heads * shape.head_dim;
    const std::vector<uint32_t> tokens = {90, 1, 37, 530, 16, 17};
    const std::vector<struct chunk> chunks = {{0, 20, 90},   {1, 0, 1},   {2, 36, 37},
                                              {3, 529, 530}, {4, 14, 16}, {5, 9, 17}};
    struct world together = world_new(shape, tokens, 9, 1);
    for (uint32_t i = 0; i < chunks.size(); i++)
        if (chunks[i].begin > 0)
            world_step(&together, {{i, 0, chunks[i].begin}}, false);
    together.replayed = true;
    const std::vector<float> out = world_step(&together, chunks, true);
    world_free(&together);
    size_t row = 0;
    for (uint32_t i = 0; i < chunks.size(); i++) {
        struct world alone = world_new(shape, tokens, 9, 2 + i);
        if (chunks[i].begin > 0)
            world_step(&alone, {{i, 0, chunks[i].begin}}, false);
        const std::vector<float> cpu = world_on_cpu(&alone, i);
        for (uint32_t at = chunks[i].begin; at < chunks[i].end; at++, row++) {
            const std::vector<float> one = world_step(&alone, {{i, at, at + 1}}, true);
            assert_memory_equal(one.data(), &out[row * width], width * sizeof(float));
            if (at % 8 == 0 || at + 1 == chunks[i].end)
                check_row(&alone, i, at, one.data(), cpu);
        }
        world_free(&alone);
    }
}

static uint16_t short_of(enum kv_format format, float value)
{
    return format == KV_BF16 ? quant_float_to_bf16(value) : quant_float_to_half(value);
}

static void check_slots(enum kv_format format)
{
    const struct world_shape shape = {2, 2, 48, 0, 0, false, format};
    struct world world = world_new(shape, {37, 3}, 5, 6);
    struct sequence &first = world.sequences[0];
    first.k[0] = 70000.0f, first.k[1] = -0.0f, first.k[2] = 1e-7f, first.v[3] = -INFINITY;
    world_step(&world, {{0, 0, 20}, {1, 0, 3}}, false);
    world_step(&world, {{0, 20, 37}}, false);
    const size_t plane = (size_t)shape.kv_heads * KV_BLOCK_TOKENS * shape.head_dim;
    std::vector<uint16_t> cache(world.blocks * 2 * plane), wanted(cache.size(), 0xffff);
    assert_int_equal(cudaMemcpy(cache.data(), world.cache, cache.size() * sizeof(uint16_t),
                                cudaMemcpyDeviceToHost),
                     cudaSuccess);
    for (const struct sequence &sequence : world.sequences)
        for (size_t i = 0; i < sequence.k.size(); i++) {
            const size_t d = i % shape.head_dim, head = i / shape.head_dim % shape.kv_heads;
            const size_t position = i / shape.head_dim / shape.kv_heads;
            const size_t block = sequence.table[position / KV_BLOCK_TOKENS];
            const size_t at =
                block * 2 * plane +
                (head * KV_BLOCK_TOKENS + position % KV_BLOCK_TOKENS) * shape.head_dim + d;
            wanted[at] = short_of(format, sequence.k[i]);
            wanted[at + plane] = short_of(format, sequence.v[i]);
        }
    assert_memory_equal(cache.data(), wanted.data(), cache.size() * sizeof(uint16_t));
    world_free(&world);
}

/* One token's codes and scale in a slice, by the CPU's code; not good: K was not to be held. */
static void put_fp8(uint8_t *slice, const float *from, uint32_t head_dim, uint32_t slot, bool good)
{
    uint32_t largest = 0;
    for (uint32_t d = 0; d < head_dim; d++)
        largest = std::max(largest, kv_fp8_size(from[d]));
    const uint32_t exponent = good ? kv_fp8_exponent(largest) : KV_FP8_NONE;
    const uint16_t scale = kv_fp8_scale(exponent);
    for (uint32_t d = 0; d < head_dim; d++)
        slice[slot * head_dim + d] = kv_fp8_code(from[d], kv_fp8_inverse(exponent));
    memcpy(slice + KV_BLOCK_TOKENS * head_dim + 2 * slot, &scale, sizeof scale);
}

static void codes_and_scales_are_those_of_the_cpu(void **state)
{
    (void)state;
    for (uint32_t dim : {48u, 256u}) {
        const struct world_shape shape = {1, 1, dim, 0, 0, false, KV_FP8};
        struct world world = world_new(shape, {37}, 5, 6);
        struct sequence &sequence = world.sequences[0];
        for (size_t i = 0; i < sequence.k.size(); i++) /* tokens of all sizes */
            sequence.k[i] = ldexpf(sequence.k[i], (int)(i / dim) - 22);
        sequence.v[3] = -0.0f, sequence.v[4] = 1e-9f;
        sequence.v[5 * dim + 2] = NAN, sequence.k[8 * dim + dim - 1] = -INFINITY;
        world_step(&world, {{0, 0, 20}}, false);
        world_step(&world, {{0, 20, 37}}, false);
        std::vector<uint8_t> cache(world_cache_bytes(&world)), wanted(cache.size(), 0xff);
        assert_int_equal(
            cudaMemcpy(cache.data(), world.cache, cache.size(), cudaMemcpyDeviceToHost),
            cudaSuccess);
        const size_t bytes = kv_slice_bytes(KV_FP8, dim);
        for (uint32_t i = 0; i < 37; i++) {
            uint8_t *keys = &wanted[sequence.table[i / KV_BLOCK_TOKENS] * 2 * bytes];
            put_fp8(keys, &sequence.k[i * dim], dim, i % KV_BLOCK_TOKENS, true);
            put_fp8(keys + bytes, &sequence.v[i * dim], dim, i % KV_BLOCK_TOKENS, i != 8);
        }
        assert_memory_equal(cache.data(), wanted.data(), cache.size());
        world_free(&world);
    }
}

/* Nor are the rows that see it, of its head; others are. */
static void a_token_that_fp8_cannot_hold_is_no_number(void **state)
{
    (void)state;
    const struct world_shape shape = {2, 2, 64, 0, 0, false, KV_FP8};
    for (bool is_key : {true, false}) {
        struct world world = world_new(shape, {20}, 5, 6);
        struct sequence &sequence = world.sequences[0];
        (is_key ? sequence.k : sequence.v)[(17 * 2 + 1) * 64 + 13] = -60000.0f;
        const std::vector<float> out = run_chunks(&world, 0, 1);
        for (size_t i = 0; i < out.size(); i++)
            assert_int_equal(isnan(out[i]) != 0, i / 128 >= 17 && i / 64 % 2 == 1);
        world_free(&world);
    }
}

static void the_cache_holds_numbers_in_the_slots_of_their_positions(void **state)
{
    (void)state;
    check_slots(KV_F16);
    check_slots(KV_BF16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cache_holds_numbers_in_the_slots_of_their_positions),
        cmocka_unit_test(codes_and_scales_are_those_of_the_cpu),
        cmocka_unit_test(a_token_that_fp8_cannot_hold_is_no_number),
        cmocka_unit_test(attention_is_its_formula_however_the_prompt_was_chunked),
        cmocka_unit_test(every_format_is_its_formula),
        cmocka_unit_test(every_width_of_heads_is_served),
        cmocka_unit_test(every_group_of_heads_is_served),
        cmocka_unit_test(what_no_kernel_has_is_refused),
        cmocka_unit_test(stretches_join_to_the_same_bits_wherever_they_were_walked),
        cmocka_unit_test(a_window_hides_what_lies_before_it),
        cmocka_unit_test(a_soft_cap_bounds_the_scores),
        cmocka_unit_test(a_sink_takes_weight_and_brings_no_value),
        cmocka_unit_test(a_row_in_company_equals_the_row_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
