/* SPDX-License-Identifier: Apache-2.0 */
/* quant_codes.h -- a quantised format taken apart into integers and scales.
 *
 * Every format we serve spells 32 consecutive weights as codes on a scale:
 *     weight[i] = scale_of(i) * (codes[i] - centre) + offset
 * quant_dequantize_row() finishes that in floats, kernels/cpu/weight.c lays the pieces out for the
 * integer kernels: one reading of the bytes, so that the two cannot disagree. Pure functions. */
#ifndef WEIR_KERNELS_QUANT_CODES_H
#define WEIR_KERNELS_QUANT_CODES_H

#include "kernels/quant.h"

#define QUANT_PART_WEIGHTS 32u /* weights a part; every block is a whole number of parts */

/* How a format's parts are scaled. */
enum quant_scaling {
    QUANT_SCALING_NONE,    /* not quantised: F32, F16, BF16 */
    QUANT_SCALING_HALF,    /* scale */
    QUANT_SCALING_MINIMUM, /* scale, + minimum */
    QUANT_SCALING_NESTED,  /* scale * sub_scales[0], - minimum * sub_minimum */
    QUANT_SCALING_SPLIT,   /* scale * sub_scales[i / 16], signed */
};

struct quant_part {
    uint8_t codes[QUANT_PART_WEIGHTS];
    uint16_t scale, minimum; /* IEEE halves */
    uint8_t sub_scales[2];   /* int8_t bit patterns under QUANT_SCALING_SPLIT */
    uint8_t sub_minimum;
};

/* These three are here so that kernels compiled for one type see constants. */
static inline enum quant_scaling quant_scaling_of(enum weight_type type)
{
    switch (type) {
    case WEIGHT_Q4_0:
    case WEIGHT_Q5_0:
    case WEIGHT_Q8_0:
        return QUANT_SCALING_HALF;
    case WEIGHT_Q4_1:
    case WEIGHT_Q5_1:
        return QUANT_SCALING_MINIMUM;
    case WEIGHT_Q4_K:
    case WEIGHT_Q5_K:
        return QUANT_SCALING_NESTED;
    case WEIGHT_Q6_K:
        return QUANT_SCALING_SPLIT;
    default:
        return QUANT_SCALING_NONE;
    }
}

/* What a code counts from: 8, 16, 32, 128 or 0. */
static inline int32_t quant_centre_of(enum weight_type type)
{
    switch (type) {
    case WEIGHT_Q4_0:
        return 8;
    case WEIGHT_Q5_0:
        return 16;
    case WEIGHT_Q6_K:
        return 32;
    case WEIGHT_Q8_0:
        return 128;
    default:
        return 0;
    }
}

/* Bits a code takes; 0 for float types. */
static inline uint32_t quant_code_bits(enum weight_type type)
{
    switch (type) {
    case WEIGHT_Q4_0:
    case WEIGHT_Q4_1:
    case WEIGHT_Q4_K:
        return 4;
    case WEIGHT_Q5_0:
    case WEIGHT_Q5_1:
    case WEIGHT_Q5_K:
        return 5;
    case WEIGHT_Q6_K:
        return 6;
    case WEIGHT_Q8_0:
        return 8;
    default:
        return 0;
    }
}

/* Takes apart weights 32 * part .. 32 * part + 31 of one block; `block` need not be aligned, the
 * type is not F32, F16 or BF16. */
void quant_unpack_part(enum weight_type type, const uint8_t *block, uint32_t part,
                       struct quant_part *ret);

#endif
