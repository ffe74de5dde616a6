/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/license_text.h"

#include "base/text.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <string.h>

#define COPYRIGHT_LINE_BYTES_MAX 120u

/* Bytes at `at` that separate words though they are not ASCII: the byte order mark, no-break
 * space, (c), and General Punctuation (curly quotes, dashes). Other scripts are words: a rider in
 * Chinese must not vanish. */
static size_t separator_length(const unsigned char *at, size_t left)
{
    if (at[0] < 0x80)
        return isalnum(at[0]) ? 0 : 1;
    if (left >= 2 && at[0] == 0xc2 && (at[1] == 0xa0 || at[1] == 0xa9))
        return 2;
    if (left >= 3 && at[0] == 0xe2 && at[1] == 0x80)
        return 3;
    if (left >= 3 && at[0] == 0xef && at[1] == 0xbb && at[2] == 0xbf)
        return 3;
    return 0;
}

/* Appends the words of a line, a blank after each. */
static void append_words(struct text *out, const char *line, size_t count)
{
    const unsigned char *bytes = (const unsigned char *)line;
    bool in_word = false;
    for (size_t at = 0; at < count;) {
        size_t separator = separator_length(bytes + at, count - at);
        if (separator == 0) {
            text_append_char(out, (char)(bytes[at] < 0x80 ? tolower(bytes[at]) : bytes[at]));
            in_word = true;
            at++;
            continue;
        }
        if (in_word)
            text_append_char(out, ' ');
        in_word = false;
        at += separator;
    }
    if (in_word)
        text_append_char(out, ' ');
}

static bool has_word(const char *words, const char *word)
{
    size_t count = strlen(word);
    for (const char *at = words; (at = strstr(at, word)) != NULL; at += count)
        if ((at == words || at[-1] == ' ') && at[count] == ' ')
            return true;
    return false;
}

/* "Copyright (c) 2025 Some Company": who and when, which the licence leaves open. A line that
 * also says what one may or must do is no such line, whatever it begins with. */
static bool is_copyright_line(const char *words, size_t line_count)
{
    static const char *const duties[] = {
        "may", "must", "shall", "not",     "only",       "if",      "use",   "used",
        "no",  "non",  "under", "users",   "commercial", "license", "terms", "prohibited",
        "for", "this", "that",  "without", "except",     "unless",  "month", "monthly"};
    if (strncmp(words, "copyright ", 10) != 0 || line_count > COPYRIGHT_LINE_BYTES_MAX)
        return false;
    for (size_t i = 0; i < sizeof duties / sizeof duties[0]; i++)
        if (has_word(words, duties[i]))
            return false;
    return words[10] == '\0' || strncmp(words + 10, "c ", 2) == 0 ||
           strncmp(words + 10, "yyyy ", 5) == 0 || isdigit((unsigned char)words[10]);
}

static bool is_bare_title(const char *words)
{
    return strcmp(words, "mit license ") == 0 || strcmp(words, "the mit license ") == 0 ||
           strcmp(words, "the mit license mit ") == 0 ||
           strcmp(words, "bsd 3 clause license ") == 0 ||
           strcmp(words, "all rights reserved ") == 0;
}

static void normalise(const char *bytes, size_t count, struct text *out)
{
    struct text line;
    text_init(&line);
    for (size_t at = 0; at < count;) {
        const char *end = memchr(bytes + at, '\n', count - at);
        size_t line_count = end == NULL ? count - at : (size_t)(end - bytes) - at;
        text_reset(&line);
        append_words(&line, bytes + at, line_count);
        const char *words = text_string(&line);
        if (!is_copyright_line(words, line_count) && !is_bare_title(words))
            text_append(out, line.bytes, line.count);
        out->failed = out->failed || line.failed;
        at += line_count + 1;
    }
    text_destroy(&line);
}

int license_text_digest(const char *bytes, size_t count, uint8_t ret[LICENSE_DIGEST_BYTES],
                        struct error *err)
{
    struct text words;
    text_init(&words);
    normalise(bytes, count, &words);
    int result = 0;
    if (words.failed)
        result = error_no_memory(err);
    else if (EVP_Digest(text_string(&words), words.count, ret, NULL, EVP_sha256(), NULL) != 1)
        result = error_set(err, ERROR_IO, "OpenSSL has no SHA-256");
    text_destroy(&words);
    return result;
}
