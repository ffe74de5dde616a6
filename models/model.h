/* SPDX-License-Identifier: Apache-2.0 */
/* model.h -- weights on a device, and one forward pass over a step.
 *
 * model_load() maps the file, reads what the architecture needs and lays the weights out on the
 * backend. What is read-only after that (tokenizer, template, sizes, metadata) may be read by any
 * thread; model_reserve() and model_run() belong to the engine thread. */
#ifndef WEIR_MODELS_MODEL_H
#define WEIR_MODELS_MODEL_H

#include "base/error.h"
#include "kernels/backend.h"
#include "models/chat_template.h"
#include "models/gguf.h"
#include "models/tokenizer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model;

/* What a model is, fixed at load. */
struct model_shape {
    uint32_t vocabulary;
    uint32_t context; /* tokens it was trained for */
    uint32_t layers;
    uint32_t width; /* of the residual stream */
    uint32_t heads, kv_heads, head_dim;
    uint32_t feed_forward;               /* of the block that all rows pass; 0: experts alone */
    uint32_t experts, experts_per_token; /* 0 where there is no mixture */
    uint32_t expert_columns_max;         /* widest input of a product by expert */
    uint64_t parameters;
    size_t kv_block_bytes; /* one KV block over all layers */
};

/* backend: borrowed, outlives the model. NULL and err on failure. */
struct model *model_load(const char *path, struct backend *backend, struct error *err);
/* The same, but given up with ERROR_CLOSED soon after *stop became true. */
struct model *model_load_unless(const char *path, struct backend *backend, const _Atomic bool *stop,
                                struct error *err);
void model_free(struct model *model); /* NULL is fine */

const struct model_shape *model_shape(const struct model *model);
const struct gguf *model_file(const struct model *model);
const struct tokenizer *model_tokenizer(const struct model *model);
/* NULL when the file has none or it could not be compiled: model_template_error() says which. */
const struct chat_template *model_chat_template(const struct model *model);
const char *model_template_error(const struct model *model); /* "" when there is a template */
const char *model_architecture(const struct model *model);   /* "llama", "qwen3moe" */
size_t model_weight_bytes(const struct model *model);        /* memory beyond the mapped file */

/* What steps will stay within. */
struct model_limits {
    uint32_t blocks;      /* of the KV cache */
    uint32_t rows_max;    /* of a step */
    uint32_t spans_max;   /* sequences in a step */
    uint32_t outputs_max; /* rows of logits */
    uint32_t context_max; /* tokens of a sequence */
};
/* Takes device memory for the KV cache and for steps. Once, before the first forward. */
int model_reserve(struct model *model, const struct model_limits *limits, struct error *err);

/* What a model takes of a device that has memory of its own, told by the file's header alone. */
struct model_needs {
    struct model_shape shape; /* but for parameters */
    uint64_t weight_bytes;
    uint64_t row_bytes, output_bytes; /* activations: of a row of a step, of a row of logits */
    uint32_t columns_max;             /* widest input of a linear */
};
int model_read_needs(const char *path, const struct backend *backend, struct model_needs *ret,
                     struct error *err);
/* All of model_reserve() but the KV cache. ERROR_UNSUPPORTED: the device cannot serve the shape. */
int model_step_bytes(const struct model_needs *needs, const struct model_limits *limits,
                     const struct backend *backend, uint64_t *ret, struct error *err);

/* One step: rows of several sequences, each a decode (one row) or a chunk of prefill. */
struct model_step {
    uint32_t row_count;
    const uint32_t *tokens;    /* [row_count] */
    const uint32_t *positions; /* [row_count] */
    uint32_t span_count;
    const struct attention_span *spans; /* [span_count], covering all rows in order */
    const uint32_t *block_tables;       /* every sequence's blocks, one after another */
    uint32_t output_count;
    const uint32_t *output_rows; /* [output_count] rows whose next-token logits are wanted */
    /* The monotonic clock after each layer, for whoever watches a long step; NULL: nobody does. A
     * device that works behind our back moves it as the layers are handed over. */
    _Atomic uint64_t *progress_us;
};

/* What a step leaves with the model, until its next one. */
struct model_results {
    const struct drawn *drawn; /* [output_count]; NULL: no token was drawn */
    /* host [output_count, vocabulary]; the caller may overwrite them. Of a row that was drawn from
     * there is nothing here. */
    float *logits;
};

/* Whether the device draws tokens. */
bool model_draws(const struct model *model);
/* Writes K and V of every row into the cache, and makes logits. Batch-invariant (backend.h).
 * draws: [output_count] how to draw a token from each, for a model that draws; or NULL. ERROR_IO
 * and ERROR_CLOSED as synchronize(); then *ret is as it was. */
int model_run(struct model *model, const struct model_step *step, const struct draw_row *draws,
              struct model_results *ret, struct error *err);
/* The same in two halves, between which the caller does something else. Where model_draws(), a
 * second step may begin before the first has ended: then each row of the second decodes, and its
 * token is the one drawn for output sources[row] of the first. Nor may the device leave a row of
 * the first to the host. sources: [row_count], or NULL: step->tokens has them. */
void model_begin(struct model *model, const struct model_step *step, const struct draw_row *draws,
                 const uint32_t *sources);
int model_end(struct model *model, struct model_results *ret, struct error *err);
/* The same without draws, and with the logits copied. */
int model_forward(struct model *model, const struct model_step *step, float *logits,
                  struct error *err);

#endif
