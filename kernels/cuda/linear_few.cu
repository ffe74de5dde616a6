/* SPDX-License-Identifier: Apache-2.0 */
/* linear_few.cu -- quantised matrices times a few rows: a decode step.
 *
 * The weight is read once, so memory is the bound (half a byte to a byte a multiplication), and
 * all is about enough bytes on their way and few instructions on each: at 3.35 TB/s an H100's SM
 * gets the 576 bytes of a pair of 4-bit blocks every 38 cycles, in which its schedulers start 150
 * instructions. Yet the law (kernels/cpu/linear_level.h) wants, for each output, one
 * chain of float operations over all blocks in ascending order. Its integers are free of order, and
 * most of the work. So a block of threads takes one tile of 16 rows, and cuts the columns into
 * chunks of 8 or 16 pairs of blocks, one or two a warp:
 *
 *     iteration c     cp.async            8 warps                     16 * ROWS threads
 *                     brings chunk c + D  dots of chunk c, scaled by  chains of chunk c - 1:
 *                                         x's scales: sum_b           acc = fma(scale, sum, acc)
 *                                              |                           |
 *     shared memory   [stage c + D]       [stage c] -> [sums c % 2]   [sums (c - 1) % 2, stage c-1]
 *
 * with one barrier an iteration, D = STAGES - 2. A chain is 4 to 8 cycles a block, while its bytes
 * take 20 to arrive; it belongs to the last threads, whose warps are idle where columns are few.
 * The compiler makes some 90 instructions a pair of all this at one row.
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
#define SUMS_PITCH     20u
#define SHARED_ASSURED 49152u  /* bytes; more must be asked for */
#define SHARED_MOST    101376u /* on every target */

/* Pairs of a chunk that a warp takes: two, where shared memory has the room, so that an iteration's
 * other instructions are spread over more. */
template <uint32_t ROWS> constexpr uint32_t warp_pairs = ROWS == 1 ? 2 : 1;
template <uint32_t ROWS> constexpr uint32_t chunk_pairs = (warp_pairs<ROWS> * FEW_WARPS);
template <uint32_t ROWS> constexpr uint32_t chunk_blocks = (chunk_pairs<ROWS> * PAIR_BLOCKS);
template <uint32_t ROWS> constexpr uint32_t chunk_supers = chunk_pairs<ROWS> / SUPERBLOCK_PAIRS;

/* A stage: the chunk's pairs, their superscales, and its blocks of ROWS rows of x, where codes,
 * scales and sums follow each other as in activation_layout.h but for ROWS rows. */
template <uint32_t ROWS> constexpr uint32_t x_scales_at = (ROWS * BLOCK_COLUMNS);
template <uint32_t ROWS> constexpr uint32_t x_sums_at = x_scales_at<ROWS> + (ROWS + 1) / 2 * 16;
template <uint32_t ROWS> constexpr uint32_t x_block_bytes = x_sums_at<ROWS> + (ROWS + 3) / 4 * 16;
template <enum weight_type TYPE, uint32_t ROWS>
constexpr uint32_t stage_supers_at = (pair_bytes<TYPE> * chunk_pairs<ROWS>);
template <enum weight_type TYPE, uint32_t ROWS>
constexpr uint32_t stage_x_at = stage_supers_at<TYPE, ROWS> +
                                (superblock_bytes<TYPE> * chunk_supers<ROWS>);
template <enum weight_type TYPE, uint32_t ROWS>
constexpr uint32_t stage_bytes = stage_x_at<TYPE, ROWS> +
                                 (x_block_bytes<ROWS> * chunk_blocks<ROWS>);
/* As many as leave at least two blocks of threads an SM, and one on the smallest. */
template <enum weight_type TYPE, uint32_t ROWS>
constexpr uint32_t stage_count = ROWS == 1 || code_bits<TYPE> > 5 ? 4 : 6;
template <uint32_t ROWS>
constexpr uint32_t sums_count = (chunk_pairs<ROWS> * ROWS * SUMS_PITCH); /* float2 */

