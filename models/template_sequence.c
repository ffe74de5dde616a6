/* SPDX-License-Identifier: Apache-2.0 */
/* template_sequence.c -- the filters that go through a sequence: choose, map, order, sum, group.
 *
 * Those that are generators in Jinja answer an iterator, which is true even when it is empty, has
 * no length, and runs once; templates are written around that. Sorting is a stable merge. */
#include "models/template_builtin.h"

#include <stdlib.h>
#include <string.h>

#define FILTER(name)                                                                               \
    static struct template_value name(struct template_render *render,                              \
                                      struct template_value subject,                               \
                                      const struct template_value *arguments)

static bool is_given(struct template_value argument)
{
    return argument.kind != TEMPLATE_MISSING && argument.kind != TEMPLATE_NONE;
}

/* The item's value under an attribute such as "function.name" or "0"; the item itself if no
 * attribute is given. */
static struct template_value get_path(struct template_render *render, struct template_value item,
                                      struct template_value path)
{
    if (!is_given(path))
        return item;
    if (path.kind != TEMPLATE_STRING)
        return template_get_item(render, item, path);
    size_t from = 0;
    while (from <= path.count && render->failed == 0) {
        size_t end = from;
        while (end < path.count && path.bytes[end] != '.')
            end++;
        struct template_value key = template_string(path.bytes + from, end - from);
        int64_t index = 0;
        bool digits = key.count > 0 && key.count < 10;
        for (size_t i = 0; i < key.count && digits; i++) {
            digits = key.bytes[i] >= '0' && key.bytes[i] <= '9';
            index = index * 10 + (key.bytes[i] - '0');
        }
        item = template_get_item(render, item, digits ? template_integer(index) : key);
        from = end + 1;
    }
    return item;
}

static struct template_value fold_case(struct template_render *render, struct template_value value,
                                       bool case_sensitive)
{
    if (case_sensitive || value.kind != TEMPLATE_STRING)
        return value;
    return template_change_case(render, value, TEMPLATE_LOWER);
}

/* -- choose and map -- */

/* The call without its first `used` positional arguments. */
static void shift_call(const struct template_call *call, uint32_t used, struct template_call *ret)
{
    *ret = *call;
    memmove(ret->values, ret->values + used, (TEMPLATE_ARGUMENTS_MAX - used) * sizeof *ret->values);
    ret->positional_count -= used;
}

static struct template_value map_attribute(struct template_render *render,
                                           const struct template_list *items,
                                           const struct template_call *call)
{
    struct template_value attribute = {0}, fallback = {0};
    for (uint32_t i = 0; i < call->keyword_count; i++) {
        struct template_value value = call->values[i];
        if (template_string_is(call->names[i], "attribute"))
            attribute = value;
        else if (template_string_is(call->names[i], "default"))
            fallback = value;
        else
            return template_fail(render, "map: argument '%.*s' is not known",
                                 (int)call->names[i].count, call->names[i].bytes);
    }
    if (attribute.kind == TEMPLATE_MISSING)
        return template_fail(render, "map needs a filter or an attribute");
    struct template_list *mapped = template_list_new(render, items->count);
    for (uint32_t i = 0; i < items->count && template_charge(render, 1); i++) {
        struct template_value value = get_path(render, items->items[i], attribute);
        if (value.kind == TEMPLATE_UNDEFINED && is_given(fallback))
            value = fallback;
        template_list_append(render, mapped, value);
    }
    return template_sequence(TEMPLATE_ITERATOR, mapped);
}

static struct template_value run_map(struct template_render *render, struct template_value subject,
                                     const struct template_call *call)
{
    if (!template_truthy(subject)) /* none, too: what is false has nothing to map */
        return template_sequence(TEMPLATE_ITERATOR, template_list_new(render, 0));
    const struct template_list *items = template_iterate(render, subject);
    if (call->positional_count == 0)
        return map_attribute(render, items, call);
    struct template_value name = template_string_argument(render, call->values[0]);
    const struct template_builtin *filter = template_find_filter(name);
    if (filter == NULL)
        return template_fail(render, "map: unknown filter '%.*s'", (int)name.count, name.bytes);
    struct template_call rest;
    shift_call(call, 1, &rest);
    struct template_list *mapped = template_list_new(render, items->count);
    for (uint32_t i = 0; i < items->count && template_charge(render, 1); i++)
        template_list_append(render, mapped,
                             template_call_builtin(render, filter, items->items[i], &rest));
    return template_sequence(TEMPLATE_ITERATOR, mapped);
}

