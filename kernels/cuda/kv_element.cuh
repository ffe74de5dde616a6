/* SPDX-License-Identifier: Apache-2.0 */
/* kv_element.cuh -- the numbers that a format of the KV cache gives to tensor cores. */
#ifndef WEIR_KERNELS_CUDA_KV_ELEMENT_CUH
#define WEIR_KERNELS_CUDA_KV_ELEMENT_CUH

#include "kernels/cuda/port.cuh"

#define KV_FP8_FUNCTION static __device__ __forceinline__
#include "kernels/kv_format.h"
#include "kernels/kv_fp8.h"

/* `ones`: a word of two. Queries and weights are rounded to what keys and values are. */
template <enum kv_format FORMAT> struct kv_element {
    typedef half type;
    static constexpr uint32_t ones = 0x3c003c00u;
};

template <> struct kv_element<KV_BF16> {
    typedef __nv_bfloat16 type;
    static constexpr uint32_t ones = 0x3f803f80u;
};

template <enum kv_format FORMAT>
__device__ __forceinline__ uint32_t pack_pair(float low, float high)
{
    if constexpr (FORMAT == KV_BF16) {
        __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
        return *reinterpret_cast<uint32_t *>(&pair);
    } else {
        half2 pair = __floats2half2_rn(low, high);
        return *reinterpret_cast<uint32_t *>(&pair);
    }
}

/* Four codes of KV_FP8 times their scale, exactly: two halves a word. */
__device__ __forceinline__ uint2 unpack_four(uint32_t codes, half2 scale)
{
    uint32_t words[2] = {__byte_perm(codes, 0, 0x1404), __byte_perm(codes, 0, 0x3424)};
#pragma unroll
    for (uint32_t i = 0; i < 2; i++) {
        words[i] = (words[i] & 0x80008000u) | (words[i] & 0x7f007f00u) >> 1;
        const half2 pair = __hmul2(*reinterpret_cast<half2 *>(&words[i]), scale);
        words[i] = *reinterpret_cast<const uint32_t *>(&pair);
    }
    return make_uint2(words[0], words[1]);
}

/* 16-byte aligned. */
template <enum kv_format FORMAT> __device__ __forceinline__ uint4 pack_eight(const float *from)
{
    const float4 low = *reinterpret_cast<const float4 *>(from);
    const float4 high = *reinterpret_cast<const float4 *>(from + 4);
    return make_uint4(pack_pair<FORMAT>(low.x, low.y), pack_pair<FORMAT>(low.z, low.w),
                      pack_pair<FORMAT>(high.x, high.y), pack_pair<FORMAT>(high.z, high.w));
}

#endif
