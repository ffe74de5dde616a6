/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <assert.h>
#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/unit/batching/client.h"
#include "tests/unit/batching/fake_model.h"

static void tokens_are_the_models_own(void **state)
{
    (void)state;
    struct client client;
    client_start(&client, (struct engine_config){.prefix_cache = true});
    struct collected *one = client_collected_new(1);
    struct generation_request request = client_request(1, 37, 50);
    assert_int_equal(client_submit(&client, &request, one), 0);
    client_await(&client, one);
    assert_int_equal(one->choices[0].count, 50);
    assert_int_equal(one->choices[0].finish, FINISH_LENGTH);
    client_expect_greedy(one, 0, 1);
    struct engine_stats stats;
    engine_stats(client.engine, &stats);
    assert_true(getenv("FAKE_MODEL_DRAWS") == NULL ? stats.device_draws == 0
                                                   : stats.device_draws >= 40);
    assert_true(getenv("FAKE_MODEL_DRAWS") == NULL ? stats.steps_ahead == 0
                                                   : stats.steps_ahead >= 40);
    assert_int_equal(stats.steps, 50);
    assert_true(one->times.submitted_us <= one->times.scheduled_us);
    assert_true(one->times.scheduled_us <= one->times.first_token_us);
    assert_true(one->times.first_token_us <= one->times.finished_us);
    client_stop(&client);
    free(one);
}

/* A sampled request of the invariance tests. */
static struct generation_request invariant_request(void)
{
    struct generation_request request = client_request(77, 83, 60);
    request.sampling.temperature = 0.9f;
    request.sampling.top_p = 0.95f;
    request.sampling.top_k = 40;
    request.sampling.frequency_penalty = 0.3f;
    request.sampling.repetition_penalty = 1.1f;
    request.sampling.seed = 4711;
    request.choices = 3;
    return request;
}

/* Runs the invariant request beside `others` and gives its choices. */
static void run_invariant(struct engine_config config, uint32_t others, struct collected *ret,
                          uint64_t *ret_preemptions)
{
    struct client client;
    client_start(&client, config);
    struct collected *beside = client_collected_new(others + 1);
    for (uint32_t i = 0; i < others / 2; i++) {
        struct generation_request other = client_request(i % 5 ? i : 77, 3 + i * 7 % 90, 40 + i);
        assert_int_equal(client_submit(&client, &other, &beside[i]), 0);
    }
    struct generation_request request = invariant_request();
    assert_int_equal(client_submit(&client, &request, ret), 0);
    for (uint32_t i = others / 2; i < others; i++) {
        struct generation_request other = client_request(i % 5 ? i : 77, 3 + i * 7 % 90, 40 + i);
        assert_int_equal(client_submit(&client, &other, &beside[i]), 0);
    }
    client_await(&client, ret);
    for (uint32_t i = 0; i < others; i++) {
        client_await(&client, &beside[i]);
        client_expect_greedy(&beside[i], 0, i % 5 ? i : 77);
    }
    struct engine_stats stats;
    engine_stats(client.engine, &stats);
    *ret_preemptions = stats.preemptions;
    client_stop(&client);
    free(beside);
}

static void tokens_do_not_depend_on_who_shares_the_machine(void **state)
{
    (void)state;
    const struct {
        struct engine_config config;
        uint32_t others;
        bool preempts;
    } cases[] = {
        {{.prefix_cache = true}, 0, false},
        {{.prefix_cache = false}, 0, false},
        {{.prefix_cache = true}, 32, false},
        {{.prefix_cache = false}, 32, false},
        {{.prefix_cache = true, .max_step_tokens = 8, .max_sequences = 8}, 0, false}, /* chunked */
        {{.prefix_cache = true, .max_step_tokens = 40, .max_sequences = 40}, 32, false},
        {{.prefix_cache = true, .context = 256, .kv_blocks = 16}, 32, true}, /* a tiny pool */
        {{.prefix_cache = false, .context = 256, .kv_blocks = 18}, 32, true},
        {{.prefix_cache = true, .max_sequences = 1}, 5, false},
    };
    struct collected *alone = client_collected_new(1), *now = client_collected_new(1);
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t preemptions;
        run_invariant(cases[i].config, cases[i].others, i == 0 ? alone : now, &preemptions);
        assert_true(!cases[i].preempts || preemptions > 0);
        for (uint32_t c = 0; c < 3 && i > 0; c++) {
            assert_int_equal(now->choices[c].count, 60);
            assert_memory_equal(now->choices[c].tokens, alone->choices[c].tokens,
                                60 * sizeof(uint32_t));
        }
    }
    assert_memory_not_equal(alone->choices[0].tokens, alone->choices[1].tokens, 240);
    free(alone);
    free(now);
}

