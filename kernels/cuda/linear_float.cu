/* SPDX-License-Identifier: Apache-2.0 */
/* linear_float.cu -- F32 matrices: each output is one chain of fused multiply-adds over the columns
 * in ascending order, as in kernels/cpu/linear_level.h, so no tensor core and no split will do.
 *
 * A block of threads takes a tile of 16 rows of weights and 8 * EACH rows of x; thread i has
 * weight row i % 16 and EACH rows of x. Weights come by cp.async, 32 quads of columns a stage; x is
 * read by 16 lanes at once from the first cache. The chain is 4 cycles a column, and a file in
 * which large matrices are F32 is rare. */
#include "kernels/cuda/codes.cuh"
#include "kernels/cuda/groups.cuh"

#define FLOAT_THREADS 128u
#define FLOAT_SLOTS   (FLOAT_THREADS / TILE_ROWS)
#define STAGE_QUADS   32u
#define STAGE_BYTES   (STAGE_QUADS * QUAD_BYTES)
#define STAGES        6u

__device__ __forceinline__ void copy_stage(const uint8_t *tile, uint32_t quads, uint32_t stage,
                                           uint8_t *to)
{
    uint32_t pieces = min(quads - stage * STAGE_QUADS, STAGE_QUADS) * (QUAD_BYTES / 16);
    const uint8_t *from = tile + static_cast<uint64_t>(stage) * STAGE_BYTES;
    for (uint32_t i = threadIdx.x; i < pieces; i += FLOAT_THREADS)
        copy_async16(to + i * 16, from + i * 16, true);
}

/* Columns first .. first + count - 1, count at most a stage's. */
template <uint32_t EACH>
__device__ __forceinline__ void add_columns(const float *weights, const float *const (&x)[EACH],
                                            uint32_t first, uint32_t count, float (&acc)[EACH])
{
    const float4 *quads = reinterpret_cast<const float4 *>(weights);
    uint32_t column = 0;
#pragma unroll 4
    for (; column + QUAD_COLUMNS <= count; column += QUAD_COLUMNS) {
        float4 w = quads[column / QUAD_COLUMNS * TILE_ROWS];
#pragma unroll
        for (uint32_t i = 0; i < EACH; i++) {
            const float *from = x[i] + first + column;
            acc[i] = fmaf(w.x, from[0], acc[i]);
            acc[i] = fmaf(w.y, from[1], acc[i]);
            acc[i] = fmaf(w.z, from[2], acc[i]);
            acc[i] = fmaf(w.w, from[3], acc[i]);
        }
    }
    for (; column < count; column++)
#pragma unroll
        for (uint32_t i = 0; i < EACH; i++)
            acc[i] = fmaf(
                weights[column / QUAD_COLUMNS * TILE_ROWS * QUAD_COLUMNS + column % QUAD_COLUMNS],
                x[i][first + column], acc[i]);
}

template <uint32_t EACH>
__global__ void __launch_bounds__(FLOAT_THREADS) linear_float(struct linear_batch batch)
{
    SHARED_ARRAY(uint8_t, shared, [STAGES][STAGE_BYTES]);
    constexpr uint32_t ROWS = FLOAT_SLOTS * EACH;
    uint32_t slabs = count_slabs(batch, ROWS), index = blockIdx.x / slabs;
    struct linear_slab slab = find_slab(batch, blockIdx.x % slabs, ROWS);
    if (slab.rows == 0)
        return;
    struct linear_target target = find_target(batch, 1, &index);
    const uint8_t *tile = tiles_of(batch, target, slab) + index * batch.tile_bytes;
    uint32_t x_row = threadIdx.x / TILE_ROWS * EACH, within = threadIdx.x % TILE_ROWS;
    const float *x[EACH];
    float acc[EACH];
#pragma unroll
    for (uint32_t i = 0; i < EACH; i++) { /* past the last: computed twice, stored once */
        uint32_t place = slab.first + min(x_row + i, slab.rows - 1);
        x[i] = reinterpret_cast<const float *>(batch.x) +
               static_cast<uint64_t>(row_of_place(batch.groups, place)) * batch.columns;
        acc[i] = 0;
    }
    uint32_t stages = (batch.unit_count + STAGE_QUADS - 1) / STAGE_QUADS;
    for (uint32_t stage = 0; stage < STAGES - 1; stage++) {
        if (stage < stages)
            copy_stage(tile, batch.unit_count, stage, shared[stage]);
        copy_async_commit();
    }
    for (uint32_t stage = 0; stage < stages; stage++) {
        copy_async_wait<STAGES - 2>();
        __syncthreads();
        uint32_t coming = stage + STAGES - 1, first = stage * STAGE_QUADS * QUAD_COLUMNS;
        if (coming < stages)
            copy_stage(tile, batch.unit_count, coming, shared[coming % STAGES]);
        copy_async_commit();
        add_columns<EACH>(reinterpret_cast<const float *>(shared[stage % STAGES]) +
                              within * QUAD_COLUMNS,
                          x, first, min(batch.columns - first, STAGE_QUADS * QUAD_COLUMNS), acc);
    }
    uint32_t row = index * TILE_ROWS + within;
#pragma unroll
    for (uint32_t i = 0; i < EACH; i++)
        if (x_row + i < slab.rows && row < target.rows)
            target.out[static_cast<uint64_t>(slab.first + x_row + i) * target.rows + row] =
                target.bias ? acc[i] + target.bias[row] : acc[i];
}

template <uint32_t EACH>
static cudaError_t launch(const struct linear_batch *batch, cudaStream_t stream)
{
    uint32_t slabs = count_slabs(*batch, FLOAT_SLOTS * EACH);
    LAUNCH((linear_float<EACH>), count_stretches(batch, 1) * slabs, FLOAT_THREADS, 0, stream,
           *batch);
    return cudaPeekAtLastError();
}

cudaError_t cuda_linear_float_few(const struct linear_batch *batch, cudaStream_t stream)
{
    static_assert(FLOAT_SLOTS == ACTIVATION_ROWS, "a slab of few rows");
    return launch<1>(batch, stream);
}

cudaError_t cuda_linear_float_many(const struct linear_batch *batch, cudaStream_t stream)
{
    return launch<SLAB_ROWS_MANY / FLOAT_SLOTS>(batch, stream);
}
