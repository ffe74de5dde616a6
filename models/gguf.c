/* SPDX-License-Identifier: Apache-2.0 */
/* gguf.c -- one walk over the header, after which everything handed out is safe to read.
 *
 *     "GGUF" | u32 version | u64 tensors | u64 keys
 *     keys    x { string name, u32 kind, value }
 *     tensors x { string name, u32 dimensions, u64 shape[dimensions], u32 type, u64 offset }
 *     padding to `general.alignment` (32 unless the key says otherwise)
 *     tensor data; a tensor's offset counts from here and is a multiple of the alignment
 *
 * A string is u64 length and bytes; an array is u32 element kind, u64 count and elements. All
 * numbers are little endian and at no particular alignment. Version 2 has the same layout as 3
 * (3 only adds big-endian files), so both are taken; 1 had 32-bit lengths and is refused.
 *
 * The file is not trusted. A reader holds the whole of it and a position; every read asks first
 * whether that many bytes are left, every count is held against what is left before it is
 * multiplied, and no allocation is larger than the file pays for (a key takes at least 13 bytes
 * of file, a tensor at least 33). Names are unique: two values for one key would let a checker
 * and a loader see different models. After the walk:
 *   - each key's value lies wholly in the file, its kind known, bools 0 or 1;
 *   - each tensor's bytes lie wholly in the file, at a multiple of the alignment, when its type
 *     has a size that we know. Types that were removed from the format are refused; types newer
 *     than this table get bytes_count 0, for the loader to refuse by number.
 * tests/fuzz/gguf_fuzz.c reads every key, element and tensor byte of what was accepted.
 *
 * The file is mapped privately and read only, so weights are paged in on first use and shared
 * between processes. A file cut short while it is mapped kills its readers (SIGBUS): replace
 * model files by renaming, never in place. Copying the file into memory would avoid that at the
 * price of twice the memory; no server pays it. */
#include "models/gguf.h"

#include "models/byte_map.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are read as they lie");

#define GGUF_ALIGNMENT_DEFAULT     32u
#define GGUF_ALIGNMENT_MIN         8u
#define GGUF_ALIGNMENT_MAX         65536u
#define GGUF_KEY_BYTES_MAX         65535u
#define GGUF_TENSOR_NAME_BYTES_MAX 64u
#define GGUF_KEY_FILE_BYTES_MIN    13u /* length, no less than one byte of name, kind */
#define GGUF_TENSOR_FILE_BYTES_MIN 33u /* length, name, dimensions, one of them, type, offset */
#define PRINTED_NAME_BYTES         80u

enum value_kind {
    VALUE_U8,
    VALUE_I8,
    VALUE_U16,
    VALUE_I16,
    VALUE_U32,
    VALUE_I32,
    VALUE_F32,
    VALUE_BOOL,
    VALUE_STRING,
    VALUE_ARRAY,
    VALUE_U64,
    VALUE_I64,
    VALUE_F64,
    VALUE_KINDS
};

/* Bytes of one value; 0 for the two kinds without a fixed size. */
static const uint8_t value_bytes[VALUE_KINDS] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

struct gguf_key {
    struct gguf_string name;
    uint32_t kind;         /* enum value_kind; VALUE_ARRAY for arrays */
    uint32_t element_kind; /* of an array */
    uint64_t count;        /* of an array's elements */
    const uint8_t *value;  /* the number, a string's bytes, an array's first element */
    size_t value_bytes;
};

struct gguf {
    const uint8_t *bytes;
    size_t count;
    bool mapped; /* we unmap */
    uint32_t key_count, tensor_count;
    struct gguf_key *keys;
    struct gguf_tensor *tensors;
    struct byte_map *key_map, *tensor_map;
};

