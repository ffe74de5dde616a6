/* SPDX-License-Identifier: Apache-2.0 */
/* template_syntax.c -- the grammar of expressions, from loosest to tightest:
 *
 *     conditional   a if b else c
 *     or, and, not
 *     compare       == != < <= > >= in, not in: any number in a row, as in Python
 *     binary        + -   then  ~   then  * / // %   then  **
 *     unary         - +   then what follows a value: .name [index] (call) |filter is test
 *
 * The order is Jinja's, not Python's: `~` binds tighter than `+`, and -2 ** 2 is 4. Operators in
 * a row become one node with a list, so that a template of a thousand "+" nests no deeper than
 * one of two; what does nest is counted by parser_enter(). */
#include "models/template_builtin.h"
#include "models/template_parser.h"

#include <string.h>

static struct template_node *parse_postfix(struct parser *parser, struct template_node *node);
static struct template_node *parse_unary(struct parser *parser, bool with_filters);

/* -- values -- */

static struct template_node *parse_string(struct parser *parser)
{
    const struct template_token *first = parser_token(parser), *token = first;
    size_t count = 0;
    for (; token->kind == TOKEN_STRING; token++)
        count += token->count;
    char *bytes = parser_alloc(parser, count + 1);
    struct template_node *node = parser_node(parser, NODE_CONSTANT);
    if (bytes == NULL)
        return node;
    node->constant = template_string(bytes, count);
    for (; parser_token(parser)->kind == TOKEN_STRING; parser->position++) {
        memcpy(bytes, parser_token(parser)->bytes, parser_token(parser)->count);
        bytes += parser_token(parser)->count;
    }
    return node;
}

static struct template_node *parse_name(struct parser *parser)
{
    struct template_node *node = parser_node(parser, NODE_CONSTANT);
    struct template_value name = parser_expect_name(parser);
    if (template_string_is(name, "true") || template_string_is(name, "True")) {
        node->constant = template_bool(true);
    } else if (template_string_is(name, "false") || template_string_is(name, "False")) {
        node->constant = template_bool(false);
    } else if (template_string_is(name, "none") || template_string_is(name, "None")) {
        node->constant = template_none();
    } else {
        node->kind = NODE_NAME;
        node->symbol = parser_symbol(parser, name);
        if (parser->macro != NULL) {
            parser->macro->macro.takes_caller |= node->symbol == TEMPLATE_SYMBOL_CALLER;
            parser->macro->macro.takes_varargs |= node->symbol == TEMPLATE_SYMBOL_VARARGS;
            parser->macro->macro.takes_kwargs |= node->symbol == TEMPLATE_SYMBOL_KWARGS;
        }
    }
    return node;
}

static struct template_node *parse_list(struct parser *parser)
{
    struct template_node *node = parser_node(parser, NODE_LIST);
    struct node_list items = {0};
    parser_expect_operator(parser, OPERATOR_OPEN_LIST);
    while (!parser_skip_operator(parser, OPERATOR_CLOSE_LIST) && parser->failed == 0) {
        parser_append(&items, parser_expression(parser, true));
        if (!parser_is_operator(parser, OPERATOR_CLOSE_LIST))
            parser_expect_operator(parser, OPERATOR_COMMA);
    }
    node->items = items.first;
    return node;
}

static struct template_node *parse_dict(struct parser *parser)
{
    struct template_node *node = parser_node(parser, NODE_DICT);
    struct node_list items = {0};
    parser_expect_operator(parser, OPERATOR_OPEN_DICT);
    while (!parser_skip_operator(parser, OPERATOR_CLOSE_DICT) && parser->failed == 0) {
        parser_append(&items, parser_expression(parser, true));
        parser_expect_operator(parser, OPERATOR_COLON);
        parser_append(&items, parser_expression(parser, true));
        if (!parser_is_operator(parser, OPERATOR_CLOSE_DICT))
            parser_expect_operator(parser, OPERATOR_COMMA);
    }
    node->items = items.first;
    return node;
}

static struct template_node *parse_parenthesis(struct parser *parser)
{
    parser_expect_operator(parser, OPERATOR_OPEN);
    struct template_node *node = NULL;
    if (parser_is_operator(parser, OPERATOR_CLOSE))
        node = parser_node(parser, NODE_TUPLE);
    else
        node = parser_tuple(parser, true);
    parser_expect_operator(parser, OPERATOR_CLOSE);
    return node;
}

