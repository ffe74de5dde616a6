/* SPDX-License-Identifier: Apache-2.0 */
/* lanes_scalar.h -- sixteen floats side by side, in plain C: what the vector versions must equal.
 *
 * `count` is how many lanes are in memory; the rest read as 0 and are not written. */
#ifndef WEIR_KERNELS_CPU_LANES_H
#define WEIR_KERNELS_CPU_LANES_H

#include "kernels/kv_fp8.h"
#include "kernels/quant.h"

#include <math.h>
#include <stdint.h>

#define LANES 16u

struct lanes {
    float lane[LANES];
};

static inline struct lanes lanes_set(float value)
{
    struct lanes out;
    for (uint32_t i = 0; i < LANES; i++)
        out.lane[i] = value;
    return out;
}

static inline struct lanes lanes_load(const float *from, uint64_t count)
{
    struct lanes out;
    for (uint32_t i = 0; i < LANES; i++)
        out.lane[i] = i < count ? from[i] : 0.0f;
    return out;
}

static inline void lanes_store(float *to, struct lanes a, uint64_t count)
{
    for (uint32_t i = 0; i < LANES && i < count; i++)
        to[i] = a.lane[i];
}

static inline struct lanes lanes_load_half(const uint16_t *from, uint64_t count)
{
    struct lanes out;
    for (uint32_t i = 0; i < LANES; i++)
        out.lane[i] = i < count ? quant_half_to_float(from[i]) : 0.0f;
    return out;
}

static inline void lanes_store_half(uint16_t *to, struct lanes a, uint64_t count)
{
    for (uint32_t i = 0; i < LANES && i < count; i++)
        to[i] = quant_float_to_half(a.lane[i]);
}

static inline struct lanes lanes_load_bf16(const uint16_t *from, uint64_t count)
{
    struct lanes out;
    for (uint32_t i = 0; i < LANES; i++)
        out.lane[i] = i < count ? quant_bf16_to_float(from[i]) : 0.0f;
    return out;
}

/* Codes of kv_fp8.h, before their scale. */
static inline struct lanes lanes_load_fp8(const uint8_t *from, uint64_t count)
{
    struct lanes out;
    for (uint32_t i = 0; i < LANES; i++)
        out.lane[i] = i < count ? quant_half_to_float(kv_fp8_half(from[i])) : 0.0f;
    return out;
}

static inline struct lanes lanes_add(struct lanes a, struct lanes b)
{
    for (uint32_t i = 0; i < LANES; i++)
        a.lane[i] += b.lane[i];
    return a;
}

static inline struct lanes lanes_mul(struct lanes a, struct lanes b)
{
    for (uint32_t i = 0; i < LANES; i++)
        a.lane[i] *= b.lane[i];
    return a;
}

static inline struct lanes lanes_div(struct lanes a, struct lanes b)
{
    for (uint32_t i = 0; i < LANES; i++)
        a.lane[i] /= b.lane[i];
    return a;
}

/* a * b + c, rounded once. */
static inline struct lanes lanes_fma(struct lanes a, struct lanes b, struct lanes c)
{
    for (uint32_t i = 0; i < LANES; i++)
        a.lane[i] = fmaf(a.lane[i], b.lane[i], c.lane[i]);
    return a;
}

/* Where a is not a number, b; so does the processor's own. */
static inline struct lanes lanes_max(struct lanes a, struct lanes b)
{
    for (uint32_t i = 0; i < LANES; i++)
        a.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
    return a;
}

static inline struct lanes lanes_min(struct lanes a, struct lanes b)
{
    for (uint32_t i = 0; i < LANES; i++)
        a.lane[i] = a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i];
    return a;
}

/* To the nearest integer, ties to even. */
static inline struct lanes lanes_round(struct lanes a)
{
    for (uint32_t i = 0; i < LANES; i++)
        a.lane[i] = rintf(a.lane[i]);
    return a;
}

/* 2^n for integral n from -126 to 127. */
static inline struct lanes lanes_exp2_integer(struct lanes n)
{
    for (uint32_t i = 0; i < LANES; i++) {
        union {
            uint32_t bits;
            float value;
        } power = {.bits = (uint32_t)((int32_t)n.lane[i] + 127) << 23};
        n.lane[i] = power.value;
    }
    return n;
}

/* a, and 0 wherever x < limit. */
static inline struct lanes lanes_zero_below(struct lanes a, struct lanes x, float limit)
{
    for (uint32_t i = 0; i < LANES; i++)
        a.lane[i] = x.lane[i] < limit ? 0.0f : a.lane[i];
    return a;
}

/* Neighbours change places: lane 0 with 1, 2 with 3. */
static inline struct lanes lanes_swap_pairs(struct lanes a)
{
    for (uint32_t i = 0; i < LANES; i += 2) {
        float first = a.lane[i];
        a.lane[i] = a.lane[i + 1];
        a.lane[i + 1] = first;
    }
    return a;
}

/* The order that every level keeps: halves onto halves, 8, 4, 2, 1. */
static inline float lanes_sum(struct lanes a)
{
    for (uint32_t width = LANES / 2; width > 0; width /= 2)
        for (uint32_t i = 0; i < width; i++)
            a.lane[i] += a.lane[i + width];
    return a.lane[0];
}

static inline float lanes_largest(struct lanes a)
{
    for (uint32_t width = LANES / 2; width > 0; width /= 2)
        for (uint32_t i = 0; i < width; i++)
            a.lane[i] = a.lane[i] > a.lane[i + width] ? a.lane[i] : a.lane[i + width];
    return a.lane[0];
}

#endif
