/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/metrics.h"

#include "base/clock.h"
#include "daemon/metrics_state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define SHAPE(bounds_, scale_)                                                                     \
    {                                                                                              \
        .bounds = (bounds_), .count = COUNT_OF(bounds_), .scale = (scale_)                         \
    }

/* vLLM's buckets, in microseconds, so that its dashboards draw ours. */
static const uint64_t ttft_us[] = {1000,     5000,      10000,     20000,     40000,    60000,
                                   80000,    100000,    250000,    500000,    750000,   1000000,
                                   2500000,  5000000,   7500000,   10000000,  20000000, 40000000,
                                   80000000, 160000000, 640000000, 2560000000};
static const uint64_t gap_us[] = {10000,   25000,    50000,    75000,    100000,  150000,  200000,
                                  300000,  400000,   500000,   750000,   1000000, 2500000, 5000000,
                                  7500000, 10000000, 20000000, 40000000, 80000000};
static const uint64_t request_us[] = {
    300000,   500000,    800000,    1000000,   1500000,   2000000,    2500000,
    5000000,  10000000,  15000000,  20000000,  30000000,  40000000,   50000000,
    60000000, 120000000, 240000000, 480000000, 960000000, 1920000000, 7680000000};
static const uint64_t http_us[] = {500,     1000,     2500,     5000,     10000,     25000,
                                   50000,   100000,   250000,   500000,   1000000,   2500000,
                                   5000000, 10000000, 30000000, 60000000, 120000000, 300000000};
static const uint64_t token_counts[] = {1,       2,       5,       10,       20,       50,
                                        100,     200,     500,     1000,     2000,     5000,
                                        10000,   20000,   50000,   100000,   200000,   500000,
                                        1000000, 2000000, 5000000, 10000000, 20000000, 50000000};
static const uint64_t choice_counts[] = {1, 2, 5, 10, 20};
static_assert(COUNT_OF(token_counts) <= HISTOGRAM_BUCKETS_MAX, "the longest of them");

static const struct histogram_shape ttft_shape = SHAPE(ttft_us, 1e6);
static const struct histogram_shape gap_shape = SHAPE(gap_us, 1e6);
static const struct histogram_shape request_shape = SHAPE(request_us, 1e6);
static const struct histogram_shape token_shape = SHAPE(token_counts, 1);
static const struct histogram_shape choice_shape = SHAPE(choice_counts, 1);
const struct histogram_shape http_duration_shape = SHAPE(http_us, 1e6);

const struct histogram_family histogram_families[HISTOGRAM_COUNT] = {
    [HISTOGRAM_TTFT] = {"vllm:time_to_first_token_seconds",
                        "From the request's arrival to its first token.", &ttft_shape, false},
    [HISTOGRAM_INTER_TOKEN] = {"vllm:inter_token_latency_seconds",
                               "Between one token of a choice and the next.", &gap_shape, false},
    [HISTOGRAM_TIME_PER_TOKEN] = {"vllm:request_time_per_output_token_seconds",
                                  "Mean time of a token after the first, by request.", &gap_shape,
                                  false},
    [HISTOGRAM_E2E] = {"vllm:e2e_request_latency_seconds", "From arrival to the last token.",
                       &request_shape, false},
    [HISTOGRAM_QUEUE] = {"vllm:request_queue_time_seconds", "From arrival to the first step.",
                         &request_shape, false},
    [HISTOGRAM_INFERENCE] = {"vllm:request_inference_time_seconds",
                             "From the first step to the last token.", &request_shape, false},
    [HISTOGRAM_PREFILL] = {"vllm:request_prefill_time_seconds",
                           "From the first step to the first token.", &request_shape, false},
    [HISTOGRAM_DECODE] = {"vllm:request_decode_time_seconds", "From the first token to the last.",
                          &request_shape, false},
    [HISTOGRAM_PROMPT] = {"vllm:request_prompt_tokens", "Prompt tokens of a request.", &token_shape,
                          true},
    [HISTOGRAM_COMPUTED] = {"vllm:request_prefill_kv_computed_tokens",
                            "Prompt tokens of a request that the prefix cache did not hold.",
                            &token_shape, true},
    [HISTOGRAM_GENERATION] = {"vllm:request_generation_tokens",
                              "Generated tokens of a request, over its choices.", &token_shape,
                              true},
    [HISTOGRAM_LONGEST] = {"vllm:request_max_num_generation_tokens",
                           "Generated tokens of a request's longest choice.", &token_shape, true},
    [HISTOGRAM_MAX_TOKENS] = {"vllm:request_params_max_tokens",
                              "The max_tokens that a request asked for.", &token_shape, true},
    [HISTOGRAM_CHOICES] = {"vllm:request_params_n", "The n that a request asked for.",
                           &choice_shape, false},
};

const char *const http_method_names[HTTP_METHODS] = {"GET",    "HEAD",  "POST",    "PUT",
                                                     "DELETE", "PATCH", "OPTIONS", "OTHER"};
