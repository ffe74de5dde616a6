/* SPDX-License-Identifier: Apache-2.0 */
/* moe_layout.h -- how rows are cut for products by expert; moe_linear.c has the picture. */
#ifndef WEIR_KERNELS_CUDA_MOE_LAYOUT_H
#define WEIR_KERNELS_CUDA_MOE_LAYOUT_H

#include "kernels/cuda/activation_layout.h"

#include <stdint.h>

#define SLAB_ROWS_MANY 32u /* of one expert, where these are more than few */
#define FEW_ROWS_EACH  16u /* of an expert, on the average */

/* Rows of one matrix of many that a block of threads takes; of none where it has nothing to do. */
struct linear_slab {
    uint32_t matrix;
    uint32_t first, rows; /* of the result */
    uint32_t x_tile;      /* of prepared rows; the slab's follow each other */
};

/* Slabs of `each` rows that entries of these experts can fill, whoever has chosen whom. */
static inline uint32_t moe_slabs_max(uint64_t entries, uint32_t experts, uint32_t each)
{
    const uint64_t active = entries < experts ? entries : experts;
    return (uint32_t)((entries + (each - 1) * active) / each);
}

/* Rows of a slab: what the kernels for few rows take, or those for many. */
static inline uint32_t moe_slab_rows(uint32_t rows, uint32_t top_k, uint32_t experts)
{
    const uint64_t entries = (uint64_t)rows * top_k;
    const int few = rows <= FEW_ROWS_MAX || entries <= (uint64_t)experts * FEW_ROWS_EACH;
    return few ? ACTIVATION_ROWS : SLAB_ROWS_MANY;
}

#endif
