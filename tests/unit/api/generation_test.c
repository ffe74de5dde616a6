/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/generation.h"
#include "tests/unit/api/doubles.h"

#define CHAT(rest) "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]" rest "}"
#define CHUNK(choice, usage)                                                                       \
    "data: {\"id\":\"chatcmpl-*\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"    \
    "\"model\":\"tiny\",\"system_fingerprint\":null,\"choices\":[" choice "]" usage "}\n\n"
#define ROLE(i)                                                                                    \
    "{\"index\":" #i ",\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"     \
    "\"finish_reason\":null}"
#define DELTA(i, text)                                                                             \
    "{\"index\":" #i ",\"delta\":{\"content\":\"" text "\"},\"logprobs\":null,"                    \
    "\"finish_reason\":null}"
#define END(i, reason)                                                                             \
    "{\"index\":" #i ",\"delta\":{},\"logprobs\":null,\"finish_reason\":\"" reason "\"}"
#define USAGE(p, c, t)                                                                             \
    "\"usage\":{\"prompt_tokens\":" #p ",\"completion_tokens\":" #c ",\"total_tokens\":" #t        \
    ",\"prompt_tokens_details\":{\"cached_tokens\":1}}"
#define DONE "data: [DONE]\n\n"

static struct world *setup(bool with_keys)
{
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    world_init(world, with_keys);
    return world;
}

static void teardown(struct world *world)
{
    world_destroy(world);
    free(world);
}

static void post_chat(struct world *world, const char *json)
{
    world_post(world, "/v1/chat/completions", json);
}

static void token(struct world *world, uint32_t id, enum finish_reason finish)
{
    engine_double_token(&world->engine, 0, 0, id, finish);
    api_wake(world->api);
}

static bool contains(const struct text *text, const char *part)
{
    return strstr(text_string(text), part) != NULL;
}

static void a_streamed_chat_is_these_bytes(void **state)
{
    (void)state;
    struct world *world = setup(false);
    post_chat(world, CHAT(",\"stream\":true,\"stream_options\":{\"include_usage\":true}"));
    assert_int_equal(world->exchange.status, 0); /* nothing to say yet */
    token(world, TOKEN_HELLO, FINISH_NONE);
    assert_int_equal(world->exchange.writes, 1); /* the first token waits for nothing */
    token(world, 0xc3, FINISH_NONE);
    assert_int_equal(world->exchange.writes, 1); /* half a character is no text */
    token(world, 0xa9, FINISH_NONE);
    token(world, TOKEN_EOS, FINISH_STOP);
    assert_int_equal(world->exchange.status, 200);
    assert_true(contains(&world->exchange.headers, "content-type: text/event-stream\n"));
    assert_true(contains(&world->exchange.headers, "link: </v1/models/tiny/license>;"));
    assert_true(contains(&world->exchange.headers, "cache-control: no-cache\n"));
    assert_true(contains(&world->exchange.headers, "x-accel-buffering: no\n"));
    assert_true(contains(&world->exchange.headers, "x-request-id: req_"));
    world_expect_body(world,
                      CHUNK(ROLE(0), ",\"usage\":null") CHUNK(DELTA(0, "Hello"), ",\"usage\":null")
                          CHUNK(DELTA(0, "\xc3\xa9"), ",\"usage\":null")
                              CHUNK(END(0, "stop"), ",\"usage\":null")
                                  CHUNK("", "," USAGE(9, 4, 13)) DONE);
    assert_true(world->exchange.complete);
    assert_int_equal(world->metrics.first_tokens, 1);
    assert_int_equal(world->metrics.next_tokens, 3);
    assert_int_equal(world->metrics.generations, 1);
    assert_int_equal(world->metrics.record.output_tokens, 4);
    assert_int_equal(world->metrics.answers, 1);
    teardown(world);
}

static void a_whole_chat_is_these_bytes(void **state)
{
    (void)state;
    struct world *world = setup(false);
    post_chat(world, CHAT(",\"max_tokens\":3"));
    assert_int_equal(world->engine.submissions[0].request.max_tokens, 3);
    token(world, TOKEN_HELLO, FINISH_NONE);
    token(world, TOKEN_WORLD, FINISH_NONE);
    token(world, 0xc3, FINISH_LENGTH); /* a character that never ended */
    assert_int_equal(world->exchange.status, 200);
    world_expect_body(
        world,
        "{\"id\":\"chatcmpl-*\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":"
        "\"tiny\",\"system_fingerprint\":null,\"choices\":[{\"index\":0,\"message\":{\"role\":"
        "\"assistant\",\"content\":\"Hello world\xef\xbf\xbd\",\"refusal\":null},\"logprobs\":"
        "null,\"finish_reason\":\"length\"}]," USAGE(9, 3, 12) "}");
    teardown(world);
}

