/* SPDX-License-Identifier: Apache-2.0 */
/* weight.c -- lays a matrix out in tiles (weight_layout.h), once, at load.
 *
 * A file keeps a row's bytes together, which suits one thread that multiplies one row. We want 16
 * rows side by side, so that a vector holds the same 4 columns of 16 rows and an activation is
 * broadcast to all of them. It costs one pass over the file, which must be read anyway, and the
 * pages of the file are not needed afterwards (but by embed(), for the rows it is asked for).
 *
 * All levels share the layout: 512 bits take a line at a time, 256 bits half a line, scalar code a
 * byte. What differs by level is arithmetic, and that is not even allowed to show. */
#include "kernels/cpu/weight.h"

#include "kernels/cpu/weight_layout.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* From here on a weight asks for huge pages: a decode step reads all of it, a TLB entry a page. */
#define HUGE_PAGE_BYTES ((size_t)2 << 20)

struct repack {
    struct weight *weight;
    uint8_t *tiles;
};

static void put_four(uint8_t *line, uint32_t lane, uint32_t four)
{
    memcpy(line + 4 * lane, &four, sizeof four);
}

/* The codes of one row of one block to where the kernels read them, 4 at a time. */
static inline __attribute__((always_inline)) void put_codes(uint32_t bits, uint8_t *lines,
                                                            uint32_t lane, const uint8_t *codes)
{
    uint32_t group[8], fifths = 0, sixths[2] = {0, 0};
    memcpy(group, codes, sizeof group);
    for (uint32_t i = 0; bits == 8 && i < 8; i++)
        put_four(lines + i * TILE_LINE, lane, group[i]);
    for (uint32_t i = 0; bits != 8 && i < 4; i++)
        put_four(lines + i * TILE_LINE, lane,
                 (group[2 * i] & 0x0f0f0f0fu) | (group[2 * i + 1] & 0x0f0f0f0fu) << 4);
    for (uint32_t i = 0; i < 8; i++) {
        fifths |= (group[i] >> 4 & 0x01010101u) << i;
        sixths[i / 4] |= (group[i] >> 4 & 0x03030303u) << (i % 4 * 2);
    }
    if (bits == 5)
        put_four(lines + 4 * TILE_LINE, lane, fifths);
    for (uint32_t i = 0; bits == 6 && i < 2; i++)
        put_four(lines + (4 + i) * TILE_LINE, lane, sixths[i]);
}

/* Inlined into one copy a type, for prepare must read a model in a fraction of a second. */
static inline __attribute__((always_inline)) void put_row(enum weight_type type,
                                                          const struct weight *weight,
                                                          const uint8_t *row, uint32_t lane,
                                                          uint8_t *tile)
{
    uint32_t parts = weight->format->block_weights / QUANT_PART_WEIGHTS;
    struct quant_part part = {0};
    for (uint32_t block = 0; block < weight->block_count; block++) {
        quant_unpack_part(type, row + block / parts * weight->format->block_bytes, block % parts,
                          &part);
        uint8_t *codes = tile + block * layout_codes_bytes(type);
        uint8_t *scales = tile + weight->scales_offset + block * layout_scales_bytes(type);
        uint8_t *supers = tile + weight->superscales_offset +
                          block / SUPERBLOCK_PARTS * layout_superscales_bytes(type);
        put_codes(quant_code_bits(type), codes, lane, part.codes);
        enum quant_scaling scaling = quant_scaling_of(type);
        bool nested = scaling == QUANT_SCALING_NESTED, split = scaling == QUANT_SCALING_SPLIT;
        if (nested || split) {
            scales[lane] = part.sub_scales[0];
            scales[16 + lane] = nested ? part.sub_minimum : part.sub_scales[1];
        }
        uint8_t *halves = nested || split ? supers : scales;
        memcpy(halves + 2 * lane, &part.scale, 2);
        if (scaling == QUANT_SCALING_MINIMUM || nested)
            memcpy(halves + 32 + 2 * lane, &part.minimum, 2);
    }
}

