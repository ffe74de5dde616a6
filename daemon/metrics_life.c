/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/metrics_state.h"
#include "daemon/server.h"
#include "daemon/worker.h"

void render_life(const struct scrape *scrape, struct text *out)
{
    const struct server *server = scrape->server;
    uint32_t stalled = 0;
    render_family(out, "weir_engine_stalled", "gauge",
                  "1 while an engine with something to do has not moved for server.stall_timeout.");
    for (uint32_t i = 0; i < scrape->model_count; i++)
        render_sample(out, "weir_engine_stalled", text_string(&scrape->models[i].model),
                      atomic_load_explicit(&server->models[i].stalled, memory_order_relaxed));
    for (uint32_t i = 0; server->workers != NULL && i < server->worker_count; i++)
        stalled += atomic_load_explicit(&server->workers[i].stalled, memory_order_relaxed);
    render_family(out, "weir_workers_stalled", "gauge",
                  "Network threads whose loop has not turned for server.stall_timeout.");
    text_append_format(out, "weir_workers_stalled %u\n", stalled);
}
