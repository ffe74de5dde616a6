/* SPDX-License-Identifier: Apache-2.0 */
/* loader.c -- the life of a model that is not there yet.
 *
 *     absent --- load_screen() --- a breach ----------------> refused
 *        ^            |                                          ^
 *        |            v                                          |
 *        |       load_model() --- the file's own licence: breach-+
 *        |            |    |
 *        +-- failed --+    +--- engine runs, licence weighed --> served
 *
 * One model at a time: two loads at once would share disk, cores and memory that those who are
 * served need more. A state is written last, and nobody but this thread looks at an absent model,
 * so that workers see all of it or nothing. */
#include "daemon/loader.h"

#include "base/clock.h"
#include "base/thread.h"
#include "daemon/load.h"
#include "daemon/load_retry.h"
#include "daemon/server.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define SECOND_US UINT64_C(1000000)

struct loader {
    /* fixed at start */
    struct server *server; /* borrowed: it holds us */
    pthread_t thread;
    bool running; /* thread is to be joined; the main thread's */
    /* under the lock */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* by the monotonic clock */
    bool ended;             /* the thread does nothing more */
    uint64_t hurries;
    struct load_retry retries[]; /* a model each */
};

struct loader *loader_new(struct server *server, struct error *err)
{
    pthread_condattr_t attributes;
    struct loader *loader =
        calloc(1, sizeof *loader + server->model_count * sizeof loader->retries[0]);
    if (loader == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    loader->server = server;
    loader->ended = true;
    (void)pthread_mutex_init(&loader->lock, NULL); /* none of these can fail as they are asked */
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&loader->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return loader;
}

static struct load_retry *retry_of(struct loader *loader, const struct served_model *served)
{
    return &loader->retries[served - loader->server->models];
}

/* Under the lock. */
static void note_failure(struct loader *loader, struct served_model *served,
                         const struct error *why, bool hurried)
{
    struct load_retry *retry = retry_of(loader, served);
    uint64_t now_us = clock_monotonic_us();
    load_retry_failed(retry, served->config->retry_max_ms, now_us);
    if (hurried)
        load_retry_hurry(retry);
    atomic_store(&served->next_load_us, retry->due_us);
    uint64_t failures = atomic_fetch_add(&served->load_failures, 1) + 1;
    log_event(loader->server->log, LOG_LEVEL_ERROR, "model_not_loaded",
              LOG_STRING("model", served->id), LOG_STRING("error", why->text),
              LOG_U64("failures", failures),
              LOG_U64("next_try_s", load_retry_left_us(retry, now_us) / SECOND_US),
              LOG_STRING("remedy", "it is tried again until it loads; SIGHUP tries at once"));
}

void loader_failed(struct loader *loader, struct served_model *served, const struct error *why)
{
    (void)pthread_mutex_lock(&loader->lock);
    note_failure(loader, served, why, false);
    (void)pthread_mutex_unlock(&loader->lock);
}

/* -- The thread -- */

/* The absent model that is due first; NULL when none is absent. */
static struct served_model *next_of(struct loader *loader)
{
    struct server *server = loader->server;
    struct served_model *next = NULL;
    for (uint32_t i = 0; i < server->model_count; i++) {
        struct served_model *served = &server->models[i];
        if (server_model_state(served) == MODEL_ABSENT &&
            (next == NULL || loader->retries[i].due_us < retry_of(loader, next)->due_us))
            next = served;
    }
    return next;
}

static void wait_us(struct loader *loader, uint64_t microseconds)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t nanoseconds = (uint64_t)until.tv_nsec + microseconds % SECOND_US * 1000;
    until.tv_sec += (time_t)(microseconds / SECOND_US + nanoseconds / 1000000000);
    until.tv_nsec = (long)(nanoseconds % 1000000000);
    (void)pthread_cond_timedwait(&loader->changed, &loader->lock, &until);
}

/* Without the lock; what it comes to is in the model's state. */
static void load(struct loader *loader, struct served_model *served, struct error *why)
{
    if (load_screen(loader->server, served, clock_unix_us() / 1000000, why) == 0)
        (void)load_model(loader->server, served, why);
}

static void try_one(struct loader *loader, struct served_model *served)
{
    struct error why = {0};
    uint64_t hurries = loader->hurries;
    atomic_store(&served->next_load_us, 0);
    (void)pthread_mutex_unlock(&loader->lock);
    load(loader, served, &why);
    (void)pthread_mutex_lock(&loader->lock);
    if (server_model_state(served) == MODEL_ABSENT && !atomic_load(&loader->server->loads_end))
        note_failure(loader, served, &why, hurries != loader->hurries);
}

static void *loader_main(void *argument)
{
    struct loader *loader = argument;
    struct served_model *next;
    (void)pthread_mutex_lock(&loader->lock);
    while (!atomic_load(&loader->server->loads_end) && (next = next_of(loader)) != NULL) {
        uint64_t left_us = load_retry_left_us(retry_of(loader, next), clock_monotonic_us());
        if (left_us > 0)
            wait_us(loader, left_us);
        else
            try_one(loader, next);
    }
    loader->ended = true;
    (void)pthread_cond_broadcast(&loader->changed);
    (void)pthread_mutex_unlock(&loader->lock);
    return NULL;
}

/* -- Life -- */

int loader_run(struct loader *loader, struct error *err)
{
    if (next_of(loader) == NULL)
        return 0;
    loader->ended = false;
    int failed = thread_start(&loader->thread, "loader", 0, loader_main, loader);
    if (failed != 0) {
        loader->ended = true;
        return error_set_errno(err, failed, "loader: thread");
    }
    loader->running = true;
    return 0;
}

void loader_hurry(struct loader *loader)
{
    struct server *server = loader->server;
    (void)pthread_mutex_lock(&loader->lock);
    loader->hurries++;
    for (uint32_t i = 0; i < server->model_count; i++)
        if (server_model_state(&server->models[i]) == MODEL_ABSENT) {
            load_retry_hurry(&loader->retries[i]);
            atomic_store(&server->models[i].next_load_us, 0);
        }
    (void)pthread_cond_broadcast(&loader->changed);
    (void)pthread_mutex_unlock(&loader->lock);
}

bool loader_stop(struct loader *loader, uint32_t timeout_ms)
{
    uint64_t end_us = clock_monotonic_us() + (uint64_t)timeout_ms * 1000;
    (void)pthread_mutex_lock(&loader->lock);
    (void)pthread_cond_broadcast(&loader->changed);
    for (uint64_t now_us; !loader->ended && (now_us = clock_monotonic_us()) < end_us;)
        wait_us(loader, end_us - now_us);
    bool ended = loader->ended;
    (void)pthread_mutex_unlock(&loader->lock);
    return ended;
}

void loader_free(struct loader *loader)
{
    if (loader == NULL)
        return;
    (void)pthread_mutex_lock(&loader->lock);
    (void)pthread_cond_broadcast(&loader->changed);
    (void)pthread_mutex_unlock(&loader->lock);
    if (loader->running)
        (void)pthread_join(loader->thread, NULL);
    (void)pthread_cond_destroy(&loader->changed);
    (void)pthread_mutex_destroy(&loader->lock);
    free(loader);
}
