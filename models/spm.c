/* SPDX-License-Identifier: Apache-2.0 */
/* spm.c -- any two neighbours whose joined text is a token may join, best score first.
 *
 * Unlike byte-level BPE there is no list of merges: the vocabulary is the rule (T. Kudo,
 * J. Richardson, "SentencePiece", 2018, the BPE model). The text is not split beforehand either,
 * so a whole prompt is one chain of characters; the merger's O(n log n) is what keeps that fair.
 *
 * A score becomes a rank by mapping the float's bits to an unsigned number in the same order and
 * turning that around: the highest score is the least rank. */
#include "models/spm.h"

#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct spm {
    const struct vocabulary *vocabulary; /* borrowed */
    uint32_t bytes[256];                 /* "<0x0A>", or the byte itself, or unknown */
    uint32_t *ranks;                     /* [tokens] */
};

static uint32_t rank_of_score(float score)
{
    uint32_t bits;
    score += 0.0f; /* -0 is 0 */
    memcpy(&bits, &score, sizeof bits);
    uint32_t rising = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return ~rising;
}

static int read_ranks(struct spm *spm, const struct gguf *gguf, struct error *err)
{
    static const char key[] = "tokenizer.ggml.scores";
    struct gguf_array scores;
    uint32_t count = vocabulary_count(spm->vocabulary);
    if (!gguf_get_array(gguf, key, &scores) || scores.kind != GGUF_ARRAY_FLOATS ||
        scores.count < count)
        return error_set(err, ERROR_INVALID, "key '%s': not %u floats, one for each token", key,
                         count);
    spm->ranks = calloc(count, sizeof *spm->ranks);
    if (spm->ranks == NULL)
        return error_no_memory(err);
    for (uint32_t id = 0; id < count; id++) {
        double score = gguf_array_float(&scores, id);
        if (isnan(score))
            return error_set(err, ERROR_INVALID, "key '%s': the score of token %u is no number",
                             key, id);
        spm->ranks[id] = rank_of_score((float)score);
    }
    return 0;
}

static int find_bytes(struct spm *spm, const struct gguf *gguf, struct error *err)
{
    uint32_t unknown = 0; /* SentencePiece's own default */
    int rc =
        vocabulary_read_id(spm->vocabulary, gguf, "tokenizer.ggml.unknown_token_id", &unknown, err);
    if (rc != 0)
        return rc;
    if ((vocabulary_flags(spm->vocabulary, unknown) & TOKEN_UNKNOWN) == 0)
        unknown = TOKEN_NONE;
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[8];
        char itself = (char)byte;
        int count = snprintf(name, sizeof name, "<0x%02X>", byte);
        uint32_t token = vocabulary_find(spm->vocabulary, name, (size_t)count);
        if (token == TOKEN_NONE)
            token = vocabulary_find(spm->vocabulary, &itself, 1);
        spm->bytes[byte] = token == TOKEN_NONE ? unknown : token;
    }
    return 0;
}

struct spm *spm_new(const struct gguf *gguf, const struct vocabulary *vocabulary, struct error *err)
{
    struct spm *spm = calloc(1, sizeof *spm);
    if (spm == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    spm->vocabulary = vocabulary;
    if (read_ranks(spm, gguf, err) != 0 || find_bytes(spm, gguf, err) != 0) {
        spm_free(spm);
        return NULL;
    }
    return spm;
}

void spm_free(struct spm *spm)
{
    if (spm == NULL)
        return;
    free(spm->ranks);
    free(spm);
}

static bool find_joined(const void *rules, const char *text, const struct merger_symbol *left,
                        const struct merger_symbol *right, uint32_t *ret_rank, uint32_t *ret_token)
{
    const struct spm *spm = rules;
    size_t count = (size_t)left->count + right->count;
    if (count > vocabulary_longest(spm->vocabulary))
        return false;
    uint32_t token = vocabulary_find(spm->vocabulary, text + left->start, count);
    if (token == TOKEN_NONE)
        return false;
    *ret_rank = spm->ranks[token];
    *ret_token = token;
    return true;
}

static bool append_bytes(const struct spm *spm, const char *text, size_t count,
                         struct token_list *list)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t token = spm->bytes[(uint8_t)text[i]];
        if (token != TOKEN_NONE && !token_list_append(list, token))
            return false;
    }
    return true;
}

bool spm_encode(const struct spm *spm, struct merger *merger, const char *text, size_t count,
                struct token_list *list)
{
    if (count == 0)
        return true;
    if (!merger_start(merger, text, count))
        return false;
    for (size_t at = 0; at < count;) {
        uint32_t codepoint;
        size_t length = utf8_decode(text + at, count - at, &codepoint);
        merger_add(merger, length, vocabulary_find(spm->vocabulary, text + at, length));
        at += length;
    }
    merger_run(merger, find_joined, spm);
    for (uint32_t i = 0; i != MERGER_NONE; i = merger->symbols[i].next) {
        const struct merger_symbol *symbol = &merger->symbols[i];
        bool appended = symbol->token != TOKEN_NONE
                            ? token_list_append(list, symbol->token)
                            : append_bytes(spm, text + symbol->start, symbol->count, list);
        if (!appended)
            return false;
    }
    return true;
}
