/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/generation_inner.h"

#include <assert.h>
#include <string.h>

static const char *finish_name(enum finish_reason finish)
{
    switch (finish) {
    case FINISH_STOP:
        return "stop";
    case FINISH_LENGTH:
        return "length";
    case FINISH_ERROR:
        return "error";
    case FINISH_NAN:
        return "nan";
    case FINISH_LOST:
        return "device_lost";
    default:
        return "abort";
    }
}

static struct shape_usage usage_of(const struct generation *generation)
{
    struct shape_usage usage = {0};
    for (uint32_t i = 0; i < generation->part_count; i++) {
        usage.prompt_tokens += generation->parts[i].prompt_tokens;
        usage.cached_tokens += generation->parts[i].cached_tokens;
    }
    uint32_t count = generation->part_count * generation->choices_per_part;
    for (uint32_t i = 0; i < count; i++)
        usage.completion_tokens += generation->choices[i].output_tokens;
    return usage;
}

/* Of the choice that ended worst; one that has not ended yet is broken off. */
static enum finish_reason worst_finish(const struct generation *generation)
{
    enum finish_reason worst = FINISH_STOP;
    uint32_t count = generation->part_count * generation->choices_per_part;
    for (uint32_t i = 0; i < count; i++) {
        enum finish_reason finish = generation->choices[i].finish;
        if (finish == FINISH_NONE)
            finish = FINISH_ABORT;
        if (finish > worst)
            worst = finish;
    }
    return worst;
}

struct answer_record generation_record_of(const struct generation *generation)
{
    struct shape_usage usage = usage_of(generation);
    return (struct answer_record){
        .model = generation->model->id,
        .prompt_tokens = usage.prompt_tokens,
        .completion_tokens = usage.completion_tokens,
        .cached_tokens = usage.cached_tokens,
        .ttft_us = generation->ttft_us,
        .times = generation->times,
        .finish = finish_name(worst_finish(generation)),
        .user_class = identity_class_name(generation->identity),
    };
}

static void head_of(const struct generation *generation, const char *content_type,
                    struct answer_headers *ret)
{
    answer_headers_init(ret, &generation->call, content_type);
    answer_headers_add(ret, "link", generation->model->license_link);
    if (generation->attribution[0] != '\0')
        answer_headers_add(ret, "x-weir-attribution", generation->attribution);
}

/* -- Streams -- */

static void begin_stream(struct generation *generation)
{
    struct answer_headers head;
    head_of(generation, "text/event-stream", &head);
    answer_headers_add(&head, "cache-control", "no-cache");
    answer_headers_add(&head, "x-accel-buffering", "no"); /* nginx must not collect the events */
    exchange_stream_begin(generation->call.exchange, 200, head.headers, head.count);
    generation->begun = true;
}

static void open_chunk(struct generation *generation)
{
    text_append(&generation->out, generation->head.bytes, generation->head.count);
}

static void close_chunk(struct generation *generation)
{
    struct text *out = &generation->out;
    text_append_char(out, ']');
    if (generation->continuous_usage) {
        struct shape_usage usage = usage_of(generation);
        text_append_string(out, ",\"usage\":");
        shape_write_usage(out, &usage);
    } else if (generation->include_usage) {
        text_append_string(out, ",\"usage\":null");
    }
    text_append_string(out, "}\n\n");
}

static void write_piece(struct generation *generation, const struct shape_piece *piece)
{
    open_chunk(generation);
    generation->shape->write_chunk(&generation->out, piece);
    close_chunk(generation);
}

static struct shape_piece piece_of(const struct generation *generation, const struct choice *choice)
{
    return (struct shape_piece){
        .index = choice->index,
        .text = "",
        .tokenizer = generation->rules.tokenizer,
        .logprobs = generation->rules.logprobs,
    };
}

/* Role, text and end of one choice: each in a chunk of its own, whichever are due. */
static void write_choice_chunks(struct generation *generation, struct choice *choice)
{
    size_t bytes = choice_ready_bytes(choice);
    bool finished = choice->finish != FINISH_NONE;
    if (bytes == 0 && !finished)
        return;
    if (!choice->begun && generation->shape->opens_with_role) {
        open_chunk(generation);
        shape_write_role(&generation->out, choice->index);
        close_chunk(generation);
    }
    choice->begun = true;
    struct shape_piece piece = piece_of(generation, choice);
    piece.entry_count = choice_ready_entries(choice);
    if (bytes > 0 || piece.entry_count > 0) {
        piece.text = bytes > 0 ? choice->text.bytes : "";
        piece.bytes = bytes;
        piece.entries = choice->logprobs.entries;
        write_piece(generation, &piece);
        choice_shown(choice, bytes, piece.entry_count);
    }
    if (finished) {
        piece = piece_of(generation, choice);
        piece.logprobs = false;
        piece.finish = finish_name(choice->finish);
        write_piece(generation, &piece);
    }
}

static void write_stream_end(struct generation *generation)
{
    if (generation->include_usage) {
        struct shape_usage usage = usage_of(generation);
        open_chunk(generation);
        text_append_string(&generation->out, "],\"usage\":");
        shape_write_usage(&generation->out, &usage);
        text_append_string(&generation->out, "}\n\n");
    }
    text_append_string(&generation->out, "data: [DONE]\n\n");
}

