/* SPDX-License-Identifier: Apache-2.0 */
/* gpu.h -- what GPUs can do at most, as their makers say, and what a kernel then takes at least.
 *
 * A constant table and pure functions: any thread. */
#ifndef WEIR_KERNELS_ROOFLINE_GPU_H
#define WEIR_KERNELS_ROOFLINE_GPU_H

#include "kernels/roofline/roofline.h"

struct gpu {
    const char *name;      /* "h100" */
    const char *full_name; /* with its form, where there are several */
    const char *source;    /* of the figures */
    double memory_gb, memory_gb_s;
    double int8_tops;    /* tensor cores, dense */
    double half_tflops;  /* tensor cores, 16-bit, dense, sums of 32 bits */
    double float_tflops; /* other pipes; a fused multiply-add is two */
    double bus_gb_s;     /* to the host, one way */
    double l2_mb;
    uint32_t sm_count;
};

const struct gpu *gpu_find(const char *name); /* or NULL */
const struct gpu *gpu_at(uint32_t index);     /* NULL past the last */

/* What keeps a kernel from being faster. */
enum gpu_bound { GPU_BOUND_MEMORY, GPU_BOUND_TENSOR, GPU_BOUND_FLOAT, GPU_BOUND_BUS, GPU_BOUNDS };
const char *gpu_bound_name(enum gpu_bound bound); /* "memory" */

/* Microseconds that all launches of a kernel take at least, but for launching them: the longest of
 * its bytes at the memory's full rate and its operations at each pipe's. */
double gpu_kernel_us(const struct gpu *gpu, const struct roofline_kernel *kernel,
                     enum gpu_bound *ret_bound);

#endif
