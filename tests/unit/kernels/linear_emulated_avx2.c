/* SPDX-License-Identifier: Apache-2.0 */
/* linear_emulated_avx2.c -- the AVX-512 level, the same source, over an emulation. (The file's name
 * has it compiled with fused multiply-add, which the law counts on.) */
#define WEIR_EMULATED_AVX512
#include "tests/unit/kernels/avx512_emulated.h"

#define linear_level_avx512 linear_level_emulated
#include "kernels/cpu/linear_avx512.c"
