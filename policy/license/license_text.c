/* SPDX-License-Identifier: Apache-2.0 */
/* license_text.c -- bytes to words, words to sentences.
 *
 * Three passes. The first finds every word and what stands before and after it:
 *     MIT License\n \n Copyright (c) 2025 A\n \n Permission is hereby granted, ...
 *     ^paragraph       ^paragraph, ^signed       ^paragraph
 * The second drops what the heads of paragraphs leave open: titles and copyright lines. Only heads,
 * for a line that merely happens to begin with "copyright" would come and go with the wrapping. The
 * third copies the words that stay and cuts them into sentences.
 *
 * The road not taken: dropping nothing and leaving names to slots. A digest would then know no MIT
 * text at all, and whoever adds a licence would have to write slots for every one. */
#include "policy/license/license_text.h"

#include "policy/license/license_pattern.h"
#include "policy/license/license_unreadable.h"
#include "policy/license/license_words.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define COPYRIGHT_WORDS_MAX 24u /* of one statement */
#define TITLE_WORDS_MAX     7u

enum {
    WORD_BEGINS_LINE = 1 << 0,
    WORD_BEGINS_PARAGRAPH = 1 << 1,
    WORD_SIGNED = 1 << 2, /* a copyright sign stands before it, and no other word between */
    WORD_STOPS = 1 << 3,  /* a sentence ends after it */
    WORD_DROPPED = 1 << 4
};

struct raw_word {
    uint32_t begin, count; /* bytes of the original */
    uint32_t flags;
};

struct raw_words {
    const char *bytes;
    struct raw_word *at;
    uint32_t count, capacity;
};

/* -- words -- */

static bool add_word(struct raw_words *words, size_t begin, size_t count, uint32_t flags)
{
    if (words->count == words->capacity) {
        uint32_t capacity = words->capacity == 0 ? 1024 : 2 * words->capacity;
        struct raw_word *larger = realloc(words->at, capacity * sizeof *larger);
        if (larger == NULL)
            return false;
        words->at = larger;
        words->capacity = capacity;
    }
    words->at[words->count++] = (struct raw_word){(uint32_t)begin, (uint32_t)count, flags};
    return true;
}

/* Case does not count in ASCII; `expected` is lower case. */
static bool raw_is(const struct raw_words *words, uint32_t index, const char *expected)
{
    if (index >= words->count || words->at[index].count != strlen(expected))
        return false;
    const char *bytes = words->bytes + words->at[index].begin;
    for (size_t i = 0; expected[i] != '\0'; i++) {
        char c = bytes[i];
        if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != expected[i])
            return false;
    }
    return true;
}

/* "(c)" is the sign after the word, and at the head of a line before a year; else it is the third
 * item of a list. */
static bool is_spelled_sign(const struct raw_words *words, size_t at, size_t count, bool line_head)
{
    const char *bytes = words->bytes + at;
    if (count - at < 3 || bytes[0] != '(' || (bytes[1] != 'c' && bytes[1] != 'C') ||
        bytes[2] != ')')
        return false;
    if (words->count > 0 && raw_is(words, words->count - 1, "copyright"))
        return true;
    return line_head && count - at > 4 && bytes[3] == ' ' && bytes[4] >= '1' && bytes[4] <= '2';
}

/* What was met since the last word. */
struct between {
    uint32_t line_ends;
    bool stop, stopped, sign;
};

static void see_between(struct between *seen, enum license_char kind, bool line_end)
{
    seen->line_ends += line_end;
    seen->stop = seen->stop || kind == LICENSE_CHAR_STOP;
    seen->stopped =
        seen->stopped || kind == LICENSE_CHAR_FULL || (kind == LICENSE_CHAR_BLANK && seen->stop);
    seen->sign = seen->sign || kind == LICENSE_CHAR_SIGN;
}

static bool find_words(struct raw_words *words, size_t count)
{
    const char *bytes = words->bytes;
    struct between seen = {.line_ends = 2};
    size_t length;
    for (size_t at = 0; at < count; at += length) {
        if (is_spelled_sign(words, at, count, words->count == 0 || seen.line_ends > 0)) {
            seen.sign = true;
            length = 3;
            continue;
        }
        enum license_char kind = license_char_at(bytes + at, count - at, &length);
        if (kind != LICENSE_CHAR_LETTER && kind != LICENSE_CHAR_ALONE) {
            bool line_end = bytes[at] == '\n' ||
                            (bytes[at] == '\r' && (at + 1 == count || bytes[at + 1] != '\n'));
            see_between(&seen, kind, line_end);
            continue;
        }
        size_t end = at + length, next;
        while (kind == LICENSE_CHAR_LETTER && end < count &&
               license_char_at(bytes + end, count - end, &next) == LICENSE_CHAR_LETTER)
            end += next;
        if (words->count > 0 && seen.stopped)
            words->at[words->count - 1].flags |= WORD_STOPS;
        uint32_t flags = (seen.line_ends > 0 ? WORD_BEGINS_LINE : 0u) |
                         (seen.line_ends > 1 ? WORD_BEGINS_PARAGRAPH : 0u) |
                         (seen.sign ? WORD_SIGNED : 0u);
        if (!add_word(words, at, end - at, flags))
            return false;
        seen = (struct between){0};
        length = end - at;
    }
    return true;
}

