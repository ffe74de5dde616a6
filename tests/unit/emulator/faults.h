/* SPDX-License-Identifier: Apache-2.0 */
/* faults.h -- kernels and host code with one fault each, and some with none. */
#ifndef WEIR_TESTS_EMULATOR_FAULTS_H
#define WEIR_TESTS_EMULATOR_FAULTS_H

#include <cuda_runtime_api.h>

#define FAULT_FLOATS 64 /* of device memory that a fault gets, and that are looked at afterwards */

struct fault {
    const char *name;
    void (*run)(float *device, cudaStream_t stream);
};

/* Ends with a NULL name. */
extern const struct fault kernel_faults[];
extern const struct fault host_faults[];

#endif
