/* SPDX-License-Identifier: Apache-2.0 */
/* template_parser.c -- statements, by recursive descent over the tokens, and the parser's tools.
 *
 * A block's body ends at one of the words its statement expects ("elif", "else", "endif"); a word
 * that begins no statement and ends none is an error that says what was open. */
#include "models/template_parser.h"

#include "models/chat_template.h"
#include "models/template_builtin.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- tools -- */

struct template_node *parser_fail(struct parser *parser, int code, const char *format, ...)
{
    if (parser->failed == 0) {
        char text[256];
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        parser->failed = error_set(parser->err, code, "chat template line %u: %s",
                                   parser_token(parser)->line, text);
        parser->position = parser->end;
    }
    return &parser->spare;
}

struct template_node *parser_fail_expected(struct parser *parser, const char *what)
{
    const struct template_token *token = parser_token(parser);
    int count = token->count < 40 ? (int)token->count : 40;
    if (token->kind == TOKEN_END)
        return parser_fail(parser, ERROR_INVALID, "expected %s, got the end of the template", what);
    return parser_fail(parser, ERROR_INVALID, "expected %s, got '%.*s'", what, count, token->bytes);
}

void *parser_alloc(struct parser *parser, size_t bytes)
{
    void *memory = parser->failed == 0 ? arena_alloc(parser->program->arena, bytes) : NULL;
    if (memory == NULL)
        parser_fail(parser, ERROR_NO_MEMORY, "the template takes too much memory");
    return memory;
}

struct template_node *parser_node(struct parser *parser, enum template_node_kind kind)
{
    struct template_node *node = parser_alloc(parser, sizeof *node);
    if (node == NULL) {
        memset(&parser->spare, 0, sizeof parser->spare);
        node = &parser->spare;
    }
    node->kind = kind;
    node->line = parser_token(parser)->line;
    return node;
}

void parser_append(struct node_list *list, struct template_node *node)
{
    if (list->last != NULL)
        list->last->next = node;
    else
        list->first = node;
    list->last = node;
    list->count++;
}

bool parser_enter(struct parser *parser)
{
    if (parser->depth == CHAT_TEMPLATE_DEPTH_MAX) {
        parser_fail(parser, ERROR_INVALID, "nested deeper than %u", CHAT_TEMPLATE_DEPTH_MAX);
        return false;
    }
    parser->depth++;
    return true;
}

void parser_leave(struct parser *parser)
{
    parser->depth--;
}

const struct template_token *parser_token(const struct parser *parser)
{
    return &parser->tokens[parser->position];
}

static bool is_token_word(const struct template_token *token, const char *word)
{
    return token->kind == TOKEN_NAME && token->count == strlen(word) &&
           memcmp(token->bytes, word, token->count) == 0;
}

bool parser_is_word(const struct parser *parser, const char *word)
{
    return is_token_word(parser_token(parser), word);
}

bool parser_is_operator(const struct parser *parser, enum template_operator sign)
{
    return parser_token(parser)->kind == TOKEN_OPERATOR && parser_token(parser)->sign == sign;
}

bool parser_skip_word(struct parser *parser, const char *word)
{
    bool found = parser_is_word(parser, word);
    parser->position += found;
    return found;
}

bool parser_skip_operator(struct parser *parser, enum template_operator sign)
{
    bool found = parser_is_operator(parser, sign);
    parser->position += found;
    return found;
}

void parser_expect_operator(struct parser *parser, enum template_operator sign)
{
    char name[] = {'\'', (char)(sign & 0xff), '\'', '\0'};
    if (!parser_skip_operator(parser, sign))
        parser_fail_expected(parser, name);
}

struct template_value parser_expect_name(struct parser *parser)
{
    const struct template_token *token = parser_token(parser);
    if (token->kind != TOKEN_NAME) {
        parser_fail_expected(parser, "a name");
        return template_string("", 0);
    }
    parser->position++;
    return template_string(token->bytes, token->count);
}

uint32_t parser_symbol(struct parser *parser, struct template_value name)
{
    struct template_program *program = parser->program;
    for (uint32_t i = 0; i < program->symbol_count; i++)
        if (program->symbols[i].count == name.count &&
            memcmp(program->symbols[i].bytes, name.bytes, name.count) == 0)
            return i;
    if (program->symbol_count == TEMPLATE_SYMBOLS_MAX) {
        parser_fail(parser, ERROR_UNSUPPORTED, "more than %u names are not supported",
                    TEMPLATE_SYMBOLS_MAX);
        return 0;
    }
    program->symbols[program->symbol_count] = name;
    return program->symbol_count++;
}

