/* SPDX-License-Identifier: Apache-2.0 */
/* quant.h -- how weights are spelled in a file, and the scalar code that defines what they mean.
 *
 * A row of `columns` weights is columns / block_weights blocks, each block_bytes long, with the
 * layouts of GGUF v3. Immutable tables and pure functions: any thread. */
#ifndef WEIR_KERNELS_QUANT_H
#define WEIR_KERNELS_QUANT_H

#include <stddef.h>
#include <stdint.h>

/* The numbers are GGUF's tensor type ids. */
enum weight_type {
    WEIGHT_F32 = 0,
    WEIGHT_F16 = 1,
    WEIGHT_Q4_0 = 2,
    WEIGHT_Q4_1 = 3,
    WEIGHT_Q5_0 = 6,
    WEIGHT_Q5_1 = 7,
    WEIGHT_Q8_0 = 8,
    WEIGHT_Q4_K = 12,
    WEIGHT_Q5_K = 13,
    WEIGHT_Q6_K = 14,
    WEIGHT_BF16 = 30,
};

struct quant_format {
    enum weight_type type;
    const char *name;       /* as GGUF spells it: "Q4_K" */
    uint32_t block_weights; /* 1, 32 or 256 */
    uint32_t block_bytes;
};

/* NULL for an id that we do not serve (removed, unknown or not implemented). */
const struct quant_format *quant_format_find(uint32_t type);

/* Bytes of one row; 0 when columns is not a whole number of blocks or the size would overflow. */
size_t quant_row_bytes(const struct quant_format *format, uint64_t columns);

/* row[columns] -> out[columns], as the format's definition says, in float arithmetic. `row` need
 * not be aligned. */
void quant_dequantize_row(const struct quant_format *format, const void *row, uint64_t columns,
                          float *out);

float quant_half_to_float(uint16_t half);
uint16_t quant_float_to_half(float value); /* round to nearest, ties to even */
float quant_bf16_to_float(uint16_t bf16);
uint16_t quant_float_to_bf16(float value);

#endif
