/* SPDX-License-Identifier: Apache-2.0 */
/* linear.h -- matrices on the GPU: laid out and uploaded once at load, multiplied ever after.
 *
 * Engine thread only. The face between the matrix code (weight.c, quantize.cu, linear_*.cu,
 * embed.cu) and the backend's table (cuda_backend.c). Every pointer in args is device memory but
 * those to struct weight. */
#ifndef WEIR_KERNELS_CUDA_LINEAR_H
#define WEIR_KERNELS_CUDA_LINEAR_H

#include "kernels/backend.h"

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of device memory that a matrix will take, before it is made: for the table of what needs
 * what. 0 where the type cannot be served. */
size_t cuda_weight_bytes_wanted(const struct weight_source *source);

/* Lays the matrix out a stretch of rows at a time in `staging` (pinned, staging_bytes, at least
 * cuda_weight_staging_wanted(), which is 16 rows) and uploads it to `device`
 * (cuda_weight_bytes_wanted() bytes, 256-byte aligned, borrowed for the weight's life). Waits for
 * the upload; the file is not needed afterwards. ERROR_IO when the device failed. */
size_t cuda_weight_staging_wanted(const struct weight_source *source);
#define CUDA_WEIGHT_STAGING_MIN ((size_t)1 << 20) /* enough for 16,384 columns of any type */
struct cuda_weight_place {
    void *device;
    void *staging;
    size_t staging_bytes;
    cudaStream_t stream;
};
struct weight *cuda_weight_prepare(const struct weight_source *source,
                                   const struct cuda_weight_place *place, struct error *err);
void cuda_weight_free(struct weight *weight); /* NULL is fine; the device memory is its lender's */
size_t cuda_weight_bytes(const struct weight *weight);

/* Device scratch that cuda_linear() needs for up to rows_max rows of columns_max activations;
 * 256-byte aligned. */
size_t cuda_linear_scratch_bytes(uint32_t rows_max, uint32_t columns_max);
/* Quantised and F32 weights: the bits of cpu_linear(). F16 and BF16: activations are rounded to the
 * weight's type (under F16 after scaling the row by a power of two, so that none overflows), sums
 * are floats. A row's bits depend on that row alone, at any number of rows. */
cudaError_t cuda_linear(const struct linear_args *args, void *scratch, cudaStream_t stream);
/* The same by expert: rows are grouped as cuda_moe_plan(), after the routing, has it in `plan`. */
size_t cuda_moe_plan_bytes(uint64_t entries_max, uint32_t experts);
size_t cuda_moe_linear_scratch_bytes(uint64_t entries_max, uint32_t experts, uint32_t columns_max);
cudaError_t cuda_moe_plan(const struct moe_route_args *args, void *plan, cudaStream_t stream);
cudaError_t cuda_moe_linear(const struct moe_linear_args *args, void *plan, void *scratch,
                            cudaStream_t stream);
/* Dequantises the named rows; exact as quant_dequantize_row(). */
cudaError_t cuda_embed(const struct embed_args *args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
