/* SPDX-License-Identifier: Apache-2.0 */
/* collectives_test.cpp -- shuffles, votes, sums and barriers against their definitions, in every
 * order of threads, for whole warps, partial ones and parts of them. */
#include "emulator_control.h"
#include "kernels/cuda/port.cuh"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

extern "C" {
#include <cmocka.h>
}

#define ok(call)    assert_int_equal((call), cudaSuccess)
#define THREADS_MAX 1024

/* -- Kernels: each thread writes what it got -- */

enum shuffle { SHUFFLE, SHUFFLE_UP, SHUFFLE_DOWN, SHUFFLE_XOR };

template <class T>
__global__ void shuffle_all(T *out, const T *in, enum shuffle kind, int argument, int width)
{
    T value = in[threadIdx.x];
    switch (kind) {
    case SHUFFLE:
        value = __shfl_sync(WARP_ALL, value, argument, width);
        break;
    case SHUFFLE_UP:
        value = __shfl_up_sync(WARP_ALL, value, (unsigned)argument, width);
        break;
    case SHUFFLE_DOWN:
        value = __shfl_down_sync(WARP_ALL, value, (unsigned)argument, width);
        break;
    default:
        value = __shfl_xor_sync(WARP_ALL, value, argument, width);
    }
    out[threadIdx.x] = value;
}

struct votes {
    unsigned ballot, match_any, match_all, bits_and, bits_or, bits_xor, least, most, sum;
    int any, all, every, least_signed, most_signed, sum_signed;
};

/* Lanes of the mask vote; the others do nothing. */
__global__ void vote_all(struct votes *out, const int *in, unsigned mask)
{
    if ((mask >> (threadIdx.x % 32) & 1) == 0)
        return;
    int value = in[threadIdx.x];
    unsigned bits = (unsigned)value;
    struct votes *own = &out[threadIdx.x];
    own->ballot = __ballot_sync(mask, value);
    own->any = __any_sync(mask, value);
    own->all = __all_sync(mask, value);
    own->sum = __reduce_add_sync(mask, bits);
    own->least = __reduce_min_sync(mask, bits);
    own->most = __reduce_max_sync(mask, bits);
    own->sum_signed = __reduce_add_sync(mask, value);
    own->least_signed = __reduce_min_sync(mask, value);
    own->most_signed = __reduce_max_sync(mask, value);
    own->bits_and = __reduce_and_sync(mask, bits);
    own->bits_or = __reduce_or_sync(mask, bits);
    own->bits_xor = __reduce_xor_sync(mask, bits);
    own->match_any = __match_any_sync(mask, value);
    own->match_all = __match_all_sync(mask, (unsigned long long)(bits & 0), &own->every);
}

/* Odd and even lanes go their own way, at different paces. */
__global__ void halves(int *out)
{
    unsigned mask = threadIdx.x % 2 == 0 ? 0x55555555u : 0xaaaaaaaau;
    int sum = 0;
    for (unsigned i = 0; i < 3 + threadIdx.x % 2; i++)
        sum += __reduce_add_sync(mask, (int)(threadIdx.x * i));
    out[threadIdx.x] = sum;
}

struct block_votes {
    int count, any, all;
};
__global__ void vote_in_block(struct block_votes *out, unsigned below)
{
    struct block_votes own;
    own.count = __syncthreads_count(threadIdx.x < below);
    own.any = __syncthreads_or(threadIdx.x < below);
    own.all = __syncthreads_and(threadIdx.x < below);
    out[threadIdx.x] = own;
}

/* Threads leave one after the other; the others still meet. */
__global__ void leaving(int *out)
{
    for (unsigned i = 0; i < threadIdx.x; i++)
        __syncthreads();
    out[threadIdx.x] = (int)threadIdx.x;
}

__global__ void atomics(unsigned *out, float *sum)
{
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    (void)atomicAdd(&out[0], 1u);
    (void)atomicMax(&out[1], i);
    (void)atomicMin(&out[2], i);
    (void)atomicOr(&out[3], 1u << (i % 32));
    (void)atomicXor(&out[4], i);
    (void)atomicInc(&out[5], 9u);
    (void)atomicSub(&out[6], 2u);
    (void)atomicAdd(sum, 0.5f);
    unsigned old = 0, seen; /* a guess */
    do {
        seen = old;
        old = atomicCAS(&out[7], seen, seen + 3);
    } while (old != seen);
}

__global__ void indices(unsigned *out)
{
    unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] = block * 1000 + thread;
}

/* Every thread's place in shared memory is written and read by others, many times. */
__global__ void rotate(unsigned *out, unsigned rounds)
{
    SHARED_ARRAY(unsigned, places, [THREADS_MAX]);
    SHARED_DYNAMIC(unsigned, dynamic);
    unsigned value = threadIdx.x;
    for (unsigned i = 0; i < rounds; i++) {
        (i % 2 == 0 ? places : dynamic)[threadIdx.x] = value;
        __syncthreads();
        value = (i % 2 == 0 ? places : dynamic)[(threadIdx.x + 1) % blockDim.x];
    }
    out[blockIdx.x * blockDim.x + threadIdx.x] = value;
}

