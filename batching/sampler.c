/* SPDX-License-Identifier: Apache-2.0 */
/* sampler.c -- a row of logits, bent by settings, and one weighted draw from what is left.
 *
 *     raw row --bias, forbid--> --penalties--> --/T--> --min_p--> --top_k--> --top_p--> draw
 *        \--log-softmax--> log-probabilities
 *
 * A vocabulary has up to a quarter of a million entries, and a step may draw for hundreds of
 * sequences: a draw has to cost a few passes over the row and no more. Nothing here sorts.
 *
 * Passes run over blocks of 64 logits, in vectors. One finds each block's highest logit. One makes
 * the weights exp((logit - highest) / T), 0 below min_p, and each block's sum: with no other filter
 * the draw is then a walk over the sums, and over one block.
 *
 * top_k and top_p need candidates, 64-bit keys of kernels/draw.h: they are unique, ties are settled
 * by the rule that the header promises, and one integer comparison orders two. Both filters are one
 * algorithm: quickselect (Hoare 1961) that keeps the largest keys until their number, or their
 * mass, reaches a limit. And few logits become candidates at all:
 *   - top_k: the k-th highest of the blocks' maxima is a bound, for k blocks have one as high;
 *   - top_p: all weights below (1 - p) / vocabulary of the mass together are less than 1 - p of
 *     it, so what is left reaches p without them.
 *
 * The draw uses one uniform number from a counter-based generator (Salmon et al. 2011): no state
 * to save when a sequence is preempted. exp is our own polynomial, not libm's, which rounds
 * differently from one processor to the next: the same logits give the same token anywhere.
 *
 * Penalties touch only tokens of the history: `counts` has one entry a vocabulary token but is
 * all zero between calls, and a call clears what it set by walking the history again.
 *
 * Road not taken: the Gumbel trick needs no normalisation, but a random number for every
 * candidate. */
#include "batching/sampler.h"

#include "batching/row_passes.h"
#include "kernels/draw.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sampler {
    const struct row_passes *passes;
    uint32_t vocabulary;
    uint32_t block_count;
    float *highest;   /* [block_count] finite logit, or -INFINITY */
    float *weights;   /* [block_count, ROW_BLOCK] unnormalised probabilities; the highest has 1 */
    double *sums;     /* [block_count] of weights */
    uint64_t *keys;   /* [vocabulary] candidates */
    float *raw;       /* [vocabulary] the row as it came, when log-probabilities are wanted */
    uint32_t *counts; /* [vocabulary] zero between calls */
};

/* -- settings -- */

/* Written so that NaN is out of every range. */
static bool within(float value, float low, float high)
{
    return value >= low && value <= high;
}

static int check_range(const char *name, float value, float low, float high, struct error *err)
{
    if (within(value, low, high))
        return 0;
    return error_set(err, ERROR_INVALID, "%s: %g is not within %g..%g", name, (double)value,
                     (double)low, (double)high);
}

static int check_bias(const struct sampling *sampling, uint32_t vocabulary, struct error *err)
{
    if (sampling->bias_count > SAMPLING_LOGIT_BIAS_MAX)
        return error_set(err, ERROR_INVALID, "logit_bias: %u entries, at most %u are taken",
                         sampling->bias_count, SAMPLING_LOGIT_BIAS_MAX);
    for (uint32_t i = 0; i < sampling->bias_count; i++) {
        const struct logit_bias *bias = &sampling->bias[i];
        if (bias->token >= vocabulary)
            return error_set(err, ERROR_INVALID, "logit_bias: token %u is not below %u",
                             bias->token, vocabulary);
        if (!within(bias->bias, -100.0f, 100.0f))
            return error_set(err, ERROR_INVALID,
                             "logit_bias: %g of token %u is not within -100..100",
                             (double)bias->bias, bias->token);
    }
    return 0;
}

