/* SPDX-License-Identifier: Apache-2.0 */
/* elementwise.cu -- sums, gated activations and gathered rows: bound by memory, 16 bytes a thread.
 *
 * A gated activation is some fifty instructions an element (e^x and a rounded division) for its 12
 * bytes. A multiprocessor is lent about 15 bytes a cycle and does 128 instructions in it, so the
 * bytes take twice as long as the arithmetic; more than one vector a thread gains nothing, for
 * 2,048 threads with two loads each have 64 KiB on their way. */
#include "kernels/cuda/ops.h"

#include "kernels/cuda/lane_math.cuh"
#include "kernels/cuda/vector_move.cuh"

#define THREADS        256u
#define BLOCK_ELEMENTS (THREADS * VECTOR_FLOATS)

static uint32_t blocks_for(uint64_t count)
{
    return static_cast<uint32_t>((count + BLOCK_ELEMENTS - 1) / BLOCK_ELEMENTS);
}

__device__ __forceinline__ uint64_t first_element()
{
    return (static_cast<uint64_t>(blockIdx.x) * THREADS + threadIdx.x) * VECTOR_FLOATS;
}

template <bool VECTOR> __global__ void __launch_bounds__(THREADS) add_elements(struct add_args args)
{
    const uint64_t i = first_element();
    if (i >= args.count)
        return;
    const uint64_t left = args.count - i;
    float4 x = load4<VECTOR>(args.x + i, left), residual = load4<VECTOR>(args.residual + i, left);
    store4<VECTOR>(args.x + i, add4(x, residual), left);
}

extern "C" cudaError_t cuda_add(const struct add_args *args, cudaStream_t stream)
{
    if (args->count == 0)
        return cudaSuccess;
    const dim3 grid(blocks_for(args->count)), block(THREADS);
    if (vector_aligned(args->x) && vector_aligned(args->residual))
        LAUNCH((add_elements<true>), grid, block, 0, stream, *args);
    else
        LAUNCH((add_elements<false>), grid, block, 0, stream, *args);
    return cudaGetLastError();
}

template <bool VECTOR, enum activation ACTIVATION>
__global__ void __launch_bounds__(THREADS) gate_elements(struct gated_args args)
{
    const uint64_t i = first_element();
    if (i >= args.count)
        return;
    const uint64_t left = args.count - i;
    float4 gate = load4<VECTOR>(args.gate + i, left), up = load4<VECTOR>(args.up + i, left);
    gate.x = lanes_activate({gate.x}, ACTIVATION).lane;
    gate.y = lanes_activate({gate.y}, ACTIVATION).lane;
    gate.z = lanes_activate({gate.z}, ACTIVATION).lane;
    gate.w = lanes_activate({gate.w}, ACTIVATION).lane;
    store4<VECTOR>(args.out + i, mul4(gate, up), left);
}

template <bool VECTOR>
static void launch_gated(const struct gated_args *args, dim3 grid, cudaStream_t stream)
{
    const dim3 block(THREADS);
    if (args->activation == ACTIVATION_SILU)
        LAUNCH((gate_elements<VECTOR, ACTIVATION_SILU>), grid, block, 0, stream, *args);
    else
        LAUNCH((gate_elements<VECTOR, ACTIVATION_GELU_TANH>), grid, block, 0, stream, *args);
}

extern "C" cudaError_t cuda_gated(const struct gated_args *args, cudaStream_t stream)
{
    if (args->count == 0)
        return cudaSuccess;
    const dim3 grid(blocks_for(args->count));
    if (vector_aligned(args->gate) && vector_aligned(args->up) && vector_aligned(args->out))
        launch_gated<true>(args, grid, stream);
    else
        launch_gated<false>(args, grid, stream);
    return cudaGetLastError();
}

template <bool VECTOR>
__global__ void __launch_bounds__(THREADS) gather_rows(struct gather_args args)
{
    const uint32_t i = (blockIdx.y * THREADS + threadIdx.x) * VECTOR_FLOATS;
    if (i >= args.width)
        return;
    const float *from = args.x + static_cast<size_t>(args.rows[blockIdx.x]) * args.width;
    float *to = args.out + static_cast<size_t>(blockIdx.x) * args.width;
    store4<VECTOR>(to + i, load4<VECTOR>(from + i, args.width - i), args.width - i);
}

extern "C" cudaError_t cuda_gather(const struct gather_args *args, cudaStream_t stream)
{
    if (args->count == 0 || args->width == 0)
        return cudaSuccess;
    const dim3 grid(args->count, blocks_for(args->width)), block(THREADS);
    if (args->width % VECTOR_FLOATS == 0 && vector_aligned(args->x) && vector_aligned(args->out))
        LAUNCH((gather_rows<true>), grid, block, 0, stream, *args);
    else
        LAUNCH((gather_rows<false>), grid, block, 0, stream, *args);
    return cudaGetLastError();
}
