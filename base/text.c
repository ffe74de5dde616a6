/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_CAPACITY_MIN 64

void text_init(struct text *text)
{
    memset(text, 0, sizeof *text);
}

void text_destroy(struct text *text)
{
    free(text->bytes);
    text_init(text);
}

void text_reset(struct text *text)
{
    text->count = 0;
    text->failed = false;
    if (text->bytes != NULL)
        text->bytes[0] = '\0';
}

bool text_reserve(struct text *text, size_t bytes)
{
    if (text->failed)
        return false;
    if (bytes >= SIZE_MAX / 2 - text->count) {
        text->failed = true;
        return false;
    }
    size_t needed = text->count + bytes + 1;
    if (needed <= text->capacity)
        return true;
    size_t capacity = text->capacity < TEXT_CAPACITY_MIN ? TEXT_CAPACITY_MIN : text->capacity;
    while (capacity < needed)
        capacity *= 2;
    char *grown = realloc(text->bytes, capacity);
    if (grown == NULL) {
        text->failed = true;
        return false;
    }
    text->bytes = grown;
    text->capacity = capacity;
    return true;
}

void text_append(struct text *text, const void *bytes, size_t count)
{
    if (count == 0 || !text_reserve(text, count))
        return;
    memcpy(text->bytes + text->count, bytes, count);
    text->count += count;
    text->bytes[text->count] = '\0';
}

void text_append_string(struct text *text, const char *string)
{
    text_append(text, string, strlen(string));
}

void text_append_char(struct text *text, char c)
{
    text_append(text, &c, 1);
}

/* Into the room that there is, and again where it did not fit. */
void text_append_format(struct text *text, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    if (text_reserve(text, TEXT_CAPACITY_MIN / 2)) {
        size_t room = text->capacity - text->count;
        int needed = vsnprintf(text->bytes + text->count, room, format, args);
        if (needed >= 0 && (size_t)needed >= room && text_reserve(text, (size_t)needed))
            needed = vsnprintf(text->bytes + text->count, (size_t)needed + 1, format, again);
        if (needed > 0 && !text->failed)
            text->count += (size_t)needed;
        text->bytes[text->count] = '\0';
    }
    va_end(again);
    va_end(args);
}

void text_append_u64(struct text *text, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    text_append(text, digits + at, sizeof digits - at);
}

static void append_json_escape(struct text *text, unsigned char c)
{
    switch (c) {
    case '"':
        text_append(text, "\\\"", 2);
        break;
    case '\\':
        text_append(text, "\\\\", 2);
        break;
    case '\n':
        text_append(text, "\\n", 2);
        break;
    case '\r':
        text_append(text, "\\r", 2);
        break;
    case '\t':
        text_append(text, "\\t", 2);
        break;
    default:
        text_append_format(text, "\\u%04x", c);
    }
}

void text_append_json(struct text *text, const char *bytes, size_t count)
{
    text_append_char(text, '"');
    size_t plain = 0; /* start of the run that needs no escape */
    size_t at = 0;
    while (at < count) {
        unsigned char c = (unsigned char)bytes[at];
        uint32_t codepoint;
        size_t length = utf8_decode(bytes + at, count - at, &codepoint);
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f && codepoint != UINT32_MAX) {
            at += length;
            continue;
        }
        text_append(text, bytes + plain, at - plain);
        if (codepoint == UINT32_MAX)
            text_append(text, "\xef\xbf\xbd", 3);
        else
            append_json_escape(text, c);
        at += length;
        plain = at;
    }
    text_append(text, bytes + plain, at - plain);
    text_append_char(text, '"');
}

/* What most numbers are, milliseconds of a clock in microseconds: k / 1000, which reads back equal,
 * for it is the double nearest to that decimal. False: it is another kind of number. */
static bool append_thousandths(struct text *text, double value)
{
    double size = fabs(value);
    if (size >= 1e6 || (value == 0.0 && signbit(value)))
        return false;
    uint32_t count = (uint32_t)(size * 1000 + 0.5);
    if ((double)count / 1000 != size)
        return false;
    if (value < 0)
        text_append_char(text, '-');
    text_append_u64(text, count / 1000);
    char rest[] = {'.', (char)('0' + count / 100 % 10), (char)('0' + count / 10 % 10),
                   (char)('0' + count % 10)};
    size_t wanted = sizeof rest;
    while (wanted > 1 && rest[wanted - 1] == '0')
        wanted--;
    text_append(text, rest, wanted > 1 ? wanted : 0);
    return true;
}

