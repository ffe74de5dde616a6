/* SPDX-License-Identifier: Apache-2.0 */
/* moe.cu -- each row's experts, each expert's rows, and the sum of what experts say.
 *
 * Routing: a warp a row. Scores stay where they are (a row of 256 is a kilobyte, in L1 after the
 * first look); a round finds the highest key below the last one's, top_k rounds of some two hundred
 * cycles. Weights are the CPU's: one lane each, the sum over all experts in its sixteen lanes.
 *
 * Grouping: a stable counting sort without atomics, a block of threads an expert. Each counts the
 * entries of the experts before its own, which is where it begins, and then places its own in order
 * by prefix sums. All blocks read all entries: 256 experts times 8,192 rows of 8 are 64 MiB out of
 * L2, some 20 us of a prefill that then multiplies for milliseconds; a decode's are one tile.
 * Then products' slabs (moe_linear.c), a block of threads an expert again: where its own begin it
 * learns from where all places begin.
 *
 * The sum: a thread four columns of a row, its experts in order of rank as on the CPU. */
#include "kernels/cuda/ops.h"

#include "kernels/cuda/block_math.cuh"
#include "kernels/cuda/lane_math.cuh"
#include "kernels/cuda/linear_kernels.h"
#include "kernels/cuda/vector_move.cuh"

#define DRAW_FUNCTION static __device__ __forceinline__
#include "kernels/cpu/moe.h"

#define ROUTE_WARPS 4u

__device__ __forceinline__ float weight_of(float score, float highest)
{
    return lanes_exp({score + -highest}).lane;
}

/* Lane r ends with the expert of rank r. */
__device__ static uint32_t choose_experts(const float *scores, uint32_t experts, uint32_t top_k)
{
    uint64_t last = UINT64_MAX;
    uint32_t mine = 0;
    for (uint32_t rank = 0; rank < top_k; rank++) {
        uint64_t best = 0;
        for (uint32_t expert = threadIdx.x; expert < experts; expert += WARP) {
            uint64_t key = moe_key(scores[expert], expert);
            best = key < last && key > best ? key : best;
        }
        for (int width = WARP / 2; width > 0; width /= 2)
            best = largest_of(best, __shfl_xor_sync(WARP_ALL, best, width));
        mine = rank == threadIdx.x ? draw_key_token(best) : mine;
        last = best;
    }
    return mine;
}

/* Both halves of the warp make weights; sixteen lanes add the lower half's, then the upper's. */
__device__ __forceinline__ float weight_of_all(const float *scores, float highest, uint32_t experts)
{
    float sum = 0.0f;
    for (uint32_t first = 0; first < experts; first += WARP) {
        const uint32_t expert = first + threadIdx.x;
        const float weight = expert < experts ? weight_of(scores[expert], highest) : 0.0f;
        sum += weight;
        sum += __shfl_xor_sync(WARP_ALL, weight, static_cast<int>(LANES));
    }
    return __shfl_sync(WARP_ALL, warp_lanes_sum(sum), 0);
}

static __global__ void __launch_bounds__(WARP *ROUTE_WARPS) route_rows(struct moe_route_args args)
{
    const uint32_t row = blockIdx.x * ROUTE_WARPS + threadIdx.y, rank = threadIdx.x;
    if (row >= args.rows)
        return; /* a whole warp */
    const float *scores = args.scores + static_cast<size_t>(row) * args.experts;
    const uint32_t expert = choose_experts(scores, args.experts, args.top_k);
    const float score = scores[expert], highest = __shfl_sync(WARP_ALL, score, 0);
    const float weight = weight_of(score, highest);
    float total = 0.0f;
    if (args.renormalise)
        for (uint32_t r = 0; r < args.top_k; r++)
            total += __shfl_sync(WARP_ALL, weight, static_cast<int>(r));
    else
        total = weight_of_all(scores, highest, args.experts);
    if (rank >= args.top_k)
        return;
    args.chosen[static_cast<size_t>(row) * args.top_k + rank] = expert;
    args.weights[static_cast<size_t>(row) * args.top_k + rank] = weight / total * args.scale;
}

static __global__ void __launch_bounds__(BLOCK_THREADS) group_entries(struct moe_route_args args)
{
    const uint32_t entries = args.rows * args.top_k, expert = blockIdx.x;
    uint32_t before = 0;
    for (uint32_t entry = threadIdx.x; entry < entries; entry += BLOCK_THREADS)
        before += args.chosen[entry] < expert;
    uint32_t place = block_sum(before);
    if (threadIdx.x == 0) {
        args.expert_begins[expert] = place;
        if (expert == args.experts - 1)
            args.expert_begins[args.experts] = entries;
    }
    for (uint32_t first = 0; first < entries; first += BLOCK_THREADS) {
        const uint32_t entry = first + threadIdx.x;
        const bool ours = entry < entries && args.chosen[entry] == expert;
        uint32_t found, at = place + block_sum_before(ours, &found);
        if (ours) {
            args.order[at] = entry;
            args.places[entry] = at;
        }
        place += found;
    }
}

