/* SPDX-License-Identifier: Apache-2.0 */
/* shape.h -- how the chat and the completions routes spell the same generation in JSON.
 *
 * Written by hand into a struct text: no tree is built on the way of a token. Worker's thread. */
#ifndef WEIR_DAEMON_API_SHAPE_H
#define WEIR_DAEMON_API_SHAPE_H

#include "base/text.h"
#include "daemon/api/logprobs.h"
#include "models/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A piece of one choice, or all of it. */
struct shape_piece {
    uint32_t index;
    const char *text;
    size_t bytes;
    const struct tokenizer *tokenizer;
    const struct logprob_entry *entries;
    size_t entry_count;
    bool logprobs;      /* asked for: an object even when it is empty */
    const char *finish; /* a constant, or NULL while the choice goes on */
};

struct shape {
    const char *id_prefix;    /* "chatcmpl-" */
    const char *object;       /* of a whole answer */
    const char *chunk_object; /* of a streamed part */
    bool opens_with_role;     /* the first chunk of a choice says who speaks */
    void (*write_chunk)(struct text *out, const struct shape_piece *piece);
    void (*write_choice)(struct text *out, const struct shape_piece *piece);
};

extern const struct shape shape_chat, shape_completion;

/* {"index":0,"delta":{"role":"assistant","content":""},...}: a chat choice's first chunk. */
void shape_write_role(struct text *out, uint32_t index);

struct shape_usage {
    uint32_t prompt_tokens, completion_tokens, cached_tokens;
};
void shape_write_usage(struct text *out, const struct shape_usage *usage);

#endif
