/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/api/doubles.h"

static char tiny[] = "tiny", barred[] = "org/barred";
static char *only_tiny[] = {tiny}, *only_barred[] = {barred};

/* "a" may use one model and stands back; "b" may use another, and goes first. */
static int setup(void **state)
{
    static struct config_tenant tenants[] = {
        {.name = (char *)"a", .models = only_tiny, .model_count = 1, .priority = 5, .weight = 0.5f},
        {.name = (char *)"b",
         .models = only_barred,
         .model_count = 1,
         .priority = -5,
         .weight = 4}};
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    world_init(world, true);
    world->config.tenants = tenants;
    world->config.tenant_count = 2;
    world_renew(world);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    free(*state);
    return 0;
}

static void ask(struct world *world, const char *method, const char *path, const char *key,
                const char *json)
{
    exchange_double_destroy(&world->exchange);
    exchange_double_init(&world->exchange, method, path);
    exchange_double_header(&world->exchange, "authorization", key);
    if (json[0] != '\0')
        exchange_double_header(&world->exchange, "content-type", "application/json");
    exchange_double_ask(world->api, &world->exchange, json);
}

#define ONE "Bearer sk-one"
#define TWO "Bearer sk-two"

static bool answer_has(const struct world *world, const char *part)
{
    return strstr(text_string(&world->exchange.bytes), part) != NULL;
}

static void a_model_that_is_not_allowed_is_not_there(void **state)
{
    struct world *world = *state;
    ask(world, "GET", "/v1/models", ONE, "");
    assert_true(answer_has(world, "\"id\":\"tiny\""));
    ask(world, "GET", "/v1/models", TWO, "");
    world_expect_body(world, "{\"object\":\"list\",\"data\":[]}");
    static const char *const paths[] = {"/v1/models/tiny", "/v1/models/tiny/license"};
    for (size_t i = 0; i < 2; i++) {
        ask(world, "GET", paths[i], ONE, "");
        assert_int_equal(world->exchange.status, 200);
        ask(world, "GET", paths[i], TWO, "");
        assert_int_equal(world->exchange.status, 404);
        assert_true(answer_has(world, "model_not_found"));
    }
    /* why a model is refused is told to those who may know of it */
    ask(world, "GET", "/v1/models/org/barred/license", TWO, "");
    assert_int_equal(world->exchange.status, 200);
    ask(world, "GET", "/v1/models/org/barred/license", ONE, "");
    assert_int_equal(world->exchange.status, 404);
    ask(world, "GET", "/v1/models/org/barred", ONE, "");
    assert_false(answer_has(world, "licence"));
    ask(world, "POST", "/v1/completions", TWO, "{\"model\":\"tiny\",\"prompt\":\"hi\"}");
    assert_int_equal(world->exchange.status, 404);
    ask(world, "POST", "/tokenize", TWO, "{\"model\":\"tiny\",\"prompt\":\"hi\"}");
    assert_int_equal(world->exchange.status, 404);
    ask(world, "POST", "/v1/completions", TWO, "{\"prompt\":\"hi\"}");
    assert_int_equal(world->exchange.status, 400);
    assert_int_equal(world->engine.submission_count, 0);
}

static void settle(struct world *world)
{
    engine_double_end(&world->engine, world->engine.submission_count - 1, 0, FINISH_LENGTH);
    api_wake(world->api);
}

static void a_class_is_the_tenant_s_and_a_request_only_stands_back(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *json;
        int32_t priority;
    } rows[] = {{"{\"prompt\":\"hi\"}", 5},
                {"{\"prompt\":\"hi\",\"priority\":7}", 12},
                {"{\"prompt\":\"hi\",\"priority\":2147483647}", INT32_MAX}};
    for (uint32_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ask(world, "POST", "/v1/completions", ONE, rows[i].json);
        const struct generation_request *request = &world->engine.submissions[i].request;
        assert_int_equal(request->priority, rows[i].priority);
        assert_true(request->tenant_weight == 0.5f);
        settle(world);
    }
    ask(world, "POST", "/v1/completions", ONE, "{\"prompt\":\"hi\",\"priority\":-1}");
    assert_int_equal(world->exchange.status, 400);
    world->config.tenants[1].models = only_tiny;
    ask(world, "POST", "/v1/completions", TWO, "{\"prompt\":\"hi\",\"priority\":2}");
    assert_int_equal(world->engine.submissions[3].request.priority, -3);
    assert_true(world->engine.submissions[3].request.tenant_weight == 4.0f);
    settle(world);
    world->config.tenants[1].models = only_barred;
}

/* Engines have long queues of class 0: "a" stands behind them, "b" before, unless it steps back. */
static void the_wait_is_estimated_for_the_class_of_who_asks(void **state)
{
    struct world *world = *state;
    world->config.max_wait_ms = 1000;
    world->engine.wait_us = 5000000;
    world->engine.wait_class = 0;
    world->config.tenants[1].models = only_tiny;
    ask(world, "POST", "/v1/completions", ONE, "{\"prompt\":\"hi\"}");
    assert_int_equal(world->exchange.status, 429);
    assert_true(answer_has(world, "\"code\":\"wait_too_long\""));
    ask(world, "POST", "/v1/completions", TWO, "{\"prompt\":\"hi\",\"priority\":5}");
    assert_int_equal(world->exchange.status, 429);
    ask(world, "POST", "/v1/completions", TWO, "{\"prompt\":\"hi\",\"priority\":4}");
    assert_int_equal(world->exchange.status, 0);
    settle(world);
    world->config.tenants[1].models = only_barred;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_model_that_is_not_allowed_is_not_there, setup, teardown),
        cmocka_unit_test_setup_teardown(a_class_is_the_tenant_s_and_a_request_only_stands_back,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(the_wait_is_estimated_for_the_class_of_who_asks, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
