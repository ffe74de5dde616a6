/* SPDX-License-Identifier: Apache-2.0 */
/* count_bench.c -- what counting one request costs, with the journal's record where the counter
 * changed: users that are known and users that are new, while exact and with registers, by one
 * thread and by two. The pseudonym's hash is not in it.
 *
 *     count users=known form=exact threads=2 ns=... changed=...
 */
#include "base/clock.h"
#include "policy/users/counter.h"
#include "policy/users/journal.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXACT_USERS 20000u
#define DENSE_USERS 2000000u
#define REQUESTS    4000000u
#define COUNTERS    50u /* the registers of one fit into a cache, those of all do not */
#define THREADS_MAX 2u

static uint64_t user(uint64_t i) /* SplitMix64 */
{
    uint64_t z = (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

struct bench {
    char folder[64];
    struct counter *counters[COUNTERS];
    uint32_t counter_count;
    struct journal *journal;
    _Atomic bool over;
};

struct worker {
    struct bench *bench;
    uint64_t first, users, requests; /* users first to first + users - 1, round and round */
    uint64_t changed;
    double ns;
};

static void *count(void *argument)
{
    struct worker *worker = argument;
    struct bench *bench = worker->bench;
    struct journal_record record;
    uint64_t begun_us = clock_monotonic_us(), at = 0, changed = 0;
    for (uint64_t i = 0; i < worker->requests; i++) {
        uint64_t hash = user(worker->first + at);
        struct counter *counter = bench->counters[hash % bench->counter_count];
        int result = counter_add(counter, hash, &record, NULL);
        assert(result >= 0);
        if (result == 1) {
            (void)journal_append(bench->journal, &record);
            changed++;
        }
        at = at + 1 == worker->users ? 0 : at + 1;
    }
    worker->ns = (double)(clock_monotonic_us() - begun_us) * 1000 / (double)worker->requests;
    worker->changed = changed;
    return NULL;
}

static void *commit(void *argument)
{
    struct bench *bench = argument;
    while (!atomic_load(&bench->over)) {
        (void)journal_commit(bench->journal, NULL);
        if (journal_stuck(bench->journal)) /* no answers wait here for a disk */
            (void)journal_forget(bench->journal, journal_appended(bench->journal), NULL);
        (void)usleep(5000);
    }
    return NULL;
}

static void measure(struct bench *bench, const char *label, const struct worker *like,
                    uint32_t thread_count)
{
    struct worker workers[THREADS_MAX];
    pthread_t threads[THREADS_MAX], committer;
    double ns = 0;
    uint64_t changed = 0;
    int code = 0;
    atomic_store(&bench->over, false);
    code |= pthread_create(&committer, NULL, commit, bench);
    for (uint32_t i = 0; i < thread_count; i++) {
        workers[i] = *like;
        workers[i].first += i * like->users; /* the users are the threads' own */
        code |= pthread_create(&threads[i], NULL, count, &workers[i]);
    }
    for (uint32_t i = 0; i < thread_count; i++) {
        code |= pthread_join(threads[i], NULL);
        ns += workers[i].ns / thread_count;
        changed += workers[i].changed;
    }
    atomic_store(&bench->over, true);
    code |= pthread_join(committer, NULL);
    assert(code == 0);
    printf("count %s counters=%u threads=%u ns=%.1f changed=%llu limit_ns=1000\n", label,
           bench->counter_count, thread_count, ns, (unsigned long long)changed);
}

static int on_record(void *argument, const struct journal_record *record, struct error *err)
{
    (void)argument;
    (void)record;
    (void)err;
    return 0;
}

static void open_bench(struct bench *bench, uint32_t counter_count)
{
    struct journal_recovery recovery;
    *bench = (struct bench){.folder = "/tmp/weir-count-XXXXXX", .counter_count = counter_count};
    char *made = mkdtemp(bench->folder);
    assert(made != NULL);
    const struct journal_config config = {
        .folder = bench->folder, .key_id = 1, .bytes_rotate = 1 << 24};
    int code = journal_open(&config, on_record, NULL, &bench->journal, &recovery, NULL);
    for (uint32_t i = 0; i < counter_count && code == 0; i++) {
        char path[96];
        const struct counter_name name = {.id = i, .key_id = 1, .day = 1};
        (void)snprintf(path, sizeof path, "%s/%u", bench->folder, i);
        code = counter_open(path, &name, &bench->counters[i], NULL);
        (void)unlink(path); /* the mapping keeps it */
    }
    assert(code == 0);
}

static void close_bench(struct bench *bench)
{
    char command[128];
    journal_close(bench->journal);
    for (uint32_t i = 0; i < bench->counter_count; i++)
        counter_close(bench->counters[i]);
    (void)snprintf(command, sizeof command, "rm -rf %s", bench->folder);
    int code = system(command);
    assert(code == 0);
}

static void bench_counters(uint32_t counter_count, uint32_t thread_count)
{
    struct bench bench;
    open_bench(&bench, counter_count);
    struct worker worker = {.bench = &bench};
    worker.users = worker.requests = EXACT_USERS / thread_count;
    measure(&bench, "users=new form=exact", &worker, thread_count);
    worker.requests = REQUESTS;
    measure(&bench, "users=known form=exact", &worker, thread_count);
    worker.users = worker.requests = DENSE_USERS * (counter_count > 1 ? 4 : 1);
    measure(&bench, "users=mostly_new form=registers", &worker, thread_count);
    worker.requests = REQUESTS;
    measure(&bench, "users=known form=registers", &worker, thread_count);
    worker.first = (uint64_t)1 << 40;
    worker.users = worker.requests;
    measure(&bench, "users=new form=registers", &worker, thread_count);
    close_bench(&bench);
}

int main(void)
{
    for (uint32_t thread_count = 1; thread_count <= THREADS_MAX; thread_count++) {
        bench_counters(1, thread_count);
        bench_counters(COUNTERS, thread_count);
    }
    return 0;
}
