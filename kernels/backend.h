/* SPDX-License-Identifier: Apache-2.0 */
/* backend.h -- the only door to a device.
 *
 * A backend is a table of operations in the words of a transformer. The forward pass calls them
 * top to bottom and cannot tell a CPU from a GPU:
 *
 *  - Pointers named `device` come from memory_alloc(); the caller does not follow them.
 *  - Ops are enqueued on the backend's stream and run in order. They allocate nothing, fail never
 *    (what can was checked when memory and weights were made) and do not wait;
 *    copy_from_device() and synchronize() do.
 *  - Activations are [rows, width] row-major float32 unless said otherwise; a row is a token.
 *  - Small index arrays (tokens, positions, spans, block tables) are host arrays, copied at once.
 *
 * Batch invariance, the rule that every implementation keeps: row r of a result depends on row r
 * of the inputs alone, bit for bit, whatever the number of rows or spans in the call: reductions
 * run in an order fixed by the row's own shape. The scalar code of kernels/cpu defines each op.
 * One thread, the engine's, calls a backend after backend_open(); weight_prepare() too. */
#ifndef WEIR_KERNELS_BACKEND_H
#define WEIR_KERNELS_BACKEND_H

#include "base/error.h"
#include "kernels/quant.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backend;
struct weight; /* a matrix laid out as the backend likes it; opaque */

#define KV_BLOCK_TOKENS 16u /* tokens a KV block holds */

/* A matrix as the mapped file holds it: `rows` rows of `columns` weights. */
struct weight_source {
    const void *bytes; /* rows * quant_row_bytes(), unaligned; borrowed for the weight's life */
    enum weight_type type;
    uint32_t rows;    /* output width of linear(); vocabulary size of embed() */
    uint32_t columns; /* input width */
};

/* Which tokens of the step belong to one sequence. */
struct attention_span {
    uint32_t first_row;    /* into the step's rows */
    uint32_t row_count;    /* 1 for a decode, more for a prefill chunk */
    uint32_t position;     /* of the first row: that many tokens are in the cache before it */
    uint32_t block_offset; /* of the sequence's block table in block_tables */
};

struct embed_args {
    const struct weight *table; /* [vocabulary, width] */
    const uint32_t *tokens;     /* host [rows], each below vocabulary */
    uint32_t rows;
    float *out; /* device [rows, width] */
};

/* out = x / sqrt(mean(x^2) + epsilon) * gain  (Zhang and Sennrich 2019). With `residual`, x +=
 * residual first, and x keeps the sum: one pass over memory for both. */
struct rms_norm_args {
    float *x;              /* device [rows, width] */
    const float *residual; /* device [rows, width] or NULL */
    const float *gain;     /* device [width] */
    float epsilon;
    uint32_t rows, width;
    float *out; /* device [rows, width]; not x */
};

/* x += residual */
struct add_args {
    float *x;
    const float *residual;
    uint64_t count;
};

/* out[r] = W x[r] (+ bias). Weights with the same x (Q, K, V; gate, up) share its quantising. */
#define LINEAR_WEIGHTS_MAX 3
struct linear_args {
    const float *x; /* device [rows, columns] */
    uint32_t rows;
    uint32_t weight_count; /* 1..LINEAR_WEIGHTS_MAX, all with the same columns */
    const struct weight *weights[LINEAR_WEIGHTS_MAX];
    const float *biases[LINEAR_WEIGHTS_MAX]; /* device [weight rows] or NULL */
    float *outs[LINEAR_WEIGHTS_MAX];         /* device [rows, weight rows] */
};

enum rope_style {
    ROPE_NORM, /* pairs (2i, 2i+1): Llama as GGUF stores it */
    ROPE_NEOX, /* pairs (i, i + dims/2) */
};

#define ROPE_FREQUENCY_MAX 64.0f

/* Rotates the first `rotary_dims` of every head by position * frequency (Su et al. 2021).
 * frequencies: device [rotary_dims / 2], base^(-2i/dims) already divided by rope_freqs factors;
 * at most ROPE_FREQUENCY_MAX, so that angles stay in the range of the sine. */
struct rope_args {
    float *x; /* device [rows, heads, head_dim] */
    uint32_t rows, heads, head_dim, rotary_dims;
    enum rope_style style;
    const float *frequencies;
    const uint32_t *positions; /* host [rows] */
    float magnitude;           /* multiplies the rotated values; 1 but for YaRN */
};

