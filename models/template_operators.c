/* SPDX-License-Identifier: Apache-2.0 */
/* template_operators.c -- Python's operators, subscripts and slices.
 *
 * Strings are UTF-8 and are counted, indexed and cut in code points. Integers are 64 bits and an
 * overflow is an error, where Python would go on: no prompt needs it. */
#include "models/template_builtin.h"

#include <math.h>
#include <string.h>

/* -- attributes and items -- */

static struct template_value no_attribute(struct template_value object, struct template_value name,
                                          unsigned detail)
{
    struct template_value undefined = template_undefined("item", 4);
    if (name.kind == TEMPLATE_STRING)
        undefined = template_undefined(name.bytes, name.count);
    undefined.detail = (uint8_t)(object.kind | detail);
    return undefined;
}

/* A method as a value; MISSING if the object has none of the name. */
static struct template_value bind_method(struct template_render *render,
                                         struct template_value object, struct template_value name)
{
    const struct template_builtin *builtin = template_find_method(object, name);
    if (builtin == NULL)
        return (struct template_value){.kind = TEMPLATE_MISSING};
    if (template_is_mutator(builtin))
        return no_attribute(object, name, TEMPLATE_UNDEFINED_UNSAFE);
    struct template_method *method = template_alloc(render, sizeof *method);
    if (method == NULL)
        return template_undefined("", 0);
    *method = (struct template_method){object, builtin};
    return (struct template_value){.kind = TEMPLATE_METHOD, .method = method};
}

/* What an object holds under a name of its own making, apart from methods. */
static struct template_value find_member(struct template_render *render,
                                         struct template_value object, struct template_value name)
{
    struct template_value *found = NULL;
    if (object.kind == TEMPLATE_LOOP)
        return template_loop_attribute(render, object.loop, name);
    if (object.kind == TEMPLATE_NAMESPACE || object.kind == TEMPLATE_DICT)
        found = template_dict_find(render, object.dict, name);
    return found != NULL ? *found : (struct template_value){.kind = TEMPLATE_MISSING};
}

struct template_value template_get_attribute(struct template_render *render,
                                             struct template_value object,
                                             struct template_value name)
{
    if (object.kind == TEMPLATE_UNDEFINED)
        return template_fail_undefined(render, object);
    struct template_value value = bind_method(render, object, name);
    if (value.kind == TEMPLATE_MISSING)
        value = find_member(render, object, name);
    return value.kind != TEMPLATE_MISSING ? value : no_attribute(object, name, 0);
}

size_t template_count_characters(const char *bytes, size_t count)
{
    size_t characters = 0;
    for (size_t i = 0; i < count; i++)
        characters += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    return characters;
}

/* The byte at which the character of this number starts. */
static size_t character_offset(struct template_value text, size_t characters, size_t index)
{
    if (characters == text.count)
        return index;
    size_t at = 0;
    while (at < text.count) {
        if (((unsigned char)text.bytes[at] & 0xc0) != 0x80 && index-- == 0)
            break;
        at++;
    }
    return at;
}

static struct template_value index_string(struct template_render *render,
                                          struct template_value text, int64_t index)
{
    (void)template_charge_bytes(render, text.count);
    int64_t count = (int64_t)template_count_characters(text.bytes, text.count);
    if (index < 0)
        index += count;
    if (index < 0 || index >= count)
        return no_attribute(text, template_none(), 0);
    size_t start = character_offset(text, (size_t)count, (size_t)index);
    uint32_t codepoint;
    size_t used = utf8_decode(text.bytes + start, text.count - start, &codepoint);
    return template_string(text.bytes + start, used);
}

struct template_value template_get_item(struct template_render *render,
                                        struct template_value object, struct template_value key)
{
    if (object.kind == TEMPLATE_UNDEFINED)
        return template_fail_undefined(render, object);
    if (object.kind == TEMPLATE_DICT) {
        struct template_value *found = template_dict_find(render, object.dict, key);
        if (found != NULL)
            return *found;
    }
    if (key.kind == TEMPLATE_STRING)
        return template_get_attribute(render, object, key);
    if (!template_is_integral(key))
        return no_attribute(object, key, 0);
    int64_t index = template_to_integer(key);
    if (object.kind == TEMPLATE_STRING)
        return index_string(render, object, index);
    if (object.kind != TEMPLATE_LIST && object.kind != TEMPLATE_TUPLE)
        return no_attribute(object, key, 0);
    if (index < 0)
        index += object.list->count;
    if (index < 0 || index >= object.list->count)
        return no_attribute(object, key, 0);
    return object.list->items[index];
}

/* -- slices -- */

struct slice {
    int64_t start, step, count;
};

