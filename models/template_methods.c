/* SPDX-License-Identifier: Apache-2.0 */
/* template_methods.c -- the methods of strings, dicts, lists and loops that templates may call.
 *
 * Those that would change a list or a dict are here by name alone: the sandbox that chat
 * templates are written for gives an undefined value for them, so that a template may mention
 * them in a branch that does not run. */
#include "models/template_builtin.h"

#include <stdlib.h>
#include <string.h>
#include <wctype.h>

#define METHOD(name)                                                                               \
    static struct template_value name(struct template_render *render, struct template_value self,  \
                                      const struct template_value *arguments)

/* -- strings: strip, case, replace -- */

METHOD(run_strip)
{
    return template_strip(render, self, arguments[0], true, true);
}

METHOD(run_lstrip)
{
    return template_strip(render, self, arguments[0], true, false);
}

METHOD(run_rstrip)
{
    return template_strip(render, self, arguments[0], false, true);
}

METHOD(run_lower)
{
    (void)arguments;
    return template_change_case(render, self, TEMPLATE_LOWER);
}

METHOD(run_upper)
{
    (void)arguments;
    return template_change_case(render, self, TEMPLATE_UPPER);
}

METHOD(run_title)
{
    (void)arguments;
    return template_change_case(render, self, TEMPLATE_TITLE);
}

METHOD(run_capitalize)
{
    (void)arguments;
    return template_change_case(render, self, TEMPLATE_CAPITALIZE);
}

/* -- strings: parts -- */

/* Does self have this at its front or its end? */
static bool has_affix(struct template_value self, struct template_value affix, bool front)
{
    if (affix.count > self.count)
        return false;
    const char *at = front ? self.bytes : self.bytes + (self.count - affix.count);
    return memcmp(at, affix.bytes, affix.count) == 0;
}

static struct template_value test_affix(struct template_render *render, struct template_value self,
                                        struct template_value affix, bool front)
{
    if (affix.kind != TEMPLATE_TUPLE) {
        affix = template_string_argument(render, affix);
        (void)template_charge_bytes(render, affix.count);
        return template_bool(has_affix(self, affix, front));
    }
    for (uint32_t i = 0; i < affix.list->count && template_charge(render, 1); i++)
        if (has_affix(self, template_string_argument(render, affix.list->items[i]), front))
            return template_bool(true);
    return template_bool(false);
}

METHOD(run_startswith)
{
    return test_affix(render, self, arguments[0], true);
}

METHOD(run_endswith)
{
    return test_affix(render, self, arguments[0], false);
}

METHOD(run_removeprefix)
{
    struct template_value affix = template_string_argument(render, arguments[0]);
    if (!has_affix(self, affix, true))
        return self;
    return template_string(self.bytes + affix.count, self.count - affix.count);
}

METHOD(run_removesuffix)
{
    struct template_value affix = template_string_argument(render, arguments[0]);
    if (affix.count == 0 || !has_affix(self, affix, false))
        return self;
    return template_string(self.bytes, self.count - affix.count);
}

/* Where `piece` is last, or NULL. */
static const char *find_last(struct template_value text, struct template_value piece)
{
    if (piece.count > text.count)
        return NULL;
    for (size_t at = text.count - piece.count;; at--) {
        if (memcmp(text.bytes + at, piece.bytes, piece.count) == 0)
            return text.bytes + at;
        if (at == 0)
            return NULL;
    }
}

static const char *find_first(struct template_value text, struct template_value piece)
{
    if (piece.count == 0)
        return text.bytes;
    return text.count > 0 ? memmem(text.bytes, text.count, piece.bytes, piece.count) : NULL;
}