int sampling_check(const struct sampling *sampling, uint32_t vocabulary, struct error *err)
{
    int code;
    if ((code = check_range("temperature", sampling->temperature, 0.0f, 2.0f, err)) != 0 ||
        (code = check_range("min_p", sampling->min_p, 0.0f, 1.0f, err)) != 0 ||
        (code = check_range("presence_penalty", sampling->presence_penalty, -2.0f, 2.0f, err)) !=
            0 ||
        (code = check_range("frequency_penalty", sampling->frequency_penalty, -2.0f, 2.0f, err)) !=
            0)
        return code;
    if (!(sampling->top_p > 0.0f && sampling->top_p <= 1.0f))
        return error_set(err, ERROR_INVALID, "top_p: %g is not within (0, 1]",
                         (double)sampling->top_p);
    if (!(sampling->repetition_penalty > 0.0f && isfinite(sampling->repetition_penalty)))
        return error_set(err, ERROR_INVALID, "repetition_penalty: %g is not above 0",
                         (double)sampling->repetition_penalty);
    if (sampling->top_logprobs > SAMPLING_TOP_LOGPROBS_MAX)
        return error_set(err, ERROR_INVALID, "top_logprobs: %u is not within 0..%u",
                         sampling->top_logprobs, SAMPLING_TOP_LOGPROBS_MAX);
    return check_bias(sampling, vocabulary, err);
}

/* -- scratch -- */

struct sampler *sampler_new(uint32_t vocabulary, struct error *err)
{
    assert(vocabulary > 0);
    struct sampler *sampler = calloc(1, sizeof *sampler);
    if (sampler == NULL)
        goto fail;
    sampler->passes = row_passes_best();
    sampler->vocabulary = vocabulary;
    sampler->block_count = (vocabulary + ROW_BLOCK - 1) / ROW_BLOCK;
    sampler->highest = malloc(sampler->block_count * sizeof *sampler->highest);
    sampler->weights = malloc((size_t)sampler->block_count * ROW_BLOCK * sizeof *sampler->weights);
    sampler->sums = malloc(sampler->block_count * sizeof *sampler->sums);
    sampler->keys = malloc(vocabulary * sizeof *sampler->keys);
    sampler->raw = malloc(vocabulary * sizeof *sampler->raw);
    sampler->counts = calloc(vocabulary, sizeof *sampler->counts);
    if (sampler->highest == NULL || sampler->weights == NULL || sampler->sums == NULL ||
        sampler->keys == NULL || sampler->raw == NULL || sampler->counts == NULL)
        goto fail;
    return sampler;
fail:
    sampler_free(sampler);
    (void)error_no_memory(err);
    return NULL;
}

void sampler_free(struct sampler *sampler)
{
    if (sampler == NULL)
        return;
    free(sampler->highest);
    free(sampler->weights);
    free(sampler->sums);
    free(sampler->keys);
    free(sampler->raw);
    free(sampler->counts);
    free(sampler);
}

/* -- passes over a row -- */

/* The last block, where the row ends within it: a copy, filled up with what never wins. */
static const float *fill_last(const struct sampler *sampler, const float *row,
                              float last[ROW_BLOCK])
{
    const uint32_t first = sampler->vocabulary / ROW_BLOCK * ROW_BLOCK;
    for (uint32_t i = 0; i < ROW_BLOCK; i++)
        last[i] = first + i < sampler->vocabulary ? row[first + i] : -INFINITY;
    return last;
}

/* The highest finite logit of the row, -INFINITY if there is none; and of each block. */
static float find_highest(struct sampler *sampler, const float *row)
{
    float last[ROW_BLOCK], highest = -INFINITY;
    const uint32_t whole = sampler->vocabulary / ROW_BLOCK;
    sampler->passes->highest(row, whole, sampler->highest);
    if (whole < sampler->block_count)
        sampler->passes->highest(fill_last(sampler, row, last), 1, sampler->highest + whole);
    for (uint32_t b = 0; b < sampler->block_count; b++)
        highest = sampler->highest[b] > highest ? sampler->highest[b] : highest;
    return highest;
}