/* Appends the word as it counts, and a blank. */
static void append_word(struct text *out, const struct raw_words *words, uint32_t index)
{
    const struct raw_word *word = &words->at[index];
    char lower[64];
    if (raw_is(words, index, "https")) {
        text_append_string(out, "http ");
        return;
    }
    for (uint32_t done = 0; done < word->count;) {
        uint32_t some = word->count - done < sizeof lower ? word->count - done : sizeof lower;
        for (uint32_t i = 0; i < some; i++) {
            char c = words->bytes[word->begin + done + i];
            lower[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        }
        text_append(out, lower, some);
        done += some;
    }
    text_append_char(out, ' ');
}

/* -- what a licence leaves open -- */

static uint32_t words_match(const struct raw_words *words, uint32_t first, uint32_t end,
                            const char *const *expected)
{
    uint32_t count = 0;
    for (; count < TITLE_WORDS_MAX && expected[count] != NULL; count++)
        if (first + count >= end || !raw_is(words, first + count, expected[count]))
            return 0;
    return count;
}

/* The first word of the line after `first`'s, or end. */
static uint32_t line_end_of(const struct raw_words *words, uint32_t first, uint32_t end)
{
    uint32_t at = first + 1;
    while (at < end && (words->at[at].flags & WORD_BEGINS_LINE) == 0)
        at++;
    return at;
}

static bool begins_copyright(const struct raw_words *words, uint32_t first, uint32_t end);

/* How many words of a bare title stand at `first`: nothing else on its line but a copyright. */
static uint32_t title_at(const struct raw_words *words, uint32_t first, uint32_t end)
{
    static const char *const titles[][TITLE_WORDS_MAX] = {
        {"the", "mit", "license", "mit"},
        {"the", "mit", "license"},
        {"mit", "license", "mit"},
        {"mit", "license"},
        {"bsd", "3", "clause", "new", "or", "revised", "license"},
        {"bsd", "3", "clause", "license"},
        {"bsd", "2", "clause", "license"},
        {"the", "3", "clause", "bsd", "license"},
        {"the", "2", "clause", "bsd", "license"},
        {"the", "isc", "license"},
        {"isc", "license"},
    };
    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++) {
        uint32_t count = words_match(words, first, end, titles[i]);
        uint32_t after = first + count;
        if (count > 0 && (after == end || (words->at[after].flags & WORD_BEGINS_LINE) != 0 ||
                          begins_copyright(words, after, end)))
            return count;
    }
    return 0;
}

static bool is_year(const struct raw_words *words, uint32_t index, uint32_t end)
{
    return index < end && (raw_is(words, index, "yyyy") || raw_is(words, index, "year") ||
                           (words->at[index].count >= 4 &&
                            (memcmp(words->bytes + words->at[index].begin, "19", 2) == 0 ||
                             memcmp(words->bytes + words->at[index].begin, "20", 2) == 0)));
}

/* "Copyright (c) ...", "Copyright 2025 ...", "(c) 2025 ..." */
static bool begins_copyright(const struct raw_words *words, uint32_t first, uint32_t end)
{
    if (!raw_is(words, first, "copyright"))
        return (words->at[first].flags & WORD_SIGNED) != 0 && is_year(words, first, end);
    return first + 1 < end &&
           ((words->at[first + 1].flags & WORD_SIGNED) != 0 || is_year(words, first + 1, end));
}

static bool is_name(const struct raw_words *words, uint32_t first, uint32_t end)
{
    struct text name;
    text_init(&name);
    for (uint32_t i = first; i < end; i++)
        append_word(&name, words, i);
    bool plain = !name.failed && license_words_are_a_name(text_string(&name), name.count);
    text_destroy(&name);
    return plain;
}

/* Where the licence itself begins after a copyright statement in one paragraph with it, or end. */
static uint32_t opening_of(const struct raw_words *words, uint32_t first, uint32_t end)
{
    static const char *const openings[][TITLE_WORDS_MAX] = {
        {"permission", "is", "hereby", "granted"},
        {"permission", "to", "use"},
        {"licensed", "under", "the"},
        {"redistribution", "and", "use"},
    };
    for (uint32_t at = first; at < end && at - first <= COPYRIGHT_WORDS_MAX; at++)
        for (size_t i = 0; i < sizeof openings / sizeof openings[0]; i++)
            if (words_match(words, at, end, openings[i]) > 0)
                return at;
    return end;
}

