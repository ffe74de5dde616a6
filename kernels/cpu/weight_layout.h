/* SPDX-License-Identifier: Apache-2.0 */
/* weight_layout.h -- where everything lies in a prepared weight. For weight.c and linear*.c.
 *
 * A tile is 16 rows of the matrix, and in every vector of a kernel lane r is row r of the tile: an
 * output is one lane's chain of operations in ascending columns, never a sum across lanes.
 *
 * Quantised, columns are cut into blocks of 32, a block into 8 groups of 4. A tile, 64-byte lines:
 *
 *     [codes of block 0][codes of block 1] ... | [scales of block 0][scales of block 1] ... |
 *     [superscales of superblock 0] ...
 *
 *     codes   4 nibble lines, bytes 4r..4r+3 of line j: row r, group 2j in the low nibbles and
 *             group 2j + 1 in the high ones;
 *             5-bit codes: a line more, bit g of byte 4r + c: bit 4 of row r, group g, column c;
 *             6-bit codes: two lines more, bits 2g..2g+1 of byte 4r + c of line h: bits 4..5 of
 *             group 4h + g;
 *             8-bit codes: 8 lines, one a group.
 *     scales  HALF     16 halves
 *             MINIMUM  16 halves, 16 halves of minima
 *             NESTED   16 bytes of scales, 16 of minima; superscales: 16 halves, 16 of minima
 *             SPLIT    16 int8 for the first 16 columns, 16 for the last; superscales: 16 halves
 *
 * which is the file's size to within 3%. Codes are unsigned: weight = scale * (code - centre).
 * F32, F16 and BF16: 16 elements, one a row, for each column. Rows past the last are zero. */
#ifndef WEIR_KERNELS_CPU_WEIGHT_LAYOUT_H
#define WEIR_KERNELS_CPU_WEIGHT_LAYOUT_H

#include "kernels/quant.h"
#include "kernels/quant_codes.h"

#include <stddef.h>
#include <stdint.h>

#define TILE_ROWS        16u
#define TILE_LINE        64u /* bytes: a cache line, 16 rows by 4 columns */
#define BLOCK_COLUMNS    32u
#define SUPERBLOCK_PARTS 8u /* blocks that share a superscale */

/* Fixed once prepared. */
struct weight {
    const struct quant_format *format;
    const uint8_t *source; /* borrowed: the mapped file, for embed() */
    size_t source_row_bytes;
    uint32_t matrices; /* one after another, tiles and file alike; what follows is each one's */
    uint32_t rows, columns;
    uint32_t block_count; /* of a row; 0 where columns are not cut into blocks */
    uint32_t tile_count;
    size_t scales_offset; /* into a tile */
    size_t superscales_offset;
    size_t tile_bytes; /* a multiple of TILE_LINE */
    uint8_t *tiles;    /* owned; TILE_LINE-aligned */
};

/* Constants wherever the type is one: kernels are compiled once a type. */

/* Bytes of codes a block. */
static inline size_t layout_codes_bytes(enum weight_type type)
{
    return quant_code_bits(type) * TILE_LINE;
}

/* Bytes of scales a block, and of superscales a superblock. */
static inline size_t layout_scales_bytes(enum weight_type type)
{
    return quant_scaling_of(type) == QUANT_SCALING_MINIMUM ? 64 : 32;
}

static inline size_t layout_superscales_bytes(enum weight_type type)
{
    enum quant_scaling scaling = quant_scaling_of(type);
    return scaling == QUANT_SCALING_NESTED ? 64 : scaling == QUANT_SCALING_SPLIT ? 32 : 0;
}

/* Bytes of one column of a float tile. */
static inline size_t layout_column_bytes(enum weight_type type)
{
    return type == WEIGHT_F32 ? 64 : 32;
}

#endif
