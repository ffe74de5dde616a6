/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/batching/fake_model.h"

#include "base/clock.h"
#include "batching/sampler.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct tokenizer {
    uint32_t vocabulary;
};

struct model {
    struct model_shape shape;
    struct tokenizer tokenizer;
    uint64_t *cache;         /* [blocks * KV_BLOCK_TOKENS] position << 32 | token */
    float *logits;           /* [outputs_max, FAKE_VOCABULARY] */
    struct sampler *sampler; /* NULL: draws nothing */
    struct drawn *drawn;     /* [outputs_max] */
    uint32_t blocks, rows_max, outputs_max;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    bool held, waiting;
    bool lost; /* the step that fails takes the device with it */
    uint32_t allowed, failing, nan_steps, rows_seen;
    uint64_t steps;
    _Atomic uint64_t *progress_us; /* of the step that waits */
};

struct model *fake_model_new(uint32_t context)
{
    struct model *model = calloc(1, sizeof *model);
    assert(model != NULL);
    model->shape = (struct model_shape){
        .vocabulary = FAKE_VOCABULARY,
        .context = context,
        .layers = 1,
        .kv_block_bytes = 1024,
    };
    model->tokenizer.vocabulary = FAKE_VOCABULARY;
    if (getenv("FAKE_MODEL_DRAWS") != NULL)
        model->sampler = sampler_new(FAKE_VOCABULARY, NULL);
    pthread_mutex_init(&model->lock, NULL);
    pthread_cond_init(&model->changed, NULL);
    return model;
}

void fake_model_free(struct model *model)
{
    pthread_cond_destroy(&model->changed);
    pthread_mutex_destroy(&model->lock);
    free(model->cache);
    free(model->logits);
    free(model->drawn);
    sampler_free(model->sampler);
    free(model);
}

/* -- the test's side -- */

void fake_model_hold(struct model *model)
{
    pthread_mutex_lock(&model->lock);
    model->held = true;
    model->allowed = 0;
    pthread_mutex_unlock(&model->lock);
}

void fake_model_release(struct model *model, uint32_t steps)
{
    pthread_mutex_lock(&model->lock);
    model->allowed += steps;
    model->waiting = false; /* await_step() then waits for the step after these */
    pthread_cond_broadcast(&model->changed);
    pthread_mutex_unlock(&model->lock);
}

void fake_model_run_freely(struct model *model)
{
    pthread_mutex_lock(&model->lock);
    model->held = false;
    pthread_cond_broadcast(&model->changed);
    pthread_mutex_unlock(&model->lock);
}

void fake_model_await_step(struct model *model)
{
    pthread_mutex_lock(&model->lock);
    while (!model->waiting)
        pthread_cond_wait(&model->changed, &model->lock);
    pthread_mutex_unlock(&model->lock);
}

void fake_model_layer(struct model *model)
{
    pthread_mutex_lock(&model->lock);
    atomic_store(model->progress_us, clock_monotonic_us());
    pthread_mutex_unlock(&model->lock);
}

void fake_model_fail_next(struct model *model, uint32_t steps)
{
    pthread_mutex_lock(&model->lock);
    model->failing = steps;
    pthread_mutex_unlock(&model->lock);
}

void fake_model_lose_next(struct model *model)
{
    pthread_mutex_lock(&model->lock);
    model->failing = 1;
    model->lost = true;
    pthread_mutex_unlock(&model->lock);
}

void fake_model_give_nan_next(struct model *model, uint32_t steps)
{
    pthread_mutex_lock(&model->lock);
    model->nan_steps = steps;
    pthread_mutex_unlock(&model->lock);
}

uint64_t fake_model_steps(struct model *model)
{
    pthread_mutex_lock(&model->lock);
    uint64_t steps = model->steps;
    pthread_mutex_unlock(&model->lock);
    return steps;
}

uint32_t fake_model_rows_max(struct model *model)
{
    pthread_mutex_lock(&model->lock);
    uint32_t rows = model->rows_seen;
    pthread_mutex_unlock(&model->lock);
    return rows;
}

/* -- the language -- */

static uint64_t scramble(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdu;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 33;
}

static uint64_t hash_step(uint64_t hash, uint64_t position_and_token)
{
    return scramble(hash * 31 + position_and_token + 1);
}

static void logits_of(uint64_t hash, float *logits)
{
    for (uint32_t i = 0; i < FAKE_VOCABULARY; i++)
        logits[i] = (float)(scramble(hash + i * 0x9e3779b97f4a7c15u) >> 40) * 0x1p-24f * 6.0f;
}

void fake_model_logits(const uint32_t *tokens, uint32_t count, float logits[FAKE_VOCABULARY])
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < count; i++)
        hash = hash_step(hash, (uint64_t)i << 32 | tokens[i]);
    logits_of(hash, logits);
}