const uint16_t http_status_codes[HTTP_STATUSES] = {200, 201, 202, 204, 304, 400, 401, 403, 404, 405,
                                                   406, 408, 409, 411, 413, 414, 415, 417, 421, 422,
                                                   426, 429, 431, 499, 500, 501, 503, 504, 0};

struct metrics *metrics_new(uint32_t model_count, struct error *err)
{
    size_t bytes = sizeof(struct metrics) + model_count * sizeof(struct model_metrics);
    struct metrics *metrics = calloc(1, bytes);
    if (metrics == NULL) {
        error_no_memory(err);
        return NULL;
    }
    metrics->tenants = tenant_names_new();
    if (metrics->tenants == NULL) {
        free(metrics);
        error_no_memory(err);
        return NULL;
    }
    metrics->model_count = model_count;
    metrics->started_unix_us = clock_unix_us();
    metrics->reloaded_unix_us = metrics->started_unix_us;
    return metrics;
}

void metrics_free(struct metrics *metrics)
{
    if (metrics != NULL)
        tenant_names_free(metrics->tenants);
    free(metrics);
}

void metrics_reload(struct metrics *metrics, bool taken_up, int64_t now_unix_us)
{
    (void)atomic_fetch_add_explicit(&metrics->reloads[taken_up], 1, memory_order_relaxed);
    atomic_store_explicit(&metrics->reload_refused, !taken_up, memory_order_relaxed);
    if (taken_up)
        atomic_store_explicit(&metrics->reloaded_unix_us, now_unix_us, memory_order_relaxed);
}

static void observe(struct metrics *metrics, uint32_t model, enum model_histogram which,
                    uint64_t value)
{
    assert(model < metrics->model_count);
    histogram_observe(&metrics->models[model].histograms[which], histogram_families[which].shape,
                      value);
}

void metrics_first_token(struct metrics *metrics, uint32_t model, uint64_t ttft_us_)
{
    observe(metrics, model, HISTOGRAM_TTFT, ttft_us_);
}

void metrics_next_token(struct metrics *metrics, uint32_t model, uint64_t gap)
{
    observe(metrics, model, HISTOGRAM_INTER_TOKEN, gap);
}

/* A phase that was never reached is 0 and leaves no observation. */
static void observe_span(struct metrics *metrics, uint32_t model, enum model_histogram which,
                         uint64_t from_us, uint64_t to_us)
{
    if (from_us != 0 && to_us >= from_us)
        observe(metrics, model, which, to_us - from_us);
}

void metrics_generation(struct metrics *metrics, uint32_t model,
                        const struct generation_record *record)
{
    assert(model < metrics->model_count);
    const struct generation_times *times = &record->times;
    uint32_t longest =
        record->longest_choice_tokens != 0 ? record->longest_choice_tokens : record->output_tokens;
    observe_span(metrics, model, HISTOGRAM_E2E, times->submitted_us, times->finished_us);
    observe_span(metrics, model, HISTOGRAM_QUEUE, times->submitted_us, times->scheduled_us);
    observe_span(metrics, model, HISTOGRAM_INFERENCE, times->scheduled_us, times->finished_us);
    observe_span(metrics, model, HISTOGRAM_PREFILL, times->scheduled_us, times->first_token_us);
    observe_span(metrics, model, HISTOGRAM_DECODE, times->first_token_us, times->finished_us);
    if (longest > 1 && times->first_token_us != 0 && times->finished_us >= times->first_token_us)
        observe(metrics, model, HISTOGRAM_TIME_PER_TOKEN,
                (times->finished_us - times->first_token_us) / (longest - 1));
    observe(metrics, model, HISTOGRAM_PROMPT, record->prompt_tokens);
    observe(metrics, model, HISTOGRAM_COMPUTED, record->prompt_tokens - record->cached_tokens);
    observe(metrics, model, HISTOGRAM_GENERATION, record->output_tokens);
    observe(metrics, model, HISTOGRAM_LONGEST, longest);
    observe(metrics, model, HISTOGRAM_MAX_TOKENS, record->max_tokens);
    observe(metrics, model, HISTOGRAM_CHOICES, record->choices);
    assert((uint32_t)record->finish < FINISH_REASONS);
    atomic_fetch_add_explicit(&metrics->models[model].finished[record->finish], 1,
                              memory_order_relaxed);
}

void metrics_http(struct metrics *metrics, enum http_route route, const char *method,
                  uint32_t status, uint64_t duration_us)
{
    assert((uint32_t)route < ROUTE_COUNT);
    uint32_t m = 0, s = 0;
    while (m < HTTP_METHODS - 1 && strcmp(method, http_method_names[m]) != 0)
        m++;
    while (s < HTTP_STATUSES - 1 && status != http_status_codes[s])
        s++;
    atomic_fetch_add_explicit(&metrics->http_requests[route][m][s], 1, memory_order_relaxed);
    histogram_observe(&metrics->http_duration[route], &http_duration_shape, duration_us);
}

void metrics_limited(struct metrics *metrics, enum limited limited)
{
    assert((uint32_t)limited < LIMITED_COUNT);
    if (limited != LIMITED_NOT)
        atomic_fetch_add_explicit(&metrics->limited[limited], 1, memory_order_relaxed);
}
