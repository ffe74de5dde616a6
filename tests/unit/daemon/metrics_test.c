/* SPDX-License-Identifier: Apache-2.0 */
/* Engine, policy and network are doubles here: what they say is what must be rendered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/metrics.h"
#include "daemon/server.h"
#include "daemon/tenant_names.h"
#include "daemon/worker.h"
#include "policy/license/assessment.h"
#include "policy/policy_enforce.h"
#include "policy/policy_fleet.h"
#include "policy/policy_identity.h"
#include "policy/policy_lines.h"
#include "policy/policy_users.h"

uint64_t engine_wait_us(const struct engine *engine, int32_t priority)
{
    (void)engine;
    (void)priority;
    return 2500000;
}

void engine_stats(const struct engine *engine, struct engine_stats *ret)
{
    (void)engine;
    *ret = (struct engine_stats){
        .running = 3,
        .waiting = 4,
        .kv = {.block_count = 100, .free_count = 60, .cached_count = 15, .referenced_count = 25},
        .steps = 10,
        .step_rows = 170,
        .prompt_tokens_computed = 120,
        .prompt_tokens_cached = 30,
        .generated_tokens = 50,
        .prefix_queries = 150,
        .prefix_hits = 30,
        .preemptions = 2,
        .iteration_rows = {4, 3, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
    };
}

const struct error *engine_failure(const struct engine *engine)
{
    (void)engine;
    return NULL;
}

uint32_t engine_context(const struct engine *engine)
{
    (void)engine;
    return 2048;
}

void policy_usage(struct policy *policy, const struct policy_model *model, int64_t now_unix_us,
                  struct policy_usage *ret)
{
    (void)policy;
    (void)model;
    (void)now_unix_us;
    *ret = (struct policy_usage){.unsaved = 3, .left_out = 1, .known = true};
    ret->windows[USAGE_WINDOW_MONTH] = (struct usage_figures){
        .lower = {.users = 30, .low = 29.5},
        .best = {.users = 42},
        .upper = {.users = 47, .high = 48.25},
        .users_by_class = {0, 40, 2},
        .requests = {0, 80, 13, 7},
        .coverage = 0.8,
    };
}

/* Two lines: one with a date and no late edge, one without. */
uint32_t policy_lines(struct policy *policy, const struct policy_model *model, int64_t now_unix_us,
                      struct policy_line *ret, uint32_t capacity)
{
    (void)policy;
    (void)model;
    (void)now_unix_us;
    assert_true(capacity >= 2);
    ret[0] = (struct policy_line){.license = "big-1",
                                  .condition = "big-1/name",
                                  .upper = 75,
                                  .threshold = 100,
                                  .days_early = 12.5,
                                  .days = 20,
                                  .days_late = INFINITY};
    ret[1] = (struct policy_line){.license = "big-1",
                                  .condition = "big-1/ask",
                                  .upper = 15,
                                  .threshold = 10,
                                  .days_early = NAN,
                                  .days = NAN,
                                  .days_late = NAN};
    return 2;
}

void policy_identity_suspects(struct policy *policy, uint32_t *ret_shared, uint32_t *ret_sprayed)
{
    (void)policy;
    *ret_shared = 1;
    *ret_sprayed = 2;
}

const char *policy_outcome_name(enum policy_outcome outcome)
{
    static const char *const names[] = {"passed", "attributed", "capped", "refused"};
    return names[outcome];
}

void policy_enforcement(const struct policy_model *model, struct policy_enforcement *ret)
{
    (void)model;
    *ret = (struct policy_enforcement){
        .mode = POLICY_ENFORCE_CAP,
        .outcomes = {7, 0, 3, 0},
        .caps = {{.scope = "model", .limit = 300, .counted = 299, .tickets = 1}},
        .cap_count = 1};
}

