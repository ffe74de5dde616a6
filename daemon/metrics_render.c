/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_render.c -- the exposition, family by family: each has its HELP and TYPE once, then a
 * line a model. One scrape takes one snapshot of every engine and counter, so that figures of one
 * scrape agree with each other. */
#include "base/clock.h"
#include "daemon/metrics_state.h"
#include "daemon/server.h"
#include "daemon/worker.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The rest of UTF-8 passes. */
void render_label(struct text *out, const char *name, const char *value)
{
    text_append_format(out, "%s=\"", name);
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"')
            text_append_char(out, '\\');
        if (*value == '\n')
            text_append_string(out, "\\n");
        else
            text_append_char(out, *value);
    }
    text_append_char(out, '"');
}

static void scrape_free(struct scrape *scrape)
{
    for (uint32_t i = 0; i < scrape->model_count; i++) {
        text_destroy(&scrape->models[i].labels);
        text_destroy(&scrape->models[i].model);
    }
    free(scrape);
}

static struct scrape *scrape_new(const struct metrics *metrics, const struct server *server)
{
    struct scrape *scrape =
        calloc(1, sizeof *scrape + server->model_count * sizeof(struct scrape_model));
    if (scrape == NULL)
        return NULL;
    scrape->metrics = metrics;
    scrape->server = server;
    scrape->now_us = clock_monotonic_us();
    bool failed = false;
    for (uint32_t i = 0; i < server->model_count; i++) {
        const struct served_model *served = server_model(server, i);
        if (served == NULL)
            continue; /* refused or absent: it has no engine and no users */
        struct scrape_model *model = &scrape->models[scrape->model_count++];
        model->served = served;
        model->metrics = &metrics->models[i];
        engine_stats(served->engine, &model->engine);
        policy_usage(server->policy, served->policy, clock_unix_us(), &model->usage);
        render_label(&model->labels, "model_name", served->id);
        text_append_string(&model->labels, ",engine=\"0\"");
        render_label(&model->model, "model", served->id);
        failed = failed || model->labels.failed || model->model.failed;
    }
    if (!failed)
        return scrape;
    scrape_free(scrape);
    return NULL;
}

void render_sample(struct text *out, const char *name, const char *labels, double value)
{
    text_append_format(out, "%s{%s} ", name, labels);
    text_append_json_double(out, value);
    text_append_char(out, '\n');
}

/* -- From the engine's snapshot: a row a family -- */

struct engine_family {
    const char *name, *type, *help;
    bool vllm; /* labels as vLLM's */
    bool wide; /* uint64_t, else uint32_t */
    size_t offset;
};
#define WIDE(member)   true, offsetof(struct engine_stats, member)
#define NARROW(member) false, offsetof(struct engine_stats, member)

static const struct engine_family engine_families[] = {
    {"vllm:num_requests_running", "gauge", "Sequences that take part in steps.", true,
     NARROW(running)},
    {"vllm:num_requests_waiting", "gauge", "Generations that wait for their first step.", true,
     NARROW(waiting)},
    {"vllm:prefix_cache_queries_total", "counter", "Tokens looked up in the prefix cache.", true,
     WIDE(prefix_queries)},
    {"vllm:prefix_cache_hits_total", "counter", "Tokens found in the prefix cache.", true,
     WIDE(prefix_hits)},
    {"vllm:num_preemptions_total", "counter", "Sequences set aside for want of KV blocks.", true,
     WIDE(preemptions)},
    {"vllm:generation_tokens_total", "counter", "Tokens generated.", true, WIDE(generated_tokens)},
    {"weir_device_drawn_tokens_total", "counter",
     "Tokens generated that the device drew, so that their logits stayed there.", false,
     WIDE(device_draws)},
    {"vllm:prompt_tokens_cached_total", "counter", "Prompt tokens taken from the prefix cache.",
     true, WIDE(prompt_tokens_cached)},
    {"weir_engine_steps_total", "counter", "Forward passes.", false, WIDE(steps)},
    {"weir_engine_steps_failed_total", "counter", "Forward passes that the device failed in.",
     false, WIDE(steps_failed)},
    {"weir_engine_steps_ahead_total", "counter",
     "Forward passes that were handed to the device while it worked on the one before.", false,
     WIDE(steps_ahead)},
    {"weir_engine_rows_total", "counter", "Tokens that went through forward passes.", false,
     WIDE(step_rows)},
    {"weir_engine_waiting_tokens", "gauge", "Prompt tokens of waiting generations.", false,
     NARROW(waiting_tokens)},
    {"weir_kv_evictions_total", "counter", "Cached KV blocks reused for something else.", false,
     WIDE(kv.evictions)},
};

