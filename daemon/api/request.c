/* SPDX-License-Identifier: Apache-2.0 */
/* request.c -- one table of parameters, and a reader for each that a table cannot say.
 *
 * A row names the parameter, the requests it belongs to, where its value goes, and its range. The
 * table is walked once a request and asks the body for each name, so that unknown names cost
 * nothing and are ignored. Rows whose value is not a plain number, boolean or string carry a
 * function. What depends on several parameters at once is checked last, in check_together(). */
#include "daemon/api/request.h"

#include "daemon/api/body.h"
#include "daemon/api/messages.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum field_kind { FIELD_BOOL, FIELD_FLOAT, FIELD_U32, FIELD_STRING, FIELD_OWN };

struct field {
    const char *name;
    unsigned kinds; /* enum request_kind, or'ed */
    enum field_kind kind;
    size_t offset; /* in struct request; unused with FIELD_OWN */
    double least, most;
    int (*read)(struct request *request, const char *name, json_t *value, struct fault *fault);
};

static int wrong_type(struct fault *fault, const char *name, const char *wanted,
                      const json_t *value)
{
    return fault_set(fault, 400, name, "%s must be %s, not %s", name, wanted,
                     body_type_name(value));
}

/* -- Readers of single parameters -- */

static int read_refused(struct request *request, const char *name, json_t *value,
                        struct fault *fault)
{
    (void)request;
    bool harmless = json_is_false(value) ||
                    (json_is_string(value) && json_string_length(value) == 0) ||
                    (json_is_array(value) && json_array_size(value) == 0);
    if (harmless)
        return 0;
    return fault_set(fault, 400, name, "%s is not supported by this server; leave it out", name);
}

/* 0 < value <= 1, and 0 < value <= 100: an open end, which the table cannot say. */
static int read_positive(float *ret, double most, const char *name, json_t *value,
                         struct fault *fault)
{
    if (!json_is_number(value))
        return wrong_type(fault, name, "a number", value);
    double number = json_number_value(value);
    if (!(number > 0 && number <= most && (float)number > 0))
        return fault_set(fault, 400, name, "%s is %g; it must be above 0 and at most %g", name,
                         number, most);
    *ret = (float)number;
    return 0;
}

static int read_top_p(struct request *request, const char *name, json_t *value, struct fault *fault)
{
    return read_positive(&request->sampling.top_p, 1, name, value, fault);
}

static int read_repetition_penalty(struct request *request, const char *name, json_t *value,
                                   struct fault *fault)
{
    return read_positive(&request->sampling.repetition_penalty, 100, name, value, fault);
}

static int read_top_k(struct request *request, const char *name, json_t *value, struct fault *fault)
{
    if (!json_is_integer(value))
        return wrong_type(fault, name, "an integer", value);
    json_int_t number = json_integer_value(value);
    if (number < -1 || number > INT32_MAX)
        return fault_set(fault, 400, name, "%s is %lld; it must be in -1..%d (-1 and 0: off)", name,
                         (long long)number, INT32_MAX);
    request->sampling.top_k = number < 0 ? 0 : (uint32_t)number;
    return 0;
}

static int read_seed(struct request *request, const char *name, json_t *value, struct fault *fault)
{
    if (!json_is_integer(value))
        return wrong_type(fault, name, "an integer", value);
    request->sampling.seed = (uint64_t)json_integer_value(value);
    request->has_seed = true;
    return 0;
}

static int add_stop(struct request *request, const char *name, const json_t *value,
                    struct fault *fault)
{
    if (!json_is_string(value))
        return wrong_type(fault, name, "a string or an array of strings", value);
    size_t count = json_string_length(value);
    if (count == 0 || count > STOP_BYTES_MAX)
        return fault_set(fault, 400, name, "a string of %s has %zu bytes; it must have 1..%u", name,
                         count, STOP_BYTES_MAX);
    if (request->stop_count == STOP_STRINGS_MAX)
        return fault_set(fault, 400, name, "%s has more than %u strings", name, STOP_STRINGS_MAX);
    request->stops[request->stop_count++] =
        (struct stop_string){.bytes = json_string_value(value), .count = count};
    return 0;
}

