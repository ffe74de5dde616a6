/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/license/license_words.h"

#include "base/text.h"
#include "policy/license/license_restriction.h"

#include <stdint.h>
#include <string.h>

static bool within(uint32_t codepoint, uint32_t first, uint32_t last)
{
    return codepoint >= first && codepoint <= last;
}

static enum license_char ascii_kind(unsigned char c)
{
    if (within(c, '0', '9') || within(c, 'a', 'z') || within(c, 'A', 'Z'))
        return LICENSE_CHAR_LETTER;
    if (c == ' ' || within(c, '\t', '\r'))
        return LICENSE_CHAR_BLANK;
    if (c == '.' || c == ';' || c == ':' || c == '!' || c == '?')
        return LICENSE_CHAR_STOP;
    return LICENSE_CHAR_MARK;
}

/* Unicode blocks, and the few characters of Latin-1 that are no letters. */
static enum license_char wide_kind(uint32_t c)
{
    if (c == 0xa9)
        return LICENSE_CHAR_SIGN;
    if (c == 0x3002 || c == 0xff01 || c == 0xff1a || c == 0xff1b || c == 0xff1f || c == 0xff61)
        return LICENSE_CHAR_FULL;
    if (within(c, 0x80, 0xa0) || c == 0xab || c == 0xad || c == 0xae || c == 0xb7 || c == 0xbb)
        return LICENSE_CHAR_MARK; /* controls, no-break space, quotes, soft hyphen, (R), a dot */
    if (within(c, 0x2000, 0x206f) || c == 0x2122 || within(c, 0x2500, 0x25ff))
        return LICENSE_CHAR_MARK; /* general punctuation, (TM), drawn lines and bullets */
    if (within(c, 0x3000, 0x3004) || within(c, 0x3008, 0x3020) || c == 0xfeff)
        return LICENSE_CHAR_MARK; /* punctuation of Chinese and Japanese, byte order mark */
    if (within(c, 0xff01, 0xff0f) || within(c, 0xff1a, 0xff20) || within(c, 0xff3b, 0xff40) ||
        within(c, 0xff5b, 0xff65))
        return LICENSE_CHAR_MARK; /* full-width forms of ASCII's */
    if (within(c, 0x3005, 0x3007) || within(c, 0x3040, 0x30ff) || within(c, 0x3400, 0x4dbf) ||
        within(c, 0x4e00, 0x9fff) || within(c, 0xf900, 0xfaff) || within(c, 0x20000, 0x3ffff))
        return LICENSE_CHAR_ALONE; /* kana, Han and its extensions */
    return LICENSE_CHAR_LETTER;
}

enum license_char license_char_at(const char *bytes, size_t count, size_t *ret_length)
{
    uint32_t codepoint;
    if ((unsigned char)bytes[0] < 0x80) {
        *ret_length = 1;
        return ascii_kind((unsigned char)bytes[0]);
    }
    *ret_length = utf8_decode(bytes, count, &codepoint);
    return codepoint == UINT32_MAX ? LICENSE_CHAR_LETTER : wide_kind(codepoint);
}

static bool is_one_of(const char *word, size_t count, const char *const *list, size_t list_count)
{
    for (size_t i = 0; i < list_count; i++)
        if (strlen(list[i]) == count && memcmp(list[i], word, count) == 0)
            return true;
    return false;
}

/* Words that permit, forbid, oblige or limit; beside them license_restriction() is asked. */
static bool rules(const char *word, size_t count)
{
    static const char *const words[] = {
        "accept",   "agree",     "agreement",   "allowed",    "any",      "apply",
        "are",      "as",        "banned",      "before",     "buy",      "charge",
        "comply",   "condition", "consent",     "contact",    "copies",   "distribute",
        "except",   "exclusive", "exclusively", "fee",        "fees",     "forbidden",
        "grant",    "granted",   "has",         "have",       "hereby",   "if",
        "in",       "is",        "license",     "licence",    "licensed", "limit",
        "may",      "modify",    "month",       "monthly",    "must",     "no",
        "non",      "not",       "only",        "pay",        "payment",  "permission",
        "permit",   "permitted", "personal",    "prior",      "private",  "prohibited",
        "provided", "purchase",  "purpose",     "purposes",   "refrain",  "require",
        "required", "requires",  "restrict",    "restricted", "shall",    "should",
        "solely",   "sold",      "subject",     "terms",      "that",     "this",
        "to",       "under",     "unless",      "upon",       "use",      "used",
        "user",     "users",     "using",       "when",       "where",    "will",
        "with",     "within",    "without",     "you",        "your",
    };
    return is_one_of(word, count, words, sizeof words / sizeof words[0]);
}

/* "Institute for Something" is a name; "for Something" is a purpose. */
static bool takes_for(const char *word, size_t count)
{
    static const char *const words[] = {"institute",   "center",  "centre",     "laboratory",
                                        "lab",         "society", "foundation", "academy",
                                        "association", "school",  "institut"};
    return is_one_of(word, count, words, sizeof words / sizeof words[0]);
}

/* Restricting words that are parts of publishers' names, and alone rule nothing. */
static bool is_of_names(const char *word, size_t count)
{
    static const char *const words[] = {"china", "korea", "research", "uk"};
    return is_one_of(word, count, words, sizeof words / sizeof words[0]);
}

bool license_words_are_a_name(const char *words, size_t count)
{
    char rest[LICENSE_NAME_BYTES_MAX + 1];
    size_t rest_count = 0;
    if (count > LICENSE_NAME_BYTES_MAX)
        return false;
    const char *last = "";
    size_t last_count = 0;
    for (size_t at = 0; at < count;) {
        const char *blank = memchr(words + at, ' ', count - at);
        size_t word_count = blank == NULL ? count - at : (size_t)(blank - words) - at;
        const char *word = words + at;
        bool is_for = word_count == 3 && memcmp(word, "for", 3) == 0;
        if (rules(word, word_count) || (is_for && !takes_for(last, last_count)))
            return false;
        if (!is_of_names(word, word_count)) {
            memcpy(rest + rest_count, word, word_count);
            rest_count += word_count;
            rest[rest_count++] = ' ';
        }
        last = word;
        last_count = word_count;
        at += word_count + 1;
    }
    return license_restriction(rest, rest_count) == NULL;
}