static void a_stop_string_across_tokens_is_cut_and_its_choice_cancelled(void **state)
{
    (void)state;
    struct world *world = setup(false);
    post_chat(world, CHAT(",\"stream\":true,\"stop\":[\"STOP\"]"));
    token(world, TOKEN_HELLO, FINISH_NONE);
    token(world, TOKEN_ST, FINISH_NONE); /* held */
    token(world, TOKEN_ST, FINISH_NONE); /* the first is shown, the second held */
    assert_false(world->exchange.complete);
    token(world, TOKEN_OP, FINISH_NONE);
    assert_true(world->exchange.complete); /* without waiting for the engine */
    assert_int_equal(world->engine.submissions[0].choices_cancelled, 1);
    assert_int_equal(api_open_generations(world->api), 1);
    token(world, TOKEN_HELLO, FINISH_NONE); /* drawn before the engine read our cancel */
    engine_double_keep_promises(&world->engine);
    api_wake(world->api);
    world_expect_body(world, CHUNK(ROLE(0), "") CHUNK(DELTA(0, "Hello"), "")
                                 CHUNK(DELTA(0, "ST"), "") CHUNK(END(0, "stop"), "") DONE);
    assert_int_equal(world->metrics.record.finish, FINISH_STOP);
    assert_int_equal(world->metrics.record.output_tokens, 4);
    teardown(world);
}

static void held_text_is_shown_when_no_token_follows(void **state)
{
    (void)state;
    struct world *world = setup(false);
    post_chat(world, CHAT(",\"stop\":\"STOP!\""));
    token(world, TOKEN_ST, FINISH_LENGTH);
    assert_true(contains(&world->exchange.bytes, "\"content\":\"ST\""));
    assert_true(contains(&world->exchange.bytes, "\"finish_reason\":\"length\""));
    teardown(world);
}

static void the_stop_string_may_be_asked_for_and_waits_for_min_tokens(void **state)
{
    (void)state;
    struct world *world = setup(false);
    post_chat(world, CHAT(",\"stop\":\"ST\",\"min_tokens\":1,\"include_stop_str_in_output\":true"));
    token(world, TOKEN_ST, FINISH_NONE); /* the first token: too early to stop */
    token(world, TOKEN_HELLO, FINISH_NONE);
    token(world, TOKEN_ST, FINISH_NONE);
    engine_double_keep_promises(&world->engine);
    api_wake(world->api);
    assert_true(contains(&world->exchange.bytes, "\"content\":\"STHelloST\""));
    teardown(world);
}

static void choices_of_one_step_leave_in_one_write(void **state)
{
    (void)state;
    struct world *world = setup(false);
    post_chat(world, CHAT(",\"stream\":true,\"n\":2"));
    assert_int_equal(world->engine.submissions[0].request.choices, 2);
    engine_double_token(&world->engine, 0, 1, 'b', FINISH_NONE);
    engine_double_token(&world->engine, 0, 0, 'a', FINISH_NONE);
    api_wake(world->api);
    assert_int_equal(world->exchange.writes, 1);
    engine_double_token(&world->engine, 0, 0, 'c', FINISH_LENGTH);
    api_wake(world->api);
    assert_false(world->exchange.complete);
    engine_double_token(&world->engine, 0, 1, TOKEN_EOS, FINISH_STOP);
    api_wake(world->api);
    assert_int_equal(world->exchange.writes, 3);
    world_expect_body(world, CHUNK(ROLE(0), "") CHUNK(DELTA(0, "a"), "") CHUNK(ROLE(1), "")
                                 CHUNK(DELTA(1, "b"), "") CHUNK(DELTA(0, "c"), "")
                                     CHUNK(END(0, "length"), "") CHUNK(END(1, "stop"), "") DONE);
    assert_int_equal(world->metrics.record.finish, FINISH_LENGTH);
    teardown(world);
}

