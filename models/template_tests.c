/* SPDX-License-Identifier: Apache-2.0 */
/* template_tests.c -- what may stand after `is`, and be named to select and its kin. */
#include "models/template_builtin.h"

#define TEST(name)                                                                                 \
    static struct template_value name(struct template_render *render,                              \
                                      struct template_value subject,                               \
                                      const struct template_value *arguments)

/* A test that asks for nothing but the value. */
#define TEST_OF_KIND(name, condition)                                                              \
    TEST(name)                                                                                     \
    {                                                                                              \
        (void)render;                                                                              \
        (void)arguments;                                                                           \
        return template_bool(condition);                                                           \
    }

#define TEST_OF_RELATION(name, sign)                                                               \
    TEST(name)                                                                                     \
    {                                                                                              \
        return template_bool(template_relation(render, sign, subject, arguments[0]));              \
    }

TEST_OF_KIND(is_defined, subject.kind != TEMPLATE_UNDEFINED)
TEST_OF_KIND(is_undefined, subject.kind == TEMPLATE_UNDEFINED)
TEST_OF_KIND(is_none, subject.kind == TEMPLATE_NONE)
TEST_OF_KIND(is_boolean, subject.kind == TEMPLATE_BOOL)
TEST_OF_KIND(is_true, subject.kind == TEMPLATE_BOOL && subject.boolean)
TEST_OF_KIND(is_false, subject.kind == TEMPLATE_BOOL && !subject.boolean)
TEST_OF_KIND(is_integer, subject.kind == TEMPLATE_INTEGER)
TEST_OF_KIND(is_float, subject.kind == TEMPLATE_FLOAT)
TEST_OF_KIND(is_number, template_is_number(subject))
TEST_OF_KIND(is_string, subject.kind == TEMPLATE_STRING)
TEST_OF_KIND(is_mapping, subject.kind == TEMPLATE_DICT)
TEST_OF_KIND(is_sequence, subject.kind == TEMPLATE_UNDEFINED || subject.kind == TEMPLATE_STRING ||
                              subject.kind == TEMPLATE_LIST || subject.kind == TEMPLATE_TUPLE ||
                              subject.kind == TEMPLATE_DICT)
TEST_OF_KIND(is_iterable, (subject.kind >= TEMPLATE_STRING && subject.kind <= TEMPLATE_DICT) ||
                              subject.kind == TEMPLATE_UNDEFINED || subject.kind == TEMPLATE_LOOP)
TEST_OF_KIND(is_callable, subject.kind >= TEMPLATE_MACRO || subject.kind == TEMPLATE_UNDEFINED)
TEST_OF_RELATION(is_equal, OPERATOR_EQUAL)
TEST_OF_RELATION(is_unequal, OPERATOR_UNEQUAL)
TEST_OF_RELATION(is_less, OPERATOR_LESS)
TEST_OF_RELATION(is_at_most, OPERATOR_AT_MOST)
TEST_OF_RELATION(is_more, OPERATOR_MORE)
TEST_OF_RELATION(is_at_least, OPERATOR_AT_LEAST)
TEST_OF_RELATION(is_in, OPERATOR_IN)

static struct template_value has_remainder(struct template_render *render,
                                           struct template_value subject, int64_t divisor,
                                           int64_t remainder)
{
    struct template_value rest =
        template_arithmetic(render, OPERATOR_MODULO, subject, template_integer(divisor));
    return template_bool(template_equal(render, rest, template_integer(remainder)));
}

TEST(is_odd)
{
    (void)arguments;
    return has_remainder(render, subject, 2, 1);
}

TEST(is_even)
{
    (void)arguments;
    return has_remainder(render, subject, 2, 0);
}

TEST(is_divisible)
{
    return has_remainder(render, subject, template_integer_argument(render, arguments[0], 1), 0);
}

