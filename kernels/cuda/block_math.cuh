/* SPDX-License-Identifier: Apache-2.0 */
/* block_math.cuh -- what the BLOCK_THREADS threads of a block find out together. All of them call
 * each function, with two barriers inside, and all get the answer. */
#ifndef WEIR_KERNELS_CUDA_BLOCK_MATH_CUH
#define WEIR_KERNELS_CUDA_BLOCK_MATH_CUH

#include "kernels/cuda/port.cuh"

#define BLOCK_THREADS 256u
#define BLOCK_WARPS   (BLOCK_THREADS / WARP)

template <typename T> __device__ __forceinline__ T largest_of(T a, T b)
{
    return a > b ? a : b;
}

template <typename T> __device__ T block_largest(T value)
{
    SHARED_ARRAY(T, warps, [BLOCK_WARPS]);
    for (int width = WARP / 2; width > 0; width /= 2)
        value = largest_of(value, __shfl_xor_sync(WARP_ALL, value, width));
    if (threadIdx.x % WARP == 0)
        warps[threadIdx.x / WARP] = value;
    __syncthreads();
    value = warps[0];
    for (uint32_t w = 1; w < BLOCK_WARPS; w++)
        value = largest_of(value, warps[w]);
    __syncthreads();
    return value;
}

/* In an order that is the same for every thread and every time. */
template <typename T> __device__ T block_sum(T value)
{
    SHARED_ARRAY(T, warps, [BLOCK_WARPS]);
    for (int width = WARP / 2; width > 0; width /= 2)
        value += __shfl_xor_sync(WARP_ALL, value, width);
    if (threadIdx.x % WARP == 0)
        warps[threadIdx.x / WARP] = value;
    __syncthreads();
    value = warps[0];
    for (uint32_t w = 1; w < BLOCK_WARPS; w++)
        value += warps[w];
    __syncthreads();
    return value;
}

/* The sum of the values of the threads before this one; and of all. */
__device__ __forceinline__ uint32_t block_sum_before(uint32_t value, uint32_t *ret_sum)
{
    SHARED_ARRAY(uint32_t, warps, [BLOCK_WARPS]);
    const uint32_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    uint32_t through = value;
    for (uint32_t width = 1; width < WARP; width *= 2) {
        uint32_t other = __shfl_up_sync(WARP_ALL, through, width);
        if (lane >= width)
            through += other;
    }
    if (lane == WARP - 1)
        warps[warp] = through;
    __syncthreads();
    uint32_t before = through - value, sum = 0;
    for (uint32_t w = 0; w < BLOCK_WARPS; w++) {
        if (w < warp)
            before += warps[w];
        sum += warps[w];
    }
    __syncthreads();
    *ret_sum = sum;
    return before;
}

#endif
