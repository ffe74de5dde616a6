/* SPDX-License-Identifier: Apache-2.0 */
/* special.c -- leftmost, then longest.
 *
 * The special tokens lie in one array, sorted by their bytes. All that begin with the same bytes
 * are neighbours, and the one that is exactly those bytes comes first: a sorted array is a trie
 * whose nodes are ranges. Matching at a position narrows the range by one byte of text at a time
 * and remembers the last exact one. A table over the first byte makes most positions one look-up.
 *
 * Cost: for each position as many steps as the text agrees with some token, each a binary search.
 * An Aho-Corasick automaton would bound the sum as well, for ten times the memory; texts full of
 * almost-special tokens are not worth that, and a token's length is limited. */
#include "models/special.h"

#include "models/tokenizer.h"

#include <stdlib.h>
#include <string.h>

struct special_entry {
    struct gguf_string text; /* borrowed: the vocabulary; never empty */
    uint32_t token;
    bool control; /* matched only when control tokens are asked for */
};

struct special {
    uint32_t count;
    uint32_t first[257]; /* entries that begin with byte b are first[b] .. first[b + 1] - 1 */
    struct special_entry entries[];
};

static int compare_entries(const void *left, const void *right)
{
    const struct special_entry *a = left, *b = right;
    size_t common = a->text.count < b->text.count ? a->text.count : b->text.count;
    int order = memcmp(a->text.bytes, b->text.bytes, common);
    if (order != 0)
        return order;
    return (a->text.count > b->text.count) - (a->text.count < b->text.count);
}

static unsigned char byte_at(const struct special_entry *entry, size_t depth)
{
    return (unsigned char)entry->text.bytes[depth];
}

/* Which tokens are taken out of the text before anything else. */
static bool is_special(const struct vocabulary *vocabulary, uint32_t id)
{
    return (vocabulary_flags(vocabulary, id) &
            (TOKEN_CONTROL | TOKEN_USER_DEFINED | TOKEN_UNKNOWN)) != 0 &&
           vocabulary_text(vocabulary, id).count > 0;
}

struct special *special_new(const struct vocabulary *vocabulary, struct error *err)
{
    uint32_t count = 0;
    for (uint32_t id = 0; id < vocabulary_count(vocabulary); id++)
        count += is_special(vocabulary, id);
    struct special *special = calloc(1, sizeof *special + count * sizeof special->entries[0]);
    if (special == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    for (uint32_t id = 0; id < vocabulary_count(vocabulary); id++) {
        if (!is_special(vocabulary, id))
            continue;
        special->entries[special->count++] = (struct special_entry){
            .text = vocabulary_text(vocabulary, id),
            .token = id,
            .control = (vocabulary_flags(vocabulary, id) & (TOKEN_CONTROL | TOKEN_UNKNOWN)) != 0};
    }
    qsort(special->entries, count, sizeof special->entries[0], compare_entries);
    uint32_t at = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        special->first[byte] = at;
        while (at < count && byte_at(&special->entries[at], 0) == byte)
            at++;
    }
    special->first[256] = count;
    return special;
}

void special_free(struct special *special)
{
    free(special);
}

/* The first entry of [low, high) whose byte at `depth` is `byte` or more. All of them are longer
 * than `depth` and agree before it. */
static uint32_t lower_bound(const struct special *special, uint32_t low, uint32_t high,
                            size_t depth, unsigned byte)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (byte_at(&special->entries[middle], depth) < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest token that begins here; its length, or 0. */
static size_t match_here(const struct special *special, const char *text, size_t count,
                         bool control, uint32_t *ret_token)
{
    unsigned byte = (unsigned char)text[0];
    uint32_t low = special->first[byte], high = special->first[byte + 1];
    size_t longest = 0;
    for (size_t depth = 1; low < high; depth++) {
        const struct special_entry *entry = &special->entries[low];
        if (entry->text.count == depth) {
            if (control || !entry->control) {
                longest = depth;
                *ret_token = entry->token;
            }
            low++;
        }
        if (depth == count)
            break;
        byte = (unsigned char)text[depth];
        low = lower_bound(special, low, high, depth, byte);
        high = lower_bound(special, low, high, depth, byte + 1);
    }
    return longest;
}

bool special_find(const struct special *special, const char *text, size_t count, size_t from,
                  bool control, struct special_match *ret)
{
    if (special->count == 0)
        return false;
    for (size_t at = from; at < count; at++) {
        unsigned byte = (unsigned char)text[at];
        if (special->first[byte] == special->first[byte + 1])
            continue;
        uint32_t token = TOKEN_NONE;
        size_t length = match_here(special, text + at, count - at, control, &token);
        if (length > 0) {
            *ret = (struct special_match){.start = at, .count = length, .token = token};
            return true;
        }
    }
    return false;
}
