/* SPDX-License-Identifier: Apache-2.0 */
/* row_passes_body.h -- the passes of row_passes.h, once for each row_passes_<level>.c: sixteen
 * floats side by side, which the compiler cuts into vectors of the level's width. */
#ifndef WEIR_BATCHING_ROW_PASSES_BODY_H
#define WEIR_BATCHING_ROW_PASSES_BODY_H

#include "batching/row_passes.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define WIDE 16u

#define FLOATS  float __attribute__((vector_size(WIDE * sizeof(float))))
#define BITS    uint32_t __attribute__((vector_size(WIDE * sizeof(uint32_t))))
#define QUARTER float __attribute__((vector_size(4 * sizeof(float))))

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

/* The exponential of draw_weight(), in vectors: 0 where x is not in its range. */
static inline void exp_or_zero(const FLOATS *of, FLOATS *to)
{
    const float round = 12582912.0f;
    BITS inside = (BITS)(*of > -87.0f) & (BITS)(*of <= 0.0f);
    FLOATS x = MASKED(*of, inside);
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
    *to = MASKED((BITS)sum + ((BITS)shifted << 23), inside);
}

static inline double block_weights(const float *logits, const struct draw_softmax *softmax,
                                   float *weights)
{
    QUARTER lanes = {0};
    for (uint32_t i = 0; i < ROW_BLOCK; i += WIDE) {
        FLOATS some;
        memcpy(&some, logits + i, sizeof some);
        some = (some - softmax->highest) * softmax->scale;
        exp_or_zero(&some, &some);
        some = MASKED(some, (BITS)(some >= softmax->least));
        memcpy(weights + i, &some, sizeof some);
        lanes += __builtin_shufflevector(some, some, 0, 1, 2, 3);
        lanes += __builtin_shufflevector(some, some, 4, 5, 6, 7);
        lanes += __builtin_shufflevector(some, some, 8, 9, 10, 11);
        lanes += __builtin_shufflevector(some, some, 12, 13, 14, 15);
    }
    return ((double)lanes[0] + (double)lanes[1]) + ((double)lanes[2] + (double)lanes[3]);
}

static void rows_highest(const float *logits, uint32_t block_count, float *ret)
{
    for (uint32_t b = 0; b < block_count; b++)
        ret[b] = block_highest(logits + (uint64_t)b * ROW_BLOCK);
}

static void rows_weights(const float *logits, uint32_t block_count,
                         const struct draw_softmax *softmax, float *ret_weights, double *ret_sums)
{
    for (uint32_t b = 0; b < block_count; b++)
        ret_sums[b] = block_weights(logits + (uint64_t)b * ROW_BLOCK, softmax,
                                    ret_weights + (uint64_t)b * ROW_BLOCK);
}

#endif
