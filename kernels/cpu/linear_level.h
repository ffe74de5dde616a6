/* SPDX-License-Identifier: Apache-2.0 */
/* linear_level.h -- the two functions that an instruction set gives the matrix code, and the
 * arithmetic that each of them owes. Stateless: any thread of the pool.
 *
 * The law, operation by operation; every rounding is named, so every level gives the same bits.
 * For one row x of activations and one row w of a quantised weight, blocks b ascending:
 *
 *     acc = 0
 *     sum_b = x.scales_b[0] * (float)dot_b[0]                    rounds
 *     sum_b = fma(x.scales_b[1], (float)dot_b[1], sum_b)
 *     acc = fma(scale_b, sum_b, acc)
 *     acc = fma(offset_b, x.scaled_sum_b, acc)                   only where there are minima
 *     out = acc, or acc + bias
 *
 *     dot_b     of the block's first and last 16 columns: the sum of (code - centre) * x.codes[i],
 *               under SPLIT times its sub-scale; an integer below 2^24, hence an exact float
 *     scale_b   the half; NESTED: scale * sub_scale, exact (11 + 6 bits)
 *     offset_b  the minimum; NESTED: -(minimum * sub_minimum), exact
 *
 * Why activations have a scale every 16 columns where weights have one every 32: a few columns of
 * a transformer's activations are far larger than the rest and leave their neighbours few codes.
 * At 32, rounding activations changed the most likely token of one position in 26; the finer
 * scale costs an AVX2 kernel a tenth of its speed.
 *
 * For a float weight, columns ascending: acc = fma(w[k], x[k], acc). */
#ifndef WEIR_KERNELS_CPU_LINEAR_LEVEL_H
#define WEIR_KERNELS_CPU_LINEAR_LEVEL_H

#include "kernels/backend.h"
#include "kernels/cpu/weight_layout.h"

#include <assert.h>
#include <math.h>

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

#define STRETCH_COLUMNS 16u /* activations that share a scale */
#define STRETCH_GROUPS  4u
#define STRETCHES       2u /* a block */

/* 32 activations: x[i] is close to scales[i / 16] * codes[i]. A scale is the stretch's largest size
 * / 127 or a little more, so that codes stay within -127..127 (the integer kernels rely on it). A
 * stretch that holds a NaN or an infinity has a NaN scale and zero codes; one too small to scale
 * (below 1e-30) is all zero. Kernels read 4 bytes at a time, so a block may cross cache lines. */
struct activation_block {
    int8_t codes[BLOCK_COLUMNS];
    float scales[STRETCHES];
    float scaled_sum; /* sum of scale * code: scales[0] * sum, then fma with the other stretch */
    /* For kernels that multiply unsigned codes u: sum((u - c) * x) = -sum(x) * c + sum(u * x). */
    int32_t minus_sums[STRETCHES];
};
static_assert(sizeof(struct activation_block) == 52, "no padding: blocks are compared as bytes");

#define ACTIVATION_CODE_MAX 127.0f
#define ACTIVATION_TINY     1e-30f

/* Scales tried a stretch: largest size / 127, / 126, ... Where the codes round is luck,
 * and the luckiest of four, by squared error, is worth half a percent of agreement with unrounded
 * activations. The first wins a tie.
 *     t = x[i] * (steps / largest), d[i] = t - nearest(t)       in units of the scale
 *     s[j] = fma(d[j + 8], d[j + 8], d[j] * d[j])
 *     error = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]))
 *     compared as error * activation_weight() */
#define ACTIVATION_SCALES_TRIED 4

/* How many steps of the n-th scale the largest size is. */
static inline float activation_steps(int n)
{
    return ACTIVATION_CODE_MAX - (float)n;
}

static inline float activation_weight(int n)
{
    return 1 / (activation_steps(n) * activation_steps(n));
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

const struct linear_level *linear_level_find(enum cpu_level level);

/* The AVX-512 level's as well: activations are few beside products. */
void linear_quantize_avx2(const float *x, uint32_t block_count, struct activation_block *ret);

extern const struct linear_level linear_level_scalar;
extern const struct linear_level linear_level_avx2;
extern const struct linear_level linear_level_avx512; /* with VNNI */

/* Fills what follows from codes and scales, given the sums of each stretch's codes. */
static inline void activation_block_finish(struct activation_block *block, int32_t first,
                                           int32_t last)
{
    block->scaled_sum = fmaf(block->scales[1], (float)last, block->scales[0] * (float)first);
    block->minus_sums[0] = -first;
    block->minus_sums[1] = -last;
}

/* How many rows a task takes of so many (above 0): blocks as equal as whole units allow, so that
 * none is left with a row or two that must read all weights for themselves. */
uint32_t linear_rows_per_task(uint32_t rows);

/* Writes one lane-wise result: what of the tile is inside the matrix, bias added. For the last
 * tile, and for levels that do not mind. */
void linear_store(const struct linear_job *job, uint32_t row, uint32_t tile, const float *lanes);

#endif