extern "C" cudaError_t cuda_moe_route(const struct moe_route_args *args, cudaStream_t stream)
{
    if (args->rows == 0)
        return cudaSuccess;
    const dim3 rows((args->rows + ROUTE_WARPS - 1) / ROUTE_WARPS), warps(WARP, ROUTE_WARPS);
    LAUNCH((route_rows), rows, warps, 0, stream, *args);
    LAUNCH((group_entries), dim3(args->experts), dim3(BLOCK_THREADS), 0, stream, *args);
    return cudaGetLastError();
}

__device__ __forceinline__ uint32_t parts_of(uint32_t rows, uint32_t each)
{
    return (rows + each - 1) / each;
}

/* Slabs and prepared rows past the last expert's are marked as none by the last block. */
static __global__ void __launch_bounds__(BLOCK_THREADS)
    group_rows(struct linear_groups groups, const uint32_t *begins)
{
    const uint32_t expert = blockIdx.x, begin = begins[expert], rows = begins[expert + 1] - begin;
    uint32_t slab = 0, tile = 0;
    for (uint32_t e = threadIdx.x; e < expert; e += BLOCK_THREADS) {
        const uint32_t before = begins[e + 1] - begins[e];
        slab += parts_of(before, groups.slab_rows);
        tile += parts_of(before, ACTIVATION_ROWS);
    }
    slab = block_sum(slab);
    tile = block_sum(tile);
    const bool last = expert == gridDim.x - 1;
    const uint32_t slab_end = last ? groups.slab_count : slab + parts_of(rows, groups.slab_rows);
    for (uint32_t i = threadIdx.x; i < slab_end - slab; i += BLOCK_THREADS) {
        const uint32_t first = min(i * groups.slab_rows, rows);
        groups.slabs[slab + i] = {expert, begin + first, min(groups.slab_rows, rows - first),
                                  tile + first / ACTIVATION_ROWS};
    }
    const uint32_t tile_end = last ? groups.x_tiles : tile + parts_of(rows, ACTIVATION_ROWS);
    for (uint32_t i = threadIdx.x; i < (tile_end - tile) * ACTIVATION_ROWS; i += BLOCK_THREADS)
        groups.places[tile * ACTIVATION_ROWS + i] = i < rows ? begin + i : NO_PLACE;
}

cudaError_t cuda_group_rows(const struct linear_groups *groups, const uint32_t *begins,
                            uint32_t experts, cudaStream_t stream)
{
    LAUNCH((group_rows), dim3(experts), dim3(BLOCK_THREADS), 0, stream, *groups, begins);
    return cudaGetLastError();
}

__device__ __forceinline__ float4 all4(float value)
{
    return make_float4(value, value, value, value);
}

template <bool VECTOR>
static __global__ void __launch_bounds__(BLOCK_THREADS) combine_rows(struct moe_combine_args args)
{
    const uint32_t i = (blockIdx.y * BLOCK_THREADS + threadIdx.x) * VECTOR_FLOATS;
    const uint32_t row = blockIdx.x;
    if (i >= args.width)
        return;
    const uint32_t left = args.width - i;
    float4 sum = make_float4(0, 0, 0, 0);
    for (uint32_t entry = row * args.top_k; entry < (row + 1) * args.top_k; entry++) {
        const float *x = args.x + static_cast<size_t>(args.places[entry]) * args.width + i;
        sum = fma4(all4(args.weights[entry]), load4<VECTOR>(x, left), sum);
    }
    const size_t at = static_cast<size_t>(row) * args.width + i;
    if (args.shared) {
        const float share =
            args.shared_scores ? lanes_logistic({args.shared_scores[row]}).lane : 1.0f;
        sum = fma4(all4(share), load4<VECTOR>(args.shared + at, left), sum);
    }
    store4<VECTOR>(args.out + at, sum, left);
}

extern "C" cudaError_t cuda_moe_combine(const struct moe_combine_args *args, cudaStream_t stream)
{
    if (args->rows == 0)
        return cudaSuccess;
    const dim3 grid(args->rows, (args->width - 1) / (BLOCK_THREADS * VECTOR_FLOATS) + 1);
    const dim3 block(BLOCK_THREADS);
    if (args->width % VECTOR_FLOATS == 0 && vector_aligned(args->x) && vector_aligned(args->out) &&
        (!args->shared || vector_aligned(args->shared)))
        LAUNCH((combine_rows<true>), grid, block, 0, stream, *args);
    else
        LAUNCH((combine_rows<false>), grid, block, 0, stream, *args);
    return cudaGetLastError();
}
