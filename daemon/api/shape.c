/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/shape.h"

static void write_finish(struct text *out, const char *finish)
{
    if (finish == NULL)
        text_append_string(out, ",\"finish_reason\":null}");
    else
        text_append_format(out, ",\"finish_reason\":\"%s\"}", finish);
}

static void write_logprobs(struct text *out, const struct shape_piece *piece,
                           void (*write)(struct text *, const struct tokenizer *,
                                         const struct logprob_entry *, size_t))
{
    text_append_string(out, ",\"logprobs\":");
    if (!piece->logprobs)
        text_append_string(out, "null");
    else
        write(out, piece->tokenizer, piece->entries, piece->entry_count);
}

static void write_chat_chunk(struct text *out, const struct shape_piece *piece)
{
    text_append_format(out, "{\"index\":%u,\"delta\":{", piece->index);
    if (piece->finish == NULL) {
        text_append_string(out, "\"content\":");
        text_append_json(out, piece->text, piece->bytes);
    }
    text_append_char(out, '}');
    write_logprobs(out, piece, logprobs_write_chat);
    write_finish(out, piece->finish);
}

static void write_chat_choice(struct text *out, const struct shape_piece *piece)
{
    text_append_format(
        out, "{\"index\":%u,\"message\":{\"role\":\"assistant\",\"content\":", piece->index);
    text_append_json(out, piece->text, piece->bytes);
    text_append_string(out, ",\"refusal\":null}");
    write_logprobs(out, piece, logprobs_write_chat);
    write_finish(out, piece->finish);
}

static void write_completion_choice(struct text *out, const struct shape_piece *piece)
{
    text_append_format(out, "{\"index\":%u,\"text\":", piece->index);
    text_append_json(out, piece->text, piece->bytes);
    write_logprobs(out, piece, logprobs_write_completion);
    write_finish(out, piece->finish);
}

const struct shape shape_chat = {
    .id_prefix = "chatcmpl-",
    .object = "chat.completion",
    .chunk_object = "chat.completion.chunk",
    .opens_with_role = true,
    .write_chunk = write_chat_chunk,
    .write_choice = write_chat_choice,
};

const struct shape shape_completion = {
    .id_prefix = "cmpl-",
    .object = "text_completion",
    .chunk_object = "text_completion",
    .opens_with_role = false,
    .write_chunk = write_completion_choice,
    .write_choice = write_completion_choice,
};

void shape_write_role(struct text *out, uint32_t index)
{
    text_append_format(out,
                       "{\"index\":%u,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                       "\"logprobs\":null,\"finish_reason\":null}",
                       index);
}

void shape_write_usage(struct text *out, const struct shape_usage *usage)
{
    text_append_format(out,
                       "{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%llu,"
                       "\"prompt_tokens_details\":{\"cached_tokens\":%u}}",
                       usage->prompt_tokens, usage->completion_tokens,
                       (unsigned long long)usage->prompt_tokens + usage->completion_tokens,
                       usage->cached_tokens);
}