/* select, reject, selectattr, rejectattr: items, or attributes of them, for which a test -- or
 * without one their truth -- gives `wanted`. */
static struct template_value choose(struct template_render *render, struct template_value subject,
                                    const struct template_call *call, bool by_attribute,
                                    bool wanted)
{
    uint32_t used = by_attribute;
    if (!template_truthy(subject)) /* none, too: what is false has nothing to choose from */
        return template_sequence(TEMPLATE_ITERATOR, template_list_new(render, 0));
    const struct template_list *items = template_iterate(render, subject);
    if (call->positional_count < used)
        return template_fail(render, "selectattr and rejectattr need an attribute");
    const struct template_builtin *test = NULL;
    if (call->positional_count > used) {
        struct template_value name = template_string_argument(render, call->values[used++]);
        test = template_find_test(name);
        if (test == NULL)
            return template_fail(render, "unknown test '%.*s'", (int)name.count, name.bytes);
    }
    struct template_value attribute = {0};
    if (by_attribute)
        attribute = call->values[0];
    struct template_call rest;
    shift_call(call, used, &rest);
    struct template_list *chosen = template_list_new(render, 0);
    for (uint32_t i = 0; i < items->count && template_charge(render, 1); i++) {
        struct template_value value = get_path(render, items->items[i], attribute);
        if (test != NULL)
            value = template_call_builtin(render, test, value, &rest);
        if (template_truthy(value) == wanted)
            template_list_append(render, chosen, items->items[i]);
    }
    return template_sequence(TEMPLATE_ITERATOR, chosen);
}

static struct template_value run_select(struct template_render *render,
                                        struct template_value subject,
                                        const struct template_call *call)
{
    return choose(render, subject, call, false, true);
}

static struct template_value run_reject(struct template_render *render,
                                        struct template_value subject,
                                        const struct template_call *call)
{
    return choose(render, subject, call, false, false);
}

static struct template_value run_selectattr(struct template_render *render,
                                            struct template_value subject,
                                            const struct template_call *call)
{
    return choose(render, subject, call, true, true);
}

static struct template_value run_rejectattr(struct template_render *render,
                                            struct template_value subject,
                                            const struct template_call *call)
{
    return choose(render, subject, call, true, false);
}

/* -- order -- */

struct keyed {
    struct template_value key, item;
};

/* Two sorted runs, [low, middle) and [middle, high), to become one. */
struct merge {
    const struct keyed *from;
    struct keyed *to;
    size_t low, middle, high;
    bool reverse;
};

static void merge_runs(struct template_render *render, const struct merge *merge)
{
    const struct keyed *from = merge->from;
    size_t left = merge->low, right = merge->middle;
    for (size_t i = merge->low; i < merge->high; i++) {
        bool take_right = left == merge->middle;
        if (!take_right && right < merge->high) {
            int order = template_compare(render, from[right].key, from[left].key, "<");
            take_right = merge->reverse ? order > 0 : order < 0;
        }
        merge->to[i] = take_right ? from[right++] : from[left++];
    }
}

/* Stable; `reverse` keeps equal items in their order too, as Python does. */
static struct keyed *sort_keyed(struct template_render *render, struct keyed *items, size_t count,
                                bool reverse)
{
    struct keyed *other = template_alloc(render, (count + 1) * sizeof *items);
    for (size_t width = 1; width < count && other != NULL && render->failed == 0; width *= 2) {
        for (size_t low = 0; low < count; low += 2 * width) {
            struct merge merge = {.from = items, .to = other, .low = low, .reverse = reverse};
            merge.middle = low + width < count ? low + width : count;
            merge.high = low + 2 * width < count ? low + 2 * width : count;
            merge_runs(render, &merge);
        }
        struct keyed *swapped = items;
        items = other;
        other = swapped;
    }
    return items;
}

/* What an item is sorted by: an attribute, or a tuple of those that commas divide. */
static struct template_value sort_key(struct template_render *render, struct template_value item,
                                      struct template_value attribute, bool case_sensitive)
{
    bool several = attribute.kind == TEMPLATE_STRING && attribute.count > 0 &&
                   memchr(attribute.bytes, ',', attribute.count) != NULL;
    if (!several)
        return fold_case(render, get_path(render, item, attribute), case_sensitive);
    struct template_list *keys = template_list_new(render, 2);
    for (size_t from = 0; from <= attribute.count && render->failed == 0;) {
        size_t end = from;
        while (end < attribute.count && attribute.bytes[end] != ',')
            end++;
        struct template_value path = template_string(attribute.bytes + from, end - from);
        template_list_append(render, keys,
                             fold_case(render, get_path(render, item, path), case_sensitive));
        from = end + 1;
    }
    return template_sequence(TEMPLATE_TUPLE, keys);
}

