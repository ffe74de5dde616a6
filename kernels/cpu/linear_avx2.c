/* SPDX-License-Identifier: Apache-2.0 */
/* linear_avx2.c -- the law of linear_level.h, 8 rows of a tile a vector.
 *
 * The inner step multiplies 4 columns of 8 rows with 4 activations broadcast to all rows:
 *
 *     codes   u8  | r0 c0..3 | r1 c0..3 | ... | r7 c0..3 |
 *     x       s8  | x0..3    | x0..3    | ... | x0..3    |     vpmaddubsw: 16 sums of 2 products
 *
 * and adds the 16-bit sums of several groups before it widens them (vpmaddwd by ones), which is
 * most of the speed. No 16-bit sum can leave -32768..32767, for |x| <= 127:
 *
 *     4-bit codes    0..15    4 groups of 2 products    4 * 2 *  15 * 127 = 15240
 *     5-bit codes    0..31    4 groups                  4 * 2 *  31 * 127 = 31496
 *     6-bit codes    0..63    2 groups                  2 * 2 *  63 * 127 = 32004
 *     8-bit codes   |w| <= 128, x with w's sign         1 * 2 * 128 * 127 = 32512
 *
 * (vpsignb cannot overflow either: it negates activations, which are never -128.)
 *
 * Registers: a tile is two vectors, so 4 rows of activations make 8 integer sums; every load of
 * codes serves 4 rows of activations and every broadcast 16 rows of the weight. The float
 * accumulators live in memory while a stretch's integers are summed: 32 moves a block beside some
 * 180 operations.
 *
 * Kernels are one inlined body compiled for each weight type and number of rows; the loops over
 * constants unroll. */
#include "kernels/cpu/linear_level.h"

#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define HALVES   2 /* vectors of 8 lanes a tile */
#define ROWS_MAX 4 /* of activations a kernel takes at once */

KERNEL __m256i broadcast4(const int8_t *codes)
{
    int32_t four;
    memcpy(&four, codes, sizeof four);
    return _mm256_set1_epi32(four);
}

/* Codes of one group of columns for 8 rows, as unsigned bytes. */
KERNEL __m256i load_group(enum weight_type type, const uint8_t *codes, int group, int half)
{
    uint32_t bits = quant_code_bits(type);
    const uint8_t *line = codes + half * 32;
    if (bits == 8)
        return _mm256_load_si256((const __m256i *)(line + group * 64));
    __m256i nibbles = _mm256_load_si256((const __m256i *)(line + group / 2 * 64));
    if (group % 2)
        nibbles = _mm256_srli_epi16(nibbles, 4);
    nibbles = _mm256_and_si256(nibbles, _mm256_set1_epi8(15));
    if (bits == 4)
        return nibbles;
    /* The extra bits: shifted within 32-bit lanes to bit 4 and up of each byte, the rest cut. */
    int line_index = bits == 5 ? 4 : 4 + group / 4;
    int shift = bits == 5 ? group - 4 : group % 4 * 2 - 4;
    __m256i high = _mm256_load_si256((const __m256i *)(line + line_index * 64));
    high = shift < 0 ? _mm256_slli_epi32(high, -shift) : _mm256_srli_epi32(high, shift);
    return _mm256_or_si256(nibbles, _mm256_and_si256(high, _mm256_set1_epi8(bits == 5 ? 16 : 48)));
}

/* What one kernel step multiplies: a tile of this type, so many rows of activations. */
struct step {
    enum weight_type type;
    int rows;
    int deep; /* groups summed in 16 bits, from the table above */
};

/* The compiler takes integer additions to be free to reorder, and would make all products first and
 * add them as a tree: too many for the registers. What passes here is added where it is written. */
KERNEL __m256i in_order(__m256i sum)
{
    __asm__("" : "+x"(sum));
    return sum;
}

/* 16-bit sums of groups first..first + deep - 1. */
KERNEL void sum_groups(struct step step, int first, const uint8_t *codes,
                       const struct activation_block *const *x, __m256i (*sums)[HALVES])
{
    UNROLL
    for (int i = 0; i < step.deep; i++) {
        __m256i low = load_group(step.type, codes, first + i, 0);
        __m256i high = load_group(step.type, codes, first + i, 1);
        UNROLL
        for (int row = 0; row < step.rows; row++) {
            __m256i four = broadcast4(x[row]->codes + 4 * (first + i));
            __m256i products[HALVES] = {_mm256_maddubs_epi16(low, four),
                                        _mm256_maddubs_epi16(high, four)};
            for (int half = 0; half < HALVES; half++)
                sums[row][half] = i ? in_order(_mm256_add_epi16(sums[row][half], products[half]))
                                    : products[half];
        }
    }
}

