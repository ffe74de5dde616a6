/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_backend.h -- the CPU behind the door of kernels/backend.h. */
#ifndef WEIR_KERNELS_CPU_CPU_BACKEND_H
#define WEIR_KERNELS_CPU_CPU_BACKEND_H

#include "kernels/backend.h"

/* config->device has been judged by the caller. NULL and err on failure. */
struct backend *cpu_backend_open(const struct backend_config *config, struct error *err);

#endif
