/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "batching/sampler.h"

#define SMALL 8u

static struct sampling plain_sampling(void)
{
    return (struct sampling){.temperature = 1.0f, .top_p = 1.0f, .repetition_penalty = 1.0f};
}

/* Draws once from a copy of logits. */
static int draw(uint32_t vocabulary, const float *logits, const struct sampler_input *input,
                struct sampled *ret)
{
    struct sampler *sampler = sampler_new(vocabulary, NULL);
    float *row = malloc(vocabulary * sizeof *row);
    memcpy(row, logits, vocabulary * sizeof *row);
    int code = sampler_draw(sampler, row, input, ret);
    free(row);
    sampler_free(sampler);
    return code;
}

static uint32_t draw_token(const float *logits, const struct sampler_input *input)
{
    struct sampled sampled;
    assert_int_equal(draw(SMALL, logits, input, &sampled), 0);
    return sampled.token;
}

/* Which tokens come out of `rounds` positions, and how often. */
static void histogram(const float *logits, const struct sampling *sampling, uint32_t rounds,
                      uint32_t counts[SMALL])
{
    struct sampler *sampler = sampler_new(SMALL, NULL);
    static const uint32_t output[4096];
    memset(counts, 0, SMALL * sizeof *counts);
    for (uint32_t i = 0; i < rounds; i++) {
        float row[SMALL];
        memcpy(row, logits, sizeof row);
        struct sampler_input input = {
            .sampling = sampling, .output = output, .output_count = i % 4096, .choice = i / 4096};
        struct sampled sampled;
        assert_int_equal(sampler_draw(sampler, row, &input, &sampled), 0);
        counts[sampled.token]++;
    }
    sampler_free(sampler);
}

static void settings_out_of_range_are_named(void **state)
{
    (void)state;
    struct logit_bias bias = {.token = 3, .bias = 1.0f};
    struct error err = {0};
    struct sampling good = plain_sampling();
    good.bias = &bias;
    good.bias_count = 1;
    assert_int_equal(sampling_check(&good, SMALL, &err), 0);
#define REFUSED(member, value, word)                                                               \
    do {                                                                                           \
        struct sampling bad = good;                                                                \
        bad.member = (value);                                                                      \
        assert_int_equal(sampling_check(&bad, SMALL, &err), ERROR_INVALID);                        \
        assert_non_null(strstr(err.text, word));                                                   \
    } while (0)
    REFUSED(temperature, 2.1f, "temperature");
    REFUSED(temperature, NAN, "temperature");
    REFUSED(top_p, 0.0f, "top_p");
    REFUSED(top_p, NAN, "top_p");
    REFUSED(min_p, -0.1f, "min_p");
    REFUSED(repetition_penalty, 0.0f, "repetition_penalty");
    REFUSED(repetition_penalty, INFINITY, "repetition_penalty");
    REFUSED(presence_penalty, 2.5f, "presence_penalty");
    REFUSED(frequency_penalty, -2.5f, "frequency_penalty");
    REFUSED(top_logprobs, 21, "top_logprobs");
    REFUSED(bias_count, SAMPLING_LOGIT_BIAS_MAX + 1, "logit_bias");
#undef REFUSED
    bias.token = SMALL;
    assert_int_equal(sampling_check(&good, SMALL, &err), ERROR_INVALID);
    bias = (struct logit_bias){.token = 1, .bias = NAN};
    assert_int_equal(sampling_check(&good, SMALL, &err), ERROR_INVALID);
}

static void zero_temperature_is_arg_max_and_ties_go_to_the_lowest_id(void **state)
{
    (void)state;
    struct sampling sampling = plain_sampling();
    sampling.temperature = 0.0f;
    struct sampler_input input = {.sampling = &sampling};
    assert_int_equal(draw_token((float[SMALL]){0, 1, 5, 2, 5, 0, 0, 0}, &input), 2);
    assert_int_equal(draw_token((float[SMALL]){0, 0, 0, 0, 0, 0, 0, 0}, &input), 0);
}

