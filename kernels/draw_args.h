/* SPDX-License-Identifier: Apache-2.0 */
/* draw_args.h -- what a device that draws tokens is told of a row of logits, and what it tells.
 *
 * A token is the one that batching/sampler.c draws from the same row, whose header has the order of
 * all this. All arrays are the host's and are read before the op returns. */
#ifndef WEIR_KERNELS_DRAW_ARGS_H
#define WEIR_KERNELS_DRAW_ARGS_H

#include <stdbool.h>
#include <stdint.h>

struct logit_bias {
    uint32_t token;
    float bias; /* -100..100 */
};

/* Checked by sampling_check(); every token but the forbidden ones is below the vocabulary. */
struct draw_row {
    bool by_host; /* not to be drawn by the device; nothing else is read */
    bool logprob; /* log-probability of the drawn token wanted */
    uint64_t seed;
    float temperature, top_p, min_p;
    uint32_t top_k;
    float repetition_penalty, presence_penalty, frequency_penalty;
    uint32_t choice;
    const uint32_t *prompt, *output; /* tokens so far */
    const uint32_t *forbidden;
    const struct logit_bias *biases;
    uint32_t prompt_count, output_count, forbidden_count, bias_count;
};

struct draw_args {
    const float *logits; /* device [row_count, vocabulary] */
    uint32_t row_count, vocabulary;
    const struct draw_row *rows;
};

enum draw_outcome {
    DRAW_DONE,
    DRAW_NAN,  /* no logit is finite */
    DRAW_LEFT, /* to the host: asked for, or the device has no room for so much history or bias */
};

struct drawn {
    enum draw_outcome outcome;
    uint32_t token; /* of DRAW_DONE, as is: */
    float logprob;  /* NAN unless asked for */
};

#endif