/* -- Host -- */

static const char *const orders[] = {"forward", "reverse", "random"};

static void use_order(const char *order)
{
    (void)setenv("WEIR_EMULATOR_ORDER", order, 1);
    emulator_reload();
}

static int restore(void **state)
{
    (void)state;
    (void)unsetenv("WEIR_EMULATOR_ORDER");
    emulator_reload();
    return emulator_device_bytes() == 0 ? 0 : -1;
}

template <class T> static T *device_of(const T *values, size_t count)
{
    T *device;
    ok(cudaMalloc(&device, count * sizeof(T)));
    ok(cudaMemcpy(device, values, count * sizeof(T), cudaMemcpyHostToDevice));
    return device;
}

template <class T> static void take(T *values, T *device, size_t count)
{
    ok(cudaGetLastError());
    ok(cudaMemcpy(values, device, count * sizeof(T), cudaMemcpyDeviceToHost));
    ok(cudaFree(device));
}

/* CUDA's words for each: the source lane, or the own one past the section's end. */
static unsigned source_of(enum shuffle kind, unsigned lane, int argument, int width)
{
    int section = (int)lane / width * width, within = (int)lane % width, source;
    if (kind == SHUFFLE)
        return (unsigned)(section + ((argument % width) + width) % width);
    if (kind == SHUFFLE_UP)
        return within - argument < 0 ? lane : lane - (unsigned)argument;
    if (kind == SHUFFLE_DOWN)
        return within + argument >= width ? lane : lane + (unsigned)argument;
    source = (int)lane ^ argument;
    return source >= section + width ? lane : (unsigned)source;
}

template <class T> static void check_shuffle(enum shuffle kind, int argument, int width)
{
    T in[64], out[64];
    for (unsigned i = 0; i < 64; i++)
        in[i] = (T)(i * 3 + 1);
    T *from = device_of(in, 64), *to = device_of(in, 64);
    LAUNCH((shuffle_all<T>), 1, 64, 0, 0, to, from, kind, argument, width);
    take(out, to, 64);
    ok(cudaFree(from));
    for (unsigned i = 0; i < 64; i++)
        assert_true(out[i] == in[i / 32 * 32 + source_of(kind, i % 32, argument, width)]);
}

static void shuffles_give_what_cuda_says(void **state)
{
    (void)state;
    for (const char *order : orders) {
        use_order(order);
        for (int width = 2; width <= 32; width *= 4) {
            for (int argument = 0; argument < width; argument += 3) {
                for (int kind = SHUFFLE; kind <= SHUFFLE_XOR; kind++) {
                    check_shuffle<float>((enum shuffle)kind, argument, width);
                    check_shuffle<double>((enum shuffle)kind, argument, width);
                }
            }
        }
        check_shuffle<short>(SHUFFLE, 37, 32);
        check_shuffle<int>(SHUFFLE, -1, 8);
        check_shuffle<unsigned>(SHUFFLE_XOR, 17, 32);
    }
}

/* By the plain definition, over the lanes that vote. */
static struct votes votes_of(const int *in, unsigned mask, unsigned lane)
{
    struct votes v = {};
    v.bits_and = ~0u;
    v.least = ~0u;
    v.least_signed = INT32_MAX;
    v.most_signed = INT32_MIN;
    v.all = 1;
    for (unsigned l = 0; l < 32; l++) {
        if ((mask >> l & 1) == 0)
            continue;
        unsigned bits = (unsigned)in[l];
        v.ballot |= (unsigned)(bits != 0) << l;
        v.any |= bits != 0;
        v.all &= bits != 0;
        v.sum += bits;
        v.least = bits < v.least ? bits : v.least;
        v.most = bits > v.most ? bits : v.most;
        v.least_signed = in[l] < v.least_signed ? in[l] : v.least_signed;
        v.most_signed = in[l] > v.most_signed ? in[l] : v.most_signed;
        v.bits_and &= bits;
        v.bits_or |= bits;
        v.bits_xor ^= bits;
        v.match_any |= (unsigned)(in[l] == in[lane]) << l;
    }
    v.sum_signed = (int)v.sum;
    v.match_all = mask;
    v.every = 1;
    return v;
}

static void votes_count_the_lanes_of_the_mask(void **state)
{
    (void)state;
    const unsigned masks[] = {0xffffffffu, 1u, 0x80000000u, 0x0f0f0f0fu, 0x7ffffffeu, 0x00010100u};
    for (const char *order : orders) {
        use_order(order);
        for (unsigned mask : masks) {
            int in[64];
            struct votes out[64] = {}, none = {};
            for (unsigned i = 0; i < 64; i++)
                in[i] = (int)((i * 2654435761u) >> 29) - 4;
            int *from = device_of(in, 64);
            struct votes *to = device_of(out, 64);
            LAUNCH((vote_all), 1, 64, 0, 0, to, from, mask);
            take(out, to, 64);
            ok(cudaFree(from));
            for (unsigned i = 0; i < 64; i++) {
                bool voted = mask >> (i % 32) & 1;
                struct votes wanted = voted ? votes_of(in + i / 32 * 32, mask, i % 32) : none;
                assert_memory_equal(&out[i], &wanted, sizeof wanted);
            }
        }
    }
}

