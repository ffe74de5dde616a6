/* SPDX-License-Identifier: Apache-2.0 */
/* cuda_fp16.h -- __half and __half2, C++ only. */
#ifndef WEIR_EMULATOR_CUDA_FP16_H
#define WEIR_EMULATOR_CUDA_FP16_H
#ifdef __cplusplus

#include "emulator/float16.hpp"

struct __half_raw {
    unsigned short x;
};
struct emulator_f16 {
    using raw = __half_raw;
    static float read(uint16_t bits)
    {
        return emulator_from_f16(bits);
    }
    static uint16_t write(float value)
    {
        return emulator_to_f16(value);
    }
};
using __half = emulator_float16<emulator_f16>;
using __half2 = emulator_pair16<emulator_f16>;
using half = __half;
using half2 = __half2;

static inline half __float2half(float f)
{
    return half(f);
}
static inline half __float2half_rn(float f)
{
    return half(f);
}
static inline float __half2float(half h)
{
    return h;
}
static inline half __ushort_as_half(unsigned short bits)
{
    return half::of_bits(bits);
}
static inline unsigned short __half_as_ushort(half h)
{
    return h.bits();
}
static inline half2 __float2half2_rn(float f)
{
    return half2(f, f);
}
static inline half2 __floats2half2_rn(float low, float high)
{
    return half2(low, high);
}
static inline half2 __float22half2_rn(float2 f)
{
    return half2(f.x, f.y);
}
static inline float2 __half22float2(half2 h)
{
    return make_float2(h.x, h.y);
}
static inline half2 __halves2half2(half low, half high)
{
    return half2(low, high);
}
static inline half2 __half2half2(half h)
{
    return half2(h, h);
}
static inline half __low2half(half2 h)
{
    return h.x;
}
static inline half __high2half(half2 h)
{
    return h.y;
}
static inline half2 make_half2(half low, half high)
{
    return half2(low, high);
}

#endif
#endif