static int64_t clamp(int64_t index, int64_t count, int64_t least, int64_t most)
{
    if (index < 0)
        index = index < -count ? least : index + count;
    return index < least ? least : index > most ? most : index;
}

/* Python's rules for start:stop:step over `count` items. */
static struct slice resolve_slice(struct template_render *render,
                                  const struct template_value bounds[3], int64_t count)
{
    struct slice slice = {.step = 1};
    for (size_t i = 0; i < 3; i++)
        if (bounds[i].kind != TEMPLATE_NONE && !template_is_integral(bounds[i])) {
            if (bounds[i].kind == TEMPLATE_UNDEFINED)
                template_fail_undefined(render, bounds[i]);
            template_fail(render, "slice indices must be integers or none, not '%s'",
                          template_type_name(bounds[i]));
            return slice;
        }
    if (bounds[2].kind != TEMPLATE_NONE)
        slice.step = template_to_integer(bounds[2]);
    if (slice.step == 0) {
        template_fail(render, "slice step can't be zero");
        return slice;
    }
    bool back = slice.step < 0;
    int64_t least = back ? -1 : 0, most = back ? count - 1 : count;
    int64_t stop = back ? -1 : count;
    slice.start = back ? count - 1 : 0;
    if (bounds[0].kind != TEMPLATE_NONE)
        slice.start = clamp(template_to_integer(bounds[0]), count, least, most);
    if (bounds[1].kind != TEMPLATE_NONE)
        stop = clamp(template_to_integer(bounds[1]), count, least, most);
    int64_t span = back ? slice.start - stop : stop - slice.start;
    /* A step longer than the span takes one item; it would overflow if negated or added. */
    if (span > 0 && (slice.step > span || slice.step < -span))
        slice.step = back ? -span : span;
    if (span > 0)
        slice.count = (span - 1) / (back ? -slice.step : slice.step) + 1;
    return slice;
}

static struct template_value slice_string(struct template_render *render,
                                          struct template_value text,
                                          const struct template_value bounds[3])
{
    (void)template_charge_bytes(render, 2 * (size_t)text.count);
    size_t characters = template_count_characters(text.bytes, text.count);
    struct slice slice = resolve_slice(render, bounds, (int64_t)characters);
    if (slice.count == 0 || render->failed != 0)
        return template_string("", 0);
    if (slice.step == 1) {
        size_t from = character_offset(text, characters, (size_t)slice.start);
        struct template_value rest = template_string(text.bytes + from, text.count - from);
        size_t left = characters == text.count ? rest.count : characters - (size_t)slice.start;
        return template_string(rest.bytes, character_offset(rest, left, (size_t)slice.count));
    }
    const struct template_list *all = template_iterate(render, text);
    size_t mark = template_capture_begin(render);
    for (int64_t i = 0; i < slice.count && render->failed == 0; i++) {
        struct template_value one = all->items[slice.start + i * slice.step];
        template_write(render, one.bytes, one.count);
    }
    return template_capture_end(render, mark);
}

struct template_value template_get_slice(struct template_render *render,
                                         struct template_value object,
                                         const struct template_value bounds[3])
{
    if (object.kind == TEMPLATE_UNDEFINED)
        return template_fail_undefined(render, object);
    if (object.kind == TEMPLATE_STRING)
        return slice_string(render, object, bounds);
    if (object.kind != TEMPLATE_LIST && object.kind != TEMPLATE_TUPLE)
        return template_fail(render, "a '%s' can't be sliced", template_type_name(object));
    struct slice slice = resolve_slice(render, bounds, object.list->count);
    (void)template_charge(render, (uint64_t)slice.count / 8);
    struct template_list *list = template_list_new(render, (uint32_t)slice.count);
    for (int64_t i = 0; i < slice.count && render->failed == 0; i++)
        template_list_append(render, list, object.list->items[slice.start + i * slice.step]);
    return template_sequence((enum template_kind)object.kind, list);
}

/* -- arithmetic -- */

static const char *spell(enum template_operator sign, char text[3])
{
    text[0] = (char)(sign & 0xff);
    text[1] = (char)(sign >> 8 & 0xff);
    text[2] = '\0';
    return sign == OPERATOR_IN ? "in" : sign == OPERATOR_NOT_IN ? "not in" : text;
}

static struct template_value integer_power(struct template_render *render, int64_t base,
                                           int64_t exponent)
{
    if (exponent < 0 && base == 0)
        return template_fail(render, "0 can't be raised to a negative power");
    if (exponent < 0)
        return template_float(pow((double)base, (double)exponent));
    int64_t result = 1;
    bool overflow = false, base_overflow = false;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1)
            overflow |= base_overflow || __builtin_mul_overflow(result, base, &result);
        base_overflow |= __builtin_mul_overflow(base, base, &base);
    }
    return overflow ? template_fail(render, "integer overflow") : template_integer(result);
}

