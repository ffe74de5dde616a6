/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/kernels/op_levels.h"

extern const struct cpu_ops cpu_ops_emulated; /* ops_emulated_avx2.c */

uint32_t op_levels(const struct cpu_ops *ret[OP_LEVELS_MAX])
{
    uint32_t count = 0;
    ret[count++] = &cpu_ops_scalar;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return count;
    ret[count++] = &cpu_ops_avx2;
    ret[count++] = &cpu_ops_emulated;
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        ret[count++] = &cpu_ops_avx512;
    return count;
}