/* One write. False when the client is too slow and thereby dropped. */
static bool send_stream(struct generation *generation)
{
    struct call *call = &generation->call;
    struct text *out = &generation->out;
    if (out->count == 0)
        return true;
    if (!generation->begun)
        begin_stream(generation);
    size_t waiting = exchange_stream_write(call->exchange, out->bytes, out->count);
    text_reset(out);
    if (waiting <= call->live->config->output_bytes_max)
        return true;
    metrics_limited(call->api->server->metrics, LIMITED_OUTPUT);
    struct answer_record record = generation_record_of(generation);
    answer_stream_abort(call, &record);
    generation_cancel(generation);
    return false;
}

static void flush_stream(struct generation *generation)
{
    uint32_t count = generation->part_count * generation->choices_per_part;
    for (uint32_t i = 0; i < count; i++) {
        struct choice *choice = &generation->choices[i];
        if (!choice->ended)
            write_choice_chunks(generation, choice);
        choice->ended = choice->finish != FINISH_NONE;
    }
    bool complete = generation->running_choices == 0;
    if (complete)
        write_stream_end(generation);
    if (generation->out.failed) {
        struct fault fault;
        (void)fault_no_memory(&fault);
        text_reset(&generation->out);
        generation_answer_fault(generation, &fault);
        return;
    }
    if (!send_stream(generation) || !complete)
        return;
    struct answer_record record = generation_record_of(generation);
    answer_stream_end(&generation->call, &record);
}

/* -- Whole answers -- */

static void write_whole(struct generation *generation)
{
    struct text *out = &generation->out;
    const char *model = generation->model->id;
    text_append_format(
        out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", generation->id,
        generation->shape->object, (long long)generation->created_unix);
    text_append_json(out, model, strlen(model));
    text_append_string(out, ",\"system_fingerprint\":null,\"choices\":[");
    uint32_t count = generation->part_count * generation->choices_per_part;
    for (uint32_t i = 0; i < count; i++) {
        const struct choice *choice = &generation->choices[i];
        struct shape_piece piece = piece_of(generation, choice);
        piece.text = text_string(&choice->text);
        piece.bytes = choice->text.count;
        piece.entries = choice->logprobs.entries;
        piece.entry_count = choice->logprobs.count;
        piece.finish = finish_name(choice->finish);
        if (i > 0)
            text_append_char(out, ',');
        generation->shape->write_choice(out, &piece);
    }
    struct shape_usage usage = usage_of(generation);
    text_append_string(out, "],\"usage\":");
    shape_write_usage(out, &usage);
    text_append_char(out, '}');
}

static void answer_whole(struct generation *generation)
{
    write_whole(generation);
    if (generation->out.failed) {
        struct fault fault;
        (void)fault_no_memory(&fault);
        generation_answer_fault(generation, &fault);
        return;
    }
    struct answer_headers head;
    head_of(generation, "application/json", &head);
    struct answer_record record = generation_record_of(generation);
    answer_give(&generation->call, &(struct answer){.status = 200,
                                                    .head = &head,
                                                    .body = generation->out.bytes,
                                                    .count = generation->out.count,
                                                    .record = &record});
}

/* -- Both -- */

void generation_answer_fault(struct generation *generation, const struct fault *fault)
{
    struct call *call = &generation->call;
    struct answer_record record = generation_record_of(generation);
    generation_cancel(generation);
    if (!generation->begun) {
        answer_fault(call, fault, &record);
        return;
    }
    metrics_limited(call->api->server->metrics, fault->limited);
    struct text *out = &generation->out;
    text_reset(out);
    text_append_string(out, "data: ");
    fault_write(fault, out);
    text_append_string(out, "\n\n"); /* and no [DONE]: it is not */
    if (!out->failed)
        (void)exchange_stream_write(call->exchange, out->bytes, out->count);
    answer_stream_end(call, &record);
}

/* Whether the answer cannot be given as it was asked for. */
static bool find_fault(const struct generation *generation, struct fault *fault)
{
    uint32_t count = generation->part_count * generation->choices_per_part;
    for (uint32_t i = 0; i < count; i++) {
        const struct choice *choice = &generation->choices[i];
        if (choice_failed(choice))
            return fault_no_memory(fault) < 0;
        if (choice->finish == FINISH_ERROR)
            return fault_code(fault, 500, "internal_error",
                              "the engine could not compute the next token") < 0;
        if (choice->finish == FINISH_NAN)
            return fault_code(fault, 500, "nan_logits",
                              "what the model gave for the next token is no number") < 0;
        if (choice->finish == FINISH_LOST) {
            (void)fault_code(fault, 503, "device_lost",
                             "the device of model '%s' failed; the answer is not complete",
                             generation->model->id);
            fault->retry_after_s = 1;
            return true;
        }
        if (choice->finish != FINISH_ABORT)
            continue;
        /* Not by us: we cancel what is over or gone, and that is not written any more. */
        (void)fault_code(fault, 503, "shutting_down",
                         "the server is shutting down; the answer is not complete");
        fault->retry_after_s = 1;
        return true;
    }
    if (!generation->stream && generation->kept_bytes > GENERATION_KEPT_BYTES_MAX)
        return fault_code(fault, 400, "answer_too_large",
                          "the answer grew past %u bytes; ask for less, or for a stream",
                          GENERATION_KEPT_BYTES_MAX) < 0;
    return false;
}

void generation_flush(struct generation *generation)
{
    struct fault fault;
    if (generation->call.exchange == NULL)
        return;
    if (find_fault(generation, &fault))
        generation_answer_fault(generation, &fault);
    else if (generation->stream)
        flush_stream(generation);
    else if (generation->running_choices == 0)
        answer_whole(generation);
}
