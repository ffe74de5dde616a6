/* SPDX-License-Identifier: Apache-2.0 */
/* weight.c -- lays a matrix out in tiles (weight_layout.h) and brings it to the GPU, once, at load.
 *
 * A stretch of tiles is laid out in one half of the pinned buffer while the other half travels:
 *
 *     file (mapped)      rows 0..63    rows 64..127    rows 128..191
 *                            |              |               |          laid out by this thread
 *     staging            [ half 0 ]     [ half 1 ]      [ half 0 ]
 *                            |              |               |          copied by the device
 *     device             tiles 0..3 ..  tiles 4..7  ..
 *
 * so a matrix is nowhere held twice. Where only one tile fits, they take turns. */
#include "kernels/cuda/weight_layout.h"

#include "kernels/cuda/linear.h"
#include "kernels/quant_codes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void or_four(uint8_t *bytes, uint32_t four)
{
    uint32_t there;
    memcpy(&there, bytes, sizeof there);
    there |= four;
    memcpy(bytes, &there, sizeof there);
}

/* What turns a code that counts from a centre into two's complement, in four bytes at once. */
static uint32_t sign_flip(enum weight_type type)
{
    return (uint32_t)quant_centre_of(type) * 0x01010101u;
}

/* The codes of one row of one block, 4 at a time: group t and t + 4 are columns 4t of the block's
 * two stretches, and go to lane 4 * (row % 8) + t. */
static inline __attribute__((always_inline)) void
put_codes(enum weight_type type, uint8_t *pair, uint32_t row, uint32_t block, const uint8_t *codes)
{
    uint32_t bits = quant_code_bits(type), group[8], half = row / 8;
    memcpy(group, codes, sizeof group);
    for (uint32_t i = 0; i < 8; i++)
        group[i] ^= sign_flip(type);
    for (uint32_t t = 0; t < 4; t++) {
        uint32_t lane = row % 8 * 4 + t, first = group[t], second = group[t + 4];
        if (bits == 8) {
            uint8_t *words = pair + block * LANES_BYTES + lane * LANE_PIECE + half * 8;
            memcpy(words, &first, sizeof first);
            memcpy(words + 4, &second, sizeof second);
            continue;
        }
        uint32_t nibbles = (first & 0x0f0f0f0fu) | (second & 0x0f0f0f0fu) << 4;
        memcpy(pair + lane * LANE_PIECE + (2 * block + half) * 4, &nibbles, sizeof nibbles);
        if (bits == 5)
            or_four(pair + LANES_BYTES + lane * 4,
                    (first >> 4 & 0x01010101u) << (4 * block + 2 * half) |
                        (second >> 4 & 0x01010101u) << (4 * block + 2 * half + 1));
        if (bits == 6)
            or_four(pair + LANES_BYTES + lane * 8 + block * 4,
                    (first >> 4 & 0x03030303u) << (4 * half) | (second >> 4 & 0x03030303u)
                                                                   << (4 * half + 2));
    }
}

/* scales: the pair's; supers: the superblock's. */
static inline __attribute__((always_inline)) void put_scales(enum weight_type type, uint8_t *scales,
                                                             uint8_t *supers, uint32_t block,
                                                             const struct quant_part *part)
{
    switch (quant_scaling_of(type)) {
    case QUANT_SCALING_HALF:
        memcpy(scales + 2 * block, &part->scale, 2);
        return;
    case QUANT_SCALING_MINIMUM:
        memcpy(scales + 2 * block, &part->scale, 2);
        memcpy(scales + 4 + 2 * block, &part->minimum, 2);
        return;
    case QUANT_SCALING_NESTED:
        scales[block] = part->sub_scales[0];
        scales[2 + block] = part->sub_minimum;
        memcpy(supers, &part->scale, 2);
        memcpy(supers + 2, &part->minimum, 2);
        return;
    default:
        memcpy(scales + 2 * block, part->sub_scales, 2);
        memcpy(supers, &part->scale, 2);
    }
}

