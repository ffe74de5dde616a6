/* SPDX-License-Identifier: Apache-2.0 */
/* template_lexer.c -- text outside tags, tokens inside them, and the whitespace between.
 *
 *     text {%- if x -%} text {{ value }} text {# comment #} text
 *         |  |         |    |  |        |    |
 *         |  begin     |    |  begin    |    comments leave nothing
 *         |            |    |           end: takes no newline
 *         |            |    nothing is stripped before {{
 *         |            end: "-%}" takes all space, "%}" one newline, "+%}" none
 *         "{%-" strips all space before, "{%" space back to the start of its line, "{%+" none
 *
 * This is Jinja with trim_blocks and lstrip_blocks set and keep_trailing_newline not, as chat
 * templates are written for. A tag ends only where its brackets balance, so that a dict literal
 * may stand at the end of {{ }}: that takes a stack, and its depth is bounded. */
#include "models/template_lexer.h"

#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEXER_BRACKETS_MAX 128u

struct lexer {
    struct arena *arena;
    const char *source; /* newlines are \n alone */
    size_t count, position;
    uint32_t line;
    struct template_token *tokens;
    size_t token_count, token_capacity;
    char brackets[LEXER_BRACKETS_MAX];
    uint32_t bracket_count;
    struct error *err;
};

bool template_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

size_t template_leading_space(const char *bytes, size_t count)
{
    size_t at = 0;
    while (at < count) {
        uint32_t codepoint;
        size_t used = utf8_decode(bytes + at, count - at, &codepoint);
        if (!template_is_space(codepoint))
            break;
        at += used;
    }
    return at;
}

size_t template_trailing_space(const char *bytes, size_t count)
{
    size_t end = count;
    while (end > 0) {
        size_t start = end - 1;
        while (start > 0 && ((unsigned char)bytes[start] & 0xc0) == 0x80)
            start--;
        uint32_t codepoint;
        (void)utf8_decode(bytes + start, end - start, &codepoint);
        if (!template_is_space(codepoint))
            break;
        end = start;
    }
    return count - end;
}

static int fail(struct lexer *lexer, const char *what)
{
    return error_set(lexer->err, ERROR_INVALID, "chat template line %u: %s", lexer->line, what);
}

static bool starts_with(const struct lexer *lexer, size_t at, const char *text)
{
    size_t count = strlen(text);
    return lexer->count - at >= count && memcmp(lexer->source + at, text, count) == 0;
}

static void advance(struct lexer *lexer, size_t count)
{
    for (size_t i = 0; i < count; i++)
        lexer->line += lexer->source[lexer->position + i] == '\n';
    lexer->position += count;
}

static struct template_token *push(struct lexer *lexer, enum template_token_kind kind,
                                   const char *bytes, size_t count)
{
    if (lexer->token_count == lexer->token_capacity) {
        size_t capacity = lexer->token_capacity > 0 ? lexer->token_capacity * 2 : 256;
        void *grown = realloc(lexer->tokens, capacity * sizeof *lexer->tokens);
        if (grown == NULL) {
            (void)error_no_memory(lexer->err);
            return NULL;
        }
        lexer->tokens = grown;
        lexer->token_capacity = capacity;
    }
    struct template_token *token = &lexer->tokens[lexer->token_count++];
    *token = (struct template_token){
        .kind = kind, .line = lexer->line, .bytes = bytes, .count = (uint32_t)count};
    return token;
}

/* -- numbers, names, strings, operators -- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (unsigned char)c >= 0x80;
}

/* The source is NUL-terminated, so looking one byte past a token is always fine. */
static size_t count_digits(const char *text)
{
    size_t i = 0;
    while (is_digit(text[i]) || (i > 0 && text[i] == '_' && is_digit(text[i + 1])))
        i++;
    return i;
}

static size_t measure_float(const char *text)
{
    size_t end = count_digits(text);
    if (end == 0)
        return 0;
    bool real = false;
    if (text[end] == '.' && is_digit(text[end + 1])) {
        end += 1 + count_digits(text + end + 1);
        real = true;
    }
    if (text[end] == 'e' || text[end] == 'E') {
        size_t sign = text[end + 1] == '+' || text[end + 1] == '-';
        size_t digits = count_digits(text + end + 1 + sign);
        if (digits > 0) {
            end += 1 + sign + digits;
            real = true;
        }
    }
    return real ? end : 0;
}

