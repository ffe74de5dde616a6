/* SPDX-License-Identifier: Apache-2.0 */
/* math.hpp -- intrinsics of one thread. Where a device only approximates (__expf, rsqrtf, __frcp_*
 * but for the rounded ones), the machine's own function stands in. */
#ifndef WEIR_EMULATOR_MATH_HPP
#define WEIR_EMULATOR_MATH_HPP

#include "convert.h"
#include "types.h"

#include <math.h>
#include <stdint.h>
#include <type_traits>

/* CUDA has these for any two numbers. */
template <class A, class B,
          std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>, int> = 0>
static inline std::common_type_t<A, B> min(A a, B b)
{
    std::common_type_t<A, B> x = a, y = b;
    return y < x || x != x ? y : x;
}
template <class A, class B,
          std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>, int> = 0>
static inline std::common_type_t<A, B> max(A a, B b)
{
    std::common_type_t<A, B> x = a, y = b;
    return x < y || x != x ? y : x;
}

template <class T> static inline T __ldg(const T *address)
{
    return *address;
}
template <class T> static inline T __ldcs(const T *address)
{
    return *address;
}
template <class T> static inline T __ldcg(const T *address)
{
    return *address;
}
template <class T> static inline void __stcs(T *address, std::common_type_t<T> value)
{
    *address = value;
}
template <class T> static inline void __stcg(T *address, std::common_type_t<T> value)
{
    *address = value;
}

/* The C library declares these names itself. */
#define __expf   expf
#define __exp10f exp10f
#define __logf   logf
#define __log2f  log2f
#define __sinf   sinf
#define __cosf   cosf
#define __powf   powf

#define EMULATOR_FLOAT1(name, expression)                                                          \
    static inline float name(float a)                                                              \
    {                                                                                              \
        return expression;                                                                         \
    }
#define EMULATOR_FLOAT2(name, expression)                                                          \
    static inline float name(float a, float b)                                                     \
    {                                                                                              \
        return expression;                                                                         \
    }
EMULATOR_FLOAT1(rsqrtf, 1.0f / sqrtf(a))
EMULATOR_FLOAT1(__frsqrt_rn, (float)(1.0 / sqrt((double)a)))
EMULATOR_FLOAT1(__fsqrt_rn, sqrtf(a))
EMULATOR_FLOAT1(__frcp_rn, 1.0f / a)
EMULATOR_FLOAT1(__saturatef, a > 0.0f ? (a < 1.0f ? a : 1.0f) : 0.0f)
EMULATOR_FLOAT2(__fadd_rn, a + b)
EMULATOR_FLOAT2(__fsub_rn, a - b)
EMULATOR_FLOAT2(__fmul_rn, a *b)
EMULATOR_FLOAT2(__fdiv_rn, a / b)
EMULATOR_FLOAT2(__fdividef, a / b)
static inline float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}

#define EMULATOR_BITS(name, result, type, expression)                                              \
    static inline result name(type a)                                                              \
    {                                                                                              \
        return (result)(expression);                                                               \
    }
EMULATOR_BITS(__float_as_uint, unsigned, float, emulator_bits(a))
EMULATOR_BITS(__float_as_int, int, float, emulator_bits(a))
EMULATOR_BITS(__uint_as_float, float, unsigned, emulator_float(a))
EMULATOR_BITS(__int_as_float, float, int, emulator_float((uint32_t)a))
EMULATOR_BITS(__int2float_rn, float, int, a)
EMULATOR_BITS(__uint2float_rn, float, unsigned, a)
EMULATOR_BITS(__popc, int, unsigned, __builtin_popcount(a))
EMULATOR_BITS(__popcll, int, unsigned long long, __builtin_popcountll(a))
EMULATOR_BITS(__clz, int, int, a == 0 ? 32 : __builtin_clz((unsigned)a))
EMULATOR_BITS(__clzll, int, long long, a == 0 ? 64 : __builtin_clzll((unsigned long long)a))
EMULATOR_BITS(__ffs, int, int, __builtin_ffs(a))
EMULATOR_BITS(__ffsll, int, long long, __builtin_ffsll(a))