/* The character at which a piece begins, -1 if it does not occur. */
static int64_t find_piece(struct template_render *render, struct template_value self,
                          const struct template_value *arguments, bool last)
{
    struct template_value piece = template_string_argument(render, arguments[0]);
    struct template_value bounds[] = {arguments[1], arguments[2], template_none()};
    for (size_t i = 0; i < 2; i++)
        if (bounds[i].kind == TEMPLATE_MISSING)
            bounds[i] = template_none();
    struct template_value part = self;
    if (bounds[0].kind != TEMPLATE_NONE || bounds[1].kind != TEMPLATE_NONE)
        part = template_get_slice(render, self, bounds);
    /* find_last compares the piece at each place: the worst case is the product. */
    uint64_t work = last ? 1 + piece.count / 64 : 1;
    if (!template_charge(render, part.count / 64 * work) || part.kind != TEMPLATE_STRING)
        return -1;
    const char *found = last ? find_last(part, piece) : find_first(part, piece);
    if (found == NULL)
        return -1;
    if (part.count == 0)
        found = self.bytes; /* an empty part lies nowhere; Python has the piece at its start */
    return (int64_t)template_count_characters(self.bytes, (size_t)(found - self.bytes));
}

METHOD(run_find)
{
    return template_integer(find_piece(render, self, arguments, false));
}

METHOD(run_rfind)
{
    return template_integer(find_piece(render, self, arguments, true));
}

static struct template_value fail_absent(struct template_render *render, int64_t index)
{
    return index >= 0 ? template_integer(index) : template_fail(render, "substring not found");
}

METHOD(run_index)
{
    return fail_absent(render, find_piece(render, self, arguments, false));
}

METHOD(run_rindex)
{
    return fail_absent(render, find_piece(render, self, arguments, true));
}

METHOD(run_count)
{
    struct template_value piece = template_string_argument(render, arguments[0]), rest = self;
    int64_t count = 0;
    (void)template_charge_bytes(render, self.count);
    if (piece.count == 0)
        return template_integer((int64_t)template_count_characters(self.bytes, self.count) + 1);
    for (const char *found; (found = find_first(rest, piece)) != NULL; count++) {
        size_t used = (size_t)(found - rest.bytes) + piece.count;
        rest = template_string(rest.bytes + used, rest.count - used);
    }
    return template_integer(count);
}

/* -- strings: split and join -- */

/* str.split() without separator: words, at most `left` of them cut off. */
static void split_words(struct template_render *render, struct template_list *list,
                        struct template_value text, int64_t left)
{
    for (; render->failed == 0; left--) {
        size_t space = template_leading_space(text.bytes, text.count);
        text = template_string(text.bytes + space, text.count - space);
        if (text.count == 0)
            return;
        size_t end = left == 0 ? text.count : 0;
        while (end < text.count) {
            uint32_t c;
            size_t used = utf8_decode(text.bytes + end, text.count - end, &c);
            if (template_is_space(c))
                break;
            end += used;
        }
        template_list_append(render, list, template_string(text.bytes, end));
        if (left == 0)
            return;
        text = template_string(text.bytes + end, text.count - end);
    }
}

static void split_at(struct template_render *render, struct template_list *list,
                     struct template_value text, struct template_value separator, int64_t left)
{
    const char *found;
    while (left-- != 0 && render->failed == 0 && (found = find_first(text, separator)) != NULL) {
        size_t end = (size_t)(found - text.bytes), used = end + separator.count;
        template_list_append(render, list, template_string(text.bytes, end));
        text = template_string(text.bytes + used, text.count - used);
    }
    template_list_append(render, list, text);
}

static void reverse(struct template_list *list)
{
    for (uint32_t i = 0; list != NULL && i < list->count / 2; i++) {
        struct template_value swapped = list->items[i];
        list->items[i] = list->items[list->count - 1 - i];
        list->items[list->count - 1 - i] = swapped;
    }
}

static void split_at_from_end(struct template_render *render, struct template_list *list,
                              struct template_value text, struct template_value separator,
                              int64_t left)
{
    const char *found;
    while (left-- != 0 && template_charge(render, 1 + text.count / 64) &&
           (found = find_last(text, separator)) != NULL) {
        size_t end = (size_t)(found - text.bytes), from = end + separator.count;
        template_list_append(render, list, template_string(text.bytes + from, text.count - from));
        text = template_string(text.bytes, end);
    }
    template_list_append(render, list, text);
    reverse(list);
}