static size_t measure_integer(const char *text, int *ret_base)
{
    *ret_base = 10;
    if (text[0] != '0')
        return count_digits(text);
    char kind = text[1] | 0x20;
    *ret_base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
    if (*ret_base != 10) {
        const char *digits = *ret_base == 16  ? "0123456789abcdefABCDEF_"
                             : *ret_base == 8 ? "01234567_"
                                              : "01_";
        size_t end = 2 + strspn(text + 2, digits);
        if (end > 2)
            return end;
        *ret_base = 10;
    }
    return strspn(text, "0_");
}

static int lex_number(struct lexer *lexer, bool after_dot)
{
    const char *text = lexer->source + lexer->position;
    int base = 10;
    size_t count = after_dot ? 0 : measure_float(text);
    bool real = count > 0;
    if (!real)
        count = measure_integer(text, &base);
    char digits[320];
    size_t kept = 0;
    for (size_t i = base == 10 ? 0 : 2; i < count; i++) {
        if (text[i] == '_')
            continue;
        if (kept == sizeof digits - 1)
            return fail(lexer, "a number has too many digits");
        digits[kept++] = text[i];
    }
    digits[kept] = '\0';
    struct template_token *token = push(lexer, real ? TOKEN_FLOAT : TOKEN_INTEGER, text, count);
    if (token == NULL)
        return ERROR_NO_MEMORY;
    errno = 0;
    if (real)
        token->real = strtod(digits, NULL);
    else
        token->integer = strtoll(digits, NULL, base);
    if (!real && errno == ERANGE)
        return fail(lexer, "an integer does not fit in 64 bits");
    advance(lexer, count);
    return 0;
}

/* \ooo, \xhh, \uhhhh, \Uhhhhhhhh after the backslash; 0 if it is none of them. */
static size_t measure_numeric_escape(const char *text, size_t count, uint32_t *ret)
{
    int base = 16;
    size_t start = 1, digits = text[0] == 'x' ? 2 : text[0] == 'u' ? 4 : text[0] == 'U' ? 8 : 0;
    if (digits == 0) {
        base = 8;
        start = 0;
        while (digits < 3 && digits < count && text[digits] >= '0' && text[digits] <= '7')
            digits++;
    }
    if (digits == 0)
        return 0;
    *ret = 0;
    for (size_t i = start; i < start + digits; i++) {
        char c = i < count ? text[i] : '\0';
        uint32_t digit = is_digit(c) ? (uint32_t)(c - '0')
                         : (c | 0x20) >= 'a' && (c | 0x20) <= 'f'
                             ? (uint32_t)((c | 0x20) - 'a' + 10)
                             : UINT32_MAX;
        if (digit == UINT32_MAX || *ret > UINT32_MAX / 16) {
            *ret = UINT32_MAX;
            return start + digits;
        }
        *ret = *ret * (uint32_t)base + digit;
    }
    return start + digits;
}

/* Replaces one escape; `at` is past the backslash. Returns the bytes it spans, 0 for a bad one. */
static size_t unescape(const char *text, size_t count, char *out, size_t *out_count)
{
    static const char names[] = "\\'\"abfnrtv", values[] = "\\'\"\a\b\f\n\r\t\v";
    const char *simple = text[0] != '\0' ? strchr(names, text[0]) : NULL;
    if (simple != NULL) {
        out[(*out_count)++] = values[simple - names];
        return 1;
    }
    if (text[0] == '\n')
        return 1;
    uint32_t codepoint;
    size_t used = measure_numeric_escape(text, count, &codepoint);
    if (used > 0) {
        if (codepoint > 0x10ffff || (codepoint >= 0xd800 && codepoint <= 0xdfff))
            return 0;
        *out_count += utf8_encode(codepoint, out + *out_count);
        return used;
    }
    if (text[0] == 'N')
        return 0;
    out[(*out_count)++] = '\\';
    out[(*out_count)++] = text[0];
    return 1;
}

static int lex_string(struct lexer *lexer)
{
    const char *text = lexer->source + lexer->position;
    size_t left = lexer->count - lexer->position, end = 1;
    while (end < left && text[end] != text[0])
        end += text[end] == '\\' ? 2 : 1;
    if (end >= left)
        return fail(lexer, "a string is not closed");
    /* No escape is longer as text than it was in the source. */
    char *bytes = arena_alloc(lexer->arena, end + 1);
    if (bytes == NULL)
        return error_no_memory(lexer->err);
    size_t count = 0;
    for (size_t i = 1; i < end;) {
        if (text[i] != '\\') {
            bytes[count++] = text[i++];
            continue;
        }
        size_t used = unescape(text + i + 1, end - i - 1, bytes, &count);
        if (used == 0)
            return fail(lexer, "a string has an escape that is not supported");
        i += 1 + used;
    }
    if (push(lexer, TOKEN_STRING, bytes, count) == NULL)
        return ERROR_NO_MEMORY;
    advance(lexer, end + 1);
    return 0;
}