static void logits_that_are_not_finite_never_win(void **state)
{
    (void)state;
    struct sampling sampling = plain_sampling();
    struct sampler_input input = {.sampling = &sampling};
    const float logits[SMALL] = {NAN, INFINITY, -INFINITY, 1, NAN, NAN, -INFINITY, INFINITY};
    for (uint32_t i = 0; i < 50; i++) {
        input.output_count = 0;
        input.choice = i;
        assert_int_equal(draw_token(logits, &input), 3);
    }
    sampling.temperature = 0.0f;
    assert_int_equal(draw_token(logits, &input), 3);
    struct sampled sampled;
    float none[SMALL];
    for (uint32_t i = 0; i < SMALL; i++)
        none[i] = i % 2 ? NAN : INFINITY;
    assert_int_equal(draw(SMALL, none, &input, &sampled), ERROR_INVALID);
    sampling.temperature = 1.0f;
    assert_int_equal(draw(SMALL, none, &input, &sampled), ERROR_INVALID);
}

static void draws_follow_the_softmax(void **state)
{
    (void)state;
    const float logits[SMALL] = {0, 1, 2, -1, 0.5f, -3, 1.5f, 0};
    struct sampling sampling = plain_sampling();
    for (int warm = 0; warm < 2; warm++) {
        sampling.temperature = warm ? 2.0f : 0.7f;
        sampling.seed = 42;
        uint32_t counts[SMALL];
        enum { ROUNDS = 40000 };
        histogram(logits, &sampling, ROUNDS, counts);
        double sum = 0, chi_square = 0;
        for (uint32_t i = 0; i < SMALL; i++)
            sum += exp(logits[i] / sampling.temperature);
        for (uint32_t i = 0; i < SMALL; i++) {
            double expected = ROUNDS * exp(logits[i] / sampling.temperature) / sum;
            chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
        }
        assert_true(chi_square < 24.3); /* 7 degrees of freedom, 0.1% */
    }
}

static void same_seed_choice_and_position_give_the_same_token(void **state)
{
    (void)state;
    const float logits[SMALL] = {0};
    struct sampling sampling = plain_sampling();
    uint32_t differences[3] = {0};
    static const uint32_t output[64];
    for (uint32_t i = 0; i < 64; i++) {
        struct sampler_input input = {.sampling = &sampling, .output = output, .output_count = i};
        sampling.seed = 1;
        uint32_t token = draw_token(logits, &input);
        assert_int_equal(draw_token(logits, &input), token);
        input.choice = 1;
        differences[0] += draw_token(logits, &input) != token;
        input.choice = 0;
        sampling.seed = 2;
        differences[1] += draw_token(logits, &input) != token;
        sampling.seed = 1;
        input.output_count = (i + 1) % 64;
        differences[2] += draw_token(logits, &input) != token;
    }
    for (int i = 0; i < 3; i++)
        assert_true(differences[i] > 40);
}

static void only_tokens(const float *logits, const struct sampling *sampling, uint32_t allowed)
{
    uint32_t counts[SMALL];
    histogram(logits, sampling, 4000, counts);
    for (uint32_t i = 0; i < SMALL; i++) {
        if (allowed & 1u << i)
            assert_true(counts[i] > 0);
        else
            assert_int_equal(counts[i], 0);
    }
}

static void top_k_keeps_exactly_k_with_ties_to_the_lowest_id(void **state)
{
    (void)state;
    struct sampling sampling = plain_sampling();
    sampling.top_k = 3;
    only_tokens((float[SMALL]){1, 1, 1, 1, 1, 1, 1, 1}, &sampling, 0x07);
    only_tokens((float[SMALL]){0, 1, 2, 1.5f, 2, 0, 0, 2}, &sampling, 0x94);
    sampling.top_k = 100;
    only_tokens((float[SMALL]){1, 1, 1, 1, 1, 1, 1, 1}, &sampling, 0xff);
}

static void top_p_keeps_the_fewest_that_reach_the_mass(void **state)
{
    (void)state;
    struct sampling sampling = plain_sampling();
    const float logits[SMALL] = {logf(0.4f), logf(0.3f), logf(0.2f), logf(0.1f),
                                 -50,        -50,        -50,        -50};
    sampling.top_p = 0.39f;
    only_tokens(logits, &sampling, 0x01);
    sampling.top_p = 0.5f;
    only_tokens(logits, &sampling, 0x03);
    sampling.top_p = 0.85f;
    only_tokens(logits, &sampling, 0x07);
    sampling.top_p = 1e-6f;
    only_tokens(logits, &sampling, 0x01);
}