static void second_prompt_is_found_in_the_cache(void **state)
{
    (void)state;
    for (int cache = 0; cache < 2; cache++) {
        struct client client;
        client_start(&client, (struct engine_config){.prefix_cache = cache});
        struct collected *got = client_collected_new(4);
        for (uint32_t i = 0; i < 4; i++) {
            struct generation_request request = client_request(3, i == 1 ? 96 : 100, 5);
            request.tenant = i == 2 ? 2 : 1;
            request.cache_salt = i == 3 ? 9 : 0;
            assert_int_equal(client_submit(&client, &request, &got[i]), 0);
            client_await(&client, &got[i]);
            client_expect_greedy(&got[i], 0, 3);
        }
        assert_int_equal(got[0].choices[0].cached_tokens, 0);
        /* 96 tokens are 6 blocks, but the last token is computed always */
        assert_int_equal(got[1].choices[0].cached_tokens, cache ? 80 : 0);
        assert_int_equal(got[2].choices[0].cached_tokens, 0); /* another tenant */
        assert_int_equal(got[3].choices[0].cached_tokens, 0); /* another salt */
        struct engine_stats stats;
        engine_stats(client.engine, &stats);
        assert_int_equal(stats.prefix_queries, cache ? 396 : 0);
        assert_int_equal(stats.prefix_hits, cache ? 80 : 0);
        assert_int_equal(stats.prompt_tokens_computed, cache ? 316 : 396);
        assert_int_equal(stats.generated_tokens, 20);
        client_stop(&client);
        free(got);
    }
}

static void tenants_share_prefixes_only_if_told_to(void **state)
{
    (void)state;
    struct client client;
    client_start(&client, (struct engine_config){.prefix_cache = true, .share_prefixes = true});
    struct collected *got = client_collected_new(2);
    for (uint32_t i = 0; i < 2; i++) {
        struct generation_request request = client_request(3, 100, 5);
        request.tenant = i;
        assert_int_equal(client_submit(&client, &request, &got[i]), 0);
        client_await(&client, &got[i]);
    }
    assert_int_equal(got[1].choices[0].cached_tokens, 96);
    client_stop(&client);
    free(got);
}

static void generated_tokens_are_found_in_the_cache_too(void **state)
{
    (void)state;
    struct client client;
    client_start(&client, (struct engine_config){.prefix_cache = true});
    struct collected *got = client_collected_new(2);
    struct generation_request request = client_request(3, 20, 60);
    assert_int_equal(client_submit(&client, &request, &got[0]), 0);
    client_await(&client, &got[0]);
    request = client_request(3, 80, 5);
    memcpy(request.prompt + 20, got[0].choices[0].tokens, 60 * sizeof(uint32_t));
    assert_int_equal(client_submit(&client, &request, &got[1]), 0);
    client_await(&client, &got[1]);
    assert_int_equal(got[1].choices[0].cached_tokens, 64); /* the last token was never written */
    client_stop(&client);
    free(got);
}

