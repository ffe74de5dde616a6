/* SPDX-License-Identifier: Apache-2.0 */
/* linear_few.cu -- quantised matrices times a few rows: a decode step.
 *
 * The weight is read once, so memory is the bound (half a byte to a byte a multiplication), and
 * all is about enough bytes on their way and few instructions on each: at 3.35 TB/s an H100's SM
 * gets the 576 bytes of a pair of 4-bit blocks every 38 cycles, in which its schedulers start 150
 * instructions. Yet the law (kernels/cpu/linear_level.h) wants, for each output, one
 * chain of float operations over all blocks in ascending order. Its integers are free of order, and
 * most of the work. So a block of threads takes one tile of 16 rows, and cuts the columns into
 * chunks of 8 pairs of blocks, a pair a warp:
 *
 *     iteration c     cp.async            8 warps                     16 * ROWS threads
 *                     brings chunk c + D  dots of chunk c, scaled by  chains of chunk c - 1:
 *                                         x's scales: sum_b           acc = fma(scale, sum, acc)
 *                                              |                           |
 *     shared memory   [stage c + D]       [stage c] -> [sums c % 2]   [sums (c - 1) % 2, stage c-1]
 *
 * with one barrier an iteration, D = STAGES - 2. A chain is 4 to 8 cycles a block, some 150 a
 * chunk, beside the 300 or more that a chunk's bytes take to arrive; it belongs to the last
 * threads, whose warps are idle where columns are few.
 *
 * The dots are made by the tensor cores, which have nothing else to do here: no sum crosses lanes
 * by shuffles then, as it would with dp4a. One mma has 16 rows of weights, 16 columns, and 8
 * columns of B; the two stretches of a block have scales of their own, so B's column 2r holds row
 * r's first stretch and column 2r + 1 its second, and A meets both:
 *
 *     B for stretch 0:  x0 .  x1 .  x2 .  x3 .        C:  lane 4g + t has row t's two dots
 *     B for stretch 1:  .  x0 .  x1 .  x2 .  x3           with weight rows g and g + 8
 *
 * where . is zero. So 4 rows cost two mma a block and all 32 lanes scale what is theirs.
 *
 * Shared memory: codes are read 16 bytes a lane in sequence; sums are float2 (a pair's two blocks)
 * at row + 20 * x-row, so that both the writes of lanes (t, g) and the reads of chains are free of
 * conflicts. Blocks of threads with the same tile and other rows are neighbours, so the second
 * finds the tile in the second cache. */
#include "kernels/cuda/codes.cuh"

#define FEW_WARPS      8u
#define FEW_THREADS    (FEW_WARPS * WARP)
#define CHUNK_BLOCKS   (FEW_WARPS * PAIR_BLOCKS)
#define CHUNK_SUPERS   (FEW_WARPS / SUPERBLOCK_PAIRS)
#define SUMS_PITCH     20u
#define SHARED_ASSURED 49152u /* bytes; more must be asked for */

/* A stage: 8 pairs, their superscales, and 16 blocks of ROWS rows of x, where codes, scales and
 * sums follow each other as in linear_kernels.h but for ROWS rows. */
template <uint32_t ROWS> constexpr uint32_t x_scales_at = (ROWS * BLOCK_COLUMNS);
template <uint32_t ROWS> constexpr uint32_t x_sums_at = x_scales_at<ROWS> + (ROWS + 1) / 2 * 16;
template <uint32_t ROWS> constexpr uint32_t x_block_bytes = x_sums_at<ROWS> + (ROWS + 3) / 4 * 16;
template <enum weight_type TYPE>
constexpr uint32_t stage_x_at = (pair_bytes<TYPE> * FEW_WARPS) +
                                (superblock_bytes<TYPE> * CHUNK_SUPERS);
template <enum weight_type TYPE, uint32_t ROWS>
constexpr uint32_t stage_bytes = stage_x_at<TYPE> + (x_block_bytes<ROWS> * CHUNK_BLOCKS);
template <enum weight_type TYPE> constexpr uint32_t stage_count = code_bits<TYPE> > 5 ? 4 : 6;
template <uint32_t ROWS>
constexpr uint32_t sums_count = (FEW_WARPS * ROWS * SUMS_PITCH); /* float2 */

/* What a block of threads works on. */
struct few_work {
    const uint8_t *tile, *x; /* x: of the tile of 8 rows */
    uint64_t superscales_offset;
    uint32_t pair_count, block_count;
};

__device__ __forceinline__ void copy_bytes(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    for (uint32_t i = threadIdx.x * 16; i < bytes; i += FEW_THREADS * 16)
        copy_async16(to + i, from + i, true);
}

