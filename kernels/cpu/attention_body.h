/* SPDX-License-Identifier: Apache-2.0 */
/* attention_body.h -- the paged cache read. Once per ops_<level>.c, after its lanes.
 *
 * A query is one (row, head). It walks its own keys in tiles of 64, aligned to the position in the
 * sequence, with a running maximum (Milakov and Gimelshein 2018; FlashAttention, Dao et al. 2022):
 *
 *     largest' = max(largest, max s)             s = scale * q . k, each dot in order of dimension
 *     total    = total * e^(largest - largest') + sum e^(s - largest')
 *     out      = out   * e^(largest - largest') + sum e^(s - largest') v, in order of position
 *
 * and divides by total at the end. Nothing in it depends on which other queries are at work, which
 * is batch invariance; up to RUN queries that see the same keys of a tile are done side by side
 * only so that each key and value is loaded once for all (the heads of a group, rows of a prefill).
 * A tile's keys and values stay in the first-level cache while all queries of the task pass.
 *
 * Slots past a row's own position may hold anything, NaN too: scores there are overwritten, not
 * added to, and values there are never read. */
#ifndef WEIR_KERNELS_CPU_ATTENTION_BODY_H
#define WEIR_KERNELS_CPU_ATTENTION_BODY_H

#include "kernels/cpu/attention.h"
#include "kernels/cpu/kv_body.h"
#include "kernels/cpu/lanes_math.h"

#define RUN 6u /* queries side by side: 12 of AVX2's 16 registers accumulate */

_Static_assert(KV_BLOCK_TOKENS == LANES, "a block's keys fill the lanes");

/* Of up to RUN queries: scores, then weights, and what their earlier sums shrink by. */
struct run_weights {
    float of[RUN][ATTENTION_TILE], shrink[RUN];
};

/* scores->of[i][key] for the blocks of the tile that hold keys begin .. end - 1; -infinity for the
 * keys of those blocks outside. */
KV_INLINE void score_run(const struct attention_args *args, const struct attention_tile *tile,
                         const struct attention_query *queries, struct run_weights *scores,
                         const uint32_t count, const enum kv_format format)
{
    const float scale = args->softcap == 0.0f ? args->scale : 2.0f * args->scale / args->softcap;
    for (uint32_t block = tile->begin / LANES; block * LANES < tile->end; block++) {
        struct lanes dots[RUN];
        for (uint32_t i = 0; i < count; i++)
            dots[i] = lanes_set(0.0f);
        for (uint32_t d = 0; d < args->head_dim; d++) {
            struct lanes keys = kv_load(tile->keys[block], (size_t)d * LANES, LANES, format);
            for (uint32_t i = 0; i < count; i++)
                dots[i] = lanes_fma(lanes_set(queries[i].q[d]), keys, dots[i]);
        }
        for (uint32_t i = 0; i < count; i++) {
            if (format == KV_FP8)
                dots[i] = lanes_mul(dots[i], kv_load_scales(tile->keys[block], args->head_dim));
            struct lanes score = lanes_mul(dots[i], lanes_set(scale));
            if (args->softcap != 0.0f) { /* cap tanh(s / cap), and tanh(y) = 1 - 2 / (1 + e^2y) */
                struct lanes fall =
                    lanes_div(lanes_set(-2.0f), lanes_add(lanes_set(1.0f), lanes_exp(score)));
                score = lanes_mul(lanes_add(lanes_set(1.0f), fall), lanes_set(args->softcap));
            }
            lanes_store(scores->of[i] + block * LANES, score, LANES);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t key = tile->begin / LANES * LANES; key < tile->begin; key++)
            scores->of[i][key] = -INFINITY;
        for (uint32_t key = tile->end; key % LANES != 0; key++)
            scores->of[i][key] = -INFINITY;
    }
}