static void choices_share_the_prompt_with_and_without_cache(void **state)
{
    (void)state;
    for (int cache = 0; cache < 2; cache++) {
        struct client client;
        client_start(&client, (struct engine_config){.prefix_cache = cache});
        struct collected *one = client_collected_new(1);
        struct generation_request request = client_request(8, 200, 20);
        request.choices = 16;
        assert_int_equal(client_submit(&client, &request, one), 0);
        client_await(&client, one);
        for (uint32_t i = 0; i < 16; i++) {
            assert_int_equal(one->choices[i].finish, FINISH_LENGTH);
            assert_int_equal(one->choices[i].cached_tokens, i == 0 ? 0 : 192);
            client_expect_greedy(one, i, 8);
        }
        struct engine_stats stats;
        engine_stats(client.engine, &stats);
        assert_int_equal(stats.prompt_tokens_computed, 200 + 15 * 8);
        client_stop(&client);
        free(one);
    }
}

static void end_and_stop_tokens_end_and_are_counted(void **state)
{
    (void)state;
    struct client client;
    client_start(&client, (struct engine_config){.prefix_cache = true});
    struct collected *one = client_collected_new(1);
    struct logit_bias *bias = malloc(sizeof *bias);
    *bias = (struct logit_bias){.token = FAKE_END_TOKEN, .bias = 100.0f};
    struct generation_request request = client_request(1, 10, 30);
    request.ignore_eos = false;
    request.sampling.bias = bias;
    request.sampling.bias_count = 1;
    request.min_tokens = 4;
    assert_int_equal(client_submit(&client, &request, one), 0);
    client_await(&client, one);
    assert_int_equal(one->choices[0].finish, FINISH_STOP);
    assert_int_equal(one->choices[0].count, 5); /* 4 others at least, then the end token */
    assert_int_equal(one->choices[0].tokens[4], FAKE_END_TOKEN);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_not_equal(one->choices[0].tokens[i], FAKE_END_TOKEN);

    request = client_request(1, 10, 30);
    uint32_t prompt[10];
    client_prompt(1, prompt, 10);
    request.stop_tokens[0] = fake_model_greedy(prompt, 10);
    request.stop_token_count = 1;
    uint32_t stop = request.stop_tokens[0];
    assert_int_equal(client_submit(&client, &request, one), 0);
    client_await(&client, one);
    assert_int_equal(one->choices[0].finish, FINISH_STOP);
    assert_int_equal(one->choices[0].count, 1);
    assert_int_equal(one->choices[0].tokens[0], stop);
    client_stop(&client);
    free(one);
}

static void prompt_logprobs_come_once_a_token_before_the_first(void **state)
{
    (void)state;
    const struct engine_config configs[] = {
        {.prefix_cache = true},
        {.prefix_cache = true, .max_step_tokens = 12, .max_sequences = 4},
        {.prefix_cache = true, .context = 320, .kv_blocks = 20},
    };
    for (uint32_t round = 0; round < 3; round++) {
        struct client client;
        client_start(&client, configs[round]);
        struct collected *got = client_collected_new(8);
        for (uint32_t i = 0; i < 8; i++) {
            struct generation_request request = client_request(3, 150, i == 7 ? 1 : 40);
            request.prompt_logprobs = i % 2 == 1;
            request.sampling.logprobs = i % 2 == 1;
            request.choices = i == 5 ? 2 : 1;
            assert_int_equal(client_submit(&client, &request, &got[i]), 0);
        }
        for (uint32_t i = 0; i < 8; i++) {
            client_await(&client, &got[i]);
            client_expect_greedy(&got[i], 0, 3);
            uint32_t prompt[150];
            client_prompt(3, prompt, 150);
            assert_int_equal(got[i].prompt_count, i % 2 == 1 ? 150 : 0);
            for (uint32_t j = 0; j < got[i].prompt_count; j++) {
                assert_int_equal(got[i].prompt_tokens[j], prompt[j]);
                assert_true(j > 0 || isnan(got[i].prompt_logprobs[j]));
                if (j == 0)
                    continue;
                float logits[FAKE_VOCABULARY];
                double sum = 0;
                fake_model_logits(prompt, j, logits);
                for (uint32_t k = 0; k < FAKE_VOCABULARY; k++)
                    sum += exp(logits[k]);
                double expected = logits[prompt[j]] - log(sum);
                assert_true(fabs(got[i].prompt_logprobs[j] - expected) < 1e-4);
            }
        }
        client_stop(&client);
        free(got);
    }
}

