/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/roofline/gpu.h"

#include <stddef.h>
#include <string.h>

/* Data sheets tell tensor cores' rates with sparsity: half of that is dense. GeForce cards halve
 * the 16-bit rate for sums of 32 bits, which are ours. A bus is x16, one way. */
static const struct gpu gpus[] = {
    {"h100", "NVIDIA H100 SXM", "NVIDIA H100 Tensor Core GPU data sheet", 80, 3350, 1979, 989.5, 67,
     64, 50, 132},
    {"h200", "NVIDIA H200 SXM", "NVIDIA H200 Tensor Core GPU data sheet", 141, 4800, 1979, 989.5,
     67, 64, 50, 132},
    {"a100", "NVIDIA A100 80GB SXM", "NVIDIA A100 Tensor Core GPU data sheet", 80, 2039, 624, 312,
     19.5, 32, 40, 108},
    {"l40s", "NVIDIA L40S", "NVIDIA L40S data sheet", 48, 864, 733, 362, 91.6, 32, 96, 142},
    {"4090", "NVIDIA GeForce RTX 4090", "NVIDIA Ada GPU architecture white paper, appendix A", 24,
     1008, 660.6, 165.2, 82.6, 32, 72, 128},
};

const struct gpu *gpu_at(uint32_t index)
{
    return index < sizeof gpus / sizeof *gpus ? &gpus[index] : NULL;
}

const struct gpu *gpu_find(const char *name)
{
    for (uint32_t i = 0; gpu_at(i) != NULL; i++)
        if (strcmp(gpus[i].name, name) == 0)
            return &gpus[i];
    return NULL;
}

const char *gpu_bound_name(enum gpu_bound bound)
{
    static const char *const names[GPU_BOUNDS] = {"memory", "tensor cores", "float pipes", "bus"};
    return names[bound];
}

double gpu_kernel_us(const struct gpu *gpu, const struct roofline_kernel *kernel,
                     enum gpu_bound *ret_bound)
{
    const double moved = (double)(kernel->read_bytes + kernel->written_bytes);
    const double us[GPU_BOUNDS] = {
        [GPU_BOUND_MEMORY] = moved / (gpu->memory_gb_s * 1e3),
        [GPU_BOUND_TENSOR] = (double)kernel->int8_ops / (gpu->int8_tops * 1e6) +
                             (double)kernel->half_ops / (gpu->half_tflops * 1e6),
        /* an instruction of a lane is one, and its rate that of multiply-adds */
        [GPU_BOUND_FLOAT] = (double)kernel->float_ops / (gpu->float_tflops / 2 * 1e6),
        [GPU_BOUND_BUS] = (double)kernel->bus_bytes / (gpu->bus_gb_s * 1e3),
    };
    enum gpu_bound bound = GPU_BOUND_MEMORY;
    for (int i = 1; i < GPU_BOUNDS; i++)
        if (us[i] > us[bound])
            bound = (enum gpu_bound)i;
    *ret_bound = bound;
    return us[bound];
}
