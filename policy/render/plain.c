/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/render/plain.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define REPLACEMENT      "\xef\xbf\xbd"
#define UNIX_YEAR_0      INT64_C(-62167219200) /* 0000-01-01T00:00:00Z */
#define UNIX_YEAR_9999   INT64_C(253402300799) /* 9999-12-31T23:59:59Z */
#define LINE_COLUMNS_MIN 8u

struct span {
    uint32_t first, last;
};

/* What acts instead of being seen: controls, zero-width and direction marks, tags, private use of
 * no text. Joiners (200C, 200D) are part of words and stay. */
static const struct span unseen[] = {
    {0x00, 0x1f},       {0x7f, 0x9f},
    {0xad, 0xad},       {0x61c, 0x61c},
    {0x180e, 0x180e},   {0x200b, 0x200b},
    {0x200e, 0x200f},   {0x2028, 0x202e},
    {0x2060, 0x206f},   {0xfeff, 0xfeff},
    {0xfff9, 0xfffb},   {0xfffe, 0xffff},
    {0xe0000, 0xe007f}, {UINT32_MAX, UINT32_MAX},
};

static bool is_unseen(uint32_t codepoint)
{
    for (size_t i = 0; i < sizeof unseen / sizeof unseen[0]; i++)
        if (codepoint >= unseen[i].first && codepoint <= unseen[i].last)
            return true;
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Appends one character of `string`, which is not at its end, and returns its bytes. */
static size_t append_one(struct text *out, const char *string, size_t count)
{
    uint32_t codepoint;
    size_t length = utf8_decode(string, count, &codepoint);
    if (is_unseen(codepoint))
        text_append_string(out, REPLACEMENT);
    else
        text_append(out, string, length);
    return length;
}

static void append_plain(struct text *out, const char *string, bool keep_lines)
{
    size_t count = string == NULL ? 0 : strlen(string);
    for (size_t at = 0; at < count;) {
        char c = string[at];
        if (c == '\r' && string[at + 1] == '\n') {
            at++; /* one line's end, not two */
        } else if (is_blank(c)) {
            text_append_char(out, keep_lines && c == '\n' ? '\n' : ' ');
            at++;
        } else {
            at += append_one(out, string + at, count - at);
        }
    }
}

void plain_append(struct text *out, const char *string)
{
    append_plain(out, string, false);
}

void plain_append_lines(struct text *out, const char *string)
{
    append_plain(out, string, true);
}

bool plain_append_url(struct text *out, const char *link)
{
    if (strncmp(link, "https://", 8) != 0 && strncmp(link, "http://", 7) != 0)
        return false;
    for (; *link != '\0'; link++) {
        unsigned char c = (unsigned char)*link;
        if (c <= 0x20 || c >= 0x7f || strchr("\"<>\\^`{|}[]", c) != NULL)
            text_append_format(out, "%%%02X", c);
        else
            text_append_char(out, *link);
    }
    return true;
}

static uint32_t width_of(const char *string, size_t count)
{
    uint32_t width = 0;
    for (size_t at = 0; at < count; width++) {
        uint32_t codepoint;
        at += utf8_decode(string + at, count - at, &codepoint);
    }
    return width;
}

uint32_t plain_width(const char *string)
{
    return string == NULL ? 0 : width_of(string, strlen(string));
}

void plain_blanks(struct text *out, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        text_append_char(out, ' ');
}

/* One word, from column `at`; returns the column after it. */
static uint32_t append_word(struct text *out, const char *word, size_t count, uint32_t at,
                            const struct plain_lines *lines)
{
    for (size_t used = 0; used < count; at++) {
        if (at >= lines->columns) {
            text_append_char(out, '\n');
            plain_blanks(out, lines->indent);
            at = lines->indent;
        }
        used += append_one(out, word + used, count - used);
    }
    return at;
}

void plain_wrap(struct text *out, const char *string, struct plain_lines lines)
{
    if (lines.columns < lines.indent + LINE_COLUMNS_MIN)
        lines.columns = lines.indent + LINE_COLUMNS_MIN;
    uint32_t at = lines.at;
    bool first = true; /* no word yet on this line */
    const char *word = string == NULL ? "" : string;
    for (;;) {
        while (is_blank(*word))
            word++;
        if (*word == '\0')
            break;
        size_t count = 0;
        while (word[count] != '\0' && !is_blank(word[count]))
            count++;
        uint32_t width = width_of(word, count);
        if (!first && at + 1 + width > lines.columns) {
            text_append_char(out, '\n');
            plain_blanks(out, lines.indent);
            at = lines.indent;
        } else if (!first) {
            text_append_char(out, ' ');
            at++;
        }
        at = append_word(out, word, count, at, &lines);
        word += count;
        first = false;
    }
    text_append_char(out, '\n');
}

void plain_time(struct text *out, int64_t unix_seconds)
{
    time_t seconds = (time_t)(unix_seconds < UNIX_YEAR_0      ? UNIX_YEAR_0
                              : unix_seconds > UNIX_YEAR_9999 ? UNIX_YEAR_9999
                                                              : unix_seconds);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL)
        return;
    text_append_format(out, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                       tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void plain_number(struct text *out, uint64_t value)
{
    char digits[24];
    int count = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0)
            text_append_char(out, ',');
        text_append_char(out, digits[i]);
    }
}