static struct template_node *parse_primary(struct parser *parser)
{
    const struct template_token *token = parser_token(parser);
    struct template_node *node;
    switch (token->kind) {
    case TOKEN_NAME:
        return parse_name(parser);
    case TOKEN_STRING:
        return parse_string(parser);
    case TOKEN_INTEGER:
    case TOKEN_FLOAT:
        node = parser_node(parser, NODE_CONSTANT);
        node->constant = token->kind == TOKEN_FLOAT ? template_float(token->real)
                                                    : template_integer(token->integer);
        parser->position++;
        return node;
    case TOKEN_OPERATOR:
        if (token->sign == OPERATOR_OPEN)
            return parse_parenthesis(parser);
        if (token->sign == OPERATOR_OPEN_LIST)
            return parse_list(parser);
        if (token->sign == OPERATOR_OPEN_DICT)
            return parse_dict(parser);
        break;
    default:
        break;
    }
    return parser_fail_expected(parser, "an expression");
}

/* -- what follows a value -- */

static bool at_keyword_argument(const struct parser *parser)
{
    const struct template_token *token = parser_token(parser);
    return token->kind == TOKEN_NAME && token[1].kind == TOKEN_OPERATOR &&
           token[1].sign == OPERATOR_ASSIGN;
}

static void parse_arguments(struct parser *parser, struct template_arguments *arguments)
{
    struct node_list values = {0};
    struct template_value names[TEMPLATE_ARGUMENTS_MAX];
    parser_expect_operator(parser, OPERATOR_OPEN);
    while (!parser_skip_operator(parser, OPERATOR_CLOSE) && parser->failed == 0) {
        if (values.count == TEMPLATE_ARGUMENTS_MAX)
            parser_fail(parser, ERROR_UNSUPPORTED, "more than %u arguments are not supported",
                        TEMPLATE_ARGUMENTS_MAX);
        else if (parser_is_operator(parser, OPERATOR_MULTIPLY) ||
                 parser_is_operator(parser, OPERATOR_POWER))
            parser_fail(parser, ERROR_UNSUPPORTED, "unpacking arguments is not supported");
        else if (at_keyword_argument(parser)) {
            names[arguments->keyword_count++] = parser_expect_name(parser);
            parser_expect_operator(parser, OPERATOR_ASSIGN);
        } else if (arguments->keyword_count > 0)
            parser_fail(parser, ERROR_INVALID, "a positional argument follows a keyword argument");
        parser_append(&values, parser_expression(parser, true));
        if (!parser_is_operator(parser, OPERATOR_CLOSE))
            parser_expect_operator(parser, OPERATOR_COMMA);
    }
    arguments->values = values.first;
    arguments->positional_count = values.count - arguments->keyword_count;
    arguments->names = parser_alloc(parser, sizeof *names * (arguments->keyword_count + 1));
    if (arguments->names != NULL && arguments->keyword_count > 0)
        memcpy(arguments->names, names, sizeof *names * arguments->keyword_count);
}

static struct template_node *parse_call(struct parser *parser, struct template_node *callee)
{
    static const char *const refused[] = {"lipsum", "cycler", "joiner", "super"};
    struct template_node *node = parser_node(parser, NODE_CALL);
    node->call.subject = callee;
    if (callee->kind == NODE_ATTRIBUTE) {
        struct template_value name = callee->attribute.name;
        if (!template_is_method(name))
            return parser_fail(parser, ERROR_UNSUPPORTED, "unknown method '%.*s'", (int)name.count,
                               name.bytes);
        node->kind = NODE_METHOD_CALL;
        node->call.subject = callee->attribute.subject;
        node->call.name = name;
    }
    for (size_t i = 0; callee->kind == NODE_NAME && i < sizeof refused / sizeof *refused; i++)
        if (template_string_is(parser->program->symbols[callee->symbol], refused[i]))
            return parser_fail(parser, ERROR_UNSUPPORTED, "function '%s' is not supported",
                               refused[i]);
    parse_arguments(parser, &node->call.arguments);
    return node;
}