/* Inlined into one copy a type, for a model must load in seconds. */
static inline __attribute__((always_inline)) void put_row(enum weight_type type,
                                                          const struct weight *weight,
                                                          const uint8_t *bytes, uint32_t row,
                                                          uint8_t *tile)
{
    uint32_t parts = weight->format->block_weights / QUANT_PART_WEIGHTS;
    size_t codes_bytes = quant_code_bits(type) * (size_t)(LANES_BYTES / 4);
    struct quant_part part = {0};
    for (uint32_t block = 0; block < weight->block_count; block++) {
        quant_unpack_part(type, bytes + block / parts * weight->format->block_bytes, block % parts,
                          &part);
        uint8_t *pair = tile + (size_t)(block / PAIR_BLOCKS) * weight->unit_bytes;
        size_t superblock = block / (PAIR_BLOCKS * SUPERBLOCK_PAIRS);
        put_codes(type, pair, row, block % PAIR_BLOCKS, part.codes);
        put_scales(type, pair + codes_bytes + row * weight_scales_bytes(type),
                   tile + weight->superscales_offset +
                       (superblock * TILE_ROWS + row) * weight_superscales_bytes(type),
                   block % PAIR_BLOCKS, &part);
    }
}

/* A step's 16 columns of one row: 2t and 2t + 1 in lane t's word 0 or 1, 8 further on in 2 or 3. */
static void put_halves(const struct weight *weight, const uint8_t *bytes, uint32_t row,
                       uint8_t *tile)
{
    for (uint32_t column = 0; column < weight->columns; column += 2) {
        uint32_t left = weight->columns - column, at = column % STEP_COLUMNS;
        uint8_t *lane = tile + (size_t)(column / STEP_COLUMNS) * LANES_BYTES +
                        (row % 8 * 4 + at % 8 / 2) * LANE_PIECE;
        uint8_t *word = lane + (at / 8 * 2 + row / 8) * 4;
        if (left == 1)
            memcpy(word, bytes + 2 * (size_t)column, 2);
        else
            memcpy(word, bytes + 2 * (size_t)column, 4);
    }
}

static void put_floats(const struct weight *weight, const uint8_t *bytes, uint32_t row,
                       uint8_t *tile)
{
    for (uint32_t column = 0; column < weight->columns; column += QUAD_COLUMNS) {
        uint32_t left = weight->columns - column;
        memcpy(tile + (size_t)(column / QUAD_COLUMNS) * QUAD_BYTES + row * LANE_PIECE,
               bytes + 4 * (size_t)column, 4 * (left < QUAD_COLUMNS ? left : QUAD_COLUMNS));
    }
}

static void put_any_row(const struct weight *weight, const uint8_t *bytes, uint32_t row,
                        uint8_t *tile)
{
    switch (weight->format->type) {
    case WEIGHT_F32:
        put_floats(weight, bytes, row, tile);
        break;
    case WEIGHT_F16:
    case WEIGHT_BF16:
        put_halves(weight, bytes, row, tile);
        break;
    case WEIGHT_Q4_0:
        put_row(WEIGHT_Q4_0, weight, bytes, row, tile);
        break;
    case WEIGHT_Q4_1:
        put_row(WEIGHT_Q4_1, weight, bytes, row, tile);
        break;
    case WEIGHT_Q5_0:
        put_row(WEIGHT_Q5_0, weight, bytes, row, tile);
        break;
    case WEIGHT_Q5_1:
        put_row(WEIGHT_Q5_1, weight, bytes, row, tile);
        break;
    case WEIGHT_Q8_0:
        put_row(WEIGHT_Q8_0, weight, bytes, row, tile);
        break;
    case WEIGHT_Q4_K:
        put_row(WEIGHT_Q4_K, weight, bytes, row, tile);
        break;
    case WEIGHT_Q5_K:
        put_row(WEIGHT_Q5_K, weight, bytes, row, tile);
        break;
    default:
        put_row(WEIGHT_Q6_K, weight, bytes, row, tile);
    }
}

