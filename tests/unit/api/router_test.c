/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "daemon/api/call.h"
#include "tests/unit/api/doubles.h"

static struct world *setup(bool with_keys)
{
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    world_init(world, with_keys);
    return world;
}

static enum auth_outcome ask_for(const struct auth *auth, const char *header,
                                 struct auth_identity *ret)
{
    const struct auth_question question = {
        .authorization = header, .scope = SCOPE_INFERENCE, .now_unix = 1};
    return auth_check(auth, NULL, &question, ret);
}

static void teardown(struct world *world)
{
    world_destroy(world);
    free(world);
}

static bool contains(const struct text *text, const char *part)
{
    return strstr(text_string(text), part) != NULL;
}

/* Only the head arrives: what it says is all there is to decide by. */
static void ask_head(struct world *world, const char *method, const char *path, const char *name,
                     const char *value)
{
    exchange_double_destroy(&world->exchange);
    exchange_double_init(&world->exchange, method, path);
    if (name != NULL)
        exchange_double_header(&world->exchange, name, value);
    const struct exchange_handler *handler = api_handler(world->api);
    handler->on_headers(handler->application, &world->exchange);
}

static void an_unknown_path_is_404_and_a_wrong_method_405_with_allow(void **state)
{
    (void)state;
    struct world *world = setup(false);
    ask_head(world, "GET", "/v1/nothing", NULL, NULL);
    world_expect_body(world, "{\"error\":{\"message\":\"no such path: /v1/nothing\",\"type\":"
                             "\"invalid_request_error\",\"param\":null,\"code\":\"not_found\"}}");
    assert_int_equal(world->exchange.status, 404);
    assert_int_equal(world->metrics.route, ROUTE_OTHER);
    ask_head(world, "GET", "/v1/chat/completions", NULL, NULL);
    assert_int_equal(world->exchange.status, 405);
    assert_true(contains(&world->exchange.headers, "allow: POST\n"));
    ask_head(world, "BREW", "/health", NULL, NULL);
    assert_int_equal(world->exchange.status, 405);
    assert_true(contains(&world->exchange.headers, "allow: GET, HEAD\n"));
    ask_head(world, "HEAD", "/health", NULL, NULL);
    assert_int_equal(world->exchange.status, 200);
    ask_head(world, "GET", "/v1/modelsx", NULL, NULL);
    assert_int_equal(world->exchange.status, 404);
    teardown(world);
}

static void a_post_that_is_not_json_is_415_before_its_body(void **state)
{
    (void)state;
    struct world *world = setup(false);
    ask_head(world, "POST", "/tokenize", NULL, NULL);
    assert_int_equal(world->exchange.status, 415);
    ask_head(world, "POST", "/tokenize", "content-type", "application/jsonx");
    assert_int_equal(world->exchange.status, 415);
    ask_head(world, "POST", "/tokenize", "content-type", "Application/JSON ; charset=utf-8");
    assert_int_equal(world->exchange.status, 0);
    teardown(world);
}

static void keys_are_asked_for_but_on_the_open_routes(void **state)
{
    (void)state;
    static const char *const open[] = {"/health", "/ready", "/metrics", "/version"};
    struct world *world = setup(true);
    for (size_t i = 0; i < 4; i++) {
        ask_head(world, "GET", open[i], NULL, NULL);
        assert_int_equal(world->exchange.status, 200);
    }
    static const char *const wrong[] = {"Bearer ", "Bearer sk-on", "Bearer sk-onex",
                                        "sk-one",  "Basic sk-one", "Bearer sk-one "};
    for (size_t i = 0; i < 6; i++) {
        ask_head(world, "GET", "/v1/models", "authorization", wrong[i]);
        assert_int_equal(world->exchange.status, 401);
        assert_true(contains(&world->exchange.headers, "www-authenticate: Bearer\n"));
        assert_true(contains(&world->exchange.bytes, "\"code\":\"invalid_api_key\""));
    }
    ask_head(world, "POST", "/v1/chat/completions", "content-type", "application/json");
    assert_int_equal(world->exchange.status, 401);
    ask_head(world, "GET", "/v1/models", "authorization", "bearer  sk-two");
    assert_int_equal(world->exchange.status, 200);
    teardown(world);
}

