/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/body.h"

#include <stdbool.h>

/* Counts brackets and commas outside strings. What is not JSON at all may be counted oddly; the
 * parser behind refuses it anyway. */
static bool within_bounds(const char *bytes, size_t count, const char **ret_what, size_t *ret_limit)
{
    size_t depth = 0, values = 1;
    bool in_string = false;
    for (size_t i = 0; i < count; i++) {
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
        } else if (c == ']' || c == '}') {
            depth -= depth > 0;
        } else if (c == ',') {
            values++;
        }
        if (depth > BODY_DEPTH_MAX || values > BODY_VALUES_MAX) {
            *ret_what = depth > BODY_DEPTH_MAX ? "levels of nesting" : "values";
            *ret_limit = depth > BODY_DEPTH_MAX ? BODY_DEPTH_MAX : BODY_VALUES_MAX;
            return false;
        }
    }
    return true;
}

int body_parse_nested(const char *bytes, size_t count, const char *param, json_t **ret,
                      struct fault *fault)
{
    const char *where = param == NULL ? "the body" : param;
    if (count == 0)
        return fault_set(fault, 400, param, "%s is empty; a JSON object is expected", where);
    const char *what;
    size_t limit;
    if (!within_bounds(bytes, count, &what, &limit))
        return fault_set(fault, 400, param, "%s has more than %zu %s", where, limit, what);
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

int body_parse(const char *bytes, size_t count, json_t **ret, struct fault *fault)
{
    return body_parse_nested(bytes, count, NULL, ret, fault);
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
