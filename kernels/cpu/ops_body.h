/* SPDX-License-Identifier: Apache-2.0 */
/* ops_body.h -- the formulas, over whichever lanes were included before. Once per ops_<level>.c. */
#ifndef WEIR_KERNELS_CPU_OPS_BODY_H
#define WEIR_KERNELS_CPU_OPS_BODY_H

#include "kernels/cpu/lanes_math.h"
#include "kernels/cpu/ops.h"

static void rms_norm_row(const struct rms_norm_args *args, uint32_t row)
{
    const uint32_t width = args->width;
    float *x = args->x + (size_t)row * width;
    const float *residual = args->residual == NULL ? NULL : args->residual + (size_t)row * width;
    float *out = args->out + (size_t)row * width;
    struct lanes squares = lanes_set(0.0f);
    for (uint32_t i = 0; i < width; i += LANES) {
        struct lanes value = lanes_load(x + i, width - i);
        if (residual != NULL) {
            value = lanes_add(value, lanes_load(residual + i, width - i));
            lanes_store(x + i, value, width - i);
        }
        squares = lanes_fma(value, value, squares);
    }
    struct lanes scale = lanes_set(1.0f / sqrtf(lanes_sum(squares) / (float)width + args->epsilon));
    for (uint32_t i = 0; i < width; i += LANES) {
        struct lanes normed = lanes_mul(lanes_load(x + i, width - i), scale);
        normed = lanes_mul(normed, lanes_load(args->gain + i, width - i));
        lanes_store(out + i, normed, width - i);
    }
}

static void rms_norm(const struct rms_norm_args *args, uint32_t first_row, uint32_t end_row)
{
    for (uint32_t row = first_row; row < end_row; row++)
        rms_norm_row(args, row);
}

/* Three passes over a row that the first cache holds: what is above the mean waits in `out`, where
 * lanes past the row's end read as 0 again. */
static void layer_norm_row(const struct layer_norm_args *args, uint32_t row)
{
    const uint32_t width = args->width;
    float *x = args->x + (size_t)row * width, *out = args->out + (size_t)row * width;
    const float *residual = args->residual == NULL ? NULL : args->residual + (size_t)row * width;
    struct lanes sum = lanes_set(0.0f), squares = sum;
    for (uint32_t i = 0; i < width; i += LANES) {
        struct lanes value = lanes_load(x + i, width - i);
        if (residual != NULL) {
            value = lanes_add(value, lanes_load(residual + i, width - i));
            lanes_store(x + i, value, width - i);
        }
        sum = lanes_add(sum, value);
    }
    struct lanes minus_mean = lanes_set(-(lanes_sum(sum) / (float)width));
    for (uint32_t i = 0; i < width; i += LANES) {
        lanes_store(out + i, lanes_add(lanes_load(x + i, width - i), minus_mean), width - i);
        struct lanes above = lanes_load(out + i, width - i);
        squares = lanes_fma(above, above, squares);
    }
    struct lanes scale = lanes_set(1.0f / sqrtf(lanes_sum(squares) / (float)width + args->epsilon));
    for (uint32_t i = 0; i < width; i += LANES) {
        struct lanes normed = lanes_mul(lanes_load(out + i, width - i), scale);
        struct lanes gain = lanes_load(args->gain + i, width - i);
        normed = args->bias == NULL
                     ? lanes_mul(normed, gain)
                     : lanes_fma(normed, gain, lanes_load(args->bias + i, width - i));
        lanes_store(out + i, normed, width - i);
    }
}

static void layer_norm(const struct layer_norm_args *args, uint32_t first_row, uint32_t end_row)
{
    for (uint32_t row = first_row; row < end_row; row++)
        layer_norm_row(args, row);
}

static void add(const struct add_args *args, uint64_t begin, uint64_t end)
{
    for (uint64_t i = begin; i < end; i += LANES) {
        struct lanes sum =
            lanes_add(lanes_load(args->x + i, end - i), lanes_load(args->residual + i, end - i));
        lanes_store(args->x + i, sum, end - i);
    }
}

static void gated(const struct gated_args *args, uint64_t begin, uint64_t end)
{
    for (uint64_t i = begin; i < end; i += LANES) {
        struct lanes active = lanes_activate(lanes_load(args->gate + i, end - i), args->activation);
        lanes_store(args->out + i, lanes_mul(active, lanes_load(args->up + i, end - i)), end - i);
    }
}

/* Cosines and signed sines of up to LANES frequencies at one position, laid out as the style's
 * inner loop reads them: NORM wants each twice, for the two neighbours of a pair. */
struct rotation {
    float cosines[2 * LANES], sines[2 * LANES];
};

static void rotation_fill(struct rotation *rotation, const struct rope_args *args, float position,
                          uint32_t first, uint32_t count)
{
    float cosines[LANES] = {0}, sines[LANES] = {0};
    for (uint32_t i = 0; i < count; i++)
        cosine_sine(position * args->frequencies[first + i], &cosines[i], &sines[i]);
    for (uint32_t i = 0; i < LANES; i++) {
        cosines[i] *= args->magnitude;
        sines[i] *= args->magnitude;
        uint32_t left = args->style == ROPE_NORM ? 2 * i : i;
        uint32_t right = args->style == ROPE_NORM ? 2 * i + 1 : LANES + i;
        rotation->cosines[left] = rotation->cosines[right] = cosines[i];
        rotation->sines[left] = -sines[i];
        rotation->sines[right] = sines[i];
    }
}

/* (a, b) -> (a cos - b sin, b cos + a sin): x cos + partner * signed sin, for both. */
static inline struct lanes rotate(struct lanes x, struct lanes partner, const float *cosines,
                                  const float *sines)
{
    return lanes_fma(partner, lanes_load(sines, LANES), lanes_mul(x, lanes_load(cosines, LANES)));
}

static void rope_pairs(float *x, const struct rotation *rotation, uint32_t pairs)
{
    for (uint32_t i = 0; i < 2 * pairs; i += LANES) {
        struct lanes value = lanes_load(x + i, 2 * pairs - i);
        struct lanes turned =
            rotate(value, lanes_swap_pairs(value), rotation->cosines + i, rotation->sines + i);
        lanes_store(x + i, turned, 2 * pairs - i);
    }
}

static void rope_halves(float *left, float *right, const struct rotation *rotation, uint32_t pairs)
{
    struct lanes a = lanes_load(left, pairs), b = lanes_load(right, pairs);
    lanes_store(left, rotate(a, b, rotation->cosines, rotation->sines), pairs);
    lanes_store(right, rotate(b, a, rotation->cosines + LANES, rotation->sines + LANES), pairs);
}

static void rope(const struct rope_args *args, uint32_t first_row, uint32_t end_row)
{
    const uint32_t half = args->rotary_dims / 2;
    for (uint32_t row = first_row; row < end_row; row++) {
        float *heads = args->x + (size_t)row * args->heads * args->head_dim;
        for (uint32_t first = 0; first < half; first += LANES) {
            uint32_t pairs = half - first < LANES ? half - first : LANES;
            struct rotation rotation;
            rotation_fill(&rotation, args, (float)args->positions[row], first, pairs);
            for (uint32_t head = 0; head < args->heads; head++) {
                float *x = heads + (size_t)head * args->head_dim;
                if (args->style == ROPE_NORM)
                    rope_pairs(x + 2 * (size_t)first, &rotation, pairs);
                else
                    rope_halves(x + first, x + half + first, &rotation, pairs);
            }
        }
    }
}

#endif
