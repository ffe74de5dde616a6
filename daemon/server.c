/* SPDX-License-Identifier: Apache-2.0 */
/* server.c -- the order in which things come to life, and the reverse of it.
 *
 *     sockets       first, because a port in use should fail before a model is read
 *     rules, policy the catalogue and the declaration; counters are replayed before anybody counts
 *     licences      of all models, by the headers of their files: what is refused costs no memory
 *     models        weights and engine of those that are left; one after another, each logged
 *     workers       loops, listeners, apis: they read everything above
 *     loader        for models that did not load and may be tried again
 *
 * server_stop() takes a server of any age, so that every failure of server_start() ends there: the
 * loader ends, workers break their exchanges (which cancels generations), engines abort and leave
 * the last events, apis take those, and only then go policy, its rules and models, which all have
 * pointed into. */
#include "daemon/server.h"

#include "base/clock.h"
#include "daemon/access_log.h"
#include "daemon/api/tenant_limits.h"
#include "daemon/doors.h"
#include "daemon/http/address_table.h"
#include "daemon/load.h"
#include "daemon/loader.h"
#include "daemon/memory.h"
#include "daemon/notify.h"
#include "daemon/profile/profiler.h"
#include "daemon/rules.h"
#include "daemon/state_folder.h"
#include "daemon/tls_keeper.h"
#include "daemon/tracing.h"
#include "daemon/watch.h"
#include "daemon/worker.h"
#include "policy/license/month.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define WORKERS_AUTO_MAX 8u
#define CORES_A_WORKER   4u    /* compute wants the cores more than the network does */
#define FILES_BESIDES    1024u /* descriptors that are not connections: counters, mostly */
#define MEMORY_TENTHS    9u    /* of what there is, where no watermark is set */
#define IDLE_POLL_MS     10u

static uint32_t auto_workers(void)
{
    cpu_set_t cores;
    uint32_t count = 1;
    if (sched_getaffinity(0, sizeof cores, &cores) == 0)
        count = (uint32_t)CPU_COUNT(&cores) / CORES_A_WORKER;
    return count < 1 ? 1 : count > WORKERS_AUTO_MAX ? WORKERS_AUTO_MAX : count;
}

/* As many descriptors as the connections may need, as far as the hard limit lets us. */
static void raise_file_limit(const struct config *config, struct log *log)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)config->limits.connections_max + FILES_BESIDES;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
        log_event(log, LOG_LEVEL_WARN, "file_limit", LOG_U64("limit", limit.rlim_cur),
                  LOG_U64("wanted", wanted),
                  LOG_STRING("remedy", "raise LimitNOFILE or lower server.limits.connections"));
}

static int open_policy(struct server *server, struct error *err)
{
    char folder[STATE_PATH_MAX];
    int result = state_folder_find(server->config->state_folder, folder, sizeof folder, err);
    if (result != 0)
        return result;
    const char *key_file = server->config->user_key_file;
    server->rules = rules_new(server->config, err);
    if (server->rules == NULL)
        return err->code;
    struct policy_webhook webhooks[CONFIG_WEBHOOKS_MAX];
    for (uint32_t i = 0; i < server->config->webhook_count; i++) {
        const struct config_webhook *from = &server->config->webhooks[i];
        webhooks[i] = (struct policy_webhook){
            .name = from->name, .url = from->url, .secret_file = from->secret_file};
    }
    const struct policy_config config = {
        .state_folder = folder,
        .key_file = key_file[0] == '\0' ? NULL : key_file,
        .identity = {.jwt_keys_file = server->config->jwt_keys_file,
                     .jwt_issuer = server->config->jwt_issuer,
                     .jwt_audience = server->config->jwt_audience,
                     .jwt_claim = server->config->jwt_claim,
                     .gateway_secret_file = server->config->gateway_secret_file},
        .rules = *rules_for_policy(server->rules),
        .trust_asserted = server->config->trust_asserted,
        .clock_skew_ms = server->config->clock_skew_ms,
        .keep_days = server->config->keep_days,
        .final_hours = server->config->final_hours,
        .worker_count = server->worker_count,
        .models_max = server->config->model_count,
        .enforce_on = server->config->enforce_on,
        .cap_open = server->config->cap_open,
        .fleet = {.redis = server->config->fleet_redis,
                  .redis_user = server->config->fleet_redis_user,
                  .redis_password_file = server->config->fleet_redis_password_file,
                  .prefix = server->config->fleet_prefix,
                  .sync_ms = server->config->fleet_sync_ms},
        .webhooks = webhooks,
        .webhook_count = server->config->webhook_count,
    };
    server->policy = policy_new(&config, err);
    return server->policy == NULL ? error_wrap(err, "users") : 0;
}