static void tenants_do_not_share_salts(void **state)
{
    (void)state;
    struct world *world = setup(true);
    struct auth *auth = auth_new(&world->config, NULL);
    struct auth_identity one, two;
    assert_int_equal(ask_for(auth, "Bearer sk-one", &one), AUTH_GRANTED);
    assert_int_equal(ask_for(auth, "Bearer sk-two", &two), AUTH_GRANTED);
    assert_true(one.tenant_id != two.tenant_id);
    assert_true(auth_cache_salt(&one, NULL) == one.tenant_id);
    assert_true(auth_cache_salt(&one, "x") != auth_cache_salt(&two, "x"));
    assert_true(auth_cache_salt(&one, "x") == auth_cache_salt(&one, "x"));
    assert_true(auth_cache_salt(&one, "x") != auth_cache_salt(&one, "y"));
    auth_free(auth);
    teardown(world);
}

static void a_full_queue_answers_before_the_body(void **state)
{
    (void)state;
    static const char *const paths[] = {"/v1/chat/completions", "/v1/completions"};
    struct world *world = setup(false);
    world->engine.admission = ERROR_BUSY;
    world->engine.retry_after_s = 17;
    for (size_t i = 0; i < 2; i++) {
        ask_head(world, "POST", paths[i], "content-type", "application/json");
        assert_int_equal(world->exchange.status, 429);
        assert_true(contains(&world->exchange.headers, "retry-after: 17\n"));
    }
    ask_head(world, "POST", "/tokenize", "content-type", "application/json");
    assert_int_equal(world->exchange.status, 0);
    teardown(world);
}

static void a_draining_server_serves_what_still_comes_and_is_not_ready(void **state)
{
    (void)state;
    struct world *world = setup(false);
    world->server.draining = true;
    ask_head(world, "POST", "/v1/completions", "content-type", "application/json");
    assert_int_equal(world->exchange.status, 0); /* it was on its way when we began to drain */
    ask_head(world, "GET", "/ready", NULL, NULL);
    assert_int_equal(world->exchange.status, 503);
    ask_head(world, "GET", "/health", NULL, NULL);
    assert_int_equal(world->exchange.status, 200);
    world->server.draining = false;
    world->server.ready = false;
    ask_head(world, "GET", "/ready", NULL, NULL);
    assert_int_equal(world->exchange.status, 503);
    teardown(world);
}

static void health_is_an_engine_that_makes_progress(void **state)
{
    (void)state;
    struct world *world = setup(false);
    world->engine.stats.busy = true;
    world->engine.stats.last_progress_us = DOUBLE_NOW_US - 1000000;
    world_get(world, "/health");
    assert_int_equal(world->exchange.status, 200);
    world_expect_body(world, "{}");
    world->engine.stats.last_progress_us--;
    world_get(world, "/health");
    assert_int_equal(world->exchange.status, 503);
    assert_true(contains(&world->exchange.bytes, "engine_stalled"));
    world->engine.stats.busy = false;
    world_get(world, "/health");
    assert_int_equal(world->exchange.status, 200);
    teardown(world);
}

/* It is logged, so what may name a person is not taken: mail, a telephone number, a short one. */
static void a_request_id_that_can_be_no_person_comes_back_and_no_other(void **state)
{
    (void)state;
    struct world *world = setup(false);
    const char *const good[] = {"0af7651916cd43dd8448eb211c80319c",
                                "0AF76519-16cd-43dd-8448-eb211c80319c",
                                "req_0af7651916cd43dd8448eb211c80319c"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ask_head(world, "GET", "/health", "x-request-id", good[i]);
        const char *line = strstr(text_string(&world->exchange.headers), "x-request-id: ");
        assert_non_null(line);
        assert_memory_equal(line + 14, good[i], strlen(good[i]));
        assert_int_equal(line[14 + strlen(good[i])], '\n');
    }
    char longest[REQUEST_ID_BYTES_MAX + 2];
    memset(longest, 'a', sizeof longest);
    longest[REQUEST_ID_BYTES_MAX + 1] = '\0';
    const char *const bad[] = {"",
                               "a b",
                               "a\xc3\xa9",
                               "a\x7f",
                               longest,
                               "ada@example.com",
                               "0049-170-1234567",
                               "175928847299117063",
                               "0af7651916cd43dd8448eb211c80319",
                               "req_",
                               "--------------------------------",
                               "req_req_0af7651916cd43dd8448eb211c80319c",
                               "0af7651916cd43dd8448eb211c80319c/ada"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ask_head(world, "GET", "/health", "x-request-id", bad[i]);
        const char *line = strstr(text_string(&world->exchange.headers), "x-request-id: req_");
        assert_non_null(line);
        assert_int_equal(strspn(line + 18, "0123456789abcdef"), 32);
    }
    teardown(world);
}

