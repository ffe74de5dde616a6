/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/answer.h"

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
static enum log_level level_of(const struct call *call, uint32_t status)
{
    bool probe = call->route == ROUTE_HEALTH || call->route == ROUTE_READY ||
                 call->route == ROUTE_METRICS || call->route == ROUTE_VERSION;
    return probe && status == 200 ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
}

/* The line and the counters of one answer. No prompts, no user ids, no keys. */
static void note(const struct call *call, uint32_t status, const struct answer_record *record)
{
    const struct server *server = call->api->server;
    uint64_t duration_us = call->now_us > call->started_us ? call->now_us - call->started_us : 0;
    metrics_http(server->metrics, call->route, call->method, status, duration_us);
    struct log_field fields[14] = {
        LOG_STRING("request_id", call->request_id),          LOG_STRING("method", call->method),
        LOG_STRING("route", router_route_name(call->route)), LOG_U64("status", status),
        LOG_F64("duration_ms", (double)duration_us / 1000),
    };
    size_t count = 5;
    if (call->identity.tenant != NULL && call->identity.tenant[0] != '\0')
        fields[count++] = LOG_STRING("tenant", call->identity.tenant);
    if (call->identity.admin != NULL)
        fields[count++] = LOG_STRING("admin", call->identity.admin);
    if (record != NULL) {
        fields[count++] = LOG_STRING("model", record->model);
        fields[count++] = LOG_U64("prompt_tokens", record->prompt_tokens);
        fields[count++] = LOG_U64("completion_tokens", record->completion_tokens);
        fields[count++] = LOG_U64("cached_tokens", record->cached_tokens);
        if (record->ttft_us > 0)
            fields[count++] = LOG_F64("ttft_ms", (double)record->ttft_us / 1000);
    }
    fields[count] = (struct log_field){0};
    log_fields(server->log, level_of(call, status), "request", fields);
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
    note(call, answer->status, answer->record);
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
    answer_give(call, &(struct answer){.status = fault->status,
                                       .head = &head,
                                       .body = text_string(&body),
                                       .count = body.count,
                                       .record = record});
    text_destroy(&body);
}

void answer_stream_end(struct call *call, const struct answer_record *record)
{
    note(call, 200, record);
    exchange_stream_end(let_go(call));
}

void answer_stream_abort(struct call *call, const struct answer_record *record)
{
    note(call, STATUS_CLIENT_GONE, record);
    exchange_abort(let_go(call));
}

void answer_gone(struct call *call, const struct answer_record *record)
{
    note(call, STATUS_CLIENT_GONE, record);
    (void)let_go(call);
}