void policy_fleet_status(const struct policy *policy, int64_t now_unix_us,
                         struct policy_fleet_status *ret)
{
    (void)policy;
    (void)now_unix_us;
    *ret = (struct policy_fleet_status){.together = true,
                                        .stale_seconds = 12,
                                        .replicas = 3,
                                        .replicas_current = 2,
                                        .refused = 5,
                                        .clock_offset_seconds = -0.5};
}

void policy_messages(const struct policy *policy, struct policy_messages *ret)
{
    (void)policy;
    *ret = (struct policy_messages){.pending = 4, .delivered = 9, .dead = 1};
}

struct policy_model {
    struct license_condition source;
    struct threshold_limb limbs[4];
    struct assessed_condition conditions[2];
    struct assessment assessment;
};

const struct assessment *policy_model_assessment(const struct policy_model *model)
{
    return &model->assessment;
}

const char *identity_class_name(enum identity_class identity)
{
    static const char *const names[] = {"verified", "asserted", "weak", "none"};
    return names[identity];
}

bool worker_stats(const struct server *server, uint32_t index, struct listener_stats *ret)
{
    (void)server;
    *ret = (struct listener_stats){.connections = 5 + index, .accepted = 11};
    return true;
}

/* Two workers: what both saw adds up, whatever the order of their tables. */
void policy_tokens_each(const struct policy *policy,
                        void (*on_row)(void *argument, const struct token_row *row), void *argument)
{
    static const struct token_row rows[] = {
        {"a", "plain", {1, 10, 4, 5}},    {"b", "plain", {1, 20, 0, 6}},
        {"b", "plain", {2, 100, 1, 50}},  {"b", "q\"uo\\te\nline", {2, 7, 0, 8}},
        {"", "plain", {1, 3, 0, 0}},      {TOKENS_REST, "plain", {1, 1, 0, 1}},
        {"other", "plain", {1, 2, 0, 2}}, /* a tenant that is called so */
        {"b", "barred", {1, 1, 1, 1}},
    };
    (void)policy;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        on_row(argument, &rows[i]);
}

struct fixture {
    struct config config;
    struct policy_model licenses[3];
    struct served_model models[4]; /* two served, one refused, one absent */
    struct server server;
    struct text out;
};

/* A threshold of three limbs, one of them twice, and a doubt. */
static void license_init(struct policy_model *license, const char *model, enum verdict verdict)
{
    license->limbs[0] =
        (struct threshold_limb){.metric = METRIC_MAU, .window = WINDOW_MONTH, .value = 100000000};
    license->limbs[1] = (struct threshold_limb){.metric = METRIC_REVENUE,
                                                .window = WINDOW_MONTH,
                                                .currency = CURRENCY_USD,
                                                .value = 20000000};
    license->limbs[2] = license->limbs[1];
    license->limbs[2].value++;
    license->limbs[3] = license->limbs[1];
    license->limbs[3].currency = CURRENCY_CNY;
    license->source = (struct license_condition){
        .kind = CONDITION_THRESHOLD, .any_of = license->limbs, .any_of_count = 4};
    license->conditions[0] = (struct assessed_condition){
        .id = "big-1/name", .license = "big-1", .condition = &license->source, .verdict = verdict};
    license->conditions[1] = (struct assessed_condition){
        .id = "recognition/text-unknown", .license = "", .verdict = VERDICT_REVIEW};
    license->assessment = (struct assessment){.model = model,
                                              .license = "big-1",
                                              .verdict = verdict,
                                              .conditions = license->conditions,
                                              .condition_count = 2};
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->models[0].id = "plain";
    fixture->models[1].id = "q\"uo\\te\nline";
    license_init(&fixture->licenses[0], "plain", VERDICT_REVIEW);
    license_init(&fixture->licenses[1], fixture->models[1].id, VERDICT_REVIEW);
    license_init(&fixture->licenses[2], "barred", VERDICT_BREACH);
    fixture->models[0].policy = &fixture->licenses[0];
    fixture->models[1].policy = &fixture->licenses[1];
    fixture->models[0].state = fixture->models[1].state = MODEL_SERVED;
    fixture->models[2].id = "barred";
    fixture->models[2].policy = &fixture->licenses[2];
    fixture->models[2].state = MODEL_REFUSED;
    fixture->models[3].id = "late";
    fixture->server = (struct server){.config = &fixture->config,
                                      .models = fixture->models,
                                      .model_count = 4,
                                      .worker_count = 2,
                                      .metrics = metrics_new(4, NULL)};
    assert_non_null(fixture->server.metrics);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    metrics_free(fixture->server.metrics);
    text_destroy(&fixture->out);
    free(fixture);
    return 0;
}