/* Fills weights and sums; returns the sum of all. */
static double find_weights(struct sampler *sampler, const float *row,
                           const struct draw_softmax *softmax)
{
    float last[ROW_BLOCK];
    double sum = 0.0;
    const uint32_t whole = sampler->vocabulary / ROW_BLOCK;
    sampler->passes->weights(row, whole, softmax, sampler->weights, sampler->sums);
    if (whole < sampler->block_count)
        sampler->passes->weights(fill_last(sampler, row, last), 1, softmax,
                                 sampler->weights + (size_t)whole * ROW_BLOCK,
                                 sampler->sums + whole);
    for (uint32_t b = 0; b < sampler->block_count; b++)
        sum += sampler->sums[b];
    return sum;
}

/* -- log-probabilities -- */

/* log(sum(exp(logits))) over the finite ones; -INFINITY if there is none. */
static double log_sum_exp(struct sampler *sampler, const float *logits)
{
    float highest = find_highest(sampler, logits);
    if (highest == -INFINITY)
        return -INFINITY;
    const struct draw_softmax softmax = {.highest = highest, .scale = 1.0f};
    return (double)highest + log(find_weights(sampler, logits, &softmax));
}

void sampler_logprobs(struct sampler *sampler, const float *logits, uint32_t token,
                      uint32_t top_count, struct sampled *ret)
{
    assert(token < sampler->vocabulary);
    assert(top_count <= SAMPLING_TOP_LOGPROBS_MAX);
    double normaliser = log_sum_exp(sampler, logits);
    ret->token = token;
    ret->logprob =
        isfinite(logits[token]) ? (float)((double)logits[token] - normaliser) : -INFINITY;
    uint32_t kept = 0;
    float least = -INFINITY; /* a full list's last logit */
    for (uint32_t i = 0; i < sampler->vocabulary && top_count > 0; i++) {
        if (i % ROW_BLOCK == 0 && kept == top_count && sampler->highest[i / ROW_BLOCK] <= least) {
            i += ROW_BLOCK - 1; /* nothing in this block is higher */
            continue;
        }
        if (!isfinite(logits[i]) || (kept == top_count && logits[i] <= least))
            continue;
        uint32_t at = kept < top_count ? kept++ : kept - 1;
        for (; at > 0 && ret->top[at - 1].logprob < logits[i]; at--)
            ret->top[at] = ret->top[at - 1];
        ret->top[at] = (struct token_logprob){.token = i, .logprob = logits[i]};
        least = ret->top[kept - 1].logprob;
    }
    ret->top_count = kept;
    for (uint32_t i = 0; i < kept; i++)
        ret->top[i].logprob = (float)((double)ret->top[i].logprob - normaliser);
}

/* -- bias and penalties -- */

static void apply_repetition(struct sampler *sampler, float *logits, float penalty,
                             const uint32_t *tokens, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        assert(tokens[i] < sampler->vocabulary);
        if (sampler->counts[tokens[i]]++ > 0)
            continue;
        float *logit = &logits[tokens[i]];
        *logit = *logit > 0.0f ? *logit / penalty : *logit * penalty;
    }
}

static void clear_counts(struct sampler *sampler, const uint32_t *tokens, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        sampler->counts[tokens[i]] = 0;
}

static void apply_penalties(struct sampler *sampler, float *logits,
                            const struct sampler_input *input)
{
    const struct sampling *sampling = input->sampling;
    float repetition = sampling->repetition_penalty;
    if (repetition != 1.0f) {
        apply_repetition(sampler, logits, repetition, input->prompt, input->prompt_count);
        apply_repetition(sampler, logits, repetition, input->output, input->output_count);
        clear_counts(sampler, input->prompt, input->prompt_count);
        clear_counts(sampler, input->output, input->output_count);
    }
    if (sampling->frequency_penalty == 0.0f && sampling->presence_penalty == 0.0f)
        return;
    for (uint32_t i = 0; i < input->output_count; i++) {
        assert(input->output[i] < sampler->vocabulary);
        sampler->counts[input->output[i]]++;
    }
    for (uint32_t i = 0; i < input->output_count; i++) {
        uint32_t *count = &sampler->counts[input->output[i]];
        if (*count == 0)
            continue; /* met before */
        logits[input->output[i]] -=
            sampling->frequency_penalty * (float)*count + sampling->presence_penalty;
        *count = 0;
    }
}

