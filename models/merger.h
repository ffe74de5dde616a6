/* SPDX-License-Identifier: Apache-2.0 */
/* merger.h -- joins neighbouring symbols of a text, best pair first, until none can be joined.
 *
 * What both tokenisers share: byte-level BPE ranks a pair by its line in the list of merges,
 * SentencePiece by the score of the token it makes. Internal to the tokenizer. One thread. */
#ifndef WEIR_MODELS_MERGER_H
#define WEIR_MODELS_MERGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MERGER_NONE UINT32_MAX

struct merger_symbol {
    uint32_t start, count;   /* bytes of the text; count 0: joined into its left neighbour */
    uint32_t token;          /* TOKEN_NONE: the bytes are no token */
    uint32_t previous, next; /* or MERGER_NONE */
};

/* A pair that could be joined. */
struct merger_pair {
    uint64_t order; /* rank in the high half, the left symbol's index in the low: least first */
    uint32_t count; /* bytes of both, by which a pair that has changed since is told */
    uint32_t token; /* what they become */
};

/* Working memory, reused from one text to the next. */
struct merger {
    const char *text; /* borrowed */
    struct merger_symbol *symbols;
    size_t symbol_count, symbol_capacity;
    struct merger_pair *heap;
    size_t heap_count, heap_capacity;
};

void merger_init(struct merger *merger); /* no allocation */
void merger_destroy(struct merger *merger);

/* Starts a text of `count` bytes, to be cut into no more symbols than that. false: no memory. */
bool merger_start(struct merger *merger, const char *text, size_t count);
/* The next symbol of the text, `count` bytes long. */
void merger_add(struct merger *merger, size_t count, uint32_t token);

/* Whether two neighbours may be joined: their rank (less is sooner) and the token they make. */
typedef bool (*merger_rule)(const void *rules, const char *text, const struct merger_symbol *left,
                            const struct merger_symbol *right, uint32_t *ret_rank,
                            uint32_t *ret_token);

/* Joins until nothing can be joined; what is left is the chain from symbol 0 over `next`. */
void merger_run(struct merger *merger, merger_rule rule, const void *rules);

#endif
