/* SPDX-License-Identifier: Apache-2.0 */
/* device.h -- the devices there are, what they allow, and how a call fails.
 *
 * Every function of the API begins with device_enter(), and returns through device_error(). One
 * mutex guards the runtime's tables; it is not held while kernels, copies or host functions run. */
#ifndef WEIR_EMULATOR_DEVICE_H
#define WEIR_EMULATOR_DEVICE_H

#include "include/cuda_runtime_api.h"

#include <stdbool.h>

#define DEVICES_MAX 8

/* What makes any call fail: no driver, no device, or a device that was lost. Takes the mutex, which
 * device_error() gives back, whatever it returned. */
cudaError_t device_enter(void);
/* Keeps an error for cudaGetLastError(); gives it back. */
cudaError_t device_error(cudaError_t error);
/* The device of the calling thread. */
int device_current(void);

/* Counts a kernel; false where the device is lost with it or was before. */
bool device_take_kernel(void);
bool device_is_lost(void);

void device_lock(void);
void device_unlock(void);
/* Lets others have the mutex until something changed. */
void device_wait(void);
void device_changed(void);

/* Limits of the compute capability that is emulated. */
struct device_limits {
    unsigned sm;
    unsigned processors;
    unsigned threads_per_processor;
    unsigned blocks_per_processor;
    size_t shared_per_processor; /* of which each block takes SHARED_RESERVED_BYTES more */
    size_t l2_bytes;
    unsigned bus_bits;
};
#define SHARED_RESERVED_BYTES ((size_t)1 << 10)
const struct device_limits *device_limits(void);

#endif
