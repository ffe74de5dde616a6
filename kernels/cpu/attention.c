/* SPDX-License-Identifier: Apache-2.0 */
/* attention.c -- which queries meet which tiles, in which order.
 *
 *     positions   0        64       128      192          a task: rows 130..137 of one KV head
 *     tile        |   0    |   1    |   2    |
 *     row 130     |........|........|...     |            every query takes tile 0, then tile 1,
 *     row 131     |........|........|....    |            then its own part of tile 2
 *
 * The loop over tiles is outside, for a tile's 16 KiB (of 64-wide heads) then stay in the first
 * level cache while all queries of the task pass; queries that see the same part go together.
 * A query meets its tiles in ascending order whatever the task holds besides. */
#include "kernels/cpu/attention.h"

#include "kernels/cpu/ops.h"

#include <math.h>
#include <string.h>

#define QUERIES_MAX 48u /* of a task at once */

struct walk {
    const struct attention_args *args;
    const uint32_t *block_table; /* of the sequence; borrowed: the caller */
    uint32_t kv_head;
    uint32_t query_count;
    struct attention_query queries[QUERIES_MAX]; /* in order of row */
};

static uint32_t largest_of(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t least_of(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The part of the tile at `base` that the query sees; empty parts have begin >= end. */
static void seen_part(const struct attention_query *query, uint32_t base, uint32_t *ret_begin,
                      uint32_t *ret_end)
{
    *ret_begin = largest_of(query->first, base) - base;
    *ret_end = largest_of(least_of(query->end, base + ATTENTION_TILE), base) - base;
}

static void tile_fill(struct attention_tile *tile, const struct walk *walk, uint32_t base,
                      uint32_t begin, uint32_t end)
{
    const struct attention_args *args = walk->args;
    const size_t bytes = kv_slice_bytes(args->format, args->head_dim);
    const uint32_t key_slice = walk->kv_head, value_slice = args->kv_heads + walk->kv_head;
    tile->begin = begin;
    tile->end = end;
    for (uint32_t i = begin / KV_BLOCK_TOKENS; i * KV_BLOCK_TOKENS < end; i++) {
        uint32_t block = walk->block_table[base / KV_BLOCK_TOKENS + i];
        tile->keys[i] = kv_slice(args->cache, block, args->kv_heads, key_slice, bytes);
        tile->values[i] = kv_slice(args->cache, block, args->kv_heads, value_slice, bytes);
    }
}

/* Gives the tile at `base` to all queries, those side by side that see the same of it. */
static void walk_tile(struct walk *walk, attention_tile_op op, uint32_t base)
{
    for (uint32_t i = 0; i < walk->query_count;) {
        uint32_t begin, end, next_begin, next_end;
        seen_part(&walk->queries[i], base, &begin, &end);
        uint32_t count = 1;
        for (; i + count < walk->query_count; count++) {
            seen_part(&walk->queries[i + count], base, &next_begin, &next_end);
            if (next_begin != begin || next_end != end)
                break;
        }
        if (begin < end) {
            struct attention_tile tile;
            tile_fill(&tile, walk, base, begin, end);
            op(walk->args, &tile, &walk->queries[i], count);
        }
        i += count;
    }
}

static void walk_run(struct walk *walk, attention_tile_op op)
{
    const uint32_t head_dim = walk->args->head_dim;
    uint32_t base = walk->queries[0].first / ATTENTION_TILE * ATTENTION_TILE;
    for (; base < walk->queries[walk->query_count - 1].end; base += ATTENTION_TILE)
        walk_tile(walk, op, base);
    for (uint32_t i = 0; i < walk->query_count; i++) {
        const struct attention_query *query = &walk->queries[i];
        const float share = 1.0f / query->total;
        for (uint32_t d = 0; d < head_dim; d++)
            query->out[d] *= share;
    }
}

static void query_init(struct attention_query *query, const struct attention_args *args,
                       uint32_t row, uint32_t head, uint32_t position)
{
    const size_t offset = ((size_t)row * args->heads + head) * args->head_dim;
    query->q = args->q + offset;
    query->out = args->out + offset;
    query->end = position + 1;
    query->first = args->window == 0 || query->end < args->window ? 0 : query->end - args->window;
    /* With a sink, as after one key of that score and with zeros for value. */
    query->largest = args->sinks == NULL ? -INFINITY : args->sinks[head];
    query->total = args->sinks == NULL ? 0.0f : 1.0f;
    memset(query->out, 0, args->head_dim * sizeof *query->out);
}

void cpu_attention(attention_tile_op op, const struct attention_args *args, uint32_t first_row,
                   uint32_t end_row, uint32_t kv_head)
{
    const uint32_t group = args->heads / args->kv_heads;
    struct walk walk = {.args = args, .kv_head = kv_head};
    uint32_t span_index = span_of_row(args->spans, args->span_count, first_row);
    for (uint32_t row = first_row; row < end_row; row++) {
        const struct attention_span *span = &args->spans[span_index];
        walk.block_table = args->block_tables + span->block_offset;
        for (uint32_t i = 0; i < group; i++) {
            query_init(&walk.queries[walk.query_count++], args, row, kv_head * group + i,
                       span->position + (row - span->first_row));
            if (walk.query_count == QUERIES_MAX) {
                walk_run(&walk, op);
                walk.query_count = 0;
            }
        }
        const bool span_ends = row + 1 - span->first_row == span->row_count;
        if (walk.query_count > 0 && (span_ends || row + 1 == end_row)) {
            walk_run(&walk, op);
            walk.query_count = 0;
        }
        if (span_ends)
            span_index++;
    }
}
