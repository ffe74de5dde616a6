/* SPDX-License-Identifier: Apache-2.0 */
/* attention.h -- queries meet the tiles of their sequence's cache.
 *
 * attention.c walks block tables; the arithmetic on one tile (attention_body.h) is the level's.
 * Writes only the rows and heads it is given: any thread of the pool may take any of them. */
#ifndef WEIR_KERNELS_CPU_ATTENTION_H
#define WEIR_KERNELS_CPU_ATTENTION_H

#include "kernels/backend.h"

#define ATTENTION_TILE_BLOCKS 4u
#define ATTENTION_TILE        (ATTENTION_TILE_BLOCKS * KV_BLOCK_TOKENS)

/* One row's one head. */
struct attention_query {
    const float *q;       /* [head_dim] */
    float *out;           /* [head_dim] weighted sum so far, not yet divided by total */
    uint32_t first, end;  /* positions it sees */
    float largest, total; /* of the scores so far; sum of e^(score - largest) */
};

/* What several queries see of ATTENTION_TILE positions. */
struct attention_tile {
    const void *keys[ATTENTION_TILE_BLOCKS]; /* slices (ops.h), of blocks that are seen */
    const void *values[ATTENTION_TILE_BLOCKS];
    uint32_t begin, end; /* positions seen, relative to the tile; begin < end */
};

/* Takes the tile into the sums of `count` queries that see the same part of it. */
typedef void (*attention_tile_op)(const struct attention_args *args,
                                  const struct attention_tile *tile,
                                  struct attention_query *queries, uint32_t count);

/* Rows [first_row, end_row) and the heads that read kv_head. */
void cpu_attention(attention_tile_op op, const struct attention_args *args, uint32_t first_row,
                   uint32_t end_row, uint32_t kv_head);

#endif