static void render_engine_families(const struct scrape *scrape, struct text *out)
{
    for (size_t f = 0; f < COUNT_OF(engine_families); f++) {
        const struct engine_family *family = &engine_families[f];
        render_family(out, family->name, family->type, family->help);
        for (uint32_t i = 0; i < scrape->model_count; i++) {
            const struct scrape_model *model = &scrape->models[i];
            const char *member = (const char *)&model->engine + family->offset;
            double value = family->wide ? (double)*(const uint64_t *)member
                                        : (double)*(const uint32_t *)member;
            render_sample(out, family->name,
                          text_string(family->vllm ? &model->labels : &model->model), value);
        }
    }
}

void render_labelled(struct text *out, const struct scrape_model *model, const char *name,
                     const char *key_value, double value)
{
    bool vllm = strncmp(name, "vllm:", 5) == 0;
    text_append_format(out, "%s{%s,%s} ", name, text_string(vllm ? &model->labels : &model->model),
                       key_value);
    text_append_json_double(out, value);
    text_append_char(out, '\n');
}

static void render_tokens_and_blocks(const struct scrape *scrape, struct text *out)
{
    const struct scrape_model *models = scrape->models;
    uint32_t count = scrape->model_count;
    render_family(out, "vllm:prompt_tokens_total", "counter", "Prompt tokens, cached or computed.");
    for (uint32_t i = 0; i < count; i++)
        render_sample(out, "vllm:prompt_tokens_total", text_string(&models[i].labels),
                      (double)(models[i].engine.prompt_tokens_computed +
                               models[i].engine.prompt_tokens_cached));
    render_family(out, "vllm:prompt_tokens_by_source_total", "counter",
                  "Prompt tokens by where their keys and values came from.");
    for (uint32_t i = 0; i < count; i++) {
        render_labelled(out, &models[i], "vllm:prompt_tokens_by_source_total",
                        "source=\"local_compute\"",
                        (double)models[i].engine.prompt_tokens_computed);
        render_labelled(out, &models[i], "vllm:prompt_tokens_by_source_total",
                        "source=\"local_cache_hit\"",
                        (double)models[i].engine.prompt_tokens_cached);
    }
    render_family(out, "vllm:kv_cache_usage_perc", "gauge",
                  "KV blocks that a sequence holds, of all; 1 is full.");
    for (uint32_t i = 0; i < count; i++) {
        const struct kv_cache_stats *kv = &models[i].engine.kv;
        render_sample(out, "vllm:kv_cache_usage_perc", text_string(&models[i].labels),
                      kv->block_count == 0 ? 0 : (double)kv->referenced_count / kv->block_count);
    }
    render_family(out, "weir_kv_blocks", "gauge", "KV blocks by state.");
    for (uint32_t i = 0; i < count; i++) {
        const struct kv_cache_stats *kv = &models[i].engine.kv;
        render_labelled(out, &models[i], "weir_kv_blocks", "state=\"free\"", kv->free_count);
        render_labelled(out, &models[i], "weir_kv_blocks", "state=\"cached\"", kv->cached_count);
        render_labelled(out, &models[i], "weir_kv_blocks", "state=\"referenced\"",
                        kv->referenced_count);
    }
    render_family(out, "weir_engine_busy", "gauge", "1 while a step runs or is due.");
    for (uint32_t i = 0; i < count; i++)
        render_sample(out, "weir_engine_busy", text_string(&models[i].model),
                      models[i].engine.busy);
    render_family(out, "weir_engine_last_progress_age_seconds", "gauge",
                  "Since the last finished step, or idle turn of the loop.");
    for (uint32_t i = 0; i < count; i++) {
        uint64_t last_us = models[i].engine.last_progress_us;
        render_sample(out, "weir_engine_last_progress_age_seconds", text_string(&models[i].model),
                      scrape->now_us > last_us ? (double)(scrape->now_us - last_us) / 1e6 : 0);
    }
}