template <enum weight_type TYPE, uint32_t ROWS>
__device__ __forceinline__ void copy_chunk(const struct few_work &work, uint32_t chunk,
                                           uint8_t *stage)
{
    uint32_t pair = chunk * FEW_WARPS, pairs = min(work.pair_count - pair, FEW_WARPS);
    copy_bytes(stage, work.tile + static_cast<uint64_t>(pair) * pair_bytes<TYPE>,
               pairs * pair_bytes<TYPE>);
    if constexpr (superblock_bytes<TYPE> != 0) {
        uint32_t super = chunk * CHUNK_SUPERS;
        uint32_t supers = (pairs + SUPERBLOCK_PAIRS - 1) / SUPERBLOCK_PAIRS;
        copy_bytes(stage + FEW_WARPS * pair_bytes<TYPE>,
                   work.tile + work.superscales_offset +
                       static_cast<uint64_t>(super) * superblock_bytes<TYPE>,
                   supers * superblock_bytes<TYPE>);
    }
    constexpr uint32_t CODES = 2 * ROWS, SCALES = (ROWS + 1) / 2, SUMS = (ROWS + 3) / 4;
    constexpr uint32_t PIECES = CODES + SCALES + SUMS;
    uint32_t block = chunk * CHUNK_BLOCKS;
    uint32_t pieces = min(work.block_count - block, CHUNK_BLOCKS) * PIECES;
    const uint8_t *from = work.x + static_cast<uint64_t>(block) * ACTIVATION_BLOCK;
    for (uint32_t i = threadIdx.x; i < pieces; i += FEW_THREADS) {
        uint32_t piece = i % PIECES, at = piece * 16;
        if (piece >= CODES)
            at += ACTIVATION_SCALES - CODES * 16;
        if (piece >= CODES + SCALES)
            at += ACTIVATION_SUMS - ACTIVATION_SCALES - SCALES * 16;
        copy_async16(stage + stage_x_at<TYPE> + i * 16, from + i / PIECES * ACTIVATION_BLOCK + at,
                     true);
    }
}

/* sum_b of the law, of 4 rows of x from row 4 * GROUP, for one block of a pair: .x for weight row
 * g, .y for g + 8. */
template <enum weight_type TYPE, uint32_t ROWS, uint32_t GROUP, uint32_t BLOCK>
__device__ __forceinline__ float2 block_sums(const pair_codes<TYPE> &codes,
                                             const uint2 (&scales)[2], const uint8_t *x)
{
    uint32_t lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4, row = 4 * GROUP + g / 2;
    uint32_t first[2], second[2], word = 0;
    code_fragment<TYPE, BLOCK, 0>(codes, first);
    code_fragment<TYPE, BLOCK, 1>(codes, second);
    if (ROWS % 4 == 0 || row < ROWS)
        word = *reinterpret_cast<const uint32_t *>(x + row * BLOCK_COLUMNS + t * 8 + g % 2 * 4);
    int32_t c[4] = {DOT_START, DOT_START, DOT_START, DOT_START};
    mma_16816_s8(c, first, g % 2 ? 0 : word);
    mma_16816_s8(c, second, g % 2 ? word : 0);
    float2 by = make_float2(0, 0), sums;
    if (ROWS % 4 == 0 || 4 * GROUP + t < ROWS)
        by = reinterpret_cast<const float2 *>(x + x_scales_at<ROWS>)[4 * GROUP + t];
    sums.x = by.x * dot_of<TYPE>(c[0], sub_scale_of<TYPE>(scales[0], BLOCK, 0));
    sums.x = fmaf(by.y, dot_of<TYPE>(c[1], sub_scale_of<TYPE>(scales[0], BLOCK, 1)), sums.x);
    sums.y = by.x * dot_of<TYPE>(c[2], sub_scale_of<TYPE>(scales[1], BLOCK, 0));
    sums.y = fmaf(by.y, dot_of<TYPE>(c[3], sub_scale_of<TYPE>(scales[1], BLOCK, 1)), sums.y);
    return sums;
}

template <enum weight_type TYPE, uint32_t ROWS, uint32_t GROUP>
__device__ __forceinline__ void pair_sums(const pair_codes<TYPE> &codes, const uint2 (&scales)[2],
                                          const uint8_t *x, float2 *sums)
{
    uint32_t lane = threadIdx.x % WARP, g = lane / 4, row = 4 * GROUP + lane % 4;
    float2 a = block_sums<TYPE, ROWS, GROUP, 0>(codes, scales, x);
    float2 b = block_sums<TYPE, ROWS, GROUP, 1>(codes, scales, x + x_block_bytes<ROWS>);
    if (ROWS % 4 == 0 || row < ROWS) {
        sums[row * SUMS_PITCH + g] = make_float2(a.x, b.x);
        sums[row * SUMS_PITCH + g + 8] = make_float2(a.y, b.y);
    }
}

