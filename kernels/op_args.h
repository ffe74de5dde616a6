/* SPDX-License-Identifier: Apache-2.0 */
/* op_args.h -- what the ops of backend.h are given, and what each computes.
 *
 * Pointers named `device` are the backend's; those named `host` are read before the op returns. */
#ifndef WEIR_KERNELS_OP_ARGS_H
#define WEIR_KERNELS_OP_ARGS_H

#include "kernels/kv_format.h"
#include "kernels/quant.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weight; /* a matrix laid out as the backend likes it; opaque */

/* A matrix as the mapped file holds it: `rows` rows of `columns` weights. */
struct weight_source {
    const void *bytes; /* rows * quant_row_bytes() each, unaligned; borrowed for its life */
    enum weight_type type;
    uint32_t rows;     /* output width of linear(); vocabulary size of embed() */
    uint32_t columns;  /* input width */
    uint32_t matrices; /* moe_linear()'s, an expert each, one after another; 0: a single one */
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

/* out = (x - mean(x)) / sqrt(variance(x) + epsilon) * gain (+ bias)  (Ba, Kiros and Hinton 2016).
 * `residual` as in rms_norm. */
struct layer_norm_args {
    float *x;              /* device [rows, width] */
    const float *residual; /* device [rows, width] or NULL */
    const float *gain;     /* device [width] */
    const float *bias;     /* device [width] or NULL */
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

/* One layer's cache: [blocks][2][kv_heads] slices of kv_slice_bytes(), K then V. The order inside a
 * slice is the backend's own: only kv_write and attention look there, others move whole blocks. A
 * row's K goes to block block_tables[span.block_offset + position / KV_BLOCK_TOKENS]. Here and in
 * attention, spans cover all rows, first_row ascending. */
struct kv_write_args {
    const float *k, *v; /* device [rows, kv_heads, head_dim]; k rotated */
    void *cache;        /* device */
    uint32_t kv_heads, head_dim;
    const struct attention_span *spans; /* host */
    uint32_t span_count;
    const uint32_t *block_tables; /* host, block numbers */
    enum kv_format format;        /* the backend's */
};

/* Causal attention of every row to the cache of its own sequence, its own token included.
 * Query head h reads KV head h / (heads / kv_heads). `window` of 0 means all; else a row at
 * position p sees positions p - window + 1 .. p. softcap of 0 means none. A head's sink (Xiao et
 * al. 2024; learned, as in gpt-oss) is the score of one more key, which every row sees and whose
 * value is zero. */
struct attention_args {
    const float *q;    /* device [rows, heads, head_dim], rotated */
    const void *cache; /* device, as in kv_write_args */
    uint32_t heads, kv_heads, head_dim;
    float scale, softcap;
    uint32_t window;
    const struct attention_span *spans; /* host */
    uint32_t span_count;
    const uint32_t *block_tables; /* host */
    float *out;                   /* device [rows, heads, head_dim] */
    const float *sinks;           /* device [heads] or NULL */
    enum kv_format format;        /* the backend's */
};

/* The host arrays that ops of one step share. They stay as they are until the next step_begin(),
 * copy_from_device() or synchronize(). An op given another array copies that one. */
struct step_args {
    uint32_t row_count;
    const uint32_t *tokens, *positions; /* [row_count], or NULL */
    uint32_t span_count;
    const struct attention_span *spans; /* in order, covering all rows but padding at the end */
    const uint32_t *block_tables;
    uint32_t output_count;
    const uint32_t *output_rows; /* [output_count], or NULL */
};

/* What no step will be larger than. */
struct reserve_args {
    uint32_t rows_max, spans_max;       /* of a step, and sequences in it */
    uint32_t columns_max;               /* of the input of a linear() */
    uint32_t context_max;               /* tokens of a sequence */
    uint32_t heads, kv_heads, head_dim; /* of attention(); 0 where there is none */
    uint32_t outputs_max, vocabulary;   /* of draw(); 0 where there is none */
    uint32_t experts, top_k;            /* of moe_route(); 0 where there is none */
    uint32_t expert_columns_max;        /* of the input of a moe_linear() */
};

/* Memory of a device that has its own. */
struct device_room {
    char device[64]; /* what it calls itself */
    uint64_t total_bytes, free_bytes;
};

/* memory_alloc() and weights of such a device take whole units of this. */
#define DEVICE_MEMORY_UNIT 256u

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

#endif
