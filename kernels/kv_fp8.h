/* SPDX-License-Identifier: Apache-2.0 */
/* kv_fp8.h -- numbers of eight bits and the scale that they share, the same bits on every device.
 *
 *     slice      | codes: KV_BLOCK_TOKENS x head_dim bytes | scales: KV_BLOCK_TOKENS halves |
 *     code       sign, 4 bits of exponent, 3 of significand: e4m3 (Micikevicius et al. 2022)
 *     number     e4m3(code) / 256 * scale, or: the code's bits as those of a half, times the scale
 *
 * A token has a scale for K and one for V in each KV head: the least power of two by which the
 * largest of these head_dim numbers comes to no more than 1.75, e4m3's 448. It is found from the
 * token alone, for a token's bits may not depend on who was written beside it, nor on when. A
 * scale a head, measured once, would do that too, but it has to be measured for each model, and
 * what comes to pass it is cut off. A power of two costs nothing: codes float, so that another
 * scale would make none of them finer; and with it numbers are exact: between 2^-7 and 2^15 a
 * code's half times the scale is a half, which tensor cores take as it is.
 *
 * A number is off by at most 2^-4 of itself, or 2^-18 of the scale where that is more. A number
 * past 57344, or none at all, makes the scale NaN, and one of K makes that of V NaN too: a softmax
 * may pass over a key, but whatever weighs NaN shows it. e4m3's own NaN, 0x7f, is never written. */
#ifndef WEIR_KERNELS_KV_FP8_H
#define WEIR_KERNELS_KV_FP8_H

#include <stdint.h>
#include <string.h>

#ifndef KV_FP8_FUNCTION
#define KV_FP8_FUNCTION static inline
#endif

#define KV_FP8_LARGEST      0x47600000u /* bits of 57344.0f, 1.75 * 2^15 */
#define KV_FP8_EXPONENT_MIN 120u        /* of a float: 2^-7 */
#define KV_FP8_NONE         0u          /* in place of an exponent */

/* Bits of |x|, which are in its order; infinity, then NaN above all. */
KV_FP8_FUNCTION uint32_t kv_fp8_size(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffffu;
}

/* The scale's exponent, as a float has it, by the largest size; or KV_FP8_NONE. Adding carries into
 * the exponent where the significand is above 1.75. */
KV_FP8_FUNCTION uint32_t kv_fp8_exponent(uint32_t largest)
{
    const uint32_t exponent = (largest + 0x1fffffu) >> 23;
    if (largest > KV_FP8_LARGEST)
        return KV_FP8_NONE;
    return exponent < KV_FP8_EXPONENT_MIN ? KV_FP8_EXPONENT_MIN : exponent;
}

/* The scale as a half. */
KV_FP8_FUNCTION uint16_t kv_fp8_scale(uint32_t exponent)
{
    return (uint16_t)(exponent == KV_FP8_NONE ? 0x7e00u : (exponent - 112u) << 10);
}

/* 1 / scale; 0 for KV_FP8_NONE. */
KV_FP8_FUNCTION float kv_fp8_inverse(uint32_t exponent)
{
    const uint32_t bits = exponent == KV_FP8_NONE ? 0u : (254u - exponent) << 23;
    float inverse;
    memcpy(&inverse, &bits, sizeof inverse);
    return inverse;
}

/* To nearest, ties to even, which carries from 7 below 2^-14 to 8, the code of 2^-14. Adding 64
 * leaves a count of 2^-17 in the low bits. */
KV_FP8_FUNCTION uint8_t kv_fp8_code(float x, float inverse)
{
    const float scaled = x * inverse;
    uint32_t bits, counted;
    memcpy(&bits, &scaled, sizeof bits);
    const uint32_t size = inverse == 0.0f ? 0u : bits & 0x7fffffffu;
    float sum;
    memcpy(&sum, &size, sizeof sum);
    sum += 64.0f;
    memcpy(&counted, &sum, sizeof counted);
    const uint32_t small = counted - 0x42800000u;
    const uint32_t normal = ((size + 0x7ffffu + (size >> 20 & 1u)) >> 20) - (112u << 3);
    return (uint8_t)((size < 0x38800000u ? small : normal) | (bits >> 24 & 0x80u));
}

/* A code's half, before the scale. */
KV_FP8_FUNCTION uint16_t kv_fp8_half(uint8_t code)
{
    return (uint16_t)((code & 0x80u) << 8 | (code & 0x7fu) << 7);
}

#endif
