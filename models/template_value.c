/* SPDX-License-Identifier: Apache-2.0 */
/* template_value.c -- Python's truth, equality, order and containers, over 16-byte values.
 *
 * Containers know their height (1 + that of their highest item) and refuse to grow past a limit,
 * so whatever walks one recursively -- equality, order, repr, JSON -- needs no limit of its own.
 * A namespace counts as flat: it may hold itself, and so nothing but repr looks inside, which
 * counts as it goes. Dicts are searched from the front: in prompts they hold a handful of keys,
 * and a long search is charged for. */
#include "models/template_value.h"

#include "models/chat_template.h"
#include "models/template_render.h"

#include <math.h>
#include <string.h>

struct template_value template_none(void)
{
    return (struct template_value){.kind = TEMPLATE_NONE};
}

struct template_value template_bool(bool boolean)
{
    return (struct template_value){.kind = TEMPLATE_BOOL, .boolean = boolean};
}

struct template_value template_integer(int64_t integer)
{
    return (struct template_value){.kind = TEMPLATE_INTEGER, .integer = integer};
}

struct template_value template_float(double real)
{
    return (struct template_value){.kind = TEMPLATE_FLOAT, .real = real};
}

struct template_value template_string(const char *bytes, size_t count)
{
    return (struct template_value){
        .kind = TEMPLATE_STRING, .count = (uint32_t)count, .bytes = bytes};
}

struct template_value template_undefined(const char *name, size_t count)
{
    return (struct template_value){
        .kind = TEMPLATE_UNDEFINED, .count = (uint32_t)count, .bytes = name};
}

struct template_value template_sequence(enum template_kind kind, struct template_list *list)
{
    if (list == NULL)
        return template_undefined("", 0);
    return (struct template_value){.kind = (uint8_t)kind, .list = list};
}

int64_t template_to_integer(struct template_value value)
{
    return value.kind == TEMPLATE_BOOL ? value.boolean : value.integer;
}

double template_to_double(struct template_value value)
{
    return value.kind == TEMPLATE_FLOAT ? value.real : (double)template_to_integer(value);
}

bool template_truthy(struct template_value value)
{
    switch ((enum template_kind)value.kind) {
    case TEMPLATE_MISSING:
    case TEMPLATE_UNDEFINED:
    case TEMPLATE_NONE:
        return false;
    case TEMPLATE_BOOL:
        return value.boolean;
    case TEMPLATE_INTEGER:
        return value.integer != 0;
    case TEMPLATE_FLOAT:
        return value.real != 0;
    case TEMPLATE_STRING:
        return value.count > 0;
    case TEMPLATE_LIST:
    case TEMPLATE_TUPLE:
    case TEMPLATE_VIEW:
        return value.list->count > 0;
    case TEMPLATE_DICT:
        return value.dict->count > 0;
    default:
        return true;
    }
}

bool template_string_is(struct template_value value, const char *text)
{
    return value.kind == TEMPLATE_STRING && value.count == strlen(text) &&
           memcmp(value.bytes, text, value.count) == 0;
}

const char *template_type_name(struct template_value value)
{
    static const char *const names[] = {
        [TEMPLATE_MISSING] = "missing",     [TEMPLATE_UNDEFINED] = "Undefined",
        [TEMPLATE_NONE] = "NoneType",       [TEMPLATE_BOOL] = "bool",
        [TEMPLATE_INTEGER] = "int",         [TEMPLATE_FLOAT] = "float",
        [TEMPLATE_STRING] = "str",          [TEMPLATE_LIST] = "list",
        [TEMPLATE_TUPLE] = "tuple",         [TEMPLATE_VIEW] = "dict view",
        [TEMPLATE_ITERATOR] = "generator",  [TEMPLATE_DICT] = "dict",
        [TEMPLATE_NAMESPACE] = "Namespace", [TEMPLATE_LOOP] = "LoopContext",
        [TEMPLATE_MACRO] = "Macro",         [TEMPLATE_FUNCTION] = "function",
        [TEMPLATE_METHOD] = "method",
    };
    return names[value.kind];
}

/* -- equality and order -- */

