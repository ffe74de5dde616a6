/* SPDX-License-Identifier: Apache-2.0 */
/* tiny_model.h -- a whole Llama, or another of its code, with random weights and a byte-level
 * vocabulary, some 100 KiB. It babbles, but every part of it is there. For tests and fuzz seeds. */
#ifndef WEIR_TESTS_TINY_MODEL_H
#define WEIR_TESTS_TINY_MODEL_H

#include "base/text.h"
#include "kernels/quant.h"

#include <stdbool.h>
#include <stdint.h>

#define TINY_VOCABULARY 259u /* 256 bytes, "he", <|endoftext|>, <|im_end|> */
#define TINY_PATH_BYTES 64

struct tiny_model {
    const char *architecture;
    uint32_t layers, width, heads, kv_heads, head_dim, feed_forward, context;
    enum weight_type type; /* of matrices: F32, F16, Q8_0 or Q4_0 */
    bool untied, biases, rope_factors, head_norms;
    uint32_t experts, top_k, expert_hidden; /* experts of 0: none */
    uint32_t shared_hidden;                 /* 0: no shared expert */
    uint64_t seed;
    /* Spoiling it: a key or tensor left out, a number in place of a key's, another type id of a
     * tensor. NULL for none. */
    const char *left_out;
    const char *changed_key;
    uint32_t changed_value;
    const char *retyped;
    uint32_t retyped_as;
    const char *added_tensor; /* one that no Llama has */
};

struct tiny_model tiny_model_default(void); /* two layers, groups of two, F32, tied */
/* Mixtral's kind of five experts, two a row; Qwen2-MoE's and Qwen3-MoE's. */
struct tiny_model tiny_model_mixtral(void);
struct tiny_model tiny_model_qwen2moe(void);
struct tiny_model tiny_model_qwen3moe(void);
/* The file, into out. */
void tiny_model_build(const struct tiny_model *tiny, struct text *out);
/* The file under a name of its own, for the caller to unlink(). */
void tiny_model_write(const struct tiny_model *tiny, char path[TINY_PATH_BYTES]);

#endif
