/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.c -- the driver: special tokens first, then the text between them.
 *
 *     "<|im_start|>user\nHow's it?<|im_end|>"
 *      token        | text           | token          special.c, leftmost longest
 *                     user|\n|How|'s| it|?             pretokenizer.c (byte-level only)
 *                     tokens                           bpe.c or spm.c over merger.c
 *
 * A tokenizer is read only after tokenizer_new(); what an encoding writes (merger, matches) lives
 * in a struct encoder on the stack of the call. Ids are llama.cpp's for the vocabularies that both
 * serve; tests/golden/tokenizer.py made the ids that the tests hold us to. Known differences, all
 * on text that no vocabulary was trained on:
 *   - Bytes that are not UTF-8 keep their value, each in a token of its own, where llama.cpp
 *     replaces them by U+FFFD: what goes in comes out.
 *   - Of overlapping special tokens the leftmost wins, then the longest, as in the libraries that
 *     the models were trained with; llama.cpp lets the longest of the vocabulary win anywhere. */
#include "models/tokenizer.h"

#include "models/bpe.h"
#include "models/merger.h"
#include "models/pretokenizer.h"
#include "models/special.h"
#include "models/spm.h"
#include "models/vocabulary.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A text longer than this is refused; requests are limited far below. */
#define ENCODE_BYTES_MAX (256u * 1024u * 1024u)

struct tokenizer {
    enum vocabulary_kind kind;
    struct vocabulary *vocabulary;
    struct special *special;
    struct pretokenizer *pretokenizer; /* byte-level */
    struct bpe *bpe;                   /* byte-level */
    struct spm *spm;                   /* SentencePiece */
    uint32_t bos, eos;                 /* or TOKEN_NONE */
    bool add_bos, add_eos;
    bool add_space_prefix;
};

/* -- loading -- */

static int read_kind(const struct gguf *gguf, enum vocabulary_kind *ret, struct error *err)
{
    char name[64];
    if (!gguf_copy_string(gguf, "tokenizer.ggml.model", name, sizeof name))
        return error_set(err, ERROR_INVALID, "key 'tokenizer.ggml.model': missing");
    if (strcmp(name, "gpt2") == 0)
        *ret = VOCABULARY_BYTE_LEVEL;
    else if (strcmp(name, "llama") == 0)
        *ret = VOCABULARY_SENTENCEPIECE;
    else
        return error_set(err, ERROR_UNSUPPORTED,
                         "key 'tokenizer.ggml.model': tokenizer '%s' is not implemented", name);
    return 0;
}

static int load_byte_level(struct tokenizer *tokenizer, const struct gguf *gguf, struct error *err)
{
    char name[64] = "";
    struct pretokenizer_traits traits;
    (void)gguf_copy_string(gguf, "tokenizer.ggml.pre", name, sizeof name);
    tokenizer->pretokenizer = pretokenizer_new(name, &traits, err);
    if (tokenizer->pretokenizer == NULL)
        return ERROR_INVALID;
    tokenizer->add_bos = traits.add_bos;
    tokenizer->bpe = bpe_new(gguf, tokenizer->vocabulary, traits.ignore_merges, err);
    return tokenizer->bpe == NULL ? ERROR_INVALID : 0;
}

static int load_sentencepiece(struct tokenizer *tokenizer, const struct gguf *gguf,
                              struct error *err)
{
    uint32_t count = vocabulary_count(tokenizer->vocabulary);
    tokenizer->bos = count > 1 ? 1 : TOKEN_NONE; /* SentencePiece's own defaults */
    tokenizer->eos = count > 2 ? 2 : TOKEN_NONE;
    tokenizer->add_bos = true;
    tokenizer->add_space_prefix = true;
    (void)gguf_get_bool(gguf, "tokenizer.ggml.add_space_prefix", &tokenizer->add_space_prefix);
    tokenizer->spm = spm_new(gguf, tokenizer->vocabulary, err);
    return tokenizer->spm == NULL ? ERROR_INVALID : 0;
}