static void min_p_is_relative_to_the_most_likely(void **state)
{
    (void)state;
    struct sampling sampling = plain_sampling();
    const float logits[SMALL] = {logf(0.4f), logf(0.3f), logf(0.2f), logf(0.1f),
                                 -50,        -50,        -50,        -50};
    sampling.min_p = 0.45f;
    only_tokens(logits, &sampling, 0x07);
    sampling.min_p = 1.0f;
    only_tokens(logits, &sampling, 0x01);
}

/* top_p sees what temperature and top_k left: with k = 2 the mass of two tokens is 1. */
static void filters_run_in_the_documented_order(void **state)
{
    (void)state;
    const float logits[SMALL] = {logf(0.4f), logf(0.3f), logf(0.2f), logf(0.1f),
                                 -50,        -50,        -50,        -50};
    struct sampling sampling = plain_sampling();
    sampling.top_k = 2;
    sampling.top_p = 0.56f; /* 0.4 / 0.7 = 0.571 reaches it alone; 0.4 / 1 would not */
    only_tokens(logits, &sampling, 0x01);
    sampling = plain_sampling();
    sampling.temperature = 0.5f; /* squares: 0.533, 0.3, 0.133, 0.033 */
    sampling.top_p = 0.52f;
    only_tokens(logits, &sampling, 0x01);
    sampling = plain_sampling();
    sampling.temperature = 0.5f;
    sampling.min_p = 0.3f; /* squares relative to the first: 1, 0.5625, 0.25 */
    only_tokens(logits, &sampling, 0x03);
}

static void bias_comes_before_penalties(void **state)
{
    (void)state;
    struct sampling sampling = plain_sampling();
    sampling.temperature = 0.0f;
    struct logit_bias bias = {.token = 1, .bias = 10.0f};
    sampling.bias = &bias;
    sampling.bias_count = 1;
    sampling.repetition_penalty = 10.0f;
    const uint32_t output[1] = {1};
    struct sampler_input input = {.sampling = &sampling, .output = output, .output_count = 1};
    /* (1 + 10) / 10 = 1.1 < 2; the other way round it would be 1 / 10 + 10 */
    assert_int_equal(draw_token((float[SMALL]){2, 1, 0, 0, 0, 0, 0, 0}, &input), 0);
    sampling.repetition_penalty = 1.0f;
    assert_int_equal(draw_token((float[SMALL]){2, 1, 0, 0, 0, 0, 0, 0}, &input), 1);
}

static void repetition_covers_prompt_and_output_once_each(void **state)
{
    (void)state;
    struct sampling sampling = plain_sampling();
    sampling.temperature = 0.0f;
    sampling.repetition_penalty = 2.0f;
    const uint32_t prompt[3] = {0, 0, 0}, output[2] = {1, 1};
    struct sampler_input input = {.sampling = &sampling,
                                  .prompt = prompt,
                                  .prompt_count = 3,
                                  .output = output,
                                  .output_count = 2};
    /* 8 / 2 and 7 / 2 against 3.9, 3.4: halved once only */
    assert_int_equal(draw_token((float[SMALL]){8, 7, 3.9f, 0, 0, 0, 0, 0}, &input), 0);
    assert_int_equal(draw_token((float[SMALL]){7, 7, 3.9f, 0, 0, 0, 0, 0}, &input), 2);
    /* below zero the penalty multiplies */
    assert_int_equal(draw_token((float[SMALL]){-1, -1, -1.9f, -9, -9, -9, -9, -9}, &input), 2);
}

static void frequency_counts_output_and_presence_does_not(void **state)
{
    (void)state;
    struct sampling sampling = plain_sampling();
    sampling.temperature = 0.0f;
    const uint32_t prompt[2] = {2, 2}, output[4] = {0, 0, 0, 1};
    struct sampler_input input = {.sampling = &sampling,
                                  .prompt = prompt,
                                  .prompt_count = 2,
                                  .output = output,
                                  .output_count = 4};
    sampling.frequency_penalty = 1.0f;
    assert_int_equal(draw_token((float[SMALL]){4, 2.5f, 1.4f, 0, 0, 0, 0, 0}, &input), 1);
    sampling.frequency_penalty = 0.0f;
    sampling.presence_penalty = 1.0f;
    assert_int_equal(draw_token((float[SMALL]){4, 2.5f, 1.4f, 0, 0, 0, 0, 0}, &input), 0);
    assert_int_equal(draw_token((float[SMALL]){2.3f, 2.2f, 1.4f, 0, 0, 0, 0, 0}, &input), 2);
}

