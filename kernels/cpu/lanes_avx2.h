/* SPDX-License-Identifier: Apache-2.0 */
/* lanes_avx2.h -- sixteen floats in two AVX registers. lanes_scalar.h says what each must give. */
#ifndef WEIR_KERNELS_CPU_LANES_H
#define WEIR_KERNELS_CPU_LANES_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define LANES 16u

struct lanes {
    __m256 low, high;
};

static inline struct lanes lanes_set(float value)
{
    return (struct lanes){_mm256_set1_ps(value), _mm256_set1_ps(value)};
}

static inline struct lanes lanes_load(const float *from, uint64_t count)
{
    float part[LANES] = {0};
    if (count < LANES) {
        memcpy(part, from, count * sizeof *from);
        from = part;
    }
    return (struct lanes){_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)};
}

static inline void lanes_store(float *to, struct lanes a, uint64_t count)
{
    float part[LANES];
    float *at = count < LANES ? part : to;
    _mm256_storeu_ps(at, a.low);
    _mm256_storeu_ps(at + 8, a.high);
    if (count < LANES)
        memcpy(to, part, count * sizeof *to);
}

static inline struct lanes lanes_load_half(const uint16_t *from, uint64_t count)
{
    uint16_t part[LANES] = {0};
    if (count < LANES) {
        memcpy(part, from, count * sizeof *from);
        from = part;
    }
    return (struct lanes){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)from)),
                          _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from + 8)))};
}

static inline void lanes_store_half(uint16_t *to, struct lanes a, uint64_t count)
{
    uint16_t part[LANES];
    uint16_t *at = count < LANES ? part : to;
    _mm_storeu_si128((__m128i *)at, _mm256_cvtps_ph(a.low, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)(at + 8), _mm256_cvtps_ph(a.high, _MM_FROUND_TO_NEAREST_INT));
    if (count < LANES)
        memcpy(to, part, count * sizeof *to);
}

static inline __m256 widen_bf16_8(const uint16_t *from)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)from));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

static inline struct lanes lanes_load_bf16(const uint16_t *from, uint64_t count)
{
    uint16_t part[LANES] = {0};
    if (count < LANES) {
        memcpy(part, from, count * sizeof *from);
        from = part;
    }
    return (struct lanes){widen_bf16_8(from), widen_bf16_8(from + 8)};
}

static inline struct lanes lanes_load_fp8(const uint8_t *from, uint64_t count)
{
    uint8_t part[LANES] = {0};
    if (count < LANES) {
        memcpy(part, from, count);
        from = part;
    }
    __m256i codes = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)from));
    __m256i halves = _mm256_and_si256(_mm256_srai_epi16(_mm256_slli_epi16(codes, 8), 1),
                                      _mm256_set1_epi16((short)0xbf80));
    return (struct lanes){_mm256_cvtph_ps(_mm256_castsi256_si128(halves)),
                          _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1))};
}

static inline struct lanes lanes_add(struct lanes a, struct lanes b)
{
    return (struct lanes){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}

static inline struct lanes lanes_mul(struct lanes a, struct lanes b)
{
    return (struct lanes){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}

static inline struct lanes lanes_div(struct lanes a, struct lanes b)
{
    return (struct lanes){_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}

static inline struct lanes lanes_fma(struct lanes a, struct lanes b, struct lanes c)
{
    return (struct lanes){_mm256_fmadd_ps(a.low, b.low, c.low),
                          _mm256_fmadd_ps(a.high, b.high, c.high)};
}

static inline struct lanes lanes_max(struct lanes a, struct lanes b)
{
    return (struct lanes){_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}

static inline struct lanes lanes_min(struct lanes a, struct lanes b)
{
    return (struct lanes){_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}

static inline struct lanes lanes_round(struct lanes a)
{
    return (struct lanes){_mm256_round_ps(a.low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                          _mm256_round_ps(a.high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

static inline __m256 exp2_integer_8(__m256 n)
{
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}

static inline struct lanes lanes_exp2_integer(struct lanes n)
{
    return (struct lanes){exp2_integer_8(n.low), exp2_integer_8(n.high)};
}

static inline struct lanes lanes_zero_below(struct lanes a, struct lanes x, float limit)
{
    __m256 bound = _mm256_set1_ps(limit);
    return (struct lanes){_mm256_andnot_ps(_mm256_cmp_ps(x.low, bound, _CMP_LT_OQ), a.low),
                          _mm256_andnot_ps(_mm256_cmp_ps(x.high, bound, _CMP_LT_OQ), a.high)};
}

static inline struct lanes lanes_swap_pairs(struct lanes a)
{
    return (struct lanes){_mm256_permute_ps(a.low, 0xb1), /* 1, 0, 3, 2 */
                          _mm256_permute_ps(a.high, 0xb1)};
}

static inline float lanes_sum(struct lanes a)
{
    __m256 eight = _mm256_add_ps(a.low, a.high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline float lanes_largest(struct lanes a)
{
    __m256 eight = _mm256_max_ps(a.low, a.high);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

#endif
