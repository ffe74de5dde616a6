/* SPDX-License-Identifier: Apache-2.0 */
/* linear_scalar.c -- the law of linear_level.h, spelled out lane by lane. The other levels are
 * held against this one bit for bit; it is also what a processor without AVX2 runs. */
#include "kernels/cpu/linear_level.h"

#include <math.h>
#include <string.h>

static uint16_t load_half(const uint8_t *bytes)
{
    uint16_t half;
    memcpy(&half, bytes, sizeof half);
    return half;
}

/* The squared error that so many steps up to the largest size leave, in units of a step. */
static float squared_error(const float *x, float inverse)
{
    float d[STRETCH_COLUMNS], s[8];
    for (uint32_t i = 0; i < STRETCH_COLUMNS; i++) {
        float t = x[i] * inverse;
        d[i] = t - nearbyintf(t);
    }
    for (uint32_t i = 0; i < 8; i++)
        s[i] = fmaf(d[i + 8], d[i + 8], d[i] * d[i]);
    return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

static float choose_steps(const float *x, float largest)
{
    int best = 0;
    float least = INFINITY;
    for (int n = 0; n < ACTIVATION_SCALES_TRIED; n++) {
        float error = squared_error(x, activation_steps(n) / largest) * activation_weight(n);
        best = error < least ? n : best;
        least = error < least ? error : least;
    }
    return activation_steps(best);
}

/* Returns the sum of the codes. */
static int32_t quantize_stretch(const float *x, int8_t *codes, float *scale)
{
    float largest = 0;
    for (uint32_t i = 0; i < STRETCH_COLUMNS; i++) {
        if (!isfinite(x[i]))
            largest = INFINITY;
        else if (fabsf(x[i]) > largest)
            largest = fabsf(x[i]);
    }
    if (!isfinite(largest) || largest < ACTIVATION_TINY) {
        memset(codes, 0, STRETCH_COLUMNS);
        *scale = isfinite(largest) ? 0 : NAN;
        return 0;
    }
    int32_t sum = 0;
    float steps = choose_steps(x, largest), inverse = steps / largest;
    *scale = largest / steps;
    for (uint32_t i = 0; i < STRETCH_COLUMNS; i++) {
        codes[i] = (int8_t)lrintf(x[i] * inverse); /* ties to even */
        sum += codes[i];
    }
    return sum;
}

static void quantize(const float *x, uint32_t block_count, struct activation_block *ret)
{
    for (uint32_t block = 0; block < block_count; block++, x += BLOCK_COLUMNS, ret++) {
        int32_t first = quantize_stretch(x, ret->codes, &ret->scales[0]);
        int32_t last =
            quantize_stretch(x + STRETCH_COLUMNS, ret->codes + STRETCH_COLUMNS, &ret->scales[1]);
        activation_block_finish(ret, first, last);
    }
}

/* The code of one row of the tile at one column of the block whose codes these are. */
static int32_t code_at(enum weight_type type, const uint8_t *codes, uint32_t lane, uint32_t column)
{
    uint32_t group = column / 4, byte = 4 * lane + column % 4;
    if (quant_code_bits(type) == 8)
        return codes[group * TILE_LINE + byte];
    int32_t code = codes[group / 2 * TILE_LINE + byte] >> (group % 2 * 4) & 15;
    if (quant_code_bits(type) == 5)
        code |= (codes[4 * TILE_LINE + byte] >> group & 1) << 4;
    if (quant_code_bits(type) == 6)
        code |= (codes[(4 + group / 4) * TILE_LINE + byte] >> (group % 4 * 2) & 3) << 4;
    return code;
}

/* What one lane of one block multiplies with. */
struct lane_block {
    int32_t codes[BLOCK_COLUMNS]; /* centred */
    float scale, offset;
    int32_t sub_scales[STRETCHES]; /* 1 but for SPLIT */
};

static void load_lane(const struct weight *weight, const uint8_t *tile, uint32_t block,
                      uint32_t lane, struct lane_block *ret)
{
    enum weight_type type = weight->format->type;
    const uint8_t *codes = tile + block * layout_codes_bytes(type);
    const uint8_t *scales = tile + weight->scales_offset + block * layout_scales_bytes(type);
    const uint8_t *supers = tile + weight->superscales_offset +
                            block / SUPERBLOCK_PARTS * layout_superscales_bytes(type);
    for (uint32_t column = 0; column < BLOCK_COLUMNS; column++)
        ret->codes[column] = code_at(type, codes, lane, column) - quant_centre_of(type);
    ret->sub_scales[0] = ret->sub_scales[1] = 1;
    ret->offset = 0;
    switch (quant_scaling_of(type)) {
    case QUANT_SCALING_MINIMUM:
        ret->offset = quant_half_to_float(load_half(scales + 32 + 2 * lane));
        ret->scale = quant_half_to_float(load_half(scales + 2 * lane));
        return;
    case QUANT_SCALING_NESTED:
        ret->scale = quant_half_to_float(load_half(supers + 2 * lane)) * (float)scales[lane];
        ret->offset =
            -(quant_half_to_float(load_half(supers + 32 + 2 * lane)) * (float)scales[16 + lane]);
        return;
    case QUANT_SCALING_SPLIT:
        ret->scale = quant_half_to_float(load_half(supers + 2 * lane));
        ret->sub_scales[0] = (int8_t)scales[lane];
        ret->sub_scales[1] = (int8_t)scales[16 + lane];
        return;
    default:
        ret->scale = quant_half_to_float(load_half(scales + 2 * lane));
    }
}

static float add_block(const struct lane_block *lane, const struct activation_block *x,
                       enum quant_scaling scaling, float acc)
{
    int32_t dots[STRETCHES] = {0, 0};
    for (uint32_t i = 0; i < BLOCK_COLUMNS; i++)
        dots[i / STRETCH_COLUMNS] +=
            lane->sub_scales[i / STRETCH_COLUMNS] * lane->codes[i] * x->codes[i];
    float sum = x->scales[0] * (float)dots[0];
    sum = fmaf(x->scales[1], (float)dots[1], sum);
    acc = fmaf(lane->scale, sum, acc);
    if (scaling == QUANT_SCALING_MINIMUM || scaling == QUANT_SCALING_NESTED)
        acc = fmaf(lane->offset, x->scaled_sum, acc);
    return acc;
}

/* Accumulators of so many rows are kept while a lane's codes are apart. */
#define SCALAR_ROWS 64u

static void multiply_codes(const struct linear_job *job, uint32_t tile_index, uint32_t row_first,
                           uint32_t row_count)
{
    const struct weight *weight = job->weight;
    const uint8_t *tile = weight->tiles + tile_index * weight->tile_bytes;
    enum quant_scaling scaling = quant_scaling_of(weight->format->type);
    float acc[SCALAR_ROWS][TILE_ROWS] = {{0}};
    for (uint32_t lane = 0; lane < TILE_ROWS; lane++) {
        for (uint32_t block = 0; block < weight->block_count; block++) {
            struct lane_block apart;
            load_lane(weight, tile, block, lane, &apart);
            for (uint32_t row = 0; row < row_count; row++) {
                size_t at = (size_t)(row_first + row) * weight->block_count + block;
                acc[row][lane] = add_block(&apart, job->blocks + at, scaling, acc[row][lane]);
            }
        }
    }
    for (uint32_t row = 0; row < row_count; row++)
        linear_store(job, row_first + row, tile_index, acc[row]);
}

static float load_element(enum weight_type type, const uint8_t *column, uint32_t lane)
{
    float value;
    if (type == WEIGHT_F16)
        return quant_half_to_float(load_half(column + 2 * lane));
    if (type == WEIGHT_BF16)
        return quant_bf16_to_float(load_half(column + 2 * lane));
    memcpy(&value, column + 4 * lane, sizeof value);
    return value;
}

static void multiply_floats(const struct linear_job *job, uint32_t tile_index, uint32_t row)
{
    const struct weight *weight = job->weight;
    enum weight_type type = weight->format->type;
    const uint8_t *tile = weight->tiles + tile_index * weight->tile_bytes;
    const float *x = job->x + (size_t)row * weight->columns;
    float acc[TILE_ROWS] = {0};
    for (uint32_t column = 0; column < weight->columns; column++)
        for (uint32_t lane = 0; lane < TILE_ROWS; lane++)
            acc[lane] = fmaf(load_element(type, tile + column * layout_column_bytes(type), lane),
                             x[column], acc[lane]);
    linear_store(job, row, tile_index, acc);
}

static void multiply(const struct linear_job *job)
{
    for (uint32_t tile = job->tile_first; tile < job->tile_end; tile++) {
        for (uint32_t row = job->row_first; row < job->row_end;) {
            uint32_t left = job->row_end - row;
            uint32_t count = left < SCALAR_ROWS ? left : SCALAR_ROWS;
            if (job->weight->block_count) {
                multiply_codes(job, tile, row, count);
                row += count;
            } else {
                multiply_floats(job, tile, row++);
            }
        }
    }
}

const struct linear_level linear_level_scalar = {quantize, multiply};
