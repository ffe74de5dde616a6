/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/watch.h"

#include "batching/pace.h"
#include "daemon/notify.h"
#include "daemon/server.h"
#include "daemon/worker.h"

uint64_t watch_pulse_still_us(struct watch_pulse *pulse, uint64_t count, uint64_t now_us)
{
    if (count == pulse->count && pulse->moved_us != 0)
        return now_us > pulse->moved_us ? now_us - pulse->moved_us : 0;
    *pulse = (struct watch_pulse){.count = count, .moved_us = now_us};
    return 0;
}

/* Whether the device of an engine is lost; logged once. */
static bool device_lost(struct server *server, struct served_model *served)
{
    const struct error *failure = engine_failure(served->engine);
    if (failure == NULL)
        return false;
    if (!served->lost)
        log_event(server->log, LOG_LEVEL_ERROR, "device_lost", LOG_STRING("model", served->id),
                  LOG_STRING("error", failure->text));
    served->lost = true;
    return true;
}

static bool engine_gets_on(struct server *server, struct served_model *served, uint32_t timeout_ms,
                           uint64_t now_us)
{
    struct engine_stats stats;
    if (device_lost(server, served))
        return false;
    engine_stats(served->engine, &stats);
    bool stalled = pace_stalled(&stats, now_us, timeout_ms);
    if (stalled == atomic_load(&served->stalled))
        return !stalled;
    atomic_store(&served->stalled, stalled);
    log_event(server->log, stalled ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN,
              stalled ? "stall" : "stall_over", LOG_STRING("model", served->id),
              LOG_U64("still_ms", pace_still_us(&stats, now_us) / 1000),
              LOG_U64("running", stats.running), LOG_U64("waiting", stats.waiting),
              LOG_U64("steps", stats.steps));
    return !stalled;
}

static bool worker_gets_on(struct server *server, struct worker *worker, uint32_t timeout_ms,
                           uint64_t now_us)
{
    uint64_t still_us = watch_pulse_still_us(&worker->pulse, atomic_load(&worker->turns), now_us);
    bool stalled = still_us > (uint64_t)timeout_ms * 1000;
    worker_ring(worker);
    if (stalled == atomic_load(&worker->stalled))
        return !stalled;
    atomic_store(&worker->stalled, stalled);
    log_event(server->log, stalled ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN,
              stalled ? "stall" : "stall_over", LOG_U64("worker", worker->index),
              LOG_U64("still_ms", still_us / 1000));
    return !stalled;
}

bool watch_all(struct server *server, uint32_t timeout_ms, uint64_t now_us)
{
    bool all = true;
    for (uint32_t i = 0; i < server->model_count; i++) {
        struct served_model *served = server_model(server, i);
        if (served != NULL)
            all &= engine_gets_on(server, served, timeout_ms, now_us);
    }
    for (uint32_t i = 0; i < server->worker_count; i++)
        all &= worker_gets_on(server, &server->workers[i], timeout_ms, now_us);
    return all;
}

bool watch_lost(const struct server *server)
{
    for (uint32_t i = 0; i < server->model_count; i++)
        if (server->models[i].lost)
            return true;
    return false;
}

/* "; NOT LOADED: a, b", or nothing. */
static void append_absent(const struct server *server, struct text *out)
{
    bool any = false;
    for (uint32_t i = 0; i < server->model_count; i++) {
        if (server_model_state(&server->models[i]) != MODEL_ABSENT)
            continue;
        text_append_string(out, any ? ", " : "; NOT LOADED: ");
        text_append_string(out, server->models[i].id);
        any = true;
    }
}

void watch_tell_status(struct server *server, uint64_t now_us)
{
    uint32_t served_count = 0, running = 0, waiting = 0, stalled = 0;
    struct text absent;
    if (server->status_us != 0 && now_us - server->status_us < WATCH_STATUS_US)
        return;
    server->status_us = now_us;
    for (uint32_t i = 0; i < server->model_count; i++) {
        const struct served_model *served = server_model(server, i);
        struct engine_stats stats;
        if (served == NULL)
            continue;
        engine_stats(served->engine, &stats);
        served_count++;
        running += stats.running;
        waiting += stats.waiting;
        stalled += atomic_load(&served->stalled);
    }
    text_init(&absent);
    append_absent(server, &absent);
    notify_status(
        server->notify, "%s %u model%s: %u running, %u waiting%s%s%s",
        atomic_load(&server->draining) ? "draining" : "serving", served_count,
        served_count == 1 ? "" : "s", running, waiting, stalled > 0 ? "; STALLED" : "",
        server_count_models(server, MODEL_REFUSED) > 0 ? "; models refused for their licences" : "",
        text_string(&absent));
    text_destroy(&absent);
}