#define LINK "link: </v1/models/tiny/license>; rel=\"license\"\n"

static void a_model_says_its_licence(void **state)
{
    (void)state;
#define MODEL                                                                                      \
    "{\"id\":\"tiny\",\"object\":\"model\",\"created\":7,\"owned_by\":\"weir\",\"root\":\"tiny\"," \
    "\"parent\":null,\"max_model_len\":64,\"license\":{\"id\":\"free-1\",\"name\":\"free-1\","     \
    "\"link\":null,\"recognised_by\":\"operator\",\"verdict\":\"obligation\",\"obligations\":["    \
    "\"Made of X\"]}}"
    struct world *world = setup(false);
    world_get(world, "/v1/models");
    world_expect_body(world, "{\"object\":\"list\",\"data\":[" MODEL "]}");
    world_get(world, "/v1/models/%74in%79");
    world_expect_body(world, MODEL);
    assert_true(contains(&world->exchange.headers, LINK));
    teardown(world);
}

static void unknown_models_are_404(void **state)
{
    (void)state;
    struct world *world = setup(false);
    static const char *const unknown[] = {
        "/v1/models/",         "/v1/models/big",           "/v1/models/tiny%00",
        "/v1/models/tiny%",    "/v1/models/tiny%2",        "/v1/models/big/license",
        "/v1/models//license", "/v1/models/tiny/licenses", "/v1/models/tiny/license/license"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        world_get(world, unknown[i]);
        assert_int_equal(world->exchange.status, 404);
        assert_true(contains(&world->exchange.bytes, "model_not_found"));
    }
    world_post(world, "/v1/completions", "{\"model\":\"big\",\"prompt\":\"x\"}");
    assert_int_equal(world->exchange.status, 404);
    assert_true(contains(&world->exchange.bytes, "lists those that are"));
    teardown(world);
}

static void a_licence_is_told_in_full_on_a_path_of_its_own(void **state)
{
    (void)state;
    struct world *world = setup(false);
    static const char *const paths[] = {
        "/v1/models/tiny/license", "/v1/models/t%69ny/license", "/v1/models/tiny%2Flicense",
        "/v1/models/org/barred/license", "/v1/models/org%2fbarred/license"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        world_get(world, paths[i]);
        assert_int_equal(world->exchange.status, 200);
        assert_true(contains(&world->exchange.headers, "content-type: application/json\n"));
        assert_true(contains(&world->exchange.bytes, "{\"id\":\"x/show\","));
        assert_true(contains(&world->exchange.bytes,
                             i < 3 ? "{\"model\":\"tiny\"," : "{\"model\":\"org/barred\","));
    }
    teardown(world);
}

static void a_refused_model_is_404_and_says_why(void **state)
{
    (void)state;
    struct world *world = setup(false);
    world_get(world, "/v1/models/org%2Fbarred");
    assert_int_equal(world->exchange.status, 404);
    assert_true(contains(&world->exchange.bytes, "refused by its licence (bar-1)"));
    world_post(world, "/v1/completions", "{\"model\":\"org/barred\",\"prompt\":\"x\"}");
    assert_int_equal(world->exchange.status, 404);
    assert_true(contains(&world->exchange.bytes, "\"code\":\"model_not_found\""));
    assert_true(contains(&world->exchange.bytes, "/v1/models/{id}/license"));
    teardown(world);
}

static void expect_not_loaded(struct world *world, const char *retry_after)
{
    assert_int_equal(world->exchange.status, 503);
    assert_true(contains(&world->exchange.bytes, "\"code\":\"model_not_loaded\""));
    assert_true(contains(&world->exchange.bytes, "'late'"));
    assert_true(contains(&world->exchange.headers, retry_after));
}

static void a_model_that_did_not_load_is_503_until_it_does(void **state)
{
    (void)state;
    struct world *world = setup(false);
    world->server.model_count = 3;
    world_post(world, "/v1/completions", "{\"model\":\"late\",\"prompt\":\"x\"}");
    expect_not_loaded(world, "retry-after: 5\n");
    atomic_store(&world->models[2].next_load_us, clock_monotonic_us() + 99500000);
    world_get(world, "/v1/models/late");
    expect_not_loaded(world, "retry-after: 100\n");
    world_get(world, "/v1/models/late/license");
    expect_not_loaded(world, "retry-after: 100\n");
    world_get(world, "/v1/models");
    assert_false(contains(&world->exchange.bytes, "late"));
    world_get(world, "/health");
    assert_int_equal(world->exchange.status, 200);
    world_get(world, "/ready");
    assert_int_equal(world->exchange.status, 200); /* others are there */
    world_post(world, "/v1/completions", "{\"prompt\":\"x\"}");
    assert_int_equal(world->exchange.status, 400); /* which of the two? */
    world->models[2].policy = &world->licenses[0];
    world->models[2].engine = &world->engine;
    world->models[2].license_link = world->models[0].license_link;
    atomic_store(&world->models[2].state, MODEL_SERVED);
    world_get(world, "/v1/models/late");
    assert_int_equal(world->exchange.status, 200);
    teardown(world);
}