static bool equal_lists(struct template_render *render, const struct template_list *a,
                        const struct template_list *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!template_equal(render, a->items[i], b->items[i]))
            return false;
    return true;
}

static bool equal_dicts(struct template_render *render, const struct template_dict *a,
                        const struct template_dict *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        struct template_value *other = template_dict_find(render, b, a->entries[i].key);
        if (other == NULL || !template_equal(render, a->entries[i].value, *other))
            return false;
    }
    return true;
}

static bool equal_numbers(struct template_value a, struct template_value b)
{
    if (template_is_integral(a) && template_is_integral(b))
        return template_to_integer(a) == template_to_integer(b);
    return template_to_double(a) == template_to_double(b);
}

bool template_equal(struct template_render *render, struct template_value a,
                    struct template_value b)
{
    if (template_is_number(a) && template_is_number(b))
        return equal_numbers(a, b);
    if (a.kind != b.kind || !template_charge(render, 1))
        return false;
    switch ((enum template_kind)a.kind) {
    case TEMPLATE_MISSING:
    case TEMPLATE_UNDEFINED:
    case TEMPLATE_NONE:
        return true;
    case TEMPLATE_STRING:
        return a.count == b.count && template_charge_bytes(render, a.count) &&
               memcmp(a.bytes, b.bytes, a.count) == 0;
    case TEMPLATE_LIST:
    case TEMPLATE_TUPLE:
        return a.list == b.list || equal_lists(render, a.list, b.list);
    case TEMPLATE_DICT:
        return a.dict == b.dict || equal_dicts(render, a.dict, b.dict);
    case TEMPLATE_METHOD:
        return a.method == b.method;
    default:
        return a.list == b.list; /* identity, whichever pointer it is */
    }
}

static int compare_strings(struct template_render *render, struct template_value a,
                           struct template_value b)
{
    uint32_t common = a.count < b.count ? a.count : b.count;
    (void)template_charge_bytes(render, common);
    int order = common > 0 ? memcmp(a.bytes, b.bytes, common) : 0;
    if (order != 0)
        return order;
    return a.count < b.count ? -1 : a.count > b.count;
}

static int compare_lists(struct template_render *render, const struct template_list *a,
                         const struct template_list *b, const char *sign)
{
    for (uint32_t i = 0; i < a->count && i < b->count; i++)
        if (!template_equal(render, a->items[i], b->items[i]))
            return template_compare(render, a->items[i], b->items[i], sign);
    return a->count < b->count ? -1 : a->count > b->count;
}

int template_compare(struct template_render *render, struct template_value a,
                     struct template_value b, const char *sign)
{
    if (!template_charge(render, 1))
        return 0;
    if (template_is_integral(a) && template_is_integral(b)) {
        int64_t left = template_to_integer(a), right = template_to_integer(b);
        return left < right ? -1 : left > right;
    }
    if (template_is_number(a) && template_is_number(b)) {
        double left = template_to_double(a), right = template_to_double(b);
        return left < right ? -1 : left > right;
    }
    if (a.kind == TEMPLATE_STRING && b.kind == TEMPLATE_STRING)
        return compare_strings(render, a, b);
    if (a.kind == b.kind && (a.kind == TEMPLATE_LIST || a.kind == TEMPLATE_TUPLE))
        return compare_lists(render, a.list, b.list, sign);
    if (a.kind == TEMPLATE_UNDEFINED || b.kind == TEMPLATE_UNDEFINED)
        template_fail_undefined(render, a.kind == TEMPLATE_UNDEFINED ? a : b);
    else
        template_fail(render, "'%s' not supported between instances of '%s' and '%s'", sign,
                      template_type_name(a), template_type_name(b));
    return 0;
}

/* -- containers -- */

static uint32_t height_of(struct template_value value)
{
    switch ((enum template_kind)value.kind) {
    case TEMPLATE_LIST:
    case TEMPLATE_TUPLE:
    case TEMPLATE_VIEW:
    case TEMPLATE_ITERATOR:
        return value.list->height;
    case TEMPLATE_DICT:
        return value.dict->height;
    default:
        return 0;
    }
}

