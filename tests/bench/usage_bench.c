/* SPDX-License-Identifier: Apache-2.0 */
/* usage_bench.c -- what counting a request costs that was counted before in the day, from one and
 * from two threads, over as many models as one daemon may serve, in November, and in December, when
 * users are counted under two years' keys; beside it what the hash of an id costs; and the memory
 * that all models take with registers for the day and for the month.
 *
 *     usage_memory models=50 counters_mib=... limit_mib=26 resident_mib=...
 *     usage_siphash bytes=36 ns=...
 *     usage_count threads=1 models=50 years=1 ns=...
 */
#include "base/clock.h"
#include "policy/users/calendar.h"
#include "policy/users/siphash.h"
#include "policy/users/usage_inner.h"
#include "policy/users/usage_window.h"

#include <assert.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODELS   50u
#define USERS    40000u /* registers, not hashes */
#define ROUNDS   4000000u
#define DAY      20772u /* 2026-11-15: not the first of its month */
#define DAY_TWO  20802u /* 2026-12-15 */
#define THREADS  2u
#define TICKS    40u /* that put a day away */
#define ID_BYTES 36u

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

/* What comes before counting, and cannot be had for less. */
static void bench_siphash(void)
{
    static const uint8_t key[SIPHASH_KEY_BYTES] = {1};
    uint8_t id[ID_BYTES] = {0};
    uint64_t sum = 0, started_us = clock_monotonic_us();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        memcpy(id, &i, sizeof i);
        sum += siphash(key, id, sizeof id);
    }
    uint64_t us = clock_monotonic_us() - started_us;
    assert(sum != 0); /* so that no compiler leaves it out */
    (void)printf("usage_siphash bytes=%u ns=%.1f\n", ID_BYTES, (double)us * 1000 / ROUNDS);
}

/* -- Memory -- */

/* The mapped files of counters, as the kernel has them, and the sketches of closed days. */
static double counters_mib(const struct usage *usage)
{
    char line[4352];
    double kib = 0;
    bool of_counter = false;
    FILE *file = fopen("/proc/self/smaps", "re");
    assert(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned long long rss_kib;
        const char *dash = strchr(line, '-'), *blank = strchr(line, ' ');
        if (dash != NULL && blank != NULL && dash < blank) /* an address range */
            of_counter = strstr(line, ".wcn") != NULL;
        else if (of_counter && sscanf(line, "Rss: %llu kB", &rss_kib) == 1)
            kib += (double)rss_kib;
    }
    (void)fclose(file);
    for (const struct usage_scope *scope = usage->scopes; scope != NULL; scope = scope->next)
        for (uint32_t c = 0; c < USAGE_CLASS_COUNT; c++)
            if (scope->closed.sketches[c] != NULL)
                kib += (double)sketch_memory(scope->closed.sketches[c]) / 1024;
    return kib / 1024;
}

/* Of this process, with the journal's buffers and what the allocator has not given back. */
static double resident_mib(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert(file != NULL);
    int found = fscanf(file, "%*u %llu", &pages);
    assert(found == 1);
    (void)fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

/* All users of a model on a day. */
static void count_all(struct usage *usage, struct usage_scope **scopes, uint32_t day)
{
    for (uint32_t m = 0; m < MODELS; m++) {
        for (uint64_t i = 0; i < USERS; i++)
            (void)see(scopes[m], day, i);
        (void)usage_commit(usage, NULL);
    }
}

/* Every model's month, as a scrape asks for it: the closed days' union is kept. */
static void ask_all(struct usage *usage)
{
    for (uint32_t m = 0; m < MODELS; m++) {
        char model[16];
        struct usage_figures figures;
        (void)snprintf(model, sizeof model, "m%u", m);
        const struct usage_question question = {
            .group = usage_group_find(usage, USAGE_GROUP_MODEL, model),
            .window = USAGE_WINDOW_MONTH,
            .day = DAY,
            .now_unix_us = (int64_t)DAY * CALENDAR_DAY_US + CALENDAR_DAY_US / 2};
        int result = usage_ask(usage, &question, &figures, NULL);
        assert(result == 0 && figures.best.users > USERS * 0.98);
    }
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

static void tick_all(struct usage *usage, uint32_t day)
{
    for (uint32_t i = 0; i < TICKS; i++)
        usage_tick(usage, (int64_t)day * CALENDAR_DAY_US + CALENDAR_DAY_US / 2);
}

int main(void)
{
    char folder[] = "/tmp/weir-usage-XXXXXX";
    const char *made = mkdtemp(folder);
    assert(made != NULL);
    const struct secret secret = {.files_key = {1}, .key_id = 1};
    const struct usage_config config = {.folder = folder, .secret = &secret};
    double before_mib = resident_mib();
    struct usage *usage = usage_new(&config, NULL);
    assert(usage != NULL);
    struct usage_scope *scopes[MODELS];
    for (uint32_t m = 0; m < MODELS; m++) {
        char model[16];
        (void)snprintf(model, sizeof model, "m%u", m);
        const struct usage_scope_name name = {.product = "", .model = model, .family = ""};
        int result = usage_scope_add(usage, &name, &scopes[m], NULL);
        assert(result == 0);
    }
    for (uint32_t day = DAY - 1; day <= DAY; day++) {
        count_all(usage, scopes, day);
        tick_all(usage, day);
    }
    ask_all(usage);
    tick_all(usage, DAY);
    (void)printf("usage_memory models=%u counters_mib=%.1f limit_mib=26 resident_mib=%.1f\n",
                 MODELS, counters_mib(usage), resident_mib() - before_mib);
    bench_siphash();
    count_all(usage, scopes, DAY_TWO);
    for (uint32_t threads = 1; threads <= THREADS; threads++) {
        bench(scopes, DAY, threads);
        bench(scopes, DAY_TWO, threads);
    }
    usage_free(usage);
    clear(folder);
    return 0;
}
