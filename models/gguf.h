/* SPDX-License-Identifier: Apache-2.0 */
/* gguf.h -- a GGUF v3 file, mapped and checked.
 *
 * gguf_open() walks the whole header once and checks every count, length, offset and size against
 * the file before anything is used; what it hands out afterwards is safe to read. All pointers
 * are borrowed from the file and live until gguf_close(). Immutable after opening: any thread.
 * Format: ggml's docs/gguf.md, versions 2 and 3, little endian. */
#ifndef WEIR_MODELS_GGUF_H
#define WEIR_MODELS_GGUF_H

#include "base/error.h"
#include "kernels/quant.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GGUF_KEYS_MAX       65536u
#define GGUF_TENSORS_MAX    65536u
#define GGUF_DIMENSIONS_MAX 4u

struct gguf;

/* Bytes in the file, not NUL-terminated. */
struct gguf_string {
    const char *bytes;
    size_t count;
};

struct gguf_tensor {
    struct gguf_string name;
    uint32_t type;                       /* raw id; quant_format_find() says whether we serve it */
    uint32_t dimension_count;            /* 1..4 */
    uint64_t shape[GGUF_DIMENSIONS_MAX]; /* fastest first: [columns, rows, ...]; unused are 1 */
    const void *bytes;
    size_t bytes_count; /* 0 when the type is one whose size we do not know */
};

/* NULL and err when the file cannot be read or is not wholly sound. */
struct gguf *gguf_open(const char *path, struct error *err);
/* The same over memory that the caller keeps (tests, fuzzing). */
struct gguf *gguf_open_memory(const void *bytes, size_t count, struct error *err);
void gguf_close(struct gguf *gguf); /* NULL is fine */

size_t gguf_file_bytes(const struct gguf *gguf);

/* Each returns false when the key is missing or of another kind, ret untouched. Integers of any
 * width and sign are taken where the value fits. */
bool gguf_get_u64(const struct gguf *gguf, const char *key, uint64_t *ret);
bool gguf_get_f64(const struct gguf *gguf, const char *key, double *ret);
bool gguf_get_bool(const struct gguf *gguf, const char *key, bool *ret);
bool gguf_get_string(const struct gguf *gguf, const char *key, struct gguf_string *ret);
/* The string, NUL-terminated, in a buffer of the caller's; cut at ret_bytes - 1. */
bool gguf_copy_string(const struct gguf *gguf, const char *key, char *ret, size_t ret_bytes);

enum gguf_array_kind {
    GGUF_ARRAY_STRINGS,
    GGUF_ARRAY_INTEGERS,
    GGUF_ARRAY_FLOATS,
    GGUF_ARRAY_BOOLS
};
struct gguf_array {
    enum gguf_array_kind kind;
    uint64_t count;
    const void *elements; /* in the file, unaligned; read with gguf_array_* */
    size_t elements_bytes;
    uint32_t element_type;
};
bool gguf_get_array(const struct gguf *gguf, const char *key, struct gguf_array *ret);
/* Strings have no fixed size: walk them in order. *cursor starts at 0. False at the end. */
bool gguf_array_next_string(const struct gguf_array *array, uint64_t *cursor,
                            struct gguf_string *ret);
/* Of an array of that kind (bools are read as integers), index < count. Unsigned values above
 * INT64_MAX give INT64_MAX. */
int64_t gguf_array_integer(const struct gguf_array *array, uint64_t index);
double gguf_array_float(const struct gguf_array *array, uint64_t index);

uint32_t gguf_tensor_count(const struct gguf *gguf);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *gguf, uint32_t index);
const struct gguf_tensor *gguf_tensor_find(const struct gguf *gguf, const char *name); /* or NULL */

#endif
