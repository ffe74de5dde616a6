/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/body.h"
#include "daemon/api/request.h"

#define CHAT_OF(rest) "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]" rest "}"
#define TEXT_OF(rest) "{\"prompt\":\"hi\"" rest "}"

static struct request parsed(enum request_kind kind, const char *json)
{
    struct request request;
    struct fault fault = {0};
    if (request_parse(kind, json, strlen(json), BODY_DEPTH_DEFAULT, &request, &fault) < 0)
        fail_msg("%s: %s", json, fault.message);
    return request;
}

static void expect_fault(enum request_kind kind, const char *json, const char *param,
                         const char *part_of_message)
{
    struct request request;
    struct fault fault = {0};
    if (request_parse(kind, json, strlen(json), BODY_DEPTH_DEFAULT, &request, &fault) == 0)
        fail_msg("taken: %s", json);
    assert_int_equal(fault.status, 400);
    if (strcmp(fault.param, param) != 0)
        fail_msg("%s: param is '%s', not '%s'", json, fault.param, param);
    if (strstr(fault.message, part_of_message) == NULL)
        fail_msg("%s: '%s' says nothing of '%s'", json, fault.message, part_of_message);
    assert_null(request.body);
}

static void absent_and_null_parameters_have_defaults(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        CHAT_OF(""), CHAT_OF(",\"temperature\":null,\"n\":null,\"stop\":null,\"max_tokens\":null,"
                             "\"stream\":null,\"logit_bias\":null,\"user\":null,\"tools\":null")};
    for (size_t i = 0; i < 2; i++) {
        struct request request = parsed(REQUEST_CHAT, bodies[i]);
        assert_string_equal(request.model, "");
        assert_true(request.sampling.temperature == 1);
        assert_true(request.sampling.top_p == 1);
        assert_true(request.sampling.repetition_penalty == 1);
        assert_int_equal(request.sampling.top_k, 0);
        assert_int_equal(request.choices, 1);
        assert_int_equal(request.max_tokens, UINT32_MAX);
        assert_true(request.add_generation_prompt);
        assert_true(request.skip_special_tokens);
        assert_false(request.add_special_tokens);
        assert_false(request.has_seed);
        assert_false(request.stream);
        assert_null(request.user);
        request_destroy(&request);
    }
}

static void every_known_parameter_arrives(void **state)
{
    (void)state;
    struct request request = parsed(
        REQUEST_CHAT,
        CHAT_OF(",\"model\":\"m\",\"temperature\":0.5,\"top_p\":0.9,\"top_k\":40,\"min_p\":0.05,"
                "\"n\":3,\"seed\":-1,\"stop\":[\"a\",\"b\\u0000c\"],\"stop_token_ids\":[7,8],"
                "\"max_tokens\":5,\"max_completion_tokens\":9,\"min_tokens\":2,"
                "\"ignore_eos\":true,\"frequency_penalty\":-2,\"presence_penalty\":2,"
                "\"repetition_penalty\":1.1,\"logit_bias\":{\"50\":-100,\"7\":1.5},"
                "\"logprobs\":true,\"top_logprobs\":20,\"user\":\"u\","
                "\"safety_identifier\":\"s\",\"metadata\":{\"user_id\":\"m\",\"x\":\"y\"},"
                "\"priority\":3,\"cache_salt\":\"c\",\"stream\":true,"
                "\"stream_options\":{\"include_usage\":true,\"continuous_usage_stats\":true},"
                "\"response_format\":{\"type\":\"text\"},\"tools\":[{}],\"tool_choice\":\"auto\","
                "\"include_stop_str_in_output\":true,\"skip_special_tokens\":false,"
                "\"add_generation_prompt\":false,\"chat_template_kwargs\":{\"k\":1},"
                "\"store\":true,\"nobody_knows\":{\"this\":1}"));
    assert_string_equal(request.model, "m");
    assert_int_equal(request.sampling.top_k, 40);
    assert_int_equal(request.choices, 3);
    assert_true(request.has_seed);
    assert_true(request.sampling.seed == UINT64_MAX);
    assert_int_equal(request.stop_count, 2);
    assert_int_equal(request.stops[1].count, 3);
    assert_int_equal(request.stop_token_count, 2);
    assert_int_equal(request.stop_tokens[1], 8);
    assert_int_equal(request.max_tokens, 9);
    assert_int_equal(request.min_tokens, 2);
    assert_true(request.ignore_eos);
    assert_true(request.sampling.frequency_penalty == -2);
    assert_int_equal(request.sampling.bias_count, 2);
    assert_true(request.sampling.logprobs);
    assert_int_equal(request.sampling.top_logprobs, 20);
    assert_string_equal(request.metadata_user_id, "m");
    assert_int_equal(request.priority, 3);
    assert_true(request.stream && request.include_usage && request.continuous_usage);
    assert_non_null(request.tools);
    assert_non_null(request.template_variables);
    assert_false(request.add_generation_prompt || request.skip_special_tokens);
    request_destroy(&request);
}

