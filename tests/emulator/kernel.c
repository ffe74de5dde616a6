/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel.h"

#include "device.h"
#include "stream.h"

#include <stdlib.h>

struct kernel {
    struct kernel *next;
    struct emulator_kernel described; /* no call where it has only attributes */
    size_t dynamic_bytes_max;
};

static struct kernel *kernels;

static struct kernel *kernel_of(const void *function)
{
    for (struct kernel *each = kernels; each != NULL; each = each->next) {
        if (each->described.function == function)
            return each;
    }
    struct kernel *made = calloc(1, sizeof *made);
    if (made == NULL)
        emulator_fail("no memory for a kernel");
    made->described.function = function;
    made->dynamic_bytes_max = SHARED_STATIC_BYTES_MAX;
    made->next = kernels;
    kernels = made;
    return made;
}

const struct emulator_kernel *kernel_find(const void *function)
{
    const struct kernel *kernel = kernel_of(function);
    return kernel->described.call != NULL ? &kernel->described : NULL;
}

cudaError_t kernel_check(const struct emulator_kernel *kernel, const struct emulator_launch *how)
{
    const dim3 *block = &how->block, *grid = &how->grid;
    uint64_t threads = (uint64_t)block->x * block->y * block->z;
    if (threads == 0 || threads > BLOCK_THREADS_MAX || block->x > BLOCK_THREADS_MAX ||
        block->y > BLOCK_THREADS_MAX || block->z > 64)
        return cudaErrorInvalidConfiguration;
    if (grid->x == 0 || grid->y == 0 || grid->z == 0 || grid->x > 0x7fffffff || grid->y > 65535 ||
        grid->z > 65535)
        return cudaErrorInvalidConfiguration;
    if (how->shared_bytes > kernel_of(kernel->function)->dynamic_bytes_max)
        return cudaErrorInvalidValue;
    return cudaSuccess;
}

struct launch *kernel_launch(const struct emulator_kernel *kernel,
                             const struct emulator_launch *how, void *const *arguments)
{
    struct launch *launch = launch_new(kernel, arguments);
    launch->grid = how->grid;
    launch->block = how->block;
    launch->dynamic_bytes = how->shared_bytes;
    return launch;
}

static cudaError_t enqueue(const struct emulator_kernel *kernel, const struct emulator_launch *how,
                           void *const *arguments)
{
    cudaStream_t stream = how->stream;
    cudaError_t error = stream_find_for_work(&stream);
    if (error == cudaSuccess)
        error = kernel_check(kernel, how);
    if (error != cudaSuccess)
        return error;
    struct operation *added = operation_new(OPERATION_KERNEL);
    added->launch = kernel_launch(kernel, how, arguments);
    stream_push(stream, added);
    return cudaSuccess;
}

void emulator_enqueue(const struct emulator_kernel *kernel, const struct emulator_launch *launch,
                      void **arguments)
{
    cudaError_t error = device_enter();
    kernel_of(kernel->function)->described = *kernel;
    if (error == cudaSuccess)
        error = enqueue(kernel, launch, arguments);
    (void)device_error(error);
}

cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **arguments,
                             size_t shared_bytes, cudaStream_t stream)
{
    cudaError_t error = device_enter();
    const struct emulator_kernel *kernel = kernel_find(function);
    struct emulator_launch how = {grid, block, shared_bytes, stream};
    if (error == cudaSuccess && kernel == NULL)
        error = cudaErrorInvalidDeviceFunction;
    if (error == cudaSuccess)
        error = enqueue(kernel, &how, arguments);
    return device_error(error);
}

cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute, int value)
{
    cudaError_t error = device_enter();
    size_t most = device_limits()->shared_per_processor - SHARED_RESERVED_BYTES;
    if (error == cudaSuccess && (function == NULL || value < 0))
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess && attribute == cudaFuncAttributeMaxDynamicSharedMemorySize) {
        if ((size_t)value > most)
            error = cudaErrorInvalidValue;
        else
            kernel_of(function)->dynamic_bytes_max = (size_t)value;
    }
    return device_error(error);
}

/* By threads and dynamic shared memory: registers and static arrays are not known here. */
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *function,
                                                          int block_threads, size_t shared_bytes)
{
    cudaError_t error = device_enter();
    const struct device_limits *limits = device_limits();
    if (error == cudaSuccess &&
        (function == NULL || block_threads <= 0 || block_threads > (int)BLOCK_THREADS_MAX))
        error = cudaErrorInvalidValue;
    if (error != cudaSuccess)
        return device_error(error);
    size_t by_threads = limits->threads_per_processor / (unsigned)block_threads;
    size_t by_shared = limits->shared_per_processor / (shared_bytes + SHARED_RESERVED_BYTES);
    size_t least = by_threads < by_shared ? by_threads : by_shared;
    if (least > limits->blocks_per_processor)
        least = limits->blocks_per_processor;
    *blocks = (int)least;
    return device_error(cudaSuccess);
}