/* What of the columns has yet to be brought to shared memory. */
struct few_columns {
    const uint8_t *pairs, *supers, *x; /* of the next chunk */
    uint32_t pair_count, block_count;  /* from there on */
};

/* At most MOST bytes, a multiple of 16. */
template <uint32_t MOST>
__device__ __forceinline__ void copy_bytes(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
#pragma unroll
    for (uint32_t first = 0; first < MOST; first += FEW_THREADS * 16) {
        uint32_t at = first + threadIdx.x * 16;
        if (at < bytes)
            copy_async16(to + at, from + at, true);
    }
}

/* Of each block of x, its first ROWS rows. */
template <uint32_t ROWS>
__device__ __forceinline__ void copy_x(uint8_t *to, const uint8_t *from, uint32_t blocks)
{
    constexpr uint32_t CODES = 2 * ROWS, SCALES = (ROWS + 1) / 2, SUMS = (ROWS + 3) / 4;
    constexpr uint32_t PIECES = CODES + SCALES + SUMS;
#pragma unroll
    for (uint32_t first = 0; first < chunk_blocks<ROWS> * PIECES; first += FEW_THREADS) {
        uint32_t i = first + threadIdx.x, piece = i % PIECES, at = piece * 16;
        if (piece >= CODES)
            at += ACTIVATION_SCALES - CODES * 16;
        if (piece >= CODES + SCALES)
            at += ACTIVATION_SUMS - ACTIVATION_SCALES - SCALES * 16;
        if (i < blocks * PIECES)
            copy_async16(to + i * 16, from + i / PIECES * ACTIVATION_BLOCK + at, true);
    }
}

