/* SPDX-License-Identifier: Apache-2.0 */
#include "batching/pace.h"
#include "daemon/api/answer.h"
#include "daemon/api/handlers.h"
#include "daemon/api/models.h"
#include "daemon/worker.h"

#include <stdatomic.h>

static void answer_constant(struct call *call, const char *json)
{
    struct text body;
    text_init(&body);
    text_append_string(&body, json);
    answer_json(call, &body);
    text_destroy(&body);
}

/* A process that lives while its engine hangs must not be called healthy: what counts is that what
 * is due gets done. */
void status_answer_health(struct call *call)
{
    const struct server *server = call->api->server;
    struct fault fault;
    for (uint32_t i = 0; i < server->model_count; i++) {
        struct engine_stats stats;
        const struct served_model *model = server_model(server, i);
        if (model == NULL)
            continue; /* to wait for a file is no illness */
        engine_stats(model->engine, &stats);
        if (engine_failure(model->engine) != NULL) {
            (void)fault_code(&fault, 503, "device_lost", "the device of model '%s' failed",
                             model->id);
            answer_fault(call, &fault, NULL);
            return;
        }
        if (!pace_stalled(&stats, call->now_us, call->live->config->stall_timeout_ms))
            continue;
        (void)fault_code(&fault, 503, "engine_stalled",
                         "the engine of model '%s' is busy and has not moved for %llu ms",
                         model->id, (unsigned long long)pace_still_us(&stats, call->now_us) / 1000);
        answer_fault(call, &fault, NULL);
        return;
    }
    for (uint32_t i = 0; i < server->worker_count; i++) {
        if (!atomic_load_explicit(&server->workers[i].stalled, memory_order_relaxed))
            continue;
        (void)fault_code(&fault, 503, "worker_stalled", "the loop of worker %u does not turn", i);
        answer_fault(call, &fault, NULL);
        return;
    }
    answer_constant(call, "{}");
}

/* Nobody is sent here while there is no model at all, and no longer than until there is one. */
static int no_model(const struct call *call, struct fault *fault)
{
    const struct server *server = call->api->server;
    uint32_t after_s = UINT32_MAX;
    for (uint32_t i = 0; i < server->model_count; i++) {
        const struct served_model *model = &server->models[i];
        uint32_t own_s = models_retry_after_s(model, call->now_us);
        if (server_model_state(model) == MODEL_ABSENT && own_s < after_s)
            after_s = own_s;
    }
    (void)fault_code(fault, 503, "not_ready", "no model is loaded yet");
    fault->retry_after_s = after_s;
    return -1;
}

/* Ready with the first model: a balancer that takes us out for one that is missing would take its
 * others away as well. */
void status_answer_ready(struct call *call)
{
    struct server *server = call->api->server;
    struct fault fault;
    if (atomic_load_explicit(&server->draining, memory_order_relaxed))
        (void)fault_code(&fault, 503, "shutting_down", "the server is shutting down");
    else if (!atomic_load_explicit(&server->ready, memory_order_relaxed))
        (void)fault_code(&fault, 503, "not_ready", "the server is loading");
    else if (!server_is_ready(server))
        (void)no_model(call, &fault);
    else {
        answer_constant(call, "{}");
        return;
    }
    answer_fault(call, &fault, NULL);
}

void status_answer_metrics(struct call *call)
{
    const struct server *server = call->api->server;
    struct text body;
    text_init(&body);
    metrics_render(server->metrics, server, &body);
    struct answer_headers head;
    answer_headers_init(&head, call, "text/plain; version=0.0.4; charset=utf-8");
    if (body.failed) {
        struct fault fault;
        (void)fault_no_memory(&fault);
        answer_fault(call, &fault, NULL);
    } else {
        answer_give(call, &(struct answer){.status = 200,
                                           .head = &head,
                                           .body = text_string(&body),
                                           .count = body.count});
    }
    text_destroy(&body);
}

void status_answer_version(struct call *call)
{
    answer_constant(call, "{\"version\":\"" WEIR_VERSION "\"}");
}
