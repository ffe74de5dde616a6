/* SPDX-License-Identifier: Apache-2.0 */
/* limits.c -- what this machine could do at best, measured now: bytes read from memory a second
 * and 8-bit multiply-adds a second, over all cores. The benchmark's shares are of these. Prints
 * one JSON object. */
#include "base/clock.h"

#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS_MAX  256
#define BUFFER_BYTES (256u << 20) /* a thread; larger than any cache it could keep */
#define READ_PASSES  8
#define DOT_ROUNDS   20000000u

struct measurement {
    pthread_barrier_t *start; /* borrowed: measure() */
    const uint8_t *buffer;
    int64_t sink; /* keeps the work from being optimised away */
};

__attribute__((target("avx2"))) static void *read_memory(void *argument)
{
    struct measurement *mine = argument;
    (void)pthread_barrier_wait(mine->start);
    __m256i sums[8];
#pragma GCC unroll 8
    for (int lane = 0; lane < 8; lane++)
        sums[lane] = _mm256_setzero_si256();
    for (int pass = 0; pass < READ_PASSES; pass++) {
        const __m256i *lines = (const __m256i *)(const void *)mine->buffer;
        for (size_t i = 0; i < BUFFER_BYTES / sizeof *lines; i += 8)
#pragma GCC unroll 8
            for (size_t lane = 0; lane < 8; lane++)
                sums[lane] = _mm256_xor_si256(sums[lane], _mm256_loadu_si256(lines + i + lane));
    }
#pragma GCC unroll 8
    for (int lane = 1; lane < 8; lane++)
        sums[0] = _mm256_xor_si256(sums[0], sums[lane]);
    mine->sink = _mm256_extract_epi64(sums[0], 0);
    return NULL;
}

/* 8 independent chains of 32 x (u8 * s8) a round, summed in 16 bits as a kernel may. */
__attribute__((target("avx2"))) static int64_t dot_avx2(void)
{
    __m256i sums[8], weight = _mm256_set1_epi8(3);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        sums[i] = _mm256_setzero_si256();
    for (uint32_t round = 0; round < DOT_ROUNDS; round++) {
        __m256i x = _mm256_set1_epi32((int)round & 0x01010101);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            __asm__ volatile("" : "+x"(x));
            sums[i] = _mm256_add_epi16(sums[i], _mm256_maddubs_epi16(weight, x));
        }
    }
    int32_t lanes[8];
#pragma GCC unroll 8
    for (int i = 1; i < 8; i++)
        sums[0] = _mm256_add_epi16(sums[0], sums[i]);
    memcpy(lanes, &sums[0], sizeof lanes);
    return lanes[0] + lanes[7];
}

/* 8 independent chains of 64 x (u8 * s8) a round. */
__attribute__((target("avx512f,avx512bw,avx512vnni"))) static int64_t dot_avx512(void)
{
    __m512i sums[8], weight = _mm512_set1_epi8(3);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        sums[i] = _mm512_setzero_si512();
    for (uint32_t round = 0; round < DOT_ROUNDS; round++) {
        __m512i x = _mm512_set1_epi32((int)round & 0x01010101);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            __asm__ volatile("" : "+v"(x));
            sums[i] = _mm512_dpbusd_epi32(sums[i], weight, x);
        }
    }
    int32_t lanes[16];
#pragma GCC unroll 8
    for (int i = 1; i < 8; i++)
        sums[0] = _mm512_add_epi32(sums[0], sums[i]);
    memcpy(lanes, &sums[0], sizeof lanes);
    return lanes[0] + lanes[15];
}

static int dot_lanes(void)
{
    if (__builtin_cpu_supports("avx512vnni"))
        return 64;
    return __builtin_cpu_supports("avx2") ? 32 : 0;
}

static void *multiply(void *argument)
{
    struct measurement *mine = argument;
    (void)pthread_barrier_wait(mine->start);
    mine->sink = dot_lanes() == 64 ? dot_avx512() : dot_lanes() == 32 ? dot_avx2() : 0;
    return NULL;
}

/* Seconds that `threads` threads take for `work`, started together. */
static double measure(void *(*work)(void *), struct measurement *each, long threads)
{
    pthread_t ids[THREADS_MAX];
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, (unsigned)threads + 1);
    for (long i = 0; i < threads; i++) {
        each[i].start = &start;
        if (pthread_create(&ids[i], NULL, work, &each[i]) != 0)
            exit(1);
    }
    (void)pthread_barrier_wait(&start);
    uint64_t begin_us = clock_monotonic_us();
    for (long i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    uint64_t end_us = clock_monotonic_us();
    pthread_barrier_destroy(&start);
    return (double)(end_us - begin_us) / 1e6;
}

int main(void)
{
    static struct measurement each[THREADS_MAX];
    long threads = sysconf(_SC_NPROCESSORS_ONLN);
    if (threads < 1 || threads > THREADS_MAX)
        threads = 1;
    for (long i = 0; i < threads; i++) {
        uint8_t *buffer = malloc(BUFFER_BYTES);
        if (buffer == NULL)
            return 1;
        memset(buffer, (int)i, BUFFER_BYTES);
        each[i].buffer = buffer;
    }
    double read_s = measure(read_memory, each, threads);
    double dot_s = measure(multiply, each, threads);
    int64_t sink = 0;
    for (long i = 0; i < threads; i++)
        sink += each[i].sink;
    printf("{\"threads\": %ld, \"read_bytes_per_s\": %.0f, \"int8_ops_per_s\": %.0f, "
           "\"sink\": %d}\n",
           threads, (double)threads * BUFFER_BYTES * READ_PASSES / read_s,
           2.0 * (double)threads * DOT_ROUNDS * 8 * dot_lanes() / dot_s, (int)(sink & 1));
    return 0;
}
