/* SPDX-License-Identifier: Apache-2.0 */
/* sketch_join_avx2.c -- the greater of two registers, and what the lesser adds to its two bits.
 *
 * Let d be how many ranks the lesser is below the greater. What it adds depends on d and on its
 * own two bits alone: with d = 0 the bits themselves; with d = 1 its rank is the greater's k-1,
 * and its k-1 the greater's k-2; with d = 2 its rank is k-2; with more, nothing. A table of 16
 * bytes, looked up by pshufb. An empty register has d >= 3 as long as p >= 4. */
#include "policy/users/sketch_join.h"

#include <immintrin.h>

void registers_join_avx2(uint8_t *into, const uint8_t *from, size_t count)
{
    const __m256i added =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 3, 2, 2, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0));
    const __m256i low_bits = _mm256_set1_epi8(3), rank_bits = _mm256_set1_epi8(0x3f);
    for (size_t i = 0; i < count; i += 32) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(into + i));
        __m256i b = _mm256_loadu_si256((const __m256i *)(from + i));
        __m256i most = _mm256_max_epu8(a, b), least = _mm256_min_epu8(a, b);
        __m256i most_rank = _mm256_and_si256(_mm256_srli_epi16(most, 2), rank_bits);
        __m256i least_rank = _mm256_and_si256(_mm256_srli_epi16(least, 2), rank_bits);
        __m256i below = _mm256_min_epu8(_mm256_sub_epi8(most_rank, least_rank), low_bits);
        __m256i row = _mm256_slli_epi16(below, 2); /* at most 12: nothing crosses a byte */
        __m256i at = _mm256_or_si256(row, _mm256_and_si256(least, low_bits));
        __m256i joined = _mm256_or_si256(most, _mm256_shuffle_epi8(added, at));
        _mm256_storeu_si256((__m256i *)(into + i), joined);
    }
}