static void apply_bias(struct sampler *sampler, float *logits, const struct sampler_input *input)
{
    for (uint32_t i = 0; i < input->sampling->bias_count; i++) {
        assert(input->sampling->bias[i].token < sampler->vocabulary);
        logits[input->sampling->bias[i].token] += input->sampling->bias[i].bias;
    }
    for (uint32_t i = 0; i < input->forbidden_count; i++)
        if (input->forbidden[i] < sampler->vocabulary)
            logits[input->forbidden[i]] = -INFINITY;
}

/* -- candidates -- */

/* weights NULL: counts them. */
static double mass_of(const float *weights, const uint64_t *keys, uint32_t count)
{
    if (weights == NULL)
        return count;
    double mass = 0.0;
    for (uint32_t i = 0; i < count; i++)
        mass += (double)weights[draw_key_token(keys[i])];
    return mass;
}

/* Moves keys >= pivot, a member, to the front with the pivot last among them; returns how many. */
static uint32_t partition(uint64_t *keys, uint32_t count, uint32_t pivot_index)
{
    uint64_t pivot = keys[pivot_index];
    keys[pivot_index] = keys[count - 1];
    uint32_t front = 0;
    for (uint32_t i = 0; i + 1 < count; i++) {
        uint64_t key = keys[i];
        keys[i] = keys[front];
        keys[front] = key;
        front += key > pivot;
    }
    keys[count - 1] = keys[front];
    keys[front] = pivot;
    return front + 1;
}

/* Brings to the front the fewest largest keys whose mass (their number, without weights) reaches
 * limit; returns how many, at least one. */
static uint32_t keep_largest(uint64_t *keys, uint32_t count, double limit, const float *weights)
{
    uint32_t kept = 0; /* keys[0..kept) are in for certain; the border lies within [kept, end) */
    uint32_t end = count;
    double sum = 0.0;
    while (end - kept > 1) {
        uint32_t front = partition(keys + kept, end - kept, draw_pivot(kept, end));
        double above = mass_of(weights, keys + kept, front - 1);
        if (sum + above >= limit && front > 1) {
            end = kept + front - 1;
            continue;
        }
        sum += above + mass_of(weights, keys + kept + front - 1, 1);
        kept += front;
        if (sum >= limit)
            return kept;
    }
    return end;
}

/* A logit that at least k of the row reach; -INFINITY if the blocks are too few to tell. */
static float top_k_bound(struct sampler *sampler, uint32_t k)
{
    if (k >= sampler->block_count)
        return -INFINITY;
    for (uint32_t b = 0; b < sampler->block_count; b++)
        sampler->keys[b] = draw_key(sampler->highest[b], b);
    uint32_t kept = keep_largest(sampler->keys, sampler->block_count, k, NULL);
    float bound = INFINITY;
    for (uint32_t i = 0; i < kept; i++) {
        float highest = sampler->highest[draw_key_token(sampler->keys[i])];
        bound = highest < bound ? highest : bound;
    }
    return bound;
}

/* Makes candidates of the logits from `bound` up whose weight is neither 0 nor below `least`. */
static uint32_t gather_candidates(struct sampler *sampler, const float *logits, float bound,
                                  float least)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sampler->vocabulary; i++) {
        if (i % ROW_BLOCK == 0 && sampler->highest[i / ROW_BLOCK] < bound) {
            i += ROW_BLOCK - 1;
            continue;
        }
        float weight = sampler->weights[i];
        if (weight > 0.0f && weight >= least && logits[i] >= bound)
            sampler->keys[count++] = draw_key(logits[i], i);
    }
    assert(count > 0); /* the highest has weight 1 */
    return count;
}

