/* SPDX-License-Identifier: Apache-2.0 */
/* device_copy.cuh -- numbers for kernel tests, and their way to the emulated GPU and back. */
#ifndef WEIR_TESTS_UNIT_CUDA_DEVICE_COPY_CUH
#define WEIR_TESTS_UNIT_CUDA_DEVICE_COPY_CUH

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

extern "C" {
#include <cmocka.h>
}
#include <cuda_runtime_api.h>
#include <math.h>
#include <string.h>

#include <vector>

/* The next of a sequence (Steele, Lea and Flood 2014, SplitMix64). */
static inline uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Uniform in [-size, size]. */
static inline float next_float(uint64_t *state, float size)
{
    return ((float)(next_random(state) >> 40) * 0x1p-23f - 1.0f) * size;
}

static inline std::vector<float> random_values(size_t count, float size, uint64_t seed)
{
    std::vector<float> out(count);
    for (float &value : out)
        value = next_float(&seed, size);
    return out;
}

/* Device memory for the values, which begin `shift` elements into it: past a multiple of 16 bytes
 * when shift is odd. Freed by device_release(). */
template <typename T> struct device_copy {
    T *memory, *at;
    size_t count;
};

template <typename T>
static struct device_copy<T> device_put(const std::vector<T> &values, size_t shift = 0) {
    struct device_copy<T> copy = {
        NULL, NULL, values.size()
    };
    assert_int_equal(cudaMalloc((void **)&copy.memory, (values.size() + shift + 1) * sizeof(T)),
                     cudaSuccess);
    copy.at = copy.memory + shift;
    if (!values.empty())
        assert_int_equal(cudaMemcpy(copy.at, values.data(), values.size() * sizeof(T),
                                    cudaMemcpyHostToDevice),
                         cudaSuccess);
    return copy;
}

/* Waits for the device. */
template <typename T>
static std::vector<T> device_get(const struct device_copy<T> &copy)
{
    std::vector<T> values(copy.count);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
    if (copy.count > 0)
        assert_int_equal(
            cudaMemcpy(values.data(), copy.at, copy.count * sizeof(T), cudaMemcpyDeviceToHost),
            cudaSuccess);
    return values;
}

template <typename T> static void device_release(struct device_copy<T> *copy)
{
    assert_int_equal(cudaFree(copy->memory), cudaSuccess);
    copy->memory = copy->at = NULL;
}

/* The same bits; any NaN is as good as any other, for a GPU has but one. */
static inline void assert_same_floats(const std::vector<float> &got, const std::vector<float> &want)
{
    assert_int_equal(got.size(), want.size());
    for (size_t i = 0; i < got.size(); i++) {
        if (isnan(got[i]) && isnan(want[i]))
            continue;
        if (memcmp(&got[i], &want[i], sizeof got[i]) != 0)
            fail_msg("[%zu] is %.9g, wanted %.9g", i, (double)got[i], (double)want[i]);
    }
}

#endif