/* sort(reverse=false, case_sensitive=false, attribute=none) */
FILTER(run_sort)
{
    const struct template_list *list = template_iterate(render, subject);
    struct keyed *keyed =
        template_alloc(render, (list == NULL ? 0 : list->count + 1) * sizeof *keyed);
    if (keyed == NULL)
        return subject;
    for (uint32_t i = 0; i < list->count && template_charge(render, 1); i++)
        keyed[i] = (struct keyed){
            sort_key(render, list->items[i], arguments[2], template_truthy(arguments[1])),
            list->items[i]};
    keyed = sort_keyed(render, keyed, list->count, template_truthy(arguments[0]));
    struct template_list *sorted = template_list_new(render, list->count);
    for (uint32_t i = 0; i < list->count && render->failed == 0; i++)
        template_list_append(render, sorted, keyed[i].item);
    return template_sequence(TEMPLATE_LIST, sorted);
}

/* dictsort(case_sensitive=false, by='key', reverse=false) */
FILTER(run_dictsort)
{
    if (subject.kind == TEMPLATE_UNDEFINED)
        return template_fail_undefined(render, subject);
    if (subject.kind != TEMPLATE_DICT)
        return template_fail(render, "dictsort: a mapping is needed, not '%s'",
                             template_type_name(subject));
    bool by_key = arguments[1].kind == TEMPLATE_MISSING || template_string_is(arguments[1], "key");
    if (!by_key && !template_string_is(arguments[1], "value"))
        return template_fail(render, "dictsort: sort by \"key\" or \"value\"");
    const struct template_builtin *items =
        template_find_method(subject, TEMPLATE_STRING_OF("items"));
    struct template_value sort_arguments[] = {arguments[2], arguments[0],
                                              template_integer(by_key ? 0 : 1)};
    return run_sort(render, items->run(render, subject, arguments), sort_arguments);
}

/* unique(case_sensitive=false, attribute=none) */
FILTER(run_unique)
{
    const struct template_list *list = template_iterate(render, subject);
    struct template_list *unique = template_list_new(render, 0);
    struct template_dict *seen = template_dict_new(render, 0);
    for (uint32_t i = 0; render->failed == 0 && i < list->count && template_charge(render, 1);
         i++) {
        struct template_value key = fold_case(
            render, get_path(render, list->items[i], arguments[1]), template_truthy(arguments[0]));
        uint32_t before = seen->count;
        template_dict_set(render, seen, key, template_none());
        if (seen->count > before)
            template_list_append(render, unique, list->items[i]);
    }
    return template_sequence(TEMPLATE_ITERATOR, unique);
}

/* min and max(case_sensitive=false, attribute=none): the first of the extreme ones. */
static struct template_value extreme(struct template_render *render, struct template_value subject,
                                     const struct template_value *arguments, bool most)
{
    static const char hint[] = "there is no least or greatest item, the sequence is empty";
    struct template_value best = template_undefined(hint, sizeof hint - 1), best_key = {0};
    best.detail = TEMPLATE_UNDEFINED_HINT;
    const struct template_list *list = template_iterate(render, subject);
    for (uint32_t i = 0; render->failed == 0 && i < list->count && template_charge(render, 1);
         i++) {
        struct template_value key = fold_case(
            render, get_path(render, list->items[i], arguments[1]), template_truthy(arguments[0]));
        int order = i == 0 ? 0 : template_compare(render, key, best_key, most ? ">" : "<");
        if (i > 0 && (most ? order <= 0 : order >= 0))
            continue;
        best = list->items[i];
        best_key = key;
    }
    return best;
}

FILTER(run_min)
{
    return extreme(render, subject, arguments, false);
}

FILTER(run_max)
{
    return extreme(render, subject, arguments, true);
}

/* -- sum, join, groups -- */

