/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/answer.h"
#include "daemon/api/generation.h"
#include "daemon/api/handlers.h"
#include "daemon/api/prompt.h"
#include "daemon/api/request.h"

#include "base/clock.h"

/* Everything that can be wrong with a chat, in the order of what it costs to find out. */
static int prepare(const struct call *call, const struct request *request, int64_t now_unix_us,
                   struct served_model **ret_model, struct token_list *prompt, struct fault *fault)
{
    struct served_model *model = prompt_find_model(call, request->model, fault);
    if (model == NULL || generation_admission(call, model, request, fault) < 0)
        return -1;
    *ret_model = model;
    uint32_t vocabulary = tokenizer_vocabulary(model_tokenizer(model->model));
    if (request_check_tokens(request, vocabulary, fault) < 0)
        return -1;
    return prompt_encode_chat(model, request, now_unix_us / 1000000, prompt, fault);
}

void chat_answer(struct call *call)
{
    size_t count;
    const char *body = exchange_body(call->exchange, &count);
    struct request request;
    struct fault fault;
    if (request_parse(REQUEST_CHAT, body, count, call->live->config->json_depth_max, &request,
                      &fault) < 0) {
        answer_fault(call, &fault, NULL);
        return;
    }
    struct token_list prompt = {0};
    struct served_model *model;
    int64_t now_unix_us = clock_unix_us();
    if (prepare(call, &request, now_unix_us, &model, &prompt, &fault) < 0)
        answer_fault(call, &fault, NULL);
    else
        generation_start(&(struct generation_plan){.call = call,
                                                   .model = model,
                                                   .shape = &shape_chat,
                                                   .request = &request,
                                                   .prompts = &prompt,
                                                   .prompt_count = 1,
                                                   .now_unix_us = now_unix_us});
    token_list_destroy(&prompt);
    request_destroy(&request);
}
