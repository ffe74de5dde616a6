/* SPDX-License-Identifier: Apache-2.0 */
/* sample.h -- rows of logits to one token each, on the GPU, so that 24 bytes a row come back.
 *
 * A row's token and log-probability are those that batching/sampler.c draws from the same logits,
 * history, settings and position, bit for bit, whoever else is in the batch; its header has the
 * order of bias, penalties, filters and draw. Log-probabilities of other tokens than the drawn one
 * are not made here. Engine thread only; pointers are device memory. */
#ifndef WEIR_KERNELS_CUDA_SAMPLE_H
#define WEIR_KERNELS_CUDA_SAMPLE_H

#include "kernels/draw_args.h"

#include <assert.h>
#include <cuda_runtime_api.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One row's settings, checked by sampling_check(). Offsets are into sample_args' arrays, and every
 * token but the forbidden ones is below the vocabulary. */
struct sample_row {
    uint64_t seed;
    float temperature, top_p, min_p;
    uint32_t top_k;
    float repetition_penalty, presence_penalty, frequency_penalty;
    uint32_t choice;
    uint32_t history_offset; /* of the prompt in `tokens`; the output follows it */
    uint32_t prompt_count, output_count;
    uint32_t bias_offset, bias_count;           /* in `biases` */
    uint32_t forbidden_offset, forbidden_count; /* in `tokens` */
    uint32_t logprobs;                          /* 1: log-probability of the drawn token wanted */
};
static_assert(sizeof(struct sample_row) == 72, "host and device agree on a row's settings");

#define SAMPLE_NONE UINT32_MAX

/* What sample_logprob() needs besides the token. */
struct sample_result {
    uint32_t token; /* SAMPLE_NONE: no logit is finite, and the sequence fails */
    float logit;    /* raw, of the token */
    float highest;  /* of the raw row */
    uint32_t unused;
    double mass; /* sum of exp(logit - highest) over the raw row; 0 unless wanted */
};
static_assert(sizeof(struct sample_result) == 24, "host and device agree on a result");

/* What some row of a call needs; launches that none needs are left out. */
enum {
    SAMPLE_BENDS = 1,   /* bias, forbidden tokens, penalties */
    SAMPLE_DRAWS = 2,   /* a temperature */
    SAMPLE_FILTERS = 4, /* and top_k or top_p */
    SAMPLE_LOGPROBS = 8,
};

struct sample_args {
    const float *logits; /* [rows, vocabulary] */
    uint32_t rows, vocabulary;
    const struct sample_row *settings; /* [rows] */
    const uint32_t *tokens;
    const struct logit_bias *biases;
    struct sample_result *results; /* [rows] */
    uint32_t needs;                /* SAMPLE_ flags, or more of them than there are */
};

/* Device scratch for rows_at_once rows (a call of more goes in several turns), zero before the
 * first call. 28 bytes a row and token of the vocabulary. */
struct sample_scratch {
    void *memory;
    uint32_t rows_at_once;
};
size_t cuda_sample_scratch_bytes(uint32_t rows_at_once, uint32_t vocabulary);
cudaError_t cuda_sample(const struct sample_args *args, const struct sample_scratch *scratch,
                        cudaStream_t stream);

/* tokens[i] = that of results[sources[i]], or 0 where none was drawn. All device memory. */
cudaError_t cuda_sample_feed(const struct sample_result *results, const uint32_t *sources,
                             uint32_t count, uint32_t *tokens, cudaStream_t stream);

/* Host: what one row needs. */
uint32_t sample_needs(const struct sample_row *settings);
/* Host: NAN where it was not asked for or nothing was drawn. The logarithm is the host's, so that
 * it rounds as the CPU's sampler does. */
float sample_logprob(const struct sample_result *result);

#ifdef __cplusplus
}
#endif

#endif
