/* SPDX-License-Identifier: Apache-2.0 */
/* row_passes.h -- the passes over a row of logits that a draw costs, as wide as the processor is.
 *
 * Rows are taken in blocks of ROW_BLOCK. Every level gives the same bits, for the same logits must
 * give the same token on every machine of a fleet: elements are worked on alone, nothing is fused,
 * and a block's sum is kept in four lanes, element i in lane i % 4, at any width. Stateless. */
#ifndef WEIR_BATCHING_ROW_PASSES_H
#define WEIR_BATCHING_ROW_PASSES_H

#include "kernels/draw.h"

#include <stdint.h>

#define ROW_BLOCK DRAW_BLOCK

struct row_passes {
    /* logits [block_count, ROW_BLOCK] -> the highest finite one of each block, or -INFINITY. NaN
     * and infinities are passed over. */
    void (*highest)(const float *logits, uint32_t block_count, float *ret);
    /* -> weights [block_count, ROW_BLOCK], 0 for what is not finite, and the sum of each block. */
    void (*weights)(const float *logits, uint32_t block_count, const struct draw_softmax *softmax,
                    float *ret_weights, double *ret_sums);
};

const struct row_passes *row_passes_best(void); /* that this processor has */

extern const struct row_passes row_passes_plain;
extern const struct row_passes row_passes_avx2;
extern const struct row_passes row_passes_avx512;

#endif