static int read_stop(struct request *request, const char *name, json_t *value, struct fault *fault)
{
    if (!json_is_array(value))
        return add_stop(request, name, value, fault);
    for (size_t i = 0; i < json_array_size(value); i++)
        if (add_stop(request, name, json_array_get(value, i), fault) < 0)
            return -1;
    return 0;
}

static bool is_token(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 0 &&
           json_integer_value(value) < UINT32_MAX;
}

static int check_ids(const json_t *ids, const char *name, struct fault *fault)
{
    for (size_t i = 0; i < json_array_size(ids); i++)
        if (!is_token(json_array_get(ids, i)))
            return fault_set(fault, 400, name, "%s: element %zu is not a token id", name, i);
    return 0;
}

static int read_stop_tokens(struct request *request, const char *name, json_t *value,
                            struct fault *fault)
{
    if (!json_is_array(value))
        return wrong_type(fault, name, "an array of token ids", value);
    size_t count = json_array_size(value);
    if (count > ENGINE_STOP_TOKENS_MAX)
        return fault_set(fault, 400, name, "%s has %zu ids; at most %u are taken", name, count,
                         ENGINE_STOP_TOKENS_MAX);
    if (check_ids(value, name, fault) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        request->stop_tokens[i] = (uint32_t)json_integer_value(json_array_get(value, i));
    request->stop_token_count = (uint32_t)count;
    return 0;
}

/* The key of logit_bias is a token id in decimal digits. */
static bool parse_token_key(const char *key, uint32_t *ret)
{
    uint64_t number = 0;
    size_t i = 0;
    for (; key[i] >= '0' && key[i] <= '9' && i < 10; i++)
        number = number * 10 + (uint64_t)(key[i] - '0');
    if (i == 0 || key[i] != '\0' || number >= UINT32_MAX)
        return false;
    *ret = (uint32_t)number;
    return true;
}

static int read_logit_bias(struct request *request, const char *name, json_t *value,
                           struct fault *fault)
{
    if (!json_is_object(value))
        return wrong_type(fault, name, "an object of token ids and numbers", value);
    size_t count = json_object_size(value);
    if (count == 0)
        return 0;
    if (count > SAMPLING_LOGIT_BIAS_MAX)
        return fault_set(fault, 400, name, "%s has %zu entries; at most %u are taken", name, count,
                         SAMPLING_LOGIT_BIAS_MAX);
    struct logit_bias *bias = calloc(count, sizeof *bias);
    if (bias == NULL)
        return fault_no_memory(fault);
    request->sampling.bias = bias;
    request->sampling.bias_count = (uint32_t)count;
    const char *key;
    json_t *number;
    size_t i = 0;
    json_object_foreach(value, key, number)
    {
        if (!parse_token_key(key, &bias[i].token))
            return fault_set(fault, 400, name, "%s: '%.40s' is not a token id", name, key);
        if (!json_is_number(number) || !(fabs(json_number_value(number)) <= 100))
            return fault_set(fault, 400, name,
                             "%s: the bias of token %s must be a number in "
                             "-100..100",
                             name, key);
        bias[i++].bias = (float)json_number_value(number);
    }
    return 0;
}

static int read_chat_logprobs(struct request *request, const char *name, json_t *value,
                              struct fault *fault)
{
    if (!json_is_boolean(value))
        return wrong_type(fault, name, "a boolean", value);
    request->sampling.logprobs = json_is_true(value);
    return 0;
}

static int read_completion_logprobs(struct request *request, const char *name, json_t *value,
                                    struct fault *fault)
{
    if (!json_is_integer(value))
        return wrong_type(fault, name, "an integer", value);
    json_int_t count = json_integer_value(value);
    if (count < 0 || count > SAMPLING_TOP_LOGPROBS_MAX)
        return fault_set(fault, 400, name, "%s is %lld; it must be in 0..%u", name,
                         (long long)count, SAMPLING_TOP_LOGPROBS_MAX);
    request->sampling.logprobs = true;
    request->sampling.top_logprobs = (uint32_t)count;
    return 0;
}

static int read_flag(const json_t *object, const char *name, const char *key, bool *ret,
                     struct fault *fault)
{
    const json_t *value = json_object_get(object, key);
    if (value == NULL || json_is_null(value))
        return 0;
    if (!json_is_boolean(value))
        return fault_set(fault, 400, name, "%s.%s must be a boolean, not %s", name, key,
                         body_type_name(value));
    *ret = json_is_true(value);
    return 0;
}

static int read_stream_options(struct request *request, const char *name, json_t *value,
                               struct fault *fault)
{
    if (!json_is_object(value))
        return wrong_type(fault, name, "an object", value);
    if (read_flag(value, name, "include_usage", &request->include_usage, fault) < 0)
        return -1;
    return read_flag(value, name, "continuous_usage_stats", &request->continuous_usage, fault);
}

static int read_metadata(struct request *request, const char *name, json_t *value,
                         struct fault *fault)
{
    if (!json_is_object(value))
        return wrong_type(fault, name, "an object", value);
    const json_t *user = json_object_get(value, "user_id");
    if (user == NULL || json_is_null(user))
        return 0;
    size_t bytes = json_string_length(user);
    if (!json_is_string(user) || bytes > REQUEST_STRING_BYTES_MAX ||
        strlen(json_string_value(user)) != bytes)
        return fault_set(fault, 400, "metadata.user_id",
                         "metadata.user_id must be a string of at most %u bytes, without NUL",
                         REQUEST_STRING_BYTES_MAX);
    request->metadata_user_id = json_string_value(user);
    return 0;
}

static int read_response_format(struct request *request, const char *name, json_t *value,
                                struct fault *fault)
{
    (void)request;
    if (!json_is_object(value))
        return wrong_type(fault, name, "an object", value);
    const char *type = json_string_value(json_object_get(value, "type"));
    if (type == NULL)
        return fault_set(fault, 400, name, "%s.type must be a string", name);
    if (strcmp(type, "text") != 0)
        return fault_set(fault, 400, name,
                         "%s.type '%.40s' is not supported by this server; only 'text' is", name,
                         type);
    return 0;
}

static int read_tools(struct request *request, const char *name, json_t *value, struct fault *fault)
{
    if (!json_is_array(value))
        return wrong_type(fault, name, "an array", value);
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!json_is_object(json_array_get(value, i)))
            return fault_set(fault, 400, name, "%s[%zu] must be an object", name, i);
    request->tools = json_array_size(value) > 0 ? value : NULL;
    return 0;
}