/* Sizes of the types that the format knows, whether we serve them or not. */
struct type_size {
    uint16_t block_weights; /* 0: the id was removed, or never given */
    uint16_t block_bytes;
};
static const struct type_size type_sizes[] = {
    [0] = {1, 4},      [1] = {1, 2},      [2] = {32, 18},    [3] = {32, 20},    [6] = {32, 22},
    [7] = {32, 24},    [8] = {32, 34},    [9] = {32, 36},    [10] = {256, 84},  [11] = {256, 110},
    [12] = {256, 144}, [13] = {256, 176}, [14] = {256, 210}, [15] = {256, 292}, [16] = {256, 66},
    [17] = {256, 74},  [18] = {256, 98},  [19] = {256, 50},  [20] = {32, 18},   [21] = {256, 110},
    [22] = {256, 82},  [23] = {256, 136}, [24] = {1, 1},     [25] = {1, 2},     [26] = {1, 4},
    [27] = {1, 8},     [28] = {1, 8},     [29] = {256, 56},  [30] = {1, 2},     [34] = {256, 54},
    [35] = {256, 66},  [39] = {32, 17},   [40] = {64, 36},   [41] = {128, 18},  [42] = {64, 18},
};
#define TYPE_SIZES_COUNT (sizeof type_sizes / sizeof type_sizes[0])

/* -- the reader: a position in the file, and the only door to its bytes -- */

struct reader {
    const uint8_t *bytes;
    size_t count;
    size_t at; /* <= count */
    struct error *err;
};

static size_t bytes_left(const struct reader *reader)
{
    return reader->count - reader->at;
}

static int truncated(const struct reader *reader, const char *what)
{
    return error_set(reader->err, ERROR_INVALID, "file ends inside %s: truncated at byte %zu", what,
                     reader->count);
}

static int read_fixed(struct reader *reader, void *ret, size_t bytes, const char *what)
{
    if (bytes_left(reader) < bytes)
        return truncated(reader, what);
    memcpy(ret, reader->bytes + reader->at, bytes);
    reader->at += bytes;
    return 0;
}

static int read_string(struct reader *reader, struct gguf_string *ret, const char *what)
{
    uint64_t length = 0;
    size_t start = reader->at;
    int rc = read_fixed(reader, &length, sizeof length, what);
    if (rc != 0)
        return rc;
    if (length > bytes_left(reader))
        return error_set(reader->err, ERROR_INVALID,
                         "%s at byte %zu says it has %" PRIu64 " bytes, %zu are left in the file",
                         what, start, length, bytes_left(reader));
    ret->bytes = (const char *)reader->bytes + reader->at;
    ret->count = (size_t)length;
    reader->at += (size_t)length;
    return 0;
}

/* A name fit for an error message: cut, and without control characters. */
static const char *printed_name(struct gguf_string name, char ret[PRINTED_NAME_BYTES])
{
    size_t count = name.count < PRINTED_NAME_BYTES - 1 ? name.count : PRINTED_NAME_BYTES - 1;
    for (size_t i = 0; i < count; i++) {
        char c = name.bytes[i];
        ret[i] = c >= 0x20 && c < 0x7f ? c : '?';
    }
    ret[count] = '\0';
    return ret;
}

static int wrap_name(const struct reader *reader, const char *what, struct gguf_string name)
{
    char printed[PRINTED_NAME_BYTES];
    return error_wrap(reader->err, "%s '%s'", what, printed_name(name, printed));
}

/* -- keys -- */

/* Skips `count` strings; each is held against the end of the file. */
static int skip_strings(struct reader *reader, uint64_t count)
{
    struct gguf_string ignored;
    for (uint64_t i = 0; i < count; i++) {
        int rc = read_string(reader, &ignored, "array string");
        if (rc != 0)
            return error_wrap(reader->err, "element %" PRIu64, i);
    }
    return 0;
}

static int check_bools(const struct reader *reader, const uint8_t *values, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (values[i] > 1)
            return error_set(reader->err, ERROR_INVALID, "bool at byte %zu is %u, not 0 or 1",
                             (size_t)(values + i - reader->bytes), values[i]);
    }
    return 0;
}

