/* SPDX-License-Identifier: Apache-2.0 */
/* template_parser.h -- what the two halves of the parser share: statements and expressions.
 *
 * Failure is sticky: parser_fail() keeps the first message and moves to the end of the tokens, so
 * that every loop over them stops. Nodes are never NULL; after a failure they are the spare one,
 * which nobody will walk. One thread, for the length of template_parse(). */
#ifndef WEIR_MODELS_TEMPLATE_PARSER_H
#define WEIR_MODELS_TEMPLATE_PARSER_H

#include "models/template_ast.h"

#define TEMPLATE_SYMBOLS_MAX 1024u

struct parser {
    struct template_program *program;
    struct template_token *tokens;
    size_t position, end;        /* of the current token, and of TOKEN_END */
    uint32_t depth;              /* of nested expressions and statements */
    uint32_t loop_depth;         /* loops around here, within the innermost macro */
    struct template_node *macro; /* the innermost around here, or NULL */
    struct template_node spare;
    int failed; /* enum error_code */
    struct error *err;
};

/* Nodes as they are appended, in order. */
struct node_list {
    struct template_node *first, *last;
    uint32_t count;
};

struct template_node *parser_fail(struct parser *parser, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "expected WHAT, got TOKEN" */
struct template_node *parser_fail_expected(struct parser *parser, const char *what);
void *parser_alloc(struct parser *parser, size_t bytes); /* NULL: failed */
struct template_node *parser_node(struct parser *parser, enum template_node_kind kind);
void parser_append(struct node_list *list, struct template_node *node);
/* False, and failed, past CHAT_TEMPLATE_DEPTH_MAX. Each true one is paired with a leave. */
bool parser_enter(struct parser *parser);
void parser_leave(struct parser *parser);

const struct template_token *parser_token(const struct parser *parser);
bool parser_is_word(const struct parser *parser, const char *word);
bool parser_is_operator(const struct parser *parser, enum template_operator sign);
bool parser_skip_word(struct parser *parser, const char *word);
bool parser_skip_operator(struct parser *parser, enum template_operator sign);
void parser_expect_operator(struct parser *parser, enum template_operator sign);
/* A name, as a string; fails for another token. */
struct template_value parser_expect_name(struct parser *parser);
uint32_t parser_symbol(struct parser *parser, struct template_value name);

/* -- expressions, template_syntax.c -- */

struct template_node *parser_expression(struct parser *parser, bool with_conditional);
/* One expression, or several with commas: a tuple. */
struct template_node *parser_tuple(struct parser *parser, bool with_conditional);
/* "| filter | filter" after `subject`. */
struct template_node *parser_filters(struct parser *parser, struct template_node *subject);
struct template_node *parser_filter(struct parser *parser, struct template_node *subject);
/* What may stand left of "=" or between "for" and "in". */
struct template_node *parser_target(struct parser *parser);

#endif
