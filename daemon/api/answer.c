/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/answer.h"

#include "base/clock.h"
#include "daemon/access_log.h"
#include "daemon/api/access_line.h"
#include "daemon/api/answer_trace.h"
#include "daemon/api/router.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define STATUS_CLIENT_GONE 499 /* nginx's number; never sent */

void answer_headers_init(struct answer_headers *head, const struct call *call,
                         const char *content_type)
{
    head->count = 0;
    answer_headers_add(head, "content-type", content_type);
    answer_headers_add(head, "x-request-id", call->request_id);
    if (call->trace.trace_id[0] != '\0') {
        trace_parent_write(&call->trace, head->traceparent);
        answer_headers_add(head, "traceparent", head->traceparent);
    }
    const struct tenant_view *view = &call->limits;
    if (view->rates.requests > 0) {
        limiting_write_number(view->rates.requests, head->limits[0]);
        limiting_write_number(view->requests_left, head->limits[1]);
        limiting_write_duration(view->requests_full_us, head->limits[2]);
        answer_headers_add(head, "x-ratelimit-limit-requests", head->limits[0]);
        answer_headers_add(head, "x-ratelimit-remaining-requests", head->limits[1]);
        answer_headers_add(head, "x-ratelimit-reset-requests", head->limits[2]);
    }
    if (view->rates.tokens > 0) {
        limiting_write_number(view->rates.tokens, head->limits[3]);
        limiting_write_number(view->tokens_left, head->limits[4]);
        limiting_write_duration(view->tokens_full_us, head->limits[5]);
        answer_headers_add(head, "x-ratelimit-limit-tokens", head->limits[3]);
        answer_headers_add(head, "x-ratelimit-remaining-tokens", head->limits[4]);
        answer_headers_add(head, "x-ratelimit-reset-tokens", head->limits[5]);
    }
}

void answer_headers_add(struct answer_headers *head, const char *name, const char *value)
{
    assert(head->count < ANSWER_HEADERS_MAX);
    head->headers[head->count++] = (struct http_header){.name = name, .value = value};
}

/* Probes and scrapes come many a second and say nothing while they succeed. */
static bool is_quiet(const struct call *call, uint32_t status)
{
    return status == 200 && router_is_probe(call->route);
}

/* Whether a line is due: in weir's own log as its level has it, in a file of its own always. */
static bool is_logged(const struct call *call, uint32_t status, uint64_t duration_us)
{
    const struct server *server = call->api->server;
    const struct config *config = call->live->config;
    enum log_level level = is_quiet(call, status) ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
    const struct access_rules rules = {.sample = config->access_sample,
                                       .slow_ms = config->access_slow_ms};
    if (server->access_log == NULL)
        return false;
    if (level < config->log_level &&
        (level == LOG_LEVEL_DEBUG || server->config->access_log_path[0] == '\0'))
        return false;
    return access_wanted(&rules, status, duration_us,
                         rules.sample < ACCESS_SAMPLE_ALL ? api_random_u64(call->api) : 0);
}

static uint64_t between(uint64_t from_us, uint64_t to_us)
{
    return to_us > from_us ? to_us - from_us : 0;
}

static void describe(const struct answer_record *record, uint64_t now_us, struct access_record *ret)
{
    const struct generation_times *times = &record->times;
    ret->model = record->model;
    ret->finish = record->finish;
    ret->user_class = record->user_class;
    ret->prompt_tokens = record->prompt_tokens;
    ret->completion_tokens = record->completion_tokens;
    ret->cached_tokens = record->cached_tokens;
    ret->ttft_us = record->ttft_us;
    ret->queue_us =
        between(times->submitted_us, times->scheduled_us != 0 ? times->scheduled_us : now_us);
}

