/* SPDX-License-Identifier: Apache-2.0 */
/* template_lexer.h -- a template's source as tokens, its whitespace rules already applied.
 *
 * Text between tags comes as TOKEN_TEXT, trimmed as trim_blocks, lstrip_blocks and the signs
 * `-` and `+` ask; comments and raw markers are gone. No thread owns anything here. */
#ifndef WEIR_MODELS_TEMPLATE_LEXER_H
#define WEIR_MODELS_TEMPLATE_LEXER_H

#include "base/arena.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum template_token_kind {
    TOKEN_END,
    TOKEN_TEXT,
    TOKEN_PRINT_BEGIN,
    TOKEN_PRINT_END,
    TOKEN_BLOCK_BEGIN,
    TOKEN_BLOCK_END,
    TOKEN_NAME,
    TOKEN_STRING, /* the bytes have their escapes replaced */
    TOKEN_INTEGER,
    TOKEN_FLOAT,
    TOKEN_OPERATOR,
};

#define TEMPLATE_OPERATOR(first, second) ((first) | (second) << 8)

enum template_operator {
    OPERATOR_NONE = 0,
    OPERATOR_ADD = '+',
    OPERATOR_SUBTRACT = '-',
    OPERATOR_MULTIPLY = '*',
    OPERATOR_DIVIDE = '/',
    OPERATOR_MODULO = '%',
    OPERATOR_FLOOR = TEMPLATE_OPERATOR('/', '/'),
    OPERATOR_POWER = TEMPLATE_OPERATOR('*', '*'),
    OPERATOR_CONCAT = '~',
    OPERATOR_EQUAL = TEMPLATE_OPERATOR('=', '='),
    OPERATOR_UNEQUAL = TEMPLATE_OPERATOR('!', '='),
    OPERATOR_LESS = '<',
    OPERATOR_AT_MOST = TEMPLATE_OPERATOR('<', '='),
    OPERATOR_MORE = '>',
    OPERATOR_AT_LEAST = TEMPLATE_OPERATOR('>', '='),
    OPERATOR_ASSIGN = '=',
    OPERATOR_DOT = '.',
    OPERATOR_COMMA = ',',
    OPERATOR_COLON = ':',
    OPERATOR_SEMICOLON = ';',
    OPERATOR_PIPE = '|',
    OPERATOR_OPEN = '(',
    OPERATOR_CLOSE = ')',
    OPERATOR_OPEN_LIST = '[',
    OPERATOR_CLOSE_LIST = ']',
    OPERATOR_OPEN_DICT = '{',
    OPERATOR_CLOSE_DICT = '}',
    OPERATOR_IN = TEMPLATE_OPERATOR('i', 'n'), /* these two are words; the parser sets them */
    OPERATOR_NOT_IN = TEMPLATE_OPERATOR('n', 'i'),
};

struct template_token {
    enum template_token_kind kind;
    enum template_operator sign;
    uint32_t line;
    uint32_t count;
    const char *bytes; /* in the arena */
    union {
        int64_t integer;
        double real;
    };
};

/* *ret_tokens: an array on the heap that ends with TOKEN_END; the caller frees it. Its bytes are
 * in the arena. */
int template_lex(struct arena *arena, const char *source, size_t count,
                 struct template_token **ret_tokens, struct error *err);

/* Is this code point one that str.strip() strips and \s matches? */
bool template_is_space(uint32_t codepoint);
/* Bytes of space at the start, and at the end, of a text. */
size_t template_leading_space(const char *bytes, size_t count);
size_t template_trailing_space(const char *bytes, size_t count);

#endif