static int read_array(struct reader *reader, struct gguf_key *key)
{
    size_t start = reader->at;
    int rc = read_fixed(reader, &key->element_kind, sizeof key->element_kind, "array header");
    if (rc == 0)
        rc = read_fixed(reader, &key->count, sizeof key->count, "array header");
    if (rc != 0)
        return rc;
    if (key->element_kind == VALUE_ARRAY)
        return error_set(reader->err, ERROR_UNSUPPORTED, "array of arrays at byte %zu", start);
    if (key->element_kind >= VALUE_KINDS)
        return error_set(reader->err, ERROR_INVALID, "unknown element kind %u at byte %zu",
                         key->element_kind, start);
    bool strings = key->element_kind == VALUE_STRING;
    size_t element_bytes = strings ? sizeof(uint64_t) : value_bytes[key->element_kind];
    if (key->count > bytes_left(reader) / element_bytes)
        return error_set(reader->err, ERROR_INVALID,
                         "array at byte %zu says it has %" PRIu64
                         " elements, only %zu bytes are left in the file",
                         start, key->count, bytes_left(reader));
    key->value = reader->bytes + reader->at;
    if (strings)
        rc = skip_strings(reader, key->count);
    else
        reader->at += (size_t)key->count * element_bytes;
    if (rc == 0 && key->element_kind == VALUE_BOOL)
        rc = check_bools(reader, key->value, key->count);
    key->value_bytes = (size_t)(reader->bytes + reader->at - key->value);
    return rc;
}

static int read_value(struct reader *reader, struct gguf_key *key)
{
    size_t start = reader->at;
    int rc = read_fixed(reader, &key->kind, sizeof key->kind, "a value's kind");
    if (rc != 0)
        return rc;
    if (key->kind >= VALUE_KINDS)
        return error_set(reader->err, ERROR_INVALID, "unknown value kind %u at byte %zu", key->kind,
                         start);
    if (key->kind == VALUE_ARRAY)
        return read_array(reader, key);
    if (key->kind == VALUE_STRING) {
        struct gguf_string string;
        rc = read_string(reader, &string, "string");
        if (rc != 0)
            return rc;
        key->value = (const uint8_t *)string.bytes;
        key->value_bytes = string.count;
        return 0;
    }
    key->value = reader->bytes + reader->at;
    key->value_bytes = value_bytes[key->kind];
    if (bytes_left(reader) < key->value_bytes)
        return truncated(reader, "a value");
    reader->at += key->value_bytes;
    return key->kind == VALUE_BOOL ? check_bools(reader, key->value, 1) : 0;
}

static int read_keys(struct reader *reader, struct gguf *gguf)
{
    gguf->keys = calloc((size_t)gguf->key_count + 1, sizeof *gguf->keys);
    gguf->key_map = byte_map_new(gguf->key_count);
    if (gguf->keys == NULL || gguf->key_map == NULL)
        return error_no_memory(reader->err);
    for (uint32_t i = 0; i < gguf->key_count; i++) {
        struct gguf_key *key = &gguf->keys[i];
        size_t start = reader->at;
        int rc = read_string(reader, &key->name, "key name");
        if (rc != 0)
            return error_wrap(reader->err, "key %u", i);
        if (key->name.count == 0 || key->name.count > GGUF_KEY_BYTES_MAX)
            return error_set(reader->err, ERROR_INVALID,
                             "key %u at byte %zu: name of %zu bytes, allowed are 1 to %u", i, start,
                             key->name.count, GGUF_KEY_BYTES_MAX);
        rc = read_value(reader, key);
        if (rc == 0 && byte_map_add(gguf->key_map, key->name.bytes, key->name.count, i) != i)
            rc = error_set(reader->err, ERROR_INVALID, "given a second time at byte %zu", start);
        if (rc != 0)
            return wrap_name(reader, "key", key->name);
    }
    return 0;
}

/* -- tensors -- */

static int read_shape(struct reader *reader, struct gguf_tensor *tensor)
{
    size_t start = reader->at;
    int rc = read_fixed(reader, &tensor->dimension_count, sizeof tensor->dimension_count, "shape");
    if (rc != 0)
        return rc;
    if (tensor->dimension_count == 0 || tensor->dimension_count > GGUF_DIMENSIONS_MAX)
        return error_set(reader->err, ERROR_INVALID,
                         "%u dimensions at byte %zu, allowed are 1 to %u", tensor->dimension_count,
                         start, GGUF_DIMENSIONS_MAX);
    for (uint32_t i = 0; i < GGUF_DIMENSIONS_MAX; i++)
        tensor->shape[i] = 1;
    uint64_t weights = 1;
    for (uint32_t i = 0; i < tensor->dimension_count; i++) {
        rc = read_fixed(reader, &tensor->shape[i], sizeof tensor->shape[i], "shape");
        if (rc != 0)
            return rc;
        if (tensor->shape[i] == 0 || tensor->shape[i] > INT64_MAX / weights)
            return error_set(reader->err, ERROR_INVALID,
                             "dimension %u at byte %zu is %" PRIu64 ": empty or too large", i,
                             reader->at - sizeof tensor->shape[i], tensor->shape[i]);
        weights *= tensor->shape[i];
    }
    return 0;
}

