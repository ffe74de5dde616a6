/* SPDX-License-Identifier: Apache-2.0 */
/* step_inputs.h -- the host arrays of a step on their way to the GPU. Engine thread only.
 *
 * step_inputs_begin() packs them into pinned memory and enqueues their copies; the ops of the step
 * then ask for an array by its host address and get the device's. An array that the step did not
 * name is copied for that one op. Device addresses do not change from step to step. */
#ifndef WEIR_KERNELS_CUDA_STEP_INPUTS_H
#define WEIR_KERNELS_CUDA_STEP_INPUTS_H

#include "base/error.h"
#include "kernels/backend.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/sample.h"

#include <cuda_runtime_api.h>

struct step_inputs;

/* Device memory that steps within these bounds need; as much is pinned, STEP_INPUTS_RING times. */
#define STEP_INPUTS_RING 3u
size_t step_inputs_bytes(const struct reserve_args *args);
/* device: step_inputs_bytes() of it, borrowed. NULL and err without pinned memory. */
struct step_inputs *step_inputs_new(const struct reserve_args *args, void *device,
                                    cudaStream_t stream, struct error *err);
void step_inputs_free(struct step_inputs *inputs); /* NULL is fine; the stream is to be idle */

cudaError_t step_inputs_begin(struct step_inputs *inputs, const struct step_args *args);
/* The step is over: its host arrays may change. */
void step_inputs_end(struct step_inputs *inputs);

/* Launches of a step of decodes; how large they are is all that a captured graph of them knows. */
#define STEP_WINDOWS_MAX 2u
struct step_shape {
    uint32_t rows, windows;
    uint32_t decode_grids[STEP_WINDOWS_MAX]; /* powers of two, or rows */
    uint32_t join_grids[STEP_WINDOWS_MAX];   /* 0 or rows */
};
/* False where the step is none of decodes alone, or its windows are not known from a step before.
 * Else its plans are on their way too. */
bool step_inputs_shape(struct step_inputs *inputs, struct step_shape *ret, cudaError_t *ret_code);
/* While frozen nothing is sent, and launches have the step's shape. Thawing tells whether that
 * was enough: false if an op asked for an array that is not there. */
void step_inputs_freeze(struct step_inputs *inputs, const struct step_shape *shape);
bool step_inputs_thaw(struct step_inputs *inputs);

cudaError_t step_inputs_tokens(struct step_inputs *inputs, const uint32_t *tokens, uint32_t count,
                               const uint32_t **ret);
cudaError_t step_inputs_positions(struct step_inputs *inputs, const uint32_t *positions,
                                  uint32_t count, const uint32_t **ret);
cudaError_t step_inputs_output_rows(struct step_inputs *inputs, const uint32_t *rows,
                                    uint32_t count, const uint32_t **ret);

struct step_spans {
    const struct attention_span *spans; /* host */
    uint32_t count;
    const uint32_t *block_tables; /* host */
};
/* All but plan and partial sums; for kv_write. ret_rows: of row_spans. */
cudaError_t step_inputs_spans(struct step_inputs *inputs, const struct step_spans *spans,
                              struct attention_step *ret, uint32_t *ret_rows);
/* The plan too, made once a step for each window; partials are the caller's to set. */
cudaError_t step_inputs_attention(struct step_inputs *inputs, const struct step_spans *spans,
                                  uint32_t window, struct attention_step *ret);

/* Which draw each of the step's first tokens is of; and where the tokens lie, to be written. */
cudaError_t step_inputs_sources(struct step_inputs *inputs, const uint32_t *sources, uint32_t count,
                                const uint32_t **ret_sources, uint32_t **ret_tokens);
/* The rows' settings, into all of ret but logits and results: rows 0 if none is to be drawn. left
 * [row_count]: those that are the host's. */
cudaError_t step_inputs_draws(struct step_inputs *inputs, const struct draw_args *args, bool *left,
                              struct sample_args *ret);

#endif
