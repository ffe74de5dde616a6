/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/license/license_unreadable.h"

#include "base/text.h"
#include "policy/license/license_text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#define HEAD_BYTES 1024u /* where a PDF's or a page's first mark has to stand */

/* The longer mark before the one that begins it. */
static const struct {
    const char *magic;
    size_t count;
    const char *what, *remedy;
} formats[] = {
    {"\xff\xfe\0\0", 4, "UTF-32 text", "save it as UTF-8"},
    {"\0\0\xfe\xff", 4, "UTF-32 text", "save it as UTF-8"},
    {"\xff\xfe", 2, "UTF-16 text", "save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"},
    {"\xfe\xff", 2, "UTF-16 text", "save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"},
    {"\x1f\x8b", 2, "gzip data", "unpack it (gunzip)"},
    {"BZh", 3, "bzip2 data", "unpack it (bunzip2)"},
    {"\xfd"
     "7zXZ",
     5, "xz data", "unpack it (unxz)"},
    {"\x28\xb5\x2f\xfd", 4, "zstd data", "unpack it (unzstd)"},
    {"7z\xbc\xaf\x27\x1c", 6, "a 7z archive", "unpack it"},
    {"PK\x03\x04", 4, "a zip archive or an office document", "save its text as UTF-8"},
    {"\xd0\xcf\x11\xe0", 4, "an office document", "save its text as UTF-8"},
    {"{\\rtf", 5, "RTF", "save its text as UTF-8"},
    {"\x89PNG", 4, "a picture", "put the text beside the weights"},
    {"\xff\xd8\xff", 3, "a picture", "put the text beside the weights"},
    {"\x7f"
     "ELF",
     4, "a program", "put the text beside the weights"},
    {"GGUF", 4, "a GGUF file", "put the text beside the weights"},
    {"version https://git-lfs.github.com/spec/", 40, "a Git LFS pointer",
     "fetch the file itself (git lfs pull)"},
};

static int fail(struct error *err, const char *what, const char *remedy)
{
    return error_set(err, ERROR_UNSUPPORTED, "%s, not plain text: %s, then check again", what,
                     remedy);
}

static bool head_holds(const char *bytes, size_t count, const char *mark)
{
    size_t head = count < HEAD_BYTES ? count : HEAD_BYTES, mark_count = strlen(mark);
    for (size_t at = 0; at + mark_count <= head; at++)
        if (strncasecmp(bytes + at, mark, mark_count) == 0)
            return true;
    return false;
}

static bool begins_with(const char *bytes, size_t count, const char *mark)
{
    return count >= strlen(mark) && strncasecmp(bytes, mark, strlen(mark)) == 0;
}

/* A page says what it is at its first word; Markdown may begin with a tag too, and stays text. */
static bool is_page(const char *bytes, size_t count)
{
    static const char *const marks[] = {"<!doctype", "<html", "<head", "<body", "<?xml"};
    if (count >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) {
        bytes += 3;
        count -= 3;
    }
    while (count > 0 && strchr(" \t\r\n", bytes[0]) != NULL && bytes[0] != '\0') {
        bytes++;
        count--;
    }
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (begins_with(bytes, count, marks[i]))
            return true;
    return count > 0 && bytes[0] == '<' &&
           (head_holds(bytes, count, "<html") || head_holds(bytes, count, "<body"));
}

/* UTF-16 without its mark: half of the first bytes are NUL. */
static bool alternates_with_nul(const char *bytes, size_t count)
{
    size_t head = count < HEAD_BYTES ? count : HEAD_BYTES, even = 0, odd = 0;
    for (size_t at = 0; at < head; at++) {
        even += bytes[at] == '\0' && at % 2 == 0;
        odd += bytes[at] == '\0' && at % 2 == 1;
    }
    return head >= 4 && (even * 8 >= head * 3) != (odd * 8 >= head * 3);
}

/* Bytes that no text has: a tab, line ends, a page break and DOS's end of file are all it may. */
static bool is_control(unsigned char c)
{
    return c < 0x20 && (c < '\t' || c > '\r') && c != 0x1a && c != 0x1b;
}

static int check_characters(const char *bytes, size_t count, struct error *err)
{
    size_t line = 1, length;
    for (size_t at = 0; at < count; at += length) {
        uint32_t codepoint;
        if (is_control((unsigned char)bytes[at]))
            return error_set(err, ERROR_UNSUPPORTED,
                             "binary data (byte 0x%02x in line %zu), not plain text: put the "
                             "licence's text beside the weights, then check again",
                             (unsigned char)bytes[at], line);
        length = utf8_decode(bytes + at, count - at, &codepoint);
        if (codepoint == UINT32_MAX)
            return error_set(err, ERROR_UNSUPPORTED,
                             "not UTF-8 (byte 0x%02x in line %zu): save it as UTF-8 (iconv -f "
                             "WINDOWS-1252 -t UTF-8), then check again",
                             (unsigned char)bytes[at], line);
        line += bytes[at] == '\n';
    }
    return 0;
}

int license_unreadable(const char *bytes, size_t count, struct error *err)
{
    if (count == 0)
        return error_set(err, ERROR_UNSUPPORTED,
                         "empty: put the licence's text into it, then check again");
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (count >= formats[i].count && memcmp(bytes, formats[i].magic, formats[i].count) == 0)
            return fail(err, formats[i].what, formats[i].remedy);
    if (head_holds(bytes, count, "%PDF-"))
        return fail(err, "a PDF", "save its text as UTF-8 (pdftotext)");
    if (count > LICENSE_TEXT_BYTES_MAX)
        return error_set(err, ERROR_UNSUPPORTED,
                         "%zu bytes, more than the %u that a licence may have: keep the "
                         "licence's text alone in it, then check again",
                         count, LICENSE_TEXT_BYTES_MAX);
    if (alternates_with_nul(bytes, count))
        return fail(err, "UTF-16 text", "save it as UTF-8 (iconv -f UTF-16 -t UTF-8)");
    if (is_page(bytes, count))
        return fail(err, "an HTML page", "save its text as UTF-8");
    return check_characters(bytes, count, err);
}