/* This warp's pair of the chunk. The second block of the last pair may be past the row's end: what
 * comes of it is not read. */
template <enum weight_type TYPE, uint32_t ROWS>
__device__ __forceinline__ void chunk_dots(const uint8_t *stage, float2 *sums)
{
    uint32_t warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const uint8_t *pair = stage + warp * pair_bytes<TYPE>;
    const uint8_t *x = stage + stage_x_at<TYPE> + warp * PAIR_BLOCKS * x_block_bytes<ROWS>;
    pair_codes<TYPE> codes = load_codes<TYPE>(pair, lane);
    uint2 scales[2] = {make_uint2(0, 0), make_uint2(0, 0)};
    if constexpr (code_scaling<TYPE> == QUANT_SCALING_SPLIT)
        for (uint32_t upper = 0; upper < 2; upper++)
            scales[upper].x = reinterpret_cast<const uint32_t *>(
                pair + pair_codes_bytes<TYPE>)[lane / 4 + 8 * upper];
    float2 *to = sums + warp * ROWS * SUMS_PITCH;
    pair_sums<TYPE, ROWS, 0>(codes, scales, x, to);
    if constexpr (ROWS > 4)
        pair_sums<TYPE, ROWS, 1>(codes, scales, x, to);
}

/* One output's chain through a chunk; blocks: of the chunk, the last may be an odd one. */
template <enum weight_type TYPE, uint32_t ROWS>
__device__ __forceinline__ float chain_chunk(const uint8_t *stage, const float2 *sums,
                                             uint32_t blocks, uint32_t output, float acc)
{
    uint32_t row = output % TILE_ROWS, x_row = output / TILE_ROWS;
    const uint8_t *x = stage + stage_x_at<TYPE> + x_sums_at<ROWS> + 4 * x_row;
#pragma unroll 4
    for (uint32_t block = 0; block < blocks; block += PAIR_BLOCKS) {
        uint32_t pair = block / PAIR_BLOCKS;
        const uint8_t *scales = stage + pair * pair_bytes<TYPE> + pair_codes_bytes<TYPE>;
        const uint8_t *supers =
            stage + FEW_WARPS * pair_bytes<TYPE> + pair / SUPERBLOCK_PAIRS * superblock_bytes<TYPE>;
        uint2 raw = load_scales<TYPE>(scales, supers, row);
        float2 sum = sums[(pair * ROWS + x_row) * SUMS_PITCH + row];
        acc = fmaf(scale_of<TYPE>(raw, 0), sum.x, acc);
        if constexpr (code_has_offsets<TYPE>)
            acc = fmaf(offset_of<TYPE>(raw, 0),
                       *reinterpret_cast<const float *>(x + block * x_block_bytes<ROWS>), acc);
        if (block + 1 == blocks)
            break;
        acc = fmaf(scale_of<TYPE>(raw, 1), sum.y, acc);
        if constexpr (code_has_offsets<TYPE>)
            acc =
                fmaf(offset_of<TYPE>(raw, 1),
                     *reinterpret_cast<const float *>(x + (block + 1) * x_block_bytes<ROWS>), acc);
    }
    return acc;
}

/* The pipeline at the head of this file; returns the chain of this thread's output, if any. */
template <enum weight_type TYPE, uint32_t ROWS>
__device__ __forceinline__ float few_chains(const struct few_work &work, uint32_t output,
                                            uint8_t *stages, float2 *sums)
{
    constexpr uint32_t STAGES = stage_count<TYPE>;
    uint32_t chunks = (work.block_count + CHUNK_BLOCKS - 1) / CHUNK_BLOCKS;
    uint32_t buffers = min(chunks, STAGES);
    for (uint32_t chunk = 0; chunk < STAGES - 2; chunk++) {
        if (chunk < chunks)
            copy_chunk<TYPE, ROWS>(work, chunk, stages + chunk * stage_bytes<TYPE, ROWS>);
        copy_async_commit();
    }
    float acc = 0;
    for (uint32_t chunk = 0; chunk <= chunks; chunk++) {
        copy_async_wait<STAGES - 3>();
        __syncthreads();
        uint32_t next = chunk + STAGES - 2;
        if (next < chunks)
            copy_chunk<TYPE, ROWS>(work, next, stages + next % buffers * stage_bytes<TYPE, ROWS>);
        copy_async_commit();
        if (chunk * FEW_WARPS + threadIdx.x / WARP < work.pair_count)
            chunk_dots<TYPE, ROWS>(stages + chunk % buffers * stage_bytes<TYPE, ROWS>,
                                   sums + chunk % 2 * sums_count<ROWS>);
        if (chunk > 0 && output < TILE_ROWS * ROWS) {
            uint32_t last = chunk - 1;
            acc = chain_chunk<TYPE, ROWS>(stages + last % buffers * stage_bytes<TYPE, ROWS>,
                                          sums + last % 2 * sums_count<ROWS>,
                                          min(work.block_count - last * CHUNK_BLOCKS, CHUNK_BLOCKS),
                                          output, acc);
        }
    }
    return acc;
}

