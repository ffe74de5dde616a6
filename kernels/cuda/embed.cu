/* SPDX-License-Identifier: Apache-2.0 */
/* embed.cu -- rows of a matrix on the GPU as floats, exactly as quant_dequantize_row() has them.
 *
 * A block of threads a token. A row's codes lie in pieces of 4 bytes among those of its tile's
 * other rows; a vocabulary's row is a few kilobytes, so that costs nothing worth a second copy. */
#include "kernels/cuda/codes.cuh"
#include "kernels/cuda/linear.h"

#define EMBED_THREADS 128u

/* Where a row lies, and where it goes. */
struct embed_table {
    const uint8_t *tiles;
    const uint32_t *tokens;
    float *out;
    uint32_t columns, block_count;
    uint64_t superscales_offset, tile_bytes;
};

/* Four columns of a stretch; the order of operations is the format's definition. */
template <enum weight_type TYPE, uint32_t BLOCK, uint32_t STRETCH>
__device__ __forceinline__ void embed_four(const pair_codes<TYPE> &codes, const uint2 &scales,
                                           uint32_t upper, float *out)
{
    uint32_t bytes = upper ? signed_codes<TYPE, BLOCK, 1, STRETCH>(codes)
                           : signed_codes<TYPE, BLOCK, 0, STRETCH>(codes);
    float scale = scale_of<TYPE>(scales, BLOCK) * sub_scale_of<TYPE>(scales, BLOCK, STRETCH);
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) {
        int32_t code = static_cast<int8_t>(bytes >> 8 * i) >> code_shift<TYPE>;
        float value = scale * static_cast<float>(code);
        if constexpr (code_has_offsets<TYPE>)
            value += offset_of<TYPE>(scales, BLOCK);
        out[STRETCH * 16 + i] = value;
    }
}

template <enum weight_type TYPE>
__global__ void __launch_bounds__(EMBED_THREADS) embed_codes(struct embed_table table)
{
    uint32_t row = table.tokens[blockIdx.x], within = row % TILE_ROWS;
    const uint8_t *tile = table.tiles + row / TILE_ROWS * table.tile_bytes;
    float *out = table.out + static_cast<uint64_t>(blockIdx.x) * table.columns;
    for (uint32_t i = threadIdx.x; i < (table.block_count + 1) / PAIR_BLOCKS * 4;
         i += EMBED_THREADS) {
        uint32_t pair = i / 4, t = i % 4;
        const uint8_t *from = tile + static_cast<uint64_t>(pair) * pair_bytes<TYPE>;
        pair_codes<TYPE> codes = load_codes<TYPE>(from, within % 8 * 4 + t);
        uint2 scales = load_scales<TYPE>(from + pair_codes_bytes<TYPE>,
                                         tile + table.superscales_offset +
                                             static_cast<uint64_t>(pair / SUPERBLOCK_PAIRS) *
                                                 superblock_bytes<TYPE>,
                                         within);
        float *to = out + pair * PAIR_BLOCKS * BLOCK_COLUMNS + 4 * t;
        embed_four<TYPE, 0, 0>(codes, scales, within / 8, to);
        embed_four<TYPE, 0, 1>(codes, scales, within / 8, to);
        if (pair * PAIR_BLOCKS + 1 == table.block_count)
            continue;
        embed_four<TYPE, 1, 0>(codes, scales, within / 8, to + BLOCK_COLUMNS);
        embed_four<TYPE, 1, 1>(codes, scales, within / 8, to + BLOCK_COLUMNS);
    }
}

template <enum weight_type TYPE>
__global__ void __launch_bounds__(EMBED_THREADS) embed_floats(struct embed_table table)
{
    uint32_t row = table.tokens[blockIdx.x], within = row % TILE_ROWS;
    const uint8_t *tile = table.tiles + row / TILE_ROWS * table.tile_bytes;
    float *out = table.out + static_cast<uint64_t>(blockIdx.x) * table.columns;
    for (uint32_t column = threadIdx.x; column < table.columns; column += EMBED_THREADS) {
        uint32_t at = column % STEP_COLUMNS;
        if constexpr (TYPE == WEIGHT_F32) {
            out[column] = reinterpret_cast<const float *>(
                tile + static_cast<uint64_t>(column / QUAD_COLUMNS) * QUAD_BYTES +
                within * LANE_PIECE)[column % QUAD_COLUMNS];
        } else {
            uint16_t bits = *reinterpret_cast<const uint16_t *>(
                tile + static_cast<uint64_t>(column / STEP_COLUMNS) * LANES_BYTES +
                (within % 8 * 4 + at % 8 / 2) * LANE_PIECE + (at / 8 * 2 + within / 8) * 4 +
                at % 2 * 2);
            out[column] = TYPE == WEIGHT_F16 ? __half2float(__ushort_as_half(bits))
                                             : __uint_as_float(static_cast<uint32_t>(bits) << 16);
        }
    }
}

template <enum weight_type TYPE>
static cudaError_t launch_codes(const struct embed_table *table, uint32_t rows, cudaStream_t stream)
{
    LAUNCH((embed_codes<TYPE>), rows, EMBED_THREADS, 0, stream, *table);
    return cudaPeekAtLastError();
}

template <enum weight_type TYPE>
static cudaError_t launch_floats(const struct embed_table *table, uint32_t rows,
                                 cudaStream_t stream)
{
    LAUNCH((embed_floats<TYPE>), rows, EMBED_THREADS, 0, stream, *table);
    return cudaPeekAtLastError();
}

cudaError_t cuda_embed(const struct embed_args *args, cudaStream_t stream)
{
    const struct weight *weight = args->table;
    struct embed_table table = {weight->tiles,     args->tokens,        args->out,
                                weight->columns,   weight->block_count, weight->superscales_offset,
                                weight->tile_bytes};
    const enum weight_type type = weight->format->type;
    if (args->rows == 0)
        return cudaPeekAtLastError();
    RETURN_LAUNCH(type, launch_codes, &table, args->rows, stream)
    switch (type) {
    case WEIGHT_F32:
        return launch_floats<WEIGHT_F32>(&table, args->rows, stream);
    case WEIGHT_F16:
        return launch_floats<WEIGHT_F16>(&table, args->rows, stream);
    case WEIGHT_BF16:
        return launch_floats<WEIGHT_BF16>(&table, args->rows, stream);
    default:
        return cudaErrorInvalidValue;
    }
}