static int load(struct tokenizer *tokenizer, const struct gguf *gguf, struct error *err)
{
    int rc = read_kind(gguf, &tokenizer->kind, err);
    if (rc != 0)
        return rc;
    tokenizer->vocabulary = vocabulary_new(gguf, tokenizer->kind, err);
    if (tokenizer->vocabulary == NULL)
        return ERROR_INVALID;
    tokenizer->special = special_new(tokenizer->vocabulary, err);
    if (tokenizer->special == NULL)
        return ERROR_NO_MEMORY;
    rc = tokenizer->kind == VOCABULARY_BYTE_LEVEL ? load_byte_level(tokenizer, gguf, err)
                                                  : load_sentencepiece(tokenizer, gguf, err);
    if (rc == 0)
        rc = vocabulary_read_id(tokenizer->vocabulary, gguf, "tokenizer.ggml.bos_token_id",
                                &tokenizer->bos, err);
    if (rc == 0)
        rc = vocabulary_read_id(tokenizer->vocabulary, gguf, "tokenizer.ggml.eos_token_id",
                                &tokenizer->eos, err);
    (void)gguf_get_bool(gguf, "tokenizer.ggml.add_bos_token", &tokenizer->add_bos);
    (void)gguf_get_bool(gguf, "tokenizer.ggml.add_eos_token", &tokenizer->add_eos);
    return rc;
}

struct tokenizer *tokenizer_new(const struct gguf *gguf, struct error *err)
{
    struct tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (tokenizer == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    tokenizer->bos = tokenizer->eos = TOKEN_NONE;
    if (load(tokenizer, gguf, err) != 0) {
        tokenizer_free(tokenizer);
        (void)error_wrap(err, "tokenizer");
        return NULL;
    }
    return tokenizer;
}

void tokenizer_free(struct tokenizer *tokenizer)
{
    if (tokenizer == NULL)
        return;
    spm_free(tokenizer->spm);
    bpe_free(tokenizer->bpe);
    pretokenizer_free(tokenizer->pretokenizer);
    special_free(tokenizer->special);
    vocabulary_free(tokenizer->vocabulary);
    free(tokenizer);
}

/* -- what a token is -- */

uint32_t tokenizer_vocabulary(const struct tokenizer *tokenizer)
{
    return vocabulary_count(tokenizer->vocabulary);
}

uint32_t tokenizer_bos(const struct tokenizer *tokenizer)
{
    return tokenizer->bos;
}

uint32_t tokenizer_eos(const struct tokenizer *tokenizer)
{
    return tokenizer->eos;
}

bool tokenizer_ends_generation(const struct tokenizer *tokenizer, uint32_t token)
{
    return (vocabulary_flags(tokenizer->vocabulary, token) & TOKEN_ENDS_GENERATION) != 0 ||
           token == tokenizer->eos;
}

bool tokenizer_is_special(const struct tokenizer *tokenizer, uint32_t token)
{
    return (vocabulary_flags(tokenizer->vocabulary, token) & (TOKEN_CONTROL | TOKEN_UNKNOWN)) != 0;
}

bool tokenizer_adds_space(const struct tokenizer *tokenizer)
{
    return tokenizer->add_space_prefix;
}

const char *tokenizer_piece(const struct tokenizer *tokenizer, uint32_t token, size_t *ret_count)
{
    struct gguf_string piece = vocabulary_piece(tokenizer->vocabulary, token);
    *ret_count = piece.count;
    return piece.bytes;
}

/* -- lists -- */

void token_list_destroy(struct token_list *list)
{
    free(list->ids);
    *list = (struct token_list){0};
}

bool token_list_append(struct token_list *list, uint32_t token)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        uint32_t *grown = realloc(list->ids, capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        list->ids = grown;
        list->capacity = capacity;
    }
    list->ids[list->count++] = token;
    return true;
}

/* -- encoding -- */

struct encoder {
    const struct tokenizer *tokenizer;
    const struct encode_options *options;
    struct token_list *list;
    size_t list_start; /* tokens that were there before */
    struct error *err;
    struct merger merger;
    struct pretokenizer_walk *walk; /* byte-level */
    struct text spaced;             /* SentencePiece: the text with its spaces respelled */
    bool after_special;             /* nothing but special tokens before this: a space is put */
};

static int too_many(const struct encoder *encoder)
{
    return error_set(encoder->err, ERROR_INVALID, "the text is longer than %zu tokens",
                     encoder->options->tokens_max);
}

static int check_limit(const struct encoder *encoder)
{
    size_t limit = encoder->options->tokens_max;
    return limit > 0 && encoder->list->count - encoder->list_start > limit ? too_many(encoder) : 0;
}

static int append_token(struct encoder *encoder, uint32_t token)
{
    if (!token_list_append(encoder->list, token))
        return error_no_memory(encoder->err);
    return check_limit(encoder);
}