/* Python rounds towards minus infinity, C towards zero. */
static struct template_value integer_division(struct template_render *render, int64_t a, int64_t b,
                                              bool modulo)
{
    if (b == 0)
        return template_fail(render, "division by zero");
    if (b == -1 && a == INT64_MIN)
        return modulo ? template_integer(0) : template_fail(render, "integer overflow");
    int64_t quotient = a / b, rest = a % b;
    if (rest != 0 && (rest < 0) != (b < 0)) {
        quotient--;
        rest += b;
    }
    return template_integer(modulo ? rest : quotient);
}

static struct template_value integer_arithmetic(struct template_render *render,
                                                enum template_operator sign, int64_t a, int64_t b)
{
    int64_t result = 0;
    bool overflow = false;
    switch (sign) {
    case OPERATOR_ADD:
        overflow = __builtin_add_overflow(a, b, &result);
        break;
    case OPERATOR_SUBTRACT:
        overflow = __builtin_sub_overflow(a, b, &result);
        break;
    case OPERATOR_MULTIPLY:
        overflow = __builtin_mul_overflow(a, b, &result);
        break;
    case OPERATOR_POWER:
        return integer_power(render, a, b);
    case OPERATOR_DIVIDE:
        if (b == 0)
            return template_fail(render, "division by zero");
        return template_float((double)a / (double)b);
    default:
        return integer_division(render, a, b, sign == OPERATOR_MODULO);
    }
    return overflow ? template_fail(render, "integer overflow") : template_integer(result);
}

static struct template_value float_arithmetic(struct template_render *render,
                                              enum template_operator sign, double a, double b)
{
    bool divides = sign == OPERATOR_DIVIDE || sign == OPERATOR_FLOOR || sign == OPERATOR_MODULO;
    if (divides && b == 0)
        return template_fail(render, "division by zero");
    double rest;
    switch (sign) {
    case OPERATOR_ADD:
        return template_float(a + b);
    case OPERATOR_SUBTRACT:
        return template_float(a - b);
    case OPERATOR_MULTIPLY:
        return template_float(a * b);
    case OPERATOR_DIVIDE:
        return template_float(a / b);
    case OPERATOR_POWER:
        return template_float(pow(a, b));
    default:
        rest = fmod(a, b);
        if (rest != 0 && (rest < 0) != (b < 0))
            rest += b;
        if (sign == OPERATOR_MODULO)
            return template_float(rest);
        return template_float(floor((a - rest) / b + 0.5)); /* a - rest is a multiple of b */
    }
}

static struct template_value repeat_string(struct template_render *render,
                                           struct template_value text, int64_t times)
{
    if (times <= 0 || text.count == 0)
        return template_string("", 0);
    if (times > TEMPLATE_MEMORY_BYTES_MAX / text.count)
        return template_fail(render, "takes more than %u bytes of memory",
                             TEMPLATE_MEMORY_BYTES_MAX);
    char *room = template_string_room(render, text.count * (size_t)times);
    for (int64_t i = 0; i < times && room != NULL; i++)
        memcpy(room + i * text.count, text.bytes, text.count);
    return room != NULL ? template_string(room, text.count * (size_t)times) : text;
}

static struct template_value join_lists(struct template_render *render, struct template_value a,
                                        struct template_value b, int64_t times)
{
    uint64_t count = (uint64_t)a.list->count + b.list->count;
    if (times > (int64_t)(TEMPLATE_MEMORY_BYTES_MAX / sizeof a / (count + 1)))
        return template_fail(render, "takes more than %u bytes of memory",
                             TEMPLATE_MEMORY_BYTES_MAX);
    struct template_list *list =
        template_list_new(render, times > 0 ? (uint32_t)(count * (uint64_t)times) : 0);
    for (int64_t turn = 0; turn < times && template_charge(render, count / 8); turn++) {
        for (uint32_t i = 0; i < a.list->count; i++)
            template_list_append(render, list, a.list->items[i]);
        for (uint32_t i = 0; i < b.list->count; i++)
            template_list_append(render, list, b.list->items[i]);
    }
    return template_sequence((enum template_kind)a.kind, list);
}

static struct template_value add_strings(struct template_render *render, struct template_value a,
                                         struct template_value b)
{
    if (a.detail != TEMPLATE_SAFE && b.detail != TEMPLATE_SAFE)
        return template_string_join(render, a, b);
    a = template_escape(render, a);
    struct template_value joined = template_string_join(render, a, template_escape(render, b));
    joined.detail = TEMPLATE_SAFE;
    return joined;
}

