/* SPDX-License-Identifier: Apache-2.0 */
/* linear_level.h -- the two functions that an instruction set gives the matrix code, and the
 * arithmetic that each of them owes. Stateless: any thread of the pool.
 *
 * The law, operation by operation; every rounding is named, so every level gives the same bits.
 * For one row x of activations and one row w of a quantised weight, blocks b ascending:
 *
 *     acc = 0
 *     acc = fma(scale_b * x.scale_b, (float)dot_b, acc)          scale_b * x.scale_b rounds
 *     acc = fma(offset_b, x.scaled_sum_b, acc)                   only where there are minima
 *     out = acc, or acc + bias
 *
 *     dot_b     sum of (code - centre) * x.codes[i], an exact integer below 2^24, hence an exact
 *               float; under SPLIT each half of the sum times its own sub-scale, exact as well
 *     scale_b   the half; NESTED: scale * sub_scale, exact (11 + 6 bits)
 *     offset_b  the minimum; NESTED: -(minimum * sub_minimum), exact
 *
 * For a float weight, columns ascending: acc = fma(w[k], x[k], acc). */
#ifndef WEIR_KERNELS_CPU_LINEAR_LEVEL_H
#define WEIR_KERNELS_CPU_LINEAR_LEVEL_H

#include "kernels/cpu/weight_layout.h"

#include <assert.h>

/* Kernels are inlined bodies compiled once a weight type and shape: UNROLL before each loop over
 * constants, so that arrays of vectors become registers. Under a sanitizer, or in the test's
 * emulation, there is no speed to win and minutes of compiling to lose. */
#if defined(__has_feature)
#define LINEAR_HAS_FEATURE(name) __has_feature(name)
#else
#define LINEAR_HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    LINEAR_HAS_FEATURE(address_sanitizer) || LINEAR_HAS_FEATURE(thread_sanitizer) ||               \
    defined(WEIR_EMULATED_AVX512)
#define KERNEL static
#define UNROLL
#elif defined(__clang__)
#define KERNEL static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define KERNEL static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* Products of the sum of codes with the centres, ready to be what an integer sum starts from:
 * sum((u - c) * x) = -c * sum(x) + sum(u * x), and the kernels multiply unsigned codes u. */
enum activation_start {
    START_0,
    START_8,
    START_16,
    START_128,
    START_32_LOW, /* of the first 16 columns: SPLIT has two sums a block */
    START_32_HIGH,
    START_COUNT,
};

/* 32 activations: x[i] is close to scale * codes[i]. The scale is the largest size / 127, so that
 * codes stay within -127..127 (the integer kernels rely on it). A block that holds a NaN or an
 * infinity has a NaN scale and zero codes; one too small to scale (below 1e-30) is all zero. */
struct activation_block {
    int8_t codes[BLOCK_COLUMNS];
    float scale;
    float scaled_sum; /* scale * sum of codes */
    int32_t starts[START_COUNT];
};
static_assert(sizeof(struct activation_block) == 64, "a cache line");

#define ACTIVATION_CODE_MAX 127.0f
#define ACTIVATION_TINY     1e-30f

static inline enum activation_start activation_start_of(enum weight_type type)
{
    switch (type) {
    case WEIGHT_Q4_0:
        return START_8;
    case WEIGHT_Q5_0:
        return START_16;
    case WEIGHT_Q8_0:
        return START_128;
    default:
        return START_0;
    }
}

/* Rows row_first..row_end - 1 of x times tiles tile_first..tile_end - 1 of the weight. */
struct linear_job {
    const struct weight *weight;
    const struct activation_block *blocks; /* [rows][block_count]; quantised weights */
    const float *x;                        /* [rows][columns]; float weights */
    const float *bias;                     /* [weight->rows] or NULL */
    float *out;                            /* [rows][weight->rows] */
    uint32_t row_first, row_end;
    uint32_t tile_first, tile_end;
};

struct linear_level {
    void (*quantize)(const float *x, uint32_t block_count, struct activation_block *ret);
    void (*multiply)(const struct linear_job *job);
};

extern const struct linear_level linear_level_scalar;
extern const struct linear_level linear_level_avx2;
extern const struct linear_level linear_level_avx512; /* with VNNI */

/* Fills scaled_sum and starts from codes and scale. */
static inline void activation_block_finish(struct activation_block *block, int32_t sum_low,
                                           int32_t sum_high)
{
    int32_t sum = sum_low + sum_high;
    block->scaled_sum = block->scale * (float)sum;
    block->starts[START_0] = 0;
    block->starts[START_8] = -8 * sum;
    block->starts[START_16] = -16 * sum;
    block->starts[START_128] = -128 * sum;
    block->starts[START_32_LOW] = -32 * sum_low;
    block->starts[START_32_HIGH] = -32 * sum_high;
}

/* Writes one lane-wise result: what of the tile is inside the matrix, bias added. For the last
 * tile, and for levels that do not mind. */
void linear_store(const struct linear_job *job, uint32_t row, uint32_t tile, const float *lanes);

#endif
