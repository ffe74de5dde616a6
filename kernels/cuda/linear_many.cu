/* SPDX-License-Identifier: Apache-2.0 */
/* linear_many.cu -- quantised matrices times many rows: a prefill, or a large batch of decodes.
 *
 * Arithmetic is the bound: not the tensor cores' but the float chain that the law
 * (kernels/cpu/linear_level.h) has every 32 columns. A block of 16 x 8 outputs costs 2 mma and 20
 * to 24 float instructions a warp; 5 to 6 cycles of an SM's four schedulers, where the mma take 1
 * to 4. So outputs stay in registers, and all else is shared between as many of them as fit:
 *
 *                         8 * TILES rows of x: B, by cp.async through shared memory
 *                         [tile of 8 rows][tile of 8 rows] ...
 *     warp 0  rows  0..31   acc in registers: 2 tiles of 16 rows, TILES tiles of 8, 4 floats a lane
 *     warp 1  rows 32..63   ...
 *     ...     A straight from memory: a lane's fragments of a pair are one load of 16 bytes (8
 *             bits: two), a pair ahead; each weight is read by one warp of the block alone
 *
 * Lane 4g + t of a warp has, of a 16 x 8 block, rows g and g + 8 of the weight and rows 2t and
 * 2t + 1 of x. A block of x comes as lane l's 8 bytes at 8l (both stretches), two rows' scales are
 * 16 bytes at 16t, their scaled sums 8 bytes at 8t: no bank conflicts. Stages of 4 blocks of
 * columns, 1408 bytes a tile of x, STAGES of them on their way or in use; one barrier a stage.
 *
 * Blocks of threads are numbered along x first: neighbours read the same weights while these are in
 * the second cache. */
#include "kernels/cuda/codes.cuh"

#define MANY_TILES   2u /* of weights, a warp */
#define MANY_THREADS 128u
#define STAGE_BLOCKS 4u
#define STAGE_PAIRS  (STAGE_BLOCKS / PAIR_BLOCKS)
#define STAGE_BYTES  (STAGE_BLOCKS * ACTIVATION_BLOCK) /* a tile of x */
#define STAGES       3u

/* What a warp needs of a pair of blocks of one of its tiles: codes, and scales of rows g, g + 8. */
template <enum weight_type TYPE> struct tile_pair {
    pair_codes<TYPE> codes;
    uint2 scales[2];
};

/* Both tiles' rows against TILES tiles of x: [tile][tile of x][row half * 2 + row of x]. */
template <uint32_t TILES> struct many_sums {
    float at[MANY_TILES][TILES][4];
};

struct many_work {
    const uint8_t *tiles[MANY_TILES];
    const uint8_t *x;
    uint64_t superscales_offset;
    uint32_t pair_count, block_count;
    uint32_t x_tiles; /* from x on; those past the last are zeros */
};

template <enum weight_type TYPE>
__device__ __forceinline__ void load_pairs(const struct many_work &work, uint32_t pair,
                                           tile_pair<TYPE> (&ret)[MANY_TILES])
{
    uint32_t lane = threadIdx.x % WARP;
#pragma unroll
    for (uint32_t i = 0; i < MANY_TILES; i++) {
        const uint8_t *from = work.tiles[i] + static_cast<uint64_t>(pair) * pair_bytes<TYPE>;
        const uint8_t *supers =
            work.tiles[i] + work.superscales_offset +
            static_cast<uint64_t>(pair / SUPERBLOCK_PAIRS) * superblock_bytes<TYPE>;
        ret[i].codes = load_codes<TYPE>(from, lane);
#pragma unroll
        for (uint32_t upper = 0; upper < 2; upper++)
            ret[i].scales[upper] =
                load_scales<TYPE>(from + pair_codes_bytes<TYPE>, supers, lane / 4 + 8 * upper);
    }
}

template <uint32_t TILES>
__device__ __forceinline__ void copy_stage(const struct many_work &work, uint32_t stage,
                                           uint8_t *to)
{
    constexpr uint32_t PIECES = STAGE_BYTES / 16;
    uint64_t x_tile_bytes = static_cast<uint64_t>(work.block_count) * ACTIVATION_BLOCK;
    for (uint32_t i = threadIdx.x; i < TILES * PIECES; i += blockDim.x) {
        uint32_t tile = i / PIECES;
        uint64_t at = static_cast<uint64_t>(stage) * STAGE_BYTES + i % PIECES * 16;
        bool valid = tile < work.x_tiles && at < x_tile_bytes;
        copy_async16(to + i * 16, work.x + (valid ? tile * x_tile_bytes + at : 0), valid);
    }
}