static int read_tool_choice(struct request *request, const char *name, json_t *value,
                            struct fault *fault)
{
    (void)request;
    const char *choice = json_string_value(value);
    if (choice != NULL && (strcmp(choice, "none") == 0 || strcmp(choice, "auto") == 0))
        return 0;
    return fault_set(fault, 400, name,
                     "%s must be \"none\" or \"auto\"; this server cannot force a tool call", name);
}

static int read_template_variables(struct request *request, const char *name, json_t *value,
                                   struct fault *fault)
{
    if (!json_is_object(value))
        return wrong_type(fault, name, "an object", value);
    request->template_variables = value;
    return 0;
}

static int read_messages(struct request *request, const char *name, json_t *value,
                         struct fault *fault)
{
    (void)name;
    request->messages = value;
    return messages_normalize(value, request->depth_max, fault);
}

static int read_best_of(struct request *request, const char *name, json_t *value,
                        struct fault *fault)
{
    if (!json_is_integer(value) || json_integer_value(value) != (json_int_t)request->choices)
        return fault_set(fault, 400, name, "%s is supported only equal to n (%u)", name,
                         request->choices);
    return 0;
}

static int add_prompt(struct request *request, const char *name, json_t *value, struct fault *fault)
{
    struct request_prompt prompt = {0};
    if (json_is_string(value)) {
        prompt.text = json_string_value(value);
        prompt.bytes = json_string_length(value);
    } else if (json_is_array(value)) {
        if (check_ids(value, name, fault) < 0)
            return -1;
        prompt.ids = value;
    } else {
        return wrong_type(fault, name,
                          "a string, an array of strings, of token ids, or of arrays of token ids",
                          value);
    }
    if (request->prompt_count == REQUEST_PROMPTS_MAX)
        return fault_set(fault, 400, name,
                         "%s has more than %u prompts; send them in several "
                         "requests",
                         name, REQUEST_PROMPTS_MAX);
    request->prompts[request->prompt_count++] = prompt;
    return 0;
}

