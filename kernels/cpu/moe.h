/* SPDX-License-Identifier: Apache-2.0 */
/* moe.h -- which expert comes first, and which rows go to an expert. Pure. */
#ifndef WEIR_KERNELS_CPU_MOE_H
#define WEIR_KERNELS_CPU_MOE_H

#include "kernels/draw.h"
#include "kernels/moe_args.h"

#include <math.h>

/* A larger key comes first: a higher score, or the lower expert; NaN after -INFINITY. */
DRAW_FUNCTION uint64_t moe_key(float score, uint32_t expert)
{
    return isnan(score) ? (uint32_t)~expert : draw_key(score, expert);
}

/* Fills expert_begins, order and places from `chosen`: a counting sort, stable. */
void cpu_moe_group(const struct moe_route_args *args);

#endif