/* Sets bytes_count; 0 when the type is newer than our table. */
static int size_tensor(const struct reader *reader, struct gguf_tensor *tensor)
{
    if (tensor->type >= TYPE_SIZES_COUNT)
        return 0;
    struct type_size size = type_sizes[tensor->type];
    if (size.block_weights == 0)
        return error_set(reader->err, ERROR_INVALID,
                         "type %u before byte %zu was removed from the format: convert the "
                         "model again",
                         tensor->type, reader->at);
    if (tensor->shape[0] % size.block_weights != 0)
        return error_set(reader->err, ERROR_INVALID,
                         "rows of %" PRIu64 " weights are no whole number of blocks of %u",
                         tensor->shape[0], size.block_weights);
    uint64_t blocks = tensor->shape[0] / size.block_weights;
    for (uint32_t i = 1; i < GGUF_DIMENSIONS_MAX; i++)
        blocks *= tensor->shape[i]; /* fits: read_shape() bounds the product of all */
    if (blocks > reader->count / size.block_bytes)
        return error_set(reader->err, ERROR_INVALID,
                         "%" PRIu64 " blocks of %u bytes are more than the file of %zu bytes holds",
                         blocks, size.block_bytes, reader->count);
    tensor->bytes_count = (size_t)blocks * size.block_bytes;
    return 0;
}

/* Reads one tensor's line. Its offset stays in *ret_offset until the start of the data is known. */
static int read_tensor(struct reader *reader, struct gguf_tensor *tensor, uint64_t *ret_offset)
{
    int rc = read_shape(reader, tensor);
    if (rc == 0)
        rc = read_fixed(reader, &tensor->type, sizeof tensor->type, "tensor type");
    if (rc == 0)
        rc = read_fixed(reader, ret_offset, sizeof *ret_offset, "tensor offset");
    return rc == 0 ? size_tensor(reader, tensor) : rc;
}

static int read_tensors(struct reader *reader, struct gguf *gguf, uint64_t *offsets)
{
    for (uint32_t i = 0; i < gguf->tensor_count; i++) {
        struct gguf_tensor *tensor = &gguf->tensors[i];
        struct gguf_string *name = &tensor->name;
        size_t start = reader->at;
        int rc = read_string(reader, name, "tensor name");
        if (rc != 0)
            return error_wrap(reader->err, "tensor %u", i);
        if (name->count == 0 || name->count > GGUF_TENSOR_NAME_BYTES_MAX)
            return error_set(reader->err, ERROR_INVALID,
                             "tensor %u at byte %zu: name of %zu bytes, allowed are 1 to %u", i,
                             start, name->count, GGUF_TENSOR_NAME_BYTES_MAX);
        rc = read_tensor(reader, tensor, &offsets[i]);
        if (rc == 0 && byte_map_add(gguf->tensor_map, name->bytes, name->count, i) != i)
            rc = error_set(reader->err, ERROR_INVALID, "given a second time at byte %zu", start);
        if (rc != 0)
            return wrap_name(reader, "tensor", *name);
    }
    return 0;
}

static int find_alignment(const struct gguf *gguf, struct error *err, uint64_t *ret)
{
    uint64_t alignment = GGUF_ALIGNMENT_DEFAULT;
    if (byte_map_find(gguf->key_map, "general.alignment", strlen("general.alignment")) !=
            BYTE_MAP_NONE &&
        !gguf_get_u64(gguf, "general.alignment", &alignment))
        return error_set(err, ERROR_INVALID, "key 'general.alignment': no unsigned integer");
    if (alignment < GGUF_ALIGNMENT_MIN || alignment > GGUF_ALIGNMENT_MAX ||
        (alignment & (alignment - 1)) != 0)
        return error_set(err, ERROR_INVALID,
                         "key 'general.alignment': %" PRIu64 " is no power of two from %u to %u",
                         alignment, GGUF_ALIGNMENT_MIN, GGUF_ALIGNMENT_MAX);
    *ret = alignment;
    return 0;
}

