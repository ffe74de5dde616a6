/* SPDX-License-Identifier: Apache-2.0 */
/* template_filters.c -- the filters that take one value: text, numbers, defaults, ends of lists.
 * Those that work through a sequence item by item are in template_sequence.c. */
#include "models/template_builtin.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILTER(name)                                                                               \
    static struct template_value name(struct template_render *render,                              \
                                      struct template_value subject,                               \
                                      const struct template_value *arguments)

/* -- text -- */

FILTER(run_trim)
{
    return template_strip(render, template_to_string(render, subject), arguments[0], true, true);
}

FILTER(run_upper)
{
    (void)arguments;
    return template_change_case(render, template_to_string(render, subject), TEMPLATE_UPPER);
}

FILTER(run_lower)
{
    (void)arguments;
    return template_change_case(render, template_to_string(render, subject), TEMPLATE_LOWER);
}

FILTER(run_capitalize)
{
    (void)arguments;
    return template_change_case(render, template_to_string(render, subject), TEMPLATE_CAPITALIZE);
}

FILTER(run_title)
{
    (void)arguments;
    return template_title_filter(render, template_to_string(render, subject));
}

FILTER(run_string)
{
    (void)arguments;
    return template_to_string(render, subject);
}

FILTER(run_replace)
{
    struct template_value texts[3] = {template_to_string(render, arguments[0]),
                                      template_to_string(render, arguments[1]), arguments[2]};
    return template_replace(render, template_to_string(render, subject), texts);
}

FILTER(run_escape)
{
    (void)arguments;
    return template_escape(render, template_to_string(render, subject));
}

FILTER(run_safe)
{
    (void)arguments;
    struct template_value text = template_to_string(render, subject);
    text.detail = TEMPLATE_SAFE;
    return text;
}

/* indent(width=4, first=false, blank=false): all lines but the first, and but empty ones. */
FILTER(run_indent)
{
    struct template_value width = arguments[0], text = template_string_argument(render, subject);
    if (width.kind != TEMPLATE_STRING)
        width = template_arithmetic(render, OPERATOR_MULTIPLY, TEMPLATE_STRING_OF(" "),
                                    template_integer(template_integer_argument(render, width, 4)));
    bool blank = template_truthy(arguments[2]);
    const struct template_list *lines = template_split_lines(render, text);
    size_t mark = template_capture_begin(render);
    if (template_truthy(arguments[1]))
        template_write_value(render, width);
    bool ends = text.count > 0 && text.bytes[text.count - 1] == '\n';
    for (uint32_t i = 0; render->failed == 0 && i < lines->count; i++) {
        if (i > 0)
            template_write_text(render, "\n");
        if (i > 0 && (blank || lines->items[i].count > 0))
            template_write_value(render, width);
        template_write_value(render, lines->items[i]);
        (void)template_charge(render, 1);
    }
    if (ends) {
        template_write_text(render, "\n");
        if (blank)
            template_write_value(render, width);
    }
    return template_capture_end(render, mark);
}

FILTER(run_wordcount)
{
    (void)arguments;
    struct template_value text = template_to_string(render, subject);
    int64_t count = 0;
    bool inside = false;
    (void)template_charge_bytes(render, text.count);
    for (size_t at = 0; at < text.count; at++) {
        unsigned char c = (unsigned char)text.bytes[at];
        bool word = c >= 0x80 || c == '_' || (c >= '0' && c <= '9') ||
                    ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        count += word && !inside;
        inside = word;
    }
    return template_integer(count);
}

/* -- numbers -- */

/* int(text, base), as far as 64 bits go; false if it is no such number. */
static bool parse_integer(struct template_value text, int base, int64_t *ret)
{
    char digits[80];
    size_t kept = 0, start = template_leading_space(text.bytes, text.count);
    size_t end = text.count - template_trailing_space(text.bytes, text.count);
    for (size_t at = start; at < end; at++) {
        bool between = at > start && at + 1 < end && text.bytes[at - 1] != '_';
        if (kept == sizeof digits - 1 || (text.bytes[at] == '_' && !between))
            return false;
        if (text.bytes[at] != '_')
            digits[kept++] = text.bytes[at];
    }
    digits[kept] = '\0';
    size_t sign = digits[0] == '-' || digits[0] == '+';
    bool prefixed = digits[sign] == '0' && strchr("xXoObB", digits[sign + 1]) != NULL &&
                    digits[sign + 1] != '\0';
    char prefix = prefixed ? (char)(digits[sign + 1] | 0x20) : '\0';
    int prefix_base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 0;
    if (prefix_base != 0 && prefix_base == base)
        memmove(digits + sign, digits + sign + 2, kept - sign - 1);
    if (template_leading_space(digits + sign, 1) > 0 || strchr("+-", digits[sign]) != NULL)
        return false; /* strtoll would skip these; it ends at the NUL, too */
    char *stop;
    errno = 0;
    *ret = strtoll(digits, &stop, base);
    return *stop == '\0' && stop != digits + sign && errno == 0;
}