uint32_t fake_model_greedy(const uint32_t *tokens, uint32_t count)
{
    float logits[FAKE_VOCABULARY];
    fake_model_logits(tokens, count, logits);
    uint32_t best = 0;
    for (uint32_t i = 1; i < FAKE_VOCABULARY; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

/* -- what the engine calls -- */

const struct model_shape *model_shape(const struct model *model)
{
    return &model->shape;
}

const struct tokenizer *model_tokenizer(const struct model *model)
{
    return &model->tokenizer;
}

uint32_t tokenizer_vocabulary(const struct tokenizer *tokenizer)
{
    return tokenizer->vocabulary;
}

bool tokenizer_ends_generation(const struct tokenizer *tokenizer, uint32_t token)
{
    assert(token < tokenizer->vocabulary);
    return token == FAKE_END_TOKEN || token == FAKE_END_TOKEN2;
}

int model_reserve(struct model *model, const struct model_limits *limits, struct error *err)
{
    const uint32_t blocks = limits->blocks;
    assert(limits->context_max <= model->shape.context);
    free(model->cache);
    model->cache = malloc((size_t)blocks * KV_BLOCK_TOKENS * sizeof *model->cache);
    free(model->logits);
    model->logits = calloc(limits->outputs_max, FAKE_VOCABULARY * sizeof *model->logits);
    free(model->drawn);
    model->drawn = calloc(limits->outputs_max, sizeof *model->drawn);
    if (model->cache == NULL || model->logits == NULL || model->drawn == NULL)
        return error_no_memory(err);
    memset(model->cache, 0xee, (size_t)blocks * KV_BLOCK_TOKENS * sizeof *model->cache);
    model->blocks = blocks;
    model->rows_max = limits->rows_max;
    model->outputs_max = limits->outputs_max;
    return 0;
}

static uint64_t *cell(struct model *model, const struct model_step *step,
                      const struct attention_span *span, uint32_t position)
{
    uint32_t block = step->block_tables[span->block_offset + position / KV_BLOCK_TOKENS];
    assert(block < model->blocks);
    return &model->cache[(size_t)block * KV_BLOCK_TOKENS + position % KV_BLOCK_TOKENS];
}

/* Waits while held; says what kind of step this is to be. */
static void begin_step(struct model *model, const struct model_step *step, bool *ret_fails,
                       bool *ret_nan)
{
    pthread_mutex_lock(&model->lock);
    model->progress_us = step->progress_us;
    while (model->held && model->allowed == 0) {
        model->waiting = true;
        pthread_cond_broadcast(&model->changed);
        pthread_cond_wait(&model->changed, &model->lock);
    }
    model->waiting = false;
    if (model->held)
        model->allowed--;
    model->steps++;
    if (step->row_count > model->rows_seen)
        model->rows_seen = step->row_count;
    *ret_fails = model->failing > 0;
    model->failing -= *ret_fails;
    *ret_nan = model->nan_steps > 0;
    model->nan_steps -= *ret_nan;
    pthread_mutex_unlock(&model->lock);
}

bool model_draws(const struct model *model)
{
    return model->sampler != NULL;
}

static struct drawn draw(struct model *model, const struct draw_row *row, float *logits)
{
    const struct sampling sampling = {
        .temperature = row->temperature,
        .top_p = row->top_p,
        .min_p = row->min_p,
        .top_k = row->top_k,
        .repetition_penalty = row->repetition_penalty,
        .presence_penalty = row->presence_penalty,
        .frequency_penalty = row->frequency_penalty,
        .seed = row->seed,
        .logprobs = row->logprob,
        .bias = (struct logit_bias *)row->biases,
        .bias_count = row->bias_count,
    };
    const struct sampler_input input = {
        .sampling = &sampling,
        .prompt = row->prompt,
        .prompt_count = row->prompt_count,
        .output = row->output,
        .output_count = row->output_count,
        .choice = row->choice,
        .forbidden = row->forbidden,
        .forbidden_count = row->forbidden_count,
    };
    struct sampled sampled;
    if (row->by_host || (row->output_count + row->prompt_count) % 7 == 6)
        return (struct drawn){.outcome = DRAW_LEFT};
    int code = sampler_draw(model->sampler, logits, &input, &sampled);
    for (uint32_t i = 0; i < FAKE_VOCABULARY; i++)
        logits[i] = NAN;
    if (code != 0)
        return (struct drawn){.outcome = DRAW_NAN};
    return (struct drawn){DRAW_DONE, sampled.token, sampled.logprob};
}

int model_run(struct model *model, const struct model_step *step, const struct draw_row *draws,
              struct model_results *ret, struct error *err)
{
    assert(step->row_count > 0);
    assert(step->row_count <= model->rows_max);
    assert(step->output_count <= model->outputs_max);
    bool fails, nan;
    begin_step(model, step, &fails, &nan);
    if (fails)
        return model->lost ? error_set(err, ERROR_CLOSED, "device lost for good")
                           : error_set(err, ERROR_IO, "device lost");
    float *logits = model->logits;
    assert((draws != NULL) == model_draws(model));
    uint32_t row = 0, output = 0;
    for (uint32_t i = 0; i < step->span_count; i++) {
        const struct attention_span *span = &step->spans[i];
        assert(span->first_row == row);
        assert(span->row_count > 0);
        for (uint32_t j = 0; j < span->row_count; j++)
            *cell(model, step, span, span->position + j) =
                (uint64_t)step->positions[row + j] << 32 | step->tokens[row + j];
        uint64_t hash = 0;
        for (uint32_t p = 0; p < span->position + span->row_count; p++) {
            hash = hash_step(hash, *cell(model, step, span, p));
            if (p < span->position || output == step->output_count ||
                step->output_rows[output] != row + p - span->position)
                continue;
            logits_of(hash, &logits[(size_t)output * FAKE_VOCABULARY]);
            for (uint32_t j = 0; nan && j < FAKE_VOCABULARY; j++)
                logits[(size_t)output * FAKE_VOCABULARY + j] = NAN;
            output++;
        }
        row += span->row_count;
    }
    assert(row == step->row_count);
    assert(output == step->output_count);
    for (uint32_t i = 0; draws != NULL && i < output; i++)
        model->drawn[i] = draw(model, &draws[i], &logits[(size_t)i * FAKE_VOCABULARY]);
    *ret = (struct model_results){draws == NULL ? NULL : model->drawn, logits};
    return 0;
}
