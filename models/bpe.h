/* SPDX-License-Identifier: Apache-2.0 */
/* bpe.h -- byte-level byte pair encoding of one piece of text.
 * Internal to the tokenizer. Immutable once made: any thread, each with a merger of its own. */
#ifndef WEIR_MODELS_BPE_H
#define WEIR_MODELS_BPE_H

#include "base/error.h"
#include "models/gguf.h"
#include "models/merger.h"
#include "models/tokenizer.h"
#include "models/vocabulary.h"

#define BPE_MERGES_MAX (1u << 23)

struct bpe;

/* Reads tokenizer.ggml.merges. Merges that name tokens which the vocabulary lacks are left out:
 * they could never end in a token. `ignore_merges`: a piece that is a token is that token, without
 * asking the merges. vocabulary: borrowed, outlives the result. */
struct bpe *bpe_new(const struct gguf *gguf, const struct vocabulary *vocabulary,
                    bool ignore_merges, struct error *err);
void bpe_free(struct bpe *bpe); /* NULL is fine */

/* Appends the tokens of any bytes; bytes that the vocabulary has no token for are left out.
 * false: out of memory. */
bool bpe_encode(const struct bpe *bpe, struct merger *merger, const char *text, size_t count,
                struct token_list *list);

#endif
