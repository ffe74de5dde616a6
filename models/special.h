/* SPDX-License-Identifier: Apache-2.0 */
/* special.h -- finds the tokens that are taken out of a text before it is split: "<|im_end|>".
 * Internal to the tokenizer. Immutable once made: any thread. */
#ifndef WEIR_MODELS_SPECIAL_H
#define WEIR_MODELS_SPECIAL_H

#include "base/error.h"
#include "models/vocabulary.h"

struct special;

/* vocabulary: borrowed, outlives the result. */
struct special *special_new(const struct vocabulary *vocabulary, struct error *err);
void special_free(struct special *special); /* NULL is fine */

struct special_match {
    size_t start, count; /* bytes of the text */
    uint32_t token;
};
/* The first match at or after `from`, and of those that begin there the longest. User-defined
 * tokens always count; control and unknown tokens only when `control` is true. */
bool special_find(const struct special *special, const char *text, size_t count, size_t from,
                  bool control, struct special_match *ret);

#endif
