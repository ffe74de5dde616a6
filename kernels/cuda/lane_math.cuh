/* SPDX-License-Identifier: Apache-2.0 */
/* lane_math.cuh -- the CPU's lanes, one wide: a thread is a lane, and kernels/cpu/lanes_math.h is
 * the same source here as there. lanes_scalar.h says what each function must give. */
#ifndef WEIR_KERNELS_CUDA_LANE_MATH_CUH
#define WEIR_KERNELS_CUDA_LANE_MATH_CUH

#include "kernels/cuda/port.cuh"

#define WEIR_KERNELS_CPU_LANES_H /* these are the lanes */
#define LANES_FUNCTION           static __device__ __forceinline__

#define LANES 16u /* partial sums that the CPU keeps of every sum along a row */

struct lanes {
    float lane;
};

LANES_FUNCTION struct lanes lanes_set(float value)
{
    return {value};
}

LANES_FUNCTION struct lanes lanes_add(struct lanes a, struct lanes b)
{
    return {a.lane + b.lane};
}

LANES_FUNCTION struct lanes lanes_mul(struct lanes a, struct lanes b)
{
    return {a.lane * b.lane};
}

LANES_FUNCTION struct lanes lanes_div(struct lanes a, struct lanes b)
{
    return {a.lane / b.lane};
}

LANES_FUNCTION struct lanes lanes_fma(struct lanes a, struct lanes b, struct lanes c)
{
    return {fmaf(a.lane, b.lane, c.lane)};
}

LANES_FUNCTION struct lanes lanes_max(struct lanes a, struct lanes b)
{
    return {a.lane > b.lane ? a.lane : b.lane};
}

LANES_FUNCTION struct lanes lanes_min(struct lanes a, struct lanes b)
{
    return {a.lane < b.lane ? a.lane : b.lane};
}

LANES_FUNCTION struct lanes lanes_round(struct lanes a)
{
    return {rintf(a.lane)};
}

LANES_FUNCTION struct lanes lanes_exp2_integer(struct lanes n)
{
    return {__uint_as_float(static_cast<uint32_t>(static_cast<int32_t>(n.lane) + 127) << 23)};
}

LANES_FUNCTION struct lanes lanes_zero_below(struct lanes a, struct lanes x, float limit)
{
    return {x.lane < limit ? 0.0f : a.lane};
}

#include "kernels/cpu/lanes_math.h"

/* The sum of lanes 0..15 in the CPU's order: halves onto halves, 8, 4, 2, 1. An addition gives the
 * same bits either way round, so all sixteen end with it; the warp's other half has its own. */
LANES_FUNCTION float warp_lanes_sum(float lane)
{
    for (uint32_t width = LANES / 2; width > 0; width /= 2)
        lane += __shfl_xor_sync(WARP_ALL, lane, static_cast<int>(width));
    return lane;
}

#endif