static void parts_of_a_warp_go_their_own_way(void **state)
{
    (void)state;
    for (const char *order : orders) {
        use_order(order);
        int out[32] = {};
        int *to = device_of(out, 32);
        LAUNCH((halves), 1, 32, 0, 0, to);
        take(out, to, 32);
        for (unsigned i = 0; i < 32; i++)
            assert_int_equal(out[i], i % 2 == 0 ? 240 * 3 : 256 * 6);
    }
}

static void a_partial_warp_means_the_lanes_that_there_are(void **state)
{
    (void)state;
    float in[44], out[44];
    for (unsigned i = 0; i < 44; i++)
        in[i] = (float)i;
    float *from = device_of(in, 44), *to = device_of(in, 44);
    LAUNCH((shuffle_all<float>), 1, 44, 0, 0, to, from, SHUFFLE_XOR, 1, 4);
    take(out, to, 44);
    ok(cudaFree(from));
    for (unsigned i = 0; i < 44; i++)
        assert_true(out[i] == in[i ^ 1]);
}

static void a_block_votes_at_its_barriers(void **state)
{
    (void)state;
    for (unsigned threads : {1u, 33u, 256u}) {
        for (unsigned below : {0u, 1u, 33u, 300u}) {
            struct block_votes out[256] = {};
            struct block_votes *to = device_of(out, 256);
            LAUNCH((vote_in_block), 1, threads, 0, 0, to, below);
            take(out, to, 256);
            int count = (int)(below < threads ? below : threads);
            for (unsigned i = 0; i < threads; i++) {
                assert_int_equal(out[i].count, count);
                assert_int_equal(out[i].any, count > 0);
                assert_int_equal(out[i].all, count == (int)threads);
            }
        }
    }
}

static void who_has_left_is_not_waited_for(void **state)
{
    (void)state;
    for (const char *order : orders) {
        use_order(order);
        int out[100] = {};
        int *to = device_of(out, 100);
        LAUNCH((leaving), 1, 100, 0, 0, to);
        take(out, to, 100);
        for (int i = 0; i < 100; i++)
            assert_int_equal(out[i], i);
    }
}

static void atomics_lose_nothing(void **state)
{
    (void)state;
    unsigned out[8] = {0, 0, ~0u, 0, 0, 0, 0, 0};
    float sum = 0.0f;
    unsigned *to = device_of(out, 8);
    float *total = device_of(&sum, 1);
    LAUNCH((atomics), 50, 100, 0, 0, to, total);
    take(out, to, 8);
    take(&sum, total, 1);
    assert_int_equal(out[0], 5000);
    assert_int_equal(out[1], 4999);
    assert_int_equal(out[2], 0);
    assert_int_equal(out[3], 0xffffffff);
    assert_int_equal(out[4], 0); /* 0 ^ 1 ^ ... ^ 4999, whose count is a multiple of four */
    assert_int_equal(out[5], 0); /* 5000 steps round ten */
    assert_int_equal(out[6], (unsigned)-10000);
    assert_int_equal(out[7], 15000);
    assert_true(sum == 2500.0f);
}

static void every_index_comes_once(void **state)
{
    (void)state;
    const dim3 grid(3, 4, 5), block(7, 2, 3);
    for (const char *order : orders) {
        use_order(order);
        unsigned out[60 * 42] = {};
        unsigned *to = device_of(out, 60 * 42);
        LAUNCH((indices), grid, block, 0, 0, to);
        take(out, to, 60 * 42);
        for (unsigned i = 0; i < 60 * 42; i++)
            assert_int_equal(out[i], i / 42 * 1000 + i % 42);
    }
}

static void blocks_have_shared_memory_of_their_own(void **state)
{
    (void)state;
    static unsigned out[16 * THREADS_MAX];
    for (const char *order : orders) {
        use_order(order);
        for (unsigned threads : {1u, 96u, 1024u}) {
            unsigned *to = device_of(out, 16 * THREADS_MAX);
            LAUNCH((rotate), 16, threads, threads * sizeof(unsigned), 0, to, 6u);
            take(out, to, 16 * THREADS_MAX);
            for (unsigned i = 0; i < 16 * threads; i++)
                assert_int_equal(out[i], (i % threads + 6) % threads);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, restore)
        TEST(shuffles_give_what_cuda_says),
        TEST(votes_count_the_lanes_of_the_mask),
        TEST(parts_of_a_warp_go_their_own_way),
        TEST(a_partial_warp_means_the_lanes_that_there_are),
        TEST(a_block_votes_at_its_barriers),
        TEST(who_has_left_is_not_waited_for),
        TEST(atomics_lose_nothing),
        TEST(every_index_comes_once),
        TEST(blocks_have_shared_memory_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
