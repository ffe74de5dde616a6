/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "daemon/api/tenant_limits.h"
#include "policy/policy_enforce.h"
#include "policy/policy_tokens.h"
#include "tests/unit/api/doubles.h"

uint64_t clock_monotonic_us(void)
{
    return DOUBLE_NOW_US;
}

int64_t clock_unix_us(void)
{
    return 1700000000000000;
}

static void keep(char to[64], const char *from)
{
    (void)snprintf(to, 64, "%s", from == NULL ? "" : from);
}

void policy_admit(struct policy *policy, struct policy_model *model,
                  const struct policy_claims *claims, int64_t now_unix_us,
                  struct policy_decision *ret)
{
    (void)model;
    (void)now_unix_us;
    policy->admissions++;
    keep(policy->user, claims->user);
    keep(policy->header, claims->headers[0]);
    keep(policy->tenant, claims->tenant);
    keep(policy->address, claims->address);
    *ret = (struct policy_decision){.verdict = policy->verdict,
                                    .attribution =
                                        policy->attribution == NULL ? "" : policy->attribution,
                                    .refusal = {.license = "tiny-1",
                                                .condition = "tiny-1/users",
                                                .clause = "clause 2",
                                                .users = 700,
                                                .capped = policy->capped,
                                                .since_unix = 1795000000,
                                                .until_unix = policy->capped ? 1796083200 : 0},
                                    .reason = "by clause 2",
                                    .sequence = policy->sequence};
}

const char *policy_attribution(const struct policy_model *model)
{
    (void)model;
    return "";
}

bool policy_durable(const struct policy *policy, uint64_t sequence)
{
    return sequence <= policy->durable;
}

void policy_tokens_add(struct policy *policy, const struct policy_model *model,
                       const struct policy_tokens_use *use)
{
    (void)model;
    assert_string_equal(use->tenant, policy->tenant);
    policy->tokens.requests += use->counts.requests;
    policy->tokens.prompt += use->counts.prompt;
    policy->tokens.generated += use->counts.generated;
}

const struct assessment *policy_model_assessment(const struct policy_model *model)
{
    return &model->assessment;
}

void metrics_first_token(struct metrics *metrics, uint32_t model, uint64_t ttft_us)
{
    (void)model;
    (void)ttft_us;
    metrics->first_tokens++;
}

void metrics_next_token(struct metrics *metrics, uint32_t model, uint64_t gap_us)
{
    (void)model;
    (void)gap_us;
    metrics->next_tokens++;
}

void metrics_generation(struct metrics *metrics, uint32_t model,
                        const struct generation_record *record)
{
    assert_int_equal(model, 0);
    metrics->generations++;
    metrics->record = *record;
}

void metrics_tenant(struct metrics *metrics, const char *tenant, uint32_t status)
{
    (void)tenant;
    (void)status;
    metrics->tenant_answers++;
}

void metrics_http(struct metrics *metrics, enum http_route route, const char *method,
                  uint32_t status, uint64_t duration_us)
{
    (void)method;
    (void)duration_us;
    metrics->answers++;
    metrics->route = route;
    metrics->status = status;
}

void metrics_limited(struct metrics *metrics, enum limited limited)
{
    metrics->limited[limited]++;
}

void metrics_key_refused(struct metrics *metrics, uint32_t outcome)
{
    metrics->keys_refused[outcome]++;
}

void metrics_render(struct metrics *metrics, const struct server *server, struct text *out)
{
    (void)metrics;
    (void)server;
    text_append_string(out, "weir_up 1\n");
}

static void license_init(struct policy_model *license, const char *model, const char *id,
                         enum verdict verdict)
{
    license->recognition = (struct recognition){
        .model = model,
        .licenses = {{.declared = id, .by = BY_OPERATOR, .evidence = "a test", .base = ""}},
        .license_count = 1,
        .link = "",
    };
    license->source = (struct license_condition){.kind = CONDITION_ATTRIBUTION};
    license->condition = (struct assessed_condition){
        .id = "x/show",
        .kind = "attribution",
        .license = id,
        .condition = &license->source,
        .clause = "2",
        .summary = "Show it.",
        .verdict = verdict,
        .literal = verdict,
        .conservative = verdict,
        .reason = "It is so.",
        .remedy = "",
        .text = "Made of X",
        .acknowledged = "",
    };
    license->assessment = (struct assessment){
        .recognition = &license->recognition,
        .model = model,
        .license = id,
        .verdict = verdict,
        .literal = verdict,
        .conservative = verdict,
        .conditions = &license->condition,
        .condition_count = 1,
        .osaid_reason = "",
        .ai_act_basis = "",
        .ai_act_reason = "",
        .at_unix = 7,
    };
}