static void render(struct fixture *fixture)
{
    text_reset(&fixture->out);
    metrics_render(fixture->server.metrics, &fixture->server, &fixture->out);
    assert_false(fixture->out.failed);
}

static void expect_line(const struct fixture *fixture, const char *line)
{
    char whole[256];
    (void)snprintf(whole, sizeof whole, "\n%s\n", line);
    if (strstr(text_string(&fixture->out), whole) == NULL)
        fail_msg("no line: %s", line);
}

static void expect_absent(const struct fixture *fixture, const char *part)
{
    if (strstr(text_string(&fixture->out), part) != NULL)
        fail_msg("unexpected: %s", part);
}

static void a_stall_is_shown(void **state)
{
    struct fixture *fixture = *state;
    render(fixture);
    expect_line(fixture, "weir_engine_stalled{model=\"plain\"} 0");
    expect_line(fixture, "weir_workers_stalled 0");
    atomic_store(&fixture->models[0].stalled, true);
    render(fixture);
    expect_line(fixture, "weir_engine_stalled{model=\"plain\"} 1");
}

static void a_model_that_did_not_load_is_shown_until_it_does(void **state)
{
    struct fixture *fixture = *state;
    atomic_store(&fixture->models[3].load_failures, 2);
    render(fixture);
    expect_line(fixture, "weir_model_loaded{model=\"plain\"} 1");
    expect_line(fixture, "weir_model_loaded{model=\"late\"} 0");
    expect_line(fixture, "weir_model_load_failures_total{model=\"late\"} 2");
    expect_line(fixture, "weir_model_load_failures_total{model=\"plain\"} 0");
    expect_absent(fixture, "weir_model_loaded{model=\"barred\"}"); /* it never will be */
    expect_absent(fixture, "vllm:num_requests_running{model_name=\"late\"");
    expect_absent(fixture, "weir_license_verdict{model=\"late\"");
    fixture->models[3].policy = &fixture->licenses[0];
    atomic_store(&fixture->models[3].state, MODEL_SERVED);
    render(fixture);
    expect_line(fixture, "weir_model_loaded{model=\"late\"} 1");
    expect_line(fixture, "weir_model_load_failures_total{model=\"late\"} 2");
    expect_line(fixture, "weir_engine_stalled{model=\"late\"} 0");
}

static void the_cache_says_its_format_as_vllm_would(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = {
        [KV_F16] = "float16", [KV_BF16] = "bfloat16", [KV_FP8] = "fp8_per_token_head"};
    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        fixture->config.kv_format = (enum kv_format)i;
        render(fixture);
        char line[256];
        (void)snprintf(line, sizeof line,
                       "vllm:cache_config_info{model_name=\"plain\",engine=\"0\",block_size=\"16\","
                       "cache_dtype=\"%s\",enable_prefix_caching=\"False\",num_gpu_blocks=\"100\"} "
                       "1",
                       names[i]);
        expect_line(fixture, line);
    }
}