/* Turns offsets into pointers, now that the start of the data is known. */
static int place_tensors(struct reader *reader, struct gguf *gguf, const uint64_t *offsets)
{
    uint64_t alignment = 0;
    int rc = find_alignment(gguf, reader->err, &alignment);
    if (rc != 0 || gguf->tensor_count == 0)
        return rc;
    uint64_t start = ((uint64_t)reader->at + alignment - 1) / alignment * alignment;
    if (start > reader->count)
        return truncated(reader, "the padding before tensor data");
    uint64_t room = reader->count - start;
    for (uint32_t i = 0; i < gguf->tensor_count; i++) {
        struct gguf_tensor *tensor = &gguf->tensors[i];
        if (offsets[i] % alignment != 0)
            rc = error_set(reader->err, ERROR_INVALID,
                           "offset %" PRIu64 " is no multiple of the alignment %" PRIu64,
                           offsets[i], alignment);
        else if (offsets[i] > room || tensor->bytes_count > room - offsets[i])
            rc = error_set(reader->err, ERROR_INVALID,
                           "%zu bytes at offset %" PRIu64 " of the data (byte %" PRIu64
                           ") reach past the end of the file at byte %zu: truncated?",
                           tensor->bytes_count, offsets[i], start, reader->count);
        if (rc != 0)
            return wrap_name(reader, "tensor", tensor->name);
        tensor->bytes = reader->bytes + start + offsets[i];
    }
    return 0;
}

/* -- the file -- */

static int check_version(struct reader *reader)
{
    char magic[4];
    uint32_t version = 0;
    int rc = read_fixed(reader, magic, sizeof magic, "the header");
    if (rc == 0 && memcmp(magic, "GGUF", sizeof magic) != 0)
        rc = error_set(reader->err, ERROR_INVALID, "no GGUF file: it does not begin with 'GGUF'");
    if (rc == 0)
        rc = read_fixed(reader, &version, sizeof version, "the header");
    if (rc != 0)
        return rc;
    if (version == 2 || version == 3)
        return 0;
    if (version == 0x02000000 || version == 0x03000000)
        return error_set(reader->err, ERROR_UNSUPPORTED,
                         "big-endian GGUF: convert it to little endian");
    return error_set(reader->err, ERROR_UNSUPPORTED,
                     "GGUF version %u: versions 2 and 3 are read, convert the model again",
                     version);
}

/* A count from the header, held against its limit and against what the file can pay for. */
static int read_count(struct reader *reader, const char *what, uint32_t limit, size_t bytes_min,
                      uint32_t *ret)
{
    uint64_t count = 0;
    int rc = read_fixed(reader, &count, sizeof count, "the header");
    if (rc != 0)
        return rc;
    if (count > limit)
        return error_set(reader->err, ERROR_INVALID, "header says %" PRIu64 " %s, the limit is %u",
                         count, what, limit);
    if (count > reader->count / bytes_min)
        return error_set(reader->err, ERROR_INVALID,
                         "header says %" PRIu64 " %s, more than a file of %zu bytes holds", count,
                         what, reader->count);
    *ret = (uint32_t)count;
    return 0;
}

static int read_header(struct gguf *gguf, struct error *err)
{
    struct reader reader = {.bytes = gguf->bytes, .count = gguf->count, .err = err};
    uint32_t key_count = 0, tensor_count = 0;
    int rc = check_version(&reader);
    if (rc == 0)
        rc = read_count(&reader, "tensors", GGUF_TENSORS_MAX, GGUF_TENSOR_FILE_BYTES_MIN,
                        &tensor_count);
    if (rc == 0)
        rc = read_count(&reader, "keys", GGUF_KEYS_MAX, GGUF_KEY_FILE_BYTES_MIN, &key_count);
    if (rc != 0)
        return rc;
    gguf->key_count = key_count;
    gguf->tensor_count = tensor_count;
    rc = read_keys(&reader, gguf);
    if (rc != 0)
        return rc;
    uint64_t *offsets = calloc((size_t)tensor_count + 1, sizeof *offsets);
    gguf->tensors = calloc((size_t)tensor_count + 1, sizeof *gguf->tensors);
    gguf->tensor_map = byte_map_new(tensor_count);
    if (offsets == NULL || gguf->tensors == NULL || gguf->tensor_map == NULL)
        rc = error_no_memory(err);
    if (rc == 0)
        rc = read_tensors(&reader, gguf, offsets);
    if (rc == 0)
        rc = place_tensors(&reader, gguf, offsets);
    free(offsets);
    return rc;
}

