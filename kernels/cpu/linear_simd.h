/* SPDX-License-Identifier: Apache-2.0 */
/* linear_simd.h -- the 512-bit instructions: the processor's, or the test's model of them.
 *
 * tests/unit/kernels compiles linear_avx512.c a second time over an emulation, so that a machine
 * without AVX-512 still checks its every bit. This is the only place that knows. */
#ifndef WEIR_KERNELS_CPU_LINEAR_SIMD_H
#define WEIR_KERNELS_CPU_LINEAR_SIMD_H

#ifdef WEIR_EMULATED_AVX512
#include "tests/unit/kernels/avx512_emulated.h"
#else
#include <immintrin.h>
#endif

#endif