/* Adds a stretch of a block to dots. */
KERNEL void add_unsigned_dots(struct step step, int stretch, const uint8_t *codes,
                              const struct activation_block *const *x, __m256i (*dots)[HALVES])
{
    const __m256i ones = _mm256_set1_epi16(1);
    UNROLL
    for (int group = 0; group < (int)STRETCH_GROUPS; group += step.deep) {
        __m256i sums[ROWS_MAX][HALVES];
        sum_groups(step, stretch * (int)STRETCH_GROUPS + group, codes, x, sums);
        for (int row = 0; row < step.rows; row++)
            for (int half = 0; half < HALVES; half++)
                dots[row][half] =
                    _mm256_add_epi32(dots[row][half], _mm256_madd_epi16(sums[row][half], ones));
    }
}

/* The same of signed products of 8-bit codes: |w| times the activation with w's sign. */
KERNEL void add_signed_dots(int rows, int stretch, const uint8_t *codes,
                            const struct activation_block *const *x, __m256i (*dots)[HALVES])
{
    const __m256i ones = _mm256_set1_epi16(1);
    const int first = stretch * (int)STRETCH_GROUPS;
    UNROLL
    for (int group = first; group < first + (int)STRETCH_GROUPS; group++) {
        __m256i w[HALVES], size[HALVES];
        UNROLL
        for (int half = 0; half < HALVES; half++) {
            w[half] = _mm256_xor_si256(load_group(WEIGHT_Q8_0, codes, group, half),
                                       _mm256_set1_epi8(-128));
            size[half] = _mm256_abs_epi8(w[half]);
        }
        UNROLL
        for (int row = 0; row < rows; row++) {
            __m256i four = broadcast4(x[row]->codes + 4 * group);
            UNROLL
            for (int half = 0; half < HALVES; half++) {
                __m256i products =
                    _mm256_maddubs_epi16(size[half], _mm256_sign_epi8(four, w[half]));
                dots[row][half] =
                    in_order(_mm256_add_epi32(dots[row][half], _mm256_madd_epi16(products, ones)));
            }
        }
    }
}

/* Where one block of a tile is. */
struct block_view {
    const uint8_t *codes, *scales, *superscales;
};

KERNEL __m256 load_halves(const uint8_t *halves)
{
    return _mm256_cvtph_ps(_mm_load_si128((const __m128i *)halves));
}

KERNEL __m256 load_bytes(const uint8_t *bytes, bool is_signed)
{
    __m128i eight = _mm_loadl_epi64((const __m128i *)bytes);
    return _mm256_cvtepi32_ps(is_signed ? _mm256_cvtepi8_epi32(eight)
                                        : _mm256_cvtepu8_epi32(eight));
}

KERNEL void load_scales(enum weight_type type, const struct block_view *block, int half,
                        __m256 *scale, __m256 *offset)
{
    const uint8_t *scales = block->scales, *supers = block->superscales;
    *offset = _mm256_setzero_ps();
    switch (quant_scaling_of(type)) {
    case QUANT_SCALING_MINIMUM:
        *scale = load_halves(scales + 16 * half);
        *offset = load_halves(scales + 32 + 16 * half);
        return;
    case QUANT_SCALING_NESTED:
        *scale =
            _mm256_mul_ps(load_halves(supers + 16 * half), load_bytes(scales + 8 * half, false));
        *offset = _mm256_xor_ps(_mm256_mul_ps(load_halves(supers + 32 + 16 * half),
                                              load_bytes(scales + 16 + 8 * half, false)),
                                _mm256_set1_ps(-0.0f));
        return;
    case QUANT_SCALING_SPLIT:
        *scale = load_halves(supers + 16 * half);
        return;
    default:
        *scale = load_halves(scales + 16 * half);
    }
}

