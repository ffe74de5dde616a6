/* SPDX-License-Identifier: Apache-2.0 */
/* license_expression.c -- read by descent, and worked out on the way: no tree is built.
 *
 *     either = both { OR both }       keeps the first alternative that is known throughout
 *     both   = one { AND one }        appends
 *     one    = "(" either ")" | word { word }
 *
 * Names may have blanks in them, so a name goes on until an operator or a parenthesis. */
#include "policy/license/license_expression.h"

#include <string.h>
#include <strings.h>

struct parse {
    const struct catalogue *catalogue;
    const char *at, *end;
    struct license_names *names;
    bool malformed;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

const struct license_record *license_of_name(const struct catalogue *catalogue, const char *bytes,
                                             size_t count)
{
    char name[LICENSE_NAME_BYTES_MAX + 1];
    while (count > 0 && is_blank(bytes[0])) {
        bytes++;
        count--;
    }
    while (count > 0 && is_blank(bytes[count - 1]))
        count--;
    if (count == 0 || count > LICENSE_NAME_BYTES_MAX)
        return NULL;
    memcpy(name, bytes, count);
    name[count] = '\0';
    return catalogue_find(catalogue, name);
}

static void push(struct license_names *names, const char *bytes, size_t count,
                 const struct license_record *record)
{
    if (names->count == LICENSE_NAMES_MAX) {
        names->cut = true;
        return;
    }
    names->names[names->count++] = (struct license_name){bytes, count, record};
}

static void skip_blanks(struct parse *parse)
{
    while (parse->at < parse->end && is_blank(*parse->at))
        parse->at++;
}

/* Of the word at `at`. */
static size_t word_length(const struct parse *parse, const char *at)
{
    const char *end = at;
    while (end < parse->end && !is_blank(*end) && *end != '(' && *end != ')')
        end++;
    return (size_t)(end - at);
}

static bool is_operator(const char *word, size_t count, const char *name)
{
    return count == strlen(name) && strncasecmp(word, name, count) == 0;
}

/* Steps over the operator when it is next. */
static bool take_operator(struct parse *parse, const char *name)
{
    skip_blanks(parse);
    size_t count = word_length(parse, parse->at);
    if (!is_operator(parse->at, count, name))
        return false;
    parse->at += count;
    return true;
}

/* "GPL-2.0+" and "GPL-2.0 WITH exception" grant more than the licence they name, never less. */
static const struct license_record *find_plain(const struct parse *parse, const char *bytes,
                                               size_t count, size_t before_with)
{
    const struct license_record *record = license_of_name(parse->catalogue, bytes, count);
    if (record == NULL && before_with > 0)
        record = license_of_name(parse->catalogue, bytes, before_with);
    size_t plain = before_with > 0 ? before_with : count;
    while (plain > 0 && is_blank(bytes[plain - 1]))
        plain--;
    if (record == NULL && plain > 1 && bytes[plain - 1] == '+')
        record = license_of_name(parse->catalogue, bytes, plain - 1);
    return record;
}

static void read_name(struct parse *parse)
{
    const char *begin = parse->at, *end = begin;
    size_t before_with = 0;
    for (size_t count; (count = word_length(parse, parse->at)) > 0;) {
        if (is_operator(parse->at, count, "AND") || is_operator(parse->at, count, "OR"))
            break;
        if (is_operator(parse->at, count, "WITH"))
            before_with = (size_t)(parse->at - begin);
        parse->at += count;
        end = parse->at;
        skip_blanks(parse);
    }
    if (end == begin) {
        parse->malformed = true;
        return;
    }
    size_t count = (size_t)(end - begin);
    push(parse->names, begin, count, find_plain(parse, begin, count, before_with));
}

static void read_either(struct parse *parse, uint32_t depth);

static void read_one(struct parse *parse, uint32_t depth)
{
    skip_blanks(parse);
    if (parse->at < parse->end && *parse->at == '(' && depth < LICENSE_EXPRESSION_DEPTH) {
        parse->at++;
        read_either(parse, depth + 1);
        skip_blanks(parse);
        if (parse->at == parse->end || *parse->at != ')')
            parse->malformed = true;
        else
            parse->at++;
        return;
    }
    read_name(parse);
}

static void read_both(struct parse *parse, uint32_t depth)
{
    do
        read_one(parse, depth);
    while (!parse->malformed && take_operator(parse, "AND"));
}

static bool all_known(const struct license_names *names, uint32_t first)
{
    for (uint32_t i = first; i < names->count; i++)
        if (names->names[i].record == NULL)
            return false;
    return !names->cut && names->count > first;
}

static void read_either(struct parse *parse, uint32_t depth)
{
    struct license_names *names = parse->names;
    uint32_t first = names->count;
    read_both(parse, depth);
    while (!parse->malformed && take_operator(parse, "OR")) {
        uint32_t other = names->count;
        bool known = all_known(names, first);
        names->chosen = true;
        read_both(parse, depth);
        if (!known && all_known(names, other)) {
            memmove(names->names + first, names->names + other,
                    (names->count - other) * sizeof names->names[0]);
            names->count = first + (names->count - other);
        } else {
            names->count = other;
        }
    }
}

/* One element of a list. As a whole first: names for people may hold "and". */
static void read_element(const struct catalogue *catalogue, const char *bytes, size_t count,
                         struct license_names *ret)
{
    while (count > 0 && is_blank(bytes[0])) {
        bytes++;
        count--;
    }
    while (count > 0 && is_blank(bytes[count - 1]))
        count--;
    if (count == 0)
        return;
    const struct license_record *whole = license_of_name(catalogue, bytes, count);
    struct license_names read = {0};
    struct parse parse = {catalogue, bytes, bytes + count, &read, false};
    if (whole == NULL)
        read_either(&parse, 0);
    if (whole != NULL || parse.malformed || parse.at != parse.end) {
        push(ret, bytes, count, whole);
        return;
    }
    for (uint32_t i = 0; i < read.count; i++)
        push(ret, read.names[i].bytes, read.names[i].count, read.names[i].record);
    ret->chosen = ret->chosen || read.chosen;
    ret->cut = ret->cut || read.cut;
}

void license_names_read(const struct catalogue *catalogue, const char *expression,
                        struct license_names *ret)
{
    *ret = (struct license_names){0};
    for (;;) {
        size_t count = strcspn(expression, ",");
        read_element(catalogue, expression, count, ret);
        if (expression[count] == '\0' || ret->cut)
            return;
        expression += count + 1;
    }
}
