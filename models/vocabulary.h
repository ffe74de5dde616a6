/* SPDX-License-Identifier: Apache-2.0 */
/* vocabulary.h -- a model's tokens: how they are written, what they stand for, what they are for.
 *
 * Two spellings of each token are kept, in one buffer: its text, as the file has it ("Ġthe",
 * "▁the", "<0x0A>"), by which merges and special tokens are found; and its piece, the bytes that
 * it stands for (" the", "\n"). Internal to the tokenizer. Immutable once made: any thread. */
#ifndef WEIR_MODELS_VOCABULARY_H
#define WEIR_MODELS_VOCABULARY_H

#include "base/error.h"
#include "models/gguf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VOCABULARY_TOKENS_MAX  (1u << 22)
#define VOCABULARY_TOKEN_BYTES 4096u /* a token's text is no longer */

enum vocabulary_kind {
    VOCABULARY_BYTE_LEVEL,   /* tokenizer.ggml.model "gpt2" */
    VOCABULARY_SENTENCEPIECE /* "llama" */
};

/* What a token is for; several may hold. */
enum {
    TOKEN_CONTROL = 1,      /* not text: skipped when decoding, matched only when asked for */
    TOKEN_USER_DEFINED = 2, /* text that is always this one token */
    TOKEN_UNKNOWN = 4,
    TOKEN_BYTE = 8, /* "<0x0A>": one byte */
    TOKEN_ENDS_GENERATION = 16
};

struct vocabulary;

struct vocabulary *vocabulary_new(const struct gguf *gguf, enum vocabulary_kind kind,
                                  struct error *err);
void vocabulary_free(struct vocabulary *vocabulary); /* NULL is fine */

uint32_t vocabulary_count(const struct vocabulary *vocabulary);
size_t vocabulary_longest(const struct vocabulary *vocabulary); /* bytes of the longest text */

/* For id below the count; borrowed. Texts may be empty. */
struct gguf_string vocabulary_text(const struct vocabulary *vocabulary, uint32_t id);
struct gguf_string vocabulary_piece(const struct vocabulary *vocabulary, uint32_t id);
unsigned vocabulary_flags(const struct vocabulary *vocabulary, uint32_t id);

/* The token with this text, or TOKEN_NONE. */
uint32_t vocabulary_find(const struct vocabulary *vocabulary, const char *text, size_t count);

/* Byte-level text: each byte is spelled as one printable character (byte_level_encode() writes
 * one or two bytes of UTF-8 and returns how many). */
size_t byte_level_encode(uint8_t byte, char ret[2]);

/* The id that a key names: 0, or ERROR_INVALID when it lies outside the vocabulary. *ret is
 * untouched when the key is missing. */
int vocabulary_read_id(const struct vocabulary *vocabulary, const struct gguf *gguf,
                       const char *key, uint32_t *ret, struct error *err);

#endif
