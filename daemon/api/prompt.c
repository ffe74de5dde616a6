/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/prompt.h"

#include "daemon/api/models.h"

#include <stdlib.h>
#include <string.h>

/* A prompt is counted up to this many contexts, so that its error can say how long it is. */
#define COUNTED_CONTEXTS 4u

struct served_model *prompt_find_model(const struct call *call, const char *id, struct fault *fault)
{
    struct served_model *model = models_find(call, id);
    if (model != NULL)
        return model;
    (void)models_not_found(call, id, fault);
    return NULL;
}

int prompt_encode(const struct served_model *model, const char *text, size_t bytes,
                  bool add_special, struct token_list *list, struct fault *fault)
{
    uint32_t context = engine_context(model->engine);
    struct encode_options options = {.add_special = add_special,
                                     .parse_special = true,
                                     .tokens_max = (size_t)context * COUNTED_CONTEXTS};
    struct error err = {0};
    int status = tokenizer_encode(model_tokenizer(model->model), text, bytes, &options, list, &err);
    if (status == 0)
        return 0;
    if (status != ERROR_INVALID)
        return fault_from_error(fault, &err);
    return fault_code(fault, 400, "context_length_exceeded",
                      "This model's context is %u tokens, and the prompt alone (%zu bytes) has "
                      "more than %zu; shorten it",
                      context, bytes, options.tokens_max);
}

/* A token's name as a C string, "" for none; the caller frees it. */
static char *token_name(const struct tokenizer *tokenizer, uint32_t token)
{
    if (token == TOKEN_NONE)
        return strdup("");
    size_t count;
    const char *piece = tokenizer_piece(tokenizer, token, &count);
    return strndup(piece, count);
}

static int render(const struct served_model *model, const struct request *request, int64_t now_unix,
                  struct text *out, struct fault *fault)
{
    const struct chat_template *chat_template = model_chat_template(model->model);
    if (chat_template == NULL)
        return fault_set(fault, 400, "messages",
                         "model '%s' cannot chat: %s; use /v1/completions with a prompt", model->id,
                         model_template_error(model->model));
    const struct tokenizer *tokenizer = model_tokenizer(model->model);
    char *bos = token_name(tokenizer, tokenizer_bos(tokenizer));
    char *eos = token_name(tokenizer, tokenizer_eos(tokenizer));
    int status = 0;
    struct error err = {0};
    if (bos == NULL || eos == NULL)
        status = error_no_memory(&err);
    if (status == 0)
        status = chat_template_render(
            chat_template,
            &(struct chat_template_input){.messages = request->messages,
                                          .tools = request->tools,
                                          .extra = request->template_variables,
                                          .bos_token = bos,
                                          .eos_token = eos,
                                          .add_generation_prompt = request->add_generation_prompt,
                                          .now_unix = now_unix},
            out, &err);
    free(bos);
    free(eos);
    if (status < 0) {
        (void)error_wrap(&err, "messages");
        return fault_from_error(fault, &err);
    }
    return 0;
}

int prompt_encode_chat(const struct served_model *model, const struct request *request,
                       int64_t now_unix, struct token_list *list, struct fault *fault)
{
    struct text text;
    text_init(&text);
    int status = render(model, request, now_unix, &text, fault);
    if (status == 0 && text.failed)
        status = fault_no_memory(fault);
    if (status == 0)
        status = prompt_encode(model, text_string(&text), text.count, request->add_special_tokens,
                               list, fault);
    text_destroy(&text);
    return status;
}

int prompt_copy_ids(const json_t *ids, struct token_list *list, struct fault *fault)
{
    size_t before = list->count;
    for (size_t i = 0; i < json_array_size(ids); i++) {
        if (!token_list_append(list, (uint32_t)json_integer_value(json_array_get(ids, i)))) {
            list->count = before;
            return fault_no_memory(fault);
        }
    }
    return 0;
}
