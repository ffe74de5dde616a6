/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c -- one job at a time, taken task by task by whoever is awake.
 *
 * A forward pass is hundreds of jobs of some microseconds each, one after another, so what counts
 * is the cost of starting and ending a job. The caller is thread 0 and works like the others; it
 * needs nobody: a helper that sleeps, or whose core serves an HTTP worker just now, simply takes
 * no task. So there is no barrier that all threads must reach, only a count of finished tasks.
 *
 *     ticket   [ epoch : 32 | tasks left : 32 ]    claimed by compare-and-swap, left - 1
 *     task, argument, task_count                   what the tickets of this epoch are for
 *     done     tasks finished                      the job is over when it equals task_count
 *
 * The hazard is a helper that was stopped between reading the job and claiming a ticket: by then
 * the fields may be those of a later job. Its claim names the epoch it read, so it fails if the
 * job is over. If the claim succeeds the job was not over, hence the fields were not overwritten
 * before it finished: the caller writes them only after `done` counted every claimed task. They
 * are atomics because a read that leads to a failed claim may race, and must not be undefined.
 * (Epochs wrap after 2^32 jobs; a helper would have to be stopped for all of them.)
 *
 * Waiting: helpers watch `epoch` for SPIN_US, then sleep in futex(2) on it. `sleepers` and `epoch`
 * are the two sides of Dekker's handshake: a helper counts itself, then lets the kernel compare
 * the epoch; the caller moves the epoch, then looks at the count. One of them sees the other. The
 * caller waits for stragglers the same way, on `done` and `caller_sleeps`. Spinning is short, for
 * the cores are shared with the threads that talk to clients; with more threads than cores there
 * is none, since whoever spins keeps the one it waits for from running.
 *
 * Road not taken: a static split, a slice a thread. One late thread would hold up every job. */
#include "kernels/cpu/pool.h"

#include "base/clock.h"
#include "base/thread.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPIN_US     40u
#define SPIN_PAUSES 32u /* between looks at the clock */
#define THREADS_MAX 1024u
#define CACHE_LINE  64
#define STACK_BYTES (512u * 1024u)

struct helper {
    struct pool *pool; /* borrowed: owns us */
    uint32_t thread;   /* 1.. */
    pthread_t id;
};

struct pool {
    /* fixed at start */
    uint32_t threads; /* the caller included */
    uint32_t spin_us;
    struct helper *helpers; /* [threads - 1] */

    /* written by the caller, read by helpers */
    _Alignas(CACHE_LINE) _Atomic(pool_task) task;
    _Atomic(void *) argument;
    atomic_uint task_count;
    atomic_bool stopping;

    _Alignas(CACHE_LINE) _Atomic uint64_t ticket; /* epoch << 32 | tasks left */
    _Alignas(CACHE_LINE) atomic_uint epoch;       /* futex: helpers sleep on it */
    atomic_uint sleepers;
    _Alignas(CACHE_LINE) atomic_uint done; /* futex: the caller sleeps on it */
    atomic_bool caller_sleeps;
};

static void futex_wait(atomic_uint *word, uint32_t seen)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word, int count)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/* Watches the word until it differs from `seen`; false after spin_us without a change. */
static bool spin_until_change(const struct pool *pool, atomic_uint *word, uint32_t seen)
{
    if (pool->spin_us == 0)
        return atomic_load_explicit(word, memory_order_acquire) != seen;
    uint64_t begin_us = clock_monotonic_us();
    do {
        for (uint32_t i = 0; i < SPIN_PAUSES; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != seen)
                return true;
            pause_briefly();
        }
    } while (clock_monotonic_us() - begin_us < pool->spin_us);
    return false;
}

/* Takes tasks of the job at hand until none is left. */
static void work(struct pool *pool, uint32_t thread)
{
    uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    while ((uint32_t)ticket != 0) {
        pool_task task = atomic_load_explicit(&pool->task, memory_order_relaxed);
        void *argument = atomic_load_explicit(&pool->argument, memory_order_relaxed);
        uint32_t count = atomic_load_explicit(&pool->task_count, memory_order_relaxed);
        if (!atomic_compare_exchange_weak_explicit(&pool->ticket, &ticket, ticket - 1,
                                                   memory_order_acq_rel, memory_order_acquire))
            continue;
        task(argument, count - (uint32_t)ticket, thread);
        uint32_t finished = atomic_fetch_add(&pool->done, 1) + 1;
        if (finished == count && atomic_load(&pool->caller_sleeps))
            futex_wake(&pool->done, 1);
        ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    }
}

static void *helper_main(void *argument)
{
    struct helper *helper = argument;
    struct pool *pool = helper->pool;
    uint32_t epoch = 0;
    while (!atomic_load(&pool->stopping)) {
        if (!spin_until_change(pool, &pool->epoch, epoch)) {
            atomic_fetch_add(&pool->sleepers, 1);
            futex_wait(&pool->epoch, epoch);
            atomic_fetch_sub(&pool->sleepers, 1);
        }
        epoch = atomic_load(&pool->epoch);
        work(pool, helper->thread);
    }
    return NULL;
}

