/* SPDX-License-Identifier: Apache-2.0 */
/* draw.h -- the arithmetic of one draw, shared by batching/sampler.c and the GPU's sampler.
 *
 * They draw the same token from the same logits because they agree on this, and on its order:
 *
 *  - Weights are draw_weight(), unfused. A block of DRAW_BLOCK logits sums them in four lanes of
 *    float, lane i those at i, i + 4, ...; lanes join as (0 + 1) + (2 + 3) in double, and blocks in
 *    ascending order. A row's last block is filled up with weights of 0.
 *  - Candidates are keys in ascending order of token. What top_k and top_p keep of them is found by
 *    a quickselect (Hoare 1961) whose pivots are draw_pivot(), and a draw among them walks the
 *    order in which that leaves them. */
#ifndef WEIR_KERNELS_DRAW_H
#define WEIR_KERNELS_DRAW_H

#include <stdint.h>
#include <string.h>

#ifndef DRAW_FUNCTION
#define DRAW_FUNCTION static inline
#endif

#define DRAW_GREEDY_BELOW 1e-5f /* a temperature that float arithmetic can't tell from 0 */
#define DRAW_BLOCK        64u
#define DRAW_LANES        4u

/* What turns a logit into a weight; those below `least` become 0. */
struct draw_softmax {
    float highest, scale, least;
};

/* exp((logit - highest) * scale) within two units in the last place where that is from e^-87 to 1,
 * else 0 (for NaN too): 2^n times the series of exp(r), |r| <= ln(2)/2. Adding 1.5 * 2^23 rounds to
 * an integer and leaves it in the low bits. */
DRAW_FUNCTION float draw_weight(float logit, const struct draw_softmax *softmax)
{
    const float round = 12582912.0f;
    float x = (logit - softmax->highest) * softmax->scale;
    if (!(x > -87.0f && x <= 0.0f))
        return 0.0f;
    float shifted = x * 1.44269504f + round;
    float n = shifted - round;
    float r = x - n * 0.693359375f + n * 2.12194440e-4f; /* ln(2) in two parts */
    float sum = 1.0f / 5040;
    sum = sum * r + 1.0f / 720;
    sum = sum * r + 1.0f / 120;
    sum = sum * r + 1.0f / 24;
    sum = sum * r + 1.0f / 6;
    sum = sum * r + 0.5f;
    sum = sum * r + 1.0f;
    sum = sum * r + 1.0f;
    uint32_t bits, power;
    memcpy(&bits, &sum, sizeof bits);
    memcpy(&power, &shifted, sizeof power);
    bits += power << 23;
    memcpy(&sum, &bits, sizeof sum);
    return sum >= softmax->least ? sum : 0.0f;
}

/* The float's bits, changed so that unsigned order is the float's order; -0 is 0. */
DRAW_FUNCTION uint32_t draw_ordered(float value)
{
    uint32_t bits;
    value += 0.0f;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

DRAW_FUNCTION float draw_unordered(uint32_t bits)
{
    float value;
    bits = bits & 0x80000000u ? bits & 0x7fffffffu : ~bits;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/*     63            32 31              0
 *     [ ordered logit | ~token         ]     a larger key: a higher logit, or the lower id */
DRAW_FUNCTION uint64_t draw_key(float logit, uint32_t token)
{
    return (uint64_t)draw_ordered(logit) << 32 | (uint32_t)~token;
}

DRAW_FUNCTION uint32_t draw_key_token(uint64_t key)
{
    return ~(uint32_t)key;
}

DRAW_FUNCTION float draw_key_logit(uint64_t key)
{
    return draw_unordered((uint32_t)(key >> 32));
}

/* A fixed, well mixed function of 64 bits (Steele et al. 2014, SplitMix). */
DRAW_FUNCTION uint64_t draw_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Where among [kept, end), counted from kept, the next pivot is. */
DRAW_FUNCTION uint32_t draw_pivot(uint32_t kept, uint32_t end)
{
    return (uint32_t)(draw_mix(end ^ (uint64_t)kept << 32) % (end - kept));
}

/* Uniform in [0, 1): a function of the three numbers alone. */
DRAW_FUNCTION double draw_uniform(uint64_t seed, uint32_t choice, uint32_t position)
{
    uint64_t bits = draw_mix(draw_mix(seed) ^ ((uint64_t)choice << 32 | position));
    return (double)(bits >> 11) * 0x1p-53;
}

/* The weight below which top_p needs no candidate: all such weights together are less than 1 - p of
 * the mass. Half of what that proof allows, for sums of floats are not exact. */
DRAW_FUNCTION float draw_least(float top_p, double mass, uint32_t vocabulary)
{
    return (float)((1.0 - (double)top_p) * mass / vocabulary / 2);
}

#endif
