/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a text, for each of the small vocabularies (run from the root of the source): what
 * is decoded is what was encoded, or its replacement characters where it was no UTF-8. */
#include "models/tokenizer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static const char *const paths[] = {
    "tests/golden/vocab-gpt2.gguf",      "tests/golden/vocab-smollm.gguf",
    "tests/golden/vocab-llama-bpe.gguf", "tests/golden/vocab-qwen2.gguf",
    "tests/golden/vocab-default.gguf",   "tests/golden/vocab-spm.gguf",
};
#define PATHS (sizeof paths / sizeof *paths)

static struct tokenizer *open_tokenizer(const char *path)
{
    struct error err;
    struct gguf *gguf = gguf_open(path, &err);
    struct tokenizer *tokenizer = gguf == NULL ? NULL : tokenizer_new(gguf, &err);
    gguf_close(gguf);
    return tokenizer;
}

/* Every byte has a token in these vocabularies, so the pieces together are the text. */
static void check_pieces(const struct tokenizer *tokenizer, const struct token_list *list,
                         const char *text, size_t count)
{
    size_t at = 0;
    for (size_t i = 0; i < list->count; i++) {
        size_t piece_count;
        const char *piece = tokenizer_piece(tokenizer, list->ids[i], &piece_count);
        assert(piece_count <= count - at);
        assert(memcmp(piece, text + at, piece_count) == 0);
        at += piece_count;
    }
    assert(at == count);
}

static void check_stream(const struct tokenizer *tokenizer, const struct token_list *list,
                         const struct text *decoded)
{
    struct detokenizer detokenizer;
    struct text streamed = {0};
    detokenizer_init(&detokenizer, tokenizer, false, true);
    for (size_t i = 0; i < list->count; i++) {
        detokenizer_push(&detokenizer, list->ids[i], &streamed);
        assert(utf8_valid(text_string(&streamed), streamed.count));
    }
    detokenizer_finish(&detokenizer, &streamed);
    assert(streamed.count == decoded->count);
    assert(memcmp(text_string(&streamed), text_string(decoded), decoded->count) == 0);
    text_destroy(&streamed);
}

static void round_trip(const struct tokenizer *tokenizer, const char *text, size_t count,
                       bool parse_special)
{
    const struct encode_options options = {.parse_special = parse_special};
    struct token_list list = {0};
    struct text decoded = {0};
    struct error err;
    int rc = tokenizer_encode(tokenizer, text, count, &options, &list, &err);
    assert(rc == 0);
    tokenizer_decode(tokenizer, list.ids, list.count, false, &decoded);
    assert(utf8_valid(text_string(&decoded), decoded.count));
    check_stream(tokenizer, &list, &decoded);
    if (!tokenizer_adds_space(tokenizer)) {
        check_pieces(tokenizer, &list, text, count);
        if (utf8_valid(text, count)) {
            assert(decoded.count == count);
            assert(memcmp(text_string(&decoded), text, count) == 0);
        }
    }
    text_destroy(&decoded);
    token_list_destroy(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static struct tokenizer *tokenizers[PATHS]; /* opened once: a run is millions of texts */
    if (count == 0)
        return 0;
    size_t which = bytes[0] % PATHS;
    if (tokenizers[which] == NULL)
        tokenizers[which] = open_tokenizer(paths[which]);
    assert(tokenizers[which] != NULL);
    round_trip(tokenizers[which], (const char *)bytes + 1, count - 1, (bytes[0] & 0x80) != 0);
    return 0;
}
