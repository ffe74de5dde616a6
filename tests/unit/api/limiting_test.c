/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/call.h"
#include "tests/unit/api/doubles.h"

#define CHAT(rest) "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]" rest "}"
#define PROMPT     9 /* tokens of CHAT */

static struct world *setup(struct tenant_rates rates)
{
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    world_init(world, true);
    world->config.rates = rates;
    return world;
}

/* The client of an answer that is not whole leaves; the engine has not heard of it yet. */
static void leave(struct world *world)
{
    if (world->exchange.owner != NULL && !world->exchange.complete)
        exchange_double_go(world->api, &world->exchange);
}

static void teardown(struct world *world)
{
    leave(world);
    engine_double_keep_promises(&world->engine);
    api_wake(world->api);
    assert_int_equal(tenant_limits_running(world->server.tenant_limits), 0);
    world_destroy(world);
    free(world);
}

static void post(struct world *world, const char *key, const char *json)
{
    leave(world);
    exchange_double_destroy(&world->exchange);
    exchange_double_init(&world->exchange, "POST", "/v1/chat/completions");
    exchange_double_header(&world->exchange, "content-type", "application/json");
    exchange_double_header(&world->exchange, "authorization", key);
    exchange_double_ask(world->api, &world->exchange, json);
}

static bool says(struct world *world, const char *part)
{
    return strstr(text_string(&world->exchange.headers), part) != NULL ||
           strstr(text_string(&world->exchange.bytes), part) != NULL;
}

static void a_request_is_charged_once_and_the_next_one_refused_by_its_head(void **state)
{
    (void)state;
    struct world *world = setup((struct tenant_rates){.requests = 2});
    post(world, "Bearer sk-one", "{"); /* bad JSON came all the same */
    assert_int_equal(world->exchange.status, 400);
    assert_true(says(world, "x-ratelimit-limit-requests: 2\n"));
    assert_true(says(world, "x-ratelimit-remaining-requests: 1\n"));
    assert_true(says(world, "x-ratelimit-reset-requests: 30s\n"));
    assert_false(says(world, "-tokens: "));
    post(world, "Bearer sk-one", CHAT(",\"max_tokens\":1"));
    engine_double_token(&world->engine, 0, 0, 'a', FINISH_LENGTH);
    api_wake(world->api);
    assert_int_equal(world->exchange.status, 200);
    assert_true(says(world, "x-ratelimit-remaining-requests: 0\n"));
    post(world, "Bearer sk-one", NULL); /* no body is asked for */
    assert_int_equal(world->exchange.status, 429);
    assert_true(says(world, "\"type\":\"rate_limit_error\""));
    assert_true(says(world, "\"code\":\"rate_limit_exceeded\""));
    assert_true(says(world, "2 requests a minute"));
    assert_true(says(world, "retry-after: 30\n"));
    assert_true(says(world, "x-ratelimit-remaining-requests: 0\n"));
    assert_int_equal(world->metrics.limited[LIMITED_REQUESTS], 1);
    post(world, "Bearer sk-two", CHAT(""));
    assert_int_equal(world->exchange.status, 0); /* another tenant */
    teardown(world);
}

static void who_has_no_limits_is_told_of_none(void **state)
{
    (void)state;
    struct world *world = setup((struct tenant_rates){0});
    post(world, "Bearer sk-one", "{");
    assert_int_equal(world->exchange.status, 400);
    assert_false(says(world, "x-ratelimit"));
    teardown(world);
}

static void a_full_queue_costs_no_request(void **state)
{
    (void)state;
    struct world *world = setup((struct tenant_rates){.requests = 2});
    world->engine.admission = ERROR_BUSY;
    world->engine.retry_after_s = 5;
    for (int i = 0; i < 5; i++) {
        post(world, "Bearer sk-one", CHAT(""));
        assert_int_equal(world->exchange.status, 429);
        assert_true(says(world, "queue_full"));
        assert_true(says(world, "x-ratelimit-remaining-requests: 2\n"));
    }
    assert_int_equal(world->metrics.limited[LIMITED_QUEUE], 5);
    teardown(world);
}