/* Scores become weights e^(s - largest). Returns what the query's earlier sums shrink by. */
static inline float soften(const struct attention_tile *tile, struct attention_query *query,
                           float *scores)
{
    const uint32_t begin = tile->begin / LANES * LANES;
    struct lanes peaks = lanes_set(query->largest);
    for (uint32_t key = begin; key < tile->end; key += LANES)
        peaks = lanes_max(peaks, lanes_load(scores + key, LANES));
    const float largest = lanes_largest(peaks);
    const struct lanes minus_largest = lanes_set(-largest);
    struct lanes sums = lanes_set(0.0f);
    for (uint32_t key = begin; key < tile->end; key += LANES) {
        struct lanes weights = lanes_exp(lanes_add(lanes_load(scores + key, LANES), minus_largest));
        lanes_store(scores + key, weights, LANES);
        sums = lanes_add(sums, weights);
    }
    float shrink[LANES];
    lanes_store(shrink, lanes_exp(lanes_set(query->largest - largest)), LANES);
    query->largest = largest;
    query->total = fmaf(query->total, shrink[0], lanes_sum(sums));
    return shrink[0];
}

/* Values that share a scale a token lend it to that token's weight, exactly. */
KV_INLINE void scale_weights(const struct attention_tile *tile, uint32_t head_dim, float *weights)
{
    for (uint32_t block = tile->begin / LANES; block * LANES < tile->end; block++) {
        float *of_block = weights + block * LANES;
        struct lanes scales = kv_load_scales(tile->values[block], head_dim);
        lanes_store(of_block, lanes_mul(lanes_load(of_block, LANES), scales), LANES);
    }
}

/* out = out * shrink + weights . values */
KV_INLINE void value_run(uint32_t head_dim, const struct attention_tile *tile,
                         const struct attention_query *queries, const struct run_weights *weights,
                         const uint32_t count, const enum kv_format format)
{
    for (uint32_t d = 0; d < head_dim; d += LANES) {
        const uint32_t width = head_dim - d;
        struct lanes sums[RUN];
        for (uint32_t i = 0; i < count; i++)
            sums[i] =
                lanes_mul(lanes_load(queries[i].out + d, width), lanes_set(weights->shrink[i]));
        for (uint32_t key = tile->begin; key < tile->end; key++) {
            const size_t at = (size_t)(key % LANES) * head_dim + d;
            struct lanes values = kv_load(tile->values[key / LANES], at, width, format);
            for (uint32_t i = 0; i < count; i++)
                sums[i] = lanes_fma(lanes_set(weights->of[i][key]), values, sums[i]);
        }
        for (uint32_t i = 0; i < count; i++)
            lanes_store(queries[i].out + d, sums[i], width);
    }
}

KV_INLINE void attend_run(const struct attention_args *args, const struct attention_tile *tile,
                          struct attention_query *queries, const uint32_t count,
                          const enum kv_format format)
{
    struct run_weights weights;
    score_run(args, tile, queries, &weights, count, format);
    for (uint32_t i = 0; i < count; i++) {
        weights.shrink[i] = soften(tile, &queries[i], weights.of[i]);
        if (format == KV_FP8)
            scale_weights(tile, args->head_dim, weights.of[i]);
    }
    value_run(args->head_dim, tile, queries, &weights, count, format);
}

KV_INLINE void attend_few(const struct attention_args *args, const struct attention_tile *tile,
                          struct attention_query *queries, uint32_t count,
                          const enum kv_format format)
{
    switch (count) { /* one body a count, so that its accumulators are registers */
    case 1:
        attend_run(args, tile, queries, 1, format);
        break;
    case 2:
        attend_run(args, tile, queries, 2, format);
        break;
    case 3:
        attend_run(args, tile, queries, 3, format);
        break;
    case 4:
        attend_run(args, tile, queries, 4, format);
        break;
    case 5:
        attend_run(args, tile, queries, 5, format);
        break;
    default:
        attend_run(args, tile, queries, RUN, format);
        break;
    }
}

static void attend(const struct attention_args *args, const struct attention_tile *tile,
                   struct attention_query *queries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i += RUN) {
        const uint32_t run = count - i < RUN ? count - i : RUN;
        if (args->format == KV_FP8)
            attend_few(args, tile, queries + i, run, KV_FP8);
        else if (args->format == KV_BF16)
            attend_few(args, tile, queries + i, run, KV_BF16);
        else
            attend_few(args, tile, queries + i, run, KV_F16);
    }
}

#endif
