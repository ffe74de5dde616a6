/* SPDX-License-Identifier: Apache-2.0 */
/* avx512_emulated.h -- the 512-bit intrinsics that linear_avx512.c uses, on a processor with AVX2:
 * SIMDe's, and the conversions that its 0.7 lacks, made of two halves of 256 bits. */
#ifndef WEIR_TESTS_AVX512_EMULATED_H
#define WEIR_TESTS_AVX512_EMULATED_H

/* 512-bit values go in and out of static functions of one file: there is no ABI to warn about. */
#pragma GCC diagnostic ignored "-Wpsabi"

#include <immintrin.h> /* before its names are taken over: the source's own #include adds nothing */

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

static inline simde__m512 emulated_join_ps(__m256 low, __m256 high)
{
    return simde_mm512_insertf32x8(simde_mm512_castps256_ps512(low), high, 1);
}

static inline simde__m512i emulated_join(__m256i low, __m256i high)
{
    return simde_mm512_inserti64x4(simde_mm512_castsi256_si512(low), high, 1);
}

static inline __m256i emulated_half(simde__m512i v, int half)
{
    __m256i halves[2];
    simde_mm512_storeu_si512(halves, v);
    return halves[half];
}

static inline simde__m512 emulated_cvtph_ps(__m256i v)
{
    return emulated_join_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(v)),
                            _mm256_cvtph_ps(_mm256_extracti128_si256(v, 1)));
}
#define _mm512_cvtph_ps emulated_cvtph_ps

static inline simde__m512 emulated_cvtepi32_ps(simde__m512i v)
{
    return emulated_join_ps(_mm256_cvtepi32_ps(emulated_half(v, 0)),
                            _mm256_cvtepi32_ps(emulated_half(v, 1)));
}
#define _mm512_cvtepi32_ps emulated_cvtepi32_ps

static inline simde__m512i emulated_cvtps_epi32(simde__m512 v)
{
    __m256 halves[2];
    simde_mm512_storeu_ps(halves, v);
    return emulated_join(_mm256_cvtps_epi32(halves[0]), _mm256_cvtps_epi32(halves[1]));
}
#define _mm512_cvtps_epi32 emulated_cvtps_epi32

static inline simde__m512i emulated_cvtepu8_epi32(__m128i v)
{
    return emulated_join(_mm256_cvtepu8_epi32(v), _mm256_cvtepu8_epi32(_mm_srli_si128(v, 8)));
}
#define _mm512_cvtepu8_epi32 emulated_cvtepu8_epi32

static inline simde__m512i emulated_cvtepi8_epi32(__m128i v)
{
    return emulated_join(_mm256_cvtepi8_epi32(v), _mm256_cvtepi8_epi32(_mm_srli_si128(v, 8)));
}
#define _mm512_cvtepi8_epi32 emulated_cvtepi8_epi32

static inline simde__m512i emulated_cvtepu16_epi32(__m256i v)
{
    return emulated_join(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(v)),
                         _mm256_cvtepu16_epi32(_mm256_extracti128_si256(v, 1)));
}
#define _mm512_cvtepu16_epi32 emulated_cvtepu16_epi32

static inline int emulated_reduce_max_epi32(simde__m512i v)
{
    int lanes[16], most;
    simde_mm512_storeu_si512(lanes, v);
    most = lanes[0];
    for (int i = 1; i < 16; i++)
        most = lanes[i] > most ? lanes[i] : most;
    return most;
}
#define _mm512_reduce_max_epi32 emulated_reduce_max_epi32

static inline int emulated_reduce_add_epi32(simde__m512i v)
{
    int lanes[16], sum = 0;
    simde_mm512_storeu_si512(lanes, v);
    for (int i = 0; i < 16; i++)
        sum += lanes[i];
    return sum;
}
#define _mm512_reduce_add_epi32 emulated_reduce_add_epi32

#endif
