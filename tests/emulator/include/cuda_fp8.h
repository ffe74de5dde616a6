/* SPDX-License-Identifier: Apache-2.0 */
/* cuda_fp8.h -- __nv_fp8_e4m3, C++ only. */
#ifndef WEIR_EMULATOR_CUDA_FP8_H
#define WEIR_EMULATOR_CUDA_FP8_H
#ifdef __cplusplus

#include "cuda_bf16.h"
#include "cuda_fp16.h"

typedef unsigned char __nv_fp8_storage_t;

struct __nv_fp8_e4m3 {
    __nv_fp8_storage_t __x;

    __nv_fp8_e4m3() = default;
    explicit __nv_fp8_e4m3(float f) : __x(emulator_to_e4m3(f))
    {
    }
    explicit __nv_fp8_e4m3(double f) : __x(emulator_to_e4m3(emulator_odd_float(f, 0.0)))
    {
    }
    explicit __nv_fp8_e4m3(__half f) : __x(emulator_to_e4m3((float)f))
    {
    }
    explicit __nv_fp8_e4m3(__nv_bfloat16 f) : __x(emulator_to_e4m3((float)f))
    {
    }
    explicit operator float() const
    {
        return emulator_from_e4m3(__x);
    }
    explicit operator __half() const
    {
        return __half(emulator_from_e4m3(__x));
    }
    explicit operator __nv_bfloat16() const
    {
        return __nv_bfloat16(emulator_from_e4m3(__x));
    }
};

#endif
#endif