/* -- bodies -- */

static void parse_statement(struct parser *parser, struct node_list *list);

static void expect_block_end(struct parser *parser)
{
    if (parser_token(parser)->kind == TOKEN_BLOCK_END)
        parser->position++;
    else
        parser_fail_expected(parser, "'%}'");
}

static bool at_any_word(const struct parser *parser, const char *const *words)
{
    for (; *words != NULL; words++)
        if (parser_is_word(parser, *words))
            return true;
    return false;
}

/* Statements up to "{% WORD": the word is then the current token. words == NULL: to the end. */
static struct template_node *parse_body(struct parser *parser, const char *const *words)
{
    struct node_list list = {0};
    for (;;) {
        const struct template_token *token = parser_token(parser);
        if (token->kind == TOKEN_TEXT) {
            struct template_node *node = parser_node(parser, NODE_TEXT);
            node->constant = template_string(token->bytes, token->count);
            parser_append(&list, node);
            parser->position++;
        } else if (token->kind == TOKEN_PRINT_BEGIN) {
            parser->position++;
            struct template_node *node = parser_node(parser, NODE_PRINT);
            node->items = parser_tuple(parser, true);
            parser_append(&list, node);
            if (parser_token(parser)->kind == TOKEN_PRINT_END)
                parser->position++;
            else
                parser_fail_expected(parser, "'}}'");
        } else if (token->kind == TOKEN_BLOCK_BEGIN) {
            parser->position++;
            if (words != NULL && at_any_word(parser, words))
                return list.first;
            parse_statement(parser, &list);
            expect_block_end(parser);
        } else {
            break;
        }
    }
    if (words != NULL)
        parser_fail(parser, ERROR_INVALID, "the template ends before '%s'", words[0]);
    return list.first;
}

/* "%}", statements, "{% word": the whole body of a statement that one word ends. */
static struct template_node *parse_block(struct parser *parser, const char *word)
{
    const char *const words[] = {word, NULL};
    parser_skip_operator(parser, OPERATOR_COLON);
    expect_block_end(parser);
    struct template_node *body = parse_body(parser, words);
    parser_skip_word(parser, word);
    return body;
}

/* -- statements -- */

static struct template_node *parse_if(struct parser *parser)
{
    static const char *const words[] = {"endif", "elif", "else", NULL};
    struct template_node *first = parser_node(parser, NODE_IF), *node = first;
    for (;;) {
        node->branch.condition = parser_tuple(parser, false);
        parser_skip_operator(parser, OPERATOR_COLON);
        expect_block_end(parser);
        node->branch.body = parse_body(parser, words);
        if (!parser_skip_word(parser, "elif"))
            break;
        node->branch.elif = parser_node(parser, NODE_IF);
        node = node->branch.elif;
    }
    if (parser_skip_word(parser, "else"))
        node->branch.otherwise = parse_block(parser, "endif");
    else
        parser_skip_word(parser, "endif");
    return first;
}

static bool names_symbol(const struct template_node *target, uint32_t symbol)
{
    if (target->kind == NODE_NAME)
        return target->symbol == symbol;
    if (target->kind == NODE_TUPLE)
        for (const struct template_node *item = target->items; item != NULL; item = item->next)
            if (names_symbol(item, symbol))
                return true;
    return false;
}

static struct template_node *parse_for(struct parser *parser)
{
    static const char *const words[] = {"endfor", "else", NULL};
    struct template_node *node = parser_node(parser, NODE_FOR);
    node->loop.target = parser_target(parser);
    if (parser->failed == 0 && names_symbol(node->loop.target, TEMPLATE_SYMBOL_LOOP))
        return parser_fail(parser, ERROR_INVALID, "can't assign to 'loop' in a for loop");
    if (!parser_skip_word(parser, "in"))
        return parser_fail_expected(parser, "'in'");
    node->loop.iterable = parser_tuple(parser, false);
    if (parser_skip_word(parser, "if"))
        node->loop.filter = parser_expression(parser, true);
    if (parser_is_word(parser, "recursive"))
        return parser_fail(parser, ERROR_UNSUPPORTED, "a recursive loop is not supported");
    parser_skip_operator(parser, OPERATOR_COLON);
    expect_block_end(parser);
    parser->loop_depth++;
    node->loop.body = parse_body(parser, words);
    parser->loop_depth--;
    if (parser_skip_word(parser, "else"))
        node->loop.otherwise = parse_block(parser, "endfor");
    else
        parser_skip_word(parser, "endfor");
    return node;
}