static void penalties_leave_no_trace_for_the_next_draw(void **state)
{
    (void)state;
    struct sampler *sampler = sampler_new(SMALL, NULL);
    struct sampling penal = plain_sampling(), sampling = plain_sampling();
    penal.temperature = sampling.temperature = 0.0f;
    penal.repetition_penalty = 1.5f;
    penal.frequency_penalty = penal.presence_penalty = sampling.frequency_penalty = 1.0f;
    const uint32_t prompt[2] = {3, 4}, output[3] = {0, 0, 5};
    struct sampler_input input = {.sampling = &penal,
                                  .prompt = prompt,
                                  .prompt_count = 2,
                                  .output = output,
                                  .output_count = 3};
    float logits[SMALL] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct sampled sampled;
    assert_int_equal(sampler_draw(sampler, logits, &input, &sampled), 0);
    float fresh[SMALL] = {5, 4.5f, 0, 0, 0, 0, 0, 0};
    input = (struct sampler_input){.sampling = &sampling, .output = output, .output_count = 1};
    assert_int_equal(sampler_draw(sampler, fresh, &input, &sampled), 0);
    assert_int_equal(sampled.token, 1); /* 5 - 1 < 4.5: once, not three times */
    assert_true(fresh[0] == 4.0f);
    sampler_free(sampler);
}

static void forbidden_tokens_are_not_drawn(void **state)
{
    (void)state;
    struct sampling sampling = plain_sampling();
    struct logit_bias bias = {.token = 2, .bias = 100.0f};
    sampling.bias = &bias;
    sampling.bias_count = 1;
    sampling.temperature = 0.0f;
    const uint32_t forbidden[2] = {2, 5};
    struct sampler_input input = {
        .sampling = &sampling, .forbidden = forbidden, .forbidden_count = 2};
    assert_int_equal(draw_token((float[SMALL]){0, 1, 9, 2, 0, 9, 0, 0}, &input), 3);
}

static void log_probabilities_are_of_the_raw_row(void **state)
{
    (void)state;
    struct sampling sampling = plain_sampling();
    struct logit_bias bias = {.token = 3, .bias = 100.0f};
    sampling.bias = &bias;
    sampling.bias_count = 1;
    sampling.temperature = 0.1f;
    sampling.logprobs = true;
    sampling.top_logprobs = 3;
    struct sampler_input input = {.sampling = &sampling};
    struct sampled sampled;
    const float logits[SMALL] = {logf(0.1f),  logf(0.3f),  logf(0.3f),  logf(0.05f),
                                 logf(0.05f), logf(0.05f), logf(0.05f), logf(0.1f)};
    assert_int_equal(draw(SMALL, logits, &input, &sampled), 0);
    assert_int_equal(sampled.token, 3);
    assert_true(fabsf(sampled.logprob - logf(0.05f)) < 1e-5f);
    assert_int_equal(sampled.top_count, 3);
    const uint32_t tokens[3] = {1, 2, 0}; /* equal ones by id */
    const float probabilities[3] = {0.3f, 0.3f, 0.1f};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sampled.top[i].token, tokens[i]);
        assert_true(fabsf(sampled.top[i].logprob - logf(probabilities[i])) < 1e-5f);
    }
    sampling.logprobs = false;
    assert_int_equal(draw(SMALL, logits, &input, &sampled), 0);
    assert_true(isnan(sampled.logprob));
    assert_int_equal(sampled.top_count, 0);
}