/* Out of range: the nearest there is; NaN: 0. */
template <class T> static inline T emulator_to_integer(float rounded, float low, float high)
{
    if (rounded != rounded)
        return 0;
    if (rounded >= high)
        return (T) ~(T)0 > 0 ? (T)0xffffffffu : (T)0x7fffffff;
    return rounded <= low ? (T)low : (T)rounded;
}
#define EMULATOR_TO_INTEGER(suffix, function)                                                      \
    static inline int __float2int_##suffix(float f)                                                \
    {                                                                                              \
        return emulator_to_integer<int>(function(f), -2147483648.0f, 2147483648.0f);               \
    }                                                                                              \
    static inline unsigned __float2uint_##suffix(float f)                                          \
    {                                                                                              \
        return emulator_to_integer<unsigned>(function(f), 0.0f, 4294967296.0f);                    \
    }
EMULATOR_TO_INTEGER(rn, nearbyintf)
EMULATOR_TO_INTEGER(rz, truncf)
EMULATOR_TO_INTEGER(rd, floorf)
EMULATOR_TO_INTEGER(ru, ceilf)

static inline unsigned __brev(unsigned bits)
{
    unsigned turned = 0;
    for (int i = 0; i < 32; i++)
        turned |= ((bits >> i) & 1) << (31 - i);
    return turned;
}
static inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((uint64_t)a * b >> 32);
}
static inline int __mulhi(int a, int b)
{
    return (int)((int64_t)a * b >> 32);
}
static inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift)
{
    return (unsigned)(((uint64_t)high << 32 | low) << (shift & 31) >> 32);
}
static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift)
{
    return (unsigned)(((uint64_t)high << 32 | low) >> (shift & 31));
}

/* Four bytes of eight; bit 3 of a selector asks for the byte's sign instead. */
static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selectors)
{
    uint64_t bytes = (uint64_t)b << 32 | a;
    unsigned result = 0;
    for (int i = 0; i < 4; i++) {
        unsigned selector = selectors >> 4 * i;
        unsigned byte = (unsigned)(bytes >> 8 * (selector & 7)) & 255;
        if (selector & 8)
            byte = byte & 128 ? 255 : 0;
        result |= byte << 8 * i;
    }
    return result;
}

/* The four products of bytes, and c. A, B: signed char or unsigned char. */
template <class A, class B, class C> static inline C emulator_dot(unsigned a, unsigned b, C c)
{
    unsigned sum = (unsigned)c;
    for (int i = 0; i < 32; i += 8)
        sum += (unsigned)((int)(A)(a >> i) * (int)(B)(b >> i));
    return (C)sum;
}
static inline int __dp4a(int a, int b, int c)
{
    return emulator_dot<signed char, signed char>((unsigned)a, (unsigned)b, c);
}
static inline unsigned __dp4a(unsigned a, unsigned b, unsigned c)
{
    return emulator_dot<unsigned char, unsigned char>(a, b, c);
}

#define EMULATOR_BYTES(name, type, expression)                                                     \
    static inline unsigned name(unsigned va, unsigned vb)                                          \
    {                                                                                              \
        unsigned result = 0;                                                                       \
        for (int i = 0; i < 32; i += 8) {                                                          \
            int a = (type)(va >> i), b = (type)(vb >> i);                                          \
            result |= ((unsigned)(expression)&255u) << i;                                          \
        }                                                                                          \
        return result;                                                                             \
    }
EMULATOR_BYTES(__vadd4, unsigned char, a + b)
EMULATOR_BYTES(__vsub4, unsigned char, a - b)
EMULATOR_BYTES(__vsubss4, signed char, a - b > 127 ? 127 : a - b < -128 ? -128 : a - b)
EMULATOR_BYTES(__vaddss4, signed char, a + b > 127 ? 127 : a + b < -128 ? -128 : a + b)
EMULATOR_BYTES(__vmaxs4, signed char, a > b ? a : b)
EMULATOR_BYTES(__vmins4, signed char, a < b ? a : b)
EMULATOR_BYTES(__vcmpeq4, unsigned char, a == b ? 255 : 0)
EMULATOR_BYTES(__vcmpne4, unsigned char, a != b ? 255 : 0)

#endif