void text_append_json_double(struct text *text, double value)
{
    if (!isfinite(value)) {
        text_append_string(text, "null");
        return;
    }
    if (append_thousandths(text, value))
        return;
    char digits[32];
    for (int precision = 6; precision <= 17; precision++) {
        (void)snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    text_append_string(text, digits);
}

const char *text_string(const struct text *text)
{
    return text->bytes == NULL ? "" : text->bytes;
}

char *text_take(struct text *text, size_t *ret_count)
{
    if (text->failed || !text_reserve(text, 0)) {
        text_destroy(text);
        return NULL;
    }
    char *bytes = text->bytes;
    bytes[text->count] = '\0';
    if (ret_count != NULL)
        *ret_count = text->count;
    text_init(text);
    return bytes;
}

/* Length that the first byte promises, 0 if no character can begin so. */
static size_t utf8_length(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return 2;
    if (first >= 0xe0 && first <= 0xef)
        return 3;
    if (first >= 0xf0 && first <= 0xf4)
        return 4;
    return 0;
}

/* The second byte alone rules out overlong forms, surrogates and values above U+10FFFF. */
static bool utf8_second_valid(unsigned char first, unsigned char second)
{
    if ((second & 0xc0) != 0x80)
        return false;
    switch (first) {
    case 0xe0:
        return second >= 0xa0;
    case 0xed:
        return second <= 0x9f;
    case 0xf0:
        return second >= 0x90;
    case 0xf4:
        return second <= 0x8f;
    default:
        return true;
    }
}

size_t utf8_decode(const char *bytes, size_t count, uint32_t *ret)
{
    if (count == 0)
        return 0;
    const unsigned char *in = (const unsigned char *)bytes;
    size_t length = utf8_length(in[0]);
    *ret = UINT32_MAX;
    if (length == 0 || length > count)
        return 1;
    if (length == 1) {
        *ret = in[0];
        return 1;
    }
    if (!utf8_second_valid(in[0], in[1]))
        return 1;
    uint32_t codepoint = in[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((in[i] & 0xc0) != 0x80)
            return 1;
        codepoint = codepoint << 6 | (in[i] & 0x3fu);
    }
    *ret = codepoint;
    return length;
}

bool utf8_valid(const char *bytes, size_t count)
{
    for (size_t at = 0; at < count;) {
        uint32_t codepoint;
        at += utf8_decode(bytes + at, count - at, &codepoint);
        if (codepoint == UINT32_MAX)
            return false;
    }
    return true;
}

size_t utf8_incomplete_tail(const char *bytes, size_t count)
{
    const unsigned char *in = (const unsigned char *)bytes;
    for (size_t tail = 1; tail <= 3 && tail <= count; tail++) {
        unsigned char c = in[count - tail];
        if ((c & 0xc0) == 0x80)
            continue;
        if (utf8_length(c) <= tail)
            return 0;
        if (tail >= 2 && !utf8_second_valid(c, in[count - tail + 1]))
            return 0;
        return tail;
    }
    return 0;
}

size_t utf8_encode(uint32_t codepoint, char bytes[4])
{
    assert(codepoint <= 0x10ffff);
    if (codepoint < 0x80) {
        bytes[0] = (char)codepoint;
        return 1;
    }
    if (codepoint < 0x800) {
        bytes[0] = (char)(0xc0 | codepoint >> 6);
        bytes[1] = (char)(0x80 | (codepoint & 0x3f));
        return 2;
    }
    if (codepoint < 0x10000) {
        bytes[0] = (char)(0xe0 | codepoint >> 12);
        bytes[1] = (char)(0x80 | (codepoint >> 6 & 0x3f));
        bytes[2] = (char)(0x80 | (codepoint & 0x3f));
        return 3;
    }
    bytes[0] = (char)(0xf0 | codepoint >> 18);
    bytes[1] = (char)(0x80 | (codepoint >> 12 & 0x3f));
    bytes[2] = (char)(0x80 | (codepoint >> 6 & 0x3f));
    bytes[3] = (char)(0x80 | (codepoint & 0x3f));
    return 4;
}
