/* SPDX-License-Identifier: Apache-2.0 */
/* kv_body.h -- the cache written, and read sixteen numbers at a time. Once per ops_<level>.c, after
 * its lanes. What is inlined is told the format as a constant: no inner loop asks for it. */
#ifndef WEIR_KERNELS_CPU_KV_BODY_H
#define WEIR_KERNELS_CPU_KV_BODY_H

#include "kernels/cpu/lanes_math.h"
#include "kernels/cpu/ops.h"
#include "kernels/kv_fp8.h"

#include <string.h>

#define KV_INLINE static inline __attribute__((always_inline))

/* Numbers [at, at + count) of a slice, those of KV_FP8 before their scales. */
KV_INLINE struct lanes kv_load(const void *slice, size_t at, uint64_t count,
                               const enum kv_format format)
{
    const uint16_t *from = (const uint16_t *)slice + at;
    if (format == KV_FP8)
        return lanes_load_fp8((const uint8_t *)slice + at, count);
    return format == KV_BF16 ? lanes_load_bf16(from, count) : lanes_load_half(from, count);
}

/* The scales of a slice of KV_FP8, a token each. */
KV_INLINE uint16_t *kv_scales(const void *slice, uint32_t head_dim)
{
    return (uint16_t *)((char *)slice + (size_t)KV_BLOCK_TOKENS * head_dim);
}

KV_INLINE struct lanes kv_load_scales(const void *slice, uint32_t head_dim)
{
    return lanes_load_half(kv_scales(slice, head_dim), LANES);
}

/* quant_float_to_bf16(), in a form of which the compiler makes vectors. */
KV_INLINE void store_bf16(uint16_t to[LANES], struct lanes from)
{
    float values[LANES];
    uint32_t words[LANES];
    lanes_store(values, from, LANES);
    memcpy(words, values, sizeof words);
    for (uint32_t i = 0; i < LANES; i++) {
        const uint32_t rounded = words[i] + 0x7fff + (words[i] >> 16 & 1);
        const uint32_t nan = words[i] | 0x400000;
        to[i] = (uint16_t)(((words[i] & 0x7fffffffu) > 0x7f800000u ? nan : rounded) >> 16);
    }
}

static inline uint32_t fp8_exponent(const float *from, uint32_t count)
{
    uint32_t largest = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t size = kv_fp8_size(from[i]);
        largest = size > largest ? size : largest;
    }
    return kv_fp8_exponent(largest);
}

static inline void fp8_codes(uint8_t codes[LANES], struct lanes from, float inverse)
{
    float numbers[LANES];
    lanes_store(numbers, from, LANES);
    for (uint32_t i = 0; i < LANES; i++)
        codes[i] = kv_fp8_code(numbers[i], inverse);
}

static inline void write_fp8(uint8_t *keys, uint8_t *values, const float *k, const float *v,
                             uint32_t slot, uint32_t head_dim)
{
    const uint32_t of_k = fp8_exponent(k, head_dim);
    const uint32_t of_v = of_k == KV_FP8_NONE ? of_k : fp8_exponent(v, head_dim);
    kv_scales(keys, head_dim)[slot] = kv_fp8_scale(of_k);
    kv_scales(values, head_dim)[slot] = kv_fp8_scale(of_v);
    for (uint32_t d = 0; d < head_dim; d += LANES) {
        const uint32_t width = head_dim - d < LANES ? head_dim - d : LANES;
        uint8_t codes[LANES];
        fp8_codes(codes, lanes_load(k + d, width), kv_fp8_inverse(of_k));
        for (uint32_t i = 0; i < width; i++)
            keys[(size_t)(d + i) * KV_BLOCK_TOKENS + slot] = codes[i];
        fp8_codes(codes, lanes_load(v + d, width), kv_fp8_inverse(of_v));
        memcpy(values + (size_t)slot * head_dim + d, codes, width);
    }
}

/* One row's K and V of one head into the slot of its position. */
KV_INLINE void kv_write_head(const struct kv_write_args *args, uint32_t block, uint32_t slot,
                             uint32_t row, uint32_t head, const enum kv_format format)
{
    const uint32_t head_dim = args->head_dim;
    const size_t from = ((size_t)row * args->kv_heads + head) * head_dim;
    const size_t bytes = kv_slice_bytes(format, head_dim);
    uint16_t *keys = kv_slice(args->cache, block, args->kv_heads, head, bytes);
    uint16_t *values = kv_slice(args->cache, block, args->kv_heads, args->kv_heads + head, bytes);
    if (format == KV_FP8) {
        write_fp8((uint8_t *)keys, (uint8_t *)values, args->k + from, args->v + from, slot,
                  head_dim);
        return;
    }
    for (uint32_t d = 0; d < head_dim; d += LANES) {
        const uint32_t width = head_dim - d < LANES ? head_dim - d : LANES;
        const struct lanes k = lanes_load(args->k + from + d, width);
        const struct lanes v = lanes_load(args->v + from + d, width);
        uint16_t k_shorts[LANES], v_shorts[LANES];
        if (format == KV_BF16) {
            store_bf16(k_shorts, k);
            store_bf16(v_shorts, v);
        } else {
            lanes_store_half(k_shorts, k, LANES);
            lanes_store_half(v_shorts, v, LANES);
        }
        for (uint32_t i = 0; i < width; i++)
            keys[(size_t)(d + i) * KV_BLOCK_TOKENS + slot] = k_shorts[i];
        memcpy(values + (size_t)slot * head_dim + d, v_shorts, width * sizeof *v_shorts);
    }
}

static void kv_write(const struct kv_write_args *args, uint32_t first_row, uint32_t end_row)
{
    uint32_t span_index = span_of_row(args->spans, args->span_count, first_row);
    for (uint32_t row = first_row; row < end_row; row++) {
        while (row - args->spans[span_index].first_row >= args->spans[span_index].row_count)
            span_index++;
        const struct attention_span *span = &args->spans[span_index];
        const uint32_t position = span->position + (row - span->first_row);
        const uint32_t block = args->block_tables[span->block_offset + position / KV_BLOCK_TOKENS];
        const uint32_t slot = position % KV_BLOCK_TOKENS;
        for (uint32_t head = 0; head < args->kv_heads; head++) {
            if (args->format == KV_FP8)
                kv_write_head(args, block, slot, row, head, KV_FP8);
            else if (args->format == KV_BF16)
                kv_write_head(args, block, slot, row, head, KV_BF16);
            else
                kv_write_head(args, block, slot, row, head, KV_F16);
        }
    }
}

#endif