static struct template_value split(struct template_render *render, struct template_value self,
                                   const struct template_value *arguments, bool from_end)
{
    struct template_list *list = template_list_new(render, 0);
    int64_t most = template_integer_argument(render, arguments[1], -1);
    bool words = arguments[0].kind == TEMPLATE_MISSING || arguments[0].kind == TEMPLATE_NONE;
    (void)template_charge_bytes(render, self.count);
    if (words && from_end && most >= 0)
        return template_fail(render, "rsplit by space with a limit is not supported");
    if (words) {
        split_words(render, list, self, most < 0 ? -1 : most);
        return template_sequence(TEMPLATE_LIST, list);
    }
    struct template_value separator = template_string_argument(render, arguments[0]);
    if (separator.count == 0)
        return template_fail(render, "the separator is empty");
    if (from_end && most >= 0)
        split_at_from_end(render, list, self, separator, most);
    else
        split_at(render, list, self, separator, most < 0 ? -1 : most);
    return template_sequence(TEMPLATE_LIST, list);
}

METHOD(run_split)
{
    return split(render, self, arguments, false);
}

METHOD(run_rsplit)
{
    return split(render, self, arguments, true);
}

METHOD(run_splitlines)
{
    if (arguments[0].kind != TEMPLATE_MISSING && template_truthy(arguments[0]))
        return template_fail(render, "splitlines that keeps the ends is not supported");
    return template_sequence(TEMPLATE_LIST, template_split_lines(render, self));
}

static struct template_value partition(struct template_render *render, struct template_value self,
                                       struct template_value argument, bool last)
{
    struct template_value piece = template_string_argument(render, argument);
    if (piece.count == 0)
        return template_fail(render, "the separator is empty");
    (void)template_charge(render, self.count / 64);
    const char *found = last ? find_last(self, piece) : find_first(self, piece);
    struct template_value empty = template_string("", 0);
    struct template_value parts[] = {last ? empty : self, empty, last ? self : empty};
    if (found != NULL) {
        size_t before = (size_t)(found - self.bytes), after = before + piece.count;
        parts[0] = template_string(self.bytes, before);
        parts[1] = piece;
        parts[2] = template_string(self.bytes + after, self.count - after);
    }
    struct template_list *list = template_list_new(render, 3);
    for (size_t i = 0; i < 3; i++)
        template_list_append(render, list, parts[i]);
    return template_sequence(TEMPLATE_TUPLE, list);
}

METHOD(run_partition)
{
    return partition(render, self, arguments[0], false);
}

METHOD(run_rpartition)
{
    return partition(render, self, arguments[0], true);
}

METHOD(run_join)
{
    const struct template_list *list = template_iterate(render, arguments[0]);
    size_t mark = template_capture_begin(render);
    for (uint32_t i = 0; render->failed == 0 && i < list->count; i++) {
        if (i > 0)
            template_write_value(render, self);
        template_write_value(render, template_string_argument(render, list->items[i]));
        (void)template_charge(render, 1);
    }
    return template_capture_end(render, mark);
}

/* The value that a field of str.format() names: "", "0" or "name". */
static struct template_value find_field(const struct template_call *call,
                                        struct template_value name, uint32_t *next)
{
    char digits[12] = {0};
    uint32_t index = *next;
    if (name.count > 0 && name.count < sizeof digits) {
        memcpy(digits, name.bytes, name.count);
        char *end;
        index = (uint32_t)strtoul(digits, &end, 10);
        if (*end != '\0' || digits[0] < '0' || digits[0] > '9')
            index = UINT32_MAX;
    } else if (name.count == 0) {
        (*next)++;
    } else {
        index = UINT32_MAX;
    }
    if (index < call->positional_count)
        return call->values[index];
    for (uint32_t i = 0; i < call->keyword_count; i++)
        if (call->names[i].count == name.count && name.count > 0 &&
            memcmp(call->names[i].bytes, name.bytes, name.count) == 0)
            return call->values[call->positional_count + i];
    return (struct template_value){.kind = TEMPLATE_MISSING};
}

