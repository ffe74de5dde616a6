/* SPDX-License-Identifier: Apache-2.0 */
#include "models/vocabulary.h"

#include "base/text.h"
#include "models/byte_map.h"
#include "models/tokenizer.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static_assert(BYTE_MAP_NONE == TOKEN_NONE, "a map's answer is a token id");

/* tokenizer.ggml.token_type */
enum file_token_type {
    FILE_TOKEN_NORMAL = 1,
    FILE_TOKEN_UNKNOWN = 2,
    FILE_TOKEN_CONTROL = 3,
    FILE_TOKEN_USER_DEFINED = 4,
    FILE_TOKEN_UNUSED = 5,
    FILE_TOKEN_BYTE = 6
};

struct vocabulary {
    enum vocabulary_kind kind;
    uint32_t count;
    size_t longest;
    char *bytes;          /* all texts, then all pieces */
    uint32_t *texts;      /* [count + 1] where each text begins */
    uint32_t *pieces;     /* [count + 1] where each piece begins */
    uint8_t *flags;       /* [count] */
    struct byte_map *map; /* texts to ids */
};

/* Files do not say reliably which tokens end an answer, so names decide as well, as llama.cpp has
 * them. What a name here marks is control, whatever type the file gives it. */
static const char *const ending_names[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    /* DeepSeek: end, of, sentence between full-width bars, joined by U+2581 */
    "<\xef\xbd\x9c\x65nd\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>",
    "[e~[",
    /* where a repository or a file of code ends */
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
};
static const char *const control_names[] = {
    "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<PRE>", "\xe2\x96\x81<PRE>",
    "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<SUF>", "\xe2\x96\x81<SUF>",
    "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<MID>", "\xe2\x96\x81<MID>",
};

/* -- the byte-level alphabet: printable Latin-1 stands for itself, the other 68 bytes are
 *    U+0100 to U+0143 in order -- */