/* -- the draw -- */

/* Rounding may leave the target unreached; then the last that has weight is drawn. */
static uint32_t draw_from_keys(const struct sampler *sampler, uint32_t count, double target)
{
    double sum = 0.0;
    uint32_t drawn = draw_key_token(sampler->keys[0]);
    for (uint32_t i = 0; i < count && sum <= target; i++) {
        drawn = draw_key_token(sampler->keys[i]);
        sum += (double)sampler->weights[drawn];
    }
    return drawn;
}

static uint32_t draw_from_blocks(const struct sampler *sampler, double target)
{
    double sum = 0.0;
    uint32_t block = 0;
    for (uint32_t b = 0; b < sampler->block_count; b++) {
        if (sampler->sums[b] == 0.0)
            continue;
        block = b;
        if (sum + sampler->sums[b] > target)
            break;
        sum += sampler->sums[b];
    }
    uint32_t drawn = UINT32_MAX;
    for (uint32_t i = block * ROW_BLOCK; i < (block + 1) * ROW_BLOCK && sum <= target; i++) {
        if (sampler->weights[i] == 0.0f)
            continue;
        drawn = i;
        sum += (double)sampler->weights[i];
    }
    assert(drawn < sampler->vocabulary);
    return drawn;
}

static uint32_t draw(struct sampler *sampler, const float *logits, float highest,
                     const struct sampler_input *input)
{
    const struct sampling *sampling = input->sampling;
    const struct draw_softmax softmax = {
        .highest = highest, .scale = 1.0f / sampling->temperature, .least = sampling->min_p};
    double mass = find_weights(sampler, logits, &softmax);
    double point = draw_uniform(sampling->seed, input->choice, input->output_count);
    if (sampling->top_k == 0 && sampling->top_p >= 1.0f)
        return draw_from_blocks(sampler, point * mass);
    float bound = -INFINITY, least = 0.0f;
    if (sampling->top_k > 0)
        bound = top_k_bound(sampler, sampling->top_k);
    else
        least = draw_least(sampling->top_p, mass, sampler->vocabulary);
    uint32_t count = gather_candidates(sampler, logits, bound, least);
    if (sampling->top_k > 0) {
        if (sampling->top_k < count)
            count = keep_largest(sampler->keys, count, sampling->top_k, NULL);
        mass = mass_of(sampler->weights, sampler->keys, count);
    }
    if (sampling->top_p < 1.0f) {
        count =
            keep_largest(sampler->keys, count, (double)sampling->top_p * mass, sampler->weights);
        mass = mass_of(sampler->weights, sampler->keys, count);
    }
    return draw_from_keys(sampler, count, point * mass);
}

/* The lowest id that has the highest logit. */
static uint32_t first_of(const struct sampler *sampler, const float *logits, float highest)
{
    uint32_t block = 0;
    while (sampler->highest[block] < highest)
        block++;
    uint32_t token = block * ROW_BLOCK;
    while (!(logits[token] == highest))
        token++;
    return token;
}

int sampler_draw(struct sampler *sampler, float *logits, const struct sampler_input *input,
                 struct sampled *ret)
{
    const struct sampling *sampling = input->sampling;
    if (sampling->logprobs)
        memcpy(sampler->raw, logits, sampler->vocabulary * sizeof *logits);
    apply_bias(sampler, logits, input);
    apply_penalties(sampler, logits, input);
    float highest = find_highest(sampler, logits);
    if (highest == -INFINITY)
        return ERROR_INVALID;
    uint32_t token = sampling->temperature < DRAW_GREEDY_BELOW
                         ? first_of(sampler, logits, highest)
                         : draw(sampler, logits, highest, input);
    if (sampling->logprobs) {
        sampler_logprobs(sampler, sampler->raw, token, sampling->top_logprobs, ret);
    } else {
        ret->token = token;
        ret->logprob = NAN;
        ret->top_count = 0;
    }
    return 0;
}
