/* SPDX-License-Identifier: Apache-2.0 */
/* gguf_builder.h -- GGUF files in memory, sound or broken on purpose. For tests. */
#ifndef WEIR_TESTS_GGUF_BUILDER_H
#define WEIR_TESTS_GGUF_BUILDER_H

#include "base/text.h"

#include <stdint.h>

struct gguf_builder {
    struct text keys, tensors;
    uint64_t key_count, tensor_count;
    uint32_t version;
};

void gguf_builder_init(struct gguf_builder *builder); /* version 3, nothing in it */
void gguf_builder_destroy(struct gguf_builder *builder);

void gguf_put_u32(struct text *text, uint32_t value);
void gguf_put_u64(struct text *text, uint64_t value);
void gguf_put_string(struct text *text, const char *string);

/* A key's name and kind; the caller appends the value to builder->keys. */
void gguf_builder_key(struct gguf_builder *builder, const char *name, uint32_t kind);
void gguf_builder_u32(struct gguf_builder *builder, const char *name, uint32_t value);
void gguf_builder_string(struct gguf_builder *builder, const char *name, const char *value);
void gguf_builder_strings(struct gguf_builder *builder, const char *name, const char *const *values,
                          uint64_t count);
void gguf_builder_i32s(struct gguf_builder *builder, const char *name, const int32_t *values,
                       uint64_t count);
void gguf_builder_f32s(struct gguf_builder *builder, const char *name, const float *values,
                       uint64_t count);
/* A matrix of `rows` rows. */
void gguf_builder_tensor(struct gguf_builder *builder, const char *name, uint64_t columns,
                         uint64_t rows, uint32_t type, uint64_t offset);

/* So many matrices, one after another: shape is columns, rows, matrices. */
void gguf_builder_matrices(struct gguf_builder *builder, const char *name, const uint32_t shape[3],
                           uint32_t type, uint64_t offset);

/* The file: header, padding to 32 bytes, data_bytes of data counting up from 0. */
void gguf_builder_file(const struct gguf_builder *builder, size_t data_bytes, struct text *out);

#endif