static int read_prompt(struct request *request, const char *name, json_t *value,
                       struct fault *fault)
{
    bool is_list = json_is_array(value) && !json_is_integer(json_array_get(value, 0));
    if (!is_list)
        return add_prompt(request, name, value, fault);
    if (json_array_size(value) == 0)
        return fault_set(fault, 400, name, "%s is empty", name);
    bool of_strings = json_is_string(json_array_get(value, 0));
    for (size_t i = 0; i < json_array_size(value); i++) {
        json_t *element = json_array_get(value, i);
        if (json_is_string(element) != of_strings)
            return fault_set(fault, 400, name, "%s mixes kinds: element %zu is %s", name, i,
                             body_type_name(element));
        if (add_prompt(request, name, element, fault) < 0)
            return -1;
    }
    return 0;
}

static int read_tokens(struct request *request, const char *name, json_t *value,
                       struct fault *fault)
{
    if (!json_is_array(value))
        return wrong_type(fault, name, "an array of token ids", value);
    request->tokens = value;
    return check_ids(value, name, fault);
}

/* -- The table -- */

#define CHAT     REQUEST_CHAT
#define COMPLETE REQUEST_COMPLETION
#define GENERATE (REQUEST_CHAT | REQUEST_COMPLETION)
#define TOKENIZE REQUEST_TOKENIZE
#define TEMPLATE (REQUEST_CHAT | REQUEST_TOKENIZE)
#define EVERY    (GENERATE | REQUEST_TOKENIZE | REQUEST_DETOKENIZE)
#define AT(m)    offsetof(struct request, m)

