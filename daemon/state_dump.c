/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/state_dump.h"

#include "base/build_id.h"
#include "daemon/access_log.h"
#include "daemon/memory.h"
#include "daemon/server.h"
#include "daemon/tracing.h"
#include "daemon/worker.h"
#include "policy/policy_fleet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MODE      0640
#define PATH_BYTES_MAX 4096u

/* Where lines go: into the log, or into `out` as JSON. */
struct sink {
    const struct server *server; /* borrowed */
    uint64_t now_us;
    int64_t now_unix_us;
    struct text *out; /* borrowed; NULL: the log */
};

static void write_part(struct sink *sink, const char *part, const struct log_field *fields)
{
    if (sink->out == NULL) {
        log_fields(sink->server->log, LOG_LEVEL_INFO, part, fields);
        return;
    }
    text_append_string(sink->out, sink->out->count == 0 ? "[\n" : ",\n");
    log_line(sink->out, LOG_FORMAT_JSON, sink->now_unix_us, LOG_LEVEL_INFO, part, fields);
    if (sink->out->count > 0)
        sink->out->count--; /* the line's end: a comma or the last bracket comes before it */
}

#define PART(sink, part, ...) write_part(sink, part, (const struct log_field[]){__VA_ARGS__, {0}})

static void write_process(struct sink *sink)
{
    const struct server *server = sink->server;
    char build[BUILD_ID_TEXT_BYTES];
    struct access_log_stats lines;
    struct tracing_stats spans;
    struct memory_use memory = {0};
    build_id_read(build);
    (void)memory_read(&memory); /* else it is 0 */
    access_log_stats(server->access_log, &lines);
    tracing_stats(server->tracing, &spans);
    PART(sink, "state_process", LOG_STRING("version", WEIR_VERSION), LOG_STRING("build_id", build),
         LOG_U64("pid", (uint64_t)getpid()), LOG_U64("resident_bytes", memory.resident_bytes),
         LOG_U64("ready", atomic_load(&server->ready)),
         LOG_U64("draining", atomic_load(&server->draining)),
         LOG_U64("models", server_count_models(server, MODEL_SERVED)),
         LOG_U64("refused_models", server_count_models(server, MODEL_REFUSED)),
         LOG_U64("absent_models", server_count_models(server, MODEL_ABSENT)),
         LOG_U64("workers", server->worker_count),
         LOG_U64("answers_held_for_disk", atomic_load(&server->held)),
         LOG_U64("access_lines_dropped", lines.dropped), LOG_U64("spans_dropped", spans.dropped));
}

static void write_engine(struct sink *sink, const struct served_model *served)
{
    struct engine_stats stats;
    engine_stats(served->engine, &stats);
    uint64_t still_us =
        sink->now_us > stats.last_progress_us ? sink->now_us - stats.last_progress_us : 0;
    PART(sink, "state_engine", LOG_STRING("model", served->id), LOG_U64("running", stats.running),
         LOG_U64("waiting", stats.waiting), LOG_U64("waiting_tokens", stats.waiting_tokens),
         LOG_U64("busy", stats.busy), LOG_U64("still_ms", still_us / 1000),
         LOG_U64("stalled", served->stalled), LOG_U64("steps", stats.steps),
         LOG_U64("rows", stats.step_rows), LOG_U64("preemptions", stats.preemptions),
         LOG_U64("generated_tokens", stats.generated_tokens),
         LOG_U64("kv_blocks", stats.kv.block_count), LOG_U64("kv_free", stats.kv.free_count),
         LOG_U64("kv_cached", stats.kv.cached_count),
         LOG_U64("kv_referenced", stats.kv.referenced_count),
         LOG_U64("kv_evictions", stats.kv.evictions));
}

/* next_try_ms 0: it is being tried. */
static void write_absent(struct sink *sink, const struct served_model *served)
{
    uint64_t next_us = atomic_load(&served->next_load_us);
    PART(sink, "state_absent_model", LOG_STRING("model", served->id),
         LOG_U64("load_failures", atomic_load(&served->load_failures)),
         LOG_U64("next_try_ms", next_us > sink->now_us ? (next_us - sink->now_us) / 1000 : 0));
}

static void write_model(struct sink *sink, const struct served_model *served)
{
    switch (server_model_state(served)) {
    case MODEL_SERVED:
        write_engine(sink, served);
        break;
    case MODEL_ABSENT:
        write_absent(sink, served);
        break;
    case MODEL_REFUSED: /* nothing of it is here */
        break;
    }
}