static void put_quantised(const struct weight *weight, const uint8_t *row, uint32_t lane,
                          uint8_t *tile)
{
    switch (weight->format->type) {
    case WEIGHT_Q4_0:
        put_row(WEIGHT_Q4_0, weight, row, lane, tile);
        break;
    case WEIGHT_Q4_1:
        put_row(WEIGHT_Q4_1, weight, row, lane, tile);
        break;
    case WEIGHT_Q5_0:
        put_row(WEIGHT_Q5_0, weight, row, lane, tile);
        break;
    case WEIGHT_Q5_1:
        put_row(WEIGHT_Q5_1, weight, row, lane, tile);
        break;
    case WEIGHT_Q8_0:
        put_row(WEIGHT_Q8_0, weight, row, lane, tile);
        break;
    case WEIGHT_Q4_K:
        put_row(WEIGHT_Q4_K, weight, row, lane, tile);
        break;
    case WEIGHT_Q5_K:
        put_row(WEIGHT_Q5_K, weight, row, lane, tile);
        break;
    default:
        put_row(WEIGHT_Q6_K, weight, row, lane, tile);
    }
}

/* Columns of a float tile that are turned over at a time: 16 rows of them and the 16 lines they go
 * to fit the first cache together. */
#define TURN_COLUMNS 128u

static inline __attribute__((always_inline)) void turn_columns(const struct weight *weight,
                                                               size_t size, const uint8_t *rows,
                                                               uint32_t row_count, uint8_t *tile)
{
    for (uint32_t first = 0; first < weight->columns; first += TURN_COLUMNS) {
        uint32_t left = weight->columns - first;
        uint32_t count = left < TURN_COLUMNS ? left : TURN_COLUMNS;
        for (uint32_t lane = 0; lane < row_count; lane++) {
            const uint8_t *from = rows + lane * weight->source_row_bytes + first * size;
            uint8_t *to = tile + (first * (size_t)TILE_ROWS + lane) * size;
            for (uint32_t i = 0; i < count; i++)
                memcpy(to + i * TILE_ROWS * size, from + i * size, size);
        }
    }
}

static void put_floats(const struct weight *weight, const uint8_t *rows, uint32_t row_count,
                       uint8_t *tile)
{
    if (weight->format->type == WEIGHT_F32)
        turn_columns(weight, sizeof(float), rows, row_count, tile);
    else
        turn_columns(weight, sizeof(uint16_t), rows, row_count, tile);
}

static void repack_tile(void *argument, uint32_t index, uint32_t thread)
{
    const struct repack *repack = argument;
    const struct weight *weight = repack->weight;
    (void)thread;
    uint8_t *tile = repack->tiles + index * weight->tile_bytes;
    uint32_t first = index % weight->tile_count * TILE_ROWS, left = weight->rows - first;
    uint32_t row_count = left < TILE_ROWS ? left : TILE_ROWS;
    size_t rows_before = (size_t)(index / weight->tile_count) * weight->rows;
    const uint8_t *rows = weight->source + (rows_before + first) * weight->source_row_bytes;
    memset(tile, 0, weight->tile_bytes);
    if (!weight->block_count) {
        put_floats(weight, rows, row_count, tile);
        return;
    }
    for (uint32_t lane = 0; lane < row_count; lane++)
        put_quantised(weight, rows + lane * weight->source_row_bytes, lane, tile);
}

