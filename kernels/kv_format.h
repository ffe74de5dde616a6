/* SPDX-License-Identifier: Apache-2.0 */
/* kv_format.h -- how the KV cache spells keys and values, and what that takes. Pure; any thread.
 *
 * A layer's cache is [blocks][2][kv_heads] slices, K then V: a slice is what one KV head has of the
 * KV_BLOCK_TOKENS tokens of a block. F16 is finer (11 bits of significand), BF16 reaches as far as
 * a float does (8 bits). Each number is rounded to nearest by itself, ties to even: a token's bits
 * in the cache are a function of that token's K and V alone, whatever was written beside it. */
#ifndef WEIR_KERNELS_KV_FORMAT_H
#define WEIR_KERNELS_KV_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define KV_BLOCK_TOKENS 16u /* tokens a KV block holds */

enum kv_format { KV_F16, KV_BF16 };

/* A multiple of 16 where head_dim is even. */
static inline size_t kv_slice_bytes(enum kv_format format, uint32_t head_dim)
{
    (void)format;
    return (size_t)KV_BLOCK_TOKENS * head_dim * sizeof(uint16_t);
}

/* As engine.kv_format has it. */
static inline const char *kv_format_name(enum kv_format format)
{
    return format == KV_BF16 ? "bf16" : "f16";
}

#endif
