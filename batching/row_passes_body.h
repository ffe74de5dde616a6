/* SPDX-License-Identifier: Apache-2.0 */
/* row_passes_body.h -- the passes of row_passes.h, once for each row_passes_<level>.c, in vectors
 * of what its level has: 4, 8 or 16 floats.
 *
 * A sum has four lanes a block, so a vector holds the lanes of GROUP blocks, which are worked on
 * side by side: of a vector of weights from each, the first quarters are brought together and
 * added, then the second, ...
 *
 *     blocks a, b:   a0..3 a4..7   b0..3 b4..7   ->   lanes += a0..3 b0..3;   lanes += a4..7 b4..7
 */
#ifndef WEIR_BATCHING_ROW_PASSES_BODY_H
#define WEIR_BATCHING_ROW_PASSES_BODY_H

#include "batching/row_passes.h"

#include <float.h>
#include <math.h>
#include <string.h>

#if defined __AVX512F__
#define WIDE 16u
#elif defined __AVX2__
#define WIDE 8u
#else
#define WIDE 4u
#endif
#define GROUP  (WIDE / DRAW_LANES)
#define FLOATS float __attribute__((vector_size(WIDE * sizeof(float))))
#define BITS   uint32_t __attribute__((vector_size(WIDE * sizeof(uint32_t))))

/* Macros, for a function that takes or returns vectors wider than the level's has no calling
 * convention that compilers agree on. */
#define MASKED(floats, mask)  ((FLOATS)((BITS)(floats) & (mask)))
#define EITHER(mask, yes, no) ((FLOATS)(((BITS)(yes) & (mask)) | ((BITS)(no) & ~(mask))))

/* NaN fails every comparison, so it is passed over here as infinity is. */
static inline float block_highest(const float *logits)
{
    FLOATS lanes = (FLOATS){0} - INFINITY;
    for (uint32_t i = 0; i < ROW_BLOCK; i += WIDE) {
        FLOATS some;
        memcpy(&some, logits + i, sizeof some);
        BITS higher = (BITS)(some > lanes) & (BITS)(some <= FLT_MAX);
        lanes = EITHER(higher, some, lanes);
    }
    float highest = lanes[0];
    for (uint32_t i = 1; i < WIDE; i++)
        highest = lanes[i] > highest ? lanes[i] : highest;
    return highest;
}

/* draw_weight(), in vectors. What the exponential makes of x outside its range is masked away. */
static inline void vector_weights(const float *logits, const struct draw_softmax *softmax,
                                  FLOATS *ret)
{
    const float round = 12582912.0f;
    FLOATS x;
    memcpy(&x, logits, sizeof x);
    x = (x - softmax->highest) * softmax->scale;
    FLOATS shifted = x * 1.44269504f + round;
    FLOATS n = shifted - round;
    FLOATS r = x - n * 0.693359375f + n * 2.12194440e-4f; /* ln(2) in two parts */
    FLOATS sum = r * (1.0f / 5040) + 1.0f / 720;
    sum = sum * r + 1.0f / 120;
    sum = sum * r + 1.0f / 24;
    sum = sum * r + 1.0f / 6;
    sum = sum * r + 0.5f;
    sum = sum * r + 1.0f;
    sum = sum * r + 1.0f;
    sum = (FLOATS)((BITS)sum + ((BITS)shifted << 23));
    *ret = MASKED(sum, (BITS)(x > -87.0f) & (BITS)(x <= 0.0f) & (BITS)(sum >= softmax->least));
}

/* Adds to the lanes of GROUP blocks a vector of weights of each, in the order of its elements. */
static inline void add_to_lanes(const FLOATS *of, FLOATS *lanes)
{
#if WIDE == 4
    *lanes += of[0];
#elif WIDE == 8
    *lanes += __builtin_shufflevector(of[0], of[1], 0, 1, 2, 3, 8, 9, 10, 11);
    *lanes += __builtin_shufflevector(of[0], of[1], 4, 5, 6, 7, 12, 13, 14, 15);
#else
    FLOATS low[2], high[2]; /* quarters 0 and 1, 2 and 3, of two blocks each */
    for (unsigned k = 0; k < 2; k++) {
        low[k] = __builtin_shufflevector(of[2 * k], of[2 * k + 1], 0, 1, 2, 3, 16, 17, 18, 19, 4, 5,
                                         6, 7, 20, 21, 22, 23);
        high[k] = __builtin_shufflevector(of[2 * k], of[2 * k + 1], 8, 9, 10, 11, 24, 25, 26, 27,
                                          12, 13, 14, 15, 28, 29, 30, 31);
    }
    *lanes += __builtin_shufflevector(low[0], low[1], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20,
                                      21, 22, 23);
    *lanes += __builtin_shufflevector(low[0], low[1], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27,
                                      28, 29, 30, 31);
    *lanes += __builtin_shufflevector(high[0], high[1], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20,
                                      21, 22, 23);
    *lanes += __builtin_shufflevector(high[0], high[1], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26,
                                      27, 28, 29, 30, 31);
#endif
}

/* block: of the group, [GROUP]; the same one again fills up the last group. */
static inline void group_weights(const float *logits, const uint64_t *block,
                                 const struct draw_softmax *softmax, float *weights, double *sums)
{
    FLOATS lanes = {0}, some[GROUP];
    for (uint32_t i = 0; i < ROW_BLOCK; i += WIDE) {
        for (uint32_t k = 0; k < GROUP; k++) {
            vector_weights(logits + block[k] * ROW_BLOCK + i, softmax, &some[k]);
            memcpy(weights + block[k] * ROW_BLOCK + i, &some[k], sizeof some[k]);
        }
        add_to_lanes(some, &lanes);
    }
    for (uint32_t k = 0; k < GROUP; k++)
        sums[block[k]] = ((double)lanes[4 * k] + (double)lanes[4 * k + 1]) +
                         ((double)lanes[4 * k + 2] + (double)lanes[4 * k + 3]);
}

static void rows_highest(const float *logits, uint32_t block_count, float *ret)
{
    for (uint32_t b = 0; b < block_count; b++)
        ret[b] = block_highest(logits + (uint64_t)b * ROW_BLOCK);
}

static void rows_weights(const float *logits, uint32_t block_count,
                         const struct draw_softmax *softmax, float *ret_weights, double *ret_sums)
{
    for (uint32_t b = 0; b < block_count; b += GROUP) {
        uint64_t block[GROUP];
        for (uint32_t k = 0; k < GROUP; k++)
            block[k] = b + k < block_count ? b + k : block_count - 1;
        group_weights(logits, block, softmax, ret_weights, ret_sums);
    }
}

#endif
