/* SPDX-License-Identifier: Apache-2.0 */
/* groups.cuh -- where a row of a product by expert comes from. */
#ifndef WEIR_KERNELS_CUDA_GROUPS_CUH
#define WEIR_KERNELS_CUDA_GROUPS_CUH

#include "kernels/cuda/port.cuh"

#include "kernels/cuda/linear_kernels.h"

/* The row of x that is multiplied at a place of the result. */
__device__ __forceinline__ uint32_t row_of_place(const struct linear_groups &groups, uint32_t place)
{
    return groups.order ? groups.order[place] / groups.top_k : place;
}

#endif