/* One past the copyright statement at `first`, whose name may go on for a whole paragraph, up to
 * the licence's own opening, or ends with its line; `first` where a rule hides in it. */
static uint32_t copyright_end(const struct raw_words *words, uint32_t first, uint32_t end)
{
    uint32_t line = line_end_of(words, first, end), opening = opening_of(words, first, end);
    if (opening - first <= COPYRIGHT_WORDS_MAX && is_name(words, first, opening))
        return opening;
    return line - first <= COPYRIGHT_WORDS_MAX && is_name(words, first, line) ? line : first;
}

/* Marks titles and copyright lines at the head of the paragraph [first, end). reserved: whether a
 * copyright stood right before, so that "all rights reserved" may follow. */
static void drop_head(struct raw_words *words, uint32_t first, uint32_t end, bool *reserved)
{
    static const char *const all_rights[TITLE_WORDS_MAX] = {"all", "rights", "reserved"};
    uint32_t at = first;
    bool copyright = *reserved;
    while (at < end) {
        uint32_t next = at + title_at(words, at, end);
        if (next == at && copyright)
            next = at + words_match(words, at, end, all_rights);
        if (next == at && begins_copyright(words, at, end)) {
            next = copyright_end(words, at, end);
            copyright = copyright || next > at;
        }
        if (next == at)
            break;
        while (at < next)
            words->at[at++].flags |= WORD_DROPPED;
    }
    *reserved = copyright && at == end;
}

static void drop_heads(struct raw_words *words)
{
    bool reserved = false;
    for (uint32_t first = 0; first < words->count;) {
        uint32_t end = first + 1;
        while (end < words->count && (words->at[end].flags & WORD_BEGINS_PARAGRAPH) == 0)
            end++;
        drop_head(words, first, end, &reserved);
        first = end;
    }
}

/* -- sentences -- */

/* Where what belongs to a word ends: the marks that follow it up to a blank. */
static uint32_t shown_end(const struct raw_words *words, uint32_t index, size_t count)
{
    size_t at = words->at[index].begin + words->at[index].count, length;
    size_t limit = index + 1 < words->count ? words->at[index + 1].begin : count;
    while (at < limit &&
           license_char_at(words->bytes + at, count - at, &length) != LICENSE_CHAR_BLANK)
        at += length;
    return (uint32_t)at;
}

static bool ends_sentence(const struct raw_words *words, uint32_t index, uint32_t word_count)
{
    if (index + 1 == words->count)
        return true;
    const struct raw_word *next = &words->at[index + 1];
    if ((next->flags & (WORD_BEGINS_PARAGRAPH | WORD_DROPPED)) != 0)
        return true;
    return (words->at[index].flags & WORD_STOPS) != 0 && word_count > 1;
}

static bool has_memory(struct license_text *text, const struct raw_words *words)
{
    uint32_t sentences = 0, kept = 0;
    for (uint32_t i = 0; i < words->count; i++) {
        kept += (words->at[i].flags & WORD_DROPPED) == 0;
        sentences += ends_sentence(words, i, 2);
    }
    text->starts = calloc((size_t)kept + 1, sizeof *text->starts);
    text->origins = calloc((size_t)kept + 1, sizeof *text->origins);
    text->sentences = calloc((size_t)sentences + 1, sizeof *text->sentences);
    return text->starts != NULL && text->origins != NULL && text->sentences != NULL;
}

/* Fills the arrays; the words go into `out`. */
static void cut_sentences(struct license_text *text, const struct raw_words *words, size_t count,
                          struct text *out)
{
    struct license_sentence open = {0};
    for (uint32_t i = 0; i < words->count; i++) {
        if ((words->at[i].flags & WORD_DROPPED) != 0)
            continue;
        if (open.word_count == 0)
            open = (struct license_sentence){.first_word = text->word_count,
                                             .begin = words->at[i].begin};
        text->starts[text->word_count] = (uint32_t)out->count;
        text->origins[text->word_count++] = words->at[i].begin;
        append_word(out, words, i);
        open.word_count++;
        if (!ends_sentence(words, i, open.word_count))
            continue;
        open.end = shown_end(words, i, count);
        text->sentences[text->sentence_count++] = open;
        open.word_count = 0;
    }
    text->starts[text->word_count] = (uint32_t)out->count;
    text->origins[text->word_count] = (uint32_t)count;
}