static void without_any_model_nobody_is_sent_here(void **state)
{
    (void)state;
    struct world *world = setup(false);
    world->server.models = &world->models[1];
    world->server.model_count = 2;
    atomic_store(&world->models[2].next_load_us, clock_monotonic_us() + 99500000);
    world_get(world, "/ready");
    assert_int_equal(world->exchange.status, 503);
    assert_true(contains(&world->exchange.bytes, "\"code\":\"not_ready\""));
    assert_true(contains(&world->exchange.headers, "retry-after: 100\n"));
    world_get(world, "/health");
    assert_int_equal(world->exchange.status, 200);
    world_post(world, "/v1/completions", "{\"prompt\":\"x\"}"); /* of the only one left */
    expect_not_loaded(world, "retry-after: 100\n");
    teardown(world);
}

static void tokens_and_text_go_both_ways(void **state)
{
    (void)state;
    struct world *world = setup(false);
    world_post(world, "/tokenize", "{\"prompt\":\"hi\",\"return_token_strs\":true}");
    world_expect_body(world, "{\"count\":3,\"max_model_len\":64,\"tokens\":[256,104,105],"
                             "\"token_strs\":[\"<s>\",\"h\",\"i\"]}");
    world_post(world, "/tokenize",
               "{\"messages\":[{\"role\":\"user\",\"content\":\"\"}],\"tools\":[{}],"
               "\"add_special_tokens\":false}");
    assert_true(contains(&world->exchange.bytes, "\"count\":8,")); /* "user:\nT>" */
    world_post(world, "/tokenize", "{\"messages\":[{\"role\":\"user\",\"content\":\"raise\"}]}");
    assert_int_equal(world->exchange.status, 400);
    assert_true(contains(&world->exchange.bytes, "the template does not like it"));
    world_post(world, "/detokenize", "{\"tokens\":[257,104,195,169]}");
    world_expect_body(world, "{\"prompt\":\"</s>h\xc3\xa9\"}");
    world_post(world, "/detokenize", "{\"tokens\":[1000]}");
    assert_int_equal(world->exchange.status, 400);
    teardown(world);
}

static void metrics_and_version_are_plain(void **state)
{
    (void)state;
    struct world *world = setup(false);
    world_get(world, "/metrics");
    assert_true(contains(&world->exchange.headers,
                         "content-type: text/plain; version=0.0.4; charset=utf-8\n"));
    world_expect_body(world, "weir_up 1\n");
    world_get(world, "/version");
    world_expect_body(world, "{\"version\":\"" WEIR_VERSION "\"}");
    teardown(world);
}

static void ask_at(struct world *world, unsigned door, const char *path)
{
    exchange_double_destroy(&world->exchange);
    exchange_double_init(&world->exchange, "GET", path);
    world->exchange.door = door;
    const struct exchange_handler *handler = api_handler(world->api);
    handler->on_headers(handler->application, &world->exchange);
}

static void each_door_has_its_routes(void **state)
{
    static const struct {
        const char *path;
        uint32_t at_public, at_admin;
    } cases[] = {
        {"/v1/models", 200, 404},      {"/v1/chat/completions", 405, 404},
        {"/tokenize", 405, 404},       {"/metrics", 404, 200},
        {"/health", 200, 200},         {"/ready", 200, 200},
        {"/version", 200, 200},        {"/nothing", 404, 404},
        {"/admin/v1/usage", 404, 404}, /* there is no admin key */
    };
    (void)state;
    struct world *world = setup(false);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ask_at(world, EXCHANGE_DOOR_PUBLIC, cases[i].path);
        assert_int_equal(world->exchange.status, cases[i].at_public);
        ask_at(world, EXCHANGE_DOOR_ADMIN, cases[i].path);
        assert_int_equal(world->exchange.status, cases[i].at_admin);
    }
    teardown(world);
}

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN  "00f067aa0ba902b7"

