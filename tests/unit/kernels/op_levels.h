/* SPDX-License-Identifier: Apache-2.0 */
/* op_levels.h -- every level of the ops that can run here, the emulated AVX-512 one among them. */
#ifndef WEIR_TESTS_OP_LEVELS_H
#define WEIR_TESTS_OP_LEVELS_H

#include "kernels/cpu/ops.h"

#define OP_LEVELS_MAX 4u

/* ret[0] is scalar; returns how many. */
uint32_t op_levels(const struct cpu_ops *ret[OP_LEVELS_MAX]);

#endif
