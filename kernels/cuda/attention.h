/* SPDX-License-Identifier: Apache-2.0 */
/* attention.h -- the paged cache on the GPU: written, and attended to.
 *
 * Engine thread only. A layer's cache is half [blocks][2][kv_heads][KV_BLOCK_TOKENS][head_dim], K
 * then V. Decodes and prefill chunks of one step are planned once on the host and the plan serves
 * all layers: attention_plan() is pure and fills arrays of a fixed capacity, which the host side
 * copies to the device, so that a captured graph can be replayed with another plan. */
#ifndef WEIR_KERNELS_CUDA_ATTENTION_H
#define WEIR_KERNELS_CUDA_ATTENTION_H

#include "kernels/backend.h"

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CUDA_HEAD_DIM_MAX 256u
#define CUDA_GROUP_MAX    16u /* query heads a KV head */

/* A piece of work: rows of one span against a stretch of its keys. The keys of a stretch depend on
 * the row's own context alone (README.md, invariant 2): boundaries are multiples of
 * CUDA_SPLIT_TOKENS. */
#define CUDA_SPLIT_TOKENS 512u
struct attention_piece {
    uint32_t span;         /* index into spans */
    uint32_t first, count; /* rows of the span, from its first */
    uint32_t split;        /* which stretch of CUDA_SPLIT_TOKENS keys */
    uint32_t partial;      /* row of partial sums it writes; PIECE_WHOLE: straight to out */
};
#define PIECE_WHOLE UINT32_MAX

/* Rows whose partial sums are to be joined, ascending. */
struct attention_join {
    uint32_t row;            /* of the step */
    uint32_t partial, count; /* of the partial sums, one after the other */
};

struct attention_plan {
    uint32_t decode_count, prefill_count, join_count, partial_count;
    struct attention_piece *decodes, *prefills; /* [piece_max] each */
    struct attention_join *joins;               /* [row_max] */
    uint32_t piece_max, row_max;
};

/* How many pieces and partial rows steps of rows_max rows with contexts up to context_max need. */
uint32_t attention_pieces_max(uint32_t rows_max, uint32_t context_max);
uint32_t attention_partials_max(uint32_t rows_max, uint32_t context_max);
/* Pure. Asserts that the capacity suffices. window as in attention_args. */
void attention_plan_fill(const struct attention_span *spans, uint32_t span_count, uint32_t window,
                         struct attention_plan *plan);

/* Device copies of a step's arrays. */
struct attention_step {
    const struct attention_span *spans;
    uint32_t span_count;
    const uint32_t *block_tables;
    const uint32_t *row_spans;  /* [rows] which span a row belongs to */
    struct attention_plan plan; /* arrays on the device, counts on the host */
    void *partials;             /* attention_partial_bytes() a row of partial sums, all heads */
};
size_t attention_partial_bytes(uint32_t heads, uint32_t head_dim);

/* args' host arrays (spans, block_tables) are ignored: step has them. */
cudaError_t cuda_kv_write(const struct kv_write_args *args, const struct attention_step *step,
                          uint32_t rows, cudaStream_t stream);
cudaError_t cuda_attention(const struct attention_args *args, const struct attention_step *step,
                           cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