bool license_words_hash(const char *words, size_t count, uint64_t *ret)
{
    uint8_t digest[LICENSE_DIGEST_BYTES];
    if (EVP_Digest(words, count, digest, NULL, EVP_sha256(), NULL) != 1)
        return false;
    uint64_t hash = 0;
    for (size_t i = 0; i < 8; i++)
        hash = hash << 8 | digest[i];
    *ret = hash;
    return true;
}

static int hash_all(struct license_text *text, struct error *err)
{
    bool hashed = EVP_Digest(text->words, text->starts[text->word_count], text->digest, NULL,
                             EVP_sha256(), NULL) == 1;
    for (uint32_t i = 0; hashed && i < text->sentence_count; i++) {
        struct license_sentence *sentence = &text->sentences[i];
        uint32_t begin = text->starts[sentence->first_word];
        uint32_t end = text->starts[sentence->first_word + sentence->word_count];
        hashed = license_words_hash(text->words + begin, end - begin, &sentence->hash);
    }
    return hashed ? 0 : error_set(err, ERROR_IO, "OpenSSL has no SHA-256");
}

static int fill(struct license_text *text, struct raw_words *words, size_t count, struct error *err)
{
    struct text out;
    if (!find_words(words, count))
        return error_no_memory(err);
    drop_heads(words);
    if (!has_memory(text, words))
        return error_no_memory(err);
    text_init(&out);
    cut_sentences(text, words, count, &out);
    if (text->word_count == 0) {
        text_destroy(&out);
        return error_set(err, ERROR_UNSUPPORTED,
                         "no words but a title or a copyright line: put the licence's text into "
                         "it, then check again");
    }
    text->words = text_take(&out, NULL);
    return text->words == NULL ? error_no_memory(err) : hash_all(text, err);
}

int license_text_init(struct license_text *text, const char *bytes, size_t count, struct error *err)
{
    struct license_text made = {0};
    struct raw_words words = {.bytes = bytes};
    int result = license_unreadable(bytes, count, err);
    if (result == 0)
        result = fill(&made, &words, count, err);
    free(words.at);
    if (result == 0)
        *text = made;
    else
        license_text_destroy(&made);
    return result;
}

void license_text_destroy(struct license_text *text)
{
    free(text->words);
    free(text->starts);
    free(text->origins);
    free(text->sentences);
    *text = (struct license_text){0};
}

/* -- as the catalogue keeps it -- */

/* The number of a slot's word, 0 for any other word: "weirslot99" is one. */
static uint32_t slot_of(const struct license_text *text, uint32_t word)
{
    const char *at = text->words + text->starts[word];
    size_t count = text->starts[word + 1] - text->starts[word] - 1,
           mark = strlen(LICENSE_SLOT_WORD);
    if (count <= mark || count > mark + 2 || memcmp(at, LICENSE_SLOT_WORD, mark) != 0)
        return 0;
    uint32_t number = 0;
    for (size_t i = mark; i < count; i++) {
        if (at[i] < '0' || at[i] > '9')
            return 0;
        number = 10 * number + (uint32_t)(at[i] - '0');
    }
    return number <= LICENSE_PATTERN_SLOT_WORDS_MAX ? number : 0;
}

static void write_run(const struct license_text *text, uint32_t first, uint32_t end,
                      struct text *out)
{
    uint64_t hash;
    if (first == end)
        return;
    if (!license_words_hash(text->words + text->starts[first],
                            text->starts[end] - text->starts[first], &hash))
        out->failed = true;
    else
        text_append_format(out, "%u:%016llx ", end - first, (unsigned long long)hash);
}

static void write_sentence(const struct license_text *text, const struct license_sentence *sentence,
                           struct text *out)
{
    uint32_t first = sentence->first_word, end = first + sentence->word_count;
    for (uint32_t word = first; word < end; word++) {
        uint32_t slot = slot_of(text, word);
        if (slot == 0)
            continue;
        write_run(text, first, word, out);
        text_append_format(out, "~%u ", slot);
        first = word + 1;
    }
    write_run(text, first, end, out);
    if (!out->failed)
        out->count--; /* the last blank; a sentence has a word */
    text_append_char(out, '\n');
}

void license_text_write(const struct license_text *text, uint32_t indent, struct text *out)
{
    assert(text->word_count > 0);
    text_append_format(out, "%*sdigest: ", (int)indent, "");
    for (size_t i = 0; i < LICENSE_DIGEST_BYTES; i++)
        text_append_format(out, "%02x", text->digest[i]);
    text_append_format(out, "\n%*ssentences: |\n", (int)indent, "");
    for (uint32_t i = 0; i < text->sentence_count; i++) {
        text_append_format(out, "%*s", (int)indent + 2, "");
        write_sentence(text, &text->sentences[i], out);
    }
}