/* str.format() with {}, {0} and {name}, without conversions and format specifications. */
static struct template_value run_format(struct template_render *render, struct template_value self,
                                        const struct template_call *call)
{
    size_t mark = template_capture_begin(render), at = 0;
    uint32_t next = 0;
    while (at < self.count && render->failed == 0) {
        char c = self.bytes[at];
        bool doubled = at + 1 < self.count && self.bytes[at + 1] == c;
        if (c != '{' && c != '}') {
            size_t from = at;
            while (at < self.count && self.bytes[at] != '{' && self.bytes[at] != '}')
                at++;
            template_write(render, self.bytes + from, at - from);
            continue;
        }
        const char *close =
            doubled || c == '}' ? NULL : memchr(self.bytes + at, '}', self.count - at);
        if (doubled) {
            template_write(render, &c, 1);
            at += 2;
        } else if (close == NULL) {
            template_fail(render, "format: a brace has no pair");
        } else {
            size_t end = (size_t)(close - self.bytes);
            struct template_value value =
                find_field(call, template_string(self.bytes + at + 1, end - at - 1), &next);
            if (value.kind == TEMPLATE_MISSING)
                template_fail(render, "format: a field names no argument, or is not supported");
            template_write_value(render, value);
            at = end + 1;
        }
        (void)template_charge(render, 1);
    }
    return template_capture_end(render, mark);
}

/* -- strings: what they are made of -- */

/* Is every character of a class, and is there one? */
static struct template_value all_of(struct template_render *render, struct template_value self,
                                    bool digits, bool letters)
{
    locale_t locale = render->program->letters;
    (void)template_charge(render, self.count / 32);
    for (size_t at = 0; at < self.count;) {
        uint32_t c;
        at += utf8_decode(self.bytes + at, self.count - at, &c);
        bool digit = c >= '0' && c <= '9';
        bool letter = c < 0x80                ? (c | 0x20) >= 'a' && (c | 0x20) <= 'z'
                      : locale != (locale_t)0 ? iswalpha_l((wint_t)c, locale) != 0
                                              : false;
        if (!(digits && digit) && !(letters && letter))
            return template_bool(false);
    }
    return template_bool(self.count > 0);
}

METHOD(run_isdigit)
{
    (void)arguments;
    return all_of(render, self, true, false);
}

METHOD(run_isalpha)
{
    (void)arguments;
    return all_of(render, self, false, true);
}

METHOD(run_isalnum)
{
    (void)arguments;
    return all_of(render, self, true, true);
}

METHOD(run_isspace)
{
    (void)render;
    (void)arguments;
    return template_bool(self.count > 0 &&
                         template_leading_space(self.bytes, self.count) == self.count);
}

/* Is there a letter of the case, and none of the other? */
static struct template_value is_case(struct template_render *render, struct template_value self,
                                     enum template_case wanted)
{
    (void)template_charge_bytes(render, self.count);
    struct template_value same = template_change_case(render, self, wanted);
    struct template_value other = template_change_case(
        render, self, wanted == TEMPLATE_LOWER ? TEMPLATE_UPPER : TEMPLATE_LOWER);
    return template_bool(template_equal(render, same, self) &&
                         !template_equal(render, other, self));
}

METHOD(run_islower)
{
    (void)arguments;
    return is_case(render, self, TEMPLATE_LOWER);
}

METHOD(run_isupper)
{
    (void)arguments;
    return is_case(render, self, TEMPLATE_UPPER);
}

/* -- dicts -- */

METHOD(run_get)
{
    struct template_value *found = template_dict_find(render, self.dict, arguments[0]);
    if (found != NULL)
        return *found;
    return arguments[1].kind != TEMPLATE_MISSING ? arguments[1] : template_none();
}