/* One stretch's dots as floats, sub-scales included. */
KERNEL void stretch_dots(enum weight_type type, int rows, int stretch,
                         const struct block_view *block, const struct activation_block *const *x,
                         __m256 (*ret)[HALVES])
{
    const uint32_t bits = quant_code_bits(type);
    const __m256i centre = _mm256_set1_epi32(bits == 8 ? 0 : quant_centre_of(type));
    __m256i dots[ROWS_MAX][HALVES];
    for (int row = 0; row < rows; row++)
        dots[row][0] = dots[row][1] =
            _mm256_mullo_epi32(_mm256_set1_epi32(x[row]->minus_sums[stretch]), centre);
    if (bits == 8)
        add_signed_dots(rows, stretch, block->codes, x, dots);
    else
        add_unsigned_dots((struct step){type, rows, bits == 6 ? 2 : 4}, stretch, block->codes, x,
                          dots);
    for (int half = 0; half < HALVES; half++) {
        for (int row = 0; row < rows; row++)
            ret[row][half] = _mm256_cvtepi32_ps(dots[row][half]);
        if (quant_scaling_of(type) != QUANT_SCALING_SPLIT)
            continue;
        __m256 sub_scale = load_bytes(block->scales + 16 * stretch + 8 * half, true);
        for (int row = 0; row < rows; row++) /* integers below 2^24: exact */
            ret[row][half] = _mm256_mul_ps(sub_scale, ret[row][half]);
    }
}

KERNEL void add_block(enum weight_type type, int rows, const struct block_view *block,
                      const struct activation_block *const *x, __m256 (*acc)[HALVES])
{
    enum quant_scaling scaling = quant_scaling_of(type);
    bool has_offset = scaling == QUANT_SCALING_MINIMUM || scaling == QUANT_SCALING_NESTED;
    __m256 first[ROWS_MAX][HALVES], last[ROWS_MAX][HALVES];
    stretch_dots(type, rows, 0, block, x, first);
    for (int row = 0; row < rows; row++)
        for (int half = 0; half < HALVES; half++)
            first[row][half] = _mm256_mul_ps(_mm256_set1_ps(x[row]->scales[0]), first[row][half]);
    stretch_dots(type, rows, 1, block, x, last);
    UNROLL
    for (int half = 0; half < HALVES; half++) {
        __m256 scale, offset;
        load_scales(type, block, half, &scale, &offset);
        UNROLL
        for (int row = 0; row < rows; row++) {
            __m256 sum = _mm256_fmadd_ps(_mm256_set1_ps(x[row]->scales[1]), last[row][half],
                                         first[row][half]);
            acc[row][half] = _mm256_fmadd_ps(scale, sum, acc[row][half]);
            if (has_offset)
                acc[row][half] =
                    _mm256_fmadd_ps(offset, _mm256_set1_ps(x[row]->scaled_sum), acc[row][half]);
        }
    }
}

KERNEL void store_tile(const struct linear_job *job, uint32_t row, uint32_t tile, __m256 low,
                       __m256 high)
{
    uint32_t first = tile * TILE_ROWS;
    if (job->weight->rows - first < TILE_ROWS) {
        float lanes[TILE_ROWS];
        _mm256_storeu_ps(lanes, low);
        _mm256_storeu_ps(lanes + 8, high);
        linear_store(job, row, tile, lanes);
        return;
    }
    if (job->bias) {
        low = _mm256_add_ps(low, _mm256_loadu_ps(job->bias + first));
        high = _mm256_add_ps(high, _mm256_loadu_ps(job->bias + first + 8));
    }
    float *out = job->out + (size_t)row * job->weight->rows + first;
    _mm256_storeu_ps(out, low);
    _mm256_storeu_ps(out + 8, high);
}

KERNEL void tile_codes(enum weight_type type, int rows, const struct linear_job *job,
                       uint32_t tile_index, uint32_t first_row)
{
    const struct weight *weight = job->weight;
    const uint8_t *tile = weight->tiles + tile_index * weight->tile_bytes;
    struct block_view view = {tile, tile + weight->scales_offset,
                              tile + weight->superscales_offset};
    const struct activation_block *x[ROWS_MAX];
    __m256 acc[ROWS_MAX][HALVES];
    UNROLL
    for (int row = 0; row < rows; row++) {
        x[row] = job->blocks + (size_t)(first_row + row) * weight->block_count;
        acc[row][0] = acc[row][1] = _mm256_setzero_ps();
    }
    for (uint32_t block = 0; block < weight->block_count; block++) {
        add_block(type, rows, &view, x, acc);
        view.codes += layout_codes_bytes(type);
        view.scales += layout_scales_bytes(type);
        if (block % SUPERBLOCK_PARTS == SUPERBLOCK_PARTS - 1)
            view.superscales += layout_superscales_bytes(type);
        for (int row = 0; row < rows; row++)
            x[row]++;
    }
    for (int row = 0; row < rows; row++)
        store_tile(job, first_row + row, tile_index, acc[row][0], acc[row][1]);
}