/* Each parameter with a value of every other type: all are refused by name. */
static void a_wrong_type_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const values[] = {"true", "1", "1.5", "\"x\"", "[true]", "{\"k\":true}"};
    enum { BOOL = 1, INT = 2, REAL = 4, STRING = 8, ARRAY = 16, OBJECT = 32 };
    static const struct {
        const char *name;
        unsigned kinds, takes;
    } rows[] = {
        {"model", REQUEST_CHAT | REQUEST_COMPLETION, STRING},
        {"stream", REQUEST_CHAT | REQUEST_COMPLETION, BOOL},
        {"temperature", REQUEST_CHAT | REQUEST_COMPLETION, INT | REAL},
        {"top_p", REQUEST_CHAT | REQUEST_COMPLETION, INT | REAL},
        {"top_k", REQUEST_CHAT | REQUEST_COMPLETION, INT},
        {"min_p", REQUEST_CHAT | REQUEST_COMPLETION, INT | REAL},
        {"n", REQUEST_CHAT | REQUEST_COMPLETION, INT},
        {"seed", REQUEST_CHAT | REQUEST_COMPLETION, INT},
        {"stop", REQUEST_CHAT | REQUEST_COMPLETION, STRING},
        {"stop_token_ids", REQUEST_CHAT | REQUEST_COMPLETION, 0},
        {"max_tokens", REQUEST_CHAT | REQUEST_COMPLETION, INT},
        {"max_completion_tokens", REQUEST_CHAT, INT},
        {"min_tokens", REQUEST_CHAT | REQUEST_COMPLETION, INT},
        {"ignore_eos", REQUEST_CHAT | REQUEST_COMPLETION, BOOL},
        {"frequency_penalty", REQUEST_CHAT | REQUEST_COMPLETION, INT | REAL},
        {"presence_penalty", REQUEST_CHAT | REQUEST_COMPLETION, INT | REAL},
        {"repetition_penalty", REQUEST_CHAT | REQUEST_COMPLETION, INT | REAL},
        {"logit_bias", REQUEST_CHAT | REQUEST_COMPLETION, 0},
        {"logprobs", REQUEST_CHAT, BOOL},
        {"logprobs", REQUEST_COMPLETION, INT},
        {"user", REQUEST_CHAT | REQUEST_COMPLETION, STRING},
        {"safety_identifier", REQUEST_CHAT, STRING},
        {"metadata", REQUEST_CHAT | REQUEST_COMPLETION, OBJECT},
        {"priority", REQUEST_CHAT | REQUEST_COMPLETION, INT},
        {"cache_salt", REQUEST_CHAT | REQUEST_COMPLETION, STRING},
        {"echo", REQUEST_COMPLETION, BOOL},
        {"best_of", REQUEST_COMPLETION, INT},
        {"tools", REQUEST_CHAT, 0},
        {"tool_choice", REQUEST_CHAT, 0},
        {"response_format", REQUEST_CHAT, 0},
        {"chat_template_kwargs", REQUEST_CHAT, OBJECT},
        {"add_generation_prompt", REQUEST_CHAT, BOOL},
        {"skip_special_tokens", REQUEST_CHAT, BOOL},
        {"include_stop_str_in_output", REQUEST_CHAT, BOOL},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        for (unsigned v = 0; v < 6; v++) {
            bool taken = (rows[r].takes >> v & 1) != 0;
            for (unsigned kind = REQUEST_CHAT; kind <= REQUEST_COMPLETION; kind <<= 1) {
                char json[256];
                if ((rows[r].kinds & kind) == 0 || (taken && strcmp(values[v], "1.5") == 0))
                    continue;
                (void)snprintf(json, sizeof json, "%s,\"%s\":%s}",
                               kind == REQUEST_CHAT
                                   ? "{\"messages\":[{\"role\":\"user\",\"content\":\"\"}]"
                                   : "{\"prompt\":\"hi\"",
                               rows[r].name, values[v]);
                if (!taken) {
                    expect_fault(kind, json, rows[r].name, rows[r].name);
                } else {
                    struct request request = parsed(kind, json);
                    request_destroy(&request);
                }
            }
        }
    }
}

