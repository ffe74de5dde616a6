/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy_thread.h"

#include "base/clock.h"
#include "base/thread.h"
#include "policy/users/usage.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define TICK_US       1000000u
#define GATHER_US     2000u /* from one commit to the next, so that they are few */
#define TURN_MS_LEAST 5u
#define RETRY_US      250000u /* after a commit that failed */

struct policy_thread {
    /* fixed at start */
    struct policy_thread_config config;
    pthread_t thread;
    pthread_cond_t bell; /* on the monotonic clock */
    /* the thread's own */
    uint64_t told; /* up to where waiters were rung */
    /* shared */
    pthread_mutex_t lock;
    bool ending; /* under the lock */
    _Atomic bool asked, failing;
};

/* Until asked, ended, or the time; not_before_us holds back who was asked. False: it ends. */
static bool sleep_until(struct policy_thread *thread, uint64_t until_us, uint64_t not_before_us)
{
    (void)pthread_mutex_lock(&thread->lock);
    while (!thread->ending) {
        uint64_t now_us = clock_monotonic_us();
        bool asked = atomic_load(&thread->asked);
        uint64_t wake_us = asked && not_before_us < until_us ? not_before_us : until_us;
        if (now_us >= wake_us)
            break;
        const struct timespec at = {.tv_sec = (time_t)(wake_us / 1000000),
                                    .tv_nsec = (long)(wake_us % 1000000) * 1000};
        (void)pthread_cond_timedwait(&thread->bell, &thread->lock, &at);
    }
    bool ending = thread->ending;
    (void)pthread_mutex_unlock(&thread->lock);
    return !ending;
}

/* Rings when more is on disk than was told, whoever put it there: a tick's checkpoint commits as
 * well. While the disk fails nobody is held, so that is news too. */
static void tell(struct policy_thread *thread, bool failed)
{
    uint64_t durable = usage_durable(thread->config.usage);
    if (durable == thread->told && !failed)
        return;
    thread->told = durable;
    if (thread->config.on_durable != NULL)
        thread->config.on_durable(thread->config.argument);
}

static void commit(struct policy_thread *thread)
{
    struct usage *usage = thread->config.usage;
    atomic_store(&thread->asked, false); /* before: what comes from here on asks again */
    bool failed = false;
    if (usage_waiting(usage) > 0) {
        failed = usage_commit(usage, NULL) != 0;
        atomic_store(&thread->failing, failed);
        if (failed)
            atomic_store(&thread->asked, true);
    }
    tell(thread, failed);
}

/* When it wants to go on. */
static uint64_t take_turn(struct policy_thread *thread, uint64_t now_us)
{
    if (thread->config.turn == NULL)
        return UINT64_MAX;
    uint64_t wait_ms = thread->config.turn(thread->config.turn_argument, clock_unix_us());
    return now_us + (wait_ms < TURN_MS_LEAST ? TURN_MS_LEAST : wait_ms) * 1000;
}

static void *policy_main(void *argument)
{
    struct policy_thread *thread = argument;
    uint64_t tick_us = clock_monotonic_us(), commit_us = tick_us, turn_us = tick_us;
    while (sleep_until(thread, tick_us < turn_us ? tick_us : turn_us, commit_us)) {
        commit(thread);
        uint64_t now_us = clock_monotonic_us();
        commit_us = now_us + (atomic_load(&thread->failing) ? RETRY_US : GATHER_US);
        if (now_us >= tick_us) {
            usage_tick(thread->config.usage, clock_unix_us());
            tell(thread, false);
            tick_us = now_us + TICK_US;
        } else if (now_us >= turn_us) { /* not both, since a commit may have come to wait */
            turn_us = take_turn(thread, now_us);
        }
    }
    return NULL;
}

struct policy_thread *policy_thread_new(const struct policy_thread_config *config,
                                        struct error *err)
{
    pthread_condattr_t attributes;
    struct policy_thread *thread = calloc(1, sizeof *thread);
    if (thread == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    thread->config = *config;
    (void)pthread_mutex_init(&thread->lock, NULL); /* these cannot fail */
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&thread->bell, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    int failed = thread_start(&thread->thread, "policy", 0, policy_main, thread);
    if (failed == 0)
        return thread;
    (void)error_set_errno(err, failed, "policy: thread");
    (void)pthread_cond_destroy(&thread->bell);
    (void)pthread_mutex_destroy(&thread->lock);
    free(thread);
    return NULL;
}

void policy_thread_free(struct policy_thread *thread)
{
    if (thread == NULL)
        return;
    (void)pthread_mutex_lock(&thread->lock);
    thread->ending = true;
    (void)pthread_cond_signal(&thread->bell);
    (void)pthread_mutex_unlock(&thread->lock);
    (void)pthread_join(thread->thread, NULL);
    (void)pthread_cond_destroy(&thread->bell);
    (void)pthread_mutex_destroy(&thread->lock);
    free(thread);
}

void policy_thread_poke(struct policy_thread *thread)
{
    if (atomic_exchange(&thread->asked, true))
        return; /* who asked before has rung, or is about to */
    (void)pthread_mutex_lock(&thread->lock);
    (void)pthread_cond_signal(&thread->bell);
    (void)pthread_mutex_unlock(&thread->lock);
}

bool policy_thread_failing(const struct policy_thread *thread)
{
    return atomic_load(&thread->failing);
}