/* Identity. Small values have none here: they are the same if they are equal and of a kind. */
TEST(is_same)
{
    if (subject.kind != arguments[0].kind)
        return template_bool(false);
    if (subject.kind == TEMPLATE_LIST || subject.kind == TEMPLATE_TUPLE ||
        subject.kind == TEMPLATE_DICT)
        return template_bool(subject.list == arguments[0].list);
    return template_bool(template_equal(render, subject, arguments[0]));
}

/* str(value).islower() and isupper(), through the methods of that name. */
static struct template_value ask_method(struct template_render *render,
                                        struct template_value subject, struct template_value name)
{
    struct template_value text = template_to_string(render, subject);
    return template_find_method(text, name)->run(render, text, NULL);
}

TEST(is_lower)
{
    (void)arguments;
    return ask_method(render, subject, TEMPLATE_STRING_OF("islower"));
}

TEST(is_upper)
{
    (void)arguments;
    return ask_method(render, subject, TEMPLATE_STRING_OF("isupper"));
}

TEST(is_filter)
{
    (void)render;
    (void)arguments;
    return template_bool(subject.kind == TEMPLATE_STRING && template_find_filter(subject) != NULL);
}

TEST(is_test)
{
    (void)render;
    (void)arguments;
    return template_bool(subject.kind == TEMPLATE_STRING && template_find_test(subject) != NULL);
}

const struct template_builtin *template_find_test(struct template_value name)
{
    static const struct template_builtin tests[] = {
        {"defined", is_defined, NULL, 0, {NULL}},
        {"undefined", is_undefined, NULL, 0, {NULL}},
        {"none", is_none, NULL, 0, {NULL}},
        {"string", is_string, NULL, 0, {NULL}},
        {"mapping", is_mapping, NULL, 0, {NULL}},
        {"iterable", is_iterable, NULL, 0, {NULL}},
        {"sequence", is_sequence, NULL, 0, {NULL}},
        {"number", is_number, NULL, 0, {NULL}},
        {"integer", is_integer, NULL, 0, {NULL}},
        {"float", is_float, NULL, 0, {NULL}},
        {"boolean", is_boolean, NULL, 0, {NULL}},
        {"true", is_true, NULL, 0, {NULL}},
        {"false", is_false, NULL, 0, {NULL}},
        {"callable", is_callable, NULL, 0, {NULL}},
        {"odd", is_odd, NULL, 0, {NULL}},
        {"even", is_even, NULL, 0, {NULL}},
        {"divisibleby", is_divisible, NULL, 1, {"num"}},
        {"lower", is_lower, NULL, 0, {NULL}},
        {"upper", is_upper, NULL, 0, {NULL}},
        {"sameas", is_same, NULL, 1, {"other"}},
        {"in", is_in, NULL, 1, {"seq"}},
        {"filter", is_filter, NULL, 0, {NULL}},
        {"test", is_test, NULL, 0, {NULL}},
        {"eq", is_equal, NULL, 1, {"other"}},
        {"equalto", is_equal, NULL, 1, {"other"}},
        {"==", is_equal, NULL, 1, {"other"}},
        {"ne", is_unequal, NULL, 1, {"other"}},
        {"!=", is_unequal, NULL, 1, {"other"}},
        {"lt", is_less, NULL, 1, {"other"}},
        {"lessthan", is_less, NULL, 1, {"other"}},
        {"<", is_less, NULL, 1, {"other"}},
        {"le", is_at_most, NULL, 1, {"other"}},
        {"<=", is_at_most, NULL, 1, {"other"}},
        {"gt", is_more, NULL, 1, {"other"}},
        {"greaterthan", is_more, NULL, 1, {"other"}},
        {">", is_more, NULL, 1, {"other"}},
        {"ge", is_at_least, NULL, 1, {"other"}},
        {">=", is_at_least, NULL, 1, {"other"}},
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (template_string_is(name, tests[i].name))
            return &tests[i];
    return NULL;
}