static void full_queue_is_busy_and_loses_nothing(void **state)
{
    (void)state;
    struct client client;
    client_start(&client, (struct engine_config){.max_sequences = 1, .max_queue = 2});
    fake_model_hold(client.model);
    struct collected *got = client_collected_new(5);
    struct generation_request request = client_request(1, 10, 5);
    assert_int_equal(client_submit(&client, &request, &got[0]), 0);
    fake_model_await_step(client.model); /* it runs; the queue is empty */
    for (uint32_t i = 1; i < 5; i++) {
        request = client_request(i, 10, 5);
        assert_int_equal(client_submit(&client, &request, &got[i]), i < 3 ? 0 : ERROR_BUSY);
    }
    uint32_t retry_after_s = 0;
    assert_int_equal(engine_admission(client.engine, 0, &retry_after_s, NULL), ERROR_BUSY);
    assert_in_range(retry_after_s, 1, 60);
    fake_model_run_freely(client.model);
    for (uint32_t i = 0; i < 3; i++) {
        client_await(&client, &got[i]);
        assert_int_equal(got[i].choices[0].count, 5);
    }
    assert_int_equal(engine_admission(client.engine, 0, &retry_after_s, NULL), 0);
    client_stop(&client);
    free(got);
}

/* The engine last did something long before: that is no stall of the step which begins now. */
static void an_idle_engine_that_begins_has_not_stood_still(void **state)
{
    (void)state;
    struct client client;
    struct engine_stats stats;
    struct collected *got = client_collected_new(1);
    client_start(&client, (struct engine_config){.max_sequences = 1});
    fake_model_hold(client.model);
    uint64_t asked_us = clock_monotonic_us();
    struct generation_request request = client_request(1, 10, 5);
    assert_int_equal(client_submit(&client, &request, &got[0]), 0);
    fake_model_await_step(client.model);
    engine_stats(client.engine, &stats);
    assert_true(stats.busy);
    assert_true(stats.last_progress_us >= asked_us);
    uint64_t layer_us = clock_monotonic_us();
    fake_model_layer(client.model); /* the step is long, and gets on */
    engine_stats(client.engine, &stats);
    assert_true(stats.last_progress_us >= layer_us);
    fake_model_run_freely(client.model);
    client_await(&client, &got[0]);
    client_stop(&client);
    free(got);
}

static void a_stop_need_not_wait_for_a_step_that_hangs(void **state)
{
    (void)state;
    struct client client;
    struct collected *got = client_collected_new(1);
    client_start(&client, (struct engine_config){.max_sequences = 1});
    fake_model_hold(client.model);
    struct generation_request request = client_request(1, 10, 5);
    assert_int_equal(client_submit(&client, &request, &got[0]), 0);
    fake_model_await_step(client.model);
    assert_false(engine_stop_until(client.engine, clock_unix_us() + 1000));
    assert_int_equal(engine_admission(client.engine, 0, NULL, NULL), ERROR_CLOSED);
    fake_model_run_freely(client.model);
    assert_true(engine_stop_until(client.engine, clock_unix_us() + 3600 * INT64_C(1000000)));
    assert_true(engine_stop_until(client.engine, 0)); /* it has */
    client_await(&client, &got[0]);
    assert_int_equal(got[0].choices[0].finish, FINISH_ABORT);
    client_stop(&client);
    free(got);
}