static bool byte_is_printable(unsigned byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/* How many bytes below this one are not printable. */
static unsigned unprintable_below(unsigned byte)
{
    if (byte <= 0x21)
        return byte;
    if (byte <= 0x7f)
        return 0x21;
    return byte <= 0xa1 ? 0x21 + byte - 0x7f : 0x43;
}

size_t byte_level_encode(uint8_t byte, char ret[2])
{
    char utf8[4];
    size_t count =
        utf8_encode(byte_is_printable(byte) ? byte : 0x100 + unprintable_below(byte), utf8);
    memcpy(ret, utf8, count);
    return count;
}

/* The byte that a character stands for, or -1. */
static int byte_level_decode(uint32_t codepoint)
{
    if (codepoint < 0x100)
        return byte_is_printable(codepoint) ? (int)codepoint : -1;
    unsigned order = codepoint - 0x100;
    if (order < 0x21)
        return (int)order;
    if (order < 0x43)
        return (int)(order - 0x21 + 0x7f);
    return order == 0x43 ? 0xad : -1;
}

static size_t decode_byte_level(struct gguf_string text, char *out)
{
    size_t written = 0;
    for (size_t at = 0; at < text.count;) {
        uint32_t codepoint;
        size_t length = utf8_decode(text.bytes + at, text.count - at, &codepoint);
        int byte = codepoint == UINT32_MAX ? -1 : byte_level_decode(codepoint);
        if (byte >= 0) {
            out[written++] = (char)byte;
        } else { /* outside the alphabet: it can only stand for itself */
            memcpy(out + written, text.bytes + at, length);
            written += length;
        }
        at += length;
    }
    return written;
}

static size_t decode_sentencepiece(struct gguf_string text, char *out)
{
    size_t written = 0;
    for (size_t at = 0; at < text.count;) {
        if (text.count - at >= 3 && memcmp(text.bytes + at, "\xe2\x96\x81", 3) == 0) {
            out[written++] = ' ';
            at += 3;
        } else {
            out[written++] = text.bytes[at++];
        }
    }
    return written;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that "<0x0A>" names, or -1. */
static int named_byte(struct gguf_string text)
{
    if (text.count != 6 || memcmp(text.bytes, "<0x", 3) != 0 || text.bytes[5] != '>')
        return -1;
    int high = hex_digit(text.bytes[3]), low = hex_digit(text.bytes[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Writes what a token stands for; never longer than its text. */
static size_t write_piece(const struct vocabulary *vocabulary, uint32_t id, char *out)
{
    struct gguf_string text = vocabulary_text(vocabulary, id);
    unsigned flags = vocabulary->flags[id];
    if (flags & (TOKEN_CONTROL | TOKEN_USER_DEFINED | TOKEN_UNKNOWN)) {
        memcpy(out, text.bytes, text.count);
        return text.count;
    }
    if (flags & TOKEN_BYTE) {
        out[0] = (char)named_byte(text);
        return 1;
    }
    return vocabulary->kind == VOCABULARY_BYTE_LEVEL ? decode_byte_level(text, out)
                                                     : decode_sentencepiece(text, out);
}

/* -- loading -- */

static int find_strings(const struct gguf *gguf, struct gguf_array *ret, struct error *err)
{
    static const char key[] = "tokenizer.ggml.tokens";
    if (!gguf_get_array(gguf, key, ret) || ret->kind != GGUF_ARRAY_STRINGS)
        return error_set(err, ERROR_INVALID, "key '%s': missing, or no array of strings", key);
    if (ret->count == 0 || ret->count > VOCABULARY_TOKENS_MAX)
        return error_set(err, ERROR_INVALID, "key '%s': %" PRIu64 " tokens, allowed are 1 to %u",
                         key, ret->count, VOCABULARY_TOKENS_MAX);
    if (ret->elements_bytes > UINT32_MAX / 2)
        return error_set(err, ERROR_INVALID, "key '%s': %zu bytes of tokens are too many", key,
                         ret->elements_bytes);
    return 0;
}

static int copy_texts(struct vocabulary *vocabulary, const struct gguf_array *tokens,
                      struct error *err)
{
    struct gguf_string text;
    uint64_t cursor = 0;
    uint32_t used = 0;
    for (uint32_t id = 0; id < vocabulary->count; id++) {
        bool more = gguf_array_next_string(tokens, &cursor, &text);
        assert(more);
        if (text.count > VOCABULARY_TOKEN_BYTES)
            return error_set(err, ERROR_INVALID, "token %u: %zu bytes long, the limit is %u", id,
                             text.count, VOCABULARY_TOKEN_BYTES);
        char *copy = vocabulary->bytes + used;
        memcpy(copy, text.bytes, text.count);
        vocabulary->texts[id] = used;
        used += (uint32_t)text.count;
        if (text.count > vocabulary->longest)
            vocabulary->longest = text.count;
        if (text.count == 0)
            continue; /* a hole: never found in a text, stands for nothing */
        uint32_t first = byte_map_add(vocabulary->map, copy, text.count, id);
        if (first != id)
            return error_set(err, ERROR_INVALID, "tokens %u and %u have the same text", first, id);
    }
    vocabulary->texts[vocabulary->count] = used;
    return 0;
}

static int read_types(struct vocabulary *vocabulary, const struct gguf *gguf, struct error *err)
{
    static const char key[] = "tokenizer.ggml.token_type";
    struct gguf_array types;
    if (!gguf_get_array(gguf, key, &types))
        return 0; /* all are plain text, but for those whose names tell */
    if (types.kind != GGUF_ARRAY_INTEGERS || types.count < vocabulary->count)
        return error_set(err, ERROR_INVALID, "key '%s': not %u integers, one for each token", key,
                         vocabulary->count);
    for (uint32_t id = 0; id < vocabulary->count; id++) {
        switch (gguf_array_integer(&types, id)) {
        case FILE_TOKEN_UNKNOWN:
            vocabulary->flags[id] = TOKEN_UNKNOWN;
            break;
        case FILE_TOKEN_CONTROL:
            vocabulary->flags[id] = TOKEN_CONTROL;
            break;
        case FILE_TOKEN_USER_DEFINED:
            vocabulary->flags[id] = TOKEN_USER_DEFINED;
            break;
        case FILE_TOKEN_BYTE:
            if (named_byte(vocabulary_text(vocabulary, id)) < 0)
                return error_set(err, ERROR_INVALID,
                                 "key '%s': token %u is of type byte, but not written like <0x0A>",
                                 key, id);
            vocabulary->flags[id] = TOKEN_BYTE;
            break;
        default: /* normal, unused, and what later files may add */
            break;
        }
    }
    return 0;
}

static void mark_names(struct vocabulary *vocabulary, const char *const *names, size_t count,
                       unsigned flags)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t id = vocabulary_find(vocabulary, names[i], strlen(names[i]));
        if (id != TOKEN_NONE)
            vocabulary->flags[id] = (uint8_t)((vocabulary->flags[id] & ~TOKEN_BYTE) | flags);
    }
}

static int mark_endings(struct vocabulary *vocabulary, const struct gguf *gguf, struct error *err)
{
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    mark_names(vocabulary, ending_names, sizeof ending_names / sizeof *ending_names,
               TOKEN_CONTROL | TOKEN_ENDS_GENERATION);
    mark_names(vocabulary, control_names, sizeof control_names / sizeof *control_names,
               TOKEN_CONTROL);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        uint32_t id = TOKEN_NONE;
        int rc = vocabulary_read_id(vocabulary, gguf, keys[i], &id, err);
        if (rc != 0)
            return rc;
        if (id != TOKEN_NONE)
            vocabulary->flags[id] |= TOKEN_ENDS_GENERATION;
    }
    return 0;
}

static void write_pieces(struct vocabulary *vocabulary)
{
    uint32_t used = vocabulary->texts[vocabulary->count];
    for (uint32_t id = 0; id < vocabulary->count; id++) {
        size_t count = write_piece(vocabulary, id, vocabulary->bytes + used);
        vocabulary->pieces[id] = used;
        used += (uint32_t)count;
    }
    vocabulary->pieces[vocabulary->count] = used;
}

struct vocabulary *vocabulary_new(const struct gguf *gguf, enum vocabulary_kind kind,
                                  struct error *err)
{
    struct gguf_array tokens;
    if (find_strings(gguf, &tokens, err) != 0)
        return NULL;
    struct vocabulary *vocabulary = calloc(1, sizeof *vocabulary);
    if (vocabulary == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    vocabulary->kind = kind;
    vocabulary->count = (uint32_t)tokens.count;
    vocabulary->bytes = malloc(2 * tokens.elements_bytes);
    vocabulary->texts = calloc((size_t)vocabulary->count + 1, sizeof *vocabulary->texts);
    vocabulary->pieces = calloc((size_t)vocabulary->count + 1, sizeof *vocabulary->pieces);
    vocabulary->flags = calloc(vocabulary->count, sizeof *vocabulary->flags);
    vocabulary->map = byte_map_new(vocabulary->count);
    if (vocabulary->bytes == NULL || vocabulary->texts == NULL || vocabulary->pieces == NULL ||
        vocabulary->flags == NULL || vocabulary->map == NULL) {
        (void)error_no_memory(err);
        goto fail;
    }
    if (copy_texts(vocabulary, &tokens, err) != 0 || read_types(vocabulary, gguf, err) != 0 ||
        mark_endings(vocabulary, gguf, err) != 0)
        goto fail;
    write_pieces(vocabulary);
    return vocabulary;
fail:
    vocabulary_free(vocabulary);
    return NULL;
}

void vocabulary_free(struct vocabulary *vocabulary)
{
    if (vocabulary == NULL)
        return;
    byte_map_free(vocabulary->map);
    free(vocabulary->flags);
    free(vocabulary->pieces);
    free(vocabulary->texts);
    free(vocabulary->bytes);
    free(vocabulary);
}

/* -- reading -- */

uint32_t vocabulary_count(const struct vocabulary *vocabulary)
{
    return vocabulary->count;
}

size_t vocabulary_longest(const struct vocabulary *vocabulary)
{
    return vocabulary->longest;
}

static struct gguf_string slice(const struct vocabulary *vocabulary, const uint32_t *starts,
                                uint32_t id)
{
    assert(id < vocabulary->count);
    return (struct gguf_string){.bytes = vocabulary->bytes + starts[id],
                                .count = starts[id + 1] - starts[id]};
}

struct gguf_string vocabulary_text(const struct vocabulary *vocabulary, uint32_t id)
{
    return slice(vocabulary, vocabulary->texts, id);
}

struct gguf_string vocabulary_piece(const struct vocabulary *vocabulary, uint32_t id)
{
    return slice(vocabulary, vocabulary->pieces, id);
}

unsigned vocabulary_flags(const struct vocabulary *vocabulary, uint32_t id)
{
    assert(id < vocabulary->count);
    return vocabulary->flags[id];
}

uint32_t vocabulary_find(const struct vocabulary *vocabulary, const char *text, size_t count)
{
    return byte_map_find(vocabulary->map, text, count);
}

int vocabulary_read_id(const struct vocabulary *vocabulary, const struct gguf *gguf,
                       const char *key, uint32_t *ret, struct error *err)
{
    uint64_t id;
    if (!gguf_get_u64(gguf, key, &id))
        return 0;
    if (id >= vocabulary->count)
        return error_set(err, ERROR_INVALID,
                         "key '%s': token %" PRIu64 " is outside the vocabulary of %u", key, id,
                         vocabulary->count);
    *ret = (uint32_t)id;
    return 0;
}
