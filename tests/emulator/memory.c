/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c -- a device's memory is pages of the host, between two pages that nothing may touch.
 *
 *     | guard | poison up to 256-byte alignment | the allocation | slack under 256 | guard |
 *
 * It begins as NaN (ff in every byte). Large ones are pages of one file of ff, mapped over and over
 * and copied only when written, so that a device may be large. ASan is told that the slack is not
 * to be touched. With WEIR_EMULATOR_PROTECT all of it is closed but while a kernel or a copy runs:
 * a host that reads a device pointer dies there, as it would.
 *
 * An allocation that is never freed shows through a byte of the heap that nothing points at, which
 * LSan reports with the call that made it. */
#include "memory.h"

#include "device.h"
#include "include/emulator/engine.h"
#include "include/emulator_control.h"
#include "sanitizer.h"
#include "settings.h"
#include "stream.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_BYTES      ((size_t)4096)
#define CHUNK_BYTES     ((size_t)2 << 20)
#define ALIGNMENT_BYTES ((size_t)256)
#define POISON          0xff

enum memory_kind { MEMORY_DEVICE, MEMORY_PINNED, MEMORY_REGISTERED };

struct allocation {
    struct allocation *next;
    enum memory_kind kind;
    int device;
    char *start;
    size_t bytes;
    char *pages; /* of a device's: what may be touched */
    size_t page_bytes;
    uintptr_t leak_hidden; /* the complement of a byte's address */
};

static struct allocation *allocations;
static size_t used_bytes[DEVICES_MAX];
static unsigned device_allocations;                            /* since the last reload */
static unsigned opened;                                        /* by how many */
static pthread_mutex_t open_mutex = PTHREAD_MUTEX_INITIALIZER; /* guards opened and protection */

static struct allocation *allocation_of(const void *memory)
{
    for (struct allocation *a = allocations; a != NULL; a = a->next) {
        if ((const char *)memory >= a->start && (const char *)memory < a->start + a->bytes)
            return a;
    }
    return NULL;
}

bool memory_is_device(const void *memory)
{
    const struct allocation *a = allocation_of(memory);
    return a != NULL && a->kind == MEMORY_DEVICE;
}

bool memory_is_pageable(const void *memory)
{
    return allocation_of(memory) == NULL;
}

bool memory_is_reachable(const void *memory)
{
    if (memory == NULL)
        return true;
    for (const struct allocation *a = allocations; a != NULL; a = a->next) {
        if ((const char *)memory >= a->start && (const char *)memory <= a->start + a->bytes)
            return true;
    }
    return false;
}

/* -- Pages -- */

