/* SPDX-License-Identifier: Apache-2.0 */
/* ops.h -- launches of the ops over rows and elements. Engine thread only.
 *
 * The args structs are backend.h's, but every pointer is device memory: the host side has replaced
 * host arrays (rope's positions, gather's rows) by their copies on the device. A call enqueues one
 * kernel (moe_route two) on the stream and returns what the launch said; zero rows or elements
 * enqueue nothing.
 * Results have the bits of kernels/cpu (README.md, invariant 1). */
#ifndef WEIR_KERNELS_CUDA_OPS_H
#define WEIR_KERNELS_CUDA_OPS_H

#include "kernels/backend.h"

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

cudaError_t cuda_rms_norm(const struct rms_norm_args *args, cudaStream_t stream);
cudaError_t cuda_layer_norm(const struct layer_norm_args *args, cudaStream_t stream);
cudaError_t cuda_add(const struct add_args *args, cudaStream_t stream);
cudaError_t cuda_rope(const struct rope_args *args, cudaStream_t stream);
cudaError_t cuda_gated(const struct gated_args *args, cudaStream_t stream);
cudaError_t cuda_moe_route(const struct moe_route_args *args, cudaStream_t stream);
cudaError_t cuda_moe_combine(const struct moe_combine_args *args, cudaStream_t stream);
cudaError_t cuda_gather(const struct gather_args *args, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