/* a, :b, a:b, a:b:c within [ ] */
static struct template_node *parse_index(struct parser *parser)
{
    struct template_node *slice = parser_node(parser, NODE_SLICE);
    struct template_node **bounds[] = {&slice->slice.start, &slice->slice.stop, &slice->slice.step};
    size_t colons = 0;
    while (parser->failed == 0 && !parser_is_operator(parser, OPERATOR_CLOSE_LIST) &&
           !parser_is_operator(parser, OPERATOR_COMMA)) {
        if (parser_skip_operator(parser, OPERATOR_COLON)) {
            if (++colons == 3)
                return parser_fail_expected(parser, "']'");
            continue;
        }
        if (*bounds[colons] != NULL)
            return parser_fail_expected(parser, "']'");
        *bounds[colons] = parser_expression(parser, true);
    }
    if (colons > 0)
        return slice;
    if (slice->slice.start == NULL)
        return parser_fail_expected(parser, "an expression");
    return slice->slice.start;
}

static struct template_node *parse_subscript(struct parser *parser, struct template_node *subject)
{
    struct template_node *node = parser_node(parser, NODE_SUBSCRIPT);
    parser_expect_operator(parser, OPERATOR_OPEN_LIST);
    node->subscript.subject = subject;
    node->subscript.index = parse_index(parser);
    if (parser_is_operator(parser, OPERATOR_COMMA))
        return parser_fail(parser, ERROR_UNSUPPORTED,
                           "a subscript of several values is not supported");
    parser_expect_operator(parser, OPERATOR_CLOSE_LIST);
    return node;
}

static struct template_node *parse_attribute(struct parser *parser, struct template_node *subject)
{
    parser_expect_operator(parser, OPERATOR_DOT);
    if (parser_token(parser)->kind == TOKEN_INTEGER) {
        struct template_node *node = parser_node(parser, NODE_SUBSCRIPT);
        node->subscript.subject = subject;
        node->subscript.index = parse_primary(parser);
        return node;
    }
    struct template_node *node = parser_node(parser, NODE_ATTRIBUTE);
    node->attribute.subject = subject;
    node->attribute.name = parser_expect_name(parser);
    return node;
}

static struct template_node *parse_postfix(struct parser *parser, struct template_node *node)
{
    for (;;) {
        if (parser_is_operator(parser, OPERATOR_DOT))
            node = parse_attribute(parser, node);
        else if (parser_is_operator(parser, OPERATOR_OPEN_LIST))
            node = parse_subscript(parser, node);
        else if (parser_is_operator(parser, OPERATOR_OPEN))
            node = parse_call(parser, node);
        else
            return node;
    }
}

struct template_node *parser_filter(struct parser *parser, struct template_node *subject)
{
    struct template_node *node = parser_node(parser, NODE_FILTER);
    struct template_value name = parser_expect_name(parser);
    node->call.subject = subject;
    node->call.builtin = template_find_filter(name);
    if (node->call.builtin == NULL)
        return parser_fail(parser, ERROR_UNSUPPORTED, "unknown filter '%.*s'", (int)name.count,
                           name.bytes);
    if (parser_is_operator(parser, OPERATOR_OPEN))
        parse_arguments(parser, &node->call.arguments);
    return node;
}

struct template_node *parser_filters(struct parser *parser, struct template_node *subject)
{
    while (parser_skip_operator(parser, OPERATOR_PIPE))
        subject = parser_filter(parser, subject);
    return subject;
}

/* May the argument of a test without parentheses begin here? */
static bool at_test_argument(const struct parser *parser)
{
    const struct template_token *token = parser_token(parser);
    if (token->kind == TOKEN_NAME)
        return !parser_is_word(parser, "else") && !parser_is_word(parser, "or") &&
               !parser_is_word(parser, "and");
    return token->kind == TOKEN_STRING || token->kind == TOKEN_INTEGER ||
           token->kind == TOKEN_FLOAT || parser_is_operator(parser, OPERATOR_OPEN_LIST) ||
           parser_is_operator(parser, OPERATOR_OPEN_DICT);
}

