/* SPDX-License-Identifier: Apache-2.0 */
/* linear_half.cu -- F16 and BF16 matrices times rows of halves: tensor cores, sums in floats.
 *
 * Batch invariance fixes the order of the sums: the columns, in steps of 16, are cut into
 * LINEAR_PARTS equal parts, whatever the rows; a part is one chain of mma from zero in ascending
 * steps, and parts join in ascending order, ((0 + p0) + p1) + ... An element of C depends on its
 * own column of B alone, so both kernels give a row the same bits:
 *
 *     few rows    a block of threads takes a tile of 16 rows, a warp a part; the parts meet in
 *                 shared memory at the end. Bound by memory: a warp keeps DEPTH steps, 512 bytes of
 *                 weights each, on their way in registers while it multiplies as many.
 *     many rows   a warp has 2 tiles and 8 * TILES rows of x, walks all parts in order, and has two
 *                 sums an output: the part's and the total. B comes through shared memory by
 *                 cp.async, A straight from memory a step ahead, 16 bytes a lane.
 *
 * Lane 4g + t has rows g and g + 8 of a tile and, of C, rows 2t and 2t + 1 of x. B's fragment is 8
 * bytes at 8 * lane: no bank conflicts. The parts are also what keeps the sums of long rows exact
 * enough: no chain is longer than an eighth of the row. */
#include "kernels/cuda/codes.cuh"

#define FEW_WARPS    LINEAR_PARTS
#define FEW_THREADS  (FEW_WARPS * WARP)
#define DEPTH        4u
#define MANY_TILES   2u /* of weights, a warp */
#define MANY_THREADS 128u
#define STAGE_STEPS  4u
#define STAGE_BYTES  (STAGE_STEPS * ACTIVATION_STEP) /* a tile of x */
#define STAGES       4u

__device__ __forceinline__ uint32_t steps_a_part(uint32_t steps)
{
    return (steps + LINEAR_PARTS - 1) / LINEAR_PARTS;
}

template <class T>
__device__ __forceinline__ void multiply_step(const uint4 &weights, uint2 x, float (&sums)[4])
{
    const uint32_t a[4] = {weights.x, weights.y, weights.z, weights.w}, b[2] = {x.x, x.y};
    mma_16816(sums, a, b, T());
}

/* -- Few rows -- */

/* One warp's part; `there` where this lane's column of B is a row of x. */
template <class T>
__device__ __forceinline__ void sum_part(const uint4 *weights, const uint2 *x, uint32_t steps,
                                         bool there, float (&sums)[4])
{
    uint4 a[DEPTH], next_a[DEPTH];
    uint2 b[DEPTH], next_b[DEPTH];
#pragma unroll
    for (uint32_t i = 0; i < DEPTH; i++) {
        next_a[i] = make_uint4(0, 0, 0, 0);
        next_b[i] = make_uint2(0, 0);
        if (i < steps)
            next_a[i] = weights[i * WARP];
        if (i < steps && there)
            next_b[i] = x[i * WARP];
    }
    for (uint32_t step = 0; step < steps; step += DEPTH) {
#pragma unroll
        for (uint32_t i = 0; i < DEPTH; i++) {
            a[i] = next_a[i];
            b[i] = next_b[i];
            uint32_t coming = step + DEPTH + i;
            if (coming < steps)
                next_a[i] = weights[coming * WARP];
            if (coming < steps && there)
                next_b[i] = x[coming * WARP];
        }
#pragma unroll
        for (uint32_t i = 0; i < DEPTH; i++)
            if (step + i < steps)
                multiply_step<T>(a[i], b[i], sums);
    }
}

