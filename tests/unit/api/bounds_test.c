/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/call.h"
#include "daemon/api/generation.h"
#include "tests/unit/api/doubles.h"

#define CHAT(rest) "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]" rest "}"
#define MS         UINT64_C(1000)

static struct world *setup(void)
{
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    world_init(world, false);
    return world;
}

static void teardown(struct world *world)
{
    if (world->exchange.owner != NULL && !world->exchange.complete)
        exchange_double_go(world->api, &world->exchange);
    engine_double_keep_promises(&world->engine);
    api_wake(world->api);
    world_destroy(world);
    free(world);
}

static void post_chat(struct world *world, const char *json)
{
    world_post(world, "/v1/chat/completions", json);
}

static bool says(struct world *world, const char *part)
{
    return strstr(text_string(&world->exchange.headers), part) != NULL ||
           strstr(text_string(&world->exchange.bytes), part) != NULL;
}

/* Time goes by, and the worker looks. */
static void later(struct world *world, uint64_t ms)
{
    generation_expire(world->api, DOUBLE_NOW_US + ms * MS);
    api_wake(world->api);
}

static void who_would_wait_too_long_is_told_so_and_when_to_come(void **state)
{
    (void)state;
    struct world *world = setup();
    world->config.max_wait_ms = 30000;
    world->engine.wait_us = 30000000;
    post_chat(world, CHAT(""));
    assert_int_equal(world->exchange.status, 0);
    exchange_double_go(world->api, &world->exchange);
    world->engine.wait_us = 34500000;
    post_chat(world, NULL); /* by its head */
    assert_int_equal(world->exchange.status, 429);
    assert_true(says(world, "\"code\":\"wait_too_long\""));
    assert_true(says(world, "retry-after: 5\n"));
    assert_int_equal(world->metrics.limited[LIMITED_WAIT], 1);
    world->engine.wait_us = UINT64_MAX / 2;
    post_chat(world, NULL);
    assert_true(says(world, "retry-after: 600\n"));
    world->config.max_wait_ms = 0; /* no limit */
    post_chat(world, CHAT(""));
    assert_int_equal(world->exchange.status, 0);
    teardown(world);
}

static void without_a_first_token_in_time_it_ends_and_the_engine_is_told(void **state)
{
    (void)state;
    struct world *world = setup();
    world->config.first_token_timeout_ms = 1000;
    post_chat(world, CHAT(",\"stream\":true"));
    later(world, 999);
    assert_int_equal(world->exchange.status, 0);
    later(world, 1000);
    assert_int_equal(world->exchange.status, 503);
    assert_true(says(world, "\"code\":\"first_token_timeout\""));
    assert_true(says(world, "retry-after: 1\n"));
    assert_true(world->engine.submissions[0].cancelled);
    assert_int_equal(world->metrics.limited[LIMITED_FIRST_TOKEN], 1);
    later(world, 9000); /* said once */
    assert_int_equal(world->metrics.limited[LIMITED_FIRST_TOKEN], 1);
    teardown(world);
}

static void with_its_first_token_it_has_all_the_time(void **state)
{
    (void)state;
    struct world *world = setup();
    world->config.first_token_timeout_ms = 1000;
    post_chat(world, CHAT(""));
    engine_double_token(&world->engine, 0, 0, 'a', FINISH_NONE);
    api_wake(world->api);
    later(world, 3600000);
    assert_int_equal(world->exchange.status, 0);
    teardown(world);
}

static void an_answer_held_for_the_disk_ends_in_time_as_well(void **state)
{
    (void)state;
    struct world *world = setup();
    world->config.request_timeout_ms = 10000;
    world->policy.sequence = 5; /* and nothing is durable */
    post_chat(world, CHAT(",\"max_tokens\":1"));
    engine_double_token(&world->engine, 0, 0, 'a', FINISH_LENGTH);
    api_wake(world->api);
    assert_int_equal(world->exchange.status, 0);
    later(world, 10000);
    assert_int_equal(world->exchange.status, 504);
    assert_int_equal(api_open_generations(world->api), 0);
    teardown(world);
}

static void a_whole_request_past_its_time_is_504_or_an_event_in_its_stream(void **state)
{
    (void)state;
    struct world *world = setup();
    world->config.request_timeout_ms = 10000;
    post_chat(world, CHAT(""));
    engine_double_token(&world->engine, 0, 0, 'a', FINISH_NONE);
    later(world, 10000);
    assert_int_equal(world->exchange.status, 504);
    assert_true(says(world, "\"code\":\"request_timeout\""));
    post_chat(world, CHAT(",\"stream\":true"));
    engine_double_token(&world->engine, 1, 0, 'a', FINISH_NONE);
    api_wake(world->api);
    later(world, 10000);
    assert_int_equal(world->exchange.status, 200);
    assert_true(says(world, "data: {\"error\":{\"message\":\"The answer was not complete"));
    assert_false(says(world, "[DONE]"));
    assert_true(world->exchange.complete);
    assert_true(world->engine.submissions[1].cancelled);
    assert_int_equal(world->metrics.limited[LIMITED_REQUEST_TIME], 2);
    teardown(world);
}

static void past_the_memory_watermark_posts_go_away_by_their_heads(void **state)
{
    (void)state;
    static const char *const paths[] = {"/v1/chat/completions", "/v1/completions", "/tokenize"};
    struct world *world = setup();
    world->server.memory_over = true;
    for (size_t i = 0; i < 3; i++) {
        world_post(world, paths[i], NULL);
        assert_int_equal(world->exchange.status, 503);
        assert_true(says(world, "\"code\":\"overloaded\""));
        assert_true(says(world, "retry-after: 2\n"));
    }
    world_get(world, "/health");
    assert_int_equal(world->exchange.status, 200);
    assert_int_equal(world->metrics.limited[LIMITED_MEMORY], 3);
    world->server.memory_over = false;
    post_chat(world, CHAT(""));
    assert_int_equal(world->exchange.status, 0);
    teardown(world);
}

static void json_past_the_set_depth_is_400_by_name(void **state)
{
    (void)state;
    struct world *world = setup();
    world->config.json_depth_max = 4;
    post_chat(world, CHAT(",\"x\":[[[]]]"));
    assert_int_equal(world->exchange.status, 0); /* what it does not know, it ignores */
    exchange_double_go(world->api, &world->exchange);
    post_chat(world, CHAT(",\"x\":[[[[]]]]"));
    assert_int_equal(world->exchange.status, 400);
    assert_true(says(world, "the body has more than 4 levels of nesting"));
    assert_true(says(world, "\"code\":\"json_too_deep\""));
    assert_int_equal(world->metrics.limited[LIMITED_JSON], 1);
    teardown(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_would_wait_too_long_is_told_so_and_when_to_come),
        cmocka_unit_test(without_a_first_token_in_time_it_ends_and_the_engine_is_told),
        cmocka_unit_test(with_its_first_token_it_has_all_the_time),
        cmocka_unit_test(an_answer_held_for_the_disk_ends_in_time_as_well),
        cmocka_unit_test(a_whole_request_past_its_time_is_504_or_an_event_in_its_stream),
        cmocka_unit_test(past_the_memory_watermark_posts_go_away_by_their_heads),
        cmocka_unit_test(json_past_the_set_depth_is_400_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