/* vLLM tells capacity from requests that a connector defers, of which there are none here. */
static void render_waiting(const struct scrape *scrape, struct text *out)
{
    static const char name[] = "vllm:num_requests_waiting_by_reason";
    render_family(out, name, "gauge", "Generations that wait, by what for.");
    for (uint32_t i = 0; i < scrape->model_count; i++) {
        const struct scrape_model *model = &scrape->models[i];
        render_labelled(out, model, name, "reason=\"capacity\"", model->engine.waiting);
        render_labelled(out, model, name, "reason=\"deferred\"", 0);
    }
}

/* An engine never sleeps; dashboards ask all the same. */
static void render_sleep(const struct scrape *scrape, struct text *out)
{
    static const char name[] = "vllm:engine_sleep_state";
    render_family(out, name, "gauge", "1 for the state that an engine is in.");
    for (uint32_t i = 0; i < scrape->model_count; i++) {
        render_labelled(out, &scrape->models[i], name, "sleep_state=\"awake\"", 1);
        render_labelled(out, &scrape->models[i], name, "sleep_state=\"weights_offloaded\"", 0);
        render_labelled(out, &scrape->models[i], name, "sleep_state=\"discard_all\"", 0);
    }
}

/* As vLLM calls it. */
static const char *cache_type_name(enum kv_format format)
{
    return format == KV_FP8 ? "fp8_per_token_head" : format == KV_BF16 ? "bfloat16" : "float16";
}

static void render_cache_config(const struct scrape *scrape, struct text *out)
{
    const struct config *config = scrape->server->config;
    render_family(out, "vllm:cache_config_info", "gauge", "How the KV cache is set up.");
    for (uint32_t i = 0; i < scrape->model_count; i++)
        text_append_format(out,
                           "vllm:cache_config_info{%s,block_size=\"%u\",cache_dtype=\"%s\","
                           "enable_prefix_caching=\"%s\",num_gpu_blocks=\"%u\"} 1\n",
                           text_string(&scrape->models[i].labels), KV_BLOCK_TOKENS,
                           cache_type_name(config->kv_format),
                           config->prefix_cache ? "True" : "False",
                           scrape->models[i].engine.kv.block_count);
}

/* The engine counts rows a step itself; its thread should not share a cache line for it. */
static void render_iterations(const struct scrape *scrape, struct text *out)
{
    static const uint64_t rows[] = {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};
    static const struct histogram_shape shape = {.bounds = rows, .count = 13, .scale = 1};
    static_assert(COUNT_OF(((struct engine_stats *)0)->iteration_rows) == COUNT_OF(rows) + 1,
                  "a bucket each, and +Inf");
    render_family(out, "vllm:iteration_tokens_total", "histogram", "Tokens in a forward pass.");
    for (uint32_t i = 0; i < scrape->model_count; i++) {
        const struct engine_stats *stats = &scrape->models[i].engine;
        struct histogram histogram = {0};
        for (size_t b = 0; b < COUNT_OF(stats->iteration_rows); b++)
            histogram.counts[b] = stats->iteration_rows[b];
        histogram.sum = stats->step_rows;
        histogram_render(&histogram, &shape, "vllm:iteration_tokens_total",
                         text_string(&scrape->models[i].labels), out);
    }
}

