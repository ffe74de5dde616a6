/* SPDX-License-Identifier: Apache-2.0 */
/* bpe.c -- merges as a table from pairs of tokens to (rank, token).
 *
 * The file lists merges as text, "Ġ t", best first, over the byte-level alphabet (vocabulary.h).
 * They are turned into token ids once, at load, so that encoding never builds or hashes a string:
 * a piece begins as one token a byte, and a look-up of (left id, right id) says whether and when
 * two join, and into what. (R. Sennrich, B. Haddow, A. Birch, "Neural machine translation of rare
 * words with subword units", 2016; the byte alphabet is GPT-2's.)
 *
 * The table is open addressing, at most half full, its hash seeded for each tokenizer. */
#include "models/bpe.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

struct bpe_merge {
    uint64_t pair; /* left id in the high half, right id in the low */
    uint32_t rank; /* MERGER_NONE: the slot is free */
    uint32_t token;
};

struct bpe {
    const struct vocabulary *vocabulary; /* borrowed */
    bool ignore_merges;
    uint32_t bytes[256]; /* the token of each byte, or TOKEN_NONE */
    uint64_t seed;
    uint64_t mask;
    struct bpe_merge *merges;
};

static struct bpe_merge *slot_of(const struct bpe *bpe, uint64_t pair)
{
    uint64_t at = XXH3_64bits_withSeed(&pair, sizeof pair, bpe->seed) & bpe->mask;
    while (bpe->merges[at].rank != MERGER_NONE && bpe->merges[at].pair != pair)
        at = (at + 1) & bpe->mask;
    return &bpe->merges[at];
}

/* "left right": the space is the first one past the first byte, for a token may be a space. */
static void add_merge(struct bpe *bpe, struct gguf_string line, uint32_t rank)
{
    char joined[2 * VOCABULARY_TOKEN_BYTES];
    const char *space = line.count < 2 ? NULL : memchr(line.bytes + 1, ' ', line.count - 1);
    if (space == NULL || line.count - 1 > sizeof joined)
        return;
    size_t left_count = (size_t)(space - line.bytes), right_count = line.count - left_count - 1;
    uint32_t left = vocabulary_find(bpe->vocabulary, line.bytes, left_count);
    uint32_t right = vocabulary_find(bpe->vocabulary, space + 1, right_count);
    if (left == TOKEN_NONE || right == TOKEN_NONE)
        return;
    memcpy(joined, line.bytes, left_count);
    memcpy(joined + left_count, space + 1, right_count);
    uint32_t token = vocabulary_find(bpe->vocabulary, joined, left_count + right_count);
    if (token == TOKEN_NONE)
        return;
    uint64_t pair = (uint64_t)left << 32 | right;
    struct bpe_merge *slot = slot_of(bpe, pair);
    if (slot->rank == MERGER_NONE) /* of two equal lines the first, better one counts */
        *slot = (struct bpe_merge){.pair = pair, .rank = rank, .token = token};
}

static int read_merges(struct bpe *bpe, const struct gguf *gguf, struct error *err)
{
    static const char key[] = "tokenizer.ggml.merges";
    struct gguf_array lines;
    if (!gguf_get_array(gguf, key, &lines) || lines.kind != GGUF_ARRAY_STRINGS)
        return error_set(err, ERROR_INVALID, "key '%s': missing, or no array of strings", key);
    if (lines.count > BPE_MERGES_MAX)
        return error_set(err, ERROR_INVALID, "key '%s': %" PRIu64 " merges, the limit is %u", key,
                         lines.count, BPE_MERGES_MAX);
    uint64_t slots = 8;
    while (slots < lines.count * 2)
        slots *= 2;
    bpe->merges = malloc(slots * sizeof *bpe->merges);
    if (bpe->merges == NULL)
        return error_no_memory(err);
    bpe->mask = slots - 1;
    for (uint64_t i = 0; i < slots; i++)
        bpe->merges[i] = (struct bpe_merge){.rank = MERGER_NONE};
    struct gguf_string line;
    uint32_t rank = 0;
    for (uint64_t cursor = 0; gguf_array_next_string(&lines, &cursor, &line); rank++)
        add_merge(bpe, line, rank);
    return 0;
}

struct bpe *bpe_new(const struct gguf *gguf, const struct vocabulary *vocabulary,
                    bool ignore_merges, struct error *err)
{
    struct bpe *bpe = calloc(1, sizeof *bpe);
    if (bpe == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    bpe->vocabulary = vocabulary;
    bpe->ignore_merges = ignore_merges;
    if (getrandom(&bpe->seed, sizeof bpe->seed, GRND_NONBLOCK) != (ssize_t)sizeof bpe->seed)
        bpe->seed = (uint64_t)(uintptr_t)bpe;
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[2];
        size_t count = byte_level_encode((uint8_t)byte, text);
        bpe->bytes[byte] = vocabulary_find(vocabulary, text, count);
    }
    if (read_merges(bpe, gguf, err) != 0) {
        bpe_free(bpe);
        return NULL;
    }
    return bpe;
}

void bpe_free(struct bpe *bpe)
{
    if (bpe == NULL)
        return;
    free(bpe->merges);
    free(bpe);
}

static bool find_merge(const void *rules, const char *text, const struct merger_symbol *left,
                       const struct merger_symbol *right, uint32_t *ret_rank, uint32_t *ret_token)
{
    (void)text;
    const struct bpe *bpe = rules;
    const struct bpe_merge *merge = slot_of(bpe, (uint64_t)left->token << 32 | right->token);
    *ret_rank = merge->rank;
    *ret_token = merge->token;
    return merge->rank != MERGER_NONE;
}

/* The token whose piece is all of the text, if there is one that is text. */
static uint32_t find_whole(const struct bpe *bpe, const char *text, size_t count)
{
    char spelled[VOCABULARY_TOKEN_BYTES + 2];
    size_t longest = vocabulary_longest(bpe->vocabulary), used = 0;
    for (size_t i = 0; i < count; i++) {
        if (used >= longest)
            return TOKEN_NONE;
        used += byte_level_encode((uint8_t)text[i], spelled + used);
    }
    uint32_t token = vocabulary_find(bpe->vocabulary, spelled, used);
    if (token == TOKEN_NONE || (vocabulary_flags(bpe->vocabulary, token) & TOKEN_CONTROL) != 0)
        return TOKEN_NONE;
    return token;
}

bool bpe_encode(const struct bpe *bpe, struct merger *merger, const char *text, size_t count,
                struct token_list *list)
{
    if (count == 1) {
        uint32_t token = bpe->bytes[(uint8_t)text[0]];
        return token == TOKEN_NONE || token_list_append(list, token);
    }
    if (bpe->ignore_merges) {
        uint32_t token = find_whole(bpe, text, count);
        if (token != TOKEN_NONE)
            return token_list_append(list, token);
    }
    if (!merger_start(merger, text, count))
        return false;
    for (size_t i = 0; i < count; i++)
        merger_add(merger, 1, bpe->bytes[(uint8_t)text[i]]);
    merger_run(merger, find_merge, bpe);
    for (uint32_t i = 0; i != MERGER_NONE; i = merger->symbols[i].next) {
        uint32_t token = merger->symbols[i].token;
        if (token != TOKEN_NONE && !token_list_append(list, token))
            return false;
    }
    return true;
}