/* One row's chain, one step: what a lane has of one row of weights and one of x. */
template <enum weight_type TYPE>
__device__ __forceinline__ float chain_step(const float (&dots)[2], float2 by, float2 scale,
                                            float scaled_sum, float acc)
{
    float sum = by.x * dots[0];
    sum = fmaf(by.y, dots[1], sum);
    acc = fmaf(scale.x, sum, acc);
    if constexpr (code_has_offsets<TYPE>)
        acc = fmaf(scale.y, scaled_sum, acc);
    return acc;
}

/* A block of columns: both tiles against every tile of x; x: this block of the first of them. */
template <enum weight_type TYPE, uint32_t TILES, uint32_t BLOCK>
__device__ __forceinline__ void multiply_block(const tile_pair<TYPE> (&pairs)[MANY_TILES],
                                               const uint8_t *x, many_sums<TILES> &sums)
{
    uint32_t lane = threadIdx.x % WARP, t = lane % 4;
    uint32_t a[MANY_TILES][2][2];
    float2 scales[MANY_TILES][2];
#pragma unroll
    for (uint32_t i = 0; i < MANY_TILES; i++) {
        code_fragment<TYPE, BLOCK, 0>(pairs[i].codes, a[i][0]);
        code_fragment<TYPE, BLOCK, 1>(pairs[i].codes, a[i][1]);
#pragma unroll
        for (uint32_t upper = 0; upper < 2; upper++)
            scales[i][upper] = make_float2(scale_of<TYPE>(pairs[i].scales[upper], BLOCK),
                                           offset_of<TYPE>(pairs[i].scales[upper], BLOCK));
    }
#pragma unroll
    for (uint32_t tile = 0; tile < TILES; tile++, x += STAGE_BYTES) {
        uint2 b = reinterpret_cast<const uint2 *>(x)[lane];
        float4 by = reinterpret_cast<const float4 *>(x + ACTIVATION_SCALES)[t];
        float2 scaled_sums = make_float2(0, 0);
        if constexpr (code_has_offsets<TYPE>)
            scaled_sums = reinterpret_cast<const float2 *>(x + ACTIVATION_SUMS)[t];
#pragma unroll
        for (uint32_t i = 0; i < MANY_TILES; i++) {
            int32_t c[2][4] = {{DOT_START, DOT_START, DOT_START, DOT_START},
                               {DOT_START, DOT_START, DOT_START, DOT_START}};
            mma_16816_s8(c[0], a[i][0], b.x);
            mma_16816_s8(c[1], a[i][1], b.y);
#pragma unroll
            for (uint32_t e = 0; e < 4; e++) {
                const uint2 &raw = pairs[i].scales[e / 2];
                float dots[2] = {dot_of<TYPE>(c[0][e], sub_scale_of<TYPE>(raw, BLOCK, 0)),
                                 dot_of<TYPE>(c[1][e], sub_scale_of<TYPE>(raw, BLOCK, 1))};
                sums.at[i][tile][e] = chain_step<TYPE>(
                    dots, e % 2 ? make_float2(by.z, by.w) : make_float2(by.x, by.y),
                    scales[i][e / 2], e % 2 ? scaled_sums.y : scaled_sums.x, sums.at[i][tile][e]);
            }
        }
    }
}

template <enum weight_type TYPE, uint32_t TILES>
__device__ __forceinline__ void multiply_columns(const struct many_work &work, uint8_t *shared,
                                                 many_sums<TILES> &sums)
{
    constexpr uint32_t BYTES = TILES * STAGE_BYTES;
    uint32_t stages = (work.block_count + STAGE_BLOCKS - 1) / STAGE_BLOCKS;
    tile_pair<TYPE> now[MANY_TILES], next[MANY_TILES];
    load_pairs<TYPE>(work, 0, next);
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
#pragma unroll 1
        for (uint32_t i = 0; i < STAGE_PAIRS; i++, x += PAIR_BLOCKS * ACTIVATION_BLOCK) {
            uint32_t pair = stage * STAGE_PAIRS + i;
            if (pair >= work.pair_count)
                break;
#pragma unroll
            for (uint32_t k = 0; k < MANY_TILES; k++)
                now[k] = next[k];
            load_pairs<TYPE>(work, min(pair + 1, work.pair_count - 1), next);
            multiply_block<TYPE, TILES, 0>(now, x, sums);
            if (pair * PAIR_BLOCKS + 1 < work.block_count)
                multiply_block<TYPE, TILES, 1>(now, x + ACTIVATION_BLOCK, sums);
        }
    }
}