static void engine_figures_carry_vllm_names(void **state)
{
    struct fixture *fixture = *state;
    render(fixture);
    expect_line(fixture, "vllm:num_requests_running{model_name=\"plain\",engine=\"0\"} 3");
    expect_line(fixture, "vllm:num_requests_waiting{model_name=\"plain\",engine=\"0\"} 4");
    expect_line(fixture, "vllm:kv_cache_usage_perc{model_name=\"plain\",engine=\"0\"} 0.25");
    expect_line(fixture, "vllm:prompt_tokens_total{model_name=\"plain\",engine=\"0\"} 150");
    expect_line(fixture, "vllm:prompt_tokens_by_source_total{model_name=\"plain\",engine=\"0\","
                         "source=\"local_cache_hit\"} 30");
    expect_line(fixture,
                "vllm:iteration_tokens_total_bucket{model_name=\"plain\",engine=\"0\",le=\"8\"} 7");
    expect_line(
        fixture,
        "vllm:iteration_tokens_total_bucket{model_name=\"plain\",engine=\"0\",le=\"+Inf\"} 10");
    expect_line(fixture, "vllm:iteration_tokens_total_sum{model_name=\"plain\",engine=\"0\"} 170");
    expect_line(fixture, "vllm:num_requests_waiting_by_reason{model_name=\"plain\",engine=\"0\","
                         "reason=\"capacity\"} 4");
    expect_line(fixture, "vllm:engine_sleep_state{model_name=\"plain\",engine=\"0\","
                         "sleep_state=\"awake\"} 1");
    expect_line(fixture, "weir_monthly_active_users{model=\"plain\"} 42");
    expect_line(fixture, "weir_connections 11");
    expect_absent(fixture, "build_id=\"\"");
}

static void users_are_told_by_window_and_bound(void **state)
{
    struct fixture *fixture = *state;
    render(fixture);
#define MAU "weir_mau{model=\"plain\",window=\""
    expect_line(fixture, MAU "month\",bound=\"lower\"} 29.5");
    expect_line(fixture, MAU "month\",bound=\"best\"} 42");
    expect_line(fixture, MAU "month\",bound=\"upper\"} 48.25");
    expect_line(fixture, MAU "rolling_30\",bound=\"upper\"} 0");
    expect_line(fixture, MAU "day\",bound=\"best\"} 0");
    expect_line(fixture,
                "weir_monthly_active_users_by_class{model=\"plain\",class=\"asserted\"} 40");
    expect_line(fixture, "weir_monthly_anonymous_requests{model=\"plain\"} 7");
    expect_line(fixture, "weir_identity_coverage_ratio{model=\"plain\"} 0.8");
    expect_line(fixture, "weir_users_unsaved 3");
    expect_line(fixture, "weir_identity_suspect_keys{finding=\"shared\"} 1");
    expect_line(fixture, "weir_identity_suspect_keys{finding=\"sprayed\"} 2");
    expect_line(fixture, "weir_mau_stale_seconds 12");
    expect_line(fixture, "weir_enforcement_decisions_total{model=\"plain\",decision=\"passed\"} 7");
    expect_line(fixture, "weir_enforcement_decisions_total{model=\"plain\",decision=\"capped\"} 3");
    expect_line(fixture, "weir_cap_users{model=\"plain\",scope=\"model\"} 299");
    expect_line(fixture, "weir_cap_tickets{model=\"plain\",scope=\"model\"} 1");
    expect_line(fixture, "weir_cap_limit{model=\"plain\",scope=\"model\"} 300");
    expect_line(fixture, "weir_fleet_complete 0");
    expect_line(fixture, "weir_fleet_replicas 3");
    expect_line(fixture, "weir_fleet_replicas_current 2");
    expect_line(fixture, "weir_fleet_refused_total 5");
    expect_line(fixture, "weir_clock_offset_seconds -0.5");
}