static int open_sockets(struct server *server, struct error *err)
{
    const struct config *config = server->config;
    server->doors = doors_open(config, server->worker_count, err);
    if (server->doors == NULL)
        return err->code;
    server->port = doors_port(server->doors);
    if (!config_has_tls(config))
        return 0;
    server->tls = tls_keeper_new(server->config, err);
    if (server->tls == NULL)
        return err->code;
    tls_keeper_tell(server->tls, server->log, clock_unix_us() / 1000000);
    return 0;
}

/* On the policy thread. Who starts to hold after this was read asks once more itself. */
static void on_durable(void *argument)
{
    struct server *server = argument;
    for (uint32_t i = 0; atomic_load(&server->held) > 0 && i < server->worker_count; i++)
        worker_ring(&server->workers[i]);
}

/* The newest limits hold here as well. */
static void watch_memory(struct server *server)
{
    struct live *live = shelf_newest(&server->live);
    uint64_t watermark = live->config->memory_watermark, used = memory_used();
    live_unref(live);
    if (watermark == 0)
        watermark = memory_total() / 10 * MEMORY_TENTHS;
    bool before = atomic_load(&server->memory_over);
    bool over = memory_is_over(before, used, watermark);
    atomic_store(&server->memory_bytes, used);
    atomic_store(&server->memory_watermark, watermark);
    atomic_store(&server->memory_over, over);
    if (over != before)
        log_event(server->log, LOG_LEVEL_WARN, over ? "memory_over" : "memory_over_ended",
                  LOG_U64("bytes", used), LOG_U64("watermark", watermark),
                  LOG_STRING("remedy", over ? "requests get 503 meanwhile; raise "
                                              "server.limits.memory, or lower engine.kv_memory or "
                                              "server.limits.connections"
                                            : ""));
}

static int start_workers(struct server *server, struct error *err)
{
    for (uint32_t i = 0; i < server->worker_count; i++) {
        int result = worker_prepare(&server->workers[i], err);
        if (result != 0)
            return result;
    }
    watch_memory(server);
    int started = policy_start(server->policy, on_durable, server, err);
    if (started != 0)
        return started;
    atomic_store(&server->ready, true); /* all is there; who is let in first may ask at once */
    for (uint32_t i = 0; i < server->worker_count; i++) {
        int result = worker_run(&server->workers[i], err);
        if (result != 0)
            return result;
    }
    return loader_run(server->loader, err);
}

/* -- Models -- */

/* One that may be tried again is; any other ends the start. */
static int model_failed(struct server *server, struct served_model *served, const struct error *why,
                        struct error *err)
{
    if (!served->config->retries)
        return error_set(err, why->code, "%s", why->text);
    loader_failed(server->loader, served, why);
    return 0;
}

/* first: why the first that was refused was. */
static int screen_models(struct server *server, struct error *first, struct error *err)
{
    int64_t now_unix = clock_unix_us() / 1000000;
    int result = 0;
    server->weighed_month = month_of_unix(now_unix);
    for (uint32_t i = 0; i < server->model_count && result == 0; i++) {
        struct error why = {0};
        struct served_model *served = &server->models[i];
        if (load_screen(server, served, now_unix, &why) == 0)
            continue;
        if (server_model_state(served) == MODEL_ABSENT)
            result = model_failed(server, served, &why, err);
        else if (first->code == 0)
            *first = why;
    }
    return result;
}

static int load_models(struct server *server, struct error *first, struct error *err)
{
    int result = 0;
    for (uint32_t i = 0; i < server->model_count && result == 0; i++) {
        struct error why = {0};
        struct served_model *served = &server->models[i];
        if (server_model_state(served) != MODEL_ABSENT || atomic_load(&served->load_failures) > 0)
            continue;
        notify_status(server->notify, "loading model %u of %u: %s", i + 1, server->model_count,
                      served->id);
        notify_needs(server->notify, load_needs_us(served));
        if (load_model(server, served, &why) == 0)
            continue;
        if (server_model_state(served) == MODEL_ABSENT)
            result = model_failed(server, served, &why, err);
        else if (first->code == 0)
            *first = why;
    }
    return result;
}

/* A breach leaves a model out; with none left there is nothing to serve. */
static int check_left(const struct server *server, const struct error *first, struct error *err)
{
    uint32_t refused = server_count_models(server, MODEL_REFUSED);
    if (refused < server->model_count)
        return 0;
    if (refused > 1)
        return error_set(err, ERROR_REFUSED, "all %u models are refused, the first for this: %s",
                         refused, first->text);
    return error_set(err, ERROR_REFUSED, "%s", first->text);
}

