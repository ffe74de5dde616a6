/* SPDX-License-Identifier: Apache-2.0 */
/* sample_step.cuh -- what the kernels of one turn of sampling share: where things lie.
 *
 * Rows are those of the turn, 0..rows-1. A row's arrays have room for whole chunks. */
#ifndef WEIR_KERNELS_CUDA_SAMPLE_STEP_CUH
#define WEIR_KERNELS_CUDA_SAMPLE_STEP_CUH

#include "kernels/cuda/block_math.cuh"
#include "kernels/cuda/sample.h"

#define DRAW_FUNCTION static __device__ __forceinline__
#include "kernels/draw.h"

#define CHUNK        2048u                /* logits that a block of threads takes in a wide pass */
#define CHUNK_BLOCKS (CHUNK / DRAW_BLOCK) /* of draw.h */

/* What the last kernel must know of a row that filters. */
struct sample_state {
    double mass;
    float highest, bound, least;
};

struct sample_step {
    struct sample_args args; /* of this turn's rows */
    uint32_t chunks;
    uint32_t *counts;             /* [rows][chunks * CHUNK] zero between calls */
    float *bent;                  /* the same; rows with bias or penalties */
    uint64_t *keys, *other_keys;  /* the same; candidates */
    uint32_t *ranks;              /* the same */
    float *highest[2];            /* [rows][chunks * CHUNK_BLOCKS] of each block: bent, raw */
    float *chunk_highest[2];      /* [rows][chunks] */
    double *sums[2], *before_end; /* [rows][chunks * CHUNK_BLOCKS]; the sum up to a block's end */
    uint32_t *found;              /* the same: candidates of a block */
    struct sample_state *states;  /* [rows] */
};

enum { BENT, RAW };

__device__ __forceinline__ bool row_bends(const struct sample_row &row)
{
    return row.bias_count > 0 || row.forbidden_count > 0 || row.repetition_penalty != 1.0f ||
           row.presence_penalty != 0.0f || row.frequency_penalty != 0.0f;
}

__device__ __forceinline__ bool row_draws(const struct sample_row &row)
{
    return !(row.temperature < DRAW_GREEDY_BELOW);
}

__device__ __forceinline__ bool row_filters(const struct sample_row &row)
{
    return row_draws(row) && (row.top_k > 0 || row.top_p < 1.0f);
}

__device__ __forceinline__ size_t row_tokens(const struct sample_step &step, uint32_t row)
{
    return static_cast<size_t>(row) * step.chunks * CHUNK;
}

__device__ __forceinline__ size_t row_blocks(const struct sample_step &step, uint32_t row)
{
    return static_cast<size_t>(row) * step.chunks * CHUNK_BLOCKS;
}

/* A row that is not bent has the same logits in both senses. */
__device__ __forceinline__ const float *row_logits(const struct sample_step &step, uint32_t row,
                                                   int which)
{
    if (which == BENT && row_bends(step.args.settings[row]))
        return step.bent + row_tokens(step, row);
    return step.args.logits + static_cast<size_t>(row) * step.args.vocabulary;
}

/* In which sense its highest logits were looked for. */
__device__ __forceinline__ int highest_of(const struct sample_row &row, int which)
{
    return row_bends(row) ? which : BENT;
}

/* The highest finite logit of a row, -INFINITY where there is none. The whole block calls. */
__device__ __forceinline__ float row_highest(const struct sample_step &step, uint32_t row,
                                             int which)
{
    const float *chunks = step.chunk_highest[highest_of(step.args.settings[row], which)] +
                          static_cast<size_t>(row) * step.chunks;
    float highest = -INFINITY;
    for (uint32_t i = threadIdx.x; i < step.chunks; i += BLOCK_THREADS)
        highest = largest_of(highest, chunks[i]);
    return block_largest(highest);
}

/* Draws what needs no candidates, and readies the rest: sample_choose.cu. */
__global__ void sample_settle(struct sample_step step);
/* Filters the candidates, and draws. */
__global__ void sample_pick(struct sample_step step);

#endif