static const struct field fields[] = {
    {"model", EVERY, FIELD_STRING, AT(model), 0, 0, NULL},
    {"messages", TEMPLATE, FIELD_OWN, 0, 0, 0, read_messages},
    {"prompt", COMPLETE | TOKENIZE, FIELD_OWN, 0, 0, 0, read_prompt},
    {"tokens", REQUEST_DETOKENIZE, FIELD_OWN, 0, 0, 0, read_tokens},
    {"tools", TEMPLATE, FIELD_OWN, 0, 0, 0, read_tools},
    {"tool_choice", CHAT, FIELD_OWN, 0, 0, 0, read_tool_choice},
    {"chat_template_kwargs", TEMPLATE, FIELD_OWN, 0, 0, 0, read_template_variables},
    {"add_generation_prompt", TEMPLATE, FIELD_BOOL, AT(add_generation_prompt), 0, 0, NULL},
    {"add_special_tokens", GENERATE | TOKENIZE, FIELD_BOOL, AT(add_special_tokens), 0, 0, NULL},
    {"return_token_strs", TOKENIZE, FIELD_BOOL, AT(return_token_strings), 0, 0, NULL},
    {"stream", GENERATE, FIELD_BOOL, AT(stream), 0, 0, NULL},
    {"stream_options", GENERATE, FIELD_OWN, 0, 0, 0, read_stream_options},
    {"temperature", GENERATE, FIELD_FLOAT, AT(sampling.temperature), 0, 2, NULL},
    {"top_p", GENERATE, FIELD_OWN, 0, 0, 0, read_top_p},
    {"top_k", GENERATE, FIELD_OWN, 0, 0, 0, read_top_k},
    {"min_p", GENERATE, FIELD_FLOAT, AT(sampling.min_p), 0, 1, NULL},
    {"frequency_penalty", GENERATE, FIELD_FLOAT, AT(sampling.frequency_penalty), -2, 2, NULL},
    {"presence_penalty", GENERATE, FIELD_FLOAT, AT(sampling.presence_penalty), -2, 2, NULL},
    {"repetition_penalty", GENERATE, FIELD_OWN, 0, 0, 0, read_repetition_penalty},
    {"logit_bias", GENERATE, FIELD_OWN, 0, 0, 0, read_logit_bias},
    {"seed", GENERATE, FIELD_OWN, 0, 0, 0, read_seed},
    {"n", GENERATE, FIELD_U32, AT(choices), 1, ENGINE_CHOICES_MAX, NULL},
    {"best_of", COMPLETE, FIELD_OWN, 0, 0, 0, read_best_of}, /* after n */
    {"max_tokens", CHAT, FIELD_U32, AT(max_tokens), 1, INT32_MAX, NULL},
    {"max_tokens", COMPLETE, FIELD_U32, AT(max_tokens), 0, INT32_MAX, NULL},
    {"max_completion_tokens", GENERATE, FIELD_U32, AT(max_tokens), 1, INT32_MAX, NULL},
    {"min_tokens", GENERATE, FIELD_U32, AT(min_tokens), 0, INT32_MAX, NULL},
    {"ignore_eos", GENERATE, FIELD_BOOL, AT(ignore_eos), 0, 0, NULL},
    {"stop", GENERATE, FIELD_OWN, 0, 0, 0, read_stop},
    {"stop_token_ids", GENERATE, FIELD_OWN, 0, 0, 0, read_stop_tokens},
    {"include_stop_str_in_output", GENERATE, FIELD_BOOL, AT(include_stop_text), 0, 0, NULL},
    {"skip_special_tokens", GENERATE, FIELD_BOOL, AT(skip_special_tokens), 0, 0, NULL},
    {"logprobs", CHAT, FIELD_OWN, 0, 0, 0, read_chat_logprobs},
    {"top_logprobs", CHAT, FIELD_U32, AT(sampling.top_logprobs), 0, SAMPLING_TOP_LOGPROBS_MAX,
     NULL},
    {"logprobs", COMPLETE, FIELD_OWN, 0, 0, 0, read_completion_logprobs},
    {"echo", COMPLETE, FIELD_BOOL, AT(echo), 0, 0, NULL},
    {"user", GENERATE, FIELD_STRING, AT(user), 0, 0, NULL},
    {"safety_identifier", GENERATE, FIELD_STRING, AT(safety_identifier), 0, 0, NULL},
    {"metadata", GENERATE, FIELD_OWN, 0, 0, 0, read_metadata},
    {"priority", GENERATE, FIELD_U32, AT(priority), 0, INT32_MAX, NULL}, /* only ever later */
    {"cache_salt", GENERATE, FIELD_STRING, AT(cache_salt), 0, 0, NULL},
    {"response_format", GENERATE, FIELD_OWN, 0, 0, 0, read_response_format},
    /* These would change the answer; ignoring them would be a lie. */
    {"echo", CHAT, FIELD_OWN, 0, 0, 0, read_refused},
    {"continue_final_message", TEMPLATE, FIELD_OWN, 0, 0, 0, read_refused},
    {"chat_template", TEMPLATE, FIELD_OWN, 0, 0, 0, read_refused},
    {"functions", CHAT, FIELD_OWN, 0, 0, 0, read_refused},
    {"audio", CHAT, FIELD_OWN, 0, 0, 0, read_refused},
    {"suffix", COMPLETE, FIELD_OWN, 0, 0, 0, read_refused},
    {"prompt_embeds", COMPLETE, FIELD_OWN, 0, 0, 0, read_refused},
    {"prompt_logprobs", GENERATE, FIELD_OWN, 0, 0, 0, read_refused},
    {"use_beam_search", GENERATE, FIELD_OWN, 0, 0, 0, read_refused},
    {"truncate_prompt_tokens", GENERATE, FIELD_OWN, 0, 0, 0, read_refused},
    {"allowed_token_ids", GENERATE, FIELD_OWN, 0, 0, 0, read_refused},
    {"bad_words", GENERATE, FIELD_OWN, 0, 0, 0, read_refused},
    {"structured_outputs", GENERATE, FIELD_OWN, 0, 0, 0, read_refused},
    {"guided_json", GENERATE, FIELD_OWN, 0, 0, 0, read_refused},
    {"guided_regex", GENERATE, FIELD_OWN, 0, 0, 0, read_refused},
    {"guided_choice", GENERATE, FIELD_OWN, 0, 0, 0, read_refused},
    {"guided_grammar", GENERATE, FIELD_OWN, 0, 0, 0, read_refused},
};