static int encode_byte_level(struct encoder *encoder, const char *text, size_t count)
{
    const char *piece;
    size_t piece_count;
    pretokenizer_walk_start(encoder->walk, text, count);
    for (;;) {
        int rc = pretokenizer_walk_next(encoder->walk, &piece, &piece_count, encoder->err);
        if (rc <= 0)
            return rc;
        if (!bpe_encode(encoder->tokenizer->bpe, &encoder->merger, piece, piece_count,
                        encoder->list))
            return error_no_memory(encoder->err);
        rc = check_limit(encoder);
        if (rc != 0)
            return rc;
    }
}

static int encode_sentencepiece(struct encoder *encoder, const char *text, size_t count)
{
    static const char space[] = "\xe2\x96\x81";
    struct text *spaced = &encoder->spaced;
    text_reset(spaced);
    if (encoder->tokenizer->add_space_prefix && encoder->after_special)
        text_append(spaced, space, 3);
    for (size_t at = 0; at < count;) {
        const char *next = memchr(text + at, ' ', count - at);
        size_t plain = next == NULL ? count - at : (size_t)(next - text) - at;
        text_append(spaced, text + at, plain);
        at += plain;
        if (next != NULL) {
            text_append(spaced, space, 3);
            at++;
        }
    }
    if (spaced->failed || !spm_encode(encoder->tokenizer->spm, &encoder->merger, spaced->bytes,
                                      spaced->count, encoder->list))
        return error_no_memory(encoder->err);
    return check_limit(encoder);
}

/* The text between two special tokens. */
static int encode_plain(struct encoder *encoder, const char *text, size_t count)
{
    if (count == 0)
        return 0;
    int rc = encoder->tokenizer->kind == VOCABULARY_BYTE_LEVEL
                 ? encode_byte_level(encoder, text, count)
                 : encode_sentencepiece(encoder, text, count);
    encoder->after_special = false;
    return rc;
}

static int encode_text(struct encoder *encoder, const char *text, size_t count)
{
    struct special_match match;
    size_t at = 0;
    int rc = 0;
    while (rc == 0 && special_find(encoder->tokenizer->special, text, count, at,
                                   encoder->options->parse_special, &match)) {
        rc = encode_plain(encoder, text + at, match.start - at);
        if (rc == 0)
            rc = append_token(encoder, match.token);
        encoder->after_special = true;
        at = match.start + match.count;
    }
    return rc == 0 ? encode_plain(encoder, text + at, count - at) : rc;
}

static int encode_all(struct encoder *encoder, const char *text, size_t count)
{
    const struct tokenizer *tokenizer = encoder->tokenizer;
    bool add_special = encoder->options->add_special;
    int rc = 0;
    if (add_special && tokenizer->add_bos && tokenizer->bos != TOKEN_NONE)
        rc = append_token(encoder, tokenizer->bos);
    if (rc == 0)
        rc = encode_text(encoder, text, count);
    if (rc == 0 && add_special && tokenizer->add_eos && tokenizer->eos != TOKEN_NONE)
        rc = append_token(encoder, tokenizer->eos);
    return rc;
}

/* Refuses at once what can't fit: even if each token were the longest of the vocabulary. */
static int check_length(const struct encoder *encoder, size_t count)
{
    if (count > ENCODE_BYTES_MAX)
        return error_set(encoder->err, ERROR_INVALID, "a text of %zu bytes, the limit is %u", count,
                         ENCODE_BYTES_MAX);
    size_t limit = encoder->options->tokens_max;
    if (limit > 0 && count / limit > vocabulary_longest(encoder->tokenizer->vocabulary))
        return too_many(encoder);
    return 0;
}

int tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t count,
                     const struct encode_options *options, struct token_list *list,
                     struct error *err)
{
    struct encoder encoder = {.tokenizer = tokenizer,
                              .options = options,
                              .list = list,
                              .list_start = list->count,
                              .err = err,
                              .after_special = true};
    int rc = check_length(&encoder, count);
    if (rc != 0)
        return rc;
    merger_init(&encoder.merger);
    text_init(&encoder.spaced);
    if (tokenizer->kind == VOCABULARY_BYTE_LEVEL) {
        encoder.walk = pretokenizer_walk_new(tokenizer->pretokenizer);
        if (encoder.walk == NULL)
            rc = error_no_memory(err);
    }
    if (rc == 0)
        rc = encode_all(&encoder, text, count);
    if (rc != 0)
        list->count = encoder.list_start;
    pretokenizer_walk_free(encoder.walk);
    text_destroy(&encoder.spaced);
    merger_destroy(&encoder.merger);
    return rc;
}