static size_t round_up(size_t value, size_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* Offsets within a tile. Columns are 32 bits and a column of a tile is at most 64 bytes, so
 * nothing here can overflow a size_t. */
static void lay_out(struct weight *weight)
{
    enum weight_type type = weight->format->type;
    if (quant_scaling_of(type) == QUANT_SCALING_NONE) {
        weight->tile_bytes = round_up(weight->columns * layout_column_bytes(type), TILE_LINE);
        return;
    }
    size_t blocks = weight->columns / BLOCK_COLUMNS;
    size_t supers = (blocks + SUPERBLOCK_PARTS - 1) / SUPERBLOCK_PARTS;
    weight->block_count = (uint32_t)blocks;
    weight->scales_offset = blocks * layout_codes_bytes(type);
    weight->superscales_offset =
        round_up(weight->scales_offset + blocks * layout_scales_bytes(type), TILE_LINE);
    weight->tile_bytes =
        round_up(weight->superscales_offset + supers * layout_superscales_bytes(type), TILE_LINE);
}

/* weight->tiles of every matrix, not yet written. */
static int allocate_tiles(struct weight *weight, struct error *err)
{
    size_t bytes;
    uint32_t tiles;
    if (__builtin_mul_overflow(weight->tile_count, weight->matrices, &tiles) ||
        __builtin_mul_overflow((size_t)tiles, weight->tile_bytes, &bytes) ||
        bytes > SIZE_MAX - HUGE_PAGE_BYTES)
        return error_no_memory(err);
    bool huge = bytes >= HUGE_PAGE_BYTES;
    size_t unit = huge ? HUGE_PAGE_BYTES : TILE_LINE;
    weight->tiles = aligned_alloc(unit, round_up(bytes, unit));
    if (!weight->tiles)
        return error_no_memory(err);
    if (huge) /* advice: refused, pages are merely small */
        (void)madvise(weight->tiles, bytes / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES, MADV_HUGEPAGE);
    return 0;
}

struct weight *cpu_weight_prepare(enum cpu_level level, struct pool *pool,
                                  const struct weight_source *source, struct error *err)
{
    (void)level; /* one layout serves all */
    const struct quant_format *format = quant_format_find(source->type);
    if (!format) {
        error_set(err, ERROR_UNSUPPORTED, "weight type %d: not one the CPU kernels know",
                  (int)source->type);
        return NULL;
    }
    size_t row_bytes = quant_row_bytes(format, source->columns);
    if (!source->rows || !row_bytes) {
        error_set(err, ERROR_INVALID, "%s weight of %u x %u: rows of whole blocks of %u expected",
                  format->name, source->rows, source->columns, format->block_weights);
        return NULL;
    }
    struct weight *weight = calloc(1, sizeof *weight);
    if (!weight) {
        error_no_memory(err);
        return NULL;
    }
    weight->format = format;
    weight->source = source->bytes;
    weight->source_row_bytes = row_bytes;
    weight->matrices = source->matrices > 0 ? source->matrices : 1;
    weight->rows = source->rows;
    weight->columns = source->columns;
    weight->tile_count = (source->rows - 1) / TILE_ROWS + 1;
    lay_out(weight);
    if (allocate_tiles(weight, err)) {
        free(weight);
        return NULL;
    }
    struct repack repack = {weight, weight->tiles};
    pool_run(pool, repack_tile, &repack, weight->tile_count * weight->matrices);
    return weight;
}

void cpu_weight_free(struct weight *weight)
{
    if (!weight)
        return;
    free(weight->tiles);
    free(weight);
}

size_t cpu_weight_bytes(const struct weight *weight)
{
    return (size_t)weight->matrices * weight->tile_count * weight->tile_bytes;
}

uint32_t cpu_weight_rows(const struct weight *weight)
{
    return weight->rows;
}

uint32_t cpu_weight_columns(const struct weight *weight)
{
    return weight->columns;
}

static void embed_row(void *argument, uint32_t index, uint32_t thread)
{
    const struct embed_args *args = argument;
    const struct weight *table = args->table;
    (void)thread;
    assert(args->tokens[index] < table->rows);
    quant_dequantize_row(table->format,
                         table->source + args->tokens[index] * table->source_row_bytes,
                         table->columns, args->out + (size_t)index * table->columns);
}

void cpu_embed(struct pool *pool, const struct embed_args *args)
{
    struct embed_args copy = *args;
    pool_run(pool, embed_row, &copy, args->rows);
}
