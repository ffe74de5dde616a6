/* SPDX-License-Identifier: Apache-2.0 */
/* quant.c -- the block formats of GGUF, read one way for everybody.
 *
 * Bytes of a block, little-endian, d and m IEEE halves (32 weights; elements i and i + 16 share
 * byte i of the nibbles, the lower in the low half):
 *
 *     Q4_0  d           nibbles[16]          d * (q - 8)
 *     Q4_1  d m         nibbles[16]          d * q + m
 *     Q5_0  d   high[4] nibbles[16]          d * (q - 16)     bit i of high is bit 4 of q[i]
 *     Q5_1  d m high[4] nibbles[16]          d * q + m
 *     Q8_0  d           int8[32]             d * q
 *
 * and of a superblock of 256 weights, 8 parts of 32 (parts 2j and 2j + 1 share the 32 bytes j of
 * the nibbles, low and high):
 *
 *     Q4_K  d m scales[12]          nibbles[128]           d * s * q - m * t
 *     Q5_K  d m scales[12] high[32] nibbles[128]           bit p of high[i]: bit 4 of part p, i
 *     Q6_K  nibbles[128] high[64] scales[16] d             d * s * (q - 32), s int8 for 16 weights
 *
 * The 12 bytes hold eight 6-bit scales s and eight 6-bit minima t: the low six bits of bytes 0..3
 * and 4..7 are s and t of parts 0..3; parts 4..7 keep their low four bits in bytes 8..11 (s low, t
 * high) and their top two in the top of bytes 0..3 and 4..7. In Q6_K each half of 128 weights has
 * four parts p: nibble bytes 32 * (p & 1) .. + 31, the high half of them for p >= 2, and bits
 * 2p..2p + 1 of the half's 32 high bytes.
 *
 * Exact means: multiplications and additions in the order written above, each rounded to float
 * once (-ffp-contract=off), as the reference decoder of the format does. tests/golden/quant.py
 * makes the vectors that hold us to it. */
#include "kernels/quant.h"

#include "kernels/quant_codes.h"

#include <assert.h>
#include <string.h>

static const struct quant_format formats[] = {
    {WEIGHT_F32, "F32", 1, 4},       {WEIGHT_F16, "F16", 1, 2},
    {WEIGHT_BF16, "BF16", 1, 2},     {WEIGHT_Q4_0, "Q4_0", 32, 18},
    {WEIGHT_Q4_1, "Q4_1", 32, 20},   {WEIGHT_Q5_0, "Q5_0", 32, 22},
    {WEIGHT_Q5_1, "Q5_1", 32, 24},   {WEIGHT_Q8_0, "Q8_0", 32, 34},
    {WEIGHT_Q4_K, "Q4_K", 256, 144}, {WEIGHT_Q5_K, "Q5_K", 256, 176},
    {WEIGHT_Q6_K, "Q6_K", 256, 210},
};

const struct quant_format *quant_format_find(uint32_t type)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if ((uint32_t)formats[i].type == type)
            return &formats[i];
    return NULL;
}

size_t quant_row_bytes(const struct quant_format *format, uint64_t columns)
{
    uint64_t blocks = columns / format->block_weights;
    if (columns % format->block_weights || blocks > SIZE_MAX / format->block_bytes)
        return 0;
    return (size_t)blocks * format->block_bytes;
}

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

float quant_half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 31;
    uint32_t mantissa = half & 0x3ff;
    if (exponent == 0) /* zero and subnormals: a count of 2^-24, exact in a float */
        return float_of_bits(sign | bits_of_float((float)mantissa * 0x1p-24f));
    if (exponent == 31) /* a signalling NaN comes out quiet, as the processor's converter does it */
        return float_of_bits(sign | 0x7f800000u | (mantissa ? 0x400000u : 0) | mantissa << 13);
    return float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

uint16_t quant_float_to_half(float value)
{
    uint32_t bits = bits_of_float(value);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t size = bits & 0x7fffffffu;
    if (size > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00 | (size >> 13 & 0x1ff));
    if (size >= 0x477ff000u) /* 65520 and above round to infinity */
        return sign | 0x7c00;
    if (size < 0x38800000u) /* below 2^-14: adding 1/2 leaves the count of 2^-24, rounded to even */
        return (uint16_t)(sign | (bits_of_float(float_of_bits(size) + 0.5f) - 0x3f000000u));
    size += 0xfff + (size >> 13 & 1);
    return (uint16_t)(sign | (size - (112u << 23)) >> 13);
}

float quant_bf16_to_float(uint16_t bf16)
{
    return float_of_bits((uint32_t)bf16 << 16);
}

