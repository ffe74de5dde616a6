/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_tenants.c -- tokens and requests by tenant.
 *
 * Tokens are counted once, by policy/ (policy_tokens.h), which writes them into tokens.db too; here
 * they are added up over the workers. A tenant is the name of an API key's owner, no user's. */
#include "daemon/metrics_state.h"
#include "daemon/server.h"
#include "policy/policy_tokens.h"

#include <stdlib.h>
#include <string.h>

void metrics_tenant(struct metrics *metrics, const char *tenant, uint32_t status)
{
    uint32_t number = tenant_names_number(metrics->tenants, tenant);
    uint32_t class = status / 100 - 1;
    if (class < STATUS_CLASSES)
        atomic_fetch_add_explicit(&metrics->tenant_requests[number][class], 1,
                                  memory_order_relaxed);
}

/* Sums over workers, [tenant][model]. */
struct sums {
    const struct server *server; /* borrowed */
    struct tenant_names *names;  /* borrowed */
    struct token_counts *counts;
};

static uint32_t model_of(const struct server *server, const char *id)
{
    uint32_t i = 0;
    while (i < server->model_count && strcmp(server->models[i].id, id) != 0)
        i++;
    return i;
}

static void on_tokens(void *argument, const struct token_row *row)
{
    struct sums *sums = argument;
    uint32_t tenant = tenant_names_number(sums->names, row->tenant);
    uint32_t model = model_of(sums->server, row->model);
    if (model == sums->server->model_count || server_model(sums->server, model) == NULL)
        return; /* not served, and so without any */
    struct token_counts *counts = &sums->counts[(size_t)tenant * sums->server->model_count + model];
    counts->requests += row->counts.requests;
    counts->prompt += row->counts.prompt;
    counts->cached += row->counts.cached;
    counts->generated += row->counts.generated;
}

static void render_tokens(const struct sums *sums, size_t offset, const char *name,
                          const char *help, struct text *out)
{
    const struct server *server = sums->server;
    uint32_t tenants = tenant_names_count(sums->names);
    render_family(out, name, "counter", help);
    for (uint32_t tenant = 0; tenant < tenants; tenant++) {
        for (uint32_t model = 0; model < server->model_count; model++) {
            const struct token_counts *counts =
                &sums->counts[(size_t)tenant * server->model_count + model];
            if (counts->prompt == 0)
                continue; /* a series begins with its first token */
            uint64_t value;
            memcpy(&value, (const char *)counts + offset, sizeof value);
            text_append_format(out, "%s{", name);
            render_label(out, "tenant", tenant_names_at(sums->names, tenant));
            text_append_char(out, ',');
            render_label(out, "model", server->models[model].id);
            text_append_string(out, "} ");
            text_append_u64(out, value);
            text_append_char(out, '\n');
        }
    }
}

static void render_tenant_requests(const struct metrics *metrics, struct text *out)
{
    static const char *const classes[STATUS_CLASSES] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
    uint32_t tenants = tenant_names_count(metrics->tenants);
    render_family(out, "weir_tenant_requests_total", "counter",
                  "Answers to tenants, by class of status.");
    for (uint32_t tenant = 0; tenant < tenants; tenant++) {
        for (uint32_t class = 0; class < STATUS_CLASSES; class ++) {
            uint64_t count = atomic_load_explicit(&metrics->tenant_requests[tenant][class],
                                                  memory_order_relaxed);
            if (count == 0)
                continue;
            text_append_string(out, "weir_tenant_requests_total{");
            render_label(out, "tenant", tenant_names_at(metrics->tenants, tenant));
            text_append_format(out, ",class=\"%s\"} ", classes[class]);
            text_append_u64(out, count);
            text_append_char(out, '\n');
        }
    }
}

void render_tenants(const struct metrics *metrics, const struct server *server, struct text *out)
{
    struct sums sums = {
        .server = server,
        .names = metrics->tenants,
        .counts = calloc((size_t)TENANT_NAMES_MAX * server->model_count, sizeof *sums.counts)};
    if (sums.counts == NULL) {
        out->failed = true;
        return;
    }
    policy_tokens_each(server->policy, on_tokens, &sums);
    render_tokens(&sums, offsetof(struct token_counts, prompt), "weir_tenant_prompt_tokens_total",
                  "Prompt tokens by tenant, cached or computed.", out);
    render_tokens(&sums, offsetof(struct token_counts, cached), "weir_tenant_cached_tokens_total",
                  "Of these, those taken from the prefix cache.", out);
    render_tokens(&sums, offsetof(struct token_counts, generated),
                  "weir_tenant_generation_tokens_total", "Generated tokens by tenant.", out);
    render_tenant_requests(metrics, out);
    free(sums.counts);
}
