/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/metrics_state.h"
#include "daemon/profile/profiler.h"
#include "daemon/server.h"
#include "daemon/worker.h"

static void render_reloads(const struct metrics *metrics, struct text *out)
{
    render_family(out, "weir_config_reloads_total", "counter",
                  "Times that the configuration was read anew, by whether it was taken up.");
    for (size_t i = 0; i < 2; i++)
        render_sample(out, "weir_config_reloads_total",
                      i == 0 ? "result=\"failure\"" : "result=\"success\"",
                      (double)metrics->reloads[i]);
    render_family(out, "weir_config_last_reload_successful", "gauge",
                  "0 while the last one was refused: what runs is older than what the file says.");
    text_append_format(out, "weir_config_last_reload_successful %u\n", !metrics->reload_refused);
    render_family(out, "weir_config_last_reload_success_timestamp_seconds", "gauge",
                  "When the configuration that runs was read, in seconds since 1970.");
    text_append_format(out, "weir_config_last_reload_success_timestamp_seconds %.3f\n",
                       (double)metrics->reloaded_unix_us / 1e6);
}

static void render_profiles(const struct server *server, struct text *out)
{
    static const char *const kinds[PROFILE_KIND_COUNT] = {
        [PROFILE_CPU] = "kind=\"cpu\"", [PROFILE_HEAP] = "kind=\"heap\""};
    struct profiler_stats stats;
    if (server->profiler == NULL)
        return;
    profiler_stats(server->profiler, &stats);
    render_family(out, "weir_profile_running", "gauge", "1 while a profile is being taken.");
    text_append_format(out, "weir_profile_running %u\n", stats.running);
    render_family(out, "weir_profiles_total", "counter", "Profiles that were begun, by kind.");
    for (size_t i = 0; i < PROFILE_KIND_COUNT; i++)
        render_sample(out, "weir_profiles_total", kinds[i], (double)stats.profiles[i]);
    render_family(out, "weir_profile_samples_total", "counter", "Samples that profiles have.");
    text_append_format(out, "weir_profile_samples_total %llu\n", (unsigned long long)stats.samples);
    render_family(out, "weir_profile_samples_lost_total", "counter",
                  "Samples that profiles lack, for want of room.");
    text_append_format(out, "weir_profile_samples_lost_total %llu\n",
                       (unsigned long long)stats.lost);
}

/* Those that are refused are told by weir_license_verdict. */
static void render_loads(const struct server *server, struct text *out)
{
    struct text label;
    render_family(out, "weir_model_loaded", "gauge",
                  "1 for a configured model that is served, 0 for one that did not load yet.");
    for (uint32_t i = 0; i < server->model_count; i++) {
        enum model_state state = server_model_state(&server->models[i]);
        text_init(&label);
        render_label(&label, "model", server->models[i].id);
        if (state != MODEL_REFUSED)
            render_sample(out, "weir_model_loaded", text_string(&label), state == MODEL_SERVED);
        text_destroy(&label);
    }
    render_family(out, "weir_model_load_failures_total", "counter",
                  "Times that a model was tried and did not load.");
    for (uint32_t i = 0; i < server->model_count; i++) {
        text_init(&label);
        render_label(&label, "model", server->models[i].id);
        render_sample(out, "weir_model_load_failures_total", text_string(&label),
                      (double)atomic_load(&server->models[i].load_failures));
        text_destroy(&label);
    }
}

void render_life(const struct scrape *scrape, struct text *out)
{
    const struct server *server = scrape->server;
    uint32_t stalled = 0;
    render_family(out, "weir_engine_stalled", "gauge",
                  "1 while an engine with something to do has not moved for server.stall_timeout.");
    for (uint32_t i = 0; i < scrape->model_count; i++)
        render_sample(
            out, "weir_engine_stalled", text_string(&scrape->models[i].model),
            atomic_load_explicit(&scrape->models[i].served->stalled, memory_order_relaxed));
    render_family(out, "weir_engine_lost", "gauge",
                  "1 once an engine's device failed for good: the process is about to end.");
    for (uint32_t i = 0; i < scrape->model_count; i++)
        render_sample(out, "weir_engine_lost", text_string(&scrape->models[i].model),
                      engine_failure(scrape->models[i].served->engine) != NULL);
    for (uint32_t i = 0; server->workers != NULL && i < server->worker_count; i++)
        stalled += atomic_load_explicit(&server->workers[i].stalled, memory_order_relaxed);
    render_family(out, "weir_workers_stalled", "gauge",
                  "Network threads whose loop has not turned for server.stall_timeout.");
    text_append_format(out, "weir_workers_stalled %u\n", stalled);
    render_loads(server, out);
    render_reloads(scrape->metrics, out);
    render_profiles(server, out);
}