template <class T>
__global__ void __launch_bounds__(FEW_THREADS) linear_half_few(struct linear_batch batch)
{
    SHARED_ARRAY(float, parts, [FEW_WARPS][ACTIVATION_ROWS][TILE_ROWS + 1]);
    uint32_t slabs = count_slabs(batch, ACTIVATION_ROWS), index = blockIdx.x / slabs;
    struct linear_slab slab = find_slab(batch, blockIdx.x % slabs, ACTIVATION_ROWS);
    if (slab.rows == 0)
        return;
    struct linear_target target = find_target(batch, 1, &index);
    uint32_t warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    uint32_t each = steps_a_part(batch.unit_count), first = min(warp * each, batch.unit_count);
    const uint4 *weights =
        reinterpret_cast<const uint4 *>(tiles_of(batch, target, slab) + index * batch.tile_bytes);
    const uint2 *x = reinterpret_cast<const uint2 *>(
        batch.x + static_cast<uint64_t>(slab.x_tile) * batch.unit_count * ACTIVATION_STEP);
    float sums[4] = {0, 0, 0, 0};
    sum_part<T>(weights + first * WARP + lane, x + first * WARP + lane,
                min(each, batch.unit_count - first), g < slab.rows, sums);
#pragma unroll
    for (uint32_t e = 0; e < 4; e++)
        parts[warp][2 * t + e % 2][g + e / 2 * 8] = sums[e];
    __syncthreads();
    uint32_t within = threadIdx.x % TILE_ROWS, row = index * TILE_ROWS + within;
    uint32_t x_row = threadIdx.x / TILE_ROWS;
    if (x_row >= slab.rows || row >= target.rows)
        return;
    float total = 0;
    for (uint32_t part = 0; part * each < batch.unit_count; part++)
        total += parts[part][x_row][within];
    total *= batch.factors[slab.x_tile * ACTIVATION_ROWS + x_row];
    target.out[static_cast<uint64_t>(slab.first + x_row) * target.rows + row] =
        target.bias ? total + target.bias[row] : total;
}

/* -- Many rows -- */

template <uint32_t TILES> struct half_sums {
    float at[MANY_TILES][TILES][4];
};

struct half_work {
    const uint4 *tiles[MANY_TILES]; /* this lane's first step */
    const uint8_t *x;
    uint32_t steps, x_tiles; /* tiles of x past the last are zeros */
};

template <uint32_t TILES>
__device__ __forceinline__ void copy_stage(const struct half_work &work, uint32_t stage,
                                           uint8_t *to)
{
    constexpr uint32_t PIECES = STAGE_BYTES / 16;
    uint64_t x_tile_bytes = static_cast<uint64_t>(work.steps) * ACTIVATION_STEP;
    for (uint32_t i = threadIdx.x; i < TILES * PIECES; i += blockDim.x) {
        uint32_t tile = i / PIECES;
        uint64_t at = static_cast<uint64_t>(stage) * STAGE_BYTES + i % PIECES * 16;
        bool valid = tile < work.x_tiles && at < x_tile_bytes;
        copy_async16(to + i * 16, work.x + (valid ? tile * x_tile_bytes + at : 0), valid);
    }
}

/* The part is done: adds it to the total and begins another. */
template <uint32_t TILES>
__device__ __forceinline__ void join_part(half_sums<TILES> &part, half_sums<TILES> &total)
{
#pragma unroll
    for (uint32_t i = 0; i < MANY_TILES * TILES * 4; i++) {
        total.at[i / (TILES * 4)][i / 4 % TILES][i % 4] +=
            part.at[i / (TILES * 4)][i / 4 % TILES][i % 4];
        part.at[i / (TILES * 4)][i / 4 % TILES][i % 4] = 0;
    }
}

template <class T, uint32_t TILES>
__device__ __forceinline__ void multiply_columns(const struct half_work &work, uint8_t *shared,
                                                 half_sums<TILES> &total)
{
    constexpr uint32_t BYTES = TILES * STAGE_BYTES;
    uint32_t stages = (work.steps + STAGE_STEPS - 1) / STAGE_STEPS, lane = threadIdx.x % WARP;
    uint32_t part_end = steps_a_part(work.steps);
    half_sums<TILES> part = {};
    uint4 now[MANY_TILES], next[MANY_TILES] = {work.tiles[0][0], work.tiles[1][0]};
    for (uint32_t stage = 0; stage < STAGES - 1; stage++) {
        if (stage < stages)
            copy_stage<TILES>(work, stage, shared + stage * BYTES);
        copy_async_commit();
    }
    for (uint32_t stage = 0; stage < stages; stage++) {
        copy_async_wait<STAGES - 2>();
        __syncthreads();
        uint32_t coming = stage + STAGES - 1;
        if (coming < stages)
            copy_stage<TILES>(work, coming, shared + coming % STAGES * BYTES);
        copy_async_commit();
        const uint8_t *x = shared + stage % STAGES * BYTES;
        uint32_t end = min(work.steps, (stage + 1) * STAGE_STEPS);
        for (uint32_t step = stage * STAGE_STEPS; step < end; step++, x += ACTIVATION_STEP) {
            if (step == part_end) {
                join_part(part, total);
                part_end += steps_a_part(work.steps);
            }
#pragma unroll
            for (uint32_t i = 0; i < MANY_TILES; i++) {
                now[i] = next[i];
                next[i] = work.tiles[i][min(step + 1, work.steps - 1) * WARP];
            }
#pragma unroll
            for (uint32_t tile = 0; tile < TILES; tile++) {
                uint2 b = reinterpret_cast<const uint2 *>(x + tile * STAGE_BYTES)[lane];
#pragma unroll
                for (uint32_t i = 0; i < MANY_TILES; i++)
                    multiply_step<T>(now[i], b, part.at[i][tile]);
            }
        }
    }
    join_part(part, total);
}