KERNEL __m256 load_column(enum weight_type type, const uint8_t *column, int half)
{
    if (type == WEIGHT_F32)
        return _mm256_load_ps((const float *)column + 8 * half);
    __m128i eight = _mm_load_si128((const __m128i *)column + half);
    if (type == WEIGHT_F16)
        return _mm256_cvtph_ps(eight);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(eight), 16));
}

/* `tiles` adjacent tiles times `rows` rows of activations: one chain of fma an output, so it takes
 * eight of them at a time to keep the units busy. */
KERNEL void tile_floats(enum weight_type type, int tiles, int rows, const struct linear_job *job,
                        uint32_t tile_index, uint32_t first_row)
{
    const struct weight *weight = job->weight;
    const uint8_t *tile = weight->tiles + tile_index * weight->tile_bytes;
    const float *x = job->x + (size_t)first_row * weight->columns;
    __m256 acc[8][HALVES];
    for (int i = 0; i < tiles * rows; i++)
        acc[i][0] = acc[i][1] = _mm256_setzero_ps();
    for (uint32_t column = 0; column < weight->columns; column++) {
        UNROLL
        for (int t = 0; t < tiles; t++) {
            const uint8_t *at = tile + t * weight->tile_bytes + column * layout_column_bytes(type);
            __m256 low = load_column(type, at, 0), high = load_column(type, at, 1);
            UNROLL
            for (int row = 0; row < rows; row++) {
                __m256 one = _mm256_set1_ps(x[(size_t)row * weight->columns + column]);
                __m256 *sum = acc[t * rows + row];
                sum[0] = _mm256_fmadd_ps(low, one, sum[0]);
                sum[1] = _mm256_fmadd_ps(high, one, sum[1]);
            }
        }
    }
    for (int t = 0; t < tiles; t++)
        for (int row = 0; row < rows; row++)
            store_tile(job, first_row + row, tile_index + t, acc[t * rows + row][0],
                       acc[t * rows + row][1]);
}

/* The whole job for one type: tiles outside, so that a tile stays in the first cache while it meets
 * the rows. */
KERNEL void run_codes(enum weight_type type, const struct linear_job *job)
{
    for (uint32_t tile = job->tile_first; tile < job->tile_end; tile++) {
        uint32_t row = job->row_first;
        for (; job->row_end - row >= 4; row += 4)
            tile_codes(type, 4, job, tile, row);
        if (job->row_end - row >= 2) {
            tile_codes(type, 2, job, tile, row);
            row += 2;
        }
        if (row < job->row_end)
            tile_codes(type, 1, job, tile, row);
    }
}

KERNEL void run_floats(enum weight_type type, const struct linear_job *job)
{
    uint32_t row = job->row_first;
    for (uint32_t tile = job->tile_first; tile < job->tile_end; tile++)
        for (row = job->row_first; job->row_end - row >= 4; row += 4)
            tile_floats(type, 1, 4, job, tile, row);
    for (; row < job->row_end; row++) {
        uint32_t tile = job->tile_first;
        for (; job->tile_end - tile >= 4; tile += 4)
            tile_floats(type, 4, 1, job, tile, row);
        for (; tile < job->tile_end; tile++)
            tile_floats(type, 1, 1, job, tile, row);
    }
}

KERNEL void run_type(enum weight_type type, const struct linear_job *job)
{
    if (quant_code_bits(type))
        run_codes(type, job);
    else
        run_floats(type, job);
}

/* A function a type keeps each of them small enough for the compiler to do well. */
#define RUN(type)                                                                                  \
    static __attribute__((noinline)) void run_##type(const struct linear_job *job)                 \
    {                                                                                              \
        run_type(WEIGHT_##type, job);                                                              \
    }
RUN(Q4_0)
RUN(Q4_1)
RUN(Q5_0)
RUN(Q5_1)
RUN(Q8_0)
RUN(Q4_K)
RUN(Q5_K)
RUN(Q6_K)
RUN(F32)
RUN(F16)
RUN(BF16)

static void multiply(const struct linear_job *job)
{
    switch (job->weight->format->type) {
    case WEIGHT_Q4_0:
        run_Q4_0(job);
        return;
    case WEIGHT_Q4_1:
        run_Q4_1(job);
        return;
    case WEIGHT_Q5_0:
        run_Q5_0(job);
        return;
    case WEIGHT_Q5_1:
        run_Q5_1(job);
        return;
    case WEIGHT_Q8_0:
        run_Q8_0(job);
        return;
    case WEIGHT_Q4_K:
        run_Q4_K(job);
        return;
    case WEIGHT_Q5_K:
        run_Q5_K(job);
        return;
    case WEIGHT_Q6_K:
        run_Q6_K(job);
        return;
    case WEIGHT_F32:
        run_F32(job);
        return;
    case WEIGHT_F16:
        run_F16(job);
        return;
    case WEIGHT_BF16:
        run_BF16(job);
        return;
    }
}

KERNEL int32_t add_lanes(__m256i v)
{
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
    return _mm_cvtsi128_si32(sum);
}

KERNEL int32_t largest_lane(__m256i v)
{
    __m128i most = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0x4e));
    most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0xb1));
    return _mm_cvtsi128_si32(most);
}