static void several_prompts_are_numbered_prompt_by_prompt(void **state)
{
    (void)state;
    struct world *world = setup(false);
    world_post(world, "/v1/completions", "{\"prompt\":[\"a\",\"b\"],\"n\":2,\"echo\":true}");
    assert_int_equal(world->engine.submission_count, 2);
    assert_int_equal(world->engine.submissions[0].request.prompt[0], TOKEN_BOS);
    engine_double_token(&world->engine, 1, 1, '4', FINISH_LENGTH);
    engine_double_token(&world->engine, 1, 0, '3', FINISH_LENGTH);
    engine_double_token(&world->engine, 0, 1, '2', FINISH_LENGTH);
    api_wake(world->api);
    assert_int_equal(world->exchange.status, 0);
    engine_double_token(&world->engine, 0, 0, '1', FINISH_LENGTH);
    api_wake(world->api);
#define CHOICE(i, text)                                                                            \
    "{\"index\":" #i ",\"text\":\"" text "\",\"logprobs\":null,\"finish_reason\":\"length\"}"
    world_expect_body(
        world,
        "{\"id\":\"cmpl-*\",\"object\":\"text_completion\",\"created\":1700000000,\"model\":"
        "\"tiny\",\"system_fingerprint\":null,\"choices\":[" CHOICE(0, "a1") "," CHOICE(
            1, "a2") "," CHOICE(2, "b3") "," CHOICE(3, "b4") "],\"usage\":{\"prompt_tokens\":4,"
                                                             "\"completion_tokens\":4,\"total_"
                                                             "tokens\":8,\"prompt_tokens_details\":"
                                                             "{\"cached_tokens\":2}}}");
    teardown(world);
}

static void chat_logprobs_come_with_the_text_they_belong_to(void **state)
{
    (void)state;
    struct world *world = setup(false);
    post_chat(world,
              CHAT(",\"stream\":true,\"logprobs\":true,\"top_logprobs\":1,\"stop\":\"STx\""));
    token(world, 'h', FINISH_NONE);
    token(world, TOKEN_ST, FINISH_NONE);
    assert_false(contains(&world->exchange.bytes, "\"token\":\"ST\"")); /* text held: so is this */
    token(world, 'y', FINISH_NONE);
    assert_true(contains(
        &world->exchange.bytes,
        "\"delta\":{\"content\":\"STy\"},\"logprobs\":{\"content\":[{\"token\":\"ST\",\"logprob\":"
        "-0.5,\"bytes\":[83,84],\"top_logprobs\":[{\"token\":\"ST\",\"logprob\":-0.5,\"bytes\":"
        "[83,84]}]},{\"token\":\"y\",\"logprob\":-0.5,\"bytes\":[121],\"top_logprobs\":[{\"token\":"
        "\"y\",\"logprob\":-0.5,\"bytes\":[121]}]}],\"refusal\":null}"));
    token(world, TOKEN_ST, FINISH_NONE);
    token(world, 'x', FINISH_NONE); /* a stop: neither ST nor x was ever part of the answer */
    engine_double_keep_promises(&world->engine);
    api_wake(world->api);
    assert_false(contains(&world->exchange.bytes, "\"token\":\"x\""));
    teardown(world);
}

static void completion_logprobs_cover_the_echoed_prompt(void **state)
{
    (void)state;
    struct world *world = setup(false);
    world_post(world, "/v1/completions",
               "{\"prompt\":\"\xc3\xa9z\",\"echo\":true,\"logprobs\":1,\"max_tokens\":1,"
               "\"add_special_tokens\":false}");
    assert_true(world->engine.submissions[0].request.prompt_logprobs);
    engine_double_prompt_token(&world->engine, 0, 0xc3, NAN);
    engine_double_prompt_token(&world->engine, 0, 0xa9, -1);
    engine_double_prompt_token(&world->engine, 0, 'z', -2);
    engine_double_token(&world->engine, 0, 0, '!', FINISH_LENGTH);
    api_wake(world->api);
    assert_true(contains(
        &world->exchange.bytes,
        "\"text\":\"\xc3\xa9z!\",\"logprobs\":{\"tokens\":[\"\xef\xbf\xbd\",\"\xef\xbf\xbd\",\"z\","
        "\"!\"],\"token_logprobs\":[null,-1,-2,-0.5],\"top_logprobs\":[null,{},{},{\"!\":-0.5}],"
        "\"text_offset\":[0,0,1,2]}"));
    teardown(world);
}