template <class T, uint32_t TILES>
__global__ void __launch_bounds__(MANY_THREADS) linear_half_many(struct linear_batch batch)
{
    SHARED_DYNAMIC(uint8_t, shared);
    constexpr uint32_t ROWS = TILES * ACTIVATION_ROWS, TILES_A_BLOCK = 4 * MANY_TILES;
    uint32_t slabs = count_slabs(batch, ROWS), index = blockIdx.x / slabs;
    struct linear_slab slab = find_slab(batch, blockIdx.x % slabs, ROWS);
    if (slab.rows == 0)
        return;
    uint32_t lane = threadIdx.x % WARP;
    struct linear_target target = find_target(batch, TILES_A_BLOCK, &index);
    uint32_t tile = index * TILES_A_BLOCK + threadIdx.x / WARP * MANY_TILES;
    const uint8_t *tiles = tiles_of(batch, target, slab);
    struct half_work work;
#pragma unroll
    for (uint32_t i = 0; i < MANY_TILES; i++) /* past the last: computed twice, stored once */
        work.tiles[i] = reinterpret_cast<const uint4 *>(
                            tiles + min(tile + i, target.tile_count - 1) * batch.tile_bytes) +
                        lane;
    work.x = batch.x + static_cast<uint64_t>(slab.x_tile) * batch.unit_count * ACTIVATION_STEP;
    work.steps = batch.unit_count;
    work.x_tiles = (slab.rows + ACTIVATION_ROWS - 1) / ACTIVATION_ROWS;
    half_sums<TILES> total = {};
    multiply_columns<T, TILES>(work, shared, total);
#pragma unroll
    for (uint32_t e = 0; e < 2 * TILES; e++) {
        uint32_t x_row = e / 2 * ACTIVATION_ROWS + lane % 4 * 2 + e % 2;
        if (x_row >= slab.rows)
            continue;
        float factor = batch.factors[slab.x_tile * ACTIVATION_ROWS + x_row];
#pragma unroll
        for (uint32_t i = 0; i < MANY_TILES * 2; i++) {
            uint32_t row = (tile + i / 2) * TILE_ROWS + lane / 4 + i % 2 * 8;
            float sum = total.at[i / 2][e / 2][i % 2 * 2 + e % 2] * factor;
            if (row < target.rows)
                target.out[static_cast<uint64_t>(slab.first + x_row) * target.rows + row] =
                    target.bias ? sum + target.bias[row] : sum;
        }
    }
}

cudaError_t cuda_linear_half_few(const struct linear_batch *batch, cudaStream_t stream)
{
    uint32_t blocks = count_stretches(batch, 1) * count_slabs(*batch, ACTIVATION_ROWS);
    if (batch->type == WEIGHT_F16)
        LAUNCH((linear_half_few<half>), blocks, FEW_THREADS, 0, stream, *batch);
    else
        LAUNCH((linear_half_few<__nv_bfloat16>), blocks, FEW_THREADS, 0, stream, *batch);
    return cudaPeekAtLastError();
}

template <class T, uint32_t TILES>
static cudaError_t launch_tiles(const struct linear_batch *batch, cudaStream_t stream)
{
    uint32_t slabs = count_slabs(*batch, TILES * ACTIVATION_ROWS);
    LAUNCH((linear_half_many<T, TILES>), count_stretches(batch, 4 * MANY_TILES) * slabs,
           MANY_THREADS, STAGES * TILES * STAGE_BYTES, stream, *batch);
    return cudaPeekAtLastError();
}

template <class T>
static cudaError_t launch_many(const struct linear_batch *batch, cudaStream_t stream)
{
    if (batch->groups.slabs)
        return launch_tiles<T, SLAB_ROWS_MANY / ACTIVATION_ROWS>(batch, stream);
    return launch_tiles<T, 8>(batch, stream);
}

cudaError_t cuda_linear_half_many(const struct linear_batch *batch, cudaStream_t stream)
{
    return batch->type == WEIGHT_F16 ? launch_many<half>(batch, stream)
                                     : launch_many<__nv_bfloat16>(batch, stream);
}