uint16_t quant_float_to_bf16(float value)
{
    uint32_t bits = bits_of_float(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) /* keep a NaN one when its payload is cut */
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static uint16_t load_half(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

/* restrict: without it these loops do not become vectors, and start-up waits for them. */
static void unpack_nibbles(const uint8_t *restrict nibbles, uint8_t *restrict codes)
{
    for (uint32_t i = 0; i < 16; i++) {
        codes[i] = nibbles[i] & 15;
        codes[i + 16] = nibbles[i] >> 4;
    }
}

static void add_fifth_bits(const uint8_t *restrict high, uint8_t *restrict codes)
{
    for (uint32_t i = 0; i < 32; i++)
        codes[i] |= (uint8_t)((high[i / 8] >> i % 8 & 1) << 4);
}

/* Head of Q4_K and Q5_K: d, m and the 6-bit scale and minimum of `part`. */
static void unpack_nested_scales(const uint8_t *block, uint32_t part, struct quant_part *ret)
{
    const uint8_t *s = block + 4;
    ret->scale = load_half(block);
    ret->minimum = load_half(block + 2);
    if (part < 4) {
        ret->sub_scales[0] = s[part] & 63;
        ret->sub_minimum = s[part + 4] & 63;
    } else {
        ret->sub_scales[0] = (uint8_t)((s[part + 4] & 15) | s[part - 4] >> 6 << 4);
        ret->sub_minimum = (uint8_t)(s[part + 4] >> 4 | s[part] >> 6 << 4);
    }
}

static void unpack_nested_nibbles(const uint8_t *restrict nibbles, uint32_t part,
                                  uint8_t *restrict codes)
{
    uint32_t shift = (part & 1) * 4;
    for (uint32_t i = 0; i < 32; i++)
        codes[i] = nibbles[part / 2 * 32 + i] >> shift & 15;
}

static void unpack_bytes(const uint8_t *restrict bytes, uint8_t *restrict codes)
{
    for (uint32_t i = 0; i < 32; i++)
        codes[i] = bytes[i] ^ 0x80; /* two's complement + 128 */
}

static void unpack_nested_fifth_bits(const uint8_t *restrict high, uint32_t part,
                                     uint8_t *restrict codes)
{
    for (uint32_t i = 0; i < 32; i++)
        codes[i] |= (uint8_t)((high[i] >> part & 1) << 4);
}

static void unpack_sixes(const uint8_t *restrict nibbles, const uint8_t *restrict high,
                         uint32_t part, uint8_t *restrict codes)
{
    uint32_t shift = part / 2 * 4;
    for (uint32_t i = 0; i < 32; i++)
        codes[i] = (uint8_t)((nibbles[i] >> shift & 15) | (high[i] >> (2 * part) & 3) << 4);
}

static void unpack_q6_k(const uint8_t *block, uint32_t part, struct quant_part *ret)
{
    uint32_t half = part / 4, p = part % 4;
    unpack_sixes(block + 64 * half + 32 * (p & 1), block + 128 + 32 * half, p, ret->codes);
    memcpy(ret->sub_scales, block + 192 + 2 * part, 2);
    ret->scale = load_half(block + 208);
}

void quant_unpack_part(enum weight_type type, const uint8_t *block, uint32_t part,
                       struct quant_part *ret)
{
    switch (type) {
    case WEIGHT_Q4_1:
    case WEIGHT_Q5_1:
        ret->minimum = load_half(block + 2);
        ret->scale = load_half(block);
        unpack_nibbles(block + (type == WEIGHT_Q4_1 ? 4 : 8), ret->codes);
        if (type == WEIGHT_Q5_1)
            add_fifth_bits(block + 4, ret->codes);
        return;
    case WEIGHT_Q4_0:
    case WEIGHT_Q5_0:
        ret->scale = load_half(block);
        unpack_nibbles(block + (type == WEIGHT_Q4_0 ? 2 : 6), ret->codes);
        if (type == WEIGHT_Q5_0)
            add_fifth_bits(block + 2, ret->codes);
        return;
    case WEIGHT_Q8_0:
        ret->scale = load_half(block);
        unpack_bytes(block + 2, ret->codes);
        return;
    case WEIGHT_Q4_K:
        unpack_nested_scales(block, part, ret);
        unpack_nested_nibbles(block + 16, part, ret->codes);
        return;
    case WEIGHT_Q5_K:
        unpack_nested_scales(block, part, ret);
        unpack_nested_nibbles(block + 48, part, ret->codes);
        unpack_nested_fifth_bits(block + 16, part, ret->codes);
        return;
    default:
        assert(type == WEIGHT_Q6_K);
        unpack_q6_k(block, part, ret);
    }
}

static void dequantize_part(enum weight_type type, const struct quant_part *part, float *out)
{
    enum quant_scaling scaling = quant_scaling_of(type);
    int32_t centre = quant_centre_of(type);
    float scale = quant_half_to_float(part->scale);
    for (uint32_t i = 0; i < QUANT_PART_WEIGHTS; i++) {
        float code = (float)((int32_t)part->codes[i] - centre);
        if (scaling == QUANT_SCALING_HALF)
            out[i] = scale * code;
        else if (scaling == QUANT_SCALING_MINIMUM)
            out[i] = scale * code + quant_half_to_float(part->minimum);
        else if (scaling == QUANT_SCALING_NESTED)
            out[i] = scale * (float)part->sub_scales[0] * code -
                     quant_half_to_float(part->minimum) * (float)part->sub_minimum;
        else
            out[i] = scale * (float)(int8_t)part->sub_scales[i / 16] * code;
    }
}

void quant_dequantize_row(const struct quant_format *format, const void *row, uint64_t columns,
                          float *out)
{
    const uint8_t *bytes = row;
    if (format->type == WEIGHT_F32) {
        memcpy(out, row, columns * sizeof *out);
        return;
    }
    if (format->block_weights == 1) {
        for (uint64_t i = 0; i < columns; i++) {
            uint16_t bits = load_half(bytes + 2 * i);
            out[i] =
                format->type == WEIGHT_F16 ? quant_half_to_float(bits) : quant_bf16_to_float(bits);
        }
        return;
    }
    uint32_t parts = format->block_weights / QUANT_PART_WEIGHTS;
    struct quant_part part = {0};
    for (uint64_t i = 0; i < columns / QUANT_PART_WEIGHTS; i++) {
        quant_unpack_part(format->type, bytes + i / parts * format->block_bytes,
                          (uint32_t)(i % parts), &part);
        dequantize_part(format->type, &part, out + i * QUANT_PART_WEIGHTS);
    }
}