static void an_echo_of_no_tokens_is_the_prompt_alone(void **state)
{
    (void)state;
    struct world *world = setup(false);
    world_post(world, "/v1/completions", "{\"prompt\":[104,105],\"echo\":true,\"max_tokens\":0}");
    assert_int_equal(world->engine.submissions[0].request.max_tokens, 1);
    token(world, '!', FINISH_LENGTH);
    assert_true(contains(&world->exchange.bytes, "\"text\":\"hi\""));
    assert_true(contains(&world->exchange.bytes, "\"completion_tokens\":0"));
    teardown(world);
}

static void first_byte_waits_until_its_user_is_on_disk(void **state)
{
    (void)state;
    for (int stream = 0; stream < 2; stream++) {
        struct world *world = setup(false);
        world->policy.sequence = 7;
        world->policy.durable = 6;
        post_chat(world, stream ? CHAT(",\"stream\":true") : CHAT(""));
        token(world, TOKEN_HELLO, FINISH_NONE);
        token(world, TOKEN_EOS, FINISH_STOP); /* the engine is done before the disk is */
        assert_int_equal(world->exchange.status, 0);
        assert_int_equal(world->exchange.writes, 0);
        assert_int_equal(api_open_generations(world->api), 1);
        assert_int_equal(world->server.held, 1);
        world->policy.durable = 7;
        api_wake(world->api); /* the bell */
        assert_int_equal(world->exchange.status, 200);
        assert_true(world->exchange.complete);
        assert_int_equal(world->server.held, 0);
        teardown(world);
    }
}

static void user_on_disk_before_the_first_token_holds_nothing_up(void **state)
{
    (void)state;
    struct world *world = setup(false);
    world->policy.sequence = 7;
    world->policy.durable = 6;
    post_chat(world, CHAT(",\"stream\":true"));
    world->policy.durable = 9;
    token(world, TOKEN_HELLO, FINISH_NONE);
    assert_int_equal(world->exchange.writes, 1);
    token(world, TOKEN_EOS, FINISH_STOP);
    assert_true(world->exchange.complete);
    teardown(world);
}

static void held_answer_whose_client_went_is_let_go(void **state)
{
    (void)state;
    for (int done = 0; done < 2; done++) {
        struct world *world = setup(false);
        world->policy.sequence = 7;
        post_chat(world, CHAT(",\"stream\":true"));
        token(world, TOKEN_HELLO, FINISH_NONE);
        if (done)
            token(world, TOKEN_EOS, FINISH_STOP);
        exchange_double_go(world->api, &world->exchange);
        assert_int_equal(world->server.held, 0);
        assert_int_equal(api_open_generations(world->api), done ? 0 : 1);
        engine_double_keep_promises(&world->engine);
        api_wake(world->api);
        teardown(world);
    }
}

static void a_client_gone_at_any_stage_frees_everything(void **state)
{
    (void)state;
    for (int stage = 0; stage < 4; stage++) {
        struct world *world = setup(false);
        post_chat(world, CHAT(",\"stream\":true,\"n\":2,\"stop\":\"!\",\"logprobs\":true"));
        if (stage >= 1)
            token(world, TOKEN_HELLO, FINISH_NONE);
        if (stage >= 2)
            token(world, '!', FINISH_NONE);
        if (stage >= 3) { /* its end is on the way when the client goes */
            engine_double_token(&world->engine, 0, 1, 'x', FINISH_LENGTH);
            engine_double_token(&world->engine, 0, 0, TOKEN_EOS, FINISH_STOP);
        }
        exchange_double_go(world->api, &world->exchange);
        assert_int_equal(world->metrics.status, 499);
        assert_int_equal(api_open_generations(world->api), 1);
        if (stage < 3)
            assert_true(world->engine.submissions[0].cancelled);
        if (stage < 3) /* drawn meanwhile: to be dropped */
            engine_double_token(&world->engine, 0, 1, 'x', FINISH_NONE);
        engine_double_keep_promises(&world->engine);
        api_wake(world->api);
        assert_int_equal(world->metrics.answers, 1);
        assert_int_equal(world->metrics.generations, 1);
        teardown(world);
    }
}

