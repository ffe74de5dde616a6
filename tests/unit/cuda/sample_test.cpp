/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU's sampler against batching/sampler.c: the same token and the same bits of log-probability
 * for every setting, shape of distribution and history, and rows that share a call. */
#include "tests/unit/cuda/device_copy.cuh"

extern "C" {
#include "batching/sampler.h"
}
#include "kernels/cuda/sample.h"

/* A row, and what its draw depends on. */
struct draw_case {
    struct sampling sampling;
    std::vector<float> logits;
    std::vector<uint32_t> history; /* prompt, then output */
    uint32_t prompt_count, choice;
    std::vector<uint32_t> forbidden;
    std::vector<struct logit_bias> biases;
};

static struct draw_case plain_case(std::vector<float> logits)
{
    struct draw_case of = {};
    of.sampling.temperature = 1.0f;
    of.sampling.top_p = 1.0f;
    of.sampling.repetition_penalty = 1.0f;
    of.sampling.seed = 7;
    of.sampling.logprobs = true;
    of.logits = std::move(logits);
    return of;
}

/* -- both samplers -- */

static void expect(const struct draw_case &of, struct sampler *sampler, uint32_t *ret_token,
                   float *ret_logprob)
{
    std::vector<float> logits = of.logits;
    std::vector<struct logit_bias> biases = of.biases;
    struct sampling sampling = of.sampling;
    sampling.bias = biases.data();
    sampling.bias_count = (uint32_t)biases.size();
    struct sampler_input input = {};
    input.sampling = &sampling;
    input.prompt = of.history.data();
    input.prompt_count = of.prompt_count;
    input.output = of.history.data() + of.prompt_count;
    input.output_count = (uint32_t)of.history.size() - of.prompt_count;
    input.choice = of.choice;
    input.forbidden = of.forbidden.data();
    input.forbidden_count = (uint32_t)of.forbidden.size();
    struct sampled sampled;
    *ret_token = SAMPLE_NONE;
    *ret_logprob = NAN;
    if (sampler_draw(sampler, logits.data(), &input, &sampled) != 0)
        return;
    *ret_token = sampled.token;
    *ret_logprob = sampled.logprob;
}

static struct sample_row settings_of(const struct draw_case &of, std::vector<uint32_t> *tokens,
                                     std::vector<struct logit_bias> *biases)
{
    struct sample_row row = {};
    row.seed = of.sampling.seed;
    row.temperature = of.sampling.temperature;
    row.top_p = of.sampling.top_p;
    row.min_p = of.sampling.min_p;
    row.top_k = of.sampling.top_k;
    row.repetition_penalty = of.sampling.repetition_penalty;
    row.presence_penalty = of.sampling.presence_penalty;
    row.frequency_penalty = of.sampling.frequency_penalty;
    row.choice = of.choice;
    row.history_offset = (uint32_t)tokens->size();
    row.prompt_count = of.prompt_count;
    row.output_count = (uint32_t)of.history.size() - of.prompt_count;
    tokens->insert(tokens->end(), of.history.begin(), of.history.end());
    row.forbidden_offset = (uint32_t)tokens->size();
    row.forbidden_count = (uint32_t)of.forbidden.size();
    tokens->insert(tokens->end(), of.forbidden.begin(), of.forbidden.end());
    row.bias_offset = (uint32_t)biases->size();
    row.bias_count = (uint32_t)of.biases.size();
    biases->insert(biases->end(), of.biases.begin(), of.biases.end());
    row.logprobs = of.sampling.logprobs;
    return row;
}

