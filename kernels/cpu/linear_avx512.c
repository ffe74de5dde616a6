/* SPDX-License-Identifier: Apache-2.0 */
/* linear_avx512.c -- the law of linear_level.h, a tile's 16 rows a vector.
 *
 * vpdpbusd multiplies the 64 unsigned codes of a line (4 columns of 16 rows) with 4 signed
 * activations broadcast to all rows and adds each row's four products to its 32-bit sum: no
 * intermediate narrower than the sum, so nothing can saturate. Codes are unsigned; the sum starts
 * from -centre * sum(x) and thus ends as that of the centred codes.
 *
 * Registers: 2 tiles by 6 rows of activations are 12 integer sums and 12 float accumulators, and
 * leave 8 for codes, scales and the broadcast. A step of 12 multiplications loads 2 lines and 6
 * broadcasts, so the two load ports keep ahead of the two multipliers.
 *
 * Kernels are one inlined body compiled for each weight type and shape; the loops over constants
 * unroll. Everything here exists in the emulation of tests/unit/kernels as well. */
#include "kernels/cpu/linear_level.h"

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#define TILES_MAX 2 /* tiles and rows of activations that a kernel takes at once */
#define ROWS_MAX  6

KERNEL __m512i broadcast4(const int8_t *codes)
{
    int32_t four;
    memcpy(&four, codes, sizeof four);
    return _mm512_set1_epi32(four);
}

/* Codes of one group of columns for 16 rows, as unsigned bytes. */
KERNEL __m512i load_group(enum weight_type type, const uint8_t *codes, int group)
{
    uint32_t bits = quant_code_bits(type);
    if (bits == 8)
        return _mm512_load_si512(codes + group * 64);
    __m512i nibbles = _mm512_load_si512(codes + group / 2 * 64);
    if (group % 2)
        nibbles = _mm512_srli_epi16(nibbles, 4);
    nibbles = _mm512_and_si512(nibbles, _mm512_set1_epi8(15));
    if (bits == 4)
        return nibbles;
    /* The extra bits: shifted within 32-bit lanes to bit 4 and up of each byte, the rest cut. */
    int line_index = bits == 5 ? 4 : 4 + group / 4;
    int shift = bits == 5 ? group - 4 : group % 4 * 2 - 4;
    __m512i high = _mm512_load_si512(codes + line_index * 64);
    high = shift < 0 ? _mm512_slli_epi32(high, (unsigned)-shift)
                     : _mm512_srli_epi32(high, (unsigned)shift);
    return _mm512_or_si512(nibbles, _mm512_and_si512(high, _mm512_set1_epi8(bits == 5 ? 16 : 48)));
}

/* Where one block of the first tile is, and how far on that of the next. */
struct block_view {
    const uint8_t *codes, *scales, *superscales;
    size_t tile_bytes;
};

/* What of the weight and of the activations one kernel step multiplies. */
struct step {
    enum weight_type type;
    int tiles, rows;
};

/* A stretch's sums of products with the centred codes. */
KERNEL void integer_dots(struct step step, int stretch, const struct block_view *block,
                         const struct activation_block *const *x, __m512i (*dots)[ROWS_MAX])
{
    const __m512i centre = _mm512_set1_epi32(quant_centre_of(step.type));
    for (int tile = 0; tile < step.tiles; tile++)
        for (int row = 0; row < step.rows; row++)
            dots[tile][row] =
                _mm512_mullo_epi32(_mm512_set1_epi32(x[row]->minus_sums[stretch]), centre);
    const int first = stretch * (int)STRETCH_GROUPS;
    UNROLL
    for (int group = first; group < first + (int)STRETCH_GROUPS; group++) {
        __m512i w[TILES_MAX];
        for (int tile = 0; tile < step.tiles; tile++)
            w[tile] = load_group(step.type, block->codes + tile * block->tile_bytes, group);
        UNROLL
        for (int row = 0; row < step.rows; row++) {
            __m512i four = broadcast4(x[row]->codes + 4 * group);
            for (int tile = 0; tile < step.tiles; tile++)
                dots[tile][row] = _mm512_dpbusd_epi32(dots[tile][row], w[tile], four);
        }
    }
}

KERNEL __m512 load_halves(const uint8_t *halves)
{
    return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)halves));
}

