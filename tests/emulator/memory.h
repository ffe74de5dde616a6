/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h -- device memory and pinned memory. Under the device's mutex, but for the last three. */
#ifndef WEIR_EMULATOR_MEMORY_H
#define WEIR_EMULATOR_MEMORY_H

#include "include/cuda_runtime_api.h"

#include <stdbool.h>

/* Whether the bytes may be copied so. Ends the program where they run past an allocation. */
cudaError_t memory_check_copy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind);
cudaError_t memory_check_fill(void *memory, size_t bytes);
bool memory_is_device(const void *memory);
/* Neither a device's nor pinned. */
bool memory_is_pageable(const void *memory);
/* Whether a kernel may be given the address: a device's, pinned, the end of such, or NULL. */
bool memory_is_reachable(const void *memory);
/* Counts allocations from nothing. */
void memory_reload(void);

/* Every allocation of device memory. Takes the mutex itself. */
void memory_each_device(void (*on_allocation)(const void *start, size_t bytes, void *user),
                        void *user);

/* Between the two, this thread and its kernels may touch device memory. Without the mutex. */
void memory_open(void);
void memory_close(void);

#endif
