/* SPDX-License-Identifier: Apache-2.0 */
/* lanes_math.h -- e^x, activations, cosine and sine, over whichever lanes were included before.
 *
 * Not libm's: a reply must not depend on whose C library the machine has. kernels/cuda includes
 * this too, over one lane. */
#ifndef WEIR_KERNELS_CPU_LANES_MATH_H
#define WEIR_KERNELS_CPU_LANES_MATH_H

#include "kernels/backend.h"
#include "kernels/cpu/lanes_scalar.h" /* where no others came before: the guard is shared */

#include <math.h>

#ifndef LANES_FUNCTION
#define LANES_FUNCTION static inline
#endif

/* e^x, within 1.5 units in the last place from -87.3 to 88; below that 0, above it e^88.
 * x = n ln 2 + r with |r| <= ln 2 / 2, and Taylor's polynomial for e^r: its remainder, r^8 / 8!,
 * is under a tenth of a unit. ln 2 is taken in two parts, the first short enough that n times it
 * is exact. */
LANES_FUNCTION struct lanes lanes_exp(struct lanes x)
{
    const float least = -87.3f, most = 88.0f;
    struct lanes in_range = lanes_min(lanes_max(x, lanes_set(least)), lanes_set(most));
    struct lanes n = lanes_round(lanes_mul(in_range, lanes_set(1.44269504f)));
    struct lanes r = lanes_fma(n, lanes_set(-0.693359375f), in_range);
    r = lanes_fma(n, lanes_set(2.12194440e-4f), r);
    struct lanes power = lanes_set(1.0f / 5040.0f);
    power = lanes_fma(power, r, lanes_set(1.0f / 720.0f));
    power = lanes_fma(power, r, lanes_set(1.0f / 120.0f));
    power = lanes_fma(power, r, lanes_set(1.0f / 24.0f));
    power = lanes_fma(power, r, lanes_set(1.0f / 6.0f));
    power = lanes_fma(power, r, lanes_set(0.5f));
    power = lanes_fma(power, r, lanes_set(1.0f));
    power = lanes_fma(power, r, lanes_set(1.0f));
    return lanes_zero_below(lanes_mul(power, lanes_exp2_integer(n)), x, least);
}

/* 1 / (1 + e^-x) */
LANES_FUNCTION struct lanes lanes_logistic(struct lanes x)
{
    struct lanes one = lanes_set(1.0f);
    return lanes_div(one, lanes_add(one, lanes_exp(lanes_mul(x, lanes_set(-1.0f)))));
}

/* Both are g / (1 + e^-u): SiLU with u = g; GELU's tanh form, since (1 + tanh(y)) / 2 is the
 * logistic function of 2y, with u = 2 sqrt(2 / pi) (g + 0.044715 g^3). */
LANES_FUNCTION struct lanes lanes_activate(struct lanes gate, enum activation activation)
{
    struct lanes minus_u;
    if (activation == ACTIVATION_SILU) {
        minus_u = lanes_mul(gate, lanes_set(-1.0f));
    } else {
        struct lanes cubic = lanes_mul(lanes_mul(gate, gate), gate);
        minus_u = lanes_mul(lanes_fma(cubic, lanes_set(0.044715f), gate), lanes_set(-1.59576912f));
    }
    return lanes_div(gate, lanes_add(lanes_set(1.0f), lanes_exp(minus_u)));
}

/* Cosine and sine within 2e-7 for angles below 1e6, a few times that up to 2^24 * 64. The nearest
 * quarter turn is taken off, pi/2 in three parts, and Taylor's polynomials do the rest on
 * |r| <= pi/4. Branchless, so that the compiler can run eight at once. */
LANES_FUNCTION void cosine_sine(float angle, float *ret_cosine, float *ret_sine)
{
    float turns = rintf(angle * 0.636619772f);
    float r = fmaf(turns, -1.57079637f, angle);
    r = fmaf(turns, 4.37113883e-8f, r);
    r = fmaf(turns, 1.71512489e-15f, r);
    float square = r * r;
    float sine = 1.0f / 362880.0f;
    sine = fmaf(sine, square, -1.0f / 5040.0f);
    sine = fmaf(sine, square, 1.0f / 120.0f);
    sine = fmaf(sine, square, -1.0f / 6.0f);
    sine = fmaf(sine * square, r, r);
    float cosine = -1.0f / 3628800.0f;
    cosine = fmaf(cosine, square, 1.0f / 40320.0f);
    cosine = fmaf(cosine, square, -1.0f / 720.0f);
    cosine = fmaf(cosine, square, 1.0f / 24.0f);
    cosine = fmaf(cosine, square, -0.5f);
    cosine = fmaf(cosine, square, 1.0f);
    int32_t quarter = (int32_t)turns;
    float even_cosine = quarter & 1 ? sine : cosine;
    float even_sine = quarter & 1 ? cosine : sine;
    *ret_cosine = (quarter + 1) & 2 ? -even_cosine : even_cosine;
    *ret_sine = quarter & 2 ? -even_sine : even_sine;
}

#endif
