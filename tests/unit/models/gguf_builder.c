/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/models/gguf_builder.h"

#include <string.h>

void gguf_builder_init(struct gguf_builder *builder)
{
    memset(builder, 0, sizeof *builder);
    builder->version = 3;
}

void gguf_builder_destroy(struct gguf_builder *builder)
{
    text_destroy(&builder->keys);
    text_destroy(&builder->tensors);
}

void gguf_put_u32(struct text *text, uint32_t value)
{
    text_append(text, &value, sizeof value);
}

void gguf_put_u64(struct text *text, uint64_t value)
{
    text_append(text, &value, sizeof value);
}

void gguf_put_string(struct text *text, const char *string)
{
    gguf_put_u64(text, strlen(string));
    text_append_string(text, string);
}

void gguf_builder_key(struct gguf_builder *builder, const char *name, uint32_t kind)
{
    builder->key_count++;
    gguf_put_string(&builder->keys, name);
    gguf_put_u32(&builder->keys, kind);
}

void gguf_builder_u32(struct gguf_builder *builder, const char *name, uint32_t value)
{
    gguf_builder_key(builder, name, 4);
    gguf_put_u32(&builder->keys, value);
}

void gguf_builder_string(struct gguf_builder *builder, const char *name, const char *value)
{
    gguf_builder_key(builder, name, 8);
    gguf_put_string(&builder->keys, value);
}

static void put_array(struct gguf_builder *builder, const char *name, uint32_t kind, uint64_t count)
{
    gguf_builder_key(builder, name, 9);
    gguf_put_u32(&builder->keys, kind);
    gguf_put_u64(&builder->keys, count);
}

void gguf_builder_strings(struct gguf_builder *builder, const char *name, const char *const *values,
                          uint64_t count)
{
    put_array(builder, name, 8, count);
    for (uint64_t i = 0; i < count; i++)
        gguf_put_string(&builder->keys, values[i]);
}

void gguf_builder_i32s(struct gguf_builder *builder, const char *name, const int32_t *values,
                       uint64_t count)
{
    put_array(builder, name, 5, count);
    text_append(&builder->keys, values, count * sizeof *values);
}

void gguf_builder_f32s(struct gguf_builder *builder, const char *name, const float *values,
                       uint64_t count)
{
    put_array(builder, name, 6, count);
    text_append(&builder->keys, values, count * sizeof *values);
}

void gguf_builder_tensor(struct gguf_builder *builder, const char *name, uint64_t columns,
                         uint64_t rows, uint32_t type, uint64_t offset)
{
    builder->tensor_count++;
    gguf_put_string(&builder->tensors, name);
    gguf_put_u32(&builder->tensors, 2);
    gguf_put_u64(&builder->tensors, columns);
    gguf_put_u64(&builder->tensors, rows);
    gguf_put_u32(&builder->tensors, type);
    gguf_put_u64(&builder->tensors, offset);
}

void gguf_builder_matrices(struct gguf_builder *builder, const char *name, const uint32_t shape[3],
                           uint32_t type, uint64_t offset)
{
    /* Writers leave out dimensions of one at the end. */
    const uint32_t dimensions = shape[2] > 1 ? 3 : shape[1] > 1 ? 2 : 1;
    builder->tensor_count++;
    gguf_put_string(&builder->tensors, name);
    gguf_put_u32(&builder->tensors, dimensions);
    for (uint32_t i = 0; i < dimensions; i++)
        gguf_put_u64(&builder->tensors, shape[i]);
    gguf_put_u32(&builder->tensors, type);
    gguf_put_u64(&builder->tensors, offset);
}

void gguf_builder_file(const struct gguf_builder *builder, size_t data_bytes, struct text *out)
{
    text_reset(out);
    text_append(out, "GGUF", 4);
    gguf_put_u32(out, builder->version);
    gguf_put_u64(out, builder->tensor_count);
    gguf_put_u64(out, builder->key_count);
    text_append(out, builder->keys.bytes, builder->keys.count);
    text_append(out, builder->tensors.bytes, builder->tensors.count);
    while (out->count % 32 != 0)
        text_append_char(out, 0);
    for (size_t i = 0; i < data_bytes; i++)
        text_append_char(out, (char)i);
}