/* sum(attribute=none, start=0) */
FILTER(run_sum)
{
    struct template_value sum =
        arguments[1].kind == TEMPLATE_MISSING ? template_integer(0) : arguments[1];
    const struct template_list *list = template_iterate(render, subject);
    for (uint32_t i = 0; render->failed == 0 && i < list->count && template_charge(render, 1); i++)
        sum = template_arithmetic(render, OPERATOR_ADD, sum,
                                  get_path(render, list->items[i], arguments[0]));
    return sum;
}

/* join(d='', attribute=none) */
FILTER(run_join)
{
    struct template_value separator = template_string("", 0);
    if (arguments[0].kind != TEMPLATE_MISSING)
        separator = template_to_string(render, arguments[0]);
    const struct template_list *list = template_iterate(render, subject);
    size_t mark = template_capture_begin(render);
    for (uint32_t i = 0; render->failed == 0 && i < list->count && template_charge(render, 1);
         i++) {
        if (i > 0)
            template_write_value(render, separator);
        template_write_value(render, get_path(render, list->items[i], arguments[1]));
    }
    return template_capture_end(render, mark);
}

/* batch(linecount, fill_with=none): lists of so many items. */
FILTER(run_batch)
{
    int64_t size = template_integer_argument(render, arguments[0], 1);
    const struct template_list *list = template_iterate(render, subject);
    struct template_list *batches = template_list_new(render, 0), *batch = NULL;
    if (size < 1 || size > TEMPLATE_RANGE_MAX)
        return template_fail(render, "batch: a size from 1 to %u is needed", TEMPLATE_RANGE_MAX);
    for (uint32_t i = 0; i < list->count && template_charge(render, 1); i++) {
        if (i % size == 0) {
            batch = template_list_new(render, 0);
            template_list_append(render, batches, template_sequence(TEMPLATE_LIST, batch));
        }
        template_list_append(render, batch, list->items[i]);
    }
    while (batch != NULL && is_given(arguments[1]) && batch->count < size &&
           template_list_append(render, batch, arguments[1]))
        (void)template_charge(render, 1);
    return template_sequence(TEMPLATE_ITERATOR, batches);
}

/* slice(slices, fill_with=none): so many lists, the longer ones first. */
FILTER(run_slice)
{
    int64_t slices = template_integer_argument(render, arguments[0], 1);
    const struct template_list *list = template_iterate(render, subject);
    struct template_list *all = template_list_new(render, 0);
    if (slices < 1 || slices > TEMPLATE_RANGE_MAX)
        return template_fail(render, "slice: from 1 to %u slices", TEMPLATE_RANGE_MAX);
    uint32_t at = 0, longer = render->failed == 0 ? list->count % (uint32_t)slices : 0;
    for (uint32_t i = 0; i < slices && template_charge(render, 1); i++) {
        uint32_t count = list->count / (uint32_t)slices + (i < longer);
        struct template_list *slice = template_list_new(render, count);
        for (uint32_t j = 0; j < count && render->failed == 0; j++)
            template_list_append(render, slice, list->items[at++]);
        if (is_given(arguments[1]) && i >= longer)
            template_list_append(render, slice, arguments[1]);
        template_list_append(render, all, template_sequence(TEMPLATE_LIST, slice));
    }
    return template_sequence(TEMPLATE_ITERATOR, all);
}

const struct template_builtin *template_find_sequence_filter(struct template_value name)
{
    static const struct template_builtin filters[] = {
        {"join", run_join, NULL, 0, {"d", "attribute"}},
        {"map", NULL, run_map, 0, {NULL}},
        {"select", NULL, run_select, 0, {NULL}},
        {"reject", NULL, run_reject, 0, {NULL}},
        {"selectattr", NULL, run_selectattr, 0, {NULL}},
        {"rejectattr", NULL, run_rejectattr, 0, {NULL}},
        {"sort", run_sort, NULL, 0, {"reverse", "case_sensitive", "attribute"}},
        {"dictsort", run_dictsort, NULL, 0, {"case_sensitive", "by", "reverse"}},
        {"unique", run_unique, NULL, 0, {"case_sensitive", "attribute"}},
        {"min", run_min, NULL, 0, {"case_sensitive", "attribute"}},
        {"max", run_max, NULL, 0, {"case_sensitive", "attribute"}},
        {"sum", run_sum, NULL, 0, {"attribute", "start"}},
        {"batch", run_batch, NULL, 1, {"linecount", "fill_with"}},
        {"slice", run_slice, NULL, 1, {"slices", "fill_with"}},
    };
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (template_string_is(name, filters[i].name))
            return &filters[i];
    return NULL;
}
