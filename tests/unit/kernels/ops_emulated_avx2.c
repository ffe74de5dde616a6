/* SPDX-License-Identifier: Apache-2.0 */
/* ops_emulated_avx2.c -- the AVX-512 level, the same source, over an emulation: SIMDe's, and here
 * what its 0.7 lacks. (The file's name has it compiled with fused multiply-add and half floats.) */
/* Values of 512 bits pass by memory here, as the emulation means them to. */
#pragma GCC diagnostic ignored "-Wpsabi"
#pragma GCC optimize("O1") /* sanitizers and -O3 together take minutes over an emulation */
#include "tests/unit/kernels/avx512_emulated.h"

#include <stdint.h>

static inline simde__m512 emulated_maskz_loadu_ps(uint16_t mask, const float *from)
{
    float lanes[16];
    for (int i = 0; i < 16; i++)
        lanes[i] = mask >> i & 1 ? from[i] : 0.0f;
    return simde_mm512_loadu_ps(lanes);
}
#define _mm512_maskz_loadu_ps emulated_maskz_loadu_ps

static inline void emulated_mask_storeu_ps(float *to, uint16_t mask, simde__m512 v)
{
    float lanes[16];
    simde_mm512_storeu_ps(lanes, v);
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1)
            to[i] = lanes[i];
}
#define _mm512_mask_storeu_ps emulated_mask_storeu_ps

static inline __m256i emulated_maskz_loadu_epi16(uint16_t mask, const uint16_t *from)
{
    uint16_t lanes[16];
    for (int i = 0; i < 16; i++)
        lanes[i] = mask >> i & 1 ? from[i] : 0;
    return _mm256_loadu_si256((const __m256i *)lanes);
}
#define _mm256_maskz_loadu_epi16 emulated_maskz_loadu_epi16

static inline __m128i emulated_maskz_loadu_epi8(uint16_t mask, const uint8_t *from)
{
    uint8_t lanes[16];
    for (int i = 0; i < 16; i++)
        lanes[i] = mask >> i & 1 ? from[i] : 0;
    return _mm_loadu_si128((const __m128i *)lanes);
}
#define _mm_maskz_loadu_epi8 emulated_maskz_loadu_epi8

static inline void emulated_mask_storeu_epi16(uint16_t *to, uint16_t mask, __m256i v)
{
    uint16_t lanes[16];
    _mm256_storeu_si256((__m256i *)lanes, v);
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1)
            to[i] = lanes[i];
}
#define _mm256_mask_storeu_epi16 emulated_mask_storeu_epi16

static inline __m256 emulated_half_ps(simde__m512 v, int half)
{
    __m256 halves[2];
    simde_mm512_storeu_ps(halves, v);
    return halves[half];
}

#undef _mm512_extractf32x8_ps
#define _mm512_extractf32x8_ps emulated_half_ps

/* Rounding to nearest is the only one used. */
static inline __m256i emulated_cvtps_ph(simde__m512 v)
{
    return _mm256_set_m128i(_mm256_cvtps_ph(emulated_half_ps(v, 1), _MM_FROUND_TO_NEAREST_INT),
                            _mm256_cvtps_ph(emulated_half_ps(v, 0), _MM_FROUND_TO_NEAREST_INT));
}
#undef _mm512_cvtps_ph
#define _mm512_cvtps_ph(v, rounding) emulated_cvtps_ph(v)

static inline simde__m512 emulated_round_ps(simde__m512 v)
{
    return emulated_join_ps(
        _mm256_round_ps(emulated_half_ps(v, 0), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
        _mm256_round_ps(emulated_half_ps(v, 1), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
#undef _mm512_roundscale_ps
#define _mm512_roundscale_ps(v, rounding) emulated_round_ps(v)

/* Neighbours changed is the only permutation used. */
static inline simde__m512 emulated_swap_pairs(simde__m512 v)
{
    return emulated_join_ps(_mm256_permute_ps(emulated_half_ps(v, 0), 0xb1),
                            _mm256_permute_ps(emulated_half_ps(v, 1), 0xb1));
}
#undef _mm512_permute_ps
#define _mm512_permute_ps(v, order) emulated_swap_pairs(v)

#define cpu_ops_avx512 cpu_ops_emulated
#include "kernels/cpu/ops_avx512.c"
