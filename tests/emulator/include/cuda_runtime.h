/* SPDX-License-Identifier: Apache-2.0 */
/* cuda_runtime.h -- the runtime API and, in C++, the device language: keywords, thread indices,
 * barriers, collectives, atomics, intrinsics. */
#ifndef WEIR_EMULATOR_CUDA_RUNTIME_H
#define WEIR_EMULATOR_CUDA_RUNTIME_H

#include "cuda_runtime_api.h"

#ifdef __cplusplus

#include "emulator/atomic.hpp"
#include "emulator/launch.hpp"
#include "emulator/math.hpp"
#include "emulator/warp.hpp"

/* There is no __shared__: SHARED_ARRAY and SHARED_DYNAMIC are watched, a plain variable is not. */
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__  inline __attribute__((always_inline))
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __grid_constant__
#define __launch_bounds__(...)

#endif
#endif