/* All rows in one call, twice over the same scratch: a call leaves it as it must be found. */
static void check(const std::vector<struct draw_case> &cases, uint32_t rows_at_once)
{
    const uint32_t vocabulary = (uint32_t)cases[0].logits.size();
    std::vector<uint32_t> tokens;
    std::vector<struct logit_bias> biases;
    std::vector<struct sample_row> rows;
    std::vector<float> logits;
    struct sample_args args = {};
    for (const struct draw_case &of : cases) {
        rows.push_back(settings_of(of, &tokens, &biases));
        args.needs |= sample_needs(&rows.back());
        logits.insert(logits.end(), of.logits.begin(), of.logits.end());
    }
    device_copy<float> on_logits = device_put(logits);
    device_copy<uint32_t> on_tokens = device_put(tokens);
    device_copy<struct logit_bias> on_biases = device_put(biases);
    device_copy<struct sample_row> on_rows = device_put(rows);
    device_copy<struct sample_result> results =
        device_put(std::vector<struct sample_result>(cases.size()));
    device_copy<uint8_t> memory =
        device_put(std::vector<uint8_t>(cuda_sample_scratch_bytes(rows_at_once, vocabulary), 0));
    struct sample_scratch scratch = {memory.at, rows_at_once};
    args.logits = on_logits.at;
    args.rows = (uint32_t)cases.size();
    args.vocabulary = vocabulary;
    args.settings = on_rows.at;
    args.tokens = on_tokens.at;
    args.biases = on_biases.at;
    args.results = results.at;
    struct sampler *sampler = sampler_new(vocabulary, NULL);
    for (int turn = 0; turn < 2; turn++) {
        assert_int_equal(cuda_sample(&args, &scratch, NULL), cudaSuccess);
        std::vector<struct sample_result> got = device_get(results);
        for (size_t i = 0; i < cases.size(); i++) {
            uint32_t token;
            float logprob, mine = sample_logprob(&got[i]);
            expect(cases[i], sampler, &token, &logprob);
            if (got[i].token != token)
                fail_msg("row %zu: drew %u, the CPU %u", i, got[i].token, token);
            if (!(isnan(mine) && isnan(logprob)) && memcmp(&mine, &logprob, sizeof mine) != 0)
                fail_msg("row %zu: log-probability %.9g, the CPU's %.9g", i, mine, logprob);
        }
    }
    sampler_free(sampler);
    device_release(&on_logits), device_release(&on_tokens), device_release(&on_biases);
    device_release(&on_rows), device_release(&results), device_release(&memory);
}

/* -- logits -- */

/* Peaked as a model's are: a few high, a long tail. */
static std::vector<float> peaked(uint32_t vocabulary, uint64_t seed)
{
    std::vector<float> logits = random_values(vocabulary, 1.0f, seed);
    for (float &logit : logits)
        logit = 20.0f * logit * logit * logit;
    return logits;
}

/* Each logit many times, zeros of both signs among them. */
static std::vector<float> tied(uint32_t vocabulary, uint64_t seed)
{
    std::vector<float> logits = random_values(vocabulary, 3.0f, seed);
    for (float &logit : logits)
        logit = roundf(logit) * 0.5f;
    return logits;
}

static void unanswerable(std::vector<float> *logits, uint64_t seed)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, -NAN};
    for (size_t i = 0; i < logits->size() / 3; i++)
        (*logits)[next_random(&seed) % logits->size()] = odd[i % 4];
}

/* -- the rules -- */

static const uint32_t vocabularies[] = {1, 5, 63, 64, 65, 1000, 2048, 2049, 5003};

static void greedy_takes_the_lowest_of_the_highest(void **state)
{
    (void)state;
    for (uint32_t vocabulary : vocabularies) {
        std::vector<struct draw_case> cases;
        for (uint64_t seed = 0; seed < 6; seed++) {
            cases.push_back(
                plain_case(seed % 2 ? tied(vocabulary, seed) : peaked(vocabulary, seed)));
            cases.back().sampling.temperature = seed % 3 ? 0.0f : 9e-6f;
            cases.back().sampling.logprobs = seed != 3;
            if (seed >= 4)
                unanswerable(&cases.back().logits, seed);
        }
        check(cases, 4);
    }
}

static void draws_are_those_of_the_cpu(void **state)
{
    (void)state;
    for (uint32_t vocabulary : vocabularies) {
        std::vector<struct draw_case> cases;
        for (uint64_t seed = 0; seed < 12; seed++) {
            cases.push_back(
                plain_case(seed % 2 ? tied(vocabulary, seed) : peaked(vocabulary, seed)));
            cases.back().sampling.seed = seed * 977;
            cases.back().sampling.temperature = 0.1f + 0.19f * (float)seed;
            cases.back().sampling.min_p = seed % 4 == 3 ? 0.05f : 0.0f;
            cases.back().choice = (uint32_t)seed % 3;
            cases.back().sampling.logprobs = seed % 5 != 0;
            if (seed == 7)
                unanswerable(&cases.back().logits, seed);
        }
        check(cases, 12);
    }
}