/* Moves the epoch and wakes up to `wanted` helpers that sleep. */
static void announce(struct pool *pool, uint32_t wanted)
{
    atomic_fetch_add(&pool->epoch, 1);
    uint32_t sleepers = atomic_load(&pool->sleepers);
    if (sleepers > 0)
        futex_wake(&pool->epoch, (int)(sleepers < wanted ? sleepers : wanted));
}

static void wait_for_stragglers(struct pool *pool, uint32_t task_count)
{
    for (;;) {
        uint32_t done = atomic_load_explicit(&pool->done, memory_order_acquire);
        if (done == task_count)
            return;
        if (spin_until_change(pool, &pool->done, done))
            continue;
        atomic_store(&pool->caller_sleeps, true);
        done = atomic_load(&pool->done);
        if (done != task_count)
            futex_wait(&pool->done, done);
        atomic_store(&pool->caller_sleeps, false);
    }
}

void pool_run(struct pool *pool, pool_task task, void *argument, uint32_t task_count)
{
    if (pool->threads == 1 || task_count <= 1) {
        for (uint32_t i = 0; i < task_count; i++)
            task(argument, i, 0);
        return;
    }
    atomic_store_explicit(&pool->task, task, memory_order_relaxed);
    atomic_store_explicit(&pool->argument, argument, memory_order_relaxed);
    atomic_store_explicit(&pool->task_count, task_count, memory_order_relaxed);
    atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
    uint64_t next_epoch = (atomic_load_explicit(&pool->ticket, memory_order_relaxed) >> 32) + 1;
    atomic_store_explicit(&pool->ticket, next_epoch << 32 | task_count, memory_order_release);
    announce(pool, task_count - 1);
    work(pool, 0);
    wait_for_stragglers(pool, task_count);
}

/* A helper stays on its core only where the pool takes every core the process may use: then each
 * core gets one, and its caches stay warm. With fewer threads than cores the kernel knows better
 * which are idle, and two pools would pile up on the same ones. */
static void pin(const struct helper *helper, const cpu_set_t *allowed)
{
    uint32_t seen = 0;
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, allowed) || seen++ != helper->thread)
            continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(core, &one);
        (void)pthread_setaffinity_np(helper->id, sizeof one, &one);
        return;
    }
}

static int helper_start(struct helper *helper, struct error *err)
{
    char name[THREAD_NAME_MAX + 1];
    (void)snprintf(name, sizeof name, "compute-%u", helper->thread);
    int failed = thread_start(&helper->id, name, STACK_BYTES, helper_main, helper);
    return failed == 0 ? 0 : error_set_errno(err, failed, "compute thread %u", helper->thread);
}

static int helpers_start(struct pool *pool, uint32_t threads, bool pinned, const cpu_set_t *allowed,
                         struct error *err)
{
    for (uint32_t i = 1; i < threads; i++) {
        struct helper *helper = &pool->helpers[i - 1];
        *helper = (struct helper){.pool = pool, .thread = i};
        int code = helper_start(helper, err);
        if (code != 0)
            return code;
        pool->threads = i + 1;
        if (pinned)
            pin(helper, allowed);
    }
    return 0;
}

struct pool *pool_new(uint32_t threads, struct error *err)
{
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) == 0)
        CPU_SET(0, &allowed);
    uint32_t cores = (uint32_t)CPU_COUNT(&allowed);
    if (threads == 0)
        threads = cores;
    if (threads > THREADS_MAX) {
        error_set(err, ERROR_INVALID, "%u compute threads: at most %u are allowed", threads,
                  THREADS_MAX);
        return NULL;
    }
    struct pool *pool = aligned_alloc(CACHE_LINE, sizeof *pool);
    struct helper *helpers = calloc(threads, sizeof *helpers);
    if (pool == NULL || helpers == NULL) {
        free(pool);
        free(helpers);
        error_no_memory(err);
        return NULL;
    }
    memset(pool, 0, sizeof *pool);
    pool->threads = 1; /* grows with each helper that lives, so that pool_free() joins just those */
    pool->spin_us = threads > cores ? 0 : SPIN_US;
    pool->helpers = helpers;
    if (helpers_start(pool, threads, threads == cores, &allowed, err) != 0) {
        pool_free(pool);
        return NULL;
    }
    return pool;
}

void pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    atomic_store(&pool->stopping, true);
    announce(pool, pool->threads);
    for (uint32_t i = 1; i < pool->threads; i++)
        pthread_join(pool->helpers[i - 1].id, NULL);
    free(pool->helpers);
    free(pool);
}

uint32_t pool_threads(const struct pool *pool)
{
    return pool->threads;
}