KERNEL __m512 load_unsigned(const uint8_t *bytes)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)bytes)));
}

KERNEL __m512 load_signed(const uint8_t *bytes)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_load_si128((const __m128i *)bytes)));
}

KERNEL void load_scales(enum weight_type type, const struct block_view *block, int tile,
                        __m512 *scale, __m512 *offset)
{
    const uint8_t *scales = block->scales + tile * block->tile_bytes;
    const uint8_t *supers = block->superscales + tile * block->tile_bytes;
    *offset = _mm512_setzero_ps();
    switch (quant_scaling_of(type)) {
    case QUANT_SCALING_MINIMUM:
        *scale = load_halves(scales);
        *offset = load_halves(scales + 32);
        return;
    case QUANT_SCALING_NESTED:
        *scale = _mm512_mul_ps(load_halves(supers), load_unsigned(scales));
        *offset = _mm512_mul_ps(load_halves(supers + 32), load_unsigned(scales + 16));
        *offset = _mm512_xor_ps(*offset, _mm512_set1_ps(-0.0f));
        return;
    case QUANT_SCALING_SPLIT:
        *scale = load_halves(supers);
        return;
    default:
        *scale = load_halves(scales);
    }
}

/* One stretch's dots as floats, sub-scales included. */
KERNEL void stretch_dots(struct step step, int stretch, const struct block_view *block,
                         const struct activation_block *const *x, __m512 (*ret)[ROWS_MAX])
{
    __m512i dots[TILES_MAX][ROWS_MAX];
    integer_dots(step, stretch, block, x, dots);
    UNROLL
    for (int tile = 0; tile < step.tiles; tile++) {
        for (int row = 0; row < step.rows; row++)
            ret[tile][row] = _mm512_cvtepi32_ps(dots[tile][row]);
        if (quant_scaling_of(step.type) != QUANT_SCALING_SPLIT)
            continue;
        __m512 sub_scale = load_signed(block->scales + tile * block->tile_bytes + 16 * stretch);
        for (int row = 0; row < step.rows; row++) /* integers below 2^24: exact */
            ret[tile][row] = _mm512_mul_ps(sub_scale, ret[tile][row]);
    }
}

KERNEL void add_block(struct step step, const struct block_view *block,
                      const struct activation_block *const *x, __m512 (*acc)[ROWS_MAX])
{
    enum quant_scaling scaling = quant_scaling_of(step.type);
    bool has_offset = scaling == QUANT_SCALING_MINIMUM || scaling == QUANT_SCALING_NESTED;
    __m512 first[TILES_MAX][ROWS_MAX], last[TILES_MAX][ROWS_MAX];
    stretch_dots(step, 0, block, x, first);
    for (int tile = 0; tile < step.tiles; tile++)
        for (int row = 0; row < step.rows; row++)
            first[tile][row] = _mm512_mul_ps(_mm512_set1_ps(x[row]->scales[0]), first[tile][row]);
    stretch_dots(step, 1, block, x, last);
    UNROLL
    for (int tile = 0; tile < step.tiles; tile++) {
        __m512 scale, offset;
        load_scales(step.type, block, tile, &scale, &offset);
        UNROLL
        for (int row = 0; row < step.rows; row++) {
            __m512 sum = _mm512_fmadd_ps(_mm512_set1_ps(x[row]->scales[1]), last[tile][row],
                                         first[tile][row]);
            acc[tile][row] = _mm512_fmadd_ps(scale, sum, acc[tile][row]);
            if (has_offset)
                acc[tile][row] =
                    _mm512_fmadd_ps(offset, _mm512_set1_ps(x[row]->scaled_sum), acc[tile][row]);
        }
    }
}

KERNEL void store_tile(const struct linear_job *job, uint32_t row, uint32_t tile, __m512 lanes)
{
    uint32_t first = tile * TILE_ROWS;
    if (job->weight->rows - first < TILE_ROWS) {
        float buffer[TILE_ROWS];
        _mm512_storeu_ps(buffer, lanes);
        linear_store(job, row, tile, buffer);
        return;
    }
    if (job->bias)
        lanes = _mm512_add_ps(lanes, _mm512_loadu_ps(job->bias + first));
    _mm512_storeu_ps(job->out + (size_t)row * job->weight->rows + first, lanes);
}