static struct template_node *parse_test(struct parser *parser, struct template_node *subject)
{
    bool negated = parser_skip_word(parser, "not");
    struct template_node *node = parser_node(parser, NODE_TEST);
    struct template_value name = parser_expect_name(parser);
    node->call.subject = subject;
    node->call.builtin = template_find_test(name);
    if (node->call.builtin == NULL)
        return parser_fail(parser, ERROR_UNSUPPORTED, "unknown test '%.*s'", (int)name.count,
                           name.bytes);
    if (parser_is_operator(parser, OPERATOR_OPEN)) {
        parse_arguments(parser, &node->call.arguments);
    } else if (at_test_argument(parser)) {
        if (parser_is_word(parser, "is"))
            return parser_fail(parser, ERROR_INVALID, "tests can't be chained with 'is'");
        node->call.arguments.values = parse_postfix(parser, parse_primary(parser));
        node->call.arguments.positional_count = 1;
    }
    if (!negated)
        return node;
    struct template_node *not_node = parser_node(parser, NODE_NOT);
    not_node->items = node;
    return not_node;
}

/* -- operators -- */

static struct template_node *parse_unary_signs(struct parser *parser, bool with_filters)
{
    struct template_node *node;
    if (parser_is_operator(parser, OPERATOR_SUBTRACT) || parser_is_operator(parser, OPERATOR_ADD)) {
        bool negate = parser_is_operator(parser, OPERATOR_SUBTRACT);
        node = parser_node(parser, negate ? NODE_NEGATE : NODE_PLUS);
        parser->position++;
        node->items = parse_unary(parser, false);
    } else {
        node = parse_primary(parser);
    }
    node = parse_postfix(parser, node);
    while (with_filters) {
        if (parser_is_operator(parser, OPERATOR_PIPE))
            node = parser_filters(parser, node);
        else if (parser_skip_word(parser, "is"))
            node = parse_test(parser, node);
        else if (parser_is_operator(parser, OPERATOR_OPEN))
            node = parse_call(parser, node);
        else
            break;
    }
    return node;
}

static struct template_node *parse_unary(struct parser *parser, bool with_filters)
{
    if (!parser_enter(parser))
        return &parser->spare;
    struct template_node *node = parse_unary_signs(parser, with_filters);
    parser_leave(parser);
    return node;
}

/* Puts `first` and what follows it under one node. */
static struct template_node *gather(struct parser *parser, enum template_node_kind kind,
                                    struct template_node *first, struct node_list *items)
{
    struct template_node *node = parser_node(parser, kind);
    node->line = first->line;
    node->items = first;
    first->next = items->first;
    return node;
}

static struct template_node *parse_binary(struct parser *parser, size_t level)
{
    static const enum template_operator levels[][5] = {
        {OPERATOR_ADD, OPERATOR_SUBTRACT},
        {OPERATOR_CONCAT},
        {OPERATOR_MULTIPLY, OPERATOR_DIVIDE, OPERATOR_FLOOR, OPERATOR_MODULO},
        {OPERATOR_POWER},
    };
    if (level == sizeof levels / sizeof *levels)
        return parse_unary(parser, true);
    struct template_node *first = parse_binary(parser, level + 1);
    struct node_list items = {0};
    for (size_t i = 0; levels[level][i] != OPERATOR_NONE; i++) {
        if (!parser_skip_operator(parser, levels[level][i]))
            continue;
        struct template_node *item = parse_binary(parser, level + 1);
        item->sign = levels[level][i];
        parser_append(&items, item);
        i = (size_t)-1; /* any operator of the level may follow */
    }
    if (items.count == 0)
        return first;
    return gather(parser, levels[level][0] == OPERATOR_CONCAT ? NODE_CONCAT : NODE_ARITHMETIC,
                  first, &items);
}

/* The comparing operator that stands here, already skipped, or OPERATOR_NONE. */
static enum template_operator skip_comparison(struct parser *parser)
{
    static const enum template_operator operators[] = {OPERATOR_EQUAL, OPERATOR_UNEQUAL,
                                                       OPERATOR_LESS,  OPERATOR_AT_MOST,
                                                       OPERATOR_MORE,  OPERATOR_AT_LEAST};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (parser_skip_operator(parser, operators[i]))
            return operators[i];
    if (parser_skip_word(parser, "in"))
        return OPERATOR_IN;
    const struct template_token *token = parser_token(parser);
    if (parser_is_word(parser, "not") && token[1].kind == TOKEN_NAME && token[1].count == 2 &&
        memcmp(token[1].bytes, "in", 2) == 0) {
        parser->position += 2;
        return OPERATOR_NOT_IN;
    }
    return OPERATOR_NONE;
}

