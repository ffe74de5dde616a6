/* SPDX-License-Identifier: Apache-2.0 */
/* usage_bench.c -- what counting a request costs that was counted before in the day, from one and
 * from two threads, over as many models as one daemon may serve; in November, and in December,
 * when users are counted under two years' keys.
 *
 *     usage_count threads=1 models=50 years=1 ns=...
 */
#include "base/clock.h"
#include "policy/users/usage.h"

#include <assert.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MODELS  50u
#define USERS   40000u /* registers, not hashes */
#define ROUNDS  4000000u
#define DAY     20772u /* 2026-11-15 */
#define DAY_TWO 20802u /* 2026-12-15 */
#define THREADS 2u

struct counting {
    struct usage_scope **scopes;
    uint32_t day;
    uint64_t ns_each;
};

/* SplitMix64. */
static uint64_t hash_of(uint64_t number)
{
    uint64_t hash = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
    hash = (hash ^ hash >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    hash = (hash ^ hash >> 27) * UINT64_C(0x94d049bb133111eb);
    return hash ^ hash >> 31;
}

static uint64_t see(struct usage_scope *scope, uint32_t day, uint64_t user)
{
    const struct usage_sight sight = {.class = IDENTITY_ASSERTED,
                                      .hashes = {hash_of(user), ~hash_of(user)}};
    return usage_count(scope, day, &sight);
}

static void *count(void *argument)
{
    struct counting *counting = argument;
    uint64_t changes = 0, started_us = clock_monotonic_us();
    for (uint64_t i = 0; i < ROUNDS; i++)
        changes += see(counting->scopes[i % MODELS], counting->day, i * 7919 % USERS) != 0;
    assert(changes == 0);
    counting->ns_each = (clock_monotonic_us() - started_us) * 1000 / ROUNDS;
    return NULL;
}

static void bench(struct usage_scope **scopes, uint32_t day, uint32_t threads)
{
    pthread_t running[THREADS];
    struct counting counting[THREADS];
    uint64_t ns = 0;
    for (uint32_t i = 0; i < threads; i++) {
        counting[i] = (struct counting){.scopes = scopes, .day = day};
        int failed = pthread_create(&running[i], NULL, count, &counting[i]);
        assert(failed == 0);
    }
    for (uint32_t i = 0; i < threads; i++) {
        (void)pthread_join(running[i], NULL);
        ns += counting[i].ns_each;
    }
    (void)printf("usage_count threads=%u models=%u years=%u ns=%llu\n", threads, MODELS,
                 day == DAY ? 1u : 2u, (unsigned long long)(ns / threads));
}

static void clear(const char *folder)
{
    DIR *entries = opendir(folder);
    assert(entries != NULL);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(entries), entry->d_name, 0);
    (void)closedir(entries);
    (void)rmdir(folder);
}

int main(void)
{
    char folder[] = "/tmp/weir-usage-XXXXXX";
    const char *made = mkdtemp(folder);
    assert(made != NULL);
    const struct secret secret = {.files_key = {1}, .key_id = 1};
    const struct usage_config config = {.folder = folder, .secret = &secret};
    struct usage *usage = usage_new(&config, NULL);
    assert(usage != NULL);
    struct usage_scope *scopes[MODELS];
    for (uint32_t m = 0; m < MODELS; m++) {
        char model[16];
        (void)snprintf(model, sizeof model, "m%u", m);
        const struct usage_scope_name name = {.product = "", .model = model, .family = ""};
        int result = usage_scope_add(usage, &name, &scopes[m], NULL);
        assert(result == 0);
        for (uint64_t i = 0; i < USERS; i++) {
            (void)see(scopes[m], DAY, i);
            (void)see(scopes[m], DAY_TWO, i);
            if (i % 10000 == 0)
                (void)usage_commit(usage, NULL);
        }
    }
    for (uint32_t threads = 1; threads <= THREADS; threads++) {
        bench(scopes, DAY, threads);
        bench(scopes, DAY_TWO, threads);
    }
    usage_free(usage);
    clear(folder);
    return 0;
}