static void a_client_gone_with_its_body_on_the_way_is_noted(void **state)
{
    (void)state;
    struct world *world = setup(false);
    exchange_double_init(&world->exchange, "POST", "/v1/chat/completions");
    exchange_double_header(&world->exchange, "content-type", "application/json; charset=utf-8");
    const struct exchange_handler *handler = api_handler(world->api);
    handler->on_headers(handler->application, &world->exchange);
    assert_int_equal(world->exchange.status, 0);
    exchange_double_go(world->api, &world->exchange);
    assert_int_equal(world->metrics.status, 499);
    assert_int_equal(world->metrics.route, ROUTE_CHAT);
    teardown(world);
}

static void a_slow_reader_is_dropped_at_the_limit(void **state)
{
    (void)state;
    struct world *world = setup(false);
    post_chat(world, CHAT(",\"stream\":true"));
    world->exchange.waiting = world->config.output_bytes_max;
    token(world, 'a', FINISH_NONE);
    assert_false(world->exchange.aborted); /* slow, not too slow */
    world->exchange.waiting++;
    token(world, 'b', FINISH_NONE);
    assert_true(world->exchange.aborted);
    assert_int_equal(world->metrics.limited[LIMITED_OUTPUT], 1);
    assert_true(world->engine.submissions[0].cancelled);
    engine_double_keep_promises(&world->engine);
    api_wake(world->api);
    teardown(world);
}

static void an_engine_error_is_500_before_the_head_and_an_event_after(void **state)
{
    (void)state;
    struct world *world = setup(false);
    post_chat(world, CHAT(",\"stream\":true"));
    engine_double_end(&world->engine, 0, 0, FINISH_ERROR);
    api_wake(world->api);
    assert_int_equal(world->exchange.status, 500);
    post_chat(world, CHAT(",\"stream\":true,\"n\":2"));
    engine_double_token(&world->engine, 1, 0, 'a', FINISH_NONE);
    api_wake(world->api);
    engine_double_end(&world->engine, 1, 1, FINISH_ERROR);
    api_wake(world->api);
    assert_true(world->exchange.complete);
    assert_true(world->engine.submissions[1].cancelled); /* the other choice */
    world_expect_body(
        world, CHUNK(ROLE(0), "")
                   CHUNK(DELTA(0, "a"),
                         "") "data: {\"error\":{\"message\":"
                             "\"the engine could not compute the next token\",\"type\":"
                             "\"server_error\",\"param\":null,\"code\":\"internal_error\"}}\n\n");
    engine_double_keep_promises(&world->engine);
    api_wake(world->api);
    teardown(world);
}

static void a_lost_device_is_503_and_no_number_is_500(void **state)
{
    (void)state;
    struct world *world = setup(false);
    post_chat(world, CHAT(""));
    engine_double_end(&world->engine, 0, 0, FINISH_LOST);
    api_wake(world->api);
    assert_int_equal(world->exchange.status, 503);
    assert_non_null(strstr(text_string(&world->exchange.bytes), "\"code\":\"device_lost\""));
    post_chat(world, CHAT(""));
    engine_double_end(&world->engine, 1, 0, FINISH_NAN);
    api_wake(world->api);
    assert_int_equal(world->exchange.status, 500);
    assert_non_null(strstr(text_string(&world->exchange.bytes), "\"code\":\"nan_logits\""));
    engine_double_keep_promises(&world->engine);
    teardown(world);
}

static void a_stopping_engine_is_an_error_and_never_an_answer(void **state)
{
    (void)state;
    struct world *world = setup(false);
    post_chat(world, CHAT(""));
    engine_double_end(&world->engine, 0, 0, FINISH_ABORT);
    api_wake(world->api);
    assert_int_equal(world->exchange.status, 503);
    post_chat(world, CHAT(""));
    engine_double_token(&world->engine, 1, 0, 'a', FINISH_NONE);
    engine_double_end(&world->engine, 1, 0, FINISH_ABORT);
    api_wake(world->api);
    assert_int_equal(world->exchange.status, 503);
    assert_true(contains(&world->exchange.bytes, "\"code\":\"shutting_down\""));
    assert_true(contains(&world->exchange.headers, "retry-after: 1\n"));
    post_chat(world, CHAT(",\"stream\":true"));
    engine_double_token(&world->engine, 2, 0, 'a', FINISH_NONE);
    api_wake(world->api);
    engine_double_end(&world->engine, 2, 0, FINISH_ABORT);
    api_wake(world->api);
    assert_int_equal(world->exchange.status, 200);
    assert_true(contains(&world->exchange.bytes, "data: {\"error\":{\"message\":\"the server is"));
    assert_true(contains(&world->exchange.bytes, "\"code\":\"shutting_down\"}}\n\n"));
    assert_false(contains(&world->exchange.bytes, "[DONE]"));
    teardown(world);
}

