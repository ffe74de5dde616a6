/* SPDX-License-Identifier: Apache-2.0 */
/* sampler.h -- one row of logits to one token. Pure: the same row, history, settings and position
 * give the same token and log-probabilities, whoever else is in the batch.
 *
 * Order, as vLLM's: logit_bias; repetition, frequency and presence penalties; temperature; min_p;
 * top_k; top_p; draw. Log-probabilities are of the softmax of the raw logits (before all of it),
 * as OpenAI's clients expect. Temperature 0 is the arg max (ties: the lowest id).
 * The draw at token position t of choice c uses a counter-based random number of (seed, c, t), so
 * that preemption and resuming change nothing. */
#ifndef WEIR_BATCHING_SAMPLER_H
#define WEIR_BATCHING_SAMPLER_H

#include "base/error.h"
#include "kernels/draw_args.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAMPLING_TOP_LOGPROBS_MAX 20u
#define SAMPLING_LOGIT_BIAS_MAX   1024u

struct sampling {
    float temperature;        /* 0..2 */
    float top_p;              /* (0, 1]; 1 is off */
    float min_p;              /* [0, 1]; 0 is off */
    uint32_t top_k;           /* 0 is off */
    float repetition_penalty; /* > 0; 1 is off; over prompt and output */
    float presence_penalty;   /* -2..2; over output */
    float frequency_penalty;  /* -2..2; over output */
    uint64_t seed;
    bool logprobs;           /* log-probability of the drawn token wanted */
    uint32_t top_logprobs;   /* 0..SAMPLING_TOP_LOGPROBS_MAX */
    struct logit_bias *bias; /* owned by whoever owns the sampling; NULL when none */
    uint32_t bias_count;
};

/* 0, or ERROR_INVALID naming the parameter and its range. */
int sampling_check(const struct sampling *sampling, uint32_t vocabulary, struct error *err);

struct token_logprob {
    uint32_t token;
    float logprob;
};

struct sampled {
    uint32_t token;
    float logprob; /* NAN unless asked for */
    uint32_t top_count;
    struct token_logprob top[SAMPLING_TOP_LOGPROBS_MAX]; /* highest first */
};

struct sampler; /* scratch for one vocabulary; engine thread */
struct sampler *sampler_new(uint32_t vocabulary, struct error *err);
void sampler_free(struct sampler *sampler);

/* What the draw depends on besides the logits. */
struct sampler_input {
    const struct sampling *sampling;
    const uint32_t *prompt; /* for the repetition penalty */
    uint32_t prompt_count;
    const uint32_t *output; /* tokens drawn so far */
    uint32_t output_count;
    uint32_t choice;           /* 0..n-1 */
    const uint32_t *forbidden; /* may not be drawn (end tokens before min_tokens) */
    uint32_t forbidden_count;
};
/* logits [vocabulary], overwritten. Non-finite logits never win; if none is finite the result is
 * ERROR_INVALID and the sequence fails. */
int sampler_draw(struct sampler *sampler, float *logits, const struct sampler_input *input,
                 struct sampled *ret);

/* The log-probability of `token` and the top ones in a raw row (echo with logprobs). */
void sampler_logprobs(struct sampler *sampler, const float *logits, uint32_t token,
                      uint32_t top_count, struct sampled *ret);

#endif