static void a_value_out_of_range_is_refused_with_the_range(void **state)
{
    (void)state;
    static const struct {
        const char *json, *param, *says;
    } rows[] = {
        {CHAT_OF(",\"temperature\":2.1"), "temperature", "0..2"},
        {CHAT_OF(",\"temperature\":-0.1"), "temperature", "0..2"},
        {CHAT_OF(",\"temperature\":1e400"), "", "line 1"},
        {CHAT_OF(",\"top_p\":0"), "top_p", "above 0"},
        {CHAT_OF(",\"top_p\":1e-300"), "top_p", "above 0"},
        {CHAT_OF(",\"top_p\":1.01"), "top_p", "at most 1"},
        {CHAT_OF(",\"top_k\":-2"), "top_k", "-1"},
        {CHAT_OF(",\"min_p\":1.5"), "min_p", "0..1"},
        {CHAT_OF(",\"n\":0"), "n", "1..16"},
        {CHAT_OF(",\"n\":17"), "n", "1..16"},
        {CHAT_OF(",\"n\":9000000000000000000"), "n", "1..16"},
        {CHAT_OF(",\"n\":-1"), "n", "1..16"},
        {CHAT_OF(",\"seed\":9223372036854775808"), "", "line 1"},
        {CHAT_OF(",\"max_tokens\":0"), "max_tokens", "1.."},
        {CHAT_OF(",\"max_tokens\":4294967296"), "max_tokens", "1.."},
        {CHAT_OF(",\"max_tokens\":3,\"min_tokens\":4"), "min_tokens", "above max_tokens"},
        {CHAT_OF(",\"frequency_penalty\":-2.5"), "frequency_penalty", "-2..2"},
        {CHAT_OF(",\"repetition_penalty\":0"), "repetition_penalty", "above 0"},
        {CHAT_OF(",\"stop\":\"\""), "stop", "1..1024"},
        {CHAT_OF(",\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\","
                 "\"12\",\"13\",\"14\",\"15\",\"16\",\"17\"]"),
         "stop", "more than 16"},
        {CHAT_OF(",\"stop_token_ids\":[-1]"), "stop_token_ids", "element 0"},
        {CHAT_OF(",\"stop_token_ids\":[1,4294967296]"), "stop_token_ids", "element 1"},
        {CHAT_OF(",\"logit_bias\":{\"5\":101}"), "logit_bias", "-100..100"},
        {CHAT_OF(",\"logit_bias\":{\"x\":1}"), "logit_bias", "'x'"},
        {CHAT_OF(",\"logit_bias\":{\"-5\":1}"), "logit_bias", "'-5'"},
        {CHAT_OF(",\"logit_bias\":{\"99999999999\":1}"), "logit_bias", "not a token"},
        {CHAT_OF(",\"logprobs\":true,\"top_logprobs\":21"), "top_logprobs", "0..20"},
        {CHAT_OF(",\"top_logprobs\":1"), "top_logprobs", "logprobs"},
        {CHAT_OF(",\"priority\":2147483648"), "priority", "0..2147483647"},
        {CHAT_OF(",\"priority\":-1"), "priority", "0..2147483647"},
        {CHAT_OF(",\"user\":\"a\\u0000b\""), "user", "NUL"},
        {CHAT_OF(",\"metadata\":{\"user_id\":5}"), "metadata.user_id", "string"},
        {CHAT_OF(",\"stream_options\":{\"include_usage\":true}"), "stream_options", "stream"},
        {CHAT_OF(",\"stream\":true,\"stream_options\":{\"include_usage\":1}"), "stream_options",
         "include_usage"},
        {CHAT_OF(",\"response_format\":{\"type\":\"json_object\"}"), "response_format",
         "json_object"},
        {CHAT_OF(",\"tool_choice\":\"required\""), "tool_choice", "auto"},
        {CHAT_OF(",\"tools\":[1]"), "tools", "tools[0]"},
        {CHAT_OF(",\"continue_final_message\":true"), "continue_final_message", "not supported"},
        {CHAT_OF(",\"chat_template\":\"x\""), "chat_template", "not supported"},
        {CHAT_OF(",\"functions\":[{}]"), "functions", "not supported"},
        {"{}", "messages", "missing"},
        {"{\"messages\":[]}", "messages", "empty"},
        {"{\"messages\":{}}", "messages", "array"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_fault(REQUEST_CHAT, rows[i].json, rows[i].param, rows[i].says);
    expect_fault(REQUEST_COMPLETION, TEXT_OF(",\"suffix\":\"x\""), "suffix", "not supported");
    expect_fault(REQUEST_COMPLETION, TEXT_OF(",\"n\":2,\"best_of\":3"), "best_of", "equal to n");
    expect_fault(REQUEST_COMPLETION, TEXT_OF(",\"logprobs\":21"), "logprobs", "0..20");
    expect_fault(REQUEST_COMPLETION, TEXT_OF(",\"max_tokens\":0"), "max_tokens", "echo");
    expect_fault(REQUEST_COMPLETION, "{}", "prompt", "missing");
    expect_fault(REQUEST_TOKENIZE, "{}", "prompt", "prompt");
    expect_fault(REQUEST_DETOKENIZE, "{}", "tokens", "missing");
    expect_fault(REQUEST_DETOKENIZE, "{\"tokens\":[1,\"2\"]}", "tokens", "element 1");
}

static void a_prompt_may_be_text_or_ids_or_several(void **state)
{
    (void)state;
    struct request request = parsed(REQUEST_COMPLETION, TEXT_OF(""));
    assert_int_equal(request.prompt_count, 1);
    assert_string_equal(request.prompts[0].text, "hi");
    assert_true(request.add_special_tokens);
    request_destroy(&request);
    request = parsed(REQUEST_COMPLETION, "{\"prompt\":[\"a\",\"b\"]}");
    assert_int_equal(request.prompt_count, 2);
    assert_string_equal(request.prompts[1].text, "b");
    request_destroy(&request);
    request = parsed(REQUEST_COMPLETION, "{\"prompt\":[1,2,3]}");
    assert_int_equal(request.prompt_count, 1);
    assert_int_equal(json_array_size(request.prompts[0].ids), 3);
    struct fault fault;
    assert_int_equal(request_check_tokens(&request, 4, &fault), 0);
    assert_int_equal(request_check_tokens(&request, 3, &fault), -1);
    assert_string_equal(fault.param, "prompt");
    request_destroy(&request);
    request = parsed(REQUEST_COMPLETION, "{\"prompt\":[[1,2],[3]]}");
    assert_int_equal(request.prompt_count, 2);
    assert_int_equal(json_array_size(request.prompts[0].ids), 2);
    request_destroy(&request);
    expect_fault(REQUEST_COMPLETION, "{\"prompt\":[]}", "prompt", "empty");
    expect_fault(REQUEST_COMPLETION, "{\"prompt\":[\"a\",[1]]}", "prompt", "mixes");
    expect_fault(REQUEST_COMPLETION, "{\"prompt\":[[1],\"a\"]}", "prompt", "mixes");
    expect_fault(REQUEST_COMPLETION, "{\"prompt\":[1,\"a\"]}", "prompt", "element 1");
    expect_fault(REQUEST_COMPLETION, "{\"prompt\":[[1],{}]}", "prompt", "must be");
    struct text many;
    text_init(&many);
    text_append_string(&many, "{\"prompt\":[\"x\"");
    for (uint32_t i = 0; i < REQUEST_PROMPTS_MAX; i++)
        text_append_string(&many, ",\"x\"");
    text_append_string(&many, "]}");
    expect_fault(REQUEST_COMPLETION, many.bytes, "prompt", "more than 64");
    text_destroy(&many);
}

static void messages_take_the_shape_templates_know(void **state)
{
    (void)state;
    struct request request =
        parsed(REQUEST_CHAT,
               "{\"messages\":[{\"role\":\"developer\",\"content\":[{\"type\":\"text\",\"text\":"
               "\"one\"},{\"type\":\"text\",\"text\":\"two\"}]},{\"role\":\"assistant\","
               "\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":"
               "\"{\\\"a\\\":1}\"}}]},{\"role\":\"tool\"}]}");
    char *shape = json_dumps(request.messages, JSON_SORT_KEYS | JSON_COMPACT);
    assert_string_equal(
        shape, "[{\"content\":\"one\\ntwo\",\"role\":\"system\"},{\"content\":\"\",\"role\":"
               "\"assistant\",\"tool_calls\":[{\"function\":{\"arguments\":{\"a\":1},\"name\":"
               "\"f\"}}]},{\"content\":\"\",\"role\":\"tool\"}]");
    free(shape);
    request_destroy(&request);
    expect_fault(REQUEST_CHAT, "{\"messages\":[1]}", "messages[0]", "object");
    expect_fault(REQUEST_CHAT, "{\"messages\":[{\"content\":\"x\"}]}", "messages[0].role",
                 "string");
    expect_fault(REQUEST_CHAT, "{\"messages\":[{\"role\":\"king\"}]}", "messages[0].role", "king");
    expect_fault(REQUEST_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":5}]}",
                 "messages[0].content", "an integer");
    expect_fault(REQUEST_CHAT,
                 "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}",
                 "messages[0].content[0]", "image_url");
    expect_fault(REQUEST_CHAT,
                 "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{"
                 "\"arguments\":\"{\"}}]}]}",
                 "messages[0].tool_calls[0]", "line 1");
}

static void tools_are_hidden_when_none_may_be_called(void **state)
{
    (void)state;
    struct request request =
        parsed(REQUEST_CHAT, CHAT_OF(",\"tools\":[{}],\"tool_choice\":\"none\""));
    assert_null(request.tools);
    request_destroy(&request);
}

static void a_body_that_is_not_a_sound_object_is_refused(void **state)
{
    (void)state;
    expect_fault(REQUEST_CHAT, "", "", "empty");
    expect_fault(REQUEST_CHAT, "[]", "", "must be a JSON object");
    expect_fault(REQUEST_CHAT, "{\"a\":1,\"a\":2}", "", "duplicate");
    expect_fault(REQUEST_CHAT, "{\"a\":\n  tru}", "", "line 2");
    expect_fault(REQUEST_CHAT, "{\"a\":\"\xff\"}", "", "byte 0xff");
    expect_fault(REQUEST_CHAT, "{\"a\":\"\xed\xa0\x80\"}", "", "byte 0xed");
    expect_fault(REQUEST_CHAT, "{} x", "", "end of file expected");
    char deep[4 * BODY_DEPTH_DEFAULT];
    for (size_t depth = BODY_DEPTH_DEFAULT - 1; depth <= BODY_DEPTH_DEFAULT; depth++) {
        struct text json;
        text_init(&json);
        text_append_string(&json, "{\"prompt\":\"x\",\"ignored\":");
        memset(deep, '[', depth);
        text_append(&json, deep, depth);
        memset(deep, ']', depth);
        text_append(&json, deep, depth);
        text_append_char(&json, '}');
        if (depth == BODY_DEPTH_DEFAULT) {
            expect_fault(REQUEST_COMPLETION, json.bytes, "", "64 levels");
        } else {
            struct request request = parsed(REQUEST_COMPLETION, json.bytes);
            request_destroy(&request);
        }
        text_destroy(&json);
    }
    struct text wide;
    text_init(&wide);
    text_append_string(&wide, "{\"prompt\":[0");
    for (uint32_t i = 0; i < BODY_VALUES_MAX; i++)
        text_append(&wide, ",0", 2);
    text_append_string(&wide, "]}");
    expect_fault(REQUEST_COMPLETION, wide.bytes, "", "values");
    text_destroy(&wide);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_and_null_parameters_have_defaults),
        cmocka_unit_test(every_known_parameter_arrives),
        cmocka_unit_test(a_wrong_type_is_refused_by_name),
        cmocka_unit_test(a_value_out_of_range_is_refused_with_the_range),
        cmocka_unit_test(a_prompt_may_be_text_or_ids_or_several),
        cmocka_unit_test(messages_take_the_shape_templates_know),
        cmocka_unit_test(tools_are_hidden_when_none_may_be_called),
        cmocka_unit_test(a_body_that_is_not_a_sound_object_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
