/* SPDX-License-Identifier: Apache-2.0 */
/* ops.h -- the arithmetic of every op but linear, once for each instruction set.
 *
 * The formulas are written once, in ops_body.h and attention_body.h, over sixteen lanes; each
 * ops_<level>.c gives them its lanes. All levels compute the same fused multiply-adds in the same
 * order, so their results are the same bits: scalar defines, the others are only faster.
 * Pure functions of their arguments; they write only the rows or elements they are given, so that
 * any thread of the pool may take any range. */
#ifndef WEIR_KERNELS_CPU_OPS_H
#define WEIR_KERNELS_CPU_OPS_H

#include "kernels/cpu/attention.h"

/* Largest sequence position: positions stay exact in a float, angles in range of the sine. */
#define CPU_POSITION_MAX (1u << 24)

struct cpu_ops {
    /* Rows [first_row, end_row). */
    void (*rms_norm)(const struct rms_norm_args *args, uint32_t first_row, uint32_t end_row);
    void (*layer_norm)(const struct layer_norm_args *args, uint32_t first_row, uint32_t end_row);
    void (*rope)(const struct rope_args *args, uint32_t first_row, uint32_t end_row);
    void (*kv_write)(const struct kv_write_args *args, uint32_t first_row, uint32_t end_row);
    void (*moe_route)(const struct moe_route_args *args, uint32_t first_row, uint32_t end_row);
    void (*moe_combine)(const struct moe_combine_args *args, uint32_t first_row, uint32_t end_row);
    attention_tile_op attend; /* for cpu_attention() */
    /* Elements [begin, end). */
    void (*add)(const struct add_args *args, uint64_t begin, uint64_t end);
    void (*gated)(const struct gated_args *args, uint64_t begin, uint64_t end);
};

extern const struct cpu_ops cpu_ops_scalar;
extern const struct cpu_ops cpu_ops_avx2;   /* needs AVX2, FMA and F16C */
extern const struct cpu_ops cpu_ops_avx512; /* needs AVX-512 F, BW, VL and DQ besides */

/* Index of the span that holds `row`. Spans cover rows in ascending order. */
static inline uint32_t span_of_row(const struct attention_span *spans, uint32_t span_count,
                                   uint32_t row)
{
    uint32_t low = 0, high = span_count - 1; /* the last span that begins at or before row */
    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        if (spans[middle].first_row <= row)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* One head's K, or V, of one block. K is transposed, [head_dim][KV_BLOCK_TOKENS], so that a query
 * meets sixteen keys with one load and no sum across lanes; V is [KV_BLOCK_TOKENS][head_dim].
 * slice_index: of [2][kv_heads]. */
static inline void *kv_slice(const void *cache, uint32_t block, uint32_t kv_heads,
                             uint32_t slice_index, size_t slice_bytes)
{
    return (char *)cache + ((size_t)block * 2 * kv_heads + slice_index) * slice_bytes;
}

#endif
