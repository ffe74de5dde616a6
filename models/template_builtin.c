/* SPDX-License-Identifier: Apache-2.0 */
/* template_builtin.c -- how builtins get their arguments, and the global functions. */
#include "models/template_builtin.h"

#include <string.h>
#include <time.h>

/* -- calling -- */

static uint32_t count_parameters(const struct template_builtin *builtin)
{
    uint32_t count = 0;
    while (count < TEMPLATE_PARAMETERS_MAX && builtin->parameters[count] != NULL)
        count++;
    return count;
}

/* Puts arguments in the places of their parameters; what is not given stays MISSING. */
static void place_arguments(struct template_render *render, const struct template_builtin *builtin,
                            const struct template_call *call, struct template_value *places)
{
    uint32_t count = count_parameters(builtin);
    if (call->positional_count > count) {
        template_fail(render, "%s takes not more than %u arguments", builtin->name, count);
        return;
    }
    for (uint32_t i = 0; i < call->positional_count; i++)
        places[i] = call->values[i];
    for (uint32_t i = 0; i < call->keyword_count; i++) {
        uint32_t place = 0;
        while (place < count && !template_string_is(call->names[i], builtin->parameters[place]))
            place++;
        if (place == count || places[place].kind != TEMPLATE_MISSING) {
            template_fail(render, "%s: argument '%.*s' is not known, or given twice", builtin->name,
                          (int)call->names[i].count, call->names[i].bytes);
            return;
        }
        places[place] = call->values[call->positional_count + i];
    }
    for (uint32_t i = 0; i < builtin->required_count; i++)
        if (places[i].kind == TEMPLATE_MISSING)
            template_fail(render, "%s: argument '%s' is missing", builtin->name,
                          builtin->parameters[i]);
}

struct template_value template_call_builtin(struct template_render *render,
                                            const struct template_builtin *builtin,
                                            struct template_value subject,
                                            const struct template_call *call)
{
    if (!template_charge(render, 1))
        return template_undefined("", 0);
    if (builtin->run_variadic != NULL)
        return builtin->run_variadic(render, subject, call);
    struct template_value places[TEMPLATE_PARAMETERS_MAX] = {0};
    place_arguments(render, builtin, call, places);
    if (render->failed != 0)
        return template_undefined("", 0);
    return builtin->run(render, subject, places);
}

struct template_value template_call_value(struct template_render *render,
                                          struct template_value callee,
                                          const struct template_call *call)
{
    switch ((enum template_kind)callee.kind) {
    case TEMPLATE_MACRO:
        return template_call_macro(render, callee.macro, call);
    case TEMPLATE_FUNCTION:
        return template_call_builtin(render, callee.builtin, template_none(), call);
    case TEMPLATE_METHOD:
        return template_call_builtin(render, callee.method->builtin, callee.method->self, call);
    case TEMPLATE_UNDEFINED:
        return template_fail_undefined(render, callee);
    default:
        return template_fail(render, "'%s' object is not callable", template_type_name(callee));
    }
}

int64_t template_integer_argument(struct template_render *render, struct template_value value,
                                  int64_t fallback)
{
    if (value.kind == TEMPLATE_MISSING)
        return fallback;
    if (template_is_integral(value))
        return template_to_integer(value);
    if (value.kind == TEMPLATE_UNDEFINED)
        template_fail_undefined(render, value);
    template_fail(render, "an integer is needed, not '%s'", template_type_name(value));
    return fallback;
}

struct template_value template_string_argument(struct template_render *render,
                                               struct template_value value)
{
    if (value.kind == TEMPLATE_STRING)
        return value;
    if (value.kind == TEMPLATE_UNDEFINED)
        template_fail_undefined(render, value);
    if (value.kind != TEMPLATE_MISSING)
        template_fail(render, "a string is needed, not '%s'", template_type_name(value));
    return template_string("", 0);
}

/* -- functions -- */