static struct template_node *parse_set(struct parser *parser)
{
    struct template_node *node = parser_node(parser, NODE_SET);
    node->set.target = parser_target(parser);
    if (parser_skip_operator(parser, OPERATOR_ASSIGN)) {
        node->set.value = parser_tuple(parser, true);
        return node;
    }
    node->kind = NODE_SET_BLOCK;
    node->set.value = parser_filters(parser, parser_node(parser, NODE_CAPTURED));
    node->set.body = parse_block(parser, "endset");
    return node;
}

static void parse_parameters(struct parser *parser, struct template_node *macro)
{
    uint32_t symbols[TEMPLATE_ARGUMENTS_MAX], count = 0;
    struct template_node *defaults[TEMPLATE_ARGUMENTS_MAX];
    parser_expect_operator(parser, OPERATOR_OPEN);
    while (!parser_skip_operator(parser, OPERATOR_CLOSE) && parser->failed == 0) {
        if (count > 0)
            parser_expect_operator(parser, OPERATOR_COMMA);
        if (count == TEMPLATE_ARGUMENTS_MAX) {
            parser_fail(parser, ERROR_UNSUPPORTED, "more than %u parameters are not supported",
                        TEMPLATE_ARGUMENTS_MAX);
            return;
        }
        symbols[count] = parser_symbol(parser, parser_expect_name(parser));
        defaults[count] = NULL;
        if (parser_skip_operator(parser, OPERATOR_ASSIGN))
            defaults[count] = parser_expression(parser, true);
        else if (count > 0 && defaults[count - 1] != NULL)
            parser_fail(parser, ERROR_INVALID, "a parameter without default follows one with it");
        count++;
    }
    macro->macro.parameter_count = count;
    macro->macro.parameters = parser_alloc(parser, sizeof *symbols * (count + 1));
    macro->macro.defaults = parser_alloc(parser, sizeof(void *) * (count + 1));
    if (macro->macro.parameters == NULL || macro->macro.defaults == NULL || count == 0)
        return;
    memcpy(macro->macro.parameters, symbols, sizeof *symbols * count);
    memcpy(macro->macro.defaults, defaults, sizeof *defaults * count);
}

static void parse_macro_body(struct parser *parser, struct template_node *macro, const char *word)
{
    struct template_node *outer = parser->macro;
    uint32_t loop_depth = parser->loop_depth;
    parser->macro = macro;
    parser->loop_depth = 0;
    macro->macro.body = parse_block(parser, word);
    parser->macro = outer;
    parser->loop_depth = loop_depth;
}

static struct template_node *parse_macro(struct parser *parser)
{
    struct template_node *node = parser_node(parser, NODE_MACRO);
    node->macro.symbol = parser_symbol(parser, parser_expect_name(parser));
    parse_parameters(parser, node);
    parse_macro_body(parser, node, "endmacro");
    return node;
}

static struct template_node *parse_call_block(struct parser *parser)
{
    struct template_node *node = parser_node(parser, NODE_CALL_BLOCK);
    node->call_block.macro = parser_node(parser, NODE_MACRO);
    node->call_block.macro->macro.symbol = TEMPLATE_SYMBOL_CALLER;
    if (parser_is_operator(parser, OPERATOR_OPEN))
        parse_parameters(parser, node->call_block.macro);
    node->call_block.call = parser_expression(parser, true);
    if (parser->failed == 0 && node->call_block.call->kind != NODE_CALL)
        return parser_fail(parser, ERROR_INVALID, "a call block needs the call of a macro");
    if (parser->failed == 0 && node->call_block.call->call.arguments.positional_count +
                                       node->call_block.call->call.arguments.keyword_count ==
                                   TEMPLATE_ARGUMENTS_MAX)
        return parser_fail(parser, ERROR_UNSUPPORTED, "a call block's call has too many arguments");
    parse_macro_body(parser, node->call_block.macro, "endcall");
    return node;
}

