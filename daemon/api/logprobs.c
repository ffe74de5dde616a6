/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/logprobs.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* JSON has no minus infinity; OpenAI's servers write this for what cannot be drawn. */
#define LOGPROB_LEAST (-9999.0)

void logprob_list_add(struct logprob_list *list, const struct logprob_entry *entry)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 8 : list->capacity * 2;
        struct logprob_entry *grown = realloc(list->entries, capacity * sizeof *grown);
        if (grown == NULL) {
            list->failed = true;
            return;
        }
        list->entries = grown;
        list->capacity = capacity;
    }
    list->entries[list->count++] = *entry;
}

void logprob_list_drop_front(struct logprob_list *list, size_t count)
{
    assert(count <= list->count);
    list->count -= count;
    if (count > 0 && list->count > 0)
        memmove(list->entries, list->entries + count, list->count * sizeof *list->entries);
}

void logprob_list_destroy(struct logprob_list *list)
{
    free(list->entries);
    *list = (struct logprob_list){0};
}

static void write_logprob(struct text *out, float logprob)
{
    if (isinf(logprob))
        text_append_json_double(out, LOGPROB_LEAST);
    else
        text_append_json_double(out, (double)logprob); /* NAN, the first prompt token: null */
}

static void write_token(struct text *out, const struct tokenizer *tokenizer, uint32_t token)
{
    size_t count;
    const char *piece = tokenizer_piece(tokenizer, token, &count);
    text_append_json(out, piece, count);
}

/* "token":"...","logprob":-1.5,"bytes":[226,130] */
static void write_chat_token(struct text *out, const struct tokenizer *tokenizer, uint32_t token,
                             float logprob)
{
    size_t count;
    const char *piece = tokenizer_piece(tokenizer, token, &count);
    text_append_string(out, "\"token\":");
    text_append_json(out, piece, count);
    text_append_string(out, ",\"logprob\":");
    write_logprob(out, logprob);
    text_append_string(out, ",\"bytes\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            text_append_char(out, ',');
        text_append_u64(out, (unsigned char)piece[i]);
    }
    text_append_char(out, ']');
}

void logprobs_write_chat(struct text *out, const struct tokenizer *tokenizer,
                         const struct logprob_entry *entries, size_t count)
{
    text_append_string(out, "{\"content\":[");
    for (size_t i = 0; i < count; i++) {
        const struct sampled *sampled = &entries[i].sampled;
        text_append_string(out, i > 0 ? ",{" : "{");
        write_chat_token(out, tokenizer, sampled->token, sampled->logprob);
        text_append_string(out, ",\"top_logprobs\":[");
        for (uint32_t k = 0; k < sampled->top_count; k++) {
            text_append_string(out, k > 0 ? ",{" : "{");
            write_chat_token(out, tokenizer, sampled->top[k].token, sampled->top[k].logprob);
            text_append_char(out, '}');
        }
        text_append_string(out, "]}");
    }
    text_append_string(out, "],\"refusal\":null}");
}

static bool same_piece(const struct tokenizer *tokenizer, uint32_t one, uint32_t other)
{
    size_t one_count, other_count;
    const char *one_piece = tokenizer_piece(tokenizer, one, &one_count);
    const char *other_piece = tokenizer_piece(tokenizer, other, &other_count);
    return one_count == other_count && memcmp(one_piece, other_piece, one_count) == 0;
}

/* An object keyed by token text: of tokens spelt alike the likelier one stands. */
static void write_top_object(struct text *out, const struct tokenizer *tokenizer,
                             const struct sampled *sampled)
{
    if (isnan(sampled->logprob)) {
        text_append_string(out, "null");
        return;
    }
    text_append_char(out, '{');
    bool first = true;
    for (uint32_t k = 0; k < sampled->top_count; k++) {
        bool spelt = false;
        for (uint32_t before = 0; before < k && !spelt; before++)
            spelt = same_piece(tokenizer, sampled->top[before].token, sampled->top[k].token);
        if (spelt)
            continue;
        if (!first)
            text_append_char(out, ',');
        first = false;
        write_token(out, tokenizer, sampled->top[k].token);
        text_append_char(out, ':');
        write_logprob(out, sampled->top[k].logprob);
    }
    text_append_char(out, '}');
}

void logprobs_write_completion(struct text *out, const struct tokenizer *tokenizer,
                               const struct logprob_entry *entries, size_t count)
{
    text_append_string(out, "{\"tokens\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            text_append_char(out, ',');
        write_token(out, tokenizer, entries[i].sampled.token);
    }
    text_append_string(out, "],\"token_logprobs\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            text_append_char(out, ',');
        write_logprob(out, entries[i].sampled.logprob);
    }
    text_append_string(out, "],\"top_logprobs\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            text_append_char(out, ',');
        write_top_object(out, tokenizer, &entries[i].sampled);
    }
    text_append_string(out, "],\"text_offset\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            text_append_char(out, ',');
        text_append_u64(out, entries[i].characters);
    }
    text_append_string(out, "]}");
}