/* Raises *height over a new item; false if that is too high. */
static bool raise_height(struct template_render *render, uint32_t *height,
                         struct template_value item)
{
    uint32_t needed = height_of(item) + 1;
    if (needed > CHAT_TEMPLATE_DEPTH_MAX)
        template_fail(render, "values are nested deeper than %u", CHAT_TEMPLATE_DEPTH_MAX);
    if (needed > *height)
        *height = needed;
    return render->failed == 0;
}

/* Doubles an array of the arena; the old one is left behind, at most as much again. */
static void *grow(struct template_render *render, void *items, uint32_t *capacity, size_t size)
{
    uint32_t doubled = *capacity > 0 ? *capacity * 2 : 4;
    void *grown = template_alloc(render, doubled * size);
    if (grown == NULL)
        return NULL;
    if (*capacity > 0)
        memcpy(grown, items, *capacity * size);
    *capacity = doubled;
    return grown;
}

struct template_list *template_list_new(struct template_render *render, uint32_t capacity)
{
    struct template_list *list = template_alloc(render, sizeof *list);
    if (list == NULL || capacity == 0)
        return list;
    list->items = template_alloc(render, capacity * sizeof *list->items);
    list->capacity = capacity;
    return list->items != NULL ? list : NULL;
}

bool template_list_append(struct template_render *render, struct template_list *list,
                          struct template_value value)
{
    if (list == NULL || render->failed != 0 || !raise_height(render, &list->height, value))
        return false;
    if (list->count == list->capacity) {
        void *grown = grow(render, list->items, &list->capacity, sizeof *list->items);
        if (grown == NULL)
            return false;
        list->items = grown;
    }
    list->items[list->count++] = value;
    return true;
}

struct template_dict *template_dict_new(struct template_render *render, uint32_t capacity)
{
    struct template_dict *dict = template_alloc(render, sizeof *dict);
    if (dict == NULL || capacity == 0)
        return dict;
    dict->entries = template_alloc(render, capacity * sizeof *dict->entries);
    dict->capacity = capacity;
    return dict->entries != NULL ? dict : NULL;
}

static bool append_entry(struct template_render *render, struct template_dict *dict,
                         struct template_value key, struct template_value value)
{
    if (dict->count == dict->capacity) {
        void *grown = grow(render, dict->entries, &dict->capacity, sizeof *dict->entries);
        if (grown == NULL)
            return false;
        dict->entries = grown;
    }
    dict->entries[dict->count++] = (struct template_entry){key, value};
    return true;
}

static bool is_hashable(struct template_value value)
{
    if (value.kind == TEMPLATE_TUPLE)
        for (uint32_t i = 0; i < value.list->count; i++)
            if (!is_hashable(value.list->items[i]))
                return false;
    return value.kind != TEMPLATE_LIST && value.kind != TEMPLATE_DICT;
}

bool template_check_key(struct template_render *render, struct template_value key)
{
    if (!is_hashable(key))
        template_fail(render, "unhashable type: '%s'", template_type_name(key));
    return render->failed == 0;
}

bool template_dict_set(struct template_render *render, struct template_dict *dict,
                       struct template_value key, struct template_value value)
{
    if (dict == NULL || render->failed != 0 || !raise_height(render, &dict->height, value) ||
        !raise_height(render, &dict->height, key))
        return false;
    if (!template_check_key(render, key))
        return false;
    struct template_value *old = template_dict_find(render, dict, key);
    if (old != NULL) {
        *old = value;
        return true;
    }
    return append_entry(render, dict, key, value);
}

struct template_value *template_dict_find(struct template_render *render,
                                          const struct template_dict *dict,
                                          struct template_value key)
{
    uint64_t key_steps = key.kind == TEMPLATE_STRING ? key.count / TEMPLATE_STEP_BYTES : 0;
    if (!template_charge(render, dict->count / 16 + dict->count * key_steps))
        return NULL;
    for (uint32_t i = 0; i < dict->count; i++) {
        struct template_value other = dict->entries[i].key;
        bool same =
            key.kind == TEMPLATE_STRING && other.kind == TEMPLATE_STRING
                ? key.count == other.count &&
                      (key.bytes == other.bytes || memcmp(key.bytes, other.bytes, key.count) == 0)
                : template_equal(render, key, other);
        if (same)
            return &dict->entries[i].value;
    }
    return NULL;
}

