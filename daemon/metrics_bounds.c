/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/tenant_limits.h"
#include "daemon/metrics_state.h"
#include "daemon/server.h"

static const char *const limited_names[LIMITED_COUNT] = {
    [LIMITED_REQUESTS] = "requests",     [LIMITED_TOKENS] = "tokens",
    [LIMITED_CONCURRENT] = "concurrent", [LIMITED_TENANTS] = "tenants",
    [LIMITED_QUEUE] = "queue",
};

void render_bounds(const struct scrape *scrape, struct text *out)
{
    render_family(out, "weir_limited_total", "counter", "Requests that a bound sent away, by it.");
    for (uint32_t i = LIMITED_NOT + 1; i < LIMITED_COUNT; i++)
        text_append_format(out, "weir_limited_total{limit=\"%s\"} %llu\n", limited_names[i],
                           (unsigned long long)scrape->metrics->limited[i]);
    const struct tenant_limits *limits = scrape->server->tenant_limits;
    render_family(out, "weir_limited_running", "gauge",
                  "Requests that run or wait under a tenant's limits.");
    text_append_format(out, "weir_limited_running %u\n",
                       limits == NULL ? 0 : tenant_limits_running(limits));
}
