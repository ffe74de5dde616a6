/* SPDX-License-Identifier: Apache-2.0 */
/* formats.hpp -- struct formats from whichever CUDA headers are found first. */
#ifndef WEIR_TESTS_EMULATOR_FORMATS_HPP
#define WEIR_TESTS_EMULATOR_FORMATS_HPP

#include "toolkit.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <string.h>

template <class T> static uint16_t bits_of(T value)
{
    uint16_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

template <class T> static T value_of(uint16_t bits)
{
    T value;
    memcpy(static_cast<void *>(&value), &bits, sizeof bits);
    return value;
}

/* The functions of one 16-bit type. */
template <class T> static struct format16 format_of()
{
    struct format16 format = {
        [](uint16_t bits) { return static_cast<float>(value_of<T>(bits)); },
        [](float value) { return bits_of(T(value)); },
        [](double value) { return bits_of(T(value)); },
        [](int value) { return bits_of(T(value)); },
        [](uint16_t a, uint16_t b) { return bits_of(__hadd(value_of<T>(a), value_of<T>(b))); },
        [](uint16_t a, uint16_t b) { return bits_of(__hsub(value_of<T>(a), value_of<T>(b))); },
        [](uint16_t a, uint16_t b) { return bits_of(__hmul(value_of<T>(a), value_of<T>(b))); },
        [](uint16_t a, uint16_t b) { return bits_of(__hmax(value_of<T>(a), value_of<T>(b))); },
        [](uint16_t a, uint16_t b) { return bits_of(__hmin(value_of<T>(a), value_of<T>(b))); },
    };
    return format;
}

static inline struct formats all_formats()
{
    struct formats formats = {
        format_of<__half>(),
        format_of<__nv_bfloat16>(),
        [](uint8_t bits) {
            __nv_fp8_e4m3 value;
            value.__x = bits;
            return static_cast<float>(value);
        },
        [](float value) { return (uint8_t)__nv_fp8_e4m3(value).__x; },
    };
    return formats;
}

#endif
