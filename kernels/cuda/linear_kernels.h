/* SPDX-License-Identifier: Apache-2.0 */
/* linear_kernels.h -- between linear.c, which decides, and the kernels that multiply. */
#ifndef WEIR_KERNELS_CUDA_LINEAR_KERNELS_H
#define WEIR_KERNELS_CUDA_LINEAR_KERNELS_H

#include "kernels/backend.h"
#include "kernels/cuda/activation_layout.h"
#include "kernels/cuda/moe_layout.h"
#include "kernels/cuda/weight_layout.h"

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LINEAR_PARTS 8u /* of a 16-bit sum over the columns, joined in ascending order */

/* One matrix to multiply with. */
struct linear_target {
    const uint8_t *tiles;
    const float *bias; /* or NULL */
    float *out;
    uint32_t rows, tile_count;
};

/* Which rows meet which of a weight's matrices (moe_linear.c). */
struct linear_groups {
    struct linear_slab *slabs; /* device [slab_count]; NULL: all rows in order, one matrix */
    uint32_t *places;          /* device [x_tiles * ACTIVATION_ROWS]: prepared row -> its place */
    const uint32_t *order; /* device: place -> entry, row * top_k + rank of x; NULL: x by place */
    uint32_t top_k;
    uint32_t slab_rows; /* at most: ACTIVATION_ROWS or SLAB_ROWS_MANY */
    uint32_t slab_count, x_tiles;
};
#define NO_PLACE UINT32_MAX /* where there is no row */

/* Matrices of one type and width that multiply the same activations: one launch. */
struct linear_batch {
    const uint8_t *x;     /* prepared; F32: float [rows][columns] */
    const float *factors; /* [rows]; halves only */
    enum weight_type type;
    uint32_t rows, columns;
    uint32_t block_count; /* of a row of codes */
    uint32_t unit_count;  /* of a tile: pairs, steps or quads */
    uint32_t target_count;
    uint64_t superscales_offset, tile_bytes;
    struct linear_groups groups;
    struct linear_target targets[LINEAR_WEIGHTS_MAX];
};

/* Fills slabs and places, given where each expert's places begin. */
cudaError_t cuda_group_rows(const struct linear_groups *groups, const uint32_t *begins,
                            uint32_t experts, cudaStream_t stream);
/* cuda_linear(), of rows and matrices as `groups` has them. */
cudaError_t cuda_linear_groups(const struct linear_args *args, const struct linear_groups *groups,
                               void *scratch, cudaStream_t stream);

struct quantize_args {
    const float *x;
    uint32_t rows, columns;
    struct linear_groups groups;
    uint8_t *codes;
};
cudaError_t cuda_quantize(const struct quantize_args *args, cudaStream_t stream);
struct round_args {
    const float *x;
    uint32_t rows, columns;
    enum weight_type type; /* WEIGHT_F16 or WEIGHT_BF16 */
    struct linear_groups groups;
    uint8_t *halves;
    float *factors;
};
cudaError_t cuda_round(const struct round_args *args, cudaStream_t stream);

/* Any number of rows; which of a pair is faster is for linear.c to know. */
cudaError_t cuda_linear_few(const struct linear_batch *batch, cudaStream_t stream);
cudaError_t cuda_linear_many(const struct linear_batch *batch, cudaStream_t stream);
cudaError_t cuda_linear_half_few(const struct linear_batch *batch, cudaStream_t stream);
cudaError_t cuda_linear_half_many(const struct linear_batch *batch, cudaStream_t stream);
cudaError_t cuda_linear_float_few(const struct linear_batch *batch, cudaStream_t stream);
cudaError_t cuda_linear_float_many(const struct linear_batch *batch, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
