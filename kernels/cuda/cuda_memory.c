/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cuda/cuda_memory.h"

#include "kernels/backend.h"

#include <assert.h>
#include <stdlib.h>

struct cuda_slab {
    unsigned char *device;
    size_t bytes, used;
    uint32_t pieces;
    struct cuda_slab *next;
};

size_t cuda_memory_rounded(size_t bytes)
{
    size_t units = bytes / DEVICE_MEMORY_UNIT + (bytes % DEVICE_MEMORY_UNIT > 0);
    return (units > 0 ? units : 1) * DEVICE_MEMORY_UNIT;
}

static int tell_full(size_t bytes, cudaError_t code, struct error *err)
{
    size_t room = 0, total = 0;
    (void)cudaGetLastError(); /* a failed allocation is no failure of the device */
    if (code == cudaErrorMemoryAllocation && cudaMemGetInfo(&room, &total) == cudaSuccess)
        return error_set(err, ERROR_NO_MEMORY,
                         "the GPU has no %zu MiB in one piece: %zu of its %zu MiB are free",
                         (bytes >> 20) + 1, room >> 20, total >> 20);
    return error_set(err, ERROR_IO, "%zu MiB of the GPU's memory: %s", (bytes >> 20) + 1,
                     cudaGetErrorString(code));
}

static struct cuda_slab *add_slab(struct cuda_memory *memory, size_t bytes, struct error *err)
{
    struct cuda_slab *slab = calloc(1, sizeof *slab);
    if (slab == NULL) {
        error_no_memory(err);
        return NULL;
    }
    void *device = NULL;
    cudaError_t code = cudaMalloc(&device, bytes);
    if (code != cudaSuccess) {
        (void)tell_full(bytes, code, err);
        free(slab);
        return NULL;
    }
    code = cudaMemsetAsync(device, 0, bytes, memory->stream);
    if (code != cudaSuccess) {
        (void)tell_full(bytes, code, err);
        (void)cudaFree(device);
        free(slab);
        return NULL;
    }
    *slab = (struct cuda_slab){.device = device, .bytes = bytes, .next = memory->slabs};
    memory->slabs = slab;
    return slab;
}

static void remove_slab(struct cuda_memory *memory, struct cuda_slab *slab)
{
    struct cuda_slab **link = &memory->slabs;
    while (*link != slab)
        link = &(*link)->next;
    *link = slab->next;
    (void)cudaFree(slab->device);
    free(slab);
}

void *cuda_memory_take(struct cuda_memory *memory, size_t bytes, struct error *err)
{
    if (bytes > SIZE_MAX / 2) {
        error_no_memory(err);
        return NULL;
    }
    bytes = cuda_memory_rounded(bytes);
    struct cuda_slab *slab = memory->open;
    if (slab == NULL || bytes > slab->bytes - slab->used)
        slab = add_slab(memory, bytes, err);
    if (slab == NULL)
        return NULL;
    void *device = slab->device + slab->used;
    slab->used += bytes;
    slab->pieces++;
    return device;
}

void cuda_memory_give(struct cuda_memory *memory, void *device)
{
    if (device == NULL)
        return;
    unsigned char *at = device;
    struct cuda_slab *slab = memory->slabs;
    while (slab != NULL && !(at >= slab->device && at < slab->device + slab->bytes))
        slab = slab->next;
    assert(slab != NULL);
    assert(slab->pieces > 0);
    if (--slab->pieces == 0 && slab != memory->open)
        remove_slab(memory, slab);
}

int cuda_memory_together(struct cuda_memory *memory, size_t bytes, struct error *err)
{
    struct cuda_slab *before = memory->open;
    memory->open = NULL;
    if (before != NULL && before->pieces == 0)
        remove_slab(memory, before);
    if (bytes == 0)
        return 0;
    if (bytes > SIZE_MAX / 2)
        return error_no_memory(err);
    memory->open = add_slab(memory, cuda_memory_rounded(bytes), err);
    return memory->open != NULL ? 0 : err == NULL ? ERROR_NO_MEMORY : err->code;
}

void cuda_memory_destroy(struct cuda_memory *memory)
{
    while (memory->slabs != NULL)
        remove_slab(memory, memory->slabs);
    memory->open = NULL;
}