static void a_queue_that_fills_between_prompts_refuses_all_of_them(void **state)
{
    (void)state;
    struct world *world = setup(false);
    world->engine.submit_limit = 1;
    world_post(world, "/v1/completions",
               "{\"prompt\":[\"a\",\"b\",\"c\"],\"logit_bias\":{\"5\":1}}");
    assert_int_equal(world->exchange.status, 429);
    assert_true(contains(&world->exchange.headers, "retry-after: 1\n"));
    assert_true(world->engine.submissions[0].cancelled);
    engine_double_keep_promises(&world->engine);
    api_wake(world->api);
    teardown(world);
}

static void nothing_is_cut_to_fit_the_context(void **state)
{
    (void)state;
    struct world *world = setup(false);
    post_chat(world, CHAT(",\"max_tokens\":56"));
    assert_int_equal(world->exchange.status, 400);
    assert_true(contains(&world->exchange.bytes, "context_length_exceeded"));
    assert_true(contains(&world->exchange.bytes, "64 tokens; the prompt has 9 and 56"));
    world_post(world, "/v1/completions",
               "{\"prompt\":\"0123456789012345678901234567890123456789012345678901234567890123\"}");
    assert_int_equal(world->exchange.status, 400);
    assert_true(contains(&world->exchange.bytes, "context_length_exceeded"));
    world_post(world, "/v1/completions", "{\"prompt\":\"\",\"add_special_tokens\":false}");
    assert_int_equal(world->exchange.status, 400);
    assert_int_equal(world->engine.submission_count, 0);
    assert_int_equal(world->policy.admissions, 0);
    post_chat(world, CHAT(",\"max_tokens\":55"));
    token(world, TOKEN_EOS, FINISH_STOP);
    assert_int_equal(world->exchange.status, 200);
    post_chat(world, CHAT(""));
    assert_int_equal(world->engine.submissions[1].request.max_tokens, 55);
    engine_double_token(&world->engine, 1, 0, TOKEN_EOS, FINISH_STOP);
    api_wake(world->api);
    teardown(world);
}

static void the_policy_hears_the_claims_and_its_word_counts(void **state)
{
    (void)state;
    struct world *world = setup(true);
    exchange_double_init(&world->exchange, "POST", "/v1/chat/completions");
    exchange_double_header(&world->exchange, "content-type", "application/json");
    exchange_double_header(&world->exchange, "authorization", "Bearer sk-two");
    exchange_double_header(&world->exchange, "x-user-id", "header-user");
    world->policy.attribution = "Built with Tiny";
    exchange_double_ask(world->api, &world->exchange,
                        CHAT(",\"user\":\"u1\",\"cache_salt\":\"s\""));
    assert_string_equal(world->policy.tenant, "b");
    assert_string_equal(world->policy.user, "u1");
    assert_string_equal(world->policy.header, "header-user");
    assert_string_equal(world->policy.address, "127.0.0.1");
    const struct generation_request *asked = &world->engine.submissions[0].request;
    assert_true(asked->tenant != 0);
    assert_true(asked->cache_salt != asked->tenant);
    token(world, TOKEN_EOS, FINISH_STOP);
    assert_int_equal(world->policy.tokens.requests, 1);
    assert_int_equal(world->policy.tokens.generated, 1);
    assert_true(world->policy.tokens.prompt > 0);
    assert_true(contains(&world->exchange.headers, "x-weir-attribution: Built with Tiny\n"));
    assert_true(
        contains(&world->exchange.headers, "link: </v1/models/tiny/license>; rel=\"license\"\n"));
    teardown(world);
    world = setup(false);
    world->policy.verdict = POLICY_REFUSE;
    post_chat(world, CHAT(""));
    assert_int_equal(world->exchange.status, 403);
    assert_true(contains(&world->exchange.bytes, "clause 2"));
    assert_int_equal(world->engine.submission_count, 0);
    teardown(world);
}