static void poison_pages(char *pages, size_t bytes)
{
    static int file = -1;
    if (bytes < CHUNK_BYTES) {
        raw_fill(pages, POISON, bytes);
        return;
    }
    if (file < 0) {
        file = memfd_create("emulator-poison", MFD_CLOEXEC);
        void *chunk = MAP_FAILED;
        if (file >= 0 && ftruncate(file, (off_t)CHUNK_BYTES) == 0)
            chunk = mmap(NULL, CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (chunk == MAP_FAILED)
            emulator_fail("no memory for poison");
        raw_fill(chunk, POISON, CHUNK_BYTES);
        (void)munmap(chunk, CHUNK_BYTES);
    }
    for (size_t at = 0; at < bytes; at += CHUNK_BYTES) {
        size_t part = bytes - at < CHUNK_BYTES ? bytes - at : CHUNK_BYTES;
        if (mmap(pages + at, part, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0) ==
            MAP_FAILED)
            emulator_fail("cannot map a device's memory");
    }
}

static bool map_pages(struct allocation *a)
{
    size_t rounded = (a->bytes + ALIGNMENT_BYTES - 1) / ALIGNMENT_BYTES * ALIGNMENT_BYTES;
    a->page_bytes = (rounded + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    char *map = mmap(NULL, a->page_bytes + 2 * PAGE_BYTES, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return false;
    a->pages = map + PAGE_BYTES;
    if (mprotect(a->pages, a->page_bytes, PROT_READ | PROT_WRITE) != 0)
        emulator_fail("cannot open a device's memory");
    poison_pages(a->pages, a->page_bytes);
    a->start = a->pages + a->page_bytes - rounded;
    asan_poison(a->pages, (size_t)(a->start - a->pages));
    asan_poison(a->start + a->bytes, rounded - a->bytes);
    return true;
}

static void unmap_pages(struct allocation *a)
{
    asan_unpoison(a->pages, a->page_bytes);
    (void)munmap(a->pages - PAGE_BYTES, a->page_bytes + 2 * PAGE_BYTES);
}

static void protect(const struct allocation *a, int protection)
{
    if (a->kind == MEMORY_DEVICE && mprotect(a->pages, a->page_bytes, protection) != 0)
        emulator_fail("cannot protect a device's memory");
}

static void protect_all(int protection)
{
    for (const struct allocation *a = allocations; a != NULL; a = a->next)
        protect(a, protection);
}

void memory_each_device(void (*on_allocation)(const void *start, size_t bytes, void *user),
                        void *user)
{
    device_lock();
    for (const struct allocation *a = allocations; a != NULL; a = a->next) {
        if (a->kind == MEMORY_DEVICE)
            on_allocation(a->start, a->bytes, user);
    }
    device_unlock();
}

void memory_open(void)
{
    if (!settings()->protect)
        return;
    device_lock();
    (void)pthread_mutex_lock(&open_mutex);
    if (opened++ == 0)
        protect_all(PROT_READ | PROT_WRITE);
    (void)pthread_mutex_unlock(&open_mutex);
    device_unlock();
}

void memory_close(void)
{
    if (!settings()->protect)
        return;
    device_lock();
    (void)pthread_mutex_lock(&open_mutex);
    if (--opened == 0)
        protect_all(PROT_NONE);
    (void)pthread_mutex_unlock(&open_mutex);
    device_unlock();
}

/* -- Allocations -- */

static struct allocation *allocation_new(enum memory_kind kind, size_t bytes)
{
    struct allocation *a = calloc(1, sizeof *a);
    void *leak = malloc(1);
    if (a == NULL || leak == NULL)
        emulator_fail("no memory for the emulator's own tables");
    a->kind = kind;
    a->bytes = bytes;
    a->device = device_current();
    a->leak_hidden = ~(uintptr_t)leak;
    /* cppcheck-suppress memleak */
    return a;
}

static void allocation_free(struct allocation *a)
{
    free((void *)~a->leak_hidden); // NOLINT
    free(a);
}

static void allocation_add(struct allocation *a)
{
    a->next = allocations;
    allocations = a;
}

/* Out of the list; NULL where there is none that starts there. */
static struct allocation *allocation_take(const void *start, enum memory_kind kind)
{
    for (struct allocation **at = &allocations; *at != NULL; at = &(*at)->next) {
        struct allocation *a = *at;
        if (a->start == start && a->kind == kind) {
            *at = a->next;
            return a;
        }
    }
    return NULL;
}

size_t emulator_device_bytes(void)
{
    size_t bytes = 0;
    device_lock();
    for (unsigned i = 0; i < DEVICES_MAX; i++)
        bytes += used_bytes[i];
    device_unlock();
    return bytes;
}

void memory_reload(void)
{
    device_allocations = 0;
}

static cudaError_t take_device_memory(void **memory, size_t bytes)
{
    size_t *used = &used_bytes[device_current()];
    *memory = NULL;
    if (stream_breaks_capture())
        return cudaErrorStreamCaptureUnsupported;
    if (++device_allocations == settings()->out_of_memory_at ||
        bytes > settings()->memory_bytes - *used)
        return cudaErrorMemoryAllocation;
    if (bytes == 0)
        return cudaSuccess;
    struct allocation *a = allocation_new(MEMORY_DEVICE, bytes);
    if (!map_pages(a)) {
        allocation_free(a);
        return cudaErrorMemoryAllocation;
    }
    (void)pthread_mutex_lock(&open_mutex);
    if (settings()->protect && opened == 0)
        protect(a, PROT_NONE);
    allocation_add(a);
    (void)pthread_mutex_unlock(&open_mutex);
    *used += bytes;
    *memory = a->start;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess)
        error = take_device_memory(memory, bytes);
    return device_error(error);
}

cudaError_t cudaFree(void *memory)
{
    cudaError_t error = device_enter();
    if (memory == NULL)
        return device_error(error);
    if (error == cudaSuccess && stream_breaks_capture())
        return device_error(cudaErrorStreamCaptureUnsupported);
    stream_drain_all();
    struct allocation *a = allocation_take(memory, MEMORY_DEVICE);
    if (a == NULL)
        return device_error(error != cudaSuccess ? error : cudaErrorInvalidValue);
    used_bytes[a->device] -= a->bytes;
    unmap_pages(a);
    allocation_free(a);
    return device_error(error);
}

cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned flags)
{
    (void)flags;
    cudaError_t error = device_enter();
    if (error != cudaSuccess)
        return device_error(error);
    *memory = NULL;
    if (bytes == 0)
        return device_error(cudaSuccess);
    void *start;
    if (posix_memalign(&start, PAGE_BYTES, bytes) != 0)
        return device_error(cudaErrorMemoryAllocation);
    raw_fill(start, POISON, bytes);
    struct allocation *a = allocation_new(MEMORY_PINNED, bytes);
    a->start = start;
    allocation_add(a);
    *memory = start;
    return device_error(cudaSuccess);
}

cudaError_t cudaMallocHost(void **memory, size_t bytes)
{
    return cudaHostAlloc(memory, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void *memory)
{
    cudaError_t error = device_enter();
    if (memory == NULL)
        return device_error(error);
    stream_drain_all();
    struct allocation *a = allocation_take(memory, MEMORY_PINNED);
    if (a == NULL)
        return device_error(error != cudaSuccess ? error : cudaErrorInvalidValue);
    free(a->start);
    allocation_free(a);
    return device_error(error);
}

cudaError_t cudaHostRegister(void *memory, size_t bytes, unsigned flags)
{
    (void)flags;
    cudaError_t error = device_enter();
    if (error == cudaSuccess && (memory == NULL || bytes == 0))
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess && allocation_of(memory) != NULL)
        error = cudaErrorHostMemoryAlreadyRegistered;
    if (error == cudaSuccess) {
        struct allocation *a = allocation_new(MEMORY_REGISTERED, bytes);
        a->start = memory;
        allocation_add(a);
    }
    return device_error(error);
}

cudaError_t cudaHostUnregister(void *memory)
{
    cudaError_t error = device_enter();
    stream_drain_all();
    struct allocation *a = allocation_take(memory, MEMORY_REGISTERED);
    if (a == NULL)
        return device_error(error != cudaSuccess ? error : cudaErrorHostMemoryNotRegistered);
    allocation_free(a);
    return device_error(error);
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess) {
        *total_bytes = settings()->memory_bytes;
        *free_bytes = settings()->memory_bytes - used_bytes[device_current()];
    }
    return device_error(error);
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *memory)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess) {
        const struct allocation *a = allocation_of(memory);
        bool is_device = a != NULL && a->kind == MEMORY_DEVICE;
        attributes->type = a == NULL   ? cudaMemoryTypeUnregistered
                           : is_device ? cudaMemoryTypeDevice
                                       : cudaMemoryTypeHost;
        attributes->device = a == NULL ? -1 : a->device;
        attributes->devicePointer = is_device ? (void *)memory : NULL;
        attributes->hostPointer = a != NULL && !is_device ? (void *)memory : NULL;
    }
    return device_error(error);
}