static int open_models(struct server *server, struct error *err)
{
    struct error first = {0};
    server->loader = loader_new(server, err);
    if (server->loader == NULL)
        return ERROR_NO_MEMORY;
    int result = screen_models(server, &first, err);
    if (result == 0)
        result = check_left(server, &first, err);
    if (result == 0)
        result = load_models(server, &first, err);
    return result == 0 ? check_left(server, &first, err) : result;
}

static int make_slots(struct server *server, struct error *err)
{
    const struct config *config = server->config;
    server->models = calloc(config->model_count, sizeof *server->models);
    if (server->models == NULL)
        return error_no_memory(err);
    server->model_count = config->model_count;
    for (uint32_t i = 0; i < server->model_count; i++) {
        struct served_model *served = &server->models[i];
        served->id = config->models[i].id;
        served->config = &config->models[i];
        served->license_link = load_license_link(served->id);
        if (served->license_link == NULL)
            return error_no_memory(err);
    }
    return 0;
}

/* A manager that cannot be told is no reason not to serve. */
static int open_notify(struct server *server, struct error *err)
{
    struct notify_environment environment;
    struct error refused = {0};
    notify_environment(&environment);
    server->notify = notify_new(&environment, &refused);
    if (server->notify != NULL)
        return 0;
    log_event(server->log, LOG_LEVEL_WARN, "notify_off", LOG_STRING("error", refused.text));
    server->notify = notify_new(&(struct notify_environment){0}, err);
    return server->notify == NULL ? err->code : 0;
}

/* Who tells of requests: the access log, and the spans where they are asked for. */
static int open_watchers(struct server *server, struct error *err)
{
    const struct config *config = server->config;
    const struct tracing_config tracing = {.endpoint = config->trace_endpoint,
                                           .headers_file = config->trace_headers_file,
                                           .requests_max = config->trace_queue,
                                           .log = server->log};
    server->access_log =
        access_log_open(config->access_log_path, config->access_buffer, server->log, err);
    if (server->access_log == NULL)
        return err->code;
    if (config->trace_endpoint[0] == '\0')
        return 0;
    server->tracing = tracing_open(&tracing, err);
    return server->tracing == NULL ? err->code : 0;
}

static int start_all(struct server *server, struct error *err)
{
    const struct config *config = server->config;
    server->workers = calloc(server->worker_count, sizeof *server->workers);
    if (server->workers == NULL)
        return error_no_memory(err);
    if (make_slots(server, err) != 0)
        return ERROR_NO_MEMORY;
    for (uint32_t i = 0; i < server->worker_count; i++) {
        struct worker *worker = &server->workers[i];
        worker->server = server;
        worker->index = i;
        worker->bell_fd = -1;
    }
    raise_file_limit(config, server->log);
    if (open_notify(server, err) != 0)
        return err->code;
    server->metrics = metrics_new(config->model_count, err);
    if (server->metrics == NULL)
        return ERROR_NO_MEMORY;
    server->tenant_limits = tenant_limits_new(err);
    server->addresses = address_table_new(err);
    server->profiler = profiler_new(err);
    if (server->tenant_limits == NULL || server->addresses == NULL || server->profiler == NULL)
        return ERROR_NO_MEMORY;
    struct live *live = live_new(server->config, err);
    if (live == NULL)
        return err->code;
    const struct auth_counts keys = auth_counts(live->auth);
    metrics_keys(server->metrics, &keys, false);
    shelf_put(&server->live, live);
    if (open_watchers(server, err) != 0)
        return err->code;
    int result = open_sockets(server, err);
    if (result == 0)
        result = open_policy(server, err);
    if (result == 0)
        result = open_models(server, err);
    return result == 0 ? start_workers(server, err) : result;
}

struct server *server_start(struct config *config, struct log *log, struct error *err)
{
    struct server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        error_no_memory(err);
        return NULL;
    }
    server->config = config;
    shelf_init(&server->live);
    server->log = log;
    server->worker_count = config->workers != 0 ? config->workers : auto_workers();
    if (start_all(server, err) != 0) {
        server_stop(server);
        return NULL;
    }
    return server;
}

void server_ring(struct server *server)
{
    for (uint32_t i = 0; i < server->worker_count; i++)
        worker_ring(&server->workers[i]);
}

void server_leave(struct server *server)
{
    atomic_store(&server->ready, false);
    atomic_store(&server->draining, true);
    atomic_store(&server->loads_end, true);
}

void server_drain(struct server *server)
{
    server_leave(server);
    for (uint32_t i = 0; i < server->worker_count; i++)
        worker_order(&server->workers[i], WORKER_DRAIN);
}