/* -- iteration -- */

static struct template_list *iterate_string(struct template_render *render,
                                            struct template_value text)
{
    struct template_list *list = template_list_new(render, text.count);
    (void)template_charge(render, text.count / 8);
    for (size_t at = 0; at < text.count && render->failed == 0;) {
        uint32_t codepoint;
        size_t used = utf8_decode(text.bytes + at, text.count - at, &codepoint);
        template_list_append(render, list, template_string(text.bytes + at, used));
        at += used;
    }
    return list;
}

/* The rest of an iterator, which has then none. */
static struct template_list *drain(struct template_render *render, struct template_list *list)
{
    struct template_list *rest = template_alloc(render, sizeof *rest);
    if (rest == NULL)
        return NULL;
    *rest = *list;
    if (list->taken > 0)
        rest->items += list->taken;
    rest->count -= list->taken;
    rest->capacity = rest->count;
    rest->taken = 0;
    list->taken = list->count;
    return rest;
}

struct template_list *template_iterate(struct template_render *render, struct template_value value)
{
    struct template_list *list = NULL;
    switch ((enum template_kind)value.kind) {
    case TEMPLATE_LIST:
    case TEMPLATE_TUPLE:
    case TEMPLATE_VIEW:
        return value.list;
    case TEMPLATE_ITERATOR:
        list = drain(render, value.list);
        break;
    case TEMPLATE_STRING:
        list = iterate_string(render, value);
        break;
    case TEMPLATE_DICT:
        list = template_list_new(render, value.dict->count);
        for (uint32_t i = 0; i < value.dict->count && render->failed == 0; i++)
            template_list_append(render, list, value.dict->entries[i].key);
        break;
    case TEMPLATE_UNDEFINED:
        break;
    default:
        template_fail(render, "'%s' object is not iterable", template_type_name(value));
        break;
    }
    return list != NULL ? list : &render->nothing;
}

/* -- JSON -- */

static struct template_value convert(struct template_render *render, json_t *json, uint32_t depth);

static struct template_value convert_object(struct template_render *render, json_t *json,
                                            uint32_t depth)
{
    struct template_dict *dict = template_dict_new(render, (uint32_t)json_object_size(json));
    for (void *at = json_object_iter(json); at != NULL && dict != NULL && render->failed == 0;
         at = json_object_iter_next(json, at)) {
        struct template_value key =
            template_string(json_object_iter_key(at), json_object_iter_key_len(at));
        struct template_value value = convert(render, json_object_iter_value(at), depth + 1);
        /* The keys of an object differ already: no search. */
        if (raise_height(render, &dict->height, value))
            append_entry(render, dict, key, value);
    }
    if (dict == NULL)
        return template_undefined("", 0);
    return (struct template_value){.kind = TEMPLATE_DICT, .dict = dict};
}

static struct template_value convert(struct template_render *render, json_t *json, uint32_t depth)
{
    if (depth > CHAT_TEMPLATE_DEPTH_MAX)
        return template_fail(render, "the input is nested deeper than %u", CHAT_TEMPLATE_DEPTH_MAX);
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return convert_object(render, json, depth);
    case JSON_ARRAY: {
        struct template_list *list = template_list_new(render, (uint32_t)json_array_size(json));
        for (size_t i = 0; i < json_array_size(json) && list != NULL && render->failed == 0; i++)
            template_list_append(render, list, convert(render, json_array_get(json, i), depth + 1));
        return template_sequence(TEMPLATE_LIST, list);
    }
    case JSON_STRING:
        if (json_string_length(json) > UINT32_MAX / 2)
            return template_fail(render, "a string of the input is too long");
        return template_string(json_string_value(json), json_string_length(json));
    case JSON_INTEGER:
        return template_integer(json_integer_value(json));
    case JSON_REAL:
        return template_float(json_real_value(json));
    case JSON_TRUE:
    case JSON_FALSE:
        return template_bool(json_is_true(json));
    default:
        return template_none();
    }
}

struct template_value template_from_json(struct template_render *render, json_t *json)
{
    return convert(render, json, 0);
}
