/* SPDX-License-Identifier: Apache-2.0 */
/* kv_format.h -- how the KV cache spells keys and values, and what that takes. Pure; any thread.
 *
 * A layer's cache is [blocks][2][kv_heads] slices, K then V: a slice is what one KV head has of the
 * KV_BLOCK_TOKENS tokens of a block. F16 is the finest (11 bits of significand); BF16 reaches as
 * far as a float does (8 bits); FP8 takes half the room (4 bits, and a scale: kv_fp8.h). Numbers
 * are rounded to nearest, ties to even. A token's bits in the cache are a function of that token's
 * K and V alone, whatever was written beside it: batch invariance begins here. */
#ifndef WEIR_KERNELS_KV_FORMAT_H
#define WEIR_KERNELS_KV_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define KV_BLOCK_TOKENS 16u /* tokens a KV block holds */

enum kv_format { KV_F16, KV_BF16, KV_FP8 };

/* A multiple of 16. */
static inline size_t kv_slice_bytes(enum kv_format format, uint32_t head_dim)
{
    const size_t numbers = (size_t)KV_BLOCK_TOKENS * head_dim;
    return format == KV_FP8 ? numbers + KV_BLOCK_TOKENS * sizeof(uint16_t)
                            : numbers * sizeof(uint16_t);
}

/* As engine.kv_format has it. */
static inline const char *kv_format_name(enum kv_format format)
{
    return format == KV_FP8 ? "fp8" : format == KV_BF16 ? "bf16" : "f16";
}

#endif
