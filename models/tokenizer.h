/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.h -- text to token ids and back, as the model was trained.
 *
 * Byte-level BPE (tokenizer.ggml.model "gpt2"; pre-tokenisers gpt-2, smollm, llama-bpe, qwen2 and
 * default) and SentencePiece-style merging (model "llama"). Everything is read from the GGUF.
 * A tokenizer is immutable once made: any number of threads may encode and decode. A detokenizer
 * belongs to one sequence and one thread. */
#ifndef WEIR_MODELS_TOKENIZER_H
#define WEIR_MODELS_TOKENIZER_H

#include "base/error.h"
#include "base/text.h"
#include "models/gguf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_NONE UINT32_MAX

struct tokenizer;

/* gguf: read, not kept. NULL and err when the vocabulary is broken (ERROR_INVALID) or of a kind we
 * do not implement (ERROR_UNSUPPORTED). */
struct tokenizer *tokenizer_new(const struct gguf *gguf, struct error *err);
void tokenizer_free(struct tokenizer *tokenizer); /* NULL is fine */

uint32_t tokenizer_vocabulary(const struct tokenizer *tokenizer); /* ids are below this */
uint32_t tokenizer_bos(const struct tokenizer *tokenizer);        /* or TOKEN_NONE */
uint32_t tokenizer_eos(const struct tokenizer *tokenizer);        /* or TOKEN_NONE */
/* End of generation: eos, eot, and what the vocabulary names like one (<|im_end|>, <|eot_id|>). */
bool tokenizer_ends_generation(const struct tokenizer *tokenizer, uint32_t token);
bool tokenizer_is_special(const struct tokenizer *tokenizer, uint32_t token); /* control tokens */
/* Whether encoding puts a space before a text, which decoding takes away (SentencePiece). */
bool tokenizer_adds_space(const struct tokenizer *tokenizer);

/* A growing list of ids. */
struct token_list {
    uint32_t *ids; /* NULL while empty */
    size_t count;
    size_t capacity;
};
void token_list_destroy(struct token_list *list);
bool token_list_append(struct token_list *list, uint32_t token); /* false: out of memory */

struct encode_options {
    bool add_special;   /* put bos/eos where the file says the model wants them */
    bool parse_special; /* "<|im_end|>" in the text is the token, not its characters */
    size_t tokens_max;  /* 0: no limit. Past it encoding stops with ERROR_INVALID */
};

/* Appends the ids of text to list. Any bytes are taken; those that are not UTF-8 are encoded as
 * bytes where the vocabulary can. Returns 0 or a negative error, list then unchanged. */
int tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t count,
                     const struct encode_options *options, struct token_list *list,
                     struct error *err);

/* The exact bytes a token stands for (byte-level decoded; a SentencePiece space is ' '), borrowed
 * from the tokenizer. Control tokens give their name. token must be below the vocabulary. */
const char *tokenizer_piece(const struct tokenizer *tokenizer, uint32_t token, size_t *ret_count);

/* Whole-list decoding. skip_special leaves control tokens out. Bytes that never become UTF-8 are
 * U+FFFD in the result. */
void tokenizer_decode(const struct tokenizer *tokenizer, const uint32_t *tokens, size_t count,
                      bool skip_special, struct text *out);

/* Token by token, never half a character: bytes that begin a character wait for its end. Plain
 * value, no allocation; initialise with detokenizer_init(). */
struct detokenizer {
    const struct tokenizer *tokenizer; /* borrowed: the model */
    char pending[4];                   /* an unfinished character */
    uint8_t pending_count;
    bool skip_special;
    bool at_start; /* SentencePiece drops one leading space of a whole text */
};
void detokenizer_init(struct detokenizer *detokenizer, const struct tokenizer *tokenizer,
                      bool skip_special, bool at_start);
/* Appends what became certain. */
void detokenizer_push(struct detokenizer *detokenizer, uint32_t token, struct text *out);
/* The sequence ended: an unfinished character becomes U+FFFD. */
void detokenizer_finish(struct detokenizer *detokenizer, struct text *out);

#endif
