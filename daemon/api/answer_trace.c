/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/answer_trace.h"

#include "base/clock.h"
#include "daemon/api/router.h"
#include "daemon/tracing.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define STATE_LIST_BYTES 1024u /* of all headers tracestate together, that are read */

static_assert(OTLP_STATE_BYTES == TRACE_STATE_BYTES_MAX + 1, "what is kept fits");
static_assert(sizeof((struct otlp_request *)0)->trace_id == TRACE_ID_DIGITS + 1, "likewise");
static_assert(sizeof((struct otlp_request *)0)->span_id == SPAN_ID_DIGITS + 1, "likewise");

/* All headers tracestate of an asker whose trace we continue; one list over all of them. */
static void read_state(const struct call *call, char ret[TRACE_STATE_BYTES_MAX + 1])
{
    char list[STATE_LIST_BYTES] = "";
    size_t used = 0;
    uint32_t at = 0;
    ret[0] = '\0';
    if (call->parent_span_id[0] == '\0')
        return;
    for (const char *value;
         (value = exchange_header_next(call->exchange, "tracestate", &at)) != NULL;) {
        int count = snprintf(list + used, sizeof list - used, "%s%s", used == 0 ? "" : ",", value);
        if (count < 0 || (size_t)count >= sizeof list - used)
            return;
        used += (size_t)count;
    }
    trace_state_read(list, ret);
}

/* From the monotonic clock to the other; 0 stays 0. */
static int64_t unix_of(uint64_t moment_us, int64_t offset_us)
{
    return moment_us == 0 ? 0 : (int64_t)moment_us + offset_us;
}

static void describe_generation(const struct call *call, const struct answer_record *record,
                                int64_t offset_us, struct otlp_request *ret)
{
    const struct generation_times *times = &record->times;
    (void)snprintf(ret->model, sizeof ret->model, "%s", record->model);
    ret->operation = call->route == ROUTE_CHAT ? "chat" : "text_completion";
    ret->finish = record->finish;
    ret->prompt_tokens = record->prompt_tokens;
    ret->cached_tokens = record->cached_tokens;
    ret->completion_tokens = record->completion_tokens;
    ret->submitted_us = unix_of(times->submitted_us, offset_us);
    ret->scheduled_us = unix_of(times->scheduled_us, offset_us);
    ret->first_token_us = unix_of(times->first_token_us, offset_us);
    ret->finished_us = unix_of(times->finished_us, offset_us);
    for (uint32_t i = 0; i < OTLP_CHILDREN; i++)
        span_id_of(api_random_u64(call->api), ret->child_ids[i]);
}

void answer_trace(const struct call *call, uint32_t status, const struct answer_record *record)
{
    struct tracing *tracing = call->api->server->tracing;
    if (tracing == NULL || !call->trace.sampled)
        return;
    int64_t offset_us = clock_unix_us() - (int64_t)clock_monotonic_us();
    struct otlp_request request = {
        .method = call->method,
        .route = router_route_name(call->route),
        .protocol = exchange_version(call->exchange) == HTTP_2     ? "2"
                    : exchange_version(call->exchange) == HTTP_1_1 ? "1.1"
                                                                   : "1.0",
        .scheme = exchange_is_tls(call->exchange) ? "https" : "http",
        .status = status,
        .started_us = unix_of(call->started_us, offset_us),
        .ended_us = unix_of(call->now_us, offset_us),
    };
    memcpy(request.trace_id, call->trace.trace_id, sizeof request.trace_id);
    memcpy(request.span_id, call->trace.span_id, sizeof request.span_id);
    memcpy(request.parent_span_id, call->parent_span_id, sizeof request.parent_span_id);
    memcpy(request.request_id, call->request_id, sizeof request.request_id);
    (void)snprintf(request.tenant, sizeof request.tenant, "%s", call->identity.tenant);
    read_state(call, request.trace_state);
    if (record != NULL)
        describe_generation(call, record, offset_us, &request);
    tracing_put(tracing, &request);
}