static int read_integer(const struct field *field, const json_t *value, json_int_t *ret,
                        struct fault *fault)
{
    if (!json_is_integer(value))
        return wrong_type(fault, field->name, "an integer", value);
    json_int_t number = json_integer_value(value);
    if (number < (json_int_t)field->least || number > (json_int_t)field->most)
        return fault_set(fault, 400, field->name, "%s is %lld; it must be in %.0f..%.0f",
                         field->name, (long long)number, field->least, field->most);
    *ret = number;
    return 0;
}

static int read_float(const struct field *field, const json_t *value, float *ret,
                      struct fault *fault)
{
    if (!json_is_number(value))
        return wrong_type(fault, field->name, "a number", value);
    double number = json_number_value(value);
    if (!(number >= field->least && number <= field->most))
        return fault_set(fault, 400, field->name, "%s is %g; it must be in %g..%g", field->name,
                         number, field->least, field->most);
    *ret = (float)number;
    return 0;
}

static int read_string(const struct field *field, const json_t *value, const char **ret,
                       struct fault *fault)
{
    if (!json_is_string(value))
        return wrong_type(fault, field->name, "a string", value);
    size_t bytes = json_string_length(value);
    if (bytes > REQUEST_STRING_BYTES_MAX || strlen(json_string_value(value)) != bytes)
        return fault_set(fault, 400, field->name, "%s must have at most %u bytes and no NUL",
                         field->name, REQUEST_STRING_BYTES_MAX);
    *ret = json_string_value(value);
    return 0;
}

static int read_field(const struct field *field, json_t *value, struct request *request,
                      struct fault *fault)
{
    char *target = (char *)request + field->offset;
    json_int_t number = 0;
    switch (field->kind) {
    case FIELD_BOOL:
        if (!json_is_boolean(value))
            return wrong_type(fault, field->name, "a boolean", value);
        *(bool *)(void *)target = json_is_true(value);
        return 0;
    case FIELD_FLOAT:
        return read_float(field, value, (float *)(void *)target, fault);
    case FIELD_U32:
        if (read_integer(field, value, &number, fault) < 0)
            return -1;
        *(uint32_t *)(void *)target = (uint32_t)number;
        return 0;
    case FIELD_STRING:
        return read_string(field, value, (const char **)(void *)target, fault);
    default:
        return field->read(request, field->name, value, fault);
    }
}

