/* SPDX-License-Identifier: Apache-2.0 */
/* lanes_avx512.h -- sixteen floats in one register. lanes_scalar.h says what each must give. */
#ifndef WEIR_KERNELS_CPU_LANES_H
#define WEIR_KERNELS_CPU_LANES_H

#include <immintrin.h>
#include <stdint.h>

#define LANES 16u

struct lanes {
    __m512 all;
};

static inline __mmask16 lanes_mask(uint64_t count)
{
    return count >= LANES ? (__mmask16)0xffff : (__mmask16)((1u << count) - 1);
}

static inline struct lanes lanes_set(float value)
{
    return (struct lanes){_mm512_set1_ps(value)};
}

static inline struct lanes lanes_load(const float *from, uint64_t count)
{
    if (count >= LANES)
        return (struct lanes){_mm512_loadu_ps(from)};
    return (struct lanes){_mm512_maskz_loadu_ps(lanes_mask(count), from)};
}

static inline void lanes_store(float *to, struct lanes a, uint64_t count)
{
    if (count >= LANES)
        _mm512_storeu_ps(to, a.all);
    else
        _mm512_mask_storeu_ps(to, lanes_mask(count), a.all);
}

static inline struct lanes lanes_load_half(const uint16_t *from, uint64_t count)
{
    __m256i halves = count >= LANES ? _mm256_loadu_si256((const __m256i *)from)
                                    : _mm256_maskz_loadu_epi16(lanes_mask(count), from);
    return (struct lanes){_mm512_cvtph_ps(halves)};
}

static inline void lanes_store_half(uint16_t *to, struct lanes a, uint64_t count)
{
    __m256i halves = _mm512_cvtps_ph(a.all, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    if (count >= LANES)
        _mm256_storeu_si256((__m256i *)to, halves);
    else
        _mm256_mask_storeu_epi16(to, lanes_mask(count), halves);
}

static inline struct lanes lanes_load_bf16(const uint16_t *from, uint64_t count)
{
    __m256i shorts = count >= LANES ? _mm256_loadu_si256((const __m256i *)from)
                                    : _mm256_maskz_loadu_epi16(lanes_mask(count), from);
    __m512i wide = _mm512_slli_epi32(_mm512_cvtepu16_epi32(shorts), 16);
    return (struct lanes){_mm512_castsi512_ps(wide)};
}

static inline struct lanes lanes_load_fp8(const uint8_t *from, uint64_t count)
{
    __m128i bytes = count >= LANES ? _mm_loadu_si128((const __m128i *)from)
                                   : _mm_maskz_loadu_epi8(lanes_mask(count), from);
    __m256i codes = _mm256_cvtepu8_epi16(bytes);
    __m256i halves = _mm256_and_si256(_mm256_srai_epi16(_mm256_slli_epi16(codes, 8), 1),
                                      _mm256_set1_epi16((short)0xbf80));
    return (struct lanes){_mm512_cvtph_ps(halves)};
}

static inline struct lanes lanes_add(struct lanes a, struct lanes b)
{
    return (struct lanes){_mm512_add_ps(a.all, b.all)};
}

static inline struct lanes lanes_mul(struct lanes a, struct lanes b)
{
    return (struct lanes){_mm512_mul_ps(a.all, b.all)};
}

static inline struct lanes lanes_div(struct lanes a, struct lanes b)
{
    return (struct lanes){_mm512_div_ps(a.all, b.all)};
}

static inline struct lanes lanes_fma(struct lanes a, struct lanes b, struct lanes c)
{
    return (struct lanes){_mm512_fmadd_ps(a.all, b.all, c.all)};
}

static inline struct lanes lanes_max(struct lanes a, struct lanes b)
{
    return (struct lanes){_mm512_max_ps(a.all, b.all)};
}

static inline struct lanes lanes_min(struct lanes a, struct lanes b)
{
    return (struct lanes){_mm512_min_ps(a.all, b.all)};
}

static inline struct lanes lanes_round(struct lanes a)
{
    return (struct lanes){
        _mm512_roundscale_ps(a.all, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

static inline struct lanes lanes_exp2_integer(struct lanes n)
{
    __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n.all), _mm512_set1_epi32(127));
    return (struct lanes){_mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23))};
}

static inline struct lanes lanes_zero_below(struct lanes a, struct lanes x, float limit)
{
    __mmask16 keep = _mm512_cmp_ps_mask(x.all, _mm512_set1_ps(limit), _CMP_NLT_UQ);
    return (struct lanes){_mm512_maskz_mov_ps(keep, a.all)};
}

static inline struct lanes lanes_swap_pairs(struct lanes a)
{
    return (struct lanes){_mm512_permute_ps(a.all, 0xb1)}; /* 1, 0, 3, 2 */
}

static inline float lanes_sum(struct lanes a)
{
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.all), _mm512_extractf32x8_ps(a.all, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline float lanes_largest(struct lanes a)
{
    __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a.all), _mm512_extractf32x8_ps(a.all, 1));
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

#endif
