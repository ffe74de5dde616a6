/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/tenant_limits.h"
#include "daemon/http/address_table.h"
#include "daemon/metrics_state.h"
#include "daemon/server.h"
#include "daemon/worker.h"

/* NULL: shown under a name of its own. */
static const char *const limited_names[LIMITED_COUNT] = {
    [LIMITED_REQUESTS] = "requests",
    [LIMITED_TOKENS] = "tokens",
    [LIMITED_CONCURRENT] = "concurrent",
    [LIMITED_TENANTS] = "tenants",
    [LIMITED_QUEUE] = "queue",
    [LIMITED_WAIT] = "wait",
    [LIMITED_FIRST_TOKEN] = "first_token",
    [LIMITED_REQUEST_TIME] = "request_time",
    [LIMITED_MEMORY] = "memory",
    [LIMITED_JSON] = "json",
};

static void render_one(struct text *out, const char *name, const char *type, const char *help,
                       uint64_t value)
{
    render_family(out, name, type, help);
    text_append_format(out, "%s %llu\n", name, (unsigned long long)value);
}

static void render_limited(struct text *out, const char *name, uint64_t value)
{
    text_append_format(out, "weir_limited_total{limit=\"%s\"} %llu\n", name,
                       (unsigned long long)value);
}

static void render_all_limited(const struct scrape *scrape, struct text *out)
{
    struct listener_stats all = {0}, one;
    for (uint32_t i = 0; i < scrape->server->worker_count; i++) {
        if (!worker_stats(scrape->server, i, &one))
            continue;
        all.addresses_refused += one.addresses_refused;
        all.paused += one.paused;
        all.heads_refused += one.heads_refused;
        all.bodies_refused += one.bodies_refused;
    }
    render_family(out, "weir_limited_total", "counter", "Requests that a bound sent away, by it.");
    for (uint32_t i = LIMITED_NOT + 1; i < LIMITED_COUNT; i++)
        if (limited_names[i] != NULL)
            render_limited(out, limited_names[i], scrape->metrics->limited[i]);
    render_limited(out, "address", all.addresses_refused);
    render_limited(out, "abuse", all.paused);
    render_limited(out, "head", all.heads_refused);
    render_limited(out, "body", all.bodies_refused);
}

void render_bounds(const struct scrape *scrape, struct text *out)
{
    const struct server *server = scrape->server;
    render_all_limited(scrape, out);
    render_one(out, "weir_slow_readers_total", "counter",
               "Streams broken off, for their client left too much unread.",
               scrape->metrics->limited[LIMITED_OUTPUT]);
    render_one(out, "weir_client_addresses", "gauge", "Addresses that have connections.",
               server->addresses == NULL ? 0 : address_table_count(server->addresses));
    render_one(out, "weir_limited_running", "gauge",
               "Requests that run or wait under a tenant's limits.",
               server->tenant_limits == NULL ? 0 : tenant_limits_running(server->tenant_limits));
    render_one(out, "weir_memory_bytes", "gauge",
               "Resident memory that no file backs, as the watermark counts it.",
               atomic_load(&server->memory_bytes));
    render_one(out, "weir_memory_watermark_bytes", "gauge", "Above it requests are refused.",
               atomic_load(&server->memory_watermark));
    render_one(out, "weir_memory_over", "gauge", "1 while requests are refused for memory.",
               atomic_load(&server->memory_over));
    render_family(out, "weir_estimated_wait_seconds", "gauge",
                  "Until the first token of a request that came now, in the last class.");
    for (uint32_t i = 0; i < scrape->model_count; i++)
        render_sample(out, "weir_estimated_wait_seconds", text_string(&scrape->models[i].model),
                      (double)engine_wait_us(scrape->models[i].served->engine, INT32_MAX) / 1e6);
}