/* float(text); false if it is no number. */
static bool parse_float(struct template_value text, double *ret)
{
    char digits[512];
    size_t start = template_leading_space(text.bytes, text.count);
    size_t end = text.count - template_trailing_space(text.bytes, text.count);
    if (start >= end || end - start >= sizeof digits)
        return false;
    memcpy(digits, text.bytes + start, end - start);
    digits[end - start] = '\0';
    if (strpbrk(digits, "xXpP(") != NULL || memchr(digits, '\0', end - start) != NULL)
        return false; /* hexadecimal floats and NaN payloads are C's alone */
    char *stop;
    *ret = strtod(digits, &stop);
    return *stop == '\0' && stop != digits;
}

/* int(default=0, base=10) */
FILTER(run_int)
{
    struct template_value fallback =
        arguments[0].kind == TEMPLATE_MISSING ? template_integer(0) : arguments[0];
    int64_t base = template_integer_argument(render, arguments[1], 10), integer;
    double real;
    if (base < 2 || base > 36)
        return template_fail(render, "int: a base from 2 to 36 is needed");
    if (template_is_integral(subject))
        return template_integer(template_to_integer(subject));
    if (subject.kind == TEMPLATE_STRING && parse_integer(subject, (int)base, &integer))
        return template_integer(integer);
    if (subject.kind == TEMPLATE_FLOAT)
        real = subject.real;
    else if (subject.kind == TEMPLATE_UNDEFINED)
        return template_fail_undefined(render, subject);
    else if (subject.kind != TEMPLATE_STRING || !parse_float(subject, &real))
        return fallback;
    if (!isfinite(real))
        return fallback;
    if (real >= 9223372036854775808.0 || real < -9223372036854775808.0)
        return template_fail(render, "integer overflow");
    return template_integer((int64_t)real);
}

/* float(default=0.0) */
FILTER(run_float)
{
    double real;
    if (template_is_number(subject))
        return template_float(template_to_double(subject));
    if (subject.kind == TEMPLATE_UNDEFINED)
        return template_fail_undefined(render, subject);
    if (subject.kind == TEMPLATE_STRING && parse_float(subject, &real))
        return template_float(real);
    return arguments[0].kind == TEMPLATE_MISSING ? template_float(0) : arguments[0];
}

FILTER(run_abs)
{
    (void)arguments;
    if (subject.kind == TEMPLATE_FLOAT)
        return template_float(fabs(subject.real));
    int64_t integer = template_integer_argument(render, subject, 0);
    return integer >= 0 ? template_integer(integer)
                        : template_arithmetic(render, OPERATOR_SUBTRACT, template_integer(0),
                                              template_integer(integer));
}

/* round(precision=0, method='common'); an integer stays what it is, but for ceil and floor. */
FILTER(run_round)
{
    int64_t precision = template_integer_argument(render, arguments[0], 0);
    struct template_value method = template_string_argument(render, arguments[1]);
    bool ceiling = template_string_is(method, "ceil"), down = template_string_is(method, "floor");
    bool common = arguments[1].kind == TEMPLATE_MISSING || template_string_is(method, "common");
    if (!ceiling && !down && !common)
        return template_fail(render, "round: method must be common, ceil or floor");
    if (precision < 0 || precision > 15)
        return template_fail(render, "round: a precision from 0 to 15 is needed");
    if (subject.kind == TEMPLATE_UNDEFINED)
        return template_fail_undefined(render, subject);
    if (!template_is_number(subject))
        return template_fail(render, "round: a number is needed, not '%s'",
                             template_type_name(subject));
    if (common && template_is_integral(subject))
        return template_integer(template_to_integer(subject));
    double real = template_to_double(subject), scale = pow(10, (double)precision);
    if (!common)
        return template_float((ceiling ? ceil(real * scale) : floor(real * scale)) / scale);
    /* printf rounds the exact value, halves to even, which is what Python does. */
    char text[400];
    (void)snprintf(text, sizeof text, "%.*f", (int)precision, real);
    return template_float(strtod(text, NULL));
}

/* -- defaults, ends, kinds -- */

/* default(default_value='', boolean=false) */
FILTER(run_default)
{
    (void)render;
    bool replaced = subject.kind == TEMPLATE_UNDEFINED ||
                    (template_truthy(arguments[1]) && !template_truthy(subject));
    if (!replaced)
        return subject;
    return arguments[0].kind == TEMPLATE_MISSING ? template_string("", 0) : arguments[0];
}

FILTER(run_length)
{
    (void)arguments;
    return template_integer(template_length(render, subject));
}

static struct template_value no_item(void)
{
    static const char hint[] = "there is no such item, the sequence is empty";
    struct template_value undefined = template_undefined(hint, sizeof hint - 1);
    undefined.detail = TEMPLATE_UNDEFINED_HINT;
    return undefined;
}

