/* SPDX-License-Identifier: Apache-2.0 */
/* traffic_test.cpp -- bytes of device memory that kernels move, against counts made by hand. Built
 * as counted kernels are (kernels/cuda/cuda.mk). */
#include "emulator_traffic.h"
#include "kernels/cuda/port.cuh"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

extern "C" {
#include <cmocka.h>
}

#define ok(call) assert_int_equal((call), cudaSuccess)
#define FLOATS   4096u

__global__ void copy_floats(float *to, const float *from)
{
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    to[i] = from[i];
}

__global__ void copy_vectors(float *to, const float *from)
{
    unsigned i = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
    *reinterpret_cast<uint4 *>(&to[i]) = *reinterpret_cast<const uint4 *>(&from[i]);
}

/* All threads want the same float, by way of shared memory and back. */
__global__ void spread_one(float *to, const float *from)
{
    SHARED_ARRAY(float, values, [256]);
    values[threadIdx.x] = from[5];
    __syncthreads();
    if (threadIdx.x == 0)
        to[9] = values[255];
}

__global__ void copy_async(float *to, const float *from)
{
    SHARED_ARRAY(float, values, [256]);
    if (threadIdx.x < 64)
        copy_async16(&values[4 * threadIdx.x], &from[4 * threadIdx.x], threadIdx.x < 60);
    copy_async_commit();
    copy_async_wait<0>();
    __syncthreads();
    to[threadIdx.x] = values[threadIdx.x];
}

__global__ void count_up(unsigned *to)
{
    (void)atomicAdd(to, 1u);
}

/* One float of every 32 bytes: asked for is an eighth of what moves. */
__global__ void read_strided(float *to, const float *from)
{
    float value = from[8 * threadIdx.x];
    if (value < 0.0f)
        to[0] = value;
}

struct buffers {
    float *to, *from;
};

static struct emulator_traffic traffic_of(const char *kernel)
{
    struct emulator_traffic entries[16], none = {};
    unsigned count = emulator_traffic_read(entries, 16);
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(entries[i].kernel, kernel) == 0)
            return entries[i];
    }
    return none;
}

static void check(const char *kernel, uint64_t read, uint64_t written, uint64_t read_sectors,
                  uint64_t written_sectors)
{
    struct emulator_traffic traffic = traffic_of(kernel);
    ok(cudaGetLastError());
    assert_int_equal(traffic.launches, 1);
    assert_int_equal(traffic.read_bytes, read);
    assert_int_equal(traffic.written_bytes, written);
    assert_int_equal(traffic.read_sectors, read_sectors);
    assert_int_equal(traffic.written_sectors, written_sectors);
}

static struct buffers b;

static int setup(void **state)
{
    (void)state;
    emulator_traffic_reset();
    if (cudaMalloc(&b.to, FLOATS * 4) != cudaSuccess || cudaMalloc(&b.from, FLOATS * 4) != 0)
        return -1;
    return cudaMemset(b.from, 0, FLOATS * 4) == cudaSuccess ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return cudaFree(b.to) == cudaSuccess && cudaFree(b.from) == cudaSuccess ? 0 : -1;
}

static void each_load_and_store_is_counted(void **state)
{
    (void)state;
    LAUNCH((copy_floats), 8, 256, 0, 0, b.to, b.from);
    check("(copy_floats)", 2048 * 4, 2048 * 4, 256, 256);
    LAUNCH((copy_vectors), 4, 128, 0, 0, b.to, b.from);
    check("(copy_vectors)", 2048 * 4, 2048 * 4, 256, 256);
}

static void what_many_read_comes_from_memory_once(void **state)
{
    (void)state;
    LAUNCH((spread_one), 1, 256, 0, 0, b.to, b.from);
    check("(spread_one)", 256 * 4, 4, 1, 1);
    LAUNCH((read_strided), 1, 256, 0, 0, b.to, b.from);
    check("(read_strided)", 256 * 4, 0, 256, 0);
}

static void asynchronous_copies_count_what_they_read(void **state)
{
    (void)state;
    LAUNCH((copy_async), 1, 256, 0, 0, b.to, b.from);
    check("(copy_async)", 60 * 16, 256 * 4, 30, 32);
}

static void an_atomic_reads_and_writes(void **state)
{
    (void)state;
    ok(cudaMemset(b.to, 0, 4));
    LAUNCH((count_up), 1, 32, 0, 0, reinterpret_cast<unsigned *>(b.to));
    check("(count_up)", 32 * 4, 32 * 4, 1, 1);
}

static void launches_add_up(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        LAUNCH((copy_floats), 1, 256, 0, 0, b.to, b.from);
    struct emulator_traffic traffic = traffic_of("(copy_floats)");
    assert_int_equal(traffic.launches, 3);
    assert_int_equal(traffic.read_bytes, 3 * 256 * 4);
    assert_int_equal(traffic.read_sectors, 3 * 32);
    emulator_traffic_reset();
    assert_int_equal(emulator_traffic_read(NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(each_load_and_store_is_counted),
        TEST(what_many_read_comes_from_memory_once),
        TEST(asynchronous_copies_count_what_they_read),
        TEST(an_atomic_reads_and_writes),
        TEST(launches_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
