/* SPDX-License-Identifier: Apache-2.0 */
/* text.h -- growable bytes, and the UTF-8 and JSON spellings of them.
 *
 * A struct text owns its bytes and keeps a NUL after them (not counted). Growth that fails sets
 * `failed` and drops what did not fit; later appends do nothing, so that a caller builds a whole
 * text and asks once, at the end, whether all of it is there. Not shared between threads. */
#ifndef WEIR_BASE_TEXT_H
#define WEIR_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *bytes; /* NULL until the first append */
    size_t count;
    size_t capacity;
    bool failed; /* an allocation failed: the text is incomplete */
};

void text_init(struct text *text); /* all zero; no allocation */
void text_destroy(struct text *text);
void text_reset(struct text *text); /* empty, `failed` cleared, memory kept */

/* Room for `bytes` more; false (and `failed`) when there is no memory. */
bool text_reserve(struct text *text, size_t bytes);
void text_append(struct text *text, const void *bytes, size_t count);
void text_append_string(struct text *text, const char *string);
void text_append_char(struct text *text, char c);
void text_append_format(struct text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void text_append_u64(struct text *text, uint64_t value);

/* A JSON string with its quotes (RFC 8259, section 7). Bytes that are not UTF-8 become U+FFFD,
 * so the result is always valid JSON. */
void text_append_json(struct text *text, const char *bytes, size_t count);
/* A JSON number, shortest spelling that reads back equal; null for NaN and infinities. */
void text_append_json_double(struct text *text, double value);

/* The NUL-terminated bytes ("" when empty), borrowed until the next change. */
const char *text_string(const struct text *text);
/* Moves the bytes out to the caller, who frees them; the text is empty after. NULL if failed. */
char *text_take(struct text *text, size_t *ret_count);

/* -- UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF) -- */

bool utf8_valid(const char *bytes, size_t count);
/* Bytes at the end of `bytes` that begin a character not finished yet: 0 to 3. */
size_t utf8_incomplete_tail(const char *bytes, size_t count);
/* Decodes one character, returns its length; 0 for count == 0; for a malformed byte, *ret is
 * UINT32_MAX and the length 1. */
size_t utf8_decode(const char *bytes, size_t count, uint32_t *ret);
/* Writes up to 4 bytes; returns how many. `codepoint` must be a scalar value. */
size_t utf8_encode(uint32_t codepoint, char bytes[4]);

#endif