struct gguf *gguf_open_memory(const void *bytes, size_t count, struct error *err)
{
    struct gguf *gguf = calloc(1, sizeof *gguf);
    if (gguf == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    gguf->bytes = bytes;
    gguf->count = count;
    if (read_header(gguf, err) != 0) {
        gguf_close(gguf);
        return NULL;
    }
    return gguf;
}

/* Maps the whole of a regular file. */
static int map_file(int fd, const char *path, void **ret, size_t *ret_count, struct error *err)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return error_set_errno(err, errno, "model file '%s'", path);
    if (!S_ISREG(status.st_mode))
        return error_set(err, ERROR_INVALID, "model file '%s': %s, not a regular file", path,
                         S_ISDIR(status.st_mode) ? "a directory" : "a device, pipe or socket");
    if (status.st_size == 0)
        return error_set(err, ERROR_INVALID, "model file '%s': empty", path);
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return error_set_errno(err, errno, "model file '%s': cannot map it", path);
    *ret = bytes;
    *ret_count = (size_t)status.st_size;
    return 0;
}

struct gguf *gguf_open(const char *path, struct error *err)
{
    void *bytes = NULL;
    size_t count = 0;
    /* Non-blocking, so that a pipe without a writer does not hold us before fstat() refuses it. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        (void)error_set_errno(err, errno, "model file '%s'", path);
        return NULL;
    }
    int rc = map_file(fd, path, &bytes, &count, err);
    (void)close(fd); /* the mapping keeps the file */
    if (rc != 0)
        return NULL;
    struct gguf *gguf = gguf_open_memory(bytes, count, err);
    if (gguf == NULL) {
        (void)munmap(bytes, count);
        (void)error_wrap(err, "model file '%s'", path);
        return NULL;
    }
    gguf->mapped = true;
    return gguf;
}

void gguf_close(struct gguf *gguf)
{
    if (gguf == NULL)
        return;
    byte_map_free(gguf->key_map);
    byte_map_free(gguf->tensor_map);
    free(gguf->keys);
    free(gguf->tensors);
    if (gguf->mapped)
        (void)munmap((void *)gguf->bytes, gguf->count);
    free(gguf);
}

size_t gguf_file_bytes(const struct gguf *gguf)
{
    return gguf->count;
}

/* -- reading -- */

static const struct gguf_key *find_key(const struct gguf *gguf, const char *name)
{
    uint32_t index = byte_map_find(gguf->key_map, name, strlen(name));
    return index == BYTE_MAP_NONE ? NULL : &gguf->keys[index];
}

/* A number as it lies in the file, sign and width undone. */
struct integer {
    bool negative;
    uint64_t bits; /* two's complement when negative */
};

static bool read_integer(uint32_t kind, const uint8_t *value, struct integer *ret)
{
    uint64_t bits = 0;
    memcpy(&bits, value, value_bytes[kind]);
    int64_t sign_extended = 0;
    switch ((enum value_kind)kind) {
    case VALUE_U8:
    case VALUE_U16:
    case VALUE_U32:
    case VALUE_U64:
        *ret = (struct integer){.bits = bits};
        return true;
    case VALUE_I8:
        sign_extended = (int8_t)bits;
        break;
    case VALUE_I16:
        sign_extended = (int16_t)bits;
        break;
    case VALUE_I32:
        sign_extended = (int32_t)bits;
        break;
    case VALUE_I64:
        sign_extended = (int64_t)bits;
        break;
    default:
        return false;
    }
    *ret = (struct integer){.negative = sign_extended < 0, .bits = (uint64_t)sign_extended};
    return true;
}

static bool read_float(uint32_t kind, const uint8_t *value, double *ret)
{
    float single;
    if (kind == VALUE_F64) {
        memcpy(ret, value, sizeof *ret);
        return true;
    }
    if (kind != VALUE_F32)
        return false;
    memcpy(&single, value, sizeof single);
    *ret = (double)single;
    return true;
}

bool gguf_get_u64(const struct gguf *gguf, const char *key, uint64_t *ret)
{
    const struct gguf_key *found = find_key(gguf, key);
    struct integer integer;
    if (found == NULL || !read_integer(found->kind, found->value, &integer) || integer.negative)
        return false;
    *ret = integer.bits;
    return true;
}

