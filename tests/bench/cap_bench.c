/* SPDX-License-Identifier: Apache-2.0 */
/* cap_bench.c -- what the cap costs a request, in nanoseconds; a line of JSON a case.
 *
 *     cap_bench [USERS [THREADS]]      10,000,000 users on 2 threads; 25 bytes of memory for 10
 *
 * Users come in no order, so that nearly every question misses the caches, as in life. `ahead`
 * asks for the cache line some requests earlier. */
#include "base/clock.h"
#include "policy/users/cap.h"
#include "policy/users/cap_filter.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS_MAX 64u
#define QUESTIONS   10000000u
#define AHEAD       8u

/* SplitMix64's output function (S. Vigna, public domain): the hash of user number i. */
static uint64_t user_hash(uint64_t i)
{
    uint64_t z = (i + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

struct worker {
    struct user_cap *cap;
    uint64_t first, users, count; /* asks for first, first + 1, ... below first + users, in turns */
    uint64_t stride;              /* added to first for each thread: 0, and all ask for the same */
    uint64_t passed;
};

static void *ask(void *argument)
{
    struct worker *worker = argument;
    for (uint64_t i = 0; i < worker->count; i++) {
        uint64_t hash = user_hash(worker->first + i % worker->users);
        worker->passed += user_cap_admit(worker->cap, hash) != USER_CAP_REFUSED;
    }
    return NULL;
}

/* Nanoseconds a question of each thread. */
static int measure(const char *name, struct worker worker, uint32_t thread_count)
{
    pthread_t threads[THREADS_MAX];
    struct worker workers[THREADS_MAX];
    uint64_t started_us = clock_monotonic_us(), passed = 0;
    for (uint32_t t = 0; t < thread_count; t++) {
        workers[t] = worker;
        workers[t].first += t * worker.stride;
        if (pthread_create(&threads[t], NULL, ask, &workers[t]) != 0)
            return 1;
    }
    for (uint32_t t = 0; t < thread_count; t++) {
        if (pthread_join(threads[t], NULL) != 0)
            return 1;
        passed += workers[t].passed;
    }
    double ns = (double)(clock_monotonic_us() - started_us) * 1000 / (double)worker.count;
    (void)printf("{\"case\":\"%s\",\"threads\":%u,\"ns\":%.1f,\"passed\":%llu}\n", name,
                 thread_count, ns, (unsigned long long)passed);
    return 0;
}

static int measure_filter(uint64_t users)
{
    struct cap_filter *filter = cap_filter_new(users, NULL);
    if (filter == NULL)
        return 1;
    for (uint64_t i = 0; i < users; i++) {
        cap_filter_prefetch(filter, user_hash(i + AHEAD));
        (void)cap_filter_add(filter, user_hash(i));
    }
    for (uint32_t ahead = 0; ahead <= AHEAD; ahead += AHEAD) {
        uint64_t known = 0, started_us = clock_monotonic_us();
        for (uint64_t i = 0; i < QUESTIONS; i++) {
            if (ahead > 0)
                cap_filter_prefetch(filter, user_hash((i + ahead) % users));
            known += cap_filter_has(filter, user_hash(i % users));
        }
        double ns = (double)(clock_monotonic_us() - started_us) * 1000 / QUESTIONS;
        (void)printf("{\"case\":\"filter%s\",\"threads\":1,\"ns\":%.1f,\"passed\":%llu}\n",
                     ahead > 0 ? " ahead" : "", ns, (unsigned long long)known);
    }
    cap_filter_free(filter);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t users = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
    uint32_t thread_count = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 2;
    struct error err = {0};
    const struct user_cap_config config = {.users_cap = users};
    struct user_cap *cap = user_cap_new(&config, &err);
    if (cap == NULL || thread_count == 0 || thread_count > THREADS_MAX) {
        (void)fprintf(stderr, "cap_bench: %s\n", cap == NULL ? err.text : "1 to 64 threads");
        user_cap_free(cap);
        return 1;
    }
    (void)user_cap_arm(cap, 1, 0);
    struct worker fill = {.cap = cap, .users = users, .count = users};
    struct worker few = {.cap = cap, .users = 1000, .count = QUESTIONS};
    struct worker known = {.cap = cap, .users = users, .count = QUESTIONS};
    struct worker strangers = {
        .cap = cap, .first = users, .users = QUESTIONS, .count = QUESTIONS, .stride = QUESTIONS};
    int failed = measure("new, a ticket taken", fill, 1);
    failed |= measure("known, of 1000", few, 1);
    for (uint32_t threads = 1; threads <= thread_count; threads++) {
        failed |= measure("known, of all", known, threads);
        failed |= measure("refused", strangers, threads);
    }
    user_cap_free(cap);
    return failed | measure_filter(users);
}
