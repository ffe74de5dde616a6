/* SPDX-License-Identifier: Apache-2.0 */
#include "batching/row_passes.h"

const struct row_passes *row_passes_best(void)
{
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vnni")) /* all that its file is compiled with */
        return &row_passes_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("f16c"))
        return &row_passes_avx2;
    return &row_passes_plain;
}
