/* SPDX-License-Identifier: Apache-2.0 */
/* rope.cu -- rotary positions (Su et al. 2021), both pairings.
 *
 * A thread has one or two pairs of a row and turns them in up to HEADS heads, so that cosine and
 * sine, some forty instructions, are made once for four heads and every head's load is on its way
 * before the first is wanted. A pair is 16 bytes there and back, a cycle of what memory lends a
 * multiprocessor, for some twenty of the 128 instructions that it does in one.
 *
 *     NORM   | a0 b0 a1 b1 |                    two pairs are one vector of 16 bytes
 *     NEOX   | a0 a1 ... | b0 b1 ... |          two pairs are 8 bytes at either half
 *
 * A row has its own blocks, as many as its heads and pairs fill: one row of 32 heads of 128 is 256
 * threads. */
#include "kernels/cuda/ops.h"

#include "kernels/cuda/lane_math.cuh"
#include "kernels/cuda/vector_move.cuh"

#define THREADS_MAX 128u
#define HEADS       4u /* that one thread turns */

struct turn {
    float cosine, sine;
};

/* The roundings are the CPU's: x cos + partner * signed sin, the product with the sine fused. */
__device__ __forceinline__ void rotate(float *a, float *b, struct turn turn)
{
    float left = fmaf(*b, -turn.sine, *a * turn.cosine);
    *b = fmaf(*a, turn.sine, *b * turn.cosine);
    *a = left;
}

/* As (a0, b0, a1, b1); one pair is the first two. */
template <uint32_t PAIRS, enum rope_style STYLE>
__device__ __forceinline__ float4 load_pairs(const float *x, uint32_t pair, uint32_t middle)
{
    if (PAIRS == 2 && STYLE == ROPE_NORM)
        return *reinterpret_cast<const float4 *>(x + 2 * pair);
    if (PAIRS == 2) {
        float2 a = *reinterpret_cast<const float2 *>(x + pair);
        float2 b = *reinterpret_cast<const float2 *>(x + middle + pair);
        return make_float4(a.x, b.x, a.y, b.y);
    }
    if (STYLE == ROPE_NORM)
        return make_float4(x[2 * pair], x[2 * pair + 1], 0.0f, 0.0f);
    return make_float4(x[pair], x[middle + pair], 0.0f, 0.0f);
}

template <uint32_t PAIRS, enum rope_style STYLE>
__device__ __forceinline__ void store_pairs(float *x, uint32_t pair, uint32_t middle, float4 turned)
{
    if (PAIRS == 2 && STYLE == ROPE_NORM) {
        *reinterpret_cast<float4 *>(x + 2 * pair) = turned;
    } else if (PAIRS == 2) {
        *reinterpret_cast<float2 *>(x + pair) = make_float2(turned.x, turned.z);
        *reinterpret_cast<float2 *>(x + middle + pair) = make_float2(turned.y, turned.w);
    } else {
        x[STYLE == ROPE_NORM ? 2 * pair : pair] = turned.x;
        x[STYLE == ROPE_NORM ? 2 * pair + 1 : middle + pair] = turned.y;
    }
}

template <uint32_t PAIRS, enum rope_style STYLE>
__global__ void __launch_bounds__(THREADS_MAX) rope_rows(struct rope_args args)
{
    const uint32_t middle = args.rotary_dims / 2, groups = middle / PAIRS;
    const uint32_t index = blockIdx.y * blockDim.x + threadIdx.x, row = blockIdx.x;
    const uint32_t pair = index % groups * PAIRS, first_head = index / groups * HEADS;
    if (first_head >= args.heads)
        return;
    const float position = static_cast<float>(args.positions[row]);
    struct turn turns[PAIRS];
#pragma unroll
    for (uint32_t i = 0; i < PAIRS; i++) {
        cosine_sine(position * args.frequencies[pair + i], &turns[i].cosine, &turns[i].sine);
        turns[i].cosine *= args.magnitude;
        turns[i].sine *= args.magnitude;
    }
    float *x = args.x + (static_cast<size_t>(row) * args.heads + first_head) * args.head_dim;
    const uint32_t heads = min(HEADS, args.heads - first_head);
    float4 values[HEADS]; /* all on their way before the first is turned */
#pragma unroll
    for (uint32_t head = 0; head < HEADS; head++)
        if (head < heads)
            values[head] = load_pairs<PAIRS, STYLE>(x + head * args.head_dim, pair, middle);
#pragma unroll
    for (uint32_t head = 0; head < HEADS; head++) {
        if (head >= heads)
            break;
        rotate(&values[head].x, &values[head].y, turns[0]);
        if (PAIRS == 2)
            rotate(&values[head].z, &values[head].w, turns[PAIRS - 1]);
        store_pairs<PAIRS, STYLE>(x + head * args.head_dim, pair, middle, values[head]);
    }
}

template <uint32_t PAIRS>
static cudaError_t launch(const struct rope_args *args, cudaStream_t stream)
{
    const uint32_t work = args->rotary_dims / 2 / PAIRS * ((args->heads + HEADS - 1) / HEADS);
    const uint32_t warps = (work + WARP - 1) / WARP;
    const uint32_t threads = warps * WARP < THREADS_MAX ? warps * WARP : THREADS_MAX;
    const dim3 grid(args->rows, (work + threads - 1) / threads), block(threads);
    if (args->style == ROPE_NORM)
        LAUNCH((rope_rows<PAIRS, ROPE_NORM>), grid, block, 0, stream, *args);
    else
        LAUNCH((rope_rows<PAIRS, ROPE_NEOX>), grid, block, 0, stream, *args);
    return cudaGetLastError();
}

extern "C" cudaError_t cuda_rope(const struct rope_args *args, cudaStream_t stream)
{
    if (args->rows == 0 || args->heads == 0 || args->rotary_dims < 2)
        return cudaSuccess;
    bool even = args->rotary_dims % 4 == 0 && args->head_dim % VECTOR_FLOATS == 0;
    return even && vector_aligned(args->x) ? launch<2>(args, stream) : launch<1>(args, stream);
}