template <enum weight_type TYPE, uint32_t TILES>
__global__ void __launch_bounds__(MANY_THREADS, 2) linear_many(struct linear_batch batch)
{
    SHARED_DYNAMIC(uint8_t, shared);
    constexpr uint32_t ROWS = TILES * ACTIVATION_ROWS;
    uint32_t slabs = count_slabs(batch, ROWS), index = blockIdx.x / slabs;
    struct linear_slab slab = find_slab(batch, blockIdx.x % slabs, ROWS);
    if (slab.rows == 0)
        return;
    uint32_t tiles_a_block = blockDim.x / WARP * MANY_TILES;
    struct linear_target target = find_target(batch, tiles_a_block, &index);
    uint32_t tile = index * tiles_a_block + threadIdx.x / WARP * MANY_TILES;
    const uint8_t *tiles = tiles_of(batch, target, slab);
    struct many_work work;
#pragma unroll
    for (uint32_t i = 0; i < MANY_TILES; i++) /* past the last: computed twice, stored once */
        work.tiles[i] = tiles + min(tile + i, target.tile_count - 1) * batch.tile_bytes;
    work.x = batch.x + static_cast<uint64_t>(slab.x_tile) * batch.block_count * ACTIVATION_BLOCK;
    work.superscales_offset = batch.superscales_offset;
    work.pair_count = batch.unit_count;
    work.block_count = batch.block_count;
    work.x_tiles = (slab.rows + ACTIVATION_ROWS - 1) / ACTIVATION_ROWS;
    many_sums<TILES> sums = {};
    multiply_columns<TYPE, TILES>(work, shared, sums);
    uint32_t lane = threadIdx.x % WARP;
#pragma unroll
    for (uint32_t i = 0; i < MANY_TILES; i++) {
#pragma unroll
        for (uint32_t upper = 0; upper < 2; upper++) {
            uint32_t row = (tile + i) * TILE_ROWS + lane / 4 + 8 * upper;
            if (row >= target.rows)
                continue;
            float bias = target.bias ? target.bias[row] : 0;
#pragma unroll
            for (uint32_t e = 0; e < 2 * TILES; e++) {
                uint32_t x_row = e / 2 * ACTIVATION_ROWS + lane % 4 * 2 + e % 2;
                float sum = sums.at[i][e / 2][2 * upper + e % 2];
                if (x_row < slab.rows)
                    target.out[static_cast<uint64_t>(slab.first + x_row) * target.rows + row] =
                        target.bias ? sum + bias : sum;
            }
        }
    }
}

template <enum weight_type TYPE, uint32_t TILES>
static cudaError_t launch_tiles(const struct linear_batch *batch, uint32_t warps,
                                cudaStream_t stream)
{
    uint32_t slabs = count_slabs(*batch, TILES * ACTIVATION_ROWS);
    LAUNCH((linear_many<TYPE, TILES>), count_stretches(batch, warps * MANY_TILES) * slabs,
           warps * WARP, STAGES * TILES * STAGE_BYTES, stream, *batch);
    return cudaPeekAtLastError();
}

/* Large blocks of threads where they are enough to fill a GPU, else smaller ones. */
#define MANY_BLOCKS_WANTED 256u

template <enum weight_type TYPE>
static cudaError_t launch(const struct linear_batch *batch, cudaStream_t stream)
{
    static_assert(SLAB_ROWS_MANY == 4 * ACTIVATION_ROWS, "what is launched for groups");
    uint32_t slabs = count_slabs(*batch, 8 * ACTIVATION_ROWS);
    if (!batch->groups.slabs &&
        count_stretches(batch, 4 * MANY_TILES) * slabs >= MANY_BLOCKS_WANTED)
        return launch_tiles<TYPE, 8>(batch, 4, stream);
    return launch_tiles<TYPE, 4>(batch, 2, stream);
}

cudaError_t cuda_linear_many(const struct linear_batch *batch, cudaStream_t stream)
{
    RETURN_LAUNCH(batch->type, launch, batch, stream)
    return cudaErrorInvalidValue;
}
