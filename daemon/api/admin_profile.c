/* SPDX-License-Identifier: Apache-2.0 */
/* admin_profile.c -- GET /admin/v1/profile/cpu?seconds=10&hz=99, GET /admin/v1/profile/heap.
 *
 * A profile is taken by a thread of its own (profile/profiler.h). The exchange waits for it in
 * api->profile while its worker serves the others, and is answered when that thread rings. A client
 * that goes takes its profile with it; a drain ends it early, with what there is. */
#include "daemon/api/answer.h"
#include "daemon/api/handlers.h"
#include "daemon/api/profile_query.h"
#include "daemon/profile/heap.h"
#include "daemon/profile/profiler.h"
#include "daemon/worker.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define TRY_AGAIN_S 10u

struct admin_profile {
    struct call call;
    enum profile_kind kind;
    uint32_t hz;
};

static void profile_free(struct api *api)
{
    live_unref(api->profile->call.live);
    free(api->profile);
    api->profile = NULL;
}

static int fault_of(struct fault *fault, const struct error *err)
{
    (void)fault_from_error(fault, err);
    switch (err->code) {
    case ERROR_BUSY:
        fault->status = 409;
        fault->code = "profile_running";
        fault->retry_after_s = TRY_AGAIN_S;
        break;
    case ERROR_REFUSED:
        fault->status = 409; /* a start with another environment would help, time does not */
        fault->code = "heap_profile_off";
        break;
    case ERROR_UNSUPPORTED:
        fault->status = 501;
        fault->code = "heap_profile_unsupported";
        break;
    default:
        break;
    }
    return -1;
}

/* -- An answer that is there -- */

/* Says of a profile what its text has no room for. */
struct summary {
    char samples[24], lost[24], broken[24], threads[24], seconds[24], hz[24];
};

static void add_summary(const struct admin_profile *profile, const struct profile_result *result,
                        struct summary *summary, struct answer_headers *head)
{
    (void)snprintf(summary->samples, 24, "%llu", (unsigned long long)result->samples);
    (void)snprintf(summary->lost, 24, "%llu", (unsigned long long)result->lost);
    (void)snprintf(summary->broken, 24, "%llu", (unsigned long long)result->broken);
    (void)snprintf(summary->threads, 24, "%u", result->threads);
    (void)snprintf(summary->seconds, 24, "%.3f", (double)result->took_us / 1e6);
    (void)snprintf(summary->hz, 24, "%u", profile->hz);
    answer_headers_add(head, "x-profile-samples", summary->samples);
    answer_headers_add(head, "x-profile-lost", summary->lost);
    answer_headers_add(head, "x-profile-broken", summary->broken);
    answer_headers_add(head, "x-profile-threads", summary->threads);
    answer_headers_add(head, "x-profile-seconds", summary->seconds);
    answer_headers_add(head, "x-profile-hz", summary->hz);
}

static void answer(struct admin_profile *profile, const struct profile_result *result)
{
    struct call *call = &profile->call;
    struct answer_headers head;
    struct summary summary;
    struct fault fault;
    if (result->err.code != 0) {
        (void)fault_of(&fault, &result->err);
        answer_fault(call, &fault, NULL);
        return;
    }
    answer_headers_init(&head, call, "text/plain; charset=utf-8");
    if (profile->kind == PROFILE_CPU)
        add_summary(profile, result, &summary, &head);
    answer_give(call, &(struct answer){.status = 200,
                                       .head = &head,
                                       .body = text_string(&result->body),
                                       .count = result->body.count});
}

void admin_profile_wake(struct api *api, uint64_t now_us)
{
    struct profile_result result;
    if (api->profile == NULL)
        return;
    struct profiler *profiler = api->server->profiler;
    if (atomic_load_explicit(&api->server->draining, memory_order_relaxed))
        profiler_hurry(profiler);
    if (!profiler_take(profiler, &result))
        return;
    api->profile->call.now_us = now_us;
    answer(api->profile, &result);
    text_destroy(&result.body);
    profile_free(api);
}

void admin_profile_gone(struct api *api, const struct exchange *exchange)
{
    if (api->profile == NULL || api->profile->call.exchange != exchange)
        return;
    profiler_cancel(api->server->profiler);
    profile_free(api);
}

/* -- The question -- */

static int start(struct call *call, struct profile_request *request, struct fault *fault)
{
    struct api *api = call->api;
    struct error err = {0};
    if (atomic_load_explicit(&api->server->draining, memory_order_relaxed))
        return fault_code(fault, 503, "shutting_down", "the server is shutting down");
    struct admin_profile *profile = calloc(1, sizeof *profile);
    if (profile == NULL)
        return fault_no_memory(fault);
    request->bell_fd = api->server->workers[api->worker].bell_fd;
    if (profiler_start(api->server->profiler, request, &err) != 0) {
        free(profile);
        return fault_of(fault, &err);
    }
    assert(api->profile == NULL); /* it would be the one that runs */
    *profile = (struct admin_profile){.call = *call, .kind = request->kind, .hz = request->hz};
    (void)live_ref(call->live);
    api->profile = profile;
    call->exchange = NULL; /* the profile's to answer */
    return 0;
}

void admin_profile_answer_cpu(struct call *call)
{
    struct profile_request request = {.kind = PROFILE_CPU};
    struct fault fault;
    if (profile_query_cpu(exchange_query(call->exchange), &request.seconds, &request.hz, &fault) !=
            0 ||
        start(call, &request, &fault) != 0)
        answer_fault(call, &fault, NULL);
}

static int answer_totals(struct call *call, struct fault *fault)
{
    struct error err = {0};
    struct text body;
    text_init(&body);
    int result = heap_totals(heap_own_control(), &body, &err);
    if (result == 0)
        answer_json(call, &body);
    text_destroy(&body);
    return result == 0 ? 0 : fault_of(fault, &err);
}

void admin_profile_answer_heap(struct call *call)
{
    struct profile_request request = {.kind = PROFILE_HEAP};
    struct fault fault;
    bool jeprof;
    int result = profile_query_heap(exchange_query(call->exchange), &jeprof, &fault);
    if (result == 0)
        result = jeprof ? start(call, &request, &fault) : answer_totals(call, &fault);
    if (result != 0)
        answer_fault(call, &fault, NULL);
}