static void tokens_are_reserved_before_anybody_is_counted(void **state)
{
    (void)state;
    struct world *world = setup((struct tenant_rates){.tokens = 50});
    post(world, "Bearer sk-one", CHAT(",\"max_tokens\":21,\"n\":2")); /* 51 */
    assert_int_equal(world->exchange.status, 400);
    assert_true(says(world, "\"code\":\"rate_limit_too_small\""));
    assert_true(says(world, "may use 51 tokens"));
    assert_true(says(world, "50 a minute"));
    post(world, "Bearer sk-one", CHAT(",\"max_tokens\":20,\"n\":2")); /* 49 */
    assert_int_equal(world->exchange.status, 0);
    assert_int_equal(world->policy.admissions, 1);
    post(world, "Bearer sk-one", CHAT(",\"max_tokens\":1")); /* 10, and 1 is left: 9 to wait for */
    assert_int_equal(world->exchange.status, 429);
    assert_true(says(world, "50 tokens a minute"));
    assert_true(says(world, "retry-after: 11\n"));
    assert_true(says(world, "x-ratelimit-limit-tokens: 50\n"));
    assert_true(says(world, "x-ratelimit-remaining-tokens: 1\n"));
    assert_true(says(world, "x-ratelimit-reset-tokens: 59s\n"));
    assert_int_equal(world->policy.admissions, 1);
    assert_int_equal(world->metrics.limited[LIMITED_TOKENS], 2);
    teardown(world);
}

static void what_an_answer_did_not_use_goes_back(void **state)
{
    (void)state;
    struct world *world = setup((struct tenant_rates){.tokens = 50});
    post(world, "Bearer sk-one", CHAT(",\"max_tokens\":40")); /* 49 */
    engine_double_token(&world->engine, 0, 0, 'a', FINISH_NONE);
    engine_double_token(&world->engine, 0, 0, TOKEN_EOS, FINISH_STOP); /* used: 11 */
    api_wake(world->api);
    assert_int_equal(world->exchange.status, 200);
    assert_true(says(world, "x-ratelimit-remaining-tokens: 1\n")); /* as it stood when let in */
    post(world, "Bearer sk-one", CHAT(",\"max_tokens\":31"));      /* 40 */
    assert_int_equal(world->exchange.status, 429);
    post(world, "Bearer sk-one", CHAT(",\"max_tokens\":30"));
    assert_int_equal(world->exchange.status, 0);
    teardown(world);
}

static void a_request_that_nobody_serves_gives_all_of_it_back(void **state)
{
    (void)state;
    struct world *world = setup((struct tenant_rates){.tokens = 50, .concurrent = 1});
    world->policy.verdict = POLICY_REFUSE;
    post(world, "Bearer sk-one", CHAT(",\"max_tokens\":40"));
    assert_int_equal(world->exchange.status, 403);
    world->policy.verdict = POLICY_GO;
    world->engine.submit_limit = 0;
    post(world, "Bearer sk-one", CHAT(",\"max_tokens\":40"));
    assert_int_equal(world->exchange.status, 429);
    assert_true(says(world, "queue_full"));
    world->engine.submit_limit = 1;
    post(world, "Bearer sk-one", CHAT(",\"max_tokens\":40"));
    assert_int_equal(world->exchange.status, 0);
    teardown(world);
}

static void an_open_end_is_as_long_as_fits_the_minute(void **state)
{
    (void)state;
    struct world *world = setup((struct tenant_rates){.tokens = 30});
    post(world, "Bearer sk-one", CHAT(",\"n\":2"));
    assert_int_equal(world->exchange.status, 0);
    assert_int_equal(world->engine.submissions[0].request.max_tokens, (30 - PROMPT) / 2);
    teardown(world);
}

static void one_more_at_once_than_may_is_refused_by_its_head(void **state)
{
    (void)state;
    struct world *world = setup((struct tenant_rates){.concurrent = 1});
    post(world, "Bearer sk-one", CHAT(""));
    assert_int_equal(world->exchange.status, 0);
    leave(world); /* until the engine has ended it, it runs */
    post(world, "Bearer sk-one", NULL);
    assert_int_equal(world->exchange.status, 429);
    assert_true(says(world, "\"code\":\"concurrency_limit_exceeded\""));
    assert_true(says(world, "retry-after: 1\n"));
    assert_int_equal(world->metrics.limited[LIMITED_CONCURRENT], 1);
    post(world, "Bearer sk-two", "{");
    assert_int_equal(world->exchange.status, 400); /* another tenant gets as far as its body */
    engine_double_keep_promises(&world->engine);
    api_wake(world->api);
    post(world, "Bearer sk-one", CHAT(""));
    assert_int_equal(world->exchange.status, 0);
    teardown(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_charged_once_and_the_next_one_refused_by_its_head),
        cmocka_unit_test(who_has_no_limits_is_told_of_none),
        cmocka_unit_test(a_full_queue_costs_no_request),
        cmocka_unit_test(tokens_are_reserved_before_anybody_is_counted),
        cmocka_unit_test(what_an_answer_did_not_use_goes_back),
        cmocka_unit_test(a_request_that_nobody_serves_gives_all_of_it_back),
        cmocka_unit_test(an_open_end_is_as_long_as_fits_the_minute),
        cmocka_unit_test(one_more_at_once_than_may_is_refused_by_its_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
