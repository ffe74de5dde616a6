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

/* A step that began, in arrays of its own: a device has copied them, and the engine goes on. */
struct begun {
    struct model_step step;
    uint32_t *tokens, *positions, *output_rows, *tables, *sources;
    struct attention_span *spans;
    struct draw_row *draws; /* or NULL */
    bool fails, loses, nan;
};

struct model {
    struct model_shape shape;
    struct tokenizer tokenizer;
    uint64_t *cache;         /* [blocks * KV_BLOCK_TOKENS] position << 32 | token */
    float *logits;           /* [outputs_max, FAKE_VOCABULARY] */
    struct sampler *sampler; /* NULL: draws nothing */
    struct drawn *drawn;     /* [outputs_max] of the last step that ended */
    struct begun begun[2];
    uint32_t begun_count, ended_count;
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

/* What kind of step this is to be. */
static void choose_fate(struct model *model, struct begun *begun)
{
    pthread_mutex_lock(&model->lock);
    begun->fails = model->failing > 0;
    begun->loses = begun->fails && model->lost;
    model->failing -= begun->fails;
    begun->nan = model->nan_steps > 0;
    model->nan_steps -= begun->nan;
    pthread_mutex_unlock(&model->lock);
}

/* Waits while held. */
static void pass(struct model *model, const struct model_step *step)
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
    const bool history = row->bias_count > 0 || row->forbidden_count > 0 ||
                         row->repetition_penalty != 1.0f || row->presence_penalty != 0.0f ||
                         row->frequency_penalty != 0.0f;
    if (row->by_host || (history && (row->output_count + row->prompt_count) % 7 == 6))
        return (struct drawn){.outcome = DRAW_LEFT};
    int code = sampler_draw(model->sampler, logits, &input, &sampled);
    for (uint32_t i = 0; i < FAKE_VOCABULARY; i++)
        logits[i] = NAN;
    if (code != 0)
        return (struct drawn){.outcome = DRAW_NAN};
    return (struct drawn){DRAW_DONE, sampled.token, sampled.logprob};
}

static void *copied(const void *from, size_t count, size_t bytes)
{
    void *to = calloc(count + 1, bytes);
    assert(to != NULL);
    if (from != NULL && count > 0)
        memcpy(to, from, count * bytes);
    return to;
}

void model_begin(struct model *model, const struct model_step *step, const struct draw_row *draws,
                 const uint32_t *sources)
{
    struct begun *begun = &model->begun[model->begun_count++ % 2];
    const uint32_t blocks_each = (model->shape.context + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS;
    assert(model->begun_count - model->ended_count == (sources == NULL ? 1 : 2));
    assert((draws != NULL) == model_draws(model));
    assert(sources == NULL || model_draws(model));
    assert(step->row_count > 0);
    assert(step->row_count <= model->rows_max);
    assert(step->output_count <= model->outputs_max);
    *begun = (struct begun){
        .step = *step,
        .tokens = copied(step->tokens, step->row_count, sizeof(uint32_t)),
        .positions = copied(step->positions, step->row_count, sizeof(uint32_t)),
        .output_rows = copied(step->output_rows, step->output_count, sizeof(uint32_t)),
        .spans = copied(step->spans, step->span_count, sizeof *step->spans),
        .tables = calloc((size_t)step->span_count * blocks_each, sizeof(uint32_t)),
        .sources = sources == NULL ? NULL : copied(sources, step->row_count, sizeof(uint32_t)),
        .draws = draws == NULL ? NULL : copied(draws, step->output_count, sizeof *draws),
    };
    assert(begun->tables != NULL);
    for (uint32_t i = 0; i < step->span_count; i++) {
        struct attention_span *span = &begun->spans[i];
        const uint32_t tokens = span->position + span->row_count;
        assert(tokens <= model->shape.context);
        memcpy(begun->tables + (size_t)i * blocks_each, step->block_tables + span->block_offset,
               (tokens + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS * sizeof(uint32_t));
        span->block_offset = i * blocks_each;
    }
    choose_fate(model, begun);
    begun->step.tokens = begun->tokens;
    begun->step.positions = begun->positions;
    begun->step.output_rows = begun->output_rows;
    begun->step.spans = begun->spans;
    begun->step.block_tables = begun->tables;
}

static void release(struct begun *begun)
{
    free(begun->tokens), free(begun->positions), free(begun->output_rows), free(begun->spans);
    free(begun->tables), free(begun->sources), free(begun->draws);
}

/* The tokens that the step before drew. */
static void feed(const struct model *model, const struct begun *begun)
{
    for (uint32_t i = 0; begun->sources != NULL && i < begun->step.row_count; i++) {
        const struct drawn *drawn = &model->drawn[begun->sources[i]];
        assert(drawn->outcome != DRAW_LEFT);
        begun->tokens[i] = drawn->outcome == DRAW_DONE ? drawn->token : 0;
    }
}

static void compute(struct model *model, const struct model_step *step, bool nan)
{
    float *logits = model->logits;
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
}

int model_end(struct model *model, struct model_results *ret, struct error *err)
{
    assert(model->begun_count != model->ended_count);
    struct begun *begun = &model->begun[model->ended_count++ % 2];
    int code = 0;
    pass(model, &begun->step);
    if (begun->fails)
        code = begun->loses ? error_set(err, ERROR_CLOSED, "device lost for good")
                            : error_set(err, ERROR_IO, "device lost");
    if (!begun->fails) {
        feed(model, begun);
        compute(model, &begun->step, begun->nan);
        for (uint32_t i = 0; begun->draws != NULL && i < begun->step.output_count; i++)
            model->drawn[i] =
                draw(model, &begun->draws[i], &model->logits[(size_t)i * FAKE_VOCABULARY]);
        *ret = (struct model_results){begun->draws == NULL ? NULL : model->drawn, model->logits};
    }
    release(begun);
    return code;
}
