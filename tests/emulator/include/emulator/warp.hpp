/* SPDX-License-Identifier: Apache-2.0 */
/* warp.hpp -- threads, barriers, shuffles, votes and fences in CUDA's words. */
#ifndef WEIR_EMULATOR_WARP_HPP
#define WEIR_EMULATOR_WARP_HPP

#include "engine.h"

static constexpr int warpSize = 32;

/* A function's last parameter: by default where it is called. */
#define EMULATOR_SITE emulator_site site = {__builtin_FILE(), __builtin_LINE()}

static inline void __syncthreads(EMULATOR_SITE)
{
    emulator_barrier(BARRIER_PLAIN, false, site);
}
static inline int __syncthreads_or(int predicate, EMULATOR_SITE)
{
    return emulator_barrier(BARRIER_OR, predicate != 0, site);
}
static inline int __syncthreads_and(int predicate, EMULATOR_SITE)
{
    return emulator_barrier(BARRIER_AND, predicate != 0, site);
}
static inline int __syncthreads_count(int predicate, EMULATOR_SITE)
{
    return emulator_barrier(BARRIER_COUNT, predicate != 0, site);
}

static inline void __threadfence()
{
    emulator_fence();
}
static inline void __threadfence_block()
{
    emulator_fence();
}
static inline void __threadfence_system()
{
    emulator_fence();
}
static inline void __nanosleep(unsigned)
{
    emulator_yield();
}
static inline void __trap()
{
    emulator_fail("__trap()");
}

static inline void __syncwarp(unsigned mask = 0xffffffffu, EMULATOR_SITE)
{
    emulator_warp_call call = {WARP_SYNC, mask, 0, 32, 0, nullptr, nullptr, site};
    emulator_warp(&call);
}

#define EMULATOR_SHUFFLE(name, op, argument_type)                                                  \
    template <class T>                                                                             \
    static inline T name(unsigned mask, T value, argument_type argument, int width = 32,           \
                         EMULATOR_SITE)                                                            \
    {                                                                                              \
        static_assert(sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8, "no such shuffle");      \
        T result = value;                                                                          \
        emulator_warp_call call = {                                                                \
            op, mask, (unsigned)argument, (unsigned)width, sizeof(T), &value, &result, site};      \
        emulator_warp(&call);                                                                      \
        return result;                                                                             \
    }
EMULATOR_SHUFFLE(__shfl_sync, WARP_SHUFFLE, int)
EMULATOR_SHUFFLE(__shfl_up_sync, WARP_SHUFFLE_UP, unsigned)
EMULATOR_SHUFFLE(__shfl_down_sync, WARP_SHUFFLE_DOWN, unsigned)
EMULATOR_SHUFFLE(__shfl_xor_sync, WARP_SHUFFLE_XOR, int)

template <class R, class T>
static inline R emulator_vote(emulator_warp_op op, unsigned mask, T value, emulator_site site)
{
    R result = {};
    emulator_warp_call call = {op, mask, 0, 32, sizeof value, &value, &result, site};
    emulator_warp(&call);
    return result;
}
#define EMULATOR_VOTE(name, op, result, type)                                                      \
    static inline result name(unsigned mask, type value, EMULATOR_SITE)                            \
    {                                                                                              \
        return emulator_vote<result, type>(op, mask, value, site);                                 \
    }
EMULATOR_VOTE(__ballot_sync, WARP_BALLOT, unsigned, int)
EMULATOR_VOTE(__any_sync, WARP_ANY, int, int)
EMULATOR_VOTE(__all_sync, WARP_ALL, int, int)
EMULATOR_VOTE(__reduce_add_sync, WARP_ADD, int, int)
EMULATOR_VOTE(__reduce_min_sync, WARP_MIN_SIGNED, int, int)
EMULATOR_VOTE(__reduce_max_sync, WARP_MAX_SIGNED, int, int)
EMULATOR_VOTE(__reduce_add_sync, WARP_ADD, unsigned, unsigned)
EMULATOR_VOTE(__reduce_min_sync, WARP_MIN_UNSIGNED, unsigned, unsigned)
EMULATOR_VOTE(__reduce_max_sync, WARP_MAX_UNSIGNED, unsigned, unsigned)
EMULATOR_VOTE(__reduce_and_sync, WARP_AND, unsigned, unsigned)
EMULATOR_VOTE(__reduce_or_sync, WARP_OR, unsigned, unsigned)
EMULATOR_VOTE(__reduce_xor_sync, WARP_XOR, unsigned, unsigned)

/* Lanes that bring the same bits. */
template <class T> static inline unsigned __match_any_sync(unsigned mask, T value, EMULATOR_SITE)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "no such match");
    return emulator_vote<unsigned, T>(WARP_MATCH_ANY, mask, value, site);
}
template <class T>
static inline unsigned __match_all_sync(unsigned mask, T value, int *all, EMULATOR_SITE)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "no such match");
    unsigned same = emulator_vote<unsigned, T>(WARP_MATCH_ALL, mask, value, site);
    *all = same != 0;
    return same;
}

static inline unsigned __activemask()
{
    emulator_fail("__activemask() tells nothing that a program may rely on");
}

#endif
