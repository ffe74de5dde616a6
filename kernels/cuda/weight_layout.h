/* SPDX-License-Identifier: Apache-2.0 */
/* weight_layout.h -- where everything lies in a weight on the GPU. For weight.c, which writes it,
 * and the kernels, which read it; C11 and CUDA.
 *
 * A tile is 16 rows of the matrix, the rows of A of an mma. Lane l = 4g + t of a warp holds rows g
 * and g + 8 of A, and of each 16 columns 4t..4t + 3 (bytes) or 2t, 2t + 1, 2t + 8, 2t + 9 (halves).
 * What a lane holds lies together: a fragment is one load of 16 bytes, and a warp's 512 bytes are
 * consecutive. A tile is a row of units along the columns:
 *
 *     quantised   [pair 0: codes, scales][pair 1] ... | [superscales of superblock 0] ...
 *     16 bits     [step 0][step 1] ...       a step: 16 columns, 16 bytes a lane
 *     F32         [quad 0][quad 1] ...       a quad: 4 columns, 16 rows of 16 bytes
 *
 * A pair is two blocks of 32 columns, a block two stretches of 16. Codes of 4, 5 and 6 bits:
 *
 *     byte     0 ................ 511   then 128 (5 bits) or 256 (6 bits)
 *              [lane 0][lane 1] ...     [lane 0][lane 1] ...
 *     a lane's 4 words, word i = 2 * block + (row >= 8): byte c is column 4t + c, of the first
 *     stretch in the low nibble, of the second in the high one. With k = 2i + stretch, bit 4 of a
 *     5-bit code is bit k of byte c of the lane's word behind them, and bits 4 and 5 of a 6-bit
 *     code are bits 2(k % 4) and up of byte c of its word `block`.
 *     8 bits: 512 bytes a block; a lane's word 2 * (row >= 8) + stretch.
 *
 * Codes that a file counts from a centre are two's complement here, so that nothing need be
 * subtracted. Scales of a pair, a row after the other, [2] being its blocks:
 *
 *     HALF      half scale[2]                          64 bytes a pair
 *     MINIMUM   half scale[2], minimum[2]              128
 *     NESTED    byte scale[2], minimum[2]              64; superscales a row: half scale, minimum
 *     SPLIT     int8 scale[2][stretch]                 64; superscales a row: half scale
 *
 * A superblock is 8 blocks. All that is the file's size but for what fills the last pair, step and
 * tile: within 3% from a thousand columns on. Rows and columns past the last are zero. */
#ifndef WEIR_KERNELS_CUDA_WEIGHT_LAYOUT_H
#define WEIR_KERNELS_CUDA_WEIGHT_LAYOUT_H

#include "kernels/op_args.h"
#include "kernels/quant_codes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TILE_ROWS        16u
#define BLOCK_COLUMNS    32u
#define PAIR_BLOCKS      2u
#define SUPERBLOCK_PAIRS 4u
#define LANE_PIECE       16u  /* bytes: a lane's widest load */
#define LANES_BYTES      512u /* a warp's */
#define STEP_COLUMNS     16u
#define QUAD_COLUMNS     4u
#define QUAD_BYTES       256u
#define TILE_ALIGNMENT   32u /* a sector of memory */

/* Fixed once prepared. */
struct weight {
    const struct quant_format *format;
    uint32_t matrices; /* one after another; what follows is each one's */
    uint32_t rows, columns;
    uint32_t block_count; /* of a row; 0 where columns are not cut into blocks */
    uint32_t unit_count;  /* of a tile: pairs, steps or quads */
    uint32_t tile_count;
    uint32_t unit_bytes;
    size_t superscales_offset; /* into a tile */
    size_t tile_bytes;
    uint8_t *tiles; /* device, of all matrices; borrowed: struct cuda_weight_place's lender */
};

/* All of *ret but where it lies; false where the matrix cannot be one. */
bool weight_describe(const struct weight_source *source, struct weight *ret);

/* Bytes of scales that a row has in a pair, and of superscales in a superblock. Here, so that code
 * compiled for one type sees constants. */
static inline uint32_t weight_scales_bytes(enum weight_type type)
{
    return quant_scaling_of(type) == QUANT_SCALING_MINIMUM ? 8 : 4;
}

static inline uint32_t weight_superscales_bytes(enum weight_type type)
{
    enum quant_scaling scaling = quant_scaling_of(type);
    return scaling == QUANT_SCALING_NESTED ? 4 : scaling == QUANT_SCALING_SPLIT ? 2 : 0;
}

#ifdef __cplusplus
}
#endif

#endif