/* The law's s[], of which the error is the sum. */
KERNEL __m256 squared_errors(__m256 low, __m256 high, float inverse)
{
    enum {
        nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC
    }; /* an immediate, for clang too */
    low = _mm256_mul_ps(low, _mm256_set1_ps(inverse));
    high = _mm256_mul_ps(high, _mm256_set1_ps(inverse));
    low = _mm256_sub_ps(low, _mm256_round_ps(low, nearest));
    high = _mm256_sub_ps(high, _mm256_round_ps(high, nearest));
    return _mm256_fmadd_ps(high, high, _mm256_mul_ps(low, low));
}

/* Pairwise additions sum up four scales' errors at once, in the law's order. */
KERNEL float choose_steps(__m256 low, __m256 high, float largest)
{
    float errors[ACTIVATION_SCALES_TRIED], least = INFINITY;
    int best = 0;
    for (int n = 0; n < ACTIVATION_SCALES_TRIED; n += 4) {
        __m256 s[4];
        UNROLL
        for (int i = 0; i < 4; i++)
            s[i] = squared_errors(low, high, activation_steps(n + i) / largest);
        s[0] = _mm256_hadd_ps(_mm256_hadd_ps(s[0], s[1]), _mm256_hadd_ps(s[2], s[3]));
        _mm_storeu_ps(errors + n,
                      _mm_add_ps(_mm256_castps256_ps128(s[0]), _mm256_extractf128_ps(s[0], 1)));
    }
    UNROLL
    for (int n = 0; n < ACTIVATION_SCALES_TRIED; n++) {
        float error = errors[n] * activation_weight(n);
        best = error < least ? n : best;
        least = error < least ? error : least;
    }
    return activation_steps(best);
}

/* Returns the sum of the codes. Sizes are compared as integers: without the sign they order as the
 * floats do, and a NaN or an infinity is above every finite number. */
KERNEL int32_t quantize_stretch(const float *x, int8_t *codes, float *scale)
{
    const __m256i no_sign = _mm256_set1_epi32(0x7fffffff);
    __m256 low = _mm256_loadu_ps(x), high = _mm256_loadu_ps(x + 8);
    int32_t bits =
        largest_lane(_mm256_max_epi32(_mm256_and_si256(_mm256_castps_si256(low), no_sign),
                                      _mm256_and_si256(_mm256_castps_si256(high), no_sign)));
    float largest;
    memcpy(&largest, &bits, sizeof largest);
    if (bits >= 0x7f800000 || largest < ACTIVATION_TINY) {
        memset(codes, 0, STRETCH_COLUMNS);
        *scale = bits >= 0x7f800000 ? NAN : 0;
        return 0;
    }
    float steps = choose_steps(low, high, largest);
    __m256 inverse = _mm256_set1_ps(steps / largest);
    __m256i q_low = _mm256_cvtps_epi32(_mm256_mul_ps(low, inverse));
    __m256i q_high = _mm256_cvtps_epi32(_mm256_mul_ps(high, inverse));
    *scale = largest / steps;
    /* The packs interleave 128-bit lanes; the permutation puts groups of four back in order. */
    __m256i packed = _mm256_packs_epi32(q_low, q_high);
    packed = _mm256_packs_epi16(packed, packed);
    packed = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm_storeu_si128((__m128i *)codes, _mm256_castsi256_si128(packed));
    return add_lanes(_mm256_add_epi32(q_low, q_high));
}

void linear_quantize_avx2(const float *x, uint32_t block_count, struct activation_block *ret)
{
    for (uint32_t block = 0; block < block_count; block++, x += BLOCK_COLUMNS, ret++) {
        int32_t first = quantize_stretch(x, ret->codes, &ret->scales[0]);
        int32_t last =
            quantize_stretch(x + STRETCH_COLUMNS, ret->codes + STRETCH_COLUMNS, &ret->scales[1]);
        activation_block_finish(ret, first, last);
    }
}

const struct linear_level linear_level_avx2 = {linear_quantize_avx2, multiply};
