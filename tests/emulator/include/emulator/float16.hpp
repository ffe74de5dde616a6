/* SPDX-License-Identifier: Apache-2.0 */
/* float16.hpp -- a 16-bit float and a pair of them: what __half and __nv_bfloat16 share.
 *
 * Arithmetic is in float and rounded once: 24 bits are enough for sums, products, quotients and
 * roots of 11. Functions are friends, so that they are found by their arguments and convert them
 * as CUDA's do. */
#ifndef WEIR_EMULATOR_FLOAT16_HPP
#define WEIR_EMULATOR_FLOAT16_HPP

#include "convert.h"
#include "types.h"

#include <type_traits>

/* Format has static float read(uint16_t), static uint16_t write(float), and a struct raw. */
template <class Format> class EMULATOR_ALIGNED(2) emulator_float16
{
    unsigned short __x;

  public:
    using self = emulator_float16;
    emulator_float16() = default;
    emulator_float16(float f) : __x(Format::write(f))
    {
    }
    template <class T,
              std::enable_if_t<std::is_arithmetic_v<T> && !std::is_same_v<T, float>, int> = 0>
    emulator_float16(T value) : __x(Format::write(emulator_odd_float((double)value, 0.0)))
    {
    }
    emulator_float16(typename Format::raw raw) : __x(raw.x)
    {
    }
    operator float() const
    {
        return Format::read(__x);
    }
    unsigned short bits() const
    {
        return __x;
    }
    static self of_bits(unsigned bits)
    {
        self value;
        value.__x = (unsigned short)bits;
        return value;
    }

    friend self operator+(self a, self b)
    {
        return self((float)a + (float)b);
    }
    friend self operator-(self a, self b)
    {
        return self((float)a - (float)b);
    }
    friend self operator*(self a, self b)
    {
        return self((float)a * (float)b);
    }
    friend self operator/(self a, self b)
    {
        return self((float)a / (float)b);
    }
    friend self operator-(self a)
    {
        return of_bits(a.__x ^ 0x8000u);
    }
    self &operator+=(self b)
    {
        return *this = *this + b;
    }
    self &operator-=(self b)
    {
        return *this = *this - b;
    }
    self &operator*=(self b)
    {
        return *this = *this * b;
    }
    self &operator/=(self b)
    {
        return *this = *this / b;
    }

#define EMULATOR_COMPARE(symbol, name)                                                             \
    friend bool operator symbol(self a, self b)                                                    \
    {                                                                                              \
        return (float)a symbol(float) b;                                                           \
    }                                                                                              \
    friend bool name(self a, self b)                                                               \
    {                                                                                              \
        return (float)a symbol(float) b;                                                           \
    }
    EMULATOR_COMPARE(<, __hlt)
    EMULATOR_COMPARE(<=, __hle)
    EMULATOR_COMPARE(>, __hgt)
    EMULATOR_COMPARE(>=, __hge)
    EMULATOR_COMPARE(==, __heq)
    EMULATOR_COMPARE(!=, __hne)
#undef EMULATOR_COMPARE

    friend self __hadd(self a, self b)
    {
        return a + b;
    }
    friend self __hsub(self a, self b)
    {
        return a - b;
    }
    friend self __hmul(self a, self b)
    {
        return a * b;
    }
    friend self __hdiv(self a, self b)
    {
        return a / b;
    }
    friend self __hneg(self a)
    {
        return -a;
    }
    friend self __habs(self a)
    {
        return of_bits(a.__x & 0x7fffu);
    }
    friend bool __hisnan(self a)
    {
        return (float)a != (float)a;
    }
    friend self __hfma(self a, self b, self c)
    {
        return of_bits(Format::write(emulator_odd_fma(a, b, c)));
    }
    /* The number where one is NaN; +0 is above -0. */
    friend self __hmax(self a, self b)
    {
        if (__hisnan(a))
            return __hisnan(b) ? of_bits(0x7fff) : b;
        return __hisnan(b) || (float)a > (float)b || (a == b && !(a.__x & 0x8000)) ? a : b;
    }
    friend self __hmin(self a, self b)
    {
        if (__hisnan(a))
            return __hisnan(b) ? of_bits(0x7fff) : b;
        return __hisnan(b) || (float)a < (float)b || (a == b && (a.__x & 0x8000)) ? a : b;
    }
};

template <class Format> struct EMULATOR_ALIGNED(4) emulator_pair16 {
    using one = emulator_float16<Format>;
    using self = emulator_pair16;
    one x, y;

    emulator_pair16() = default;
    emulator_pair16(one low, one high) : x(low), y(high)
    {
    }

#define EMULATOR_EACH(name)                                                                        \
    friend self name##2(self a, self b)                                                            \
    {                                                                                              \
        return self(name(a.x, b.x), name(a.y, b.y));                                               \
    }
    EMULATOR_EACH(__hadd)
    EMULATOR_EACH(__hsub)
    EMULATOR_EACH(__hmul)
    EMULATOR_EACH(__hmax)
    EMULATOR_EACH(__hmin)
#undef EMULATOR_EACH
    friend self __h2div(self a, self b)
    {
        return self(a.x / b.x, a.y / b.y);
    }
    friend self __hfma2(self a, self b, self c)
    {
        return self(__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y));
    }
    friend self __hneg2(self a)
    {
        return self(-a.x, -a.y);
    }
    friend float __low2float(self a)
    {
        return a.x;
    }
    friend float __high2float(self a)
    {
        return a.y;
    }
};

#endif
