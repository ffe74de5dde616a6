/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/choice.h"

#include <assert.h>
#include <string.h>

void choice_init(struct choice *choice, uint32_t index, const struct choice_rules *rules)
{
    memset(choice, 0, sizeof *choice);
    choice->index = index;
    text_init(&choice->text);
    detokenizer_init(&choice->detokenizer, rules->tokenizer, rules->skip_special_tokens, false);
}

void choice_destroy(struct choice *choice)
{
    text_destroy(&choice->text);
    logprob_list_destroy(&choice->logprobs);
}

static size_t count_characters(const char *bytes, size_t count)
{
    size_t characters = 0;
    for (size_t i = 0; i < count; i++)
        characters += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    return characters;
}

void choice_add_prompt_text(struct choice *choice, const char *bytes, size_t count)
{
    text_append(&choice->text, bytes, count);
    choice->characters += count_characters(bytes, count);
}

void choice_add_prompt_token(struct choice *choice, const struct sampled *sampled,
                             size_t characters)
{
    struct logprob_entry entry = {.sampled = *sampled, .characters = characters};
    logprob_list_add(&choice->logprobs, &entry);
}

static void cut_text(struct choice *choice, size_t count)
{
    assert(count <= choice->text.count);
    choice->text.count = count;
    if (choice->text.bytes != NULL)
        choice->text.bytes[count] = '\0';
}

/* The text ends at `count`; tokens that had begun before it stay. */
static void end_at(struct choice *choice, size_t count)
{
    cut_text(choice, count);
    choice->held_bytes = 0;
    size_t end = choice->shown_bytes + count;
    struct logprob_list *list = &choice->logprobs;
    while (list->count > 0 && list->entries[list->count - 1].start >= end &&
           list->entries[list->count - 1].end > 0)
        list->count--;
    for (size_t i = list->count; i > 0 && list->entries[i - 1].end > end; i--)
        list->entries[i - 1].end = end;
}

/* Looks at what the newest token added. True when a stop string ends in it. */
static bool find_stop(struct choice *choice, const struct choice_rules *rules, size_t before)
{
    if (choice->output_tokens <= rules->min_tokens) {
        choice->stop = (struct stop_state){0};
        choice->held_bytes = 0;
        return false;
    }
    size_t used;
    size_t found = stop_feed(rules->stops, &choice->stop, choice->text.bytes + before,
                             choice->text.count - before, &used);
    if (found == 0) {
        choice->held_bytes = stop_held(rules->stops, &choice->stop);
        return false;
    }
    end_at(choice, before + used - (rules->include_stop_text ? 0 : found));
    return true;
}

bool choice_add_token(struct choice *choice, const struct choice_rules *rules,
                      const struct sampled *sampled)
{
    size_t before = choice->text.count;
    detokenizer_push(&choice->detokenizer, sampled->token, &choice->text);
    if (choice->text.failed)
        return false;
    size_t added = choice->text.count - before;
    if (rules->logprobs) {
        struct logprob_entry entry = {.sampled = *sampled,
                                      .start = choice->shown_bytes + before,
                                      .end = choice->shown_bytes + choice->text.count,
                                      .characters = choice->characters};
        logprob_list_add(&choice->logprobs, &entry);
    }
    if (added == 0)
        return false;
    choice->characters += count_characters(choice->text.bytes + before, added);
    return rules->stops != NULL && find_stop(choice, rules, before);
}

void choice_end(struct choice *choice)
{
    detokenizer_finish(&choice->detokenizer, &choice->text);
    choice->held_bytes = 0;
}

size_t choice_ready_bytes(const struct choice *choice)
{
    assert(choice->held_bytes <= choice->text.count);
    return choice->text.count - choice->held_bytes;
}

size_t choice_ready_entries(const struct choice *choice)
{
    size_t end = choice->shown_bytes + choice_ready_bytes(choice);
    size_t count = 0;
    while (count < choice->logprobs.count && choice->logprobs.entries[count].end <= end)
        count++;
    return count;
}

void choice_shown(struct choice *choice, size_t bytes, size_t entries)
{
    assert(bytes <= choice->text.count);
    if (bytes > 0)
        memmove(choice->text.bytes, choice->text.bytes + bytes, choice->text.count - bytes);
    cut_text(choice, choice->text.count - bytes);
    choice->shown_bytes += bytes;
    logprob_list_drop_front(&choice->logprobs, entries);
}

bool choice_failed(const struct choice *choice)
{
    return choice->text.failed || choice->logprobs.failed;
}