/* -- Copies -- */

static void check_end(const struct allocation *a, const void *memory, size_t bytes)
{
    if (a != NULL && (const char *)memory + bytes > a->start + a->bytes)
        emulator_fail("a copy or fill of %zu bytes at %p runs past its allocation of %zu", bytes,
                      memory, a->bytes);
}

cudaError_t memory_check_copy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    const struct allocation *target = allocation_of(to), *source = allocation_of(from);
    bool to_device = target != NULL && target->kind == MEMORY_DEVICE;
    bool from_device = source != NULL && source->kind == MEMORY_DEVICE;
    if (bytes == 0)
        return cudaSuccess;
    check_end(target, to, bytes);
    check_end(source, from, bytes);
    switch (kind) {
    case cudaMemcpyHostToHost:
        return to_device || from_device ? cudaErrorInvalidValue : cudaSuccess;
    case cudaMemcpyHostToDevice:
        return !to_device || from_device ? cudaErrorInvalidValue : cudaSuccess;
    case cudaMemcpyDeviceToHost:
        return to_device || !from_device ? cudaErrorInvalidValue : cudaSuccess;
    case cudaMemcpyDeviceToDevice:
        return !to_device || !from_device ? cudaErrorInvalidValue : cudaSuccess;
    case cudaMemcpyDefault:
        return cudaSuccess;
    default:
        return cudaErrorInvalidMemcpyDirection;
    }
}

cudaError_t memory_check_fill(void *memory, size_t bytes)
{
    const struct allocation *a = allocation_of(memory);
    if (bytes == 0)
        return cudaSuccess;
    check_end(a, memory, bytes);
    return a != NULL && a->kind == MEMORY_DEVICE ? cudaSuccess : cudaErrorInvalidValue;
}