/* Where nothing is left, nothing is copied. */
template <enum weight_type TYPE, uint32_t ROWS>
__device__ __forceinline__ void copy_chunk(struct few_columns &left, uint8_t *stage)
{
    constexpr uint32_t BYTES = stage_supers_at<TYPE, ROWS>;
    constexpr uint32_t SUPERS = superblock_bytes<TYPE> * chunk_supers<ROWS>;
    uint32_t pairs = min(left.pair_count, chunk_pairs<ROWS>),
             blocks = min(left.block_count, chunk_blocks<ROWS>);
    copy_bytes<BYTES>(stage, left.pairs, pairs * pair_bytes<TYPE>);
    if constexpr (SUPERS != 0)
        copy_bytes<SUPERS>(stage + BYTES, left.supers,
                           (pairs + SUPERBLOCK_PAIRS - 1) / SUPERBLOCK_PAIRS *
                               superblock_bytes<TYPE>);
    copy_x<ROWS>(stage + stage_x_at<TYPE, ROWS>, left.x, blocks);
    left.pairs += BYTES;
    left.supers += SUPERS;
    left.x += chunk_blocks<ROWS> * ACTIVATION_BLOCK;
    left.pair_count -= pairs;
    left.block_count -= blocks;
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

/* One pair. Its second block may be past the row's end: what comes of it is not read. */
template <enum weight_type TYPE, uint32_t ROWS>
__device__ __forceinline__ void pair_dots(const uint8_t *stage, uint32_t pair, float2 *sums)
{
    uint32_t lane = threadIdx.x % WARP;
    const uint8_t *from = stage + pair * pair_bytes<TYPE>;
    const uint8_t *x = stage + stage_x_at<TYPE, ROWS> + pair * PAIR_BLOCKS * x_block_bytes<ROWS>;
    pair_codes<TYPE> codes = load_codes<TYPE>(from, lane);
    uint2 scales[2] = {make_uint2(0, 0), make_uint2(0, 0)};
    if constexpr (code_scaling<TYPE> == QUANT_SCALING_SPLIT)
        for (uint32_t upper = 0; upper < 2; upper++)
            scales[upper].x = reinterpret_cast<const uint32_t *>(
                from + pair_codes_bytes<TYPE>)[lane / 4 + 8 * upper];
    float2 *to = sums + pair * ROWS * SUMS_PITCH;
    pair_sums<TYPE, ROWS, 0>(codes, scales, x, to);
    if constexpr (ROWS > 4)
        pair_sums<TYPE, ROWS, 1>(codes, scales, x, to);
}

/* One output's chain through a pair of blocks, or the first of them. */
template <enum weight_type TYPE, uint32_t ROWS>
__device__ __forceinline__ float chain_pair(const uint8_t *stage, const float2 *sums, uint32_t pair,
                                            uint32_t output, bool whole, float acc)
{
    uint32_t row = output % TILE_ROWS, x_row = output / TILE_ROWS;
    const uint8_t *scales = stage + pair * pair_bytes<TYPE> + pair_codes_bytes<TYPE>;
    const uint8_t *supers =
        stage + stage_supers_at<TYPE, ROWS> + pair / SUPERBLOCK_PAIRS * superblock_bytes<TYPE>;
    const uint8_t *x = stage + stage_x_at<TYPE, ROWS> + pair * PAIR_BLOCKS * x_block_bytes<ROWS> +
                       x_sums_at<ROWS> + 4 * x_row;
    uint2 raw = load_scales<TYPE>(scales, supers, row);
    float2 sum = sums[(pair * ROWS + x_row) * SUMS_PITCH + row];
    acc = fmaf(scale_of<TYPE>(raw, 0), sum.x, acc);
    if constexpr (code_has_offsets<TYPE>)
        acc = fmaf(offset_of<TYPE>(raw, 0), *reinterpret_cast<const float *>(x), acc);
    if (!whole)
        return acc;
    acc = fmaf(scale_of<TYPE>(raw, 1), sum.y, acc);
    if constexpr (code_has_offsets<TYPE>)
        acc = fmaf(offset_of<TYPE>(raw, 1),
                   *reinterpret_cast<const float *>(x + x_block_bytes<ROWS>), acc);
    return acc;
}

/* Through a chunk: of all its blocks without a branch, so that loads run ahead of the chain. */
template <enum weight_type TYPE, uint32_t ROWS>
__device__ __forceinline__ float chain_chunk(const uint8_t *stage, const float2 *sums,
                                             uint32_t blocks, uint32_t output, float acc)
{
    if (blocks >= chunk_blocks<ROWS>) {
#pragma unroll
        for (uint32_t pair = 0; pair < chunk_pairs<ROWS>; pair++)
            acc = chain_pair<TYPE, ROWS>(stage, sums, pair, output, true, acc);
        return acc;
    }
#pragma unroll 1
    for (uint32_t pair = 0; pair * PAIR_BLOCKS < blocks; pair++)
        acc =
            chain_pair<TYPE, ROWS>(stage, sums, pair, output, pair * PAIR_BLOCKS + 1 < blocks, acc);
    return acc;
}

/* The pipeline at the head of this file; returns the chain of this thread's output, if any. Stages
 * are named by their offsets: chunk c's to come, its dots', its predecessor's chains'. */
template <enum weight_type TYPE, uint32_t ROWS>
__device__ __forceinline__ float few_chains(struct few_columns left, uint32_t output,
                                            uint8_t *stages, float2 *sums)
{
    constexpr uint32_t STAGES = stage_count<TYPE, ROWS>, BYTES = stage_bytes<TYPE, ROWS>;
    uint32_t blocks = left.block_count;
    uint32_t chunks = (blocks + chunk_blocks<ROWS> - 1) / chunk_blocks<ROWS>;
    uint32_t end = min(chunks, STAGES) * BYTES, coming = 0, at = 0, last = 0;
#pragma unroll 1
    for (; coming < (STAGES - 2) * BYTES; coming += BYTES) {
        copy_chunk<TYPE, ROWS>(left, stages + coming);
        copy_async_commit();
    }
    float acc = 0;
    uint32_t warp = threadIdx.x / WARP;
    int32_t pairs = static_cast<int32_t>(blocks + 1) / PAIR_BLOCKS;
#pragma unroll 1
    for (uint32_t chunk = 0; chunk <= chunks; chunk++, pairs -= chunk_pairs<ROWS>) {
        copy_async_wait<STAGES - 3>();
        __syncthreads();
        copy_chunk<TYPE, ROWS>(left, stages + coming);
        copy_async_commit();
        coming = coming + BYTES == end ? 0 : coming + BYTES;
#pragma unroll
        for (uint32_t i = 0; i < warp_pairs<ROWS>; i++)
            if (static_cast<int32_t>(i * FEW_WARPS + warp) < pairs)
                pair_dots<TYPE, ROWS>(stages + at, i * FEW_WARPS + warp,
                                      sums + chunk % 2 * sums_count<ROWS>);
        if (chunk > 0 && output < TILE_ROWS * ROWS) {
            acc = chain_chunk<TYPE, ROWS>(stages + last, sums + (chunk + 1) % 2 * sums_count<ROWS>,
                                          blocks, output, acc);
            blocks -= chunk_blocks<ROWS>;
        }
        last = at;
        at = at + BYTES == end ? 0 : at + BYTES;
    }
    return acc;
}

template <enum weight_type TYPE, uint32_t ROWS>
__global__ void __launch_bounds__(FEW_THREADS) linear_few(struct linear_batch batch)
{
    SHARED_DYNAMIC(uint8_t, shared);
    uint32_t slabs = count_slabs(batch, ROWS), index = blockIdx.x / slabs;
    struct linear_slab slab = find_slab(batch, blockIdx.x % slabs, ROWS);
    if (slab.rows == 0)
        return;
    struct linear_target target = find_target(batch, 1, &index);
    const uint8_t *tile = tiles_of(batch, target, slab) + index * batch.tile_bytes;
    struct few_columns columns = {tile, tile + batch.superscales_offset,
                                  batch.x + static_cast<uint64_t>(slab.x_tile) * batch.block_count *
                                                ACTIVATION_BLOCK,
                                  batch.unit_count, batch.block_count};
    uint32_t output = FEW_THREADS - 1 - threadIdx.x;
    float acc =
        few_chains<TYPE, ROWS>(columns, output, shared + 2 * sums_count<ROWS> * sizeof(float2),
                               reinterpret_cast<float2 *>(shared));
    uint32_t row = index * TILE_ROWS + output % TILE_ROWS;
    uint32_t x_row = output / TILE_ROWS; /* of the slab, which has ROWS at most */
    if (row < target.rows && x_row < slab.rows)
        target.out[static_cast<uint64_t>(slab.first + x_row) * target.rows + row] =
            target.bias ? acc + target.bias[row] : acc;
}

template <enum weight_type TYPE, uint32_t ROWS>
static cudaError_t launch_rows(const struct linear_batch *batch, cudaStream_t stream)
{
    static_assert(ROWS == ACTIVATION_ROWS || ROWS < 5, "a slab is a tile of x, or its first rows");
    constexpr uint32_t STAGES = stage_count<TYPE, ROWS>, SUMS = 2 * sums_count<ROWS> * 8;
    static_assert(STAGES * stage_bytes<TYPE, ROWS> + SUMS <= SHARED_MOST, "fewer stages");
    uint32_t chunks = (batch->block_count + chunk_blocks<ROWS> - 1) / chunk_blocks<ROWS>;
    uint32_t bytes = (chunks < STAGES ? chunks : STAGES) * stage_bytes<TYPE, ROWS> + SUMS;
    if (bytes > SHARED_ASSURED) {
        cudaError_t error = cudaFuncSetAttribute(linear_few<TYPE, ROWS>,
                                                 cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                 static_cast<int>(bytes));
        if (error)
            return error;
    }
    uint32_t slabs = count_slabs(*batch, ROWS);
    LAUNCH((linear_few<TYPE, ROWS>), count_stretches(batch, 1) * slabs, FEW_THREADS, bytes, stream,
           *batch);
    return cudaPeekAtLastError();
}

/* An expert has each row once at most, so a slab is no larger than the batch. */
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
    RETURN_LAUNCH(batch->type, launch, batch, stream)
    return cudaErrorInvalidValue;
}
