/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/answer.h"
#include "daemon/api/generation.h"
#include "daemon/api/handlers.h"
#include "daemon/api/prompt.h"
#include "daemon/api/request.h"

#include "base/clock.h"

/* What becomes of the prompts of one request; freed whole, taken or not. */
struct prompts {
    struct token_list tokens[REQUEST_PROMPTS_MAX];
    struct text echoes[REQUEST_PROMPTS_MAX];
};

static int encode_prompt(const struct served_model *model, const struct request *request,
                         uint32_t index, struct prompts *prompts, struct fault *fault)
{
    const struct request_prompt *prompt = &request->prompts[index];
    struct token_list *tokens = &prompts->tokens[index];
    struct text *echo = &prompts->echoes[index];
    int status = prompt->ids != NULL ? prompt_copy_ids(prompt->ids, tokens, fault)
                                     : prompt_encode(model, prompt->text, prompt->bytes,
                                                     request->add_special_tokens, tokens, fault);
    if (status < 0)
        return -1;
    if (!request->echo)
        return 0;
    if (prompt->ids != NULL)
        tokenizer_decode(model_tokenizer(model->model), tokens->ids, tokens->count,
                         request->skip_special_tokens, echo);
    else
        text_append(echo, prompt->text, prompt->bytes);
    return echo->failed ? fault_no_memory(fault) : 0;
}

static int prepare(const struct call *call, const struct request *request,
                   struct served_model **ret_model, struct prompts *prompts, struct fault *fault)
{
    struct served_model *model = prompt_find_model(call, request->model, fault);
    if (model == NULL || generation_admission(call, model, request, fault) < 0)
        return -1;
    *ret_model = model;
    uint32_t vocabulary = tokenizer_vocabulary(model_tokenizer(model->model));
    if (request_check_tokens(request, vocabulary, fault) < 0)
        return -1;
    for (uint32_t i = 0; i < request->prompt_count; i++)
        if (encode_prompt(model, request, i, prompts, fault) < 0)
            return -1;
    return 0;
}

static void destroy_prompts(struct prompts *prompts)
{
    for (uint32_t i = 0; i < REQUEST_PROMPTS_MAX; i++) {
        token_list_destroy(&prompts->tokens[i]);
        text_destroy(&prompts->echoes[i]);
    }
}

void completions_answer(struct call *call)
{
    size_t count;
    const char *body = exchange_body(call->exchange, &count);
    struct request request;
    struct fault fault;
    if (request_parse(REQUEST_COMPLETION, body, count, call->live->config->json_depth_max, &request,
                      &fault) < 0) {
        answer_fault(call, &fault, NULL);
        return;
    }
    struct prompts prompts = {0};
    struct served_model *model;
    if (prepare(call, &request, &model, &prompts, &fault) < 0)
        answer_fault(call, &fault, NULL);
    else
        generation_start(&(struct generation_plan){.call = call,
                                                   .model = model,
                                                   .shape = &shape_completion,
                                                   .request = &request,
                                                   .prompts = prompts.tokens,
                                                   .echoes = request.echo ? prompts.echoes : NULL,
                                                   .prompt_count = request.prompt_count,
                                                   .now_unix_us = clock_unix_us()});
    destroy_prompts(&prompts);
    request_destroy(&request);
}
