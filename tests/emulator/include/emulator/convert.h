/* SPDX-License-Identifier: Apache-2.0 */
/* convert.h -- between float and the short formats, to the nearest even, NaN and all as CUDA's own
 * headers convert on the host (tests/unit/emulator holds the two against each other).
 *
 *              sign exponent mantissa  largest     NaN made
 *     f16         1     5       10     65504       7fff
 *     bf16        1     8        7     3.39e38     7fff
 *     e4m3        1     4        3     448         7f, and no infinity: too large is 448 */
#ifndef WEIR_EMULATOR_CONVERT_H
#define WEIR_EMULATOR_CONVERT_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float emulator_float(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t emulator_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline float emulator_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = (h >> 10) & 31, mantissa = h & 1023;
    if (exponent == 31)
        return emulator_float(mantissa != 0 ? 0x7fffffff : sign | 0x7f800000);
    if (exponent != 0)
        return emulator_float(sign | (exponent + 112) << 23 | mantissa << 13);
    return emulator_float(sign | emulator_bits((float)mantissa * 0x1p-24f));
}

static inline uint16_t emulator_to_f16(float f)
{
    uint32_t bits = emulator_bits(f), sign = (bits >> 16) & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000)
        return 0x7fff;
    if (bits >= 0x477ff000) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00);
    if (bits < 0x38800000) /* below the smallest normal: a multiple of 2^-24 */
        return (uint16_t)(sign | (uint32_t)nearbyintf(emulator_float(bits) * 0x1p24f));
    bits += 0xfff + ((bits >> 13) & 1);
    return (uint16_t)(sign | (bits - 0x38000000) >> 13);
}

static inline float emulator_from_bf16(uint16_t b)
{
    return emulator_float((uint32_t)b << 16);
}

static inline uint16_t emulator_to_bf16(float f)
{
    uint32_t bits = emulator_bits(f);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return 0x7fff;
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

static inline float emulator_from_e4m3(uint8_t b)
{
    uint32_t sign = (uint32_t)(b & 0x80) << 24;
    uint32_t exponent = (b >> 3) & 15, mantissa = b & 7;
    if (exponent == 15 && mantissa == 7)
        return emulator_float(0x7fffffff);
    if (exponent != 0)
        return emulator_float(sign | (exponent + 120) << 23 | mantissa << 20);
    return emulator_float(sign | emulator_bits((float)mantissa * 0x1p-9f));
}

static inline uint8_t emulator_to_e4m3(float f)
{
    uint32_t bits = emulator_bits(f), sign = (bits >> 24) & 0x80;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000)
        return 0x7f;
    if (bits >= 0x43e00000) /* 448 */
        return (uint8_t)(sign | 0x7e);
    if (bits < 0x3c800000) /* 2^-6 */
        return (uint8_t)(sign | (uint32_t)nearbyintf(emulator_float(bits) * 0x1p9f));
    bits += 0x7ffff + ((bits >> 20) & 1);
    return (uint8_t)(sign | ((bits >> 20) - (120 << 3)));
}

/* high + low, of which low is under half a last place of high, as a float whose last bit is set
 * where it is not exact: rounding that to a shorter format rounds the sum itself. */
static inline float emulator_odd_float(double high, double low)
{
    float f = (float)high;
    double rest = (high - (double)f) + low;
    uint32_t bits = emulator_bits(f);
    if (rest == 0.0 || !(fabs(high) < 3e38) || (bits & 0x7fffffff) == 0)
        return f;
    if ((rest < 0.0) != (f < 0.0f))
        bits -= 1; /* towards zero */
    return emulator_float(bits | 1);
}

/* a b + c for values of at most 12 significant bits, ready to be rounded. */
static inline float emulator_odd_fma(float a, float b, float c)
{
    double product = (double)a * (double)b, sum = product + (double)c;
    double part = sum - product;
    double low = (product - (sum - part)) + ((double)c - part);
    return isfinite(sum) ? emulator_odd_float(sum, low) : (float)sum;
}

#endif