bool gguf_get_f64(const struct gguf *gguf, const char *key, double *ret)
{
    const struct gguf_key *found = find_key(gguf, key);
    return found != NULL && read_float(found->kind, found->value, ret);
}

bool gguf_get_bool(const struct gguf *gguf, const char *key, bool *ret)
{
    const struct gguf_key *found = find_key(gguf, key);
    if (found == NULL || found->kind != VALUE_BOOL)
        return false;
    *ret = found->value[0] != 0;
    return true;
}

bool gguf_get_string(const struct gguf *gguf, const char *key, struct gguf_string *ret)
{
    const struct gguf_key *found = find_key(gguf, key);
    if (found == NULL || found->kind != VALUE_STRING)
        return false;
    *ret = (struct gguf_string){.bytes = (const char *)found->value, .count = found->value_bytes};
    return true;
}

bool gguf_copy_string(const struct gguf *gguf, const char *key, char *ret, size_t ret_bytes)
{
    struct gguf_string string;
    assert(ret_bytes > 0);
    if (!gguf_get_string(gguf, key, &string))
        return false;
    size_t count = string.count < ret_bytes - 1 ? string.count : ret_bytes - 1;
    memcpy(ret, string.bytes, count);
    ret[count] = '\0';
    return true;
}

bool gguf_get_array(const struct gguf *gguf, const char *key, struct gguf_array *ret)
{
    const struct gguf_key *found = find_key(gguf, key);
    if (found == NULL || found->kind != VALUE_ARRAY)
        return false;
    enum gguf_array_kind kind = GGUF_ARRAY_INTEGERS;
    if (found->element_kind == VALUE_STRING)
        kind = GGUF_ARRAY_STRINGS;
    else if (found->element_kind == VALUE_F32 || found->element_kind == VALUE_F64)
        kind = GGUF_ARRAY_FLOATS;
    else if (found->element_kind == VALUE_BOOL)
        kind = GGUF_ARRAY_BOOLS;
    *ret = (struct gguf_array){.kind = kind,
                               .count = found->count,
                               .elements = found->value,
                               .elements_bytes = found->value_bytes,
                               .element_type = found->element_kind};
    return true;
}

bool gguf_array_next_string(const struct gguf_array *array, uint64_t *cursor,
                            struct gguf_string *ret)
{
    assert(array->kind == GGUF_ARRAY_STRINGS);
    if (*cursor >= array->elements_bytes)
        return false;
    const char *at = (const char *)array->elements + *cursor;
    uint64_t length;
    memcpy(&length, at, sizeof length);
    assert(length <= array->elements_bytes - *cursor - sizeof length); /* checked by the walk */
    *ret = (struct gguf_string){.bytes = at + sizeof length, .count = (size_t)length};
    *cursor += sizeof length + length;
    return true;
}

static const uint8_t *element_at(const struct gguf_array *array, uint64_t index)
{
    assert(index < array->count);
    return (const uint8_t *)array->elements + index * value_bytes[array->element_type];
}

int64_t gguf_array_integer(const struct gguf_array *array, uint64_t index)
{
    const uint8_t *element = element_at(array, index);
    struct integer integer;
    if (array->kind == GGUF_ARRAY_BOOLS)
        return element[0];
    bool is_integer = read_integer(array->element_type, element, &integer);
    assert(is_integer);
    if (!integer.negative && integer.bits > INT64_MAX)
        return INT64_MAX;
    return (int64_t)integer.bits;
}

double gguf_array_float(const struct gguf_array *array, uint64_t index)
{
    double value = 0;
    bool is_float = read_float(array->element_type, element_at(array, index), &value);
    assert(is_float);
    return value;
}

uint32_t gguf_tensor_count(const struct gguf *gguf)
{
    return gguf->tensor_count;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *gguf, uint32_t index)
{
    assert(index < gguf->tensor_count);
    return &gguf->tensors[index];
}

const struct gguf_tensor *gguf_tensor_find(const struct gguf *gguf, const char *name)
{
    uint32_t index = byte_map_find(gguf->tensor_map, name, strlen(name));
    return index == BYTE_MAP_NONE ? NULL : &gguf->tensors[index];
}
