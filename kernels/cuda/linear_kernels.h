/* SPDX-License-Identifier: Apache-2.0 */
/* linear_kernels.h -- between linear.c, which decides, and the kernels that multiply. */
#ifndef WEIR_KERNELS_CUDA_LINEAR_KERNELS_H
#define WEIR_KERNELS_CUDA_LINEAR_KERNELS_H

#include "kernels/backend.h"
#include "kernels/cuda/activation_layout.h"
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
    struct linear_target targets[LINEAR_WEIGHTS_MAX];
};

cudaError_t cuda_quantize(const float *x, uint32_t rows, uint32_t columns, uint8_t *codes,
                          cudaStream_t stream);
struct round_args {
    const float *x;
    uint32_t rows, columns;
    enum weight_type type; /* WEIGHT_F16 or WEIGHT_BF16 */
    uint8_t *halves;
    float *factors;
};
cudaError_t cuda_round(const struct round_args *args, cudaStream_t stream);

/* Any number of rows; which of a pair is faster is for linear.c to know. */
cudaError_t cuda_linear_few(const struct linear_batch *batch, cudaStream_t stream);
cudaError_t cuda_linear_many(const struct linear_batch *batch, cudaStream_t stream);
cudaError_t cuda_linear_half_few(const struct linear_batch *batch, cudaStream_t stream);
cudaError_t cuda_linear_half_many(const struct linear_batch *batch, cudaStream_t stream);
cudaError_t cuda_linear_float(const struct linear_batch *batch, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
