/* SPDX-License-Identifier: Apache-2.0 */
/* roofline.h -- what the GPU's kernels move and compute, told without a GPU.
 *
 * roofline_open() is a backend like any other (backend.h), but its ops compute nothing: each writes
 * down the kernels that kernels/cuda would launch for it, with their bytes and operations. So a
 * model's own forward pass tells what a step costs, kernel by kernel. Addresses that it hands out
 * lead nowhere. One thread. */
#ifndef WEIR_KERNELS_ROOFLINE_ROOFLINE_H
#define WEIR_KERNELS_ROOFLINE_ROOFLINE_H

#include "kernels/backend.h"

#define ROOFLINE_SECTOR_BYTES 32u /* what a GPU's memory moves at least, aligned */
#define ROOFLINE_KERNELS_MAX  32u

/* All launches of one kernel. */
struct roofline_kernel {
    const char *name; /* as its source has it; ROOFLINE_TO_HOST: a copy and no kernel */
    uint64_t launches;
    /* Of device memory, whole sectors, each once a launch however often it is asked for. */
    uint64_t read_bytes, written_bytes;
    uint64_t bus_bytes; /* between the device and the host */
    uint64_t int8_ops;  /* of tensor cores, padding included; an addition and a product are two */
    uint64_t half_ops;  /* likewise, on 16-bit floats with 32-bit sums */
    uint64_t float_ops; /* instructions of one lane on the other pipes, counted in the source */
};
#define ROOFLINE_TO_HOST "copy to the host"

/* NULL and err on failure. Closed by backend_close(). */
struct backend *roofline_open(struct error *err);
/* What ran since the last reset, in the order of first launches; how many there are. */
uint32_t roofline_read(const struct backend *backend,
                       struct roofline_kernel ret[ROOFLINE_KERNELS_MAX]);
void roofline_reset(struct backend *backend);

#endif
