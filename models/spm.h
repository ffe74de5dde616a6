/* SPDX-License-Identifier: Apache-2.0 */
/* spm.h -- SentencePiece-style encoding: characters joined into tokens by score, bytes for what
 * is left. Internal to the tokenizer. Immutable once made: any thread, each with its merger. */
#ifndef WEIR_MODELS_SPM_H
#define WEIR_MODELS_SPM_H

#include "base/error.h"
#include "models/gguf.h"
#include "models/merger.h"
#include "models/tokenizer.h"
#include "models/vocabulary.h"

struct spm;

/* Reads tokenizer.ggml.scores and unknown_token_id. vocabulary: borrowed, outlives the result. */
struct spm *spm_new(const struct gguf *gguf, const struct vocabulary *vocabulary,
                    struct error *err);
void spm_free(struct spm *spm); /* NULL is fine */

/* Appends the tokens of any bytes, whose spaces are already spelled U+2581. What is no token
 * becomes byte tokens; without those the unknown token, if there is one. false: no memory. */
bool spm_encode(const struct spm *spm, struct merger *merger, const char *text, size_t count,
                struct token_list *list);

#endif
