/* SPDX-License-Identifier: Apache-2.0 */
/* moe_body.h -- routing to experts, and the sum of what they say, over whichever lanes were
 * included before. Once per ops_<level>.c. */
#ifndef WEIR_KERNELS_CPU_MOE_BODY_H
#define WEIR_KERNELS_CPU_MOE_BODY_H

#include "kernels/cpu/lanes_math.h"
#include "kernels/cpu/moe.h"

/* e^(score - highest); lanes past the row's end are 0. */
static inline struct lanes moe_weights(const float *scores, float highest, uint32_t count)
{
    float part[LANES] = {0};
    struct lanes below = lanes_add(lanes_load(scores, count), lanes_set(-highest));
    lanes_store(part, lanes_exp(below), count);
    return lanes_load(part, LANES);
}

static float moe_weight_of_all(const float *scores, float highest, uint32_t experts)
{
    struct lanes sum = lanes_set(0.0f);
    for (uint32_t i = 0; i < experts; i += LANES)
        sum = lanes_add(sum, moe_weights(scores + i, highest, experts - i));
    return lanes_sum(sum);
}

static void moe_route_row(const struct moe_route_args *args, uint32_t row)
{
    const float *scores = args->scores + (size_t)row * args->experts;
    const uint32_t top_k = args->top_k;
    uint32_t *chosen = args->chosen + (size_t)row * top_k;
    float *weights = args->weights + (size_t)row * top_k, total = 0.0f;
    uint64_t last = UINT64_MAX;
    for (uint32_t rank = 0; rank < top_k; rank++) {
        uint64_t best = 0;
        for (uint32_t expert = 0; expert < args->experts; expert++) {
            uint64_t key = moe_key(scores[expert], expert);
            best = key < last && key > best ? key : best;
        }
        chosen[rank] = draw_key_token(best);
        weights[rank] = scores[chosen[rank]];
        last = best;
    }
    const float highest = weights[0];
    for (uint32_t i = 0; i < top_k; i += LANES)
        lanes_store(weights + i, moe_weights(weights + i, highest, top_k - i), top_k - i);
    if (args->renormalise)
        for (uint32_t rank = 0; rank < top_k; rank++)
            total += weights[rank];
    else
        total = moe_weight_of_all(scores, highest, args->experts);
    for (uint32_t rank = 0; rank < top_k; rank++)
        weights[rank] = weights[rank] / total * args->scale;
}

static void moe_route(const struct moe_route_args *args, uint32_t first_row, uint32_t end_row)
{
    for (uint32_t row = first_row; row < end_row; row++)
        moe_route_row(args, row);
}

static void moe_combine_row(const struct moe_combine_args *args, uint32_t row)
{
    const uint32_t width = args->width, top_k = args->top_k;
    const uint32_t *places = args->places + (size_t)row * top_k;
    const float *weights = args->weights + (size_t)row * top_k;
    const float *shared = args->shared == NULL ? NULL : args->shared + (size_t)row * width;
    struct lanes share = lanes_set(1.0f);
    if (args->shared_scores != NULL)
        share = lanes_logistic(lanes_set(args->shared_scores[row]));
    for (uint32_t i = 0; i < width; i += LANES) {
        struct lanes sum = lanes_set(0.0f);
        for (uint32_t rank = 0; rank < top_k; rank++) {
            const float *x = args->x + (size_t)places[rank] * width + i;
            sum = lanes_fma(lanes_set(weights[rank]), lanes_load(x, width - i), sum);
        }
        if (shared != NULL)
            sum = lanes_fma(share, lanes_load(shared + i, width - i), sum);
        lanes_store(args->out + (size_t)row * width + i, sum, width - i);
    }
}

static void moe_combine(const struct moe_combine_args *args, uint32_t first_row, uint32_t end_row)
{
    for (uint32_t row = first_row; row < end_row; row++)
        moe_combine_row(args, row);
}

#endif