static void a_line_is_told_by_what_is_left_and_by_its_dates(void **state)
{
    struct fixture *fixture = *state;
    render(fixture);
#define OF_LINE "{model=\"plain\",license=\"big-1\",condition=\"big-1/"
    expect_line(fixture, "weir_license_headroom_ratio" OF_LINE "name\"} 0.25");
    expect_line(fixture, "weir_license_headroom_ratio" OF_LINE "ask\"} -0.5");
    expect_line(fixture, "weir_license_crossing_days" OF_LINE "name\",bound=\"early\"} 12.5");
    expect_line(fixture, "weir_license_crossing_days" OF_LINE "name\",bound=\"central\"} 20");
    const char *text = text_string(&fixture->out);
    assert_null(strstr(text, "bound=\"late\"")); /* never is no number */
    assert_null(strstr(text, "weir_license_crossing_days" OF_LINE "ask"));
    expect_line(fixture, "weir_alert_messages{state=\"pending\"} 4");
    expect_line(fixture, "weir_alert_messages{state=\"dead\"} 1");
}

static void label_values_are_escaped(void **state)
{
    struct fixture *fixture = *state;
    render(fixture);
    expect_line(fixture, "weir_monthly_active_users{model=\"q\\\"uo\\\\te\\nline\"} 42");
}

static void value_on_a_bound_is_within_it(void **state)
{
    struct fixture *fixture = *state;
    metrics_first_token(fixture->server.metrics, 0, 1000);
    metrics_first_token(fixture->server.metrics, 0, 1001);
    metrics_first_token(fixture->server.metrics, 0, UINT64_C(1) << 50);
    render(fixture);
#define TTFT  "vllm:time_to_first_token_seconds"
#define PLAIN "{model_name=\"plain\",engine=\"0\""
    expect_line(fixture, TTFT "_bucket" PLAIN ",le=\"0.001\"} 1");
    expect_line(fixture, TTFT "_bucket" PLAIN ",le=\"0.005\"} 2");
    expect_line(fixture, TTFT "_bucket" PLAIN ",le=\"2560\"} 2");
    expect_line(fixture, TTFT "_bucket" PLAIN ",le=\"+Inf\"} 3");
    expect_line(fixture, TTFT "_count" PLAIN "} 3");
}

static void generation_fills_the_phases_it_reached(void **state)
{
    struct fixture *fixture = *state;
    const struct generation_record whole = {
        .prompt_tokens = 100,
        .cached_tokens = 30,
        .output_tokens = 11,
        .max_tokens = 64,
        .choices = 1,
        .finish = FINISH_STOP,
        .times = {1000000, 1500000, 2000000, 3000000},
    };
    const struct generation_record aborted_in_queue = {
        .prompt_tokens = 100,
        .max_tokens = 64,
        .choices = 1,
        .finish = FINISH_ABORT,
        .times = {.submitted_us = 1000000, .finished_us = 2000000},
    };
    metrics_generation(fixture->server.metrics, 0, &whole);
    metrics_generation(fixture->server.metrics, 0, &aborted_in_queue);
    render(fixture);
    expect_line(fixture, "vllm:e2e_request_latency_seconds_sum" PLAIN "} 3");
    expect_line(fixture, "vllm:request_queue_time_seconds_sum" PLAIN "} 0.5");
    expect_line(fixture, "vllm:request_queue_time_seconds_count" PLAIN "} 1");
    expect_line(fixture, "vllm:request_decode_time_seconds_sum" PLAIN "} 1");
    expect_line(fixture, "vllm:request_time_per_output_token_seconds_sum" PLAIN "} 0.1");
    expect_line(fixture, "vllm:request_prompt_tokens_count" PLAIN "} 2");
    expect_line(fixture, "vllm:request_prefill_kv_computed_tokens_sum" PLAIN "} 170");
    expect_line(fixture, "vllm:request_success_total" PLAIN ",finished_reason=\"stop\"} 1");
    expect_line(fixture, "vllm:request_success_total" PLAIN ",finished_reason=\"abort\"} 1");
    expect_line(fixture, "vllm:request_success_total" PLAIN ",finished_reason=\"length\"} 0");
}