void world_init(struct world *world, bool with_keys)
{
    static const struct config_api_key keys[2] = {{(char *)"sk-one", (char *)"a"},
                                                  {(char *)"sk-two", (char *)"b"}};
    memset(world, 0, sizeof *world);
    memcpy(world->keys, keys, sizeof keys);
    world->config.user_header = (char *)"X-User-Id";
    world->config.stall_timeout_ms = 1000;
    world->config.json_depth_max = 64;
    world->config.output_bytes_max = 1 << 20;
    world->config.api_keys = world->keys;
    world->config.api_key_count = with_keys ? 2 : 0;
    world->engine.context = 64;
    world->engine.submit_limit = DOUBLE_SUBMISSIONS_MAX;
    world->models[0] =
        (struct served_model){.id = "tiny",
                              .engine = &world->engine,
                              .model = (struct model *)(void *)world,
                              .created_unix = 7,
                              .policy = &world->licenses[0],
                              .license_link = (char *)"</v1/models/tiny/license>; rel=\"license\"",
                              .state = MODEL_SERVED};
    license_init(&world->licenses[0], "tiny", "free-1", VERDICT_OBLIGATION);
    license_init(&world->licenses[1], "org/barred", "bar-1", VERDICT_BREACH);
    world->models[1] = (struct served_model){
        .id = "org/barred", .policy = &world->licenses[1], .state = MODEL_REFUSED};
    world->models[2] = (struct served_model){.id = "late"};
    world->server.config = &world->config;
    world->server.policy = &world->policy;
    world->server.metrics = &world->metrics;
    world->server.tenant_limits = tenant_limits_new(NULL);
    assert_non_null(world->server.tenant_limits);
    world->server.models = world->models;
    world->server.model_count = 2;
    world->server.ready = true;
    world->config.references = 1;
    shelf_init(&world->server.live);
    world_renew(world);
    exchange_double_init(&world->exchange, "", "");
}

void world_renew(struct world *world)
{
    struct live *live = live_new(&world->config, NULL);
    assert_non_null(live);
    shelf_put(&world->server.live, live);
    api_free(world->api);
    world->api = api_new(&world->server, 0, NULL);
    assert_non_null(world->api);
}

void world_destroy(struct world *world)
{
    assert_int_equal(api_open_generations(world->api), 0);
    for (uint32_t i = 0; i < world->engine.submission_count; i++)
        assert_false(world->engine.submissions[i].open);
    api_free(world->api);
    shelf_destroy(&world->server.live);
    tenant_limits_free(world->server.tenant_limits);
    assert_int_equal(world->config.references, 1);
    exchange_double_destroy(&world->exchange);
}

void world_post(struct world *world, const char *path, const char *json)
{
    exchange_double_destroy(&world->exchange);
    exchange_double_init(&world->exchange, "POST", path);
    exchange_double_header(&world->exchange, "content-type", "application/json");
    exchange_double_ask(world->api, &world->exchange, json);
}

void world_get(struct world *world, const char *path)
{
    exchange_double_destroy(&world->exchange);
    exchange_double_init(&world->exchange, "GET", path);
    exchange_double_ask(world->api, &world->exchange, "");
}

/* "chatcmpl-0123..." becomes "chatcmpl-*": all else in an answer is exact. */
static void mask_ids(const char *from, struct text *to)
{
    while (*from != '\0') {
        text_append_char(to, *from);
        bool id = strncmp(from, "cmpl-", 5) == 0;
        from++;
        if (!id)
            continue;
        text_append_string(to, "mpl-*");
        from += 4;
        while (isxdigit((unsigned char)*from))
            from++;
    }
}

void world_expect_body(struct world *world, const char *expected)
{
    struct text masked;
    text_init(&masked);
    mask_ids(text_string(&world->exchange.bytes), &masked);
    assert_string_equal(text_string(&masked), expected);
    text_destroy(&masked);
}