static int track_bracket(struct lexer *lexer, char c)
{
    if (c == '(' || c == '[' || c == '{') {
        if (lexer->bracket_count == LEXER_BRACKETS_MAX)
            return fail(lexer, "brackets are nested too deep");
        lexer->brackets[lexer->bracket_count++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
        if (lexer->bracket_count == 0 || lexer->brackets[lexer->bracket_count - 1] != c)
            return error_set(lexer->err, ERROR_INVALID, "chat template line %u: unexpected '%c'",
                             lexer->line, c);
        lexer->bracket_count--;
    }
    return 0;
}

static int lex_operator(struct lexer *lexer)
{
    static const char *const doubles[] = {"**", "//", "==", "!=", ">=", "<="};
    const char *text = lexer->source + lexer->position;
    size_t count = 0;
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles && count == 0; i++)
        if (starts_with(lexer, lexer->position, doubles[i]))
            count = 2;
    if (count == 0 && *text != '\0' && strchr("+-/*%~[](){}><=.:|,;", *text) != NULL)
        count = 1;
    if (count == 0)
        return error_set(lexer->err, ERROR_INVALID,
                         "chat template line %u: unexpected character 0x%02x in a tag", lexer->line,
                         (unsigned char)*text);
    int rc = count == 1 ? track_bracket(lexer, *text) : 0;
    if (rc != 0)
        return rc;
    struct template_token *token = push(lexer, TOKEN_OPERATOR, text, count);
    if (token == NULL)
        return ERROR_NO_MEMORY;
    token->sign =
        (enum template_operator)(count == 1 ? text[0] : TEMPLATE_OPERATOR(text[0], text[1]));
    advance(lexer, count);
    return 0;
}

/* -- tags -- */

/* The length of the tag's end if it stands here, with the space it takes along. */
static size_t measure_end(const struct lexer *lexer, const char *close)
{
    size_t at = lexer->position;
    bool block = close[0] != '}';
    char sign = lexer->source[at];
    if (sign == '-' && starts_with(lexer, at + 1, close))
        return 3 + template_leading_space(lexer->source + at + 3, lexer->count - at - 3);
    if (block && sign == '+' && starts_with(lexer, at + 1, close))
        return 3;
    if (starts_with(lexer, at, close))
        return 2 + (block && lexer->source[at + 2] == '\n');
    return 0;
}

