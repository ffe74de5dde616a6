/* SPDX-License-Identifier: Apache-2.0 */
/* cuda_bf16.h -- __nv_bfloat16 and __nv_bfloat162, C++ only. */
#ifndef WEIR_EMULATOR_CUDA_BF16_H
#define WEIR_EMULATOR_CUDA_BF16_H
#ifdef __cplusplus

#include "emulator/float16.hpp"

struct __nv_bfloat16_raw {
    unsigned short x;
};
struct emulator_bf16 {
    using raw = __nv_bfloat16_raw;
    static float read(uint16_t bits)
    {
        return emulator_from_bf16(bits);
    }
    static uint16_t write(float value)
    {
        return emulator_to_bf16(value);
    }
};
using __nv_bfloat16 = emulator_float16<emulator_bf16>;
using __nv_bfloat162 = emulator_pair16<emulator_bf16>;
using nv_bfloat16 = __nv_bfloat16;
using nv_bfloat162 = __nv_bfloat162;

static inline nv_bfloat16 __float2bfloat16(float f)
{
    return nv_bfloat16(f);
}
static inline nv_bfloat16 __float2bfloat16_rn(float f)
{
    return nv_bfloat16(f);
}
static inline float __bfloat162float(nv_bfloat16 h)
{
    return h;
}
static inline nv_bfloat16 __ushort_as_bfloat16(unsigned short bits)
{
    return nv_bfloat16::of_bits(bits);
}
static inline unsigned short __bfloat16_as_ushort(nv_bfloat16 h)
{
    return h.bits();
}
static inline nv_bfloat162 __float2bfloat162_rn(float f)
{
    return nv_bfloat162(f, f);
}
static inline nv_bfloat162 __floats2bfloat162_rn(float low, float high)
{
    return nv_bfloat162(low, high);
}
static inline nv_bfloat162 __float22bfloat162_rn(float2 f)
{
    return nv_bfloat162(f.x, f.y);
}
static inline float2 __bfloat1622float2(nv_bfloat162 h)
{
    return make_float2(h.x, h.y);
}
static inline nv_bfloat162 __halves2bfloat162(nv_bfloat16 low, nv_bfloat16 high)
{
    return nv_bfloat162(low, high);
}
static inline nv_bfloat162 __bfloat162bfloat162(nv_bfloat16 h)
{
    return nv_bfloat162(h, h);
}
static inline nv_bfloat16 __low2bfloat16(nv_bfloat162 h)
{
    return h.x;
}
static inline nv_bfloat16 __high2bfloat16(nv_bfloat162 h)
{
    return h.y;
}
static inline nv_bfloat162 make_bfloat162(nv_bfloat16 low, nv_bfloat16 high)
{
    return nv_bfloat162(low, high);
}

#endif
#endif