/* A view of the dict: 'k' its keys, 'v' its values, 'i' pairs of both. */
static struct template_value make_view(struct template_render *render, struct template_value self,
                                       uint8_t what)
{
    const struct template_dict *dict = self.dict;
    struct template_list *list = template_list_new(render, dict->count);
    (void)template_charge(render, dict->count / 4);
    for (uint32_t i = 0; i < dict->count && render->failed == 0; i++) {
        struct template_value item = what == 'k' ? dict->entries[i].key : dict->entries[i].value;
        if (what == 'i') {
            struct template_list *pair = template_list_new(render, 2);
            template_list_append(render, pair, dict->entries[i].key);
            template_list_append(render, pair, dict->entries[i].value);
            item = template_sequence(TEMPLATE_TUPLE, pair);
        }
        template_list_append(render, list, item);
    }
    struct template_value view = template_sequence(TEMPLATE_VIEW, list);
    if (view.kind == TEMPLATE_VIEW)
        view.detail = what;
    return view;
}

METHOD(run_items)
{
    (void)arguments;
    return make_view(render, self, 'i');
}

METHOD(run_keys)
{
    (void)arguments;
    return make_view(render, self, 'k');
}

METHOD(run_values)
{
    (void)arguments;
    return make_view(render, self, 'v');
}

METHOD(run_copy)
{
    (void)render;
    (void)arguments;
    return self; /* what never changes is its own copy */
}

/* -- lists and loops -- */

METHOD(run_list_index)
{
    for (uint32_t i = 0; i < self.list->count && template_charge(render, 1); i++)
        if (template_equal(render, self.list->items[i], arguments[0]))
            return template_integer(i);
    return template_fail(render, "the value is not in the list");
}

METHOD(run_list_count)
{
    int64_t count = 0;
    for (uint32_t i = 0; i < self.list->count && template_charge(render, 1); i++)
        count += template_equal(render, self.list->items[i], arguments[0]);
    return template_integer(count);
}

static struct template_value run_cycle(struct template_render *render, struct template_value self,
                                       const struct template_call *call)
{
    if (call->positional_count == 0)
        return template_fail(render, "loop.cycle needs something to cycle through");
    /* A loop that was kept may not have begun its first turn again. */
    int64_t turn = self.loop->index0 > 0 ? self.loop->index0 : 0;
    return call->values[turn % call->positional_count];
}

METHOD(run_mutator)
{
    (void)self;
    (void)arguments;
    return template_fail(render, "templates may not change lists and dicts");
}

/* -- tables -- */

static const struct template_builtin string_methods[] = {
    {"strip", run_strip, NULL, 0, {"chars"}},
    {"split", run_split, NULL, 0, {"sep", "maxsplit"}},
    {"startswith", run_startswith, NULL, 1, {"prefix"}},
    {"endswith", run_endswith, NULL, 1, {"suffix"}},
    {"lstrip", run_lstrip, NULL, 0, {"chars"}},
    {"rstrip", run_rstrip, NULL, 0, {"chars"}},
    {"replace", template_replace, NULL, 2, {"old", "new", "count"}},
    {"lower", run_lower, NULL, 0, {NULL}},
    {"upper", run_upper, NULL, 0, {NULL}},
    {"title", run_title, NULL, 0, {NULL}},
    {"capitalize", run_capitalize, NULL, 0, {NULL}},
    {"rsplit", run_rsplit, NULL, 0, {"sep", "maxsplit"}},
    {"splitlines", run_splitlines, NULL, 0, {"keepends"}},
    {"partition", run_partition, NULL, 1, {"sep"}},
    {"rpartition", run_rpartition, NULL, 1, {"sep"}},
    {"find", run_find, NULL, 1, {"sub", "start", "end"}},
    {"rfind", run_rfind, NULL, 1, {"sub", "start", "end"}},
    {"index", run_index, NULL, 1, {"sub", "start", "end"}},
    {"rindex", run_rindex, NULL, 1, {"sub", "start", "end"}},
    {"count", run_count, NULL, 1, {"sub"}},
    {"join", run_join, NULL, 1, {"iterable"}},
    {"format", NULL, run_format, 0, {NULL}},
    {"removeprefix", run_removeprefix, NULL, 1, {"prefix"}},
    {"removesuffix", run_removesuffix, NULL, 1, {"suffix"}},
    {"isdigit", run_isdigit, NULL, 0, {NULL}},
    {"isdecimal", run_isdigit, NULL, 0, {NULL}},
    {"isnumeric", run_isdigit, NULL, 0, {NULL}},
    {"isalpha", run_isalpha, NULL, 0, {NULL}},
    {"isalnum", run_isalnum, NULL, 0, {NULL}},
    {"isspace", run_isspace, NULL, 0, {NULL}},
    {"islower", run_islower, NULL, 0, {NULL}},
    {"isupper", run_isupper, NULL, 0, {NULL}},
    {NULL, NULL, NULL, 0, {NULL}},
};