KERNEL void tile_codes(struct step step, const struct linear_job *job, uint32_t tile_index,
                       uint32_t first_row)
{
    const struct weight *weight = job->weight;
    const uint8_t *first = weight->tiles + tile_index * weight->tile_bytes;
    struct block_view view = {first, first + weight->scales_offset,
                              first + weight->superscales_offset, weight->tile_bytes};
    const struct activation_block *x[ROWS_MAX];
    __m512 acc[TILES_MAX][ROWS_MAX];
    UNROLL
    for (int row = 0; row < step.rows; row++) {
        x[row] = job->blocks + (size_t)(first_row + row) * weight->block_count;
        for (int tile = 0; tile < step.tiles; tile++)
            acc[tile][row] = _mm512_setzero_ps();
    }
    for (uint32_t block = 0; block < weight->block_count; block++) {
        add_block(step, &view, x, acc);
        view.codes += layout_codes_bytes(step.type);
        view.scales += layout_scales_bytes(step.type);
        if (block % SUPERBLOCK_PARTS == SUPERBLOCK_PARTS - 1)
            view.superscales += layout_superscales_bytes(step.type);
        for (int row = 0; row < step.rows; row++)
            x[row]++;
    }
    for (int row = 0; row < step.rows; row++)
        for (int tile = 0; tile < step.tiles; tile++)
            store_tile(job, first_row + row, tile_index + tile, acc[tile][row]);
}

KERNEL __m512 load_column(enum weight_type type, const uint8_t *column)
{
    if (type == WEIGHT_F32)
        return _mm512_load_ps(column);
    if (type == WEIGHT_F16)
        return load_halves(column);
    __m256i sixteen = _mm256_load_si256((const __m256i *)column);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(sixteen), 16));
}

KERNEL void tile_floats(struct step step, const struct linear_job *job, uint32_t tile_index,
                        uint32_t first_row)
{
    const struct weight *weight = job->weight;
    const uint8_t *first = weight->tiles + tile_index * weight->tile_bytes;
    const float *x = job->x + (size_t)first_row * weight->columns;
    __m512 acc[TILES_MAX][ROWS_MAX];
    for (int tile = 0; tile < step.tiles; tile++)
        for (int row = 0; row < step.rows; row++)
            acc[tile][row] = _mm512_setzero_ps();
    for (uint32_t column = 0; column < weight->columns; column++) {
        __m512 w[TILES_MAX];
        for (int tile = 0; tile < step.tiles; tile++)
            w[tile] = load_column(step.type, first + tile * weight->tile_bytes +
                                                 column * layout_column_bytes(step.type));
        UNROLL
        for (int row = 0; row < step.rows; row++) {
            __m512 one = _mm512_set1_ps(x[(size_t)row * weight->columns + column]);
            for (int tile = 0; tile < step.tiles; tile++)
                acc[tile][row] = _mm512_fmadd_ps(w[tile], one, acc[tile][row]);
        }
    }
    for (int row = 0; row < step.rows; row++)
        for (int tile = 0; tile < step.tiles; tile++)
            store_tile(job, first_row + row, tile_index + tile, acc[tile][row]);
}

KERNEL void run_step(struct step step, const struct linear_job *job, uint32_t tile, uint32_t row)
{
    if (quant_code_bits(step.type))
        tile_codes(step, job, tile, row);
    else
        tile_floats(step, job, tile, row);
}

/* The whole job for one type: tiles outside, so that a tile stays in the first cache while it meets
 * the rows. */
KERNEL void run_type(enum weight_type type, const struct linear_job *job)
{
    uint32_t tile = job->tile_first;
    for (; job->tile_end - tile >= 2; tile += 2) {
        uint32_t row = job->row_first;
        for (; job->row_end - row >= 6; row += 6)
            run_step((struct step){type, 2, 6}, job, tile, row);
        for (; job->row_end - row >= 2; row += 2)
            run_step((struct step){type, 2, 2}, job, tile, row);
        if (row < job->row_end)
            run_step((struct step){type, 2, 1}, job, tile, row);
    }
    if (tile < job->tile_end)
        for (uint32_t row = job->row_first; row < job->row_end; row++)
            run_step((struct step){type, 1, 1}, job, tile, row);
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

const struct linear_level linear_level_avx512 = {linear_quantize_avx2, multiply};