size_t cuda_weight_bytes_wanted(const struct weight_source *source)
{
    struct weight weight;
    return weight_describe(source, &weight) ? cuda_weight_bytes(&weight) : 0;
}

size_t cuda_weight_staging_wanted(const struct weight_source *source)
{
    struct weight weight;
    return weight_describe(source, &weight) ? weight.tile_bytes : 0;
}

static void put_tiles(const struct weight *weight, const struct weight_source *source,
                      uint32_t tile_first, uint32_t tile_end, uint8_t *to)
{
    size_t row_bytes = quant_row_bytes(weight->format, weight->columns);
    memset(to, 0, (tile_end - tile_first) * weight->tile_bytes);
    for (uint32_t tile = tile_first; tile < tile_end; tile++, to += weight->tile_bytes) {
        uint32_t first = tile % weight->tile_count * TILE_ROWS, left = weight->rows - first;
        size_t before = (size_t)(tile / weight->tile_count) * weight->rows + first;
        for (uint32_t row = 0; row < (left < TILE_ROWS ? left : TILE_ROWS); row++)
            put_any_row(weight, (const uint8_t *)source->bytes + (before + row) * row_bytes, row,
                        to);
    }
}

static cudaError_t upload(const struct weight *weight, const struct weight_source *source,
                          const struct cuda_weight_place *place)
{
    size_t fit = place->staging_bytes / weight->tile_bytes;
    uint32_t halves = fit >= 2 ? 2 : 1, half = 0;
    size_t most = fit / halves;
    uint32_t tiles = weight->matrices * weight->tile_count;
    uint32_t each = most < tiles ? (uint32_t)most : tiles;
    for (uint32_t tile = 0, end; tile < tiles; tile = end, half = (half + 1) % halves) {
        end = tiles - tile < each ? tiles : tile + each;
        uint8_t *staging = (uint8_t *)place->staging + half * each * weight->tile_bytes;
        put_tiles(weight, source, tile, end, staging);
        /* What the other half holds has travelled while this one was laid out. */
        cudaError_t error = cudaStreamSynchronize(place->stream);
        if (!error)
            error = cudaMemcpyAsync(weight->tiles + tile * weight->tile_bytes, staging,
                                    (end - tile) * weight->tile_bytes, cudaMemcpyHostToDevice,
                                    place->stream);
        if (!error && halves == 1)
            error = cudaStreamSynchronize(place->stream);
        if (error)
            return error;
    }
    return cudaStreamSynchronize(place->stream);
}

struct weight *cuda_weight_prepare(const struct weight_source *source,
                                   const struct cuda_weight_place *place, struct error *err)
{
    struct weight *weight = calloc(1, sizeof *weight);
    if (!weight) {
        error_no_memory(err);
        return NULL;
    }
    if (!weight_describe(source, weight)) {
        error_set(err, ERROR_INVALID, "weight type %d, %u x %u: not one the GPU's kernels know",
                  (int)source->type, source->rows, source->columns);
        goto fail;
    }
    if (place->staging_bytes < weight->tile_bytes) {
        error_set(err, ERROR_UNSUPPORTED,
                  "%s weight of %u x %u: needs %zu bytes of staging, of %zu", weight->format->name,
                  source->rows, source->columns, weight->tile_bytes, place->staging_bytes);
        goto fail;
    }
    weight->tiles = place->device;
    cudaError_t error = upload(weight, source, place);
    if (error) {
        error_set(err, ERROR_IO, "%s weight of %u x %u: %s", weight->format->name, source->rows,
                  source->columns, cudaGetErrorString(error));
        goto fail;
    }
    return weight;
fail:
    free(weight);
    return NULL;
}

void cuda_weight_free(struct weight *weight)
{
    free(weight);
}

size_t cuda_weight_bytes(const struct weight *weight)
{
    return (size_t)weight->matrices * weight->tile_count * weight->tile_bytes;
}
