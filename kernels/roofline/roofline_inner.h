/* SPDX-License-Identifier: Apache-2.0 */
/* roofline_inner.h -- between the backend that counts (roofline.c) and the arithmetic, an op family
 * a file. */
#ifndef WEIR_KERNELS_ROOFLINE_ROOFLINE_INNER_H
#define WEIR_KERNELS_ROOFLINE_ROOFLINE_INNER_H

#include "kernels/cuda/attention_plan.h"
#include "kernels/roofline/roofline.h"

struct roofline {
    struct backend face; /* first: backend.h */
    uintptr_t next_address;
    struct roofline_kernel kernels[ROOFLINE_KERNELS_MAX];
    uint32_t kernel_count;
    /* of reserve() */
    struct attention_plan plan;
    uint32_t *keys; /* [rows_max] of one op; after draw(): which rows are the host's */
    uint32_t rows_max, draws_max;
};

/* The kernel's entry, one launch counted. */
struct roofline_kernel *roofline_launch(struct roofline *roofline, const char *name);

/* Memory that an array of so many bytes, at the start of a sector, touches. */
static inline uint64_t roofline_sectors(uint64_t bytes)
{
    return (bytes + ROOFLINE_SECTOR_BYTES - 1) / ROOFLINE_SECTOR_BYTES * ROOFLINE_SECTOR_BYTES;
}

static inline uint64_t roofline_floats(uint64_t count)
{
    return roofline_sectors(count * sizeof(float));
}

void roofline_embed(struct roofline *roofline, const struct embed_args *args);
void roofline_linear(struct roofline *roofline, const struct linear_args *args);
void roofline_moe_linear(struct roofline *roofline, const struct moe_linear_args *args);
void roofline_kv_write(struct roofline *roofline, const struct kv_write_args *args);
void roofline_attention(struct roofline *roofline, const struct attention_args *args);
void roofline_draw(struct roofline *roofline, const struct draw_args *args);
void roofline_feed(struct roofline *roofline, uint32_t rows); /* by the last draw's tokens */

#endif