static void queue_is_bounded_in_tokens_but_takes_one_long_prompt(void **state)
{
    (void)state;
    struct client client;
    client_start(&client, (struct engine_config){.max_sequences = 1, .max_queue_tokens = 100});
    fake_model_hold(client.model);
    struct collected *got = client_collected_new(4);
    struct generation_request request = client_request(1, 200, 5);
    assert_int_equal(client_submit(&client, &request, &got[0]), 0); /* longer than the limit */
    fake_model_await_step(client.model);
    request = client_request(2, 60, 5);
    assert_int_equal(client_submit(&client, &request, &got[1]), 0);
    request = client_request(3, 60, 5);
    assert_int_equal(client_submit(&client, &request, &got[2]), ERROR_BUSY);
    request = client_request(4, 40, 5);
    assert_int_equal(client_submit(&client, &request, &got[3]), 0);
    fake_model_run_freely(client.model);
    client_await(&client, &got[3]);
    client_await(&client, &got[1]);
    client_stop(&client);
    free(got);
}

static void requests_out_of_range_are_refused_by_name(void **state)
{
    (void)state;
    struct client client;
    client_start(&client, (struct engine_config){.context = 64});
    struct generation_request good = client_request(1, 10, 5);
    struct error err = {0};
    uint64_t id;
#define REFUSED(member, value, word)                                                               \
    do {                                                                                           \
        struct generation_request bad = good;                                                      \
        bad.member = (value);                                                                      \
        assert_int_equal(engine_submit(client.engine, &bad, &id, &err), ERROR_INVALID);            \
        assert_non_null(strstr(err.text, word));                                                   \
    } while (0)
    REFUSED(worker, 1, "worker");
    REFUSED(prompt_count, 0, "prompt");
    REFUSED(prompt_count, 64, "prompt");
    REFUSED(max_tokens, 0, "max_tokens");
    REFUSED(max_tokens, 55, "max_tokens");
    REFUSED(max_tokens, UINT32_MAX, "max_tokens");
    REFUSED(choices, 0, "n:");
    REFUSED(choices, 17, "n:");
    REFUSED(stop_token_count, 17, "stop_token_ids");
    REFUSED(tenant_weight, 0.0f, "weight");
    REFUSED(sampling.temperature, -1.0f, "temperature");
#undef REFUSED
    good.prompt[3] = FAKE_VOCABULARY;
    assert_int_equal(engine_submit(client.engine, &good, &id, &err), ERROR_INVALID);
    assert_non_null(strstr(err.text, "prompt token 3"));
    free(good.prompt);
    client_stop(&client);
}

static void start_needs_blocks_for_one_whole_context(void **state)
{
    (void)state;
    struct model *model = fake_model_new(512);
    struct engine_config config = {.model = model,
                                   .workers = 1,
                                   .context = 512,
                                   .max_step_tokens = 8,
                                   .max_sequences = 8,
                                   .max_queue = 1,
                                   .max_queue_tokens = 1,
                                   .kv_memory_bytes = 31 * 1024};
    struct error err = {0};
    assert_null(engine_start(&config, &err));
    assert_int_equal(err.code, ERROR_INVALID); /* no wake */
    struct client client;
    client_start(&client, (struct engine_config){.context = 512, .kv_blocks = 32});
    client_stop(&client);
    config.wake = (void (*)(void *, uint32_t))(uintptr_t)1; /* never called: start fails */
    assert_null(engine_start(&config, &err));
    assert_non_null(strstr(err.text, "31 blocks"));
    assert_non_null(strstr(err.text, "32768"));
    config.max_sequences = 9;
    assert_null(engine_start(&config, &err));
    assert_non_null(strstr(err.text, "max_step_tokens: 8"));
    config.context = 513;
    assert_null(engine_start(&config, &err));
    assert_non_null(strstr(err.text, "context: 513"));
    fake_model_free(model);
}

