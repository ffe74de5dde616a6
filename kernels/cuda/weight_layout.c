/* SPDX-License-Identifier: Apache-2.0 */
/* weight_layout.c -- how large tiles are. Pure, and of no GPU: kernels/roofline counts with it. */
#include "kernels/cuda/weight_layout.h"

static size_t round_up(size_t value, size_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* Columns are 32 bits and a tile has at most 64 bytes a column: no size_t overflows. */
static void lay_out(struct weight *weight)
{
    enum weight_type type = weight->format->type;
    size_t columns = weight->columns, unit_columns = PAIR_BLOCKS * BLOCK_COLUMNS, supers = 0;
    if (type == WEIGHT_F32) {
        unit_columns = QUAD_COLUMNS;
        weight->unit_bytes = QUAD_BYTES;
    } else if (quant_scaling_of(type) == QUANT_SCALING_NONE) {
        unit_columns = STEP_COLUMNS;
        weight->unit_bytes = LANES_BYTES;
    } else {
        weight->block_count = (uint32_t)(columns / BLOCK_COLUMNS);
        weight->unit_bytes =
            quant_code_bits(type) * (LANES_BYTES / 4) + TILE_ROWS * weight_scales_bytes(type);
        supers = round_up(columns, unit_columns * SUPERBLOCK_PAIRS) /
                 (unit_columns * SUPERBLOCK_PAIRS) * TILE_ROWS * weight_superscales_bytes(type);
    }
    weight->unit_count = (uint32_t)(round_up(columns, unit_columns) / unit_columns);
    weight->superscales_offset = (size_t)weight->unit_count * weight->unit_bytes;
    weight->tile_bytes = round_up(weight->superscales_offset + supers, TILE_ALIGNMENT);
    weight->tile_count = (weight->rows - 1) / TILE_ROWS + 1;
}

bool weight_describe(const struct weight_source *source, struct weight *ret)
{
    const struct quant_format *format = quant_format_find(source->type);
    if (!format || !source->rows || !quant_row_bytes(format, source->columns))
        return false;
    *ret = (struct weight){.format = format,
                           .matrices = source->matrices > 0 ? source->matrices : 1,
                           .rows = source->rows,
                           .columns = source->columns};
    lay_out(ret);
    return ret->matrices <= UINT32_MAX / ret->tile_count &&
           ret->tile_bytes <= SIZE_MAX / ((size_t)ret->matrices * ret->tile_count);
}