template <enum weight_type TYPE, uint32_t ROWS>
__global__ void __launch_bounds__(FEW_THREADS) linear_few(struct linear_batch batch)
{
    SHARED_DYNAMIC(uint8_t, shared);
    uint32_t slabs = (batch.rows + ROWS - 1) / ROWS, slab = blockIdx.x % slabs;
    uint32_t index = blockIdx.x / slabs;
    struct linear_target target = find_target(batch, 1, &index);
    struct few_work work = {target.tiles + index * batch.tile_bytes,
                            batch.x +
                                static_cast<uint64_t>(slab) * batch.block_count * ACTIVATION_BLOCK,
                            batch.superscales_offset, batch.unit_count, batch.block_count};
    uint32_t output = FEW_THREADS - 1 - threadIdx.x;
    float acc = few_chains<TYPE, ROWS>(work, output, shared + 2 * sums_count<ROWS> * sizeof(float2),
                                       reinterpret_cast<float2 *>(shared));
    uint32_t row = index * TILE_ROWS + output % TILE_ROWS;
    uint32_t x_row = slab * ROWS + output / TILE_ROWS;
    if (output < TILE_ROWS * ROWS && row < target.rows && x_row < batch.rows)
        target.out[static_cast<uint64_t>(x_row) * target.rows + row] =
            target.bias ? acc + target.bias[row] : acc;
}

template <enum weight_type TYPE, uint32_t ROWS>
static cudaError_t launch_rows(const struct linear_batch *batch, cudaStream_t stream)
{
    static_assert(ROWS == ACTIVATION_ROWS || ROWS < 5, "a slab is a tile of x, or its first rows");
    uint32_t chunks = (batch->block_count + CHUNK_BLOCKS - 1) / CHUNK_BLOCKS;
    uint32_t buffers = chunks < stage_count<TYPE> ? chunks : stage_count<TYPE>;
    uint32_t bytes = buffers * stage_bytes<TYPE, ROWS> + 2 * sums_count<ROWS> * sizeof(float2);
    if (bytes > SHARED_ASSURED) {
        cudaError_t error = cudaFuncSetAttribute(linear_few<TYPE, ROWS>,
                                                 cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                 static_cast<int>(bytes));
        if (error)
            return error;
    }
    uint32_t slabs = (batch->rows + ROWS - 1) / ROWS;
    LAUNCH((linear_few<TYPE, ROWS>), count_stretches(batch, 1) * slabs, FEW_THREADS, bytes, stream,
           *batch);
    return cudaPeekAtLastError();
}

template <enum weight_type TYPE>
static cudaError_t launch(const struct linear_batch *batch, cudaStream_t stream)
{
    if (batch->rows == 1)
        return launch_rows<TYPE, 1>(batch, stream);
    if (batch->rows <= 4)
        return launch_rows<TYPE, 4>(batch, stream);
    return launch_rows<TYPE, 8>(batch, stream);
}

cudaError_t cuda_linear_few(const struct linear_batch *batch, cudaStream_t stream)
{
    switch (batch->type) {
    case WEIGHT_Q4_0:
        return launch<WEIGHT_Q4_0>(batch, stream);
    case WEIGHT_Q4_1:
        return launch<WEIGHT_Q4_1>(batch, stream);
    case WEIGHT_Q5_0:
        return launch<WEIGHT_Q5_0>(batch, stream);
    case WEIGHT_Q5_1:
        return launch<WEIGHT_Q5_1>(batch, stream);
    case WEIGHT_Q8_0:
        return launch<WEIGHT_Q8_0>(batch, stream);
    case WEIGHT_Q4_K:
        return launch<WEIGHT_Q4_K>(batch, stream);
    case WEIGHT_Q5_K:
        return launch<WEIGHT_Q5_K>(batch, stream);
    case WEIGHT_Q6_K:
        return launch<WEIGHT_Q6_K>(batch, stream);
    default:
        return cudaErrorInvalidValue;
    }
}
