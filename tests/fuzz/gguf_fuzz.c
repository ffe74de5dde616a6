/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a model file: refused with an error, or every byte it hands out can be read. */
#include "models/gguf.h"
#include "models/tokenizer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LIST_TOKENS 64u /* tokens put through a detokenizer */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static const char *const keys[] = {
    "general.architecture",
    "general.alignment",
    "llama.block_count",
    "k",
    "tokenizer.ggml.model",
    "tokenizer.ggml.pre",
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.scores",
    "tokenizer.ggml.merges",
    "tokenizer.ggml.bos_token_id",
    "tokenizer.ggml.eos_token_id",
    "strings",
    "i32s",
    "f32s",
};

/* What was read, so that no read is optimised away. */
static size_t read_array(const struct gguf_array *array)
{
    struct gguf_string string;
    size_t sum = 0;
    uint64_t strings = 0;
    switch (array->kind) {
    case GGUF_ARRAY_STRINGS:
        for (uint64_t cursor = 0; gguf_array_next_string(array, &cursor, &string); strings++)
            sum += memchr(string.bytes, '\0', string.count) != NULL;
        assert(strings == array->count);
        return sum;
    case GGUF_ARRAY_FLOATS:
        for (uint64_t i = 0; i < array->count; i++)
            sum += gguf_array_float(array, i) > 0;
        return sum;
    default:
        for (uint64_t i = 0; i < array->count; i++)
            sum += gguf_array_integer(array, i) > 0;
        return sum;
    }
}

static size_t read_keys(const struct gguf *gguf)
{
    size_t sum = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        uint64_t u64 = 0;
        double f64 = 0;
        bool boolean = false;
        char copy[16];
        struct gguf_string string;
        struct gguf_array array;
        sum += gguf_get_u64(gguf, keys[i], &u64) + gguf_get_f64(gguf, keys[i], &f64) +
               gguf_get_bool(gguf, keys[i], &boolean);
        if (gguf_get_string(gguf, keys[i], &string))
            sum += memchr(string.bytes, '\0', string.count) != NULL;
        if (gguf_copy_string(gguf, keys[i], copy, sizeof copy))
            sum += strlen(copy);
        if (gguf_get_array(gguf, keys[i], &array))
            sum += read_array(&array);
    }
    return sum;
}

static size_t read_tensors(const struct gguf *gguf)
{
    size_t sum = 0;
    for (uint32_t i = 0; i < gguf_tensor_count(gguf); i++) {
        const struct gguf_tensor *tensor = gguf_tensor_at(gguf, i);
        const uint8_t *bytes = tensor->bytes;
        for (size_t at = 0; at < tensor->bytes_count; at++)
            sum += bytes[at];
        assert(tensor->dimension_count >= 1 && tensor->dimension_count <= GGUF_DIMENSIONS_MAX);
    }
    return sum;
}

static void use_tokenizer(const struct gguf *gguf)
{
    static const char text[] = "Hi <|im_end|>\n 12 it's \xe4\xbd\xa0\xff  <s>";
    const struct encode_options options = {.add_special = true, .parse_special = true};
    struct token_list list = {0};
    struct text out = {0};
    struct error err = {0};
    struct tokenizer *tokenizer = tokenizer_new(gguf, &err);
    if (tokenizer == NULL) {
        assert(err.code < 0 && err.text[0] != '\0');
        return;
    }
    if (tokenizer_encode(tokenizer, text, sizeof text - 1, &options, &list, &err) == 0) {
        for (size_t i = 0; i < list.count; i++)
            assert(list.ids[i] < tokenizer_vocabulary(tokenizer));
    }
    for (uint32_t id = 0; id < tokenizer_vocabulary(tokenizer) && id < LIST_TOKENS; id++)
        (void)token_list_append(&list, id);
    tokenizer_decode(tokenizer, list.ids, list.count, false, &out);
    assert(utf8_valid(text_string(&out), out.count));
    text_destroy(&out);
    token_list_destroy(&list);
    tokenizer_free(tokenizer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct error err = {0};
    struct gguf *gguf = gguf_open_memory(bytes, count, &err);
    if (gguf == NULL) {
        assert(err.code < 0 && err.text[0] != '\0');
        return 0;
    }
    volatile size_t sum = read_keys(gguf) + read_tensors(gguf);
    (void)sum;
    use_tokenizer(gguf);
    gguf_close(gguf);
    return 0;
}