static void write_worker(struct sink *sink, uint32_t index)
{
    struct listener_stats stats;
    if (!worker_stats(sink->server, index, &stats))
        return;
    PART(sink, "state_worker", LOG_U64("worker", index), LOG_U64("connections", stats.connections),
         LOG_U64("exchanges", stats.exchanges), LOG_U64("accepted", stats.accepted),
         LOG_U64("refused", stats.refused), LOG_U64("http1_requests", stats.requests_h1),
         LOG_U64("http2_requests", stats.requests_h2),
         LOG_U64("protocol_errors", stats.protocol_errors), LOG_U64("timeouts", stats.timeouts));
}

static void write_fleet(struct sink *sink)
{
    struct policy_fleet_status status;
    policy_fleet_status(sink->server->policy, sink->now_unix_us, &status);
    PART(sink, "state_fleet", LOG_U64("together", status.together),
         LOG_U64("complete", status.complete), LOG_U64("stale_seconds", status.stale_seconds),
         LOG_U64("replicas", status.replicas), LOG_U64("replicas_current", status.replicas_current),
         LOG_U64("published", status.published), LOG_U64("received", status.received),
         LOG_U64("refused", status.refused), LOG_U64("set_aside", status.set_aside));
}

static void write_all_parts(struct sink *sink)
{
    const struct server *server = sink->server;
    write_process(sink);
    for (uint32_t i = 0; i < server->model_count; i++)
        write_model(sink, &server->models[i]);
    for (uint32_t i = 0; i < server->worker_count; i++)
        write_worker(sink, i);
    write_fleet(sink);
}

void state_dump_json(const struct server *server, uint64_t now_us, int64_t now_unix_us,
                     struct text *out)
{
    struct sink sink = {.server = server, .now_us = now_us, .now_unix_us = now_unix_us, .out = out};
    write_all_parts(&sink);
    text_append_string(out, "\n]\n");
}

static int write_whole(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t written = write(fd, bytes, count);
        if (written < 0 && errno != EINTR)
            return -1;
        bytes += written > 0 ? written : 0;
        count -= written > 0 ? (size_t)written : 0;
    }
    return 0;
}

/* A reader sees the old file or the new one. */
static int write_file(const char *path, const struct text *text, struct error *err)
{
    char beside[PATH_BYTES_MAX];
    int length = snprintf(beside, sizeof beside, "%s.new", path);
    if (length < 0 || (size_t)length >= sizeof beside)
        return error_set(err, ERROR_INVALID, "$RUNTIME_DIRECTORY: too long");
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (fd < 0)
        return error_set_errno(err, errno, "%s", beside);
    int failed = write_whole(fd, text_string(text), text->count) == 0 ? 0 : errno;
    if (close(fd) != 0 && failed == 0)
        failed = errno;
    if (failed == 0 && rename(beside, path) != 0)
        failed = errno;
    if (failed == 0)
        return 0;
    (void)unlink(beside);
    return error_set_errno(err, failed, "%s", path);
}

void state_dump(const struct server *server, uint64_t now_us, int64_t now_unix_us)
{
    const char *folder = getenv("RUNTIME_DIRECTORY");
    char path[PATH_BYTES_MAX];
    struct error err = {0};
    struct text text;
    if (folder == NULL || folder[0] == '\0') {
        struct sink sink = {.server = server, .now_us = now_us, .now_unix_us = now_unix_us};
        write_all_parts(&sink);
        return;
    }
    text_init(&text);
    state_dump_json(server, now_us, now_unix_us, &text);
    int length = snprintf(path, sizeof path, "%.*s/" STATE_DUMP_FILE, (int)strcspn(folder, ":"),
                          folder); /* systemd lists several with ':' between them */
    int result = length > 0 && (size_t)length < sizeof path && !text.failed
                     ? write_file(path, &text, &err)
                     : error_set(&err, ERROR_INVALID, "$RUNTIME_DIRECTORY: too long, or no memory");
    text_destroy(&text);
    if (result == 0)
        log_event(server->log, LOG_LEVEL_INFO, "state_written", LOG_STRING("path", path));
    else
        log_event(server->log, LOG_LEVEL_ERROR, "state_not_written", LOG_STRING("error", err.text));
}