static void words_of_any_script_are_a_header_s_value(void **state)
{
    (void)state;
    struct world *world = setup(false);
    world->policy.attribution = "100% \xe6\x99\xba\r\nx-evil: 1";
    post_chat(world, CHAT(""));
    token(world, TOKEN_EOS, FINISH_STOP);
    assert_true(contains(&world->exchange.headers,
                         "x-weir-attribution: 100%25 %E6%99%BA%0D%0Ax-evil: 1\n"));
    teardown(world);
}

static void a_refusal_is_a_problem_to_some_and_an_error_to_others(void **state)
{
    (void)state;
    struct world *world = setup(false);
    world->policy.verdict = POLICY_REFUSE;
    world->policy.capped = true;
    post_chat(world, CHAT(""));
    assert_int_equal(world->exchange.status, 403);
    assert_true(contains(&world->exchange.headers, "content-type: application/problem+json\n"));
    world_expect_body(world,
                      "{\"type\":\"about:blank\",\"title\":\"Forbidden\",\"status\":403,"
                      "\"detail\":\"by clause 2\",\"code\":\"user_cap\",\"license\":\"tiny-1\","
                      "\"condition\":\"tiny-1/users\",\"clause\":\"clause 2\",\"users\":700,"
                      "\"since\":\"2026-11-18T11:06:40Z\",\"until\":\"2026-12-01T00:00:00Z\","
                      "\"error\":{\"message\":\"by clause 2\",\"type\":\"permission_error\","
                      "\"param\":null,\"code\":\"user_cap\"}}");
    for (uint32_t i = 1; i < REFUSALS_A_MINUTE; i++) {
        post_chat(world, CHAT(""));
        assert_int_equal(world->exchange.status, 403);
    }
    post_chat(world, CHAT(""));
    assert_int_equal(world->exchange.status, 429);
    assert_true(contains(&world->exchange.headers, "retry-after: 60\n"));
    assert_true(contains(&world->exchange.bytes, "refusals_limited"));
    world->policy.verdict = POLICY_GO; /* who is known passes all the same */
    post_chat(world, CHAT(""));
    token(world, TOKEN_EOS, FINISH_STOP);
    assert_int_equal(world->exchange.status, 200);
    teardown(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_streamed_chat_is_these_bytes),
        cmocka_unit_test(a_whole_chat_is_these_bytes),
        cmocka_unit_test(a_stop_string_across_tokens_is_cut_and_its_choice_cancelled),
        cmocka_unit_test(held_text_is_shown_when_no_token_follows),
        cmocka_unit_test(the_stop_string_may_be_asked_for_and_waits_for_min_tokens),
        cmocka_unit_test(choices_of_one_step_leave_in_one_write),
        cmocka_unit_test(several_prompts_are_numbered_prompt_by_prompt),
        cmocka_unit_test(chat_logprobs_come_with_the_text_they_belong_to),
        cmocka_unit_test(completion_logprobs_cover_the_echoed_prompt),
        cmocka_unit_test(an_echo_of_no_tokens_is_the_prompt_alone),
        cmocka_unit_test(first_byte_waits_until_its_user_is_on_disk),
        cmocka_unit_test(user_on_disk_before_the_first_token_holds_nothing_up),
        cmocka_unit_test(held_answer_whose_client_went_is_let_go),
        cmocka_unit_test(a_client_gone_at_any_stage_frees_everything),
        cmocka_unit_test(a_client_gone_with_its_body_on_the_way_is_noted),
        cmocka_unit_test(a_slow_reader_is_dropped_at_the_limit),
        cmocka_unit_test(an_engine_error_is_500_before_the_head_and_an_event_after),
        cmocka_unit_test(a_lost_device_is_503_and_no_number_is_500),
        cmocka_unit_test(a_stopping_engine_is_an_error_and_never_an_answer),
        cmocka_unit_test(a_queue_that_fills_between_prompts_refuses_all_of_them),
        cmocka_unit_test(nothing_is_cut_to_fit_the_context),
        cmocka_unit_test(the_policy_hears_the_claims_and_its_word_counts),
        cmocka_unit_test(words_of_any_script_are_a_header_s_value),
        cmocka_unit_test(a_refusal_is_a_problem_to_some_and_an_error_to_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
