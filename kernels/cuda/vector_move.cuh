/* SPDX-License-Identifier: Apache-2.0 */
/* vector_move.cuh -- four floats between registers and memory: 16 bytes at once where the addresses
 * allow it, which the launch has found out, else one by one. */
#ifndef WEIR_KERNELS_CUDA_VECTOR_MOVE_CUH
#define WEIR_KERNELS_CUDA_VECTOR_MOVE_CUH

#include "kernels/cuda/port.cuh"

#define VECTOR_FLOATS 4u

/* Host: whether `address` may be moved 16 bytes at a time. NULL may. */
static inline bool vector_aligned(const void *address)
{
    return reinterpret_cast<uintptr_t>(address) % (VECTOR_FLOATS * sizeof(float)) == 0;
}

/* `count` of what begins here are in memory; the rest read as 0. */
template <bool VECTOR> __device__ __forceinline__ float4 load4(const float *from, uint64_t count)
{
    if (VECTOR && count >= VECTOR_FLOATS)
        return *reinterpret_cast<const float4 *>(from);
    float4 out = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (count > 0)
        out.x = from[0];
    if (count > 1)
        out.y = from[1];
    if (count > 2)
        out.z = from[2];
    if (count > 3)
        out.w = from[3];
    return out;
}

template <bool VECTOR> __device__ __forceinline__ void store4(float *to, float4 a, uint64_t count)
{
    if (VECTOR && count >= VECTOR_FLOATS) {
        *reinterpret_cast<float4 *>(to) = a;
        return;
    }
    if (count > 0)
        to[0] = a.x;
    if (count > 1)
        to[1] = a.y;
    if (count > 2)
        to[2] = a.z;
    if (count > 3)
        to[3] = a.w;
}

__device__ __forceinline__ float4 add4(float4 a, float4 b)
{
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

__device__ __forceinline__ float4 mul4(float4 a, float4 b)
{
    return make_float4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w);
}

__device__ __forceinline__ float4 fma4(float4 a, float4 b, float4 c)
{
    return make_float4(fmaf(a.x, b.x, c.x), fmaf(a.y, b.y, c.y), fmaf(a.z, b.z, c.z),
                       fmaf(a.w, b.w, c.w));
}

#endif