static void token_buckets_end_at_the_context(void **state)
{
    struct fixture *fixture = *state;
    render(fixture);
    expect_line(fixture, "vllm:request_prompt_tokens_bucket" PLAIN ",le=\"2000\"} 0");
    expect_absent(fixture, "vllm:request_prompt_tokens_bucket" PLAIN ",le=\"5000\"}");
}

static void strange_methods_and_statuses_share_a_label(void **state)
{
    struct fixture *fixture = *state;
    struct metrics *metrics = fixture->server.metrics;
    metrics_http(metrics, ROUTE_CHAT, "POST", 200, 1500);
    metrics_http(metrics, ROUTE_CHAT, "POST", 200, 1500);
    metrics_http(metrics, ROUTE_OTHER, "BREW\"{}", 418, 10);
    metrics_http(metrics, ROUTE_CHAT, "POST", 499, 10);
    render(fixture);
    expect_line(fixture, "weir_http_requests_total{route=\"/v1/chat/completions\",method=\"POST\","
                         "status=\"200\"} 2");
    expect_line(fixture, "weir_http_requests_total{route=\"/v1/chat/completions\",method=\"POST\","
                         "status=\"499\"} 1");
    expect_line(fixture,
                "weir_http_requests_total{route=\"other\",method=\"OTHER\",status=\"other\"} 1");
    expect_absent(fixture, "BREW");
}

static void tenants_are_summed_over_workers(void **state)
{
    struct fixture *fixture = *state;
    render(fixture);
#define TOKENS_OF(tenant) "{tenant=\"" tenant "\",model=\"plain\"} "
    expect_line(fixture, "weir_tenant_prompt_tokens_total" TOKENS_OF("a") "10");
    expect_line(fixture, "weir_tenant_cached_tokens_total" TOKENS_OF("a") "4");
    expect_line(fixture, "weir_tenant_generation_tokens_total" TOKENS_OF("a") "5");
    expect_line(fixture, "weir_tenant_prompt_tokens_total" TOKENS_OF("b") "120");
    expect_line(fixture, "weir_tenant_generation_tokens_total" TOKENS_OF("b") "56");
    expect_line(fixture, "weir_tenant_prompt_tokens_total{tenant=\"b\","
                         "model=\"q\\\"uo\\\\te\\nline\"} 7");
    expect_line(fixture, "weir_tenant_prompt_tokens_total" TOKENS_OF("") "3");
    expect_line(fixture, "weir_tenant_prompt_tokens_total" TOKENS_OF("other") "3");
    expect_absent(fixture, "tenant=\"b\",model=\"barred\"");
    expect_absent(fixture, TOKENS_REST);
}

static void tenants_past_the_limit_share_a_label_and_keep_it(void **state)
{
    struct fixture *fixture = *state;
    struct metrics *metrics = fixture->server.metrics;
    char name[32];
    for (uint32_t i = 0; i < 2 * TENANT_NAMES_MAX; i++) {
        (void)snprintf(name, sizeof name, "t%u", i);
        metrics_tenant(metrics, name, 200);
    }
    metrics_tenant(metrics, "t0", 404);
    metrics_tenant(metrics, "t0", 499);
    metrics_tenant(metrics, "t0", 503);
    metrics_tenant(metrics, "t0", 700);
    render(fixture);
    expect_line(fixture, "weir_tenant_requests_total{tenant=\"t0\",class=\"2xx\"} 1");
    expect_line(fixture, "weir_tenant_requests_total{tenant=\"t0\",class=\"4xx\"} 2");
    expect_line(fixture, "weir_tenant_requests_total{tenant=\"t0\",class=\"5xx\"} 1");
    (void)snprintf(name, sizeof name, "\"t%u\"", TENANT_NAMES_MAX - 2);
    assert_non_null(strstr(text_string(&fixture->out), name));
    (void)snprintf(name, sizeof name, "\"t%u\"", TENANT_NAMES_MAX - 1);
    expect_absent(fixture, name);
    expect_line(fixture, "weir_tenant_requests_total{tenant=\"other\",class=\"2xx\"} 257");
    /* tokens of a tenant that comes too late are the rest's, too */
    expect_line(fixture, "weir_tenant_prompt_tokens_total" TOKENS_OF("other") "136");
}