static void prompt_log_probabilities_survive_odd_rows(void **state)
{
    (void)state;
    struct sampler *sampler = sampler_new(SMALL, NULL);
    struct sampled sampled;
    sampler_logprobs(sampler, (float[SMALL]){NAN, 0, INFINITY, 0, -INFINITY, NAN, NAN, NAN}, 0, 20,
                     &sampled);
    assert_true(sampled.logprob == -INFINITY);
    assert_int_equal(sampled.top_count, 2);
    assert_true(fabsf(sampled.top[0].logprob - logf(0.5f)) < 1e-6f);
    sampler_logprobs(sampler, (float[SMALL]){0}, 7, 0, &sampled);
    assert_true(fabsf(sampled.logprob - logf(0.125f)) < 1e-6f);
    assert_int_equal(sampled.top_count, 0);
    sampler_free(sampler);
}

struct ranked {
    float logit;
    uint32_t token;
};

static int by_rank(const void *a, const void *b)
{
    const struct ranked *left = a, *right = b;
    if (left->logit != right->logit)
        return left->logit > right->logit ? -1 : 1;
    return left->token < right->token ? -1 : 1;
}

/* Sorting is the definition; selection must keep the same set. */
static void selection_keeps_what_a_full_sort_keeps(void **state)
{
    (void)state;
    enum { VOCABULARY = 3000 };
    static float logits[VOCABULARY], row[VOCABULARY];
    static struct ranked ranked[VOCABULARY];
    struct sampler *sampler = sampler_new(VOCABULARY, NULL);
    uint32_t random = 1;
    for (uint32_t round = 0; round < 300; round++) {
        uint32_t levels = round % 3 == 0 ? 4 : 4096; /* few levels: many ties */
        for (uint32_t i = 0; i < VOCABULARY; i++) {
            random = random * 1664525u + 1013904223u;
            logits[i] = (float)((random >> 8) % levels) / (float)levels * 12.0f - 6.0f;
            ranked[i] = (struct ranked){logits[i], i};
        }
        qsort(ranked, VOCABULARY, sizeof *ranked, by_rank);
        struct sampling sampling = plain_sampling();
        sampling.temperature = 1.5f;
        sampling.seed = round;
        sampling.top_k = round % 2 ? 1 + round * 7 : 0;
        sampling.top_p = 0.05f + 0.9f * (float)(round % 17) / 17.0f;
        uint32_t kept = sampling.top_k > 0 ? sampling.top_k : VOCABULARY;
        double mass = 0, sum = 0;
        for (uint32_t i = 0; i < kept; i++)
            mass += exp((ranked[i].logit - ranked[0].logit) / 1.5);
        uint32_t border = 0;
        while (sum < (double)sampling.top_p * mass * (1 + 1e-6))
            sum += exp((ranked[border++].logit - ranked[0].logit) / 1.5);
        for (uint32_t choice = 0; choice < 20; choice++) {
            memcpy(row, logits, sizeof row);
            struct sampler_input input = {.sampling = &sampling, .choice = choice};
            struct sampled sampled;
            assert_int_equal(sampler_draw(sampler, row, &input, &sampled), 0);
            struct ranked drawn = {logits[sampled.token], sampled.token};
            assert_true(sampled.token == ranked[border - 1].token ||
                        by_rank(&drawn, &ranked[border - 1]) < 0);
        }
    }
    sampler_free(sampler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_out_of_range_are_named),
        cmocka_unit_test(zero_temperature_is_arg_max_and_ties_go_to_the_lowest_id),
        cmocka_unit_test(logits_that_are_not_finite_never_win),
        cmocka_unit_test(draws_follow_the_softmax),
        cmocka_unit_test(same_seed_choice_and_position_give_the_same_token),
        cmocka_unit_test(top_k_keeps_exactly_k_with_ties_to_the_lowest_id),
        cmocka_unit_test(top_p_keeps_the_fewest_that_reach_the_mass),
        cmocka_unit_test(min_p_is_relative_to_the_most_likely),
        cmocka_unit_test(filters_run_in_the_documented_order),
        cmocka_unit_test(bias_comes_before_penalties),
        cmocka_unit_test(repetition_covers_prompt_and_output_once_each),
        cmocka_unit_test(frequency_counts_output_and_presence_does_not),
        cmocka_unit_test(penalties_leave_no_trace_for_the_next_draw),
        cmocka_unit_test(forbidden_tokens_are_not_drawn),
        cmocka_unit_test(log_probabilities_are_of_the_raw_row),
        cmocka_unit_test(prompt_log_probabilities_survive_odd_rows),
        cmocka_unit_test(selection_keeps_what_a_full_sort_keeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
