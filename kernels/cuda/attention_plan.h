/* SPDX-License-Identifier: Apache-2.0 */
/* attention_plan.h -- a step's rows cut into pieces for blocks of threads.
 *
 * Pure, and any thread's. Decodes and prefill chunks of one step are planned once, and the plan
 * serves all layers with the same window. Its arrays have a fixed capacity; the host side copies
 * them to the device. */
#ifndef WEIR_KERNELS_CUDA_ATTENTION_PLAN_H
#define WEIR_KERNELS_CUDA_ATTENTION_PLAN_H

#include "kernels/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What kernels there are for. */
#define CUDA_HEAD_DIM_MAX  256u /* and a multiple of CUDA_HEAD_DIM_STEP */
#define CUDA_HEAD_DIM_STEP 16u
#define CUDA_GROUP_MAX     16u /* query heads a KV head */

/* A row walks its keys in stretches of this many, aligned to the position in the sequence, and
 * joins their sums in ascending order: whether one block of threads walks them all or several one
 * each is then not to be seen in a bit of the result. */
#define CUDA_SPLIT_TOKENS 512u
/* Most rows of a prefill piece. */
#define CUDA_PREFILL_ROWS 64u
/* A span of at most this many rows is decoded, a row at a time. */
#define CUDA_DECODE_ROWS 4u
/* A step's rows of partial sums never outnumber this: with so many pieces every GPU is full, and a
 * decoded row that finds none left walks all its keys in one piece. */
#define CUDA_PARTIALS_MAX 2048u
/* Floats after a head's partial sums: largest, total, padding. */
#define PARTIAL_TAIL 4u

/* A piece of work: rows of one span against one stretch of their keys, or against all. */
struct attention_piece {
    uint32_t span;         /* index into spans */
    uint32_t first, count; /* rows of the span, from its first; 1 in a decode */
    uint32_t split;        /* which stretch of CUDA_SPLIT_TOKENS keys; not read where whole */
    uint32_t partial;      /* row of partial sums it writes; PIECE_WHOLE: all keys, to out */
};
#define PIECE_WHOLE UINT32_MAX

/* A row whose partial sums are to be joined, ascending. */
struct attention_join {
    uint32_t row;            /* of the step */
    uint32_t partial, count; /* of the partial sums, one after the other */
};

struct attention_counts {
    uint32_t decodes, prefills, joins, partials;
};

struct attention_plan {
    struct attention_counts counts;
    struct attention_piece *decodes, *prefills; /* [piece_max] each */
    struct attention_join *joins;               /* [row_max] */
    uint32_t piece_max, row_max, partial_max;
};

/* What steps of rows_max rows with contexts up to context_max need: pieces in each of the two
 * arrays, and rows of partial sums (0 where no context is ever split). */
uint32_t attention_pieces_max(uint32_t rows_max, uint32_t context_max);
uint32_t attention_partials_max(uint32_t rows_max, uint32_t context_max);
/* Asserts that pieces and rows suffice; the partial sums may be fewer than wanted. window as
 * in attention_args. */
void attention_plan_fill(const struct attention_span *spans, uint32_t span_count, uint32_t window,
                         struct attention_plan *plan);

#ifdef __cplusplus
}
#endif

#endif