static void cancelling_works_in_every_stage(void **state)
{
    (void)state;
    struct client client;
    client_start(&client, (struct engine_config){
                              .prefix_cache = true, .max_sequences = 2, .max_step_tokens = 16});
    fake_model_hold(client.model);
    struct collected *got = client_collected_new(4);
    struct engine_stats stats;
    struct generation_request request = client_request(1, 100, 50);
    request.choices = 4;
    assert_int_equal(client_submit(&client, &request, &got[0]), 0);
    fake_model_await_step(client.model); /* in its prefill, the others held */
    request = client_request(2, 10, 50);
    assert_int_equal(client_submit(&client, &request, &got[1]), 0);
    engine_cancel(client.engine, got[1].id); /* perhaps before it was taken */
    engine_cancel_choice(client.engine, got[0].id, 0);
    fake_model_release(client.model, 1);
    client_await(&client, &got[1]);
    assert_int_equal(got[1].choices[0].finish, FINISH_ABORT);
    fake_model_await_step(client.model); /* choice 1 computes the prompt now */
    client_poll(&client);
    assert_int_equal(got[0].choices[0].finish, FINISH_ABORT);
    assert_int_equal(got[0].choices[1].finish, FINISH_NONE);
    while (got[0].choices[1].count < 3) {
        fake_model_release(client.model, 1);
        fake_model_await_step(client.model);
        client_poll(&client);
    }
    engine_cancel(client.engine, got[0].id); /* decoding, prefilling and waiting at once */
    fake_model_run_freely(client.model);
    client_await(&client, &got[0]);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(got[0].choices[i].finish, FINISH_ABORT);
    engine_stats(client.engine, &stats);
    assert_int_equal(stats.kv.referenced_count, 0);
    engine_cancel(client.engine, got[0].id); /* no more: ignored */
    engine_cancel(client.engine, 0);
    engine_cancel(client.engine, UINT64_MAX);
    request = client_request(3, 10, 5); /* perhaps in the slot of a cancelled one */
    assert_int_equal(client_submit(&client, &request, &got[2]), 0);
    client_await(&client, &got[2]);
    assert_int_equal(got[2].choices[0].finish, FINISH_LENGTH);
    client_stop(&client);
    free(got);
}

static void cancelled_blocks_are_free_before_the_next_step(void **state)
{
    (void)state;
    struct client client;
    client_start(&client, (struct engine_config){0});
    fake_model_hold(client.model);
    struct collected *got = client_collected_new(2);
    struct generation_request request = client_request(1, 160, 50);
    assert_int_equal(client_submit(&client, &request, &got[0]), 0);
    fake_model_await_step(client.model);
    request = client_request(2, 10, 3);
    assert_int_equal(client_submit(&client, &request, &got[1]), 0);
    engine_cancel(client.engine, got[0].id);
    fake_model_release(client.model, 1);
    /* Planned after the cancel: only the short one; or ahead, before both. */
    fake_model_await_step(client.model);
    struct engine_stats stats;
    engine_stats(client.engine, &stats);
    assert_int_equal(stats.kv.referenced_count, getenv("FAKE_MODEL_DRAWS") == NULL);
    assert_true(stats.busy);
    fake_model_run_freely(client.model);
    client_await(&client, &got[0]);
    client_await(&client, &got[1]);
    client_stop(&client);
    free(got);
}

static void stopping_ends_everything_once(void **state)
{
    (void)state;
    struct client client;
    client_start(&client, (struct engine_config){.max_sequences = 4});
    fake_model_hold(client.model);
    struct collected *got = client_collected_new(20);
    for (uint32_t i = 0; i < 20; i++) {
        struct generation_request request = client_request(i, 30, 400);
        request.choices = 1 + i % 3;
        assert_int_equal(client_submit(&client, &request, &got[i]), 0);
    }
    fake_model_await_step(client.model);
    fake_model_release(client.model, 5);
    fake_model_await_step(client.model);
    fake_model_run_freely(client.model);
    engine_stop(client.engine);
    client_poll(&client);
    for (uint32_t i = 0; i < 20; i++) {
        assert_true(got[i].done);
        for (uint32_t c = 0; c < got[i].request.choices; c++)
            assert_true(got[i].choices[c].finish == FINISH_ABORT ||
                        got[i].choices[c].finish == FINISH_LENGTH);
    }
    struct generation_request request = client_request(1, 10, 5);
    assert_int_equal(client_submit(&client, &request, &got[0]), ERROR_CLOSED);
    assert_int_equal(engine_admission(client.engine, 0, NULL, NULL), ERROR_CLOSED);
    client_stop(&client);
    free(got);
}

