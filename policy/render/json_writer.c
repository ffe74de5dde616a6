/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/render/json_writer.h"

#include <string.h>

static void begin_value(struct text *out, const char *key)
{
    char last = out->count == 0 ? '{' : out->bytes[out->count - 1];
    if (strchr("{[:,", last) == NULL)
        text_append_char(out, ',');
    if (key != NULL) {
        text_append_json(out, key, strlen(key));
        text_append_char(out, ':');
    }
}

void json_write_open(struct text *out, const char *key, char bracket)
{
    begin_value(out, key);
    text_append_char(out, bracket);
}

void json_write_close(struct text *out, char bracket)
{
    text_append_char(out, bracket);
}

void json_write_string(struct text *out, const char *key, const char *value)
{
    begin_value(out, key);
    text_append_json(out, value == NULL ? "" : value, value == NULL ? 0 : strlen(value));
}

void json_write_string_unless_empty(struct text *out, const char *key, const char *value)
{
    if (value != NULL && value[0] != '\0')
        json_write_string(out, key, value);
}

void json_write_string_or_null(struct text *out, const char *key, const char *value)
{
    if (value != NULL && value[0] != '\0') {
        json_write_string(out, key, value);
        return;
    }
    begin_value(out, key);
    text_append_string(out, "null");
}

void json_write_bool(struct text *out, const char *key, bool value)
{
    begin_value(out, key);
    text_append_string(out, value ? "true" : "false");
}

void json_write_u64(struct text *out, const char *key, uint64_t value)
{
    begin_value(out, key);
    text_append_u64(out, value);
}

void json_write_strings(struct text *out, const char *key, const char *const *values,
                        uint32_t count)
{
    json_write_open(out, key, '[');
    for (uint32_t i = 0; i < count; i++)
        json_write_string(out, NULL, values[i]);
    json_write_close(out, ']');
}

void json_write_take(struct text *out, const char *key, struct text *value)
{
    json_write_string(out, key, text_string(value));
    out->failed = out->failed || value->failed;
    text_destroy(value);
}