/* -- From what was recorded here -- */

static void render_requests(const struct scrape *scrape, struct text *out)
{
    static const char *const reasons[FINISH_REASONS] = {
        [FINISH_STOP] = "finished_reason=\"stop\"",
        [FINISH_LENGTH] = "finished_reason=\"length\"",
        [FINISH_ABORT] = "finished_reason=\"abort\"",
        [FINISH_ERROR] = "finished_reason=\"error\"",
        [FINISH_NAN] = "finished_reason=\"nan\"",
        [FINISH_LOST] = "finished_reason=\"device_lost\"",
    };
    render_family(out, "vllm:request_success_total", "counter", "Requests that ended, by how.");
    for (uint32_t i = 0; i < scrape->model_count; i++)
        for (uint32_t r = FINISH_STOP; r < FINISH_REASONS; r++)
            render_labelled(out, &scrape->models[i], "vllm:request_success_total", reasons[r],
                            (double)scrape->models[i].metrics->finished[r]);
    for (uint32_t h = 0; h < HISTOGRAM_COUNT; h++) {
        const struct histogram_family *family = &histogram_families[h];
        render_family(out, family->name, "histogram", family->help);
        for (uint32_t i = 0; i < scrape->model_count; i++) {
            struct histogram_shape shape = *family->shape;
            uint32_t context = engine_context(scrape->models[i].served->engine);
            while (family->up_to_context && shape.count > 1 &&
                   shape.bounds[shape.count - 1] > context)
                shape.count--;
            histogram_render(&scrape->models[i].metrics->histograms[h], &shape, family->name,
                             text_string(&scrape->models[i].labels), out);
        }
    }
}

static const char *const route_names[ROUTE_COUNT] = {
    [ROUTE_CHAT] = "/v1/chat/completions",
    [ROUTE_COMPLETIONS] = "/v1/completions",
    [ROUTE_MODELS] = "/v1/models",
    [ROUTE_TOKENIZE] = "/tokenize",
    [ROUTE_DETOKENIZE] = "/detokenize",
    [ROUTE_ADMIN_USERS] = "/admin/v1/users",
    [ROUTE_ADMIN_USAGE] = "/admin/v1/usage",
    [ROUTE_ADMIN_PROFILE_CPU] = "/admin/v1/profile/cpu",
    [ROUTE_ADMIN_PROFILE_HEAP] = "/admin/v1/profile/heap",
    [ROUTE_HEALTH] = "/health",
    [ROUTE_READY] = "/ready",
    [ROUTE_METRICS] = "/metrics",
    [ROUTE_VERSION] = "/version",
    [ROUTE_OTHER] = "other",
};

static void render_http_requests(const struct metrics *metrics, uint32_t route, struct text *out)
{
    for (uint32_t m = 0; m < HTTP_METHODS; m++)
        for (uint32_t s = 0; s < HTTP_STATUSES; s++) {
            uint64_t count = metrics->http_requests[route][m][s];
            if (count == 0)
                continue; /* a series begins with its first request */
            text_append_format(out, "weir_http_requests_total{route=\"%s\",method=\"%s\",status=\"",
                               route_names[route], http_method_names[m]);
            if (http_status_codes[s] == 0)
                text_append_string(out, "other");
            else
                text_append_u64(out, http_status_codes[s]);
            text_append_format(out, "\"} %llu\n", (unsigned long long)count);
        }
}

static void render_http(const struct scrape *scrape, struct text *out)
{
    render_family(out, "weir_http_requests_total", "counter", "Answers by route and status.");
    for (uint32_t r = 0; r < ROUTE_COUNT; r++)
        render_http_requests(scrape->metrics, r, out);
    render_family(out, "weir_http_request_duration_seconds", "histogram",
                  "From a complete head to the end of the answer.");
    for (uint32_t r = 0; r < ROUTE_COUNT; r++) {
        char labels[64];
        (void)snprintf(labels, sizeof labels, "route=\"%s\"", route_names[r]);
        histogram_render(&scrape->metrics->http_duration[r], &http_duration_shape,
                         "weir_http_request_duration_seconds", labels, out);
    }
}

