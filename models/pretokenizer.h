/* SPDX-License-Identifier: Apache-2.0 */
/* pretokenizer.h -- cuts a text into the pieces within which byte pairs are merged.
 * Internal to the tokenizer. Immutable once made: any thread, each with a walk of its own. */
#ifndef WEIR_MODELS_PRETOKENIZER_H
#define WEIR_MODELS_PRETOKENIZER_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct pretokenizer;

/* What the name in tokenizer.ggml.pre implies beyond the pattern. */
struct pretokenizer_traits {
    bool ignore_merges;
    bool add_bos;
};

/* name: tokenizer.ggml.pre, "" when the file has none. ERROR_UNSUPPORTED names an unknown one. */
struct pretokenizer *pretokenizer_new(const char *name, struct pretokenizer_traits *ret,
                                      struct error *err);
void pretokenizer_free(struct pretokenizer *pretokenizer); /* NULL is fine */

/* A walk over one text after the other; holds what a match writes. */
struct pretokenizer_walk;
struct pretokenizer_walk *pretokenizer_walk_new(const struct pretokenizer *pretokenizer);
void pretokenizer_walk_free(struct pretokenizer_walk *walk); /* NULL is fine */

/* Any bytes; borrowed until the walk ends. */
void pretokenizer_walk_start(struct pretokenizer_walk *walk, const char *text, size_t count);
/* 1 and the next piece (never empty; together they are the text), 0 at the end, or an error. A
 * byte that is not UTF-8 is a piece of its own, and the text on its sides is cut separately. */
int pretokenizer_walk_next(struct pretokenizer_walk *walk, const char **ret, size_t *ret_count,
                           struct error *err);

#endif