static const struct template_builtin dict_methods[] = {
    {"get", run_get, NULL, 1, {"key", "default"}},
    {"items", run_items, NULL, 0, {NULL}},
    {"keys", run_keys, NULL, 0, {NULL}},
    {"values", run_values, NULL, 0, {NULL}},
    {"copy", run_copy, NULL, 0, {NULL}},
    {"clear", run_mutator, NULL, 0, {NULL}},
    {"pop", run_mutator, NULL, 0, {NULL}},
    {"popitem", run_mutator, NULL, 0, {NULL}},
    {"setdefault", run_mutator, NULL, 0, {NULL}},
    {"update", run_mutator, NULL, 0, {NULL}},
    {NULL, NULL, NULL, 0, {NULL}},
};

/* A tuple has the first two alone. */
static const struct template_builtin list_methods[] = {
    {"index", run_list_index, NULL, 1, {"value"}}, {"count", run_list_count, NULL, 1, {"value"}},
    {"copy", run_copy, NULL, 0, {NULL}},           {"append", run_mutator, NULL, 0, {NULL}},
    {"extend", run_mutator, NULL, 0, {NULL}},      {"insert", run_mutator, NULL, 0, {NULL}},
    {"pop", run_mutator, NULL, 0, {NULL}},         {"remove", run_mutator, NULL, 0, {NULL}},
    {"clear", run_mutator, NULL, 0, {NULL}},       {"reverse", run_mutator, NULL, 0, {NULL}},
    {"sort", run_mutator, NULL, 0, {NULL}},        {NULL, NULL, NULL, 0, {NULL}},
};

static const struct template_builtin loop_methods[] = {
    {"cycle", NULL, run_cycle, 0, {NULL}},
    {NULL, NULL, NULL, 0, {NULL}},
};

static const struct template_builtin *find(const struct template_builtin *table,
                                           struct template_value name)
{
    for (; table->name != NULL; table++)
        if (table->name[0] == name.bytes[0] && template_string_is(name, table->name))
            return table;
    return NULL;
}

const struct template_builtin *template_find_method(struct template_value object,
                                                    struct template_value name)
{
    const struct template_builtin *found = NULL;
    if (name.count == 0)
        return NULL;
    if (object.kind == TEMPLATE_STRING)
        found = find(string_methods, name);
    else if (object.kind == TEMPLATE_DICT)
        found = find(dict_methods, name);
    else if (object.kind == TEMPLATE_LIST || object.kind == TEMPLATE_TUPLE)
        found = find(list_methods, name);
    else if (object.kind == TEMPLATE_LOOP)
        found = find(loop_methods, name);
    if (object.kind == TEMPLATE_TUPLE && found > &list_methods[1])
        return NULL;
    return found;
}

bool template_is_method(struct template_value name)
{
    return name.count > 0 &&
           (find(string_methods, name) != NULL || find(dict_methods, name) != NULL ||
            find(list_methods, name) != NULL || find(loop_methods, name) != NULL);
}

bool template_is_mutator(const struct template_builtin *method)
{
    return method->run == run_mutator;
}