static struct template_value run_range(struct template_render *render,
                                       struct template_value subject,
                                       const struct template_value *arguments)
{
    (void)subject;
    bool one = arguments[1].kind == TEMPLATE_MISSING;
    int64_t start = one ? 0 : template_integer_argument(render, arguments[0], 0);
    int64_t stop = template_integer_argument(render, arguments[one ? 0 : 1], 0);
    int64_t step = template_integer_argument(render, arguments[2], 1);
    if (step == 0)
        return template_fail(render, "range: the step can't be zero");
    uint64_t span = 0, stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    if (step > 0 ? stop > start : start > stop)
        span = step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
    uint64_t count = span == 0 ? 0 : (span - 1) / stride + 1;
    if (count > TEMPLATE_RANGE_MAX)
        return template_fail(render, "range: more than %u items", TEMPLATE_RANGE_MAX);
    struct template_list *list = template_list_new(render, (uint32_t)count);
    (void)template_charge(render, count / 8);
    for (uint64_t i = 0; i < count && render->failed == 0; i++)
        template_list_append(render, list,
                             template_integer((int64_t)((uint64_t)start + i * (uint64_t)step)));
    return template_sequence(TEMPLATE_LIST, list);
}

/* Entries of a mapping, or pairs of a sequence. */
static void copy_entries(struct template_render *render, struct template_dict *dict,
                         struct template_value from)
{
    if (from.kind == TEMPLATE_DICT) {
        for (uint32_t i = 0; i < from.dict->count && template_charge(render, 1); i++)
            template_dict_set(render, dict, from.dict->entries[i].key, from.dict->entries[i].value);
        return;
    }
    const struct template_list *list = template_iterate(render, from);
    for (uint32_t i = 0; render->failed == 0 && i < list->count; i++) {
        const struct template_list *pair = template_iterate(render, list->items[i]);
        if (render->failed == 0 && pair->count != 2)
            template_fail(render, "a dict is made of pairs, not of %u values", pair->count);
        if (render->failed == 0)
            template_dict_set(render, dict, pair->items[0], pair->items[1]);
    }
}

static struct template_value run_dict(struct template_render *render, struct template_value subject,
                                      const struct template_call *call)
{
    (void)subject;
    struct template_dict *dict = template_dict_new(render, 0);
    if (call->positional_count > 1)
        return template_fail(render, "dict takes not more than 1 positional argument");
    if (call->positional_count == 1)
        copy_entries(render, dict, call->values[0]);
    for (uint32_t i = 0; i < call->keyword_count; i++)
        template_dict_set(render, dict, call->names[i], call->values[call->positional_count + i]);
    if (dict == NULL)
        return template_undefined("", 0);
    return (struct template_value){.kind = TEMPLATE_DICT, .dict = dict};
}

static struct template_value run_namespace(struct template_render *render,
                                           struct template_value subject,
                                           const struct template_call *call)
{
    struct template_value value = run_dict(render, subject, call);
    if (value.kind == TEMPLATE_DICT)
        value.kind = TEMPLATE_NAMESPACE;
    return value;
}

static struct template_value run_raise(struct template_render *render,
                                       struct template_value subject,
                                       const struct template_value *arguments)
{
    (void)subject;
    return template_raise(render, template_to_string(render, arguments[0]));
}

static struct template_value run_strftime(struct template_render *render,
                                          struct template_value subject,
                                          const struct template_value *arguments)
{
    (void)subject;
    struct template_value format = template_string_argument(render, arguments[0]);
    char pattern[256], text[1024];
    struct tm parts;
    time_t now = (time_t)render->now_unix;
    if (format.count >= sizeof pattern || gmtime_r(&now, &parts) == NULL)
        return template_fail(render, "strftime_now: the format is too long");
    memcpy(pattern, format.bytes, format.count);
    pattern[format.count] = '\0';
    size_t count = strftime(text, sizeof text, pattern, &parts);
    if (count == 0 && format.count > 0)
        return template_fail(render, "strftime_now: the format is empty or its text too long");
    char *room = template_string_room(render, count);
    if (room == NULL)
        return template_string("", 0);
    memcpy(room, text, count);
    return template_string(room, count);
}

const struct template_builtin *template_find_function(struct template_value name)
{
    static const struct template_builtin functions[] = {
        {"range", run_range, NULL, 1, {"start", "stop", "step"}},
        {"dict", NULL, run_dict, 0, {NULL}},
        {"namespace", NULL, run_namespace, 0, {NULL}},
        {"raise_exception", run_raise, NULL, 1, {"message"}},
        {"strftime_now", run_strftime, NULL, 1, {"format"}},
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (template_string_is(name, functions[i].name))
            return &functions[i];
    return NULL;
}
