/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/answer.h"
#include "daemon/api/handlers.h"
#include "daemon/api/prompt.h"
#include "daemon/api/request.h"

#include "base/clock.h"

static void append_tokens(struct text *out, const struct served_model *model,
                          const struct token_list *tokens, bool with_strings)
{
    const struct tokenizer *tokenizer = model_tokenizer(model->model);
    text_append_format(out, "{\"count\":%zu,\"max_model_len\":%u,\"tokens\":[", tokens->count,
                       engine_context(model->engine));
    for (size_t i = 0; i < tokens->count; i++) {
        if (i > 0)
            text_append_char(out, ',');
        text_append_u64(out, tokens->ids[i]);
    }
    text_append_string(out, "],\"token_strs\":");
    if (!with_strings) {
        text_append_string(out, "null}");
        return;
    }
    text_append_char(out, '[');
    for (size_t i = 0; i < tokens->count; i++) {
        size_t count;
        const char *piece = tokenizer_piece(tokenizer, tokens->ids[i], &count);
        if (i > 0)
            text_append_char(out, ',');
        text_append_json(out, piece, count);
    }
    text_append_string(out, "]}");
}

static int tokenize(const struct call *call, const struct request *request, struct text *out,
                    struct fault *fault)
{
    const struct served_model *model = prompt_find_model(call, request->model, fault);
    if (model == NULL)
        return -1;
    struct token_list tokens = {0};
    int status = request->messages != NULL
                     ? prompt_encode_chat(model, request, clock_unix_us() / 1000000, &tokens, fault)
                     : prompt_encode(model, request->prompts[0].text, request->prompts[0].bytes,
                                     request->add_special_tokens, &tokens, fault);
    if (status == 0)
        append_tokens(out, model, &tokens, request->return_token_strings);
    token_list_destroy(&tokens);
    return status;
}

static int detokenize(const struct call *call, const struct request *request, struct text *out,
                      struct fault *fault)
{
    const struct served_model *model = prompt_find_model(call, request->model, fault);
    if (model == NULL)
        return -1;
    const struct tokenizer *tokenizer = model_tokenizer(model->model);
    struct token_list tokens = {0};
    int status = request_check_tokens(request, tokenizer_vocabulary(tokenizer), fault);
    if (status == 0)
        status = prompt_copy_ids(request->tokens, &tokens, fault);
    if (status == 0) {
        struct text prompt;
        text_init(&prompt);
        tokenizer_decode(tokenizer, tokens.ids, tokens.count, false, &prompt);
        text_append_string(out, "{\"prompt\":");
        text_append_json(out, text_string(&prompt), prompt.count);
        text_append_char(out, '}');
        out->failed = out->failed || prompt.failed;
        text_destroy(&prompt);
    }
    token_list_destroy(&tokens);
    return status;
}

static void answer_with(struct call *call, enum request_kind kind,
                        int (*write)(const struct call *, const struct request *, struct text *,
                                     struct fault *))
{
    size_t count;
    const char *body = exchange_body(call->exchange, &count);
    struct request request;
    struct fault fault;
    if (request_parse(kind, body, count, call->live->config->json_depth_max, &request, &fault) <
        0) {
        answer_fault(call, &fault, NULL);
        return;
    }
    struct text out;
    text_init(&out);
    if (write(call, &request, &out, &fault) < 0)
        answer_fault(call, &fault, NULL);
    else
        answer_json(call, &out);
    text_destroy(&out);
    request_destroy(&request);
}

void tokenize_answer(struct call *call)
{
    answer_with(call, REQUEST_TOKENIZE, tokenize);
}

void detokenize_answer(struct call *call)
{
    answer_with(call, REQUEST_DETOKENIZE, detokenize);
}