/* One layer's cache: IEEE half [blocks][2][kv_heads][KV_BLOCK_TOKENS * head_dim], K then V. The
 * order inside a head's slice of a block is the backend's own: only kv_write and attention look
 * there, others move whole blocks. A row's K goes to block block_tables[span.block_offset +
 * position / KV_BLOCK_TOKENS]. Here and in attention, spans cover all rows, first_row ascending. */
struct kv_write_args {
    const float *k, *v; /* device [rows, kv_heads, head_dim]; k rotated */
    void *cache;        /* device */
    uint32_t kv_heads, head_dim;
    const struct attention_span *spans; /* host */
    uint32_t span_count;
    const uint32_t *block_tables; /* host, block numbers */
};

/* Causal attention of every row to the cache of its own sequence, its own token included.
 * Query head h reads KV head h / (heads / kv_heads). `window` of 0 means all; else a row at
 * position p sees positions p - window + 1 .. p. softcap of 0 means none. */
struct attention_args {
    const float *q;    /* device [rows, heads, head_dim], rotated */
    const void *cache; /* device, as in kv_write_args */
    uint32_t heads, kv_heads, head_dim;
    float scale;
    float softcap;
    uint32_t window;
    const struct attention_span *spans; /* host */
    uint32_t span_count;
    const uint32_t *block_tables; /* host */
    float *out;                   /* device [rows, heads, head_dim] */
};

enum activation { ACTIVATION_SILU, ACTIVATION_GELU_TANH };

/* out = activation(gate) * up, element by element (Shazeer 2020). out may be gate. */
struct gated_args {
    const float *gate, *up; /* device [count] */
    uint64_t count;
    enum activation activation;
    float *out;
};

/* out[i] = x[rows[i]] */
struct gather_args {
    const float *x;       /* device [*, width] */
    const uint32_t *rows; /* host [count] */
    uint32_t count, width;
    float *out; /* device [count, width]; not x */
};

struct backend_ops {
    const char *name; /* "cpu-avx2" */

    void *(*memory_alloc)(struct backend *backend, size_t bytes, struct error *err); /* zeroed */
    void (*memory_free)(struct backend *backend, void *device); /* NULL is fine */
    void (*copy_to_device)(struct backend *backend, void *device, const void *host, size_t bytes);
    /* Waits until everything enqueued before it is done. */
    void (*copy_from_device)(struct backend *backend, void *host, const void *device, size_t bytes);
    /* 0, or ERROR_IO when the device failed: nothing computed since the last success counts. */
    int (*synchronize)(struct backend *backend, struct error *err);

    struct weight *(*weight_prepare)(struct backend *backend, const struct weight_source *source,
                                     struct error *err);
    void (*weight_free)(struct backend *backend, struct weight *weight); /* NULL is fine */
    size_t (*weight_bytes)(const struct weight *weight); /* memory beyond the mapped file */
    /* Sizes the backend's own scratch for steps up to this; before the first op, once. */
    int (*reserve)(struct backend *backend, uint32_t rows_max, uint32_t columns_max,
                   uint32_t context_max, struct error *err);

    void (*embed)(struct backend *backend, const struct embed_args *args);
    void (*rms_norm)(struct backend *backend, const struct rms_norm_args *args);
    void (*add)(struct backend *backend, const struct add_args *args);
    void (*linear)(struct backend *backend, const struct linear_args *args);
    void (*rope)(struct backend *backend, const struct rope_args *args);
    void (*kv_write)(struct backend *backend, const struct kv_write_args *args);
    void (*attention)(struct backend *backend, const struct attention_args *args);
    void (*gated)(struct backend *backend, const struct gated_args *args);
    void (*gather)(struct backend *backend, const struct gather_args *args);

    void (*close)(struct backend *backend);
};

/* Every backend begins with this; the rest is its own. */
struct backend {
    const struct backend_ops *ops;
};

enum cpu_level { CPU_LEVEL_AUTO, CPU_LEVEL_SCALAR, CPU_LEVEL_AVX2, CPU_LEVEL_AVX512 };

struct backend_config {
    const char *device;   /* "auto" or "cpu" */
    uint32_t threads;     /* of the compute pool, the calling thread included; 0: one a core */
    enum cpu_level level; /* AUTO: the best the processor has; a higher one fails with an error */
};

/* NULL and err on failure. Freed by backend_close(). */
struct backend *backend_open(const struct backend_config *config, struct error *err);
void backend_close(struct backend *backend); /* NULL is fine */

#endif
