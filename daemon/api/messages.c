/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/messages.h"

#include "daemon/api/body.h"

#include <stdio.h>
#include <string.h>

#define PLACE_MAX 80 /* "messages[4294967295].tool_calls[4294967295].function.arguments" */

static int wrong_type(struct fault *fault, const char *place, const char *wanted,
                      const json_t *value)
{
    return fault_set(fault, 400, place, "%s must be %s, not %s", place, wanted,
                     value == NULL ? "absent" : body_type_name(value));
}

static int read_part(const json_t *part, const char *place, struct text *joined,
                     struct fault *fault)
{
    if (!json_is_object(part))
        return wrong_type(fault, place, "an object", part);
    const char *type = json_string_value(json_object_get(part, "type"));
    if (type == NULL)
        return fault_set(fault, 400, place, "%s.type must be a string", place);
    if (strcmp(type, "text") != 0)
        return fault_set(fault, 400, place,
                         "%s is of type '%.40s'; this model takes parts of type 'text' only", place,
                         type);
    const json_t *content = json_object_get(part, "text");
    if (!json_is_string(content))
        return fault_set(fault, 400, place, "%s.text must be a string", place);
    if (joined->count > 0)
        text_append_char(joined, '\n');
    text_append(joined, json_string_value(content), json_string_length(content));
    return 0;
}

static int join_parts(json_t *message, const json_t *parts, const char *place, struct fault *fault)
{
    struct text joined;
    text_init(&joined);
    int status = 0;
    for (size_t i = 0; i < json_array_size(parts) && status == 0; i++) {
        char part_place[PLACE_MAX];
        (void)snprintf(part_place, sizeof part_place, "%s[%zu]", place, i);
        status = read_part(json_array_get(parts, i), part_place, &joined, fault);
    }
    if (status == 0) {
        json_t *content = json_stringn(text_string(&joined), joined.count);
        if (joined.failed || json_object_set_new(message, "content", content) < 0)
            status = fault_no_memory(fault);
    }
    text_destroy(&joined);
    return status;
}

static int normalize_content(json_t *message, size_t index, struct fault *fault)
{
    char place[PLACE_MAX];
    (void)snprintf(place, sizeof place, "messages[%zu].content", index);
    json_t *content = json_object_get(message, "content");
    if (content == NULL || json_is_null(content)) {
        if (json_object_set_new(message, "content", json_string("")) < 0)
            return fault_no_memory(fault);
        return 0;
    }
    if (json_is_array(content))
        return join_parts(message, content, place, fault);
    if (!json_is_string(content))
        return wrong_type(fault, place, "a string, null or an array of text parts", content);
    return 0;
}

static int normalize_role(json_t *message, size_t index, struct fault *fault)
{
    static const char *const known[] = {"system", "user", "assistant", "tool", "function"};
    char place[PLACE_MAX];
    (void)snprintf(place, sizeof place, "messages[%zu].role", index);
    const char *role = json_string_value(json_object_get(message, "role"));
    if (role == NULL)
        return wrong_type(fault, place, "a string", json_object_get(message, "role"));
    if (strcmp(role, "developer") == 0) {
        if (json_object_set_new(message, "role", json_string("system")) < 0)
            return fault_no_memory(fault);
        return 0;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(role, known[i]) == 0)
            return 0;
    return fault_set(fault, 400, place,
                     "%s is '%.40s'; it must be system, developer, user, assistant, tool or "
                     "function",
                     place, role);
}

static int normalize_arguments(json_t *call, const char *place, uint32_t depth_max,
                               struct fault *fault)
{
    json_t *function = json_object_get(call, "function");
    if (!json_is_object(function))
        return wrong_type(fault, place, "an object with a 'function' object", call);
    json_t *arguments = json_object_get(function, "arguments");
    if (!json_is_string(arguments) || json_string_length(arguments) == 0)
        return 0;
    json_t *object;
    if (body_parse_nested(json_string_value(arguments), json_string_length(arguments), place,
                          depth_max, &object, fault) < 0)
        return -1;
    if (json_object_set_new(function, "arguments", object) < 0)
        return fault_no_memory(fault);
    return 0;
}

static int normalize_tool_calls(json_t *message, size_t index, uint32_t depth_max,
                                struct fault *fault)
{
    json_t *calls = json_object_get(message, "tool_calls");
    char place[PLACE_MAX];
    (void)snprintf(place, sizeof place, "messages[%zu].tool_calls", index);
    if (calls == NULL || json_is_null(calls)) {
        (void)json_object_del(message, "tool_calls"); /* absent already, or a null to leave out */
        return 0;
    }
    if (!json_is_array(calls))
        return wrong_type(fault, place, "an array", calls);
    for (size_t i = 0; i < json_array_size(calls); i++) {
        (void)snprintf(place, sizeof place, "messages[%zu].tool_calls[%zu]", index, i);
        if (normalize_arguments(json_array_get(calls, i), place, depth_max, fault) < 0)
            return -1;
    }
    return 0;
}

int messages_normalize(json_t *messages, uint32_t depth_max, struct fault *fault)
{
    if (!json_is_array(messages))
        return wrong_type(fault, "messages", "an array", messages);
    if (json_array_size(messages) == 0)
        return fault_set(fault, 400, "messages", "messages is empty; at least one is needed");
    for (size_t i = 0; i < json_array_size(messages); i++) {
        json_t *message = json_array_get(messages, i);
        if (!json_is_object(message)) {
            char place[PLACE_MAX];
            (void)snprintf(place, sizeof place, "messages[%zu]", i);
            return wrong_type(fault, place, "an object", message);
        }
        if (normalize_role(message, i, fault) < 0 || normalize_content(message, i, fault) < 0 ||
            normalize_tool_calls(message, i, depth_max, fault) < 0)
            return -1;
    }
    return 0;
}
