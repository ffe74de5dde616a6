/* SPDX-License-Identifier: Apache-2.0 */
/* top_view.c -- figures of one moment, and rates between two. */
#include "daemon/commands/top_frame.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pair {
    const struct exposition *before; /* NULL: no rates */
    const struct exposition *now;
    double seconds;
};

/* A counter that has no series yet stands at 0; one that fell was started anew. */
static double rise(const struct pair *pair, const struct exposition_query *query)
{
    double now = exposition_sum(pair->now, query);
    if (pair->before == NULL || !(pair->seconds > 0))
        return NAN;
    double before = exposition_sum(pair->before, query);
    now = isnan(now) ? 0 : now;
    before = isnan(before) || before > now ? 0 : before;
    return now - before;
}

static double rate(const struct pair *pair, const struct exposition_query *query)
{
    return rise(pair, query) / pair->seconds;
}

static double value(const struct pair *pair, const char *name)
{
    return exposition_sum(pair->now, &(struct exposition_query){.name = name});
}

/* NAN where nothing was divided by. */
static double share(double part, double whole)
{
    return whole > 0 ? part / whole : NAN;
}

/* -- Models -- */

static double of_engine(const struct pair *pair, const struct top_model *model, const char *name)
{
    return exposition_sum(pair->now, &(struct exposition_query){
                                         .name = name, .key = "model_name", .value = model->name});
}

static double engine_rise(const struct pair *pair, const struct top_model *model, const char *name,
                          const char *key)
{
    return rise(pair, &(struct exposition_query){.name = name, .key = key, .value = model->name});
}

static double quantile(const struct pair *pair, const struct top_model *model, const char *name,
                       double which)
{
    const struct exposition_query query = {.name = name, .key = "model_name", .value = model->name};
    return exposition_quantile(pair->before, pair->now, &query, which);
}

static double users(const struct pair *pair, const struct top_model *model, const char *bound)
{
    double sum = NAN;
    for (size_t i = 0; i < pair->now->count; i++) {
        const struct exposition_sample *sample = &pair->now->samples[i];
        char window[EXPOSITION_LABEL_BYTES];
        const struct exposition_query query = {.name = "weir_mau",
                                               .key = "model",
                                               .value = model->name,
                                               .other_key = "bound",
                                               .other_value = bound};
        if (exposition_matches(sample, &query) && exposition_label(sample, "window", window) &&
            strcmp(window, "month") == 0)
            sum = sample->value;
    }
    return sum;
}

static void read_model(const struct pair *pair, struct top_model *model)
{
    static const char by[] = "model_name";
    static const char ttft[] = "vllm:time_to_first_token_seconds";
    static const char gap[] = "vllm:inter_token_latency_seconds";
    const struct exposition_query line = {
        .name = "weir_license_headroom_ratio", .key = "model", .value = model->name};
    const struct exposition_query crossing = {.name = "weir_license_crossing_days",
                                              .key = "model",
                                              .value = model->name,
                                              .other_key = "bound",
                                              .other_value = "early"};
    model->streams = of_engine(pair, model, "vllm:num_requests_running");
    model->queue = of_engine(pair, model, "vllm:num_requests_waiting");
    model->kv = of_engine(pair, model, "vllm:kv_cache_usage_perc");
    model->batch = share(engine_rise(pair, model, "weir_engine_rows_total", "model"),
                         engine_rise(pair, model, "weir_engine_steps_total", "model"));
    double prompt = engine_rise(pair, model, "vllm:prompt_tokens_total", by);
    model->hits = share(engine_rise(pair, model, "vllm:prompt_tokens_cached_total", by), prompt);
    model->prompt_rate = prompt / pair->seconds;
    model->output_rate =
        engine_rise(pair, model, "vllm:generation_tokens_total", by) / pair->seconds;
    model->ttft_p50_s = quantile(pair, model, ttft, 0.5);
    model->ttft_p95_s = quantile(pair, model, ttft, 0.95);
    model->gap_p50_s = quantile(pair, model, gap, 0.5);
    model->gap_p95_s = quantile(pair, model, gap, 0.95);
    model->users_low = users(pair, model, "lower");
    model->users = users(pair, model, "best");
    model->users_high = users(pair, model, "upper");
    model->headroom = exposition_least(pair->now, &line);
    model->crossing_days = exposition_least(pair->now, &crossing);
}

