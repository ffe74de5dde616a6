/* SPDX-License-Identifier: Apache-2.0 */
/* kernel.h -- the kernels that were ever launched, and what a launch must keep to. Under the
 * device's mutex. */
#ifndef WEIR_EMULATOR_KERNEL_H
#define WEIR_EMULATOR_KERNEL_H

#include "launch.h"

/* NULL where it was never launched nor given an attribute. */
const struct emulator_kernel *kernel_find(const void *function);
cudaError_t kernel_check(const struct emulator_kernel *kernel, const struct emulator_launch *how);
struct launch *kernel_launch(const struct emulator_kernel *kernel,
                             const struct emulator_launch *how, void *const *arguments);

#endif