static bool all_idle(const struct server *server)
{
    for (uint32_t i = 0; i < server->worker_count; i++)
        if (!atomic_load(&server->workers[i].idle))
            return false;
    return true;
}

bool server_wait_idle(struct server *server, uint32_t timeout_ms, const volatile int *interrupted)
{
    int before = *interrupted;
    uint64_t end_us = clock_monotonic_us() + (uint64_t)timeout_ms * 1000;
    const struct timespec pause = {.tv_nsec = IDLE_POLL_MS * 1000000L};
    while (!all_idle(server)) {
        if (*interrupted != before || clock_monotonic_us() >= end_us)
            return false;
        (void)nanosleep(&pause, NULL); /* a signal ends it early, which is what we want */
    }
    return true;
}

static void log_note(struct log *log, const char *line)
{
    static const char *const events[] = {
        "alert_fired",       "alert_cleared",    "alert_dead",          "enforcement_began",
        "enforcement_ended", "identity_suspect", "identity_rules_read", "identity_rules_refused"};
    const char *event = "users";
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        size_t count = strlen(events[i]);
        if (strncmp(line, events[i], count) != 0 || line[count] != ' ')
            continue;
        event = events[i];
        line += count + 1;
        break;
    }
    log_event(log, LOG_LEVEL_WARN, event, LOG_STRING("note", line));
}

static void log_users(struct server *server)
{
    struct text notes;
    text_init(&notes);
    policy_take_notes(server->policy, &notes);
    char *rest = notes.bytes;
    for (char *line; rest != NULL && (line = strsep(&rest, "\n")) != NULL && *line != '\0';)
        log_note(server->log, line);
    text_destroy(&notes);
}

bool server_cut(struct server *server)
{
    const volatile int never = 0;
    int64_t end_us = clock_unix_us() + SERVER_STEP_MS * INT64_C(1000);
    bool stopped = true;
    for (uint32_t i = 0; i < server->worker_count; i++)
        worker_order(&server->workers[i], WORKER_CUT);
    for (uint32_t i = 0; i < server->model_count; i++) {
        const struct served_model *served = server_model(server, i);
        if (served != NULL)
            stopped &= engine_stop_until(served->engine, end_us);
    }
    (void)server_wait_idle(server, SERVER_CUT_MS, &never);
    return stopped;
}

bool server_end_loads(struct server *server)
{
    atomic_store(&server->loads_end, true);
    return loader_stop(server->loader, SERVER_STEP_MS);
}

void server_load_again(struct server *server)
{
    loader_hurry(server->loader);
}

void server_abandon(struct server *server)
{
    policy_stop(server->policy);
    log_users(server);
}

void server_watch(struct server *server, uint64_t now_us, int64_t now_unix)
{
    if (server->tls != NULL && tls_keeper_watch(server->tls, server->log, now_us, now_unix))
        server_ring(server);
    log_users(server);
    watch_memory(server);
    rules_watch(server, now_unix);
    struct live *live = shelf_newest(&server->live);
    bool alive = watch_all(server, live->config->stall_timeout_ms, now_us);
    live_unref(live);
    watch_tell_status(server, now_us);
    if (alive)
        notify_alive(server->notify, now_us);
}

void server_stop(struct server *server)
{
    if (server == NULL)
        return;
    server_leave(server);
    loader_free(server->loader); /* no model is added from here on */
    for (uint32_t i = 0; server->workers != NULL && i < server->worker_count; i++)
        worker_join(&server->workers[i]);
    if (server->policy != NULL) {
        policy_stop(server->policy); /* it rings bells that are about to go */
        log_users(server);
    }
    for (uint32_t i = 0; server->workers != NULL && i < server->worker_count; i++)
        worker_break(&server->workers[i]);
    profiler_free(server->profiler); /* it may ring a bell, too */
    for (uint32_t i = 0; i < server->model_count; i++)
        if (server->models[i].engine != NULL)
            engine_stop(server->models[i].engine);
    for (uint32_t i = 0; server->workers != NULL && i < server->worker_count; i++)
        worker_release(&server->workers[i]);
    doors_close(server->doors);
    policy_free(server->policy);
    rules_free(server->rules);
    for (uint32_t i = 0; i < server->model_count; i++) {
        unload_model(&server->models[i]);
        free(server->models[i].license_link);
    }
    tenant_limits_free(server->tenant_limits);
    address_table_free(server->addresses);
    access_log_close(server->access_log);
    tracing_close(server->tracing);
    metrics_free(server->metrics);
    tls_keeper_free(server->tls);
    shelf_destroy(&server->live);
    free(server->workers);
    free(server->models);
    notify_free(server->notify);
    free(server);
}
