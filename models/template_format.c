/* SPDX-License-Identifier: Apache-2.0 */
/* template_format.c -- values as text: Python's str() and repr(), tojson and from_json.
 *
 * What a model was trained on is what Python printed, so {{ [true, 1.0, 'a'] }} must come out as
 * [True, 1.0, 'a'], with Python's choice of quotes, escapes, and digits of a float. tojson is
 * json.dumps as chat templates get it: characters as they are, keys in their order, ", " and
 * ": " between. Containers are of bounded height; only a namespace, which may hold itself, needs
 * the count of nesting. */
#include "models/template_builtin.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

/* -- numbers -- */

static void write_integer(struct template_render *render, int64_t integer)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRId64, integer);
    template_write_text(render, text);
}

/* The shortest digits that read back equal, laid out with a point, or with an exponent where it
 * is below -4 or above 15. */
void template_write_float(struct template_render *render, double real)
{
    char text[40];
    if (!isfinite(real)) {
        template_write_text(render, isnan(real) ? "nan" : real < 0 ? "-inf" : "inf");
        return;
    }
    int digits = 1;
    do
        (void)snprintf(text, sizeof text, "%.*e", digits - 1, real);
    while (strtod(text, NULL) != real && ++digits <= 17);
    int exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent > 15) {
        template_write_text(render, text); /* as Python: two digits of exponent at least */
        return;
    }
    int decimals = digits - 1 - exponent;
    (void)snprintf(text, sizeof text, "%.*f", decimals > 1 ? decimals : 1, real);
    template_write_text(render, text);
}

/* -- str and repr -- */

