/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/otlp.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define KIND_INTERNAL 1
#define KIND_SERVER   2
#define FLAG_SAMPLED  1u
#define FLAG_REMOTE   0x300u /* it is known whether the parent is elsewhere, and it is */
#define FLAG_LOCAL    0x100u /* it is known, and it is not */

/* -- Attributes -- */

/* A comma but for the first of a list. */
static void separate(struct text *out)
{
    if (out->count > 0 && out->bytes[out->count - 1] != '[')
        text_append_char(out, ',');
}

static void add_string(struct text *out, const char *key, const char *value)
{
    if (value == NULL || value[0] == '\0')
        return;
    separate(out);
    text_append_format(out, "{\"key\":\"%s\",\"value\":{\"stringValue\":", key);
    text_append_json(out, value, strlen(value));
    text_append_string(out, "}}");
}

static void add_number(struct text *out, const char *key, uint64_t value)
{
    separate(out);
    text_append_format(out, "{\"key\":\"%s\",\"value\":{\"intValue\":\"%llu\"}}", key,
                       (unsigned long long)value);
}

static void add_finish(struct text *out, const char *finish)
{
    if (finish == NULL || finish[0] == '\0')
        return;
    separate(out);
    text_append_format(out,
                       "{\"key\":\"gen_ai.response.finish_reasons\",\"value\":{\"arrayValue\":"
                       "{\"values\":[{\"stringValue\":\"%s\"}]}}}",
                       finish);
}

/* -- Spans -- */

struct span {
    const char *id, *parent, *name;
    int kind;
    bool remote; /* the parent is another process's */
    int64_t from_us, to_us;
};

static void open_span(struct text *out, const struct otlp_request *request, const struct span *span)
{
    separate(out);
    text_append_format(out, "{\"traceId\":\"%s\",\"spanId\":\"%s\"", request->trace_id, span->id);
    if (request->trace_state[0] != '\0') {
        text_append_string(out, ",\"traceState\":");
        text_append_json(out, request->trace_state, strlen(request->trace_state));
    }
    if (span->parent[0] != '\0')
        text_append_format(out, ",\"parentSpanId\":\"%s\"", span->parent);
    text_append_format(out,
                       ",\"flags\":%u,\"name\":\"%s\",\"kind\":%d,\"startTimeUnixNano\":\"%lld000\""
                       ",\"endTimeUnixNano\":\"%lld000\",\"attributes\":[",
                       FLAG_SAMPLED | (span->remote ? FLAG_REMOTE : FLAG_LOCAL), span->name,
                       span->kind, (long long)span->from_us, (long long)span->to_us);
}

static void add_server_span(struct text *out, const struct otlp_request *request)
{
    struct text name;
    text_init(&name);
    text_append_format(&name, "%s %s", request->method, request->route);
    const struct span span = {.id = request->span_id,
                              .parent = request->parent_span_id,
                              .name = text_string(&name),
                              .kind = KIND_SERVER,
                              .remote = request->parent_span_id[0] != '\0',
                              .from_us = request->started_us,
                              .to_us = request->ended_us};
    open_span(out, request, &span);
    text_destroy(&name);
    add_string(out, "http.request.method", request->method);
    add_string(out, "http.route", request->route);
    add_number(out, "http.response.status_code", request->status);
    add_string(out, "url.scheme", request->scheme);
    add_string(out, "network.protocol.name", "http");
    add_string(out, "network.protocol.version", request->protocol);
    add_string(out, "weir.request_id", request->request_id);
    add_string(out, "weir.tenant", request->tenant);
    if (request->model[0] != '\0') {
        add_string(out, "gen_ai.operation.name", request->operation);
        add_string(out, "gen_ai.provider.name", "weir");
        add_string(out, "gen_ai.request.model", request->model);
        add_string(out, "gen_ai.response.model", request->model);
        add_number(out, "gen_ai.usage.input_tokens", request->prompt_tokens);
        add_number(out, "gen_ai.usage.cache_read.input_tokens", request->cached_tokens);
        add_number(out, "gen_ai.usage.output_tokens", request->completion_tokens);
        add_finish(out, request->finish);
    }
    bool failed = request->status >= 500;
    if (failed) {
        char status[16];
        (void)snprintf(status, sizeof status, "%u", request->status);
        add_string(out, "error.type", status);
    }
    text_append_format(out, "],\"status\":{%s}}", failed ? "\"code\":2" : "");
}

/* Where a phase ends: where the next one begins, or with the request. */
static int64_t end_of(const struct otlp_request *request, int64_t next_us)
{
    return next_us != 0 && next_us < request->ended_us ? next_us : request->ended_us;
}

/* A phase's bounds; false when it was never reached. */
static bool find_phase(const struct otlp_request *request, enum otlp_child child, struct span *ret)
{
    const int64_t begins[] = {request->submitted_us, request->scheduled_us, request->first_token_us,
                              request->finished_us};
    static const char *const names[OTLP_CHILDREN] = {"queue", "prefill", "decode"};
    if (request->model[0] == '\0' || begins[child] == 0)
        return false;
    int64_t from_us = begins[child];
    if (from_us < request->started_us) /* clocks are read at different moments */
        from_us = request->started_us;
    int64_t to_us = end_of(request, begins[child + 1]);
    *ret = (struct span){.id = request->child_ids[child],
                         .parent = request->span_id,
                         .name = names[child],
                         .kind = KIND_INTERNAL,
                         .from_us = from_us < to_us ? from_us : to_us,
                         .to_us = to_us};
    return true;
}

static void add_child(struct text *out, const struct otlp_request *request, enum otlp_child child)
{
    struct span span;
    if (!find_phase(request, child, &span))
        return;
    open_span(out, request, &span);
    add_string(out, "gen_ai.request.model", request->model);
    if (child == OTLP_PREFILL) {
        add_number(out, "gen_ai.usage.input_tokens", request->prompt_tokens);
        add_number(out, "gen_ai.usage.cache_read.input_tokens", request->cached_tokens);
    } else if (child == OTLP_DECODE) {
        add_number(out, "gen_ai.usage.output_tokens", request->completion_tokens);
        add_finish(out, request->finish);
    }
    text_append_string(out, "],\"status\":{}}");
}

uint32_t otlp_spans(const struct otlp_request *request)
{
    struct span span;
    uint32_t count = 1;
    for (uint32_t child = 0; child < OTLP_CHILDREN; child++)
        count += find_phase(request, (enum otlp_child)child, &span);
    return count;
}

void otlp_open(struct text *out, const char *version, const char *instance)
{
    text_append_string(out, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
    add_string(out, "service.name", "weir");
    add_string(out, "service.version", version);
    add_string(out, "service.instance.id", instance);
    text_append_string(out, "]},\"scopeSpans\":[{\"scope\":{\"name\":\"weir\"},\"spans\":[");
}

void otlp_add(struct text *out, const struct otlp_request *request)
{
    add_server_span(out, request);
    for (uint32_t child = 0; child < OTLP_CHILDREN; child++)
        add_child(out, request, (enum otlp_child)child);
}

void otlp_close(struct text *out)
{
    text_append_string(out, "]}]}]}");
}