static struct template_node *parse_compare(struct parser *parser)
{
    struct template_node *first = parse_binary(parser, 0);
    struct node_list items = {0};
    for (;;) {
        enum template_operator sign = skip_comparison(parser);
        if (sign == OPERATOR_NONE)
            break;
        struct template_node *item = parse_binary(parser, 0);
        item->sign = sign;
        parser_append(&items, item);
    }
    return items.count == 0 ? first : gather(parser, NODE_COMPARE, first, &items);
}

static struct template_node *parse_not(struct parser *parser)
{
    if (!parser_is_word(parser, "not"))
        return parse_compare(parser);
    if (!parser_enter(parser))
        return &parser->spare;
    struct template_node *node = parser_node(parser, NODE_NOT);
    parser->position++;
    node->items = parse_not(parser);
    parser_leave(parser);
    return node;
}

static struct template_node *parse_and(struct parser *parser)
{
    struct template_node *first = parse_not(parser);
    struct node_list items = {0};
    while (parser_skip_word(parser, "and"))
        parser_append(&items, parse_not(parser));
    return items.count == 0 ? first : gather(parser, NODE_AND, first, &items);
}

static struct template_node *parse_or(struct parser *parser)
{
    struct template_node *first = parse_and(parser);
    struct node_list items = {0};
    while (parser_skip_word(parser, "or"))
        parser_append(&items, parse_and(parser));
    return items.count == 0 ? first : gather(parser, NODE_OR, first, &items);
}

struct template_node *parser_expression(struct parser *parser, bool with_conditional)
{
    if (!parser_enter(parser))
        return &parser->spare;
    struct template_node *node = parse_or(parser);
    while (with_conditional && parser_skip_word(parser, "if")) {
        struct template_node *conditional = parser_node(parser, NODE_CONDITIONAL);
        conditional->branch.body = node;
        conditional->branch.condition = parse_or(parser);
        if (parser_skip_word(parser, "else"))
            conditional->branch.otherwise = parser_expression(parser, true);
        node = conditional;
    }
    parser_leave(parser);
    return node;
}

/* Does a tuple without parentheses end here, after its last comma? */
static bool at_tuple_end(const struct parser *parser)
{
    enum template_token_kind kind = parser_token(parser)->kind;
    return kind == TOKEN_PRINT_END || kind == TOKEN_BLOCK_END ||
           parser_is_operator(parser, OPERATOR_CLOSE);
}

struct template_node *parser_tuple(struct parser *parser, bool with_conditional)
{
    struct template_node *first = parser_expression(parser, with_conditional);
    if (!parser_is_operator(parser, OPERATOR_COMMA))
        return first;
    struct node_list items = {0};
    while (parser_skip_operator(parser, OPERATOR_COMMA) && !at_tuple_end(parser))
        parser_append(&items, parser_expression(parser, with_conditional));
    return gather(parser, NODE_TUPLE, first, &items);
}

/* -- targets -- */

static struct template_node *parse_target_item(struct parser *parser)
{
    if (parser_is_operator(parser, OPERATOR_OPEN)) {
        if (!parser_enter(parser))
            return &parser->spare;
        parser->position++;
        struct template_node *inner = parser_target(parser);
        parser_expect_operator(parser, OPERATOR_CLOSE);
        parser_leave(parser);
        return inner;
    }
    struct template_node *node = parse_name(parser);
    if (parser->failed == 0 && node->kind != NODE_NAME)
        return parser_fail(parser, ERROR_INVALID, "can't assign to a constant");
    if (!parser_skip_operator(parser, OPERATOR_DOT))
        return node;
    struct template_node *attribute = parser_node(parser, NODE_ATTRIBUTE);
    attribute->attribute.symbol = node->symbol;
    attribute->attribute.name = parser_expect_name(parser);
    return attribute;
}

struct template_node *parser_target(struct parser *parser)
{
    struct template_node *first = parse_target_item(parser);
    if (!parser_is_operator(parser, OPERATOR_COMMA))
        return first;
    struct node_list items = {0};
    while (parser_skip_operator(parser, OPERATOR_COMMA) && !at_tuple_end(parser) &&
           !parser_is_word(parser, "in"))
        parser_append(&items, parse_target_item(parser));
    return gather(parser, NODE_TUPLE, first, &items);
}