static bool is_printable(const struct template_render *render, uint32_t c)
{
    if (c < 0x7f)
        return c >= 0x20;
    bool hidden = template_is_space(c) || c < 0xa1 || c == 0xad || (c >= 0x200b && c <= 0x200f) ||
                  (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
                  (c >= 0xe000 && c <= 0xf8ff) || (c >= 0xfff9 && c <= 0xfffb) || c >= 0xe0000;
    if (hidden && !(c >= 0xe0100 && c <= 0xe01ef))
        return false;
    return render->program->letters == (locale_t)0 ||
           iswprint_l((wint_t)c, render->program->letters) != 0;
}

static void write_string_repr(struct template_render *render, struct template_value text)
{
    bool apostrophe = text.count > 0 && memchr(text.bytes, '\'', text.count) != NULL;
    bool quotation = text.count > 0 && memchr(text.bytes, '"', text.count) != NULL;
    char quote = apostrophe && !quotation ? '"' : '\'';
    template_write(render, &quote, 1);
    size_t written = 0;
    for (size_t at = 0; at < text.count && render->failed == 0;) {
        uint32_t c;
        size_t used = utf8_decode(text.bytes + at, text.count - at, &c);
        const char *simple = c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : NULL;
        char escape[16];
        bool plain = false;
        if (simple != NULL)
            (void)snprintf(escape, sizeof escape, "%s", simple);
        else if (c == (uint32_t)quote || c == '\\')
            (void)snprintf(escape, sizeof escape, "\\%c", (char)c);
        else if (is_printable(render, c))
            plain = true;
        else
            (void)snprintf(escape, sizeof escape,
                           c < 0x100     ? "\\x%02x"
                           : c < 0x10000 ? "\\u%04x"
                                         : "\\U%08x",
                           c);
        if (!plain) {
            template_write(render, text.bytes + written, at - written);
            template_write_text(render, escape);
            written = at + used;
        }
        at += used;
    }
    template_write(render, text.bytes + written, text.count - written);
    template_write(render, &quote, 1);
}

static void write_items_repr(struct template_render *render, const struct template_list *list,
                             const char *open, const char *close)
{
    template_write_text(render, open);
    for (uint32_t i = 0; i < list->count && template_charge(render, 1); i++) {
        if (i > 0)
            template_write_text(render, ", ");
        template_write_repr(render, list->items[i]);
    }
    template_write_text(render, close);
}

static void write_dict_repr(struct template_render *render, const struct template_dict *dict)
{
    template_write_text(render, "{");
    for (uint32_t i = 0; i < dict->count && template_charge(render, 1); i++) {
        if (i > 0)
            template_write_text(render, ", ");
        template_write_repr(render, dict->entries[i].key);
        template_write_text(render, ": ");
        template_write_repr(render, dict->entries[i].value);
    }
    template_write_text(render, "}");
}

static void write_namespace_repr(struct template_render *render, const struct template_dict *dict)
{
    if (render->nesting == TEMPLATE_NESTING_MAX) {
        template_fail(render, "a namespace is nested deeper than %u", TEMPLATE_NESTING_MAX);
        return;
    }
    render->nesting++;
    template_write_text(render, "<Namespace ");
    write_dict_repr(render, dict);
    template_write_text(render, ">");
    render->nesting--;
}

void template_write_repr(struct template_render *render, struct template_value value)
{
    switch ((enum template_kind)value.kind) {
    case TEMPLATE_MISSING:
    case TEMPLATE_UNDEFINED:
        template_write_text(render, "Undefined");
        break;
    case TEMPLATE_NONE:
        template_write_text(render, "None");
        break;
    case TEMPLATE_BOOL:
        template_write_text(render, value.boolean ? "True" : "False");
        break;
    case TEMPLATE_INTEGER:
        write_integer(render, value.integer);
        break;
    case TEMPLATE_FLOAT:
        template_write_float(render, value.real);
        break;
    case TEMPLATE_STRING:
        write_string_repr(render, value);
        break;
    case TEMPLATE_LIST:
        write_items_repr(render, value.list, "[", "]");
        break;
    case TEMPLATE_TUPLE:
        write_items_repr(render, value.list, "(", value.list->count == 1 ? ",)" : ")");
        break;
    case TEMPLATE_VIEW:
        template_write_text(render, value.detail == 'k'   ? "dict_keys"
                                    : value.detail == 'v' ? "dict_values"
                                                          : "dict_items");
        write_items_repr(render, value.list, "([", "])");
        break;
    case TEMPLATE_DICT:
        write_dict_repr(render, value.dict);
        break;
    case TEMPLATE_NAMESPACE:
        write_namespace_repr(render, value.dict);
        break;
    default:
        template_fail(render, "a %s can't be printed", template_type_name(value));
        break;
    }
}

void template_write_value(struct template_render *render, struct template_value value)
{
    if (value.kind == TEMPLATE_STRING)
        template_write(render, value.bytes, value.count);
    else if (value.kind != TEMPLATE_UNDEFINED)
        template_write_repr(render, value);
}

/* -- tojson -- */

struct json_style {
    struct template_value indent; /* a string to repeat, or none: all on one line */
    struct template_value item_separator, key_separator;
    bool ascii, sorted;
};

static void write_json(struct template_render *render, const struct json_style *style,
                       struct template_value value, uint32_t level);

static void write_json_escape(struct template_render *render, uint32_t c)
{
    static const char names[] = "bfnrt\"\\", values[] = "\b\f\n\r\t\"\\";
    const char *simple = c < 0x80 && c != 0 ? strchr(values, (int)c) : NULL;
    char escape[16];
    if (simple != NULL)
        (void)snprintf(escape, sizeof escape, "\\%c", names[simple - values]);
    else if (c < 0x10000)
        (void)snprintf(escape, sizeof escape, "\\u%04x", c);
    else
        (void)snprintf(escape, sizeof escape, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                       0xdc00 + ((c - 0x10000) & 0x3ff));
    template_write_text(render, escape);
}

static void write_json_string(struct template_render *render, const struct json_style *style,
                              struct template_value text)
{
    template_write_text(render, "\"");
    size_t written = 0;
    for (size_t at = 0; at < text.count && render->failed == 0;) {
        uint32_t c;
        size_t used = utf8_decode(text.bytes + at, text.count - at, &c);
        if (c < 0x20 || c == '"' || c == '\\' || (style->ascii && c >= 0x7f)) {
            template_write(render, text.bytes + written, at - written);
            write_json_escape(render, c);
            written = at + used;
        }
        at += used;
    }
    template_write(render, text.bytes + written, text.count - written);
    template_write_text(render, "\"");
}

static void write_json_newline(struct template_render *render, const struct json_style *style,
                               uint32_t level)
{
    if (style->indent.kind != TEMPLATE_STRING)
        return;
    template_write_text(render, "\n");
    for (uint32_t i = 0; i < level; i++)
        template_write(render, style->indent.bytes, style->indent.count);
}

static void write_json_array(struct template_render *render, const struct json_style *style,
                             const struct template_list *list, uint32_t level)
{
    template_write_text(render, "[");
    for (uint32_t i = 0; i < list->count && template_charge(render, 1); i++) {
        if (i > 0)
            template_write_value(render, style->item_separator);
        write_json_newline(render, style, level + 1);
        write_json(render, style, list->items[i], level + 1);
    }
    if (list->count > 0)
        write_json_newline(render, style, level);
    template_write_text(render, "]");
}

static void write_json_key(struct template_render *render, const struct json_style *style,
                           struct template_value key)
{
    if (key.kind == TEMPLATE_STRING) {
        write_json_string(render, style, key);
        return;
    }
    if (key.kind != TEMPLATE_NONE && !template_is_number(key)) {
        template_fail(render, "a '%s' can't be a key in JSON", template_type_name(key));
        return;
    }
    template_write_text(render, "\"");
    write_json(render, style, key, 0);
    template_write_text(render, "\"");
}

/* Entries in the order of their keys; the render fails for keys that have none. */
static struct template_list *sorted_items(struct template_render *render,
                                          struct template_value dict)
{
    struct template_call call = {.positional_count = 1};
    call.values[0] = template_bool(true);
    struct template_value items = template_call_builtin(
        render, template_find_filter(TEMPLATE_STRING_OF("dictsort")), dict, &call);
    return template_iterate(render, items);
}

static void write_json_object(struct template_render *render, const struct json_style *style,
                              struct template_value value, uint32_t level)
{
    const struct template_list *sorted = style->sorted ? sorted_items(render, value) : NULL;
    template_write_text(render, "{");
    for (uint32_t i = 0; i < value.dict->count && template_charge(render, 1); i++) {
        struct template_entry entry = value.dict->entries[i];
        if (sorted != NULL) {
            entry.key = sorted->items[i].list->items[0];
            entry.value = sorted->items[i].list->items[1];
        }
        if (i > 0)
            template_write_value(render, style->item_separator);
        write_json_newline(render, style, level + 1);
        write_json_key(render, style, entry.key);
        template_write_value(render, style->key_separator);
        write_json(render, style, entry.value, level + 1);
    }
    if (value.dict->count > 0)
        write_json_newline(render, style, level);
    template_write_text(render, "}");
}

static void write_json_float(struct template_render *render, double real)
{
    if (isfinite(real))
        template_write_float(render, real);
    else
        template_write_text(render, isnan(real) ? "NaN" : real < 0 ? "-Infinity" : "Infinity");
}

static void write_json(struct template_render *render, const struct json_style *style,
                       struct template_value value, uint32_t level)
{
    switch ((enum template_kind)value.kind) {
    case TEMPLATE_NONE:
        template_write_text(render, "null");
        break;
    case TEMPLATE_BOOL:
        template_write_text(render, value.boolean ? "true" : "false");
        break;
    case TEMPLATE_INTEGER:
        write_integer(render, value.integer);
        break;
    case TEMPLATE_FLOAT:
        write_json_float(render, value.real);
        break;
    case TEMPLATE_STRING:
        write_json_string(render, style, value);
        break;
    case TEMPLATE_LIST:
    case TEMPLATE_TUPLE:
        write_json_array(render, style, value.list, level);
        break;
    case TEMPLATE_DICT:
        write_json_object(render, style, value, level);
        break;
    default:
        template_fail(render, "a value of type '%s' can't be written as JSON",
                      template_type_name(value));
        break;
    }
}

static struct template_value resolve_indent(struct template_render *render,
                                            struct template_value indent)
{
    if (indent.kind == TEMPLATE_STRING)
        return indent;
    if (!template_is_integral(indent))
        return template_none();
    return template_arithmetic(render, OPERATOR_MULTIPLY, TEMPLATE_STRING_OF(" "), indent);
}

/* tojson(ensure_ascii=false, indent=none, separators=none, sort_keys=false) */
struct template_value template_filter_tojson(struct template_render *render,
                                             struct template_value subject,
                                             const struct template_value *arguments)
{
    struct json_style style = {
        .indent = resolve_indent(render, arguments[1]),
        .item_separator = TEMPLATE_STRING_OF(", "),
        .key_separator = TEMPLATE_STRING_OF(": "),
        .ascii = template_truthy(arguments[0]),
        .sorted = template_truthy(arguments[3]),
    };
    if (style.indent.kind == TEMPLATE_STRING)
        style.item_separator = TEMPLATE_STRING_OF(",");
    if (arguments[2].kind != TEMPLATE_MISSING && arguments[2].kind != TEMPLATE_NONE) {
        const struct template_list *pair = template_iterate(render, arguments[2]);
        if (render->failed != 0 || pair->count != 2 || pair->items[0].kind != TEMPLATE_STRING ||
            pair->items[1].kind != TEMPLATE_STRING)
            return template_fail(render, "tojson: separators must be two strings");
        style.item_separator = pair->items[0];
        style.key_separator = pair->items[1];
    }
    size_t mark = template_capture_begin(render);
    write_json(render, &style, subject, 0);
    return template_capture_end(render, mark);
}

/* What is parsed is kept until the render ends, for values borrow its strings. */
struct template_value template_filter_from_json(struct template_render *render,
                                                struct template_value subject,
                                                const struct template_value *arguments)
{
    (void)arguments;
    struct template_value text = template_string_argument(render, subject);
    if (text.count > TEMPLATE_PARSED_BYTES_MAX - render->parsed_bytes)
        return template_fail(render, "from_json: more than %u bytes in all",
                             TEMPLATE_PARSED_BYTES_MAX);
    if (!template_charge(render, text.count / 8))
        return template_none();
    render->parsed_bytes += text.count;
    if (render->parsed == NULL)
        render->parsed = json_array();
    json_error_t error;
    json_t *json = json_loadb(text.bytes, text.count, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (json == NULL)
        return template_fail(render, "from_json: %s", error.text);
    if (json_array_append_new(render->parsed, json) != 0)
        return template_fail(render, "from_json: out of memory");
    return template_from_json(render, json);
}
