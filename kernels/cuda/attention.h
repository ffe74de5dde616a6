/* SPDX-License-Identifier: Apache-2.0 */
/* attention.h -- the paged cache on the GPU: written, and attended to.
 *
 * Engine thread only. A layer's cache is [blocks][2][kv_heads] slices, K then V, each of
 * [KV_BLOCK_TOKENS][head_dim] numbers (kv_format.h). Who does what is planned on the host
 * (attention_plan.h). Kernels read from the device how much of the plan counts, so that a captured
 * graph can be replayed with another plan. */
#ifndef WEIR_KERNELS_CUDA_ATTENTION_H
#define WEIR_KERNELS_CUDA_ATTENTION_H

#include "kernels/cuda/attention_plan.h"

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ATTENTION_NO_SPAN UINT32_MAX /* in row_spans: a row of padding, for which nothing is done */

/* A step's arrays on the device. */
struct attention_step {
    const struct attention_span *spans;
    const uint32_t *block_tables;
    const uint32_t *row_spans; /* [rows] the span of a row, or ATTENTION_NO_SPAN */
    const struct attention_counts *counts;
    const struct attention_piece *decodes, *prefills;
    const struct attention_join *joins;
    /* How many are launched: at least what counts will say when the kernels run. A kernel whose
     * number is 0 is not launched. */
    uint32_t decode_grid, prefill_grid, join_grid;
    float *partials; /* attention_partial_bytes() a row of partial sums; may be NULL without any */
};
size_t attention_partial_bytes(uint32_t heads, uint32_t head_dim);

/* args' host arrays (spans, block_tables) are ignored: step has them. */
cudaError_t cuda_kv_write(const struct kv_write_args *args, const struct attention_step *step,
                          uint32_t rows, cudaStream_t stream);
/* Decode pieces, prefill pieces, then the joins. cudaErrorInvalidValue for a head_dim or a group
 * that no kernel has. */
cudaError_t cuda_attention(const struct attention_args *args, const struct attention_step *step,
                           cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