static int check_together(struct request *request, struct fault *fault)
{
    const struct sampling *sampling = &request->sampling;
    if (request->kind == REQUEST_CHAT && request->messages == NULL)
        return fault_set(fault, 400, "messages", "messages is missing");
    if (request->kind == REQUEST_COMPLETION && request->prompt_count == 0)
        return fault_set(fault, 400, "prompt", "prompt is missing");
    if (request->kind == REQUEST_DETOKENIZE && request->tokens == NULL)
        return fault_set(fault, 400, "tokens", "tokens is missing");
    if (request->kind == REQUEST_TOKENIZE &&
        (request->messages != NULL) == (request->prompt_count == 1))
        return fault_set(fault, 400, "prompt", "exactly one prompt, or messages, is needed");
    if (request->kind == REQUEST_TOKENIZE && request->prompt_count == 1 &&
        request->prompts[0].text == NULL)
        return fault_set(fault, 400, "prompt", "prompt must be a string");
    if (sampling->top_logprobs > 0 && !sampling->logprobs)
        return fault_set(fault, 400, "top_logprobs", "top_logprobs needs logprobs to be true");
    if (request->max_tokens == 0 && !request->echo)
        return fault_set(fault, 400, "max_tokens", "max_tokens 0 is taken only with echo");
    if (request->max_tokens != 0 && request->min_tokens > request->max_tokens)
        return fault_set(fault, 400, "min_tokens", "min_tokens is %u, above max_tokens, %u",
                         request->min_tokens, request->max_tokens);
    if ((request->include_usage || request->continuous_usage) && !request->stream)
        return fault_set(fault, 400, "stream_options", "stream_options is for stream: true only");
    const char *choice = json_string_value(json_object_get(request->body, "tool_choice"));
    if (choice != NULL && strcmp(choice, "none") == 0)
        request->tools = NULL; /* the model is not to know of tools it must not call */
    return 0;
}

static void set_defaults(struct request *request, enum request_kind kind, json_t *body)
{
    memset(request, 0, sizeof *request);
    request->kind = kind;
    request->body = body;
    request->model = "";
    request->add_generation_prompt = true;
    /* a chat template writes the special tokens itself */
    request->add_special_tokens = kind == REQUEST_COMPLETION || kind == REQUEST_TOKENIZE;
    request->skip_special_tokens = true;
    request->choices = 1;
    request->max_tokens = UINT32_MAX;
    request->sampling.temperature = 1;
    request->sampling.top_p = 1;
    request->sampling.repetition_penalty = 1;
}

int request_parse(enum request_kind kind, const char *body, size_t count, uint32_t depth_max,
                  struct request *ret, struct fault *fault)
{
    memset(ret, 0, sizeof *ret);
    json_t *object;
    if (body_parse(body, count, depth_max, &object, fault) < 0)
        return -1;
    set_defaults(ret, kind, object);
    ret->depth_max = depth_max;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if ((fields[i].kinds & (unsigned)kind) == 0)
            continue;
        json_t *value = json_object_get(object, fields[i].name);
        if (value == NULL || json_is_null(value))
            continue;
        if (read_field(&fields[i], value, ret, fault) < 0)
            goto fail;
    }
    if (check_together(ret, fault) < 0)
        goto fail;
    return 0;
fail:
    request_destroy(ret);
    return -1;
}

static int check_token(uint64_t token, uint32_t vocabulary, const char *param, struct fault *fault)
{
    if (token < vocabulary)
        return 0;
    return fault_set(fault, 400, param, "%s: token %llu is not in the vocabulary of %u tokens",
                     param, (unsigned long long)token, vocabulary);
}

static int check_id_array(const json_t *ids, uint32_t vocabulary, const char *param,
                          struct fault *fault)
{
    for (size_t i = 0; i < json_array_size(ids); i++) {
        json_int_t token = json_integer_value(json_array_get(ids, i));
        if (check_token((uint64_t)token, vocabulary, param, fault) < 0)
            return -1;
    }
    return 0;
}

int request_check_tokens(const struct request *request, uint32_t vocabulary, struct fault *fault)
{
    for (uint32_t i = 0; i < request->sampling.bias_count; i++)
        if (check_token(request->sampling.bias[i].token, vocabulary, "logit_bias", fault) < 0)
            return -1;
    for (uint32_t i = 0; i < request->stop_token_count; i++)
        if (check_token(request->stop_tokens[i], vocabulary, "stop_token_ids", fault) < 0)
            return -1;
    for (uint32_t i = 0; i < request->prompt_count; i++)
        if (check_id_array(request->prompts[i].ids, vocabulary, "prompt", fault) < 0)
            return -1;
    return check_id_array(request->tokens, vocabulary, "tokens", fault);
}

void request_destroy(struct request *request)
{
    free(request->sampling.bias);
    json_decref(request->body);
    memset(request, 0, sizeof *request);
}