static bool is_list(struct template_value value)
{
    return value.kind == TEMPLATE_LIST || value.kind == TEMPLATE_TUPLE;
}

struct template_value template_arithmetic(struct template_render *render,
                                          enum template_operator sign, struct template_value a,
                                          struct template_value b)
{
    if (sign == OPERATOR_ADD && a.kind == TEMPLATE_STRING && b.kind == TEMPLATE_STRING)
        return add_strings(render, a, b);
    if (template_is_integral(a) && template_is_integral(b))
        return integer_arithmetic(render, sign, template_to_integer(a), template_to_integer(b));
    if (template_is_number(a) && template_is_number(b))
        return float_arithmetic(render, sign, template_to_double(a), template_to_double(b));
    if (a.kind == TEMPLATE_UNDEFINED || b.kind == TEMPLATE_UNDEFINED)
        return template_fail_undefined(render, a.kind == TEMPLATE_UNDEFINED ? a : b);
    if (sign == OPERATOR_ADD && is_list(a) && a.kind == b.kind)
        return join_lists(render, a, b, 1);
    if (sign == OPERATOR_MULTIPLY && template_is_integral(a) && !template_is_number(b))
        return template_arithmetic(render, sign, b, a);
    if (sign == OPERATOR_MULTIPLY && template_is_integral(b) && a.kind == TEMPLATE_STRING)
        return repeat_string(render, a, template_to_integer(b));
    struct template_list none = {0};
    if (sign == OPERATOR_MULTIPLY && template_is_integral(b) && is_list(a))
        return join_lists(render, a, template_sequence(TEMPLATE_LIST, &none),
                          template_to_integer(b));
    if (sign == OPERATOR_MODULO && a.kind == TEMPLATE_STRING)
        return template_fail(render, "formatting with '%%' is not supported");
    char text[3];
    return template_fail(render, "'%s' is not supported between '%s' and '%s'", spell(sign, text),
                         template_type_name(a), template_type_name(b));
}

/* -- comparisons -- */

bool template_contains(struct template_render *render, struct template_value container,
                       struct template_value item)
{
    if (container.kind == TEMPLATE_DICT)
        return template_check_key(render, item) &&
               template_dict_find(render, container.dict, item) != NULL;
    if (container.kind == TEMPLATE_STRING) {
        if (item.kind == TEMPLATE_UNDEFINED)
            template_fail_undefined(render, item);
        else if (item.kind != TEMPLATE_STRING)
            template_fail(render, "'in' a string needs a string on its left, not '%s'",
                          template_type_name(item));
        return template_charge_bytes(render, container.count) &&
               (item.count == 0 ||
                memmem(container.bytes, container.count, item.bytes, item.count) != NULL);
    }
    const struct template_list *list = template_iterate(render, container);
    for (uint32_t i = 0; render->failed == 0 && i < list->count; i++) {
        if (!template_charge(render, i % 8 == 0))
            return false;
        if (template_equal(render, list->items[i], item))
            return true;
    }
    return false;
}

bool template_relation(struct template_render *render, enum template_operator sign,
                       struct template_value a, struct template_value b)
{
    char text[3];
    if (sign == OPERATOR_EQUAL || sign == OPERATOR_UNEQUAL)
        return template_equal(render, a, b) == (sign == OPERATOR_EQUAL);
    if (sign == OPERATOR_IN || sign == OPERATOR_NOT_IN)
        return template_contains(render, b, a) == (sign == OPERATOR_IN);
    if ((a.kind == TEMPLATE_FLOAT && isnan(a.real)) || (b.kind == TEMPLATE_FLOAT && isnan(b.real)))
        return false;
    int order = template_compare(render, a, b, spell(sign, text));
    switch (sign) {
    case OPERATOR_LESS:
        return order < 0;
    case OPERATOR_AT_MOST:
        return order <= 0;
    case OPERATOR_MORE:
        return order > 0;
    default:
        return order >= 0;
    }
}

int64_t template_length(struct template_render *render, struct template_value value)
{
    switch ((enum template_kind)value.kind) {
    case TEMPLATE_UNDEFINED:
        return 0;
    case TEMPLATE_STRING:
        (void)template_charge_bytes(render, value.count);
        return (int64_t)template_count_characters(value.bytes, value.count);
    case TEMPLATE_LIST:
    case TEMPLATE_TUPLE:
    case TEMPLATE_VIEW:
        return value.list->count;
    case TEMPLATE_DICT:
        return value.dict->count;
    case TEMPLATE_LOOP:
        return template_loop_attribute(render, value.loop, TEMPLATE_STRING_OF("length")).integer;
    default:
        template_fail(render, "'%s' has no length", template_type_name(value));
        return 0;
    }
}