static void read_models(const struct pair *pair, struct top_view *ret)
{
    const struct exposition_query query = {.name = "vllm:num_requests_running"};
    for (size_t i = 0; i < pair->now->count && ret->model_count < TOP_MODELS_MAX; i++) {
        struct top_model *model = &ret->models[ret->model_count];
        if (!exposition_matches(&pair->now->samples[i], &query) ||
            !exposition_label(&pair->now->samples[i], "model_name", model->name))
            continue;
        read_model(pair, model);
        ret->model_count++;
    }
}

static uint32_t count_absent(const struct exposition *now)
{
    const struct exposition_query query = {.name = "weir_model_loaded"};
    uint32_t count = 0;
    for (size_t i = 0; i < now->count; i++)
        count += exposition_matches(&now->samples[i], &query) && !(now->samples[i].value > 0);
    return count;
}

/* -- Tenants: each has a sample a model -- */

static struct top_tenant *find_tenant(struct top_view *view, const char *name)
{
    for (uint32_t i = 0; i < view->tenant_count; i++)
        if (strcmp(view->tenants[i].name, name) == 0)
            return &view->tenants[i];
    if (view->tenant_count == TOP_TENANTS_MAX)
        return NULL;
    struct top_tenant *tenant = &view->tenants[view->tenant_count++];
    *tenant = (struct top_tenant){.tokens = 0};
    (void)snprintf(tenant->name, sizeof tenant->name, "%s", name);
    return tenant;
}

static int compare_tenants(const void *a, const void *b)
{
    double left = ((const struct top_tenant *)a)->tokens;
    double right = ((const struct top_tenant *)b)->tokens;
    return left < right ? 1 : left > right ? -1 : 0;
}

static void read_tenants(const struct pair *pair, struct top_view *ret)
{
    struct exposition_query query = {.name = "weir_tenant_generation_tokens_total"};
    for (size_t i = 0; i < pair->now->count; i++) {
        const struct exposition_sample *sample = &pair->now->samples[i];
        char name[EXPOSITION_LABEL_BYTES];
        if (!exposition_matches(sample, &query) || !exposition_label(sample, "tenant", name))
            continue;
        struct top_tenant *tenant = find_tenant(ret, name);
        if (tenant != NULL)
            tenant->tokens += sample->value;
    }
    qsort(ret->tenants, ret->tenant_count, sizeof ret->tenants[0], compare_tenants);
    query.key = "tenant";
    for (uint32_t i = 0; i < ret->tenant_count; i++) {
        query.value = ret->tenants[i].name;
        ret->tenants[i].output_rate = rate(pair, &query);
    }
}

/* -- All of it -- */

static double error_rate(const struct pair *pair)
{
    static const char *const statuses[] = {"500", "501", "503", "504"};
    double sum = 0;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        sum += rate(pair, &(struct exposition_query){.name = "weir_http_requests_total",
                                                     .key = "status",
                                                     .value = statuses[i]});
    return sum;
}

void top_view_read(const struct exposition *before, const struct exposition *now, double seconds,
                   double now_unix_s, struct top_view *ret)
{
    const struct pair pair = {.before = before, .now = now, .seconds = seconds};
    memset(ret, 0, sizeof *ret);
    for (size_t i = 0; i < now->count; i++)
        if (strcmp(now->samples[i].name, "weir_build_info") == 0)
            (void)exposition_label(&now->samples[i], "version", ret->version);
    ret->ready = value(&pair, "weir_ready");
    ret->absent = count_absent(now);
    ret->connections = value(&pair, "weir_connections");
    ret->open_requests = value(&pair, "weir_open_requests");
    ret->answer_rate = rate(&pair, &(struct exposition_query){.name = "weir_http_requests_total"});
    ret->error_rate = error_rate(&pair);
    ret->uptime_s = now_unix_s - value(&pair, "process_start_time_seconds");
    ret->resident_bytes = value(&pair, "process_resident_memory_bytes");
    ret->cpu = rate(&pair, &(struct exposition_query){.name = "process_cpu_seconds_total"});
    read_models(&pair, ret);
    read_tenants(&pair, ret);
}