FILTER(run_first)
{
    (void)arguments;
    if (subject.kind == TEMPLATE_ITERATOR)
        return subject.list->taken < subject.list->count
                   ? subject.list->items[subject.list->taken++]
                   : no_item();
    const struct template_list *list = template_iterate(render, subject);
    return render->failed == 0 && list->count > 0 ? list->items[0] : no_item();
}

FILTER(run_last)
{
    (void)arguments;
    if (subject.kind == TEMPLATE_ITERATOR)
        return template_fail(render, "last: an iterator has no last item, put |list before");
    const struct template_list *list = template_iterate(render, subject);
    return render->failed == 0 && list->count > 0 ? list->items[list->count - 1] : no_item();
}

FILTER(run_list)
{
    (void)arguments;
    return template_sequence(TEMPLATE_LIST, template_iterate(render, subject));
}

FILTER(run_reverse)
{
    (void)arguments;
    const struct template_list *list = template_iterate(render, subject);
    if (render->failed != 0 || subject.kind == TEMPLATE_UNDEFINED)
        return subject.kind == TEMPLATE_UNDEFINED
                   ? template_sequence(TEMPLATE_LIST, template_list_new(render, 0))
                   : subject;
    if (subject.kind == TEMPLATE_STRING) {
        size_t mark = template_capture_begin(render);
        for (uint32_t i = list->count; i-- > 0;)
            template_write(render, list->items[i].bytes, list->items[i].count);
        return template_capture_end(render, mark);
    }
    struct template_list *reversed = template_list_new(render, list->count);
    (void)template_charge(render, list->count / 8);
    for (uint32_t i = list->count; i-- > 0 && render->failed == 0;)
        template_list_append(render, reversed, list->items[i]);
    return template_sequence(TEMPLATE_ITERATOR, reversed);
}

FILTER(run_items)
{
    if (subject.kind == TEMPLATE_UNDEFINED)
        return template_sequence(TEMPLATE_ITERATOR, template_list_new(render, 0));
    if (subject.kind != TEMPLATE_DICT)
        return template_fail(render, "items: a mapping is needed, not '%s'",
                             template_type_name(subject));
    const struct template_builtin *items =
        template_find_method(subject, TEMPLATE_STRING_OF("items"));
    return template_sequence(TEMPLATE_ITERATOR, items->run(render, subject, arguments).list);
}

/* Unlike a dot, this does not look at the keys of a dict. */
FILTER(run_attr)
{
    struct template_value name = template_string_argument(render, arguments[0]);
    if (subject.kind == TEMPLATE_DICT && template_find_method(subject, name) == NULL)
        return template_undefined(name.bytes, name.count);
    return template_get_attribute(render, subject, name);
}

const struct template_builtin *template_find_filter(struct template_value name)
{
    static const struct template_builtin filters[] = {
        {"trim", run_trim, NULL, 0, {"chars"}},
        {"tojson",
         template_filter_tojson,
         NULL,
         0,
         {"ensure_ascii", "indent", "separators", "sort_keys"}},
        {"from_json", template_filter_from_json, NULL, 0, {NULL}},
        {"length", run_length, NULL, 0, {NULL}},
        {"count", run_length, NULL, 0, {NULL}},
        {"default", run_default, NULL, 0, {"default_value", "boolean"}},
        {"d", run_default, NULL, 0, {"default_value", "boolean"}},
        {"string", run_string, NULL, 0, {NULL}},
        {"upper", run_upper, NULL, 0, {NULL}},
        {"lower", run_lower, NULL, 0, {NULL}},
        {"title", run_title, NULL, 0, {NULL}},
        {"capitalize", run_capitalize, NULL, 0, {NULL}},
        {"replace", run_replace, NULL, 2, {"old", "new", "count"}},
        {"indent", run_indent, NULL, 0, {"width", "first", "blank"}},
        {"safe", run_safe, NULL, 0, {NULL}},
        {"escape", run_escape, NULL, 0, {NULL}},
        {"e", run_escape, NULL, 0, {NULL}},
        {"wordcount", run_wordcount, NULL, 0, {NULL}},
        {"int", run_int, NULL, 0, {"default", "base"}},
        {"float", run_float, NULL, 0, {"default"}},
        {"abs", run_abs, NULL, 0, {NULL}},
        {"round", run_round, NULL, 0, {"precision", "method"}},
        {"first", run_first, NULL, 0, {NULL}},
        {"last", run_last, NULL, 0, {NULL}},
        {"list", run_list, NULL, 0, {NULL}},
        {"reverse", run_reverse, NULL, 0, {NULL}},
        {"items", run_items, NULL, 0, {NULL}},
        {"attr", run_attr, NULL, 1, {"name"}},
    };
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (template_string_is(name, filters[i].name))
            return &filters[i];
    return template_find_sequence_filter(name);
}