static void idle_engine_is_not_busy_and_steps_are_counted(void **state)
{
    (void)state;
    struct client client;
    client_start(&client, (struct engine_config){.max_step_tokens = 64});
    struct engine_stats stats;
    engine_stats(client.engine, &stats);
    assert_false(stats.busy);
    assert_true(stats.last_progress_us > 0);
    struct collected *one = client_collected_new(1);
    struct generation_request request = client_request(1, 70, 10);
    assert_int_equal(client_submit(&client, &request, one), 0);
    client_await(&client, one);
    engine_stats(client.engine, &stats);
    assert_false(stats.busy);
    assert_int_equal(stats.steps, 11); /* two chunks, the second draws the first token */
    assert_int_equal(stats.step_rows, 79);
    assert_int_equal(stats.iteration_rows[0], 9);
    assert_int_equal(stats.iteration_rows[1], 1); /* 6 rows */
    assert_int_equal(stats.iteration_rows[4], 1); /* 64 */
    assert_int_equal(engine_context(client.engine), 512);
    client_stop(&client);
    free(one);
}

static uint32_t roll(uint64_t *random, uint32_t below)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33) % below;
}

static struct generation_request random_request(uint64_t *random, uint32_t *ret_seed)
{
    *ret_seed = roll(random, 6);
    struct generation_request request =
        client_request(*ret_seed, 1 + roll(random, roll(random, 4) ? 40 : 200),
                       1 + roll(random, roll(random, 2) ? 12 : 50));
    request.choices = roll(random, 5) ? 1 : 1 + roll(random, 4);
    request.priority = (int32_t)roll(random, 3) - 1;
    request.tenant = roll(random, 4);
    request.tenant_weight = 1.0f + (float)request.tenant;
    request.prompt_logprobs = roll(random, 10) == 0;
    return request;
}

/* Thousands of lives, any of them cut short anywhere, in a pool too small for them. */
static void random_lives_end_once_with_the_models_tokens(void **state)
{
    (void)state;
    enum { OPEN = 48, LIVES = 4000 };
    struct client client;
    client_start(&client, (struct engine_config){.prefix_cache = true,
                                                 .context = 256,
                                                 .kv_blocks = 16,
                                                 .max_sequences = 12,
                                                 .max_step_tokens = 48,
                                                 .max_queue = 40});
    struct collected *open = client_collected_new(OPEN);
    uint32_t seeds[OPEN] = {0}, begun = 0, ended = 0;
    uint64_t random = 12345;
    while (ended < LIVES) {
        uint32_t at = roll(&random, OPEN);
        struct collected *one = &open[at];
        client_poll(&client);
        if (one->done) {
            for (uint32_t c = 0; c < one->request.choices; c++)
                client_expect_greedy(one, c, seeds[at]);
            one->done = one->submitted = false;
            ended++;
        }
        if (!one->submitted && begun < LIVES) {
            struct generation_request request = random_request(&random, &seeds[at]);
            int code = client_submit(&client, &request, one);
            assert_true(code == 0 || code == ERROR_BUSY);
            begun += code == 0;
        } else if (one->submitted && roll(&random, 12) == 0) {
            if (roll(&random, 2))
                engine_cancel(client.engine, one->id);
            else
                engine_cancel_choice(client.engine, one->id, roll(&random, 4));
        }
        if (roll(&random, 4000) == 0)
            fake_model_fail_next(client.model, 1);
        if (one->submitted && roll(&random, 8) == 0)
            client_await_tokens(&client, one, one->choices[0].count + 1);
    }
    struct engine_stats stats;
    engine_stats(client.engine, &stats);
    assert_true(stats.preemptions > 0);
    assert_true(stats.prefix_hits > 0);
    client_stop(&client);
    free(open);
}

struct submitter {
    struct client *client; /* borrowed: the test */
    uint32_t number, accepted;
};