static void render_abuse(const uint64_t *counts, struct text *out)
{
    render_family(out, "weir_http_abuse_total", "counter",
                  "Connections, streams or requests ended because they hurt others.");
    for (unsigned kind = HTTP_ABUSE_NONE + 1; kind < HTTP_ABUSE_COUNT; kind++)
        text_append_format(out, "weir_http_abuse_total{kind=\"%s\"} %llu\n", http_abuse_name(kind),
                           (unsigned long long)counts[kind]);
}

static void render_network(const struct scrape *scrape, struct text *out)
{
    struct listener_stats all = {0}, one;
    for (uint32_t i = 0; i < scrape->server->worker_count; i++) {
        if (!worker_stats(scrape->server, i, &one))
            continue;
        all.connections += one.connections;
        all.exchanges += one.exchanges;
        all.accepted += one.accepted;
        all.refused += one.refused;
        all.requests_h1 += one.requests_h1;
        all.requests_h2 += one.requests_h2;
        all.protocol_errors += one.protocol_errors;
        all.timeouts += one.timeouts;
        all.proxy_errors += one.proxy_errors;
        all.forwarded_errors += one.forwarded_errors;
        for (unsigned kind = 0; kind < HTTP_ABUSE_COUNT; kind++)
            all.abuse[kind] += one.abuse[kind];
    }
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } rows[] = {
        {"weir_connections", "gauge", "Connections open now.", all.connections},
        {"weir_open_requests", "gauge", "Requests being answered now.", all.exchanges},
        {"weir_connections_accepted_total", "counter", "Connections accepted.", all.accepted},
        {"weir_connections_refused_total", "counter", "Connections closed for the limit.",
         all.refused},
        {"weir_http1_requests_total", "counter", "Requests over HTTP/1.", all.requests_h1},
        {"weir_http2_requests_total", "counter", "Requests over HTTP/2.", all.requests_h2},
        {"weir_protocol_errors_total", "counter", "Connections or streams broken by bad protocol.",
         all.protocol_errors},
        {"weir_connection_timeouts_total", "counter", "Connections closed for slowness.",
         all.timeouts},
        {"weir_proxy_protocol_errors_total", "counter",
         "Connections refused for a PROXY header that was wrong or missing.", all.proxy_errors},
        {"weir_forwarded_errors_total", "counter",
         "Requests of trusted proxies whose word on the client was malformed or contradicted.",
         all.forwarded_errors},
        {"weir_ready", "gauge", "1 while new requests are taken, and there is a model for them.",
         server_is_ready(scrape->server)},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        render_family(out, rows[i].name, rows[i].type, rows[i].help);
        text_append_format(out, "%s %llu\n", rows[i].name, (unsigned long long)rows[i].value);
    }
    render_abuse(all.abuse, out);
}

void metrics_render(struct metrics *metrics, const struct server *server, struct text *out)
{
    struct scrape *scrape = scrape_new(metrics, server);
    if (scrape == NULL) {
        out->failed = true;
        return;
    }
    render_engine_families(scrape, out);
    render_tokens_and_blocks(scrape, out);
    render_waiting(scrape, out);
    render_sleep(scrape, out);
    render_cache_config(scrape, out);
    render_iterations(scrape, out);
    render_requests(scrape, out);
    render_users(scrape, out);
    render_licenses(server, out);
    render_near(scrape, clock_unix_us(), out);
    render_enforcement(scrape, out);
    render_life(scrape, out);
    render_network(scrape, out);
    render_bounds(scrape, out);
    render_tls(server, out);
    render_http(scrape, out);
    render_tenants(metrics, server, out);
    render_seen(server, out);
    render_access(metrics, out);
    render_process(metrics->started_unix_us, out);
    scrape_free(scrape);
}