static void licences_are_told_of_refused_models_too(void **state)
{
    struct fixture *fixture = *state;
    render(fixture);
    expect_line(fixture, "weir_license_verdict{model=\"plain\",license=\"big-1\","
                         "verdict=\"review\"} 1");
    expect_line(fixture, "weir_license_verdict{model=\"barred\",license=\"big-1\","
                         "verdict=\"breach\"} 1");
    expect_line(fixture, "weir_license_condition{model=\"q\\\"uo\\\\te\\nline\",license=\"\","
                         "condition=\"recognition/text-unknown\",verdict=\"review\"} 1");
#define NAME "{model=\"plain\",license=\"big-1\",condition=\"big-1/name\","
    expect_line(fixture, "weir_license_condition" NAME "verdict=\"review\"} 1");
    expect_line(fixture, "weir_license_threshold" NAME
                         "metric=\"mau\",window=\"month\",currency=\"\"} 100000000");
    expect_line(fixture, "weir_license_threshold" NAME
                         "metric=\"revenue\",window=\"month\",currency=\"USD\"} 20000000");
    expect_line(fixture, "weir_license_threshold" NAME
                         "metric=\"revenue\",window=\"month\",currency=\"CNY\"} 20000000");
    expect_absent(fixture, "20000001"); /* the same series a second time */
    expect_absent(fixture, "vllm:num_requests_running{model_name=\"barred\"");
}

/* Prometheus wants each family once, its HELP and TYPE before its samples. */
static void every_sample_follows_its_own_type(void **state)
{
    struct fixture *fixture = *state;
    render(fixture);
    char family[128] = "";
    char *rest = fixture->out.bytes;
    for (char *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0';) {
        if (strncmp(line, "# TYPE ", 7) == 0) {
            (void)snprintf(family, sizeof family, "%.*s", (int)strcspn(line + 7, " "), line + 7);
            char help[160];
            (void)snprintf(help, sizeof help, "# HELP %s ", family);
            assert_null(strstr(rest, help)); /* not a second time */
        } else if (line[0] != '#') {
            assert_int_equal(strncmp(line, family, strlen(family)), 0);
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_stall_is_shown, setup, teardown),
        cmocka_unit_test_setup_teardown(engine_figures_carry_vllm_names, setup, teardown),
        cmocka_unit_test_setup_teardown(the_cache_says_its_format_as_vllm_would, setup, teardown),
        cmocka_unit_test_setup_teardown(users_are_told_by_window_and_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(a_line_is_told_by_what_is_left_and_by_its_dates, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(label_values_are_escaped, setup, teardown),
        cmocka_unit_test_setup_teardown(value_on_a_bound_is_within_it, setup, teardown),
        cmocka_unit_test_setup_teardown(generation_fills_the_phases_it_reached, setup, teardown),
        cmocka_unit_test_setup_teardown(token_buckets_end_at_the_context, setup, teardown),
        cmocka_unit_test_setup_teardown(strange_methods_and_statuses_share_a_label, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(tenants_are_summed_over_workers, setup, teardown),
        cmocka_unit_test_setup_teardown(tenants_past_the_limit_share_a_label_and_keep_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(licences_are_told_of_refused_models_too, setup, teardown),
        cmocka_unit_test_setup_teardown(a_model_that_did_not_load_is_shown_until_it_does, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(every_sample_follows_its_own_type, setup, teardown),
    };
    if (argc == 2 && strcmp(argv[1], "--print") == 0) { /* for promtool check metrics */
        void *state;
        setup(&state);
        render(state);
        (void)fputs(text_string(&((struct fixture *)state)->out), stdout);
        teardown(&state);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
