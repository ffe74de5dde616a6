/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/api/doubles.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char byte_pieces[256][1] = {
#define FOUR(n)                                                                                    \
    {(char)(n)}, {(char)((n) + 1)}, {(char)((n) + 2)},                                             \
    {                                                                                              \
        (char)((n) + 3)                                                                            \
    }
#define SIXTEEN(n) FOUR(n), FOUR((n) + 4), FOUR((n) + 8), FOUR((n) + 12)
#define QUARTER(n) SIXTEEN(n), SIXTEEN((n) + 16), SIXTEEN((n) + 32), SIXTEEN((n) + 48)
    QUARTER(0), QUARTER(64), QUARTER(128), QUARTER(192)};

static const char *const other_pieces[] = {"<s>", "</s>", "Hello", " world", "ST", "OP!"};

const struct tokenizer *model_tokenizer(const struct model *model)
{
    (void)model;
    return NULL;
}

/* Any pointer that is not NULL: the double never looks. */
const struct chat_template *model_chat_template(const struct model *model)
{
    return (const struct chat_template *)(const void *)model;
}

const char *model_template_error(const struct model *model)
{
    (void)model;
    return "the file has no chat template";
}

int chat_template_render(const struct chat_template *chat_template,
                         const struct chat_template_input *input, struct text *out,
                         struct error *err)
{
    (void)chat_template;
    for (size_t i = 0; i < json_array_size(input->messages); i++) {
        const json_t *message = json_array_get(input->messages, i);
        const json_t *content = json_object_get(message, "content");
        if (strcmp(json_string_value(content), "raise") == 0)
            return error_set(err, ERROR_INVALID, "the template does not like it");
        text_append_string(out, json_string_value(json_object_get(message, "role")));
        text_append_char(out, ':');
        text_append(out, json_string_value(content), json_string_length(content));
        text_append_char(out, '\n');
    }
    if (input->tools != NULL)
        text_append_string(out, "T");
    if (input->add_generation_prompt)
        text_append_char(out, '>');
    return 0;
}

uint32_t tokenizer_vocabulary(const struct tokenizer *tokenizer)
{
    (void)tokenizer;
    return TOKEN_DOUBLE_COUNT;
}

uint32_t tokenizer_bos(const struct tokenizer *tokenizer)
{
    (void)tokenizer;
    return TOKEN_BOS;
}

uint32_t tokenizer_eos(const struct tokenizer *tokenizer)
{
    (void)tokenizer;
    return TOKEN_EOS;
}

bool tokenizer_is_special(const struct tokenizer *tokenizer, uint32_t token)
{
    (void)tokenizer;
    return token == TOKEN_BOS || token == TOKEN_EOS;
}

bool tokenizer_ends_generation(const struct tokenizer *tokenizer, uint32_t token)
{
    (void)tokenizer;
    return token == TOKEN_EOS;
}

bool tokenizer_adds_space(const struct tokenizer *tokenizer)
{
    (void)tokenizer;
    return false;
}

void token_list_destroy(struct token_list *list)
{
    free(list->ids);
    *list = (struct token_list){0};
}

bool token_list_append(struct token_list *list, uint32_t token)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity * 2 + 4;
        list->ids = realloc(list->ids, list->capacity * sizeof *list->ids);
        assert(list->ids != NULL);
    }
    list->ids[list->count++] = token;
    return true;
}

int tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t count,
                     const struct encode_options *options, struct token_list *list,
                     struct error *err)
{
    (void)tokenizer;
    if (options->tokens_max != 0 && count + options->add_special > options->tokens_max)
        return error_set(err, ERROR_INVALID, "too many tokens");
    if (options->add_special)
        (void)token_list_append(list, TOKEN_BOS);
    for (size_t i = 0; i < count; i++)
        (void)token_list_append(list, (unsigned char)text[i]);
    return 0;
}

const char *tokenizer_piece(const struct tokenizer *tokenizer, uint32_t token, size_t *ret_count)
{
    (void)tokenizer;
    assert(token < TOKEN_DOUBLE_COUNT);
    *ret_count = token < 256 ? 1 : strlen(other_pieces[token - 256]);
    return token < 256 ? byte_pieces[token] : other_pieces[token - 256];
}

void tokenizer_decode(const struct tokenizer *tokenizer, const uint32_t *tokens, size_t count,
                      bool skip_special, struct text *out)
{
    struct detokenizer detokenizer;
    detokenizer_init(&detokenizer, tokenizer, skip_special, true);
    for (size_t i = 0; i < count; i++)
        detokenizer_push(&detokenizer, tokens[i], out);
    detokenizer_finish(&detokenizer, out);
}

void detokenizer_init(struct detokenizer *detokenizer, const struct tokenizer *tokenizer,
                      bool skip_special, bool at_start)
{
    *detokenizer = (struct detokenizer){
        .tokenizer = tokenizer, .skip_special = skip_special, .at_start = at_start};
}

void detokenizer_push(struct detokenizer *detokenizer, uint32_t token, struct text *out)
{
    size_t count;
    const char *piece = tokenizer_piece(NULL, token, &count);
    if (detokenizer->skip_special && tokenizer_is_special(NULL, token))
        return;
    for (size_t i = 0; i < count; i++) {
        detokenizer->pending[detokenizer->pending_count++] = piece[i];
        if (utf8_incomplete_tail(detokenizer->pending, detokenizer->pending_count) > 0)
            continue;
        if (utf8_valid(detokenizer->pending, detokenizer->pending_count))
            text_append(out, detokenizer->pending, detokenizer->pending_count);
        else
            text_append_string(out, "\xef\xbf\xbd");
        detokenizer->pending_count = 0;
    }
}

void detokenizer_finish(struct detokenizer *detokenizer, struct text *out)
{
    if (detokenizer->pending_count > 0)
        text_append_string(out, "\xef\xbf\xbd");
    detokenizer->pending_count = 0;
}
