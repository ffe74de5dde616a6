/* SPDX-License-Identifier: Apache-2.0 */
/* arch.h -- the internal face between model.c and the architectures, and their loader.
 *
 * An architecture is a `struct arch`: how to read its weights and how to run a step. Files are
 * hostile until read: the loader checks every number and every tensor it hands out, and its errors
 * name the key or tensor, what was found and what would be right.
 * Engine thread only, as is the backend. */
#ifndef WEIR_MODELS_ARCH_ARCH_H
#define WEIR_MODELS_ARCH_ARCH_H

#include "base/error.h"
#include "kernels/backend.h"
#include "models/gguf.h"
#include "models/model.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Far above any model there is; what keeps a hostile header from asking for the moon. */
#define ARCH_LAYERS_MAX     1024u
#define ARCH_WIDTH_MAX      (1u << 18)
#define ARCH_VOCABULARY_MAX (1u << 24)
#define ARCH_HEAD_DIM_MAX   1024u
#define ARCH_CONTEXT_MAX    (1u << 24)

struct arch_network; /* weights, cache and activations of one model; the architecture's own */
struct arch_family;  /* how it differs from the others that share its code; the code's own */

struct arch {
    const char *name; /* general.architecture, and the prefix of its keys */
    const struct arch_family *family;
    /* Fills *ret_shape. NULL and err on failure. stop: as model_load_unless() has it. */
    struct arch_network *(*load)(const struct arch *arch, const struct gguf *gguf,
                                 struct backend *backend, const _Atomic bool *stop,
                                 struct model_shape *ret_shape, struct error *err);
    void (*free)(struct arch_network *network); /* NULL is fine */
    size_t (*weight_bytes)(const struct arch_network *network);
    /* As model_reserve(), but for the context, which the backend was told already. */
    int (*reserve)(struct arch_network *network, const struct model_limits *limits,
                   struct error *err);
    /* As model_read_needs(). */
    int (*read_needs)(const struct arch *arch, const struct gguf *gguf,
                      const struct backend *backend, struct model_needs *ret, struct error *err);
    uint32_t (*columns_max)(const struct arch_network *network); /* widest input of a linear */
    /* Enqueues a step; returns device logits [output_count, vocabulary], in the same place each
     * time. Of a step of decodes alone the ops follow from row_count (backend.h, step_repeat). */
    float *(*forward)(struct arch_network *network, const struct model_step *step);
};

extern const struct arch arch_llama, arch_qwen2, arch_qwen2moe, arch_qwen3, arch_qwen3moe;

/* After each layer: the step gets on. */
void arch_layer_done(const struct model_step *step);

/* -- the loader: one architecture's keys and tensors, each checked -- */

struct arch_loader {
    const struct gguf *gguf;  /* borrowed */
    struct backend *backend;  /* borrowed */
    const _Atomic bool *stop; /* borrowed; NULL: nobody asks */
    const char *prefix;       /* of keys: "llama" */
    bool *taken;              /* [tensors of the file] */
    uint64_t parameters;      /* weights taken so far */
    size_t device_bytes;      /* of vectors taken so far */
};
bool arch_loader_init(struct arch_loader *loader, const struct gguf *gguf, struct backend *backend,
                      const _Atomic bool *stop, const char *prefix); /* false: out of memory */
void arch_loader_destroy(struct arch_loader *loader);

/* The key `prefix.suffix`, from least to most. A missing key is an error. */
int arch_read_u32(const struct arch_loader *loader, const char *suffix, uint32_t least,
                  uint32_t most, uint32_t *ret, struct error *err);
/* The same; where the key is missing *ret keeps its value, the default. */
int arch_read_optional_u32(const struct arch_loader *loader, const char *suffix, uint32_t least,
                           uint32_t most, uint32_t *ret, struct error *err);
/* Above 0 and finite; where the key is missing *ret keeps its value, the default. */
int arch_read_optional_float(const struct arch_loader *loader, const char *suffix, float *ret,
                             struct error *err);
void arch_read_optional_bool(const struct arch_loader *loader, const char *suffix, bool *ret);
/* False where it is missing; else NUL-terminated, cut at ret_bytes - 1. */
bool arch_copy_string(const struct arch_loader *loader, const char *suffix, char *ret,
                      size_t ret_bytes);

/* The tensor blk.<layer>.<suffix>, or <suffix> alone for ARCH_NO_LAYER. */
#define ARCH_NO_LAYER UINT32_MAX
bool arch_has(const struct arch_loader *loader, uint32_t layer, const char *suffix);
/* A matrix of `rows` rows of `columns`, laid out by the backend. */
struct weight *arch_matrix(struct arch_loader *loader, uint32_t layer, const char *suffix,
                           uint32_t rows, uint32_t columns, struct error *err);
/* The same of shape {columns, rows, matrices}: so many matrices, one after another. */
struct weight *arch_matrices(struct arch_loader *loader, uint32_t layer, const char *suffix,
                             const uint32_t shape[3], struct error *err);
/* The one matrix of a single row; its tensor cannot be told from a vector's but by its name. */
#define ARCH_SHARED_ROUTER "ffn_gate_inp_shexp.weight"
/* A vector of `count`, as float in device memory. */
float *arch_vector(struct arch_loader *loader, uint32_t layer, const char *suffix, uint32_t count,
                   struct error *err);
/* The same in the caller's memory; `name` is whole. */
int arch_read_vector(struct arch_loader *loader, const char *name, uint32_t count, float *ret,
                     struct error *err);
/* What the file's tensors take of a device that has memory of its own; none where not served. */
uint64_t arch_weight_bytes_wanted(const struct gguf *gguf, const struct backend *backend);
/* False and err, naming one, when the file has tensors that nobody asked for: the architecture has
 * parts that we do not know, and without them would be another model. */
bool arch_all_taken(const struct arch_loader *loader, struct error *err);
/* The rows of the token embedding: the vocabulary. */
int arch_vocabulary(const struct arch_loader *loader, uint32_t *ret, struct error *err);

/* As memory_together(), where the device has it. */
int arch_memory_together(struct backend *backend, uint64_t bytes, struct error *err);
/* Device memory of rows * width floats. */
float *arch_activations(struct backend *backend, uint64_t rows, uint64_t width, struct error *err);

/* A buffer of a step: so wide for each of its rows, or for each row of logits. 0: there is none. */
struct arch_activation {
    float **to;
    bool per_output;
    uint32_t width;
};

#endif