static struct template_node *parse_filter_block(struct parser *parser)
{
    struct template_node *node = parser_node(parser, NODE_FILTER_BLOCK);
    struct template_node *first = parser_filter(parser, parser_node(parser, NODE_CAPTURED));
    node->set.value = parser_filters(parser, first);
    node->set.body = parse_block(parser, "endfilter");
    return node;
}

static struct template_node *parse_with(struct parser *parser)
{
    struct template_node *node = parser_node(parser, NODE_WITH);
    struct node_list targets = {0}, values = {0};
    while (parser_token(parser)->kind == TOKEN_NAME) {
        parser_append(&targets, parser_target(parser));
        parser_expect_operator(parser, OPERATOR_ASSIGN);
        parser_append(&values, parser_expression(parser, true));
        if (!parser_skip_operator(parser, OPERATOR_COMMA))
            break;
    }
    node->with.targets = targets.first;
    node->with.values = values.first;
    node->with.body = parse_block(parser, "endwith");
    return node;
}

static struct template_node *parse_generation(struct parser *parser)
{
    struct template_node *node = parser_node(parser, NODE_GENERATION);
    node->items = parse_block(parser, "endgeneration");
    return node;
}

static struct template_node *parse_jump(struct parser *parser)
{
    bool is_break = is_token_word(parser_token(parser) - 1, "break");
    if (parser->loop_depth == 0)
        return parser_fail(parser, ERROR_INVALID, "'%s' outside a loop",
                           is_break ? "break" : "continue");
    return parser_node(parser, is_break ? NODE_BREAK : NODE_CONTINUE);
}

static void fail_statement(struct parser *parser)
{
    static const char *const known[] = {"extends", "include", "import",     "from",  "block",
                                        "do",      "print",   "autoescape", "trans", "debug"};
    const struct template_token *token = parser_token(parser);
    int count = token->count < 40 ? (int)token->count : 40;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (is_token_word(token, known[i])) {
            parser_fail(parser, ERROR_UNSUPPORTED, "statement '%s' is not supported", known[i]);
            return;
        }
    if (token->kind == TOKEN_NAME)
        parser_fail(parser, ERROR_INVALID, "unknown or misplaced statement '%.*s'", count,
                    token->bytes);
    else
        parser_fail_expected(parser, "a statement");
}

static void parse_statement(struct parser *parser, struct node_list *list)
{
    static const struct {
        const char *word;
        struct template_node *(*parse)(struct parser *parser);
    } statements[] = {
        {"if", parse_if},           {"for", parse_for},
        {"set", parse_set},         {"macro", parse_macro},
        {"call", parse_call_block}, {"filter", parse_filter_block},
        {"with", parse_with},       {"generation", parse_generation},
        {"break", parse_jump},      {"continue", parse_jump},
    };
    if (!parser_enter(parser))
        return;
    size_t i = 0, count = sizeof statements / sizeof *statements;
    while (i < count && !parser_skip_word(parser, statements[i].word))
        i++;
    if (i < count)
        parser_append(list, statements[i].parse(parser));
    else
        fail_statement(parser);
    parser_leave(parser);
}

int template_parse(struct template_program *program, const char *source, size_t count,
                   struct error *err)
{
    struct parser parser = {.program = program, .err = err};
    int rc = template_lex(program->arena, source, count, &parser.tokens, err);
    if (rc != 0)
        return rc;
    while (parser.tokens[parser.end].kind != TOKEN_END)
        parser.end++;
    program->symbols = parser_alloc(&parser, sizeof *program->symbols * TEMPLATE_SYMBOLS_MAX);
    if (program->symbols != NULL) {
        static const char *const reserved[] = {"loop", "caller", "varargs", "kwargs"};
        for (size_t i = 0; i < TEMPLATE_SYMBOL_COUNT; i++)
            program->symbols[i] = template_string(reserved[i], strlen(reserved[i]));
        program->symbol_count = TEMPLATE_SYMBOL_COUNT;
        program->body = parse_body(&parser, NULL);
    }
    if (parser.failed == 0 && parser_token(&parser)->kind != TOKEN_END)
        parser_fail_expected(&parser, "text or a tag");
    free(parser.tokens);
    return parser.failed;
}