static int lex_tag(struct lexer *lexer, bool print)
{
    lexer->bracket_count = 0;
    while (lexer->position < lexer->count) {
        size_t end = lexer->bracket_count == 0 ? measure_end(lexer, print ? "}}" : "%}") : 0;
        const char *text = lexer->source + lexer->position;
        if (end > 0) {
            if (push(lexer, print ? TOKEN_PRINT_END : TOKEN_BLOCK_END, text, 2) == NULL)
                return ERROR_NO_MEMORY;
            advance(lexer, end);
            return 0;
        }
        size_t space = template_leading_space(text, lexer->count - lexer->position);
        int rc = 0;
        if (space > 0) {
            advance(lexer, space);
        } else if (is_digit(*text)) {
            rc = lex_number(lexer, text[-1] == '.');
        } else if (is_name(*text)) {
            size_t count = 0;
            while (is_name(text[count]))
                count++;
            if (push(lexer, TOKEN_NAME, text, count) == NULL)
                return ERROR_NO_MEMORY;
            advance(lexer, count);
        } else if (*text == '\'' || *text == '"') {
            rc = lex_string(lexer);
        } else {
            rc = lex_operator(lexer);
        }
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Pushes the text before a tag at `end`, without the space that the tag's sign takes away. */
static int lex_text(struct lexer *lexer, size_t end, char sign, bool print)
{
    const char *text = lexer->source + lexer->position;
    size_t count = end - lexer->position, kept = count;
    if (sign == '-') {
        kept -= template_trailing_space(text, count);
    } else if (sign != '+' && !print) {
        size_t start = count;
        while (start > 0 && text[start - 1] != '\n')
            start--;
        bool at_line_start = start > 0 || lexer->position == 0 || text[-1] == '\n';
        if (at_line_start && template_leading_space(text + start, count - start) == count - start)
            kept = start;
    }
    if (kept > 0 && push(lexer, TOKEN_TEXT, text, kept) == NULL)
        return ERROR_NO_MEMORY;
    advance(lexer, count);
    return 0;
}

static int skip_comment(struct lexer *lexer, size_t begin)
{
    for (size_t at = begin; at < lexer->count; at++) {
        if (!starts_with(lexer, at, "#}") && !starts_with(lexer, at, "-#}") &&
            !starts_with(lexer, at, "+#}"))
            continue;
        advance(lexer, at - lexer->position);
        advance(lexer, measure_end(lexer, "#}"));
        return 0;
    }
    return fail(lexer, "a comment is not closed");
}

/* {% word %} at `at`: where what follows "{%", a sign and the word begins, 0 if it is not that. */
static size_t match_word(const struct lexer *lexer, size_t at, const char *word)
{
    at += 2;
    at += lexer->source[at] == '-' || lexer->source[at] == '+';
    at += template_leading_space(lexer->source + at, lexer->count - at);
    if (!starts_with(lexer, at, word))
        return 0;
    at += strlen(word);
    at += template_leading_space(lexer->source + at, lexer->count - at);
    bool ends = starts_with(lexer, at, "%}") || starts_with(lexer, at, "-%}") ||
                (strcmp(word, "endraw") == 0 && starts_with(lexer, at, "+%}"));
    return ends ? at : 0;
}

/* `at` is at the end of {% raw %}: pushes the text up to {% endraw %}. */
static int lex_raw(struct lexer *lexer, size_t at)
{
    bool strip = lexer->source[at] == '-';
    advance(lexer, at - lexer->position + (strip ? 3 : 2));
    if (strip)
        advance(lexer, template_leading_space(lexer->source + lexer->position,
                                              lexer->count - lexer->position));
    for (size_t end = lexer->position; end < lexer->count; end++) {
        size_t close = starts_with(lexer, end, "{%") ? match_word(lexer, end, "endraw") : 0;
        if (close == 0)
            continue;
        int rc = lex_text(lexer, end, lexer->source[end + 2], false);
        if (rc != 0)
            return rc;
        advance(lexer, close - end);
        advance(lexer, measure_end(lexer, "%}"));
        return 0;
    }
    return fail(lexer, "{% raw %} is not closed");
}

static int lex_next(struct lexer *lexer)
{
    size_t at = lexer->position;
    while (at < lexer->count && !starts_with(lexer, at, "{{") && !starts_with(lexer, at, "{%") &&
           !starts_with(lexer, at, "{#"))
        at++;
    if (at == lexer->count)
        return lex_text(lexer, at, '+', false);
    const char *tag = lexer->source + at;
    bool print = tag[1] == '{';
    char sign = tag[2] == '-' || tag[2] == '+' ? tag[2] : '\0';
    int rc = lex_text(lexer, at, sign, print);
    if (rc != 0)
        return rc;
    size_t begin = at + (sign != '\0' ? 3 : 2);
    if (tag[1] == '#')
        return skip_comment(lexer, begin);
    size_t raw = tag[1] == '%' ? match_word(lexer, at, "raw") : 0;
    if (raw > 0)
        return lex_raw(lexer, raw);
    if (push(lexer, print ? TOKEN_PRINT_BEGIN : TOKEN_BLOCK_BEGIN, tag, 2) == NULL)
        return ERROR_NO_MEMORY;
    advance(lexer, begin - at);
    return lex_tag(lexer, print);
}

/* A copy with \r\n and \r as \n, and without the newline that ends the file. */
static const char *normalize(struct arena *arena, const char *source, size_t *count)
{
    char *copy = arena_alloc(arena, *count + 1);
    if (copy == NULL)
        return NULL;
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        bool pair = source[i] == '\r' && i + 1 < *count && source[i + 1] == '\n';
        if (!pair)
            copy[kept++] = source[i] == '\r' ? '\n' : source[i];
    }
    if (kept > 0 && copy[kept - 1] == '\n')
        copy[--kept] = '\0';
    *count = kept;
    return copy;
}

int template_lex(struct arena *arena, const char *source, size_t count,
                 struct template_token **ret_tokens, struct error *err)
{
    struct lexer lexer = {.arena = arena, .count = count, .line = 1, .err = err};
    lexer.source = normalize(arena, source, &lexer.count);
    if (lexer.source == NULL)
        return error_no_memory(err);
    int rc = 0;
    while (rc == 0 && lexer.position < lexer.count)
        rc = lex_next(&lexer);
    if (rc == 0 && push(&lexer, TOKEN_END, "", 0) == NULL)
        rc = ERROR_NO_MEMORY;
    if (rc != 0) {
        free(lexer.tokens);
        return rc;
    }
    *ret_tokens = lexer.tokens;
    return 0;
}
