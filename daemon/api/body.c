/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/body.h"

#include <stdbool.h>

/* Counts brackets and commas outside strings. What is not JSON at all may be counted oddly; the
 * parser behind refuses it anyway. */
static void measure(const char *bytes, size_t count, size_t depth_max, size_t *ret_depth,
                    size_t *ret_values)
{
    size_t depth = 0, values = 1, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < count && deepest <= depth_max && values <= BODY_VALUES_MAX; i++) {
        char c = bytes[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
            continue;
        }
        if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            depth++;
            values++;
            deepest = depth > deepest ? depth : deepest;
        } else if (c == ']' || c == '}') {
            depth -= depth > 0;
        } else if (c == ',') {
            values++;
        }
    }
    *ret_depth = deepest;
    *ret_values = values;
}

static int check_bounds(const char *bytes, size_t count, uint32_t depth_max, const char *param,
                        struct fault *fault)
{
    const char *where = param == NULL ? "the body" : param;
    size_t depth, values;
    measure(bytes, count, depth_max, &depth, &values);
    if (depth <= depth_max && values <= BODY_VALUES_MAX)
        return 0;
    if (depth > depth_max)
        (void)fault_set(fault, 400, param, "%s has more than %u levels of nesting", where,
                        depth_max);
    else
        (void)fault_set(fault, 400, param, "%s has more than %u values", where, BODY_VALUES_MAX);
    fault->code = depth > depth_max ? "json_too_deep" : "json_too_large";
    fault->limited = LIMITED_JSON;
    return -1;
}

int body_parse_nested(const char *bytes, size_t count, const char *param, uint32_t depth_max,
                      json_t **ret, struct fault *fault)
{
    const char *where = param == NULL ? "the body" : param;
    if (count == 0)
        return fault_set(fault, 400, param, "%s is empty; a JSON object is expected", where);
    if (check_bounds(bytes, count, depth_max, param, fault) < 0)
        return -1;
    json_error_t failure;
    json_t *value = json_loadb(bytes, count, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &failure);
    if (value == NULL) {
        if (json_error_code(&failure) == json_error_out_of_memory)
            return fault_no_memory(fault);
        return fault_set(fault, 400, param, "%s is not valid JSON: line %d, column %d: %s", where,
                         failure.line, failure.column, failure.text);
    }
    if (!json_is_object(value)) {
        (void)fault_set(fault, 400, param, "%s must be a JSON object, not %s", where,
                        body_type_name(value));
        json_decref(value);
        return -1;
    }
    *ret = value;
    return 0;
}

int body_parse(const char *bytes, size_t count, uint32_t depth_max, json_t **ret,
               struct fault *fault)
{
    return body_parse_nested(bytes, count, NULL, depth_max, ret, fault);
}

const char *body_type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a real number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    default:
        return "null";
    }
}