/* The line, the spans and the counters of one answer. No prompts, no user ids, no keys. */
static void note(const struct call *call, uint32_t status, uint64_t bytes_out,
                 const struct answer_record *record)
{
    const struct server *server = call->api->server;
    uint64_t duration_us = between(call->started_us, call->now_us);
    metrics_http(server->metrics, call->route, call->method, status, duration_us);
    if (call->identity.key != NULL || call->identity.tenant[0] != '\0')
        metrics_tenant(server->metrics, call->identity.tenant, status);
    answer_trace(call, status, record);
    if (!is_logged(call, status, duration_us))
        return;
    size_t bytes_in = 0;
    (void)exchange_body(call->exchange, &bytes_in);
    struct access_record line = {
        .request_id = call->request_id,
        .trace_id = call->trace.trace_id,
        .method = call->method,
        .route = router_route_name(call->route),
        .tenant = call->identity.tenant,
        .key_id = call->identity.key_id,
        .admin = call->identity.admin,
        .address = call->live->config->access_addresses ? exchange_client(call->exchange) : NULL,
        .version = exchange_version(call->exchange),
        .tls = exchange_is_tls(call->exchange),
        .status = status,
        .bytes_in = bytes_in,
        .bytes_out = bytes_out,
        .duration_us = duration_us,
    };
    if (record != NULL)
        describe(record, call->now_us, &line);
    struct text text;
    text_init(&text);
    access_line(&text, call->live->config->log_format, clock_unix_us(), &line);
    access_log_put(server->access_log, &text);
}

/* The exchange is no more ours: it may be freed by the very call that completes its answer. */
static struct exchange *let_go(struct call *call)
{
    struct exchange *exchange = call->exchange;
    assert(exchange != NULL);
    call->exchange = NULL;
    exchange_set_owner(exchange, NULL);
    return exchange;
}

void answer_give(struct call *call, const struct answer *answer)
{
    bool bodyless = strcmp(call->method, "HEAD") == 0;
    note(call, answer->status, bodyless ? 0 : answer->count, answer->record);
    exchange_respond(let_go(call), answer->status, answer->head->headers, answer->head->count,
                     answer->body, answer->count);
}

void answer_json(struct call *call, const struct text *body)
{
    if (body->failed) {
        struct fault fault;
        (void)fault_no_memory(&fault);
        answer_fault(call, &fault, NULL);
        return;
    }
    struct answer_headers head;
    answer_headers_init(&head, call, "application/json");
    answer_give(call,
                &(struct answer){
                    .status = 200, .head = &head, .body = text_string(body), .count = body->count});
}

void answer_fault(struct call *call, const struct fault *fault, const struct answer_record *record)
{
    metrics_limited(call->api->server->metrics, fault->limited);
    struct text body;
    text_init(&body);
    fault_write(fault, &body);
    struct answer_headers head;
    answer_headers_init(&head, call,
                        fault->refusal != NULL ? "application/problem+json" : "application/json");
    char retry_after[16];
    if (fault->retry_after_s > 0) {
        (void)snprintf(retry_after, sizeof retry_after, "%u", fault->retry_after_s);
        answer_headers_add(&head, "retry-after", retry_after);
    }
    if (fault->allow != NULL)
        answer_headers_add(&head, "allow", fault->allow);
    if (fault->status == 401)
        answer_headers_add(&head, "www-authenticate", "Bearer");
    char challenge[96];
    if (fault->scope != NULL) { /* RFC 6750, section 3.1 */
        (void)snprintf(challenge, sizeof challenge,
                       "Bearer error=\"insufficient_scope\", scope=\"%s\"", fault->scope);
        answer_headers_add(&head, "www-authenticate", challenge);
    }
    answer_give(call, &(struct answer){.status = fault->status,
                                       .head = &head,
                                       .body = text_string(&body),
                                       .count = body.count,
                                       .record = record});
    text_destroy(&body);
}

void answer_stream_end(struct call *call, const struct answer_record *record)
{
    note(call, 200, exchange_answer_bytes(call->exchange), record);
    exchange_stream_end(let_go(call));
}

void answer_stream_abort(struct call *call, const struct answer_record *record)
{
    note(call, STATUS_CLIENT_GONE, exchange_answer_bytes(call->exchange), record);
    exchange_abort(let_go(call));
}

void answer_gone(struct call *call, const struct answer_record *record)
{
    uint32_t refusal = exchange_refusal(call->exchange);
    note(call, refusal != 0 ? refusal : STATUS_CLIENT_GONE, exchange_answer_bytes(call->exchange),
         record);
    (void)let_go(call);
}

void answer_refused(const struct call *call)
{
    note(call, exchange_refusal(call->exchange), 0, NULL);
}
