/* SPDX-License-Identifier: Apache-2.0 */
/* template_ast.h -- a template after parsing: what the parser builds and the render walks.
 *
 * Nodes live in the program's arena and never change after template_parse(), so any number of
 * threads may walk them. Names are numbered (symbols), and filters, tests and methods are looked
 * up here, once, which is how an unknown one is found before the first request. */
#ifndef WEIR_MODELS_TEMPLATE_AST_H
#define WEIR_MODELS_TEMPLATE_AST_H

#include "base/arena.h"
#include "base/error.h"
#include "models/template_lexer.h"
#include "models/template_value.h"

#include <locale.h>

#define TEMPLATE_ARGUMENTS_MAX 24u

enum template_node_kind {
    /* expressions */
    NODE_CONSTANT,
    NODE_NAME,
    NODE_LIST,  /* items */
    NODE_TUPLE, /* items */
    NODE_DICT,  /* items: key, value, key, value */
    NODE_ATTRIBUTE,
    NODE_SUBSCRIPT,
    NODE_SLICE,
    NODE_CALL,
    NODE_METHOD_CALL,
    NODE_FILTER,
    NODE_TEST,
    NODE_NOT,        /* items: one */
    NODE_NEGATE,     /* items: one */
    NODE_PLUS,       /* items: one */
    NODE_ARITHMETIC, /* items from left to right, each with the operator before it */
    NODE_CONCAT,     /* items */
    NODE_COMPARE,    /* items, as for arithmetic */
    NODE_AND,        /* items */
    NODE_OR,         /* items */
    NODE_CONDITIONAL,
    NODE_CAPTURED, /* the text that a filter block or a set block has captured */
    /* statements */
    NODE_TEXT,
    NODE_PRINT, /* items: one */
    NODE_IF,
    NODE_FOR,
    NODE_SET,
    NODE_SET_BLOCK,
    NODE_MACRO,
    NODE_CALL_BLOCK,
    NODE_FILTER_BLOCK,
    NODE_WITH,
    NODE_GENERATION, /* items: the body */
    NODE_BREAK,
    NODE_CONTINUE,
};

/* Values of a call in the order written, the keyword ones last. */
struct template_arguments {
    struct template_node *values;
    uint32_t positional_count, keyword_count;
    struct template_value *names; /* of the keyword ones */
};

struct template_node {
    enum template_node_kind kind;
    enum template_operator sign; /* that joins it to the item before it */
    uint32_t line;
    struct template_node *next; /* in the list it belongs to */
    union {
        struct template_value constant; /* CONSTANT, TEXT */
        uint32_t symbol;                /* NAME */
        struct template_node *items;
        struct {
            struct template_node *subject;
            struct template_value name;
            uint32_t symbol; /* of the subject, where this is a target: ns.name */
        } attribute;
        struct {
            struct template_node *subject, *index;
        } subscript;
        struct {
            struct template_node *start, *stop, *step; /* NULL: not given */
        } slice;
        struct {
            struct template_node *subject;          /* METHOD_CALL: the object */
            const struct template_builtin *builtin; /* FILTER, TEST */
            struct template_value name;             /* METHOD_CALL */
            struct template_arguments arguments;
        } call;
        struct {
            struct template_node *condition, *body, *otherwise; /* otherwise: NULL, or not */
            struct template_node *elif;                         /* IF: the next branch */
        } branch;                                               /* CONDITIONAL, IF */
        struct {
            struct template_node *target, *iterable, *filter, *body, *otherwise;
        } loop; /* FOR */
        struct {
            struct template_node *target, *value, *body; /* value: of a block, its filters */
        } set; /* SET, SET_BLOCK, FILTER_BLOCK (no target) */
        struct {
            struct template_node *targets, *values, *body;
        } with;
        struct {
            uint32_t symbol, parameter_count;
            uint32_t *parameters;            /* symbols */
            struct template_node **defaults; /* NULL where there is none */
            struct template_node *body;
            bool takes_caller, takes_varargs, takes_kwargs; /* the body names them */
        } macro;
        struct {
            struct template_node *call, *macro;
        } call_block;
    };
};

/* Symbols that the render itself binds. */
enum template_symbol {
    TEMPLATE_SYMBOL_LOOP,
    TEMPLATE_SYMBOL_CALLER,
    TEMPLATE_SYMBOL_VARARGS,
    TEMPLATE_SYMBOL_KWARGS,
    TEMPLATE_SYMBOL_COUNT
};

struct template_program {
    struct arena *arena;
    struct template_node *body;
    struct template_value *symbols; /* names by number, strings */
    uint32_t symbol_count;
    locale_t letters; /* what is a letter, and its other case; (locale_t)0: ASCII only */
};

/* Fills program->body and ->symbols from source, in program->arena. Errors read
 * "chat template line N: ...". source: `count` bytes of UTF-8. */
int template_parse(struct template_program *program, const char *source, size_t count,
                   struct error *err);

#endif
