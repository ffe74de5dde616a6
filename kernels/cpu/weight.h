/* SPDX-License-Identifier: Apache-2.0 */
/* weight.h -- matrices on the CPU: laid out once at load, multiplied ever after.
 *
 * The face between the quantised matrix code (weight.c, linear*.c) and the backend's table
 * (cpu_backend.c). Engine thread only, but for the tasks it hands to the pool. */
#ifndef WEIR_KERNELS_CPU_WEIGHT_H
#define WEIR_KERNELS_CPU_WEIGHT_H

#include "kernels/backend.h"
#include "kernels/cpu/pool.h"

/* What the processor offers, AUTO resolved; ERROR_UNSUPPORTED when `wanted` is more. */
int cpu_level_resolve(enum cpu_level wanted, enum cpu_level *ret, struct error *err);
const char *cpu_level_name(enum cpu_level level); /* "scalar", "avx2", "avx512" */

struct weight *cpu_weight_prepare(enum cpu_level level, struct pool *pool,
                                  const struct weight_source *source, struct error *err);
void cpu_weight_free(struct weight *weight); /* NULL is fine */
size_t cpu_weight_bytes(const struct weight *weight);
uint32_t cpu_weight_rows(const struct weight *weight);
uint32_t cpu_weight_columns(const struct weight *weight);

/* Scratch that cpu_linear() needs for up to rows_max rows of columns_max activations. */
size_t cpu_linear_scratch_bytes(uint32_t rows_max, uint32_t columns_max);
/* scratch: 64-byte aligned. Results are bit-identical at every level and any row count. */
void cpu_linear(enum cpu_level level, struct pool *pool, void *scratch,
                const struct linear_args *args);
/* The same for cpu_moe_linear(), of up to entries_max entries. */
size_t cpu_moe_linear_scratch_bytes(uint64_t entries_max, uint32_t columns_max);
void cpu_moe_linear(enum cpu_level level, struct pool *pool, void *scratch,
                    const struct moe_linear_args *args);
/* Dequantises the named rows; exact as quant_dequantize_row(). */
void cpu_embed(struct pool *pool, const struct embed_args *args);

#endif