/* Over shapes in which candidates are few and many, and their sums exact and not. */
static void filters_keep_what_the_cpu_keeps(void **state)
{
    (void)state;
    static const uint32_t top_ks[] = {0, 1, 17, 900, 100000};
    static const float top_ps[] = {1.0f, 0.95f, 0.01f, 0.99999f};
    for (uint32_t vocabulary : vocabularies)
        for (uint64_t shape = vocabulary > 2048 ? 0 : vocabulary % 3;
             shape<3; shape += vocabulary> 2048 ? 1 : 3) {
            std::vector<struct draw_case> cases;
            for (uint32_t top_k : top_ks)
                for (float top_p : top_ps) {
                    std::vector<float> logits = shape == 0 ? peaked(vocabulary, top_k)
                                                : shape == 1
                                                    ? tied(vocabulary, top_k)
                                                    : random_values(vocabulary, 40.0f, top_k);
                    cases.push_back(plain_case(logits));
                    struct sampling *sampling = &cases.back().sampling;
                    sampling->top_k = top_k;
                    sampling->top_p = top_p;
                    sampling->seed = cases.size() * 31 + shape;
                    sampling->min_p = cases.size() % 7 == 0 ? 0.01f : 0.0f;
                    sampling->temperature = cases.size() % 3 == 0 ? 2.0f : 0.7f;
                    sampling->logprobs = false;
                }
            check(cases, 20);
        }
}

static void bias_and_penalties_bend_as_on_the_cpu(void **state)
{
    (void)state;
    for (uint32_t vocabulary : vocabularies) {
        std::vector<struct draw_case> cases;
        for (uint64_t seed = 1; seed < 17; seed++) {
            uint64_t random = seed;
            cases.push_back(plain_case(peaked(vocabulary, seed)));
            struct draw_case &of = cases.back();
            of.sampling.temperature = seed % 4 == 0 ? 0.0f : 0.9f;
            of.sampling.top_k = seed % 5 == 0 ? 20 : 0;
            of.sampling.repetition_penalty = seed & 1 ? 1.3f : 1.0f;
            of.sampling.presence_penalty = seed & 2 ? 0.7f : 0.0f;
            of.sampling.frequency_penalty = seed & 4 ? -0.3f : 0.0f;
            of.prompt_count = 40;
            for (uint32_t i = 0; i < 700; i++) /* the same tokens over and over */
                of.history.push_back((uint32_t)(next_random(&random) % 300 % vocabulary));
            for (uint32_t i = 0; i < 300 && seed & 8; i++)
                of.biases.push_back({(uint32_t)(next_random(&random) % 200 % vocabulary),
                                     next_float(&random, 3.0f)});
            if (vocabulary > 5 && seed % 3 == 0)
                of.forbidden = {2, 1, 2, vocabulary, UINT32_MAX};
        }
        check(cases, 5);
    }
}

static void a_row_without_a_finite_logit_draws_nothing(void **state)
{
    (void)state;
    std::vector<struct draw_case> cases;
    for (float temperature : {0.0f, 1.0f})
        for (uint32_t top_k : {0, 10}) {
            cases.push_back(plain_case(std::vector<float>(3000, NAN)));
            cases.back().sampling.temperature = temperature;
            cases.back().sampling.top_k = top_k;
            cases.back().logits[17] = INFINITY;
            cases.push_back(plain_case(peaked(3000, top_k))); /* beside one that does */
        }
    check(cases, 8);
}

static void no_row_at_all_draws_nothing(void **state)
{
    (void)state;
    struct sample_args args = {};
    struct sample_scratch scratch = {NULL, 1};
    args.vocabulary = 100;
    assert_int_equal(cuda_sample(&args, &scratch, NULL), cudaSuccess);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_lowest_of_the_highest),
        cmocka_unit_test(draws_are_those_of_the_cpu),
        cmocka_unit_test(filters_keep_what_the_cpu_keeps),
        cmocka_unit_test(bias_and_penalties_bend_as_on_the_cpu),
        cmocka_unit_test(a_row_without_a_finite_logit_draws_nothing),
        cmocka_unit_test(no_row_at_all_draws_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