/* Submits and cancels until the engine is closed. */
static void *submit_until_closed(void *argument)
{
    struct submitter *submitter = argument;
    struct engine *engine = submitter->client->engine;
    uint64_t random = submitter->number, id = 0;
    for (;;) {
        uint32_t seed, retry_after_s;
        struct generation_request request = random_request(&random, &seed);
        struct engine_stats stats;
        engine_stats(engine, &stats);
        assert(stats.kv.block_count == 64);
        (void)engine_admission(engine, 0, &retry_after_s, NULL);
        engine_cancel(engine, id - roll(&random, 2));
        int code = engine_submit(engine, &request, &id, NULL);
        submitter->accepted += code == 0;
        if (code != 0)
            free(request.prompt);
        if (code == ERROR_CLOSED)
            return NULL;
        assert(code == 0 || code == ERROR_BUSY);
        if (code == ERROR_BUSY)
            sched_yield();
    }
}

static uint32_t count_last_events(struct engine *engine)
{
    uint32_t count = 0;
    struct generation_events *batch = engine_receive(engine, 0);
    while (batch != NULL) {
        struct generation_events *next = batch->next;
        for (uint32_t i = 0; i < batch->count; i++)
            count += batch->events[i].last;
        free(batch);
        batch = next;
    }
    return count;
}

static void stopping_races_with_submitting_and_loses_nobody(void **state)
{
    (void)state;
    enum { THREADS = 3 };
    for (uint32_t round = 0; round < 4; round++) {
        struct client client;
        client_start(&client, (struct engine_config){.prefix_cache = true,
                                                     .context = 256,
                                                     .kv_blocks = 64,
                                                     .max_sequences = 8,
                                                     .max_queue = 16});
        pthread_t threads[THREADS];
        struct submitter submitters[THREADS];
        for (uint32_t i = 0; i < THREADS; i++) {
            submitters[i] = (struct submitter){.client = &client, .number = round * THREADS + i};
            assert_int_equal(pthread_create(&threads[i], NULL, submit_until_closed, &submitters[i]),
                             0);
        }
        uint32_t accepted = 0, ended = 0;
        while (ended < 100)
            ended += count_last_events(client.engine);
        engine_stop(client.engine);
        for (uint32_t i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            accepted += submitters[i].accepted;
        }
        ended += count_last_events(client.engine);
        assert_int_equal(ended, accepted);
        client_stop(&client);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_the_models_own),
        cmocka_unit_test(tokens_do_not_depend_on_who_shares_the_machine),
        cmocka_unit_test(second_prompt_is_found_in_the_cache),
        cmocka_unit_test(tenants_share_prefixes_only_if_told_to),
        cmocka_unit_test(generated_tokens_are_found_in_the_cache_too),
        cmocka_unit_test(choices_share_the_prompt_with_and_without_cache),
        cmocka_unit_test(end_and_stop_tokens_end_and_are_counted),
        cmocka_unit_test(prompt_logprobs_come_once_a_token_before_the_first),
        cmocka_unit_test(full_queue_is_busy_and_loses_nothing),
        cmocka_unit_test(an_idle_engine_that_begins_has_not_stood_still),
        cmocka_unit_test(a_stop_need_not_wait_for_a_step_that_hangs),
        cmocka_unit_test(queue_is_bounded_in_tokens_but_takes_one_long_prompt),
        cmocka_unit_test(requests_out_of_range_are_refused_by_name),
        cmocka_unit_test(start_needs_blocks_for_one_whole_context),
        cmocka_unit_test(cancelling_works_in_every_stage),
        cmocka_unit_test(cancelled_blocks_are_free_before_the_next_step),
        cmocka_unit_test(stopping_ends_everything_once),
        cmocka_unit_test(idle_engine_is_not_busy_and_steps_are_counted),
        cmocka_unit_test(stopping_races_with_submitting_and_loses_nobody),
        cmocka_unit_test(random_lives_end_once_with_the_models_tokens),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    setenv("FAKE_MODEL_DRAWS", "1", 1);
    return failed + cmocka_run_group_tests_name("on a device that draws", tests, NULL, NULL);
}