/* The answer's traceparent, or "". */
static void traceparent_of(struct world *world, char ret[TRACE_PARENT_BYTES + 1])
{
    static const char name[] = "traceparent: ";
    const char *line = strstr(text_string(&world->exchange.headers), name);
    ret[0] = '\0';
    if (line == NULL)
        return;
    memcpy(ret, line + sizeof name - 1, TRACE_PARENT_BYTES);
    ret[TRACE_PARENT_BYTES] = '\0';
    assert_int_equal(line[sizeof name - 1 + TRACE_PARENT_BYTES], '\n');
}

static void a_trace_goes_on_under_a_span_of_ours(void **state)
{
    (void)state;
    struct world *world = setup(false);
    char value[TRACE_PARENT_BYTES + 1];
    struct trace_parent ours;
    ask_head(world, "GET", "/v1/models", "traceparent", "00-" TRACE "-" SPAN "-01");
    traceparent_of(world, value);
    assert_true(trace_parent_read(value, &ours));
    assert_string_equal(ours.trace_id, TRACE);
    assert_string_not_equal(ours.span_id, SPAN);
    assert_true(ours.sampled);
    ask_head(world, "GET", "/health", "traceparent", "00-" TRACE "-" SPAN "-00"); /* probes too */
    traceparent_of(world, value);
    assert_true(trace_parent_read(value, &ours));
    assert_string_equal(ours.trace_id, TRACE);
    assert_false(ours.sampled);
    teardown(world);
}

static void a_trace_begins_where_none_or_none_that_is_sound_comes(void **state)
{
    (void)state;
    struct world *world = setup(false);
    char value[TRACE_PARENT_BYTES + 1], before[TRACE_ID_DIGITS + 1] = "";
    static const char *const values[] = {NULL, "ff-" TRACE "-" SPAN "-01", "00-" TRACE "-x-01"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct trace_parent ours;
        if (values[i] == NULL)
            world_get(world, "/v1/models");
        else
            ask_head(world, "GET", "/v1/models", "traceparent", values[i]);
        traceparent_of(world, value);
        assert_true(trace_parent_read(value, &ours));
        assert_string_not_equal(ours.trace_id, TRACE);
        assert_string_not_equal(ours.trace_id, before);
        memcpy(before, ours.trace_id, sizeof before);
    }
    world_get(world, "/health");
    traceparent_of(world, value);
    assert_string_equal(value, "");
    teardown(world);
}

static void two_traceparents_are_none(void **state)
{
    (void)state;
    struct world *world = setup(false);
    char value[TRACE_PARENT_BYTES + 1];
    struct trace_parent ours;
    exchange_double_destroy(&world->exchange);
    exchange_double_init(&world->exchange, "GET", "/v1/models");
    for (int i = 0; i < 2; i++)
        exchange_double_header(&world->exchange, "traceparent", "00-" TRACE "-" SPAN "-01");
    exchange_double_ask(world->api, &world->exchange, "");
    traceparent_of(world, value);
    assert_true(trace_parent_read(value, &ours));
    assert_string_not_equal(ours.trace_id, TRACE);
    teardown(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_door_has_its_routes),
        cmocka_unit_test(an_unknown_path_is_404_and_a_wrong_method_405_with_allow),
        cmocka_unit_test(a_post_that_is_not_json_is_415_before_its_body),
        cmocka_unit_test(keys_are_asked_for_but_on_the_open_routes),
        cmocka_unit_test(tenants_do_not_share_salts),
        cmocka_unit_test(a_full_queue_answers_before_the_body),
        cmocka_unit_test(a_draining_server_serves_what_still_comes_and_is_not_ready),
        cmocka_unit_test(health_is_an_engine_that_makes_progress),
        cmocka_unit_test(a_request_id_that_can_be_no_person_comes_back_and_no_other),
        cmocka_unit_test(a_trace_goes_on_under_a_span_of_ours),
        cmocka_unit_test(a_trace_begins_where_none_or_none_that_is_sound_comes),
        cmocka_unit_test(two_traceparents_are_none),
        cmocka_unit_test(a_model_says_its_licence),
        cmocka_unit_test(unknown_models_are_404),
        cmocka_unit_test(a_licence_is_told_in_full_on_a_path_of_its_own),
        cmocka_unit_test(a_refused_model_is_404_and_says_why),
        cmocka_unit_test(a_model_that_did_not_load_is_503_until_it_does),
        cmocka_unit_test(without_any_model_nobody_is_sent_here),
        cmocka_unit_test(tokens_and_text_go_both_ways),
        cmocka_unit_test(metrics_and_version_are_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
