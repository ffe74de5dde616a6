/* SPDX-License-Identifier: Apache-2.0 */
/* license_match.c -- from a text to a record, or to the nearest one.
 *
 *     digest of all words    sorted digests       one search         the common case
 *     words with slots       patterns with slots  a hash each        names that were filled in
 *     sentences              sorted hashes        the best are       a suggestion
 *                                                 aligned in full
 * A pattern without slots is its digest, so it is not tried again. */
#include "policy/license/license_match.h"

#include "policy/license/license_residue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CANDIDATES_MAX   16u /* riders on one text share all of its sentences */
#define FINGERPRINTS_MAX (16u * CATALOGUE_RECORDS_MAX)

struct fingerprint {
    uint8_t digest[LICENSE_DIGEST_BYTES];
    struct license_pattern *pattern; /* NULL where only the digest is known */
    const struct license_record *record;
    enum license_text_role role;
};

struct posting { /* a sentence of a fingerprint */
    uint64_t hash;
    uint32_t fingerprint, words;
};

struct license_matcher {
    struct fingerprint *fingerprints; /* in the order of their digests */
    struct posting *postings;         /* in the order of their hashes */
    uint32_t fingerprint_count, posting_count;
};

/* -- making -- */

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_digest(const char *hex, uint8_t ret[LICENSE_DIGEST_BYTES])
{
    if (strlen(hex) != 2 * (size_t)LICENSE_DIGEST_BYTES)
        return false;
    for (size_t i = 0; i < LICENSE_DIGEST_BYTES; i++) {
        int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static int read_fingerprint(const struct license_record *record, uint32_t index,
                            struct fingerprint *ret, struct error *err)
{
    const struct license_fingerprint *text = &record->texts[index];
    *ret = (struct fingerprint){.record = record, .role = text->role};
    if (!read_digest(text->digest, ret->digest))
        return error_set(err, ERROR_INVALID,
                         "licence '%s': text %u: a digest is 64 hexadecimal digits", record->id,
                         index + 1);
    if (text->sentences[0] == '\0')
        return 0;
    ret->pattern = license_pattern_new(text->sentences, err);
    return ret->pattern != NULL ? 0
                                : error_wrap(err, "licence '%s': text %u", record->id, index + 1);
}

static int by_digest(const void *left, const void *right)
{
    const struct fingerprint *a = left, *b = right;
    return memcmp(a->digest, b->digest, LICENSE_DIGEST_BYTES);
}

static int by_hash(const void *left, const void *right)
{
    const struct posting *a = left, *b = right;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    return (a->fingerprint > b->fingerprint) - (a->fingerprint < b->fingerprint);
}

static int read_records(struct license_matcher *matcher,
                        const struct license_record *const *records, uint32_t count,
                        struct error *err)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (records[i]->text_count > FINGERPRINTS_MAX - total)
            return error_set(err, ERROR_INVALID, "licence '%s': more than %u texts in all",
                             records[i]->id, FINGERPRINTS_MAX);
        total += records[i]->text_count;
    }
    matcher->fingerprints = calloc((size_t)total + 1, sizeof *matcher->fingerprints);
    if (matcher->fingerprints == NULL)
        return error_no_memory(err);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < records[i]->text_count; j++) {
            int result = read_fingerprint(records[i], j,
                                          &matcher->fingerprints[matcher->fingerprint_count], err);
            if (result != 0)
                return result;
            matcher->fingerprint_count++;
        }
    if (total > 0)
        qsort(matcher->fingerprints, total, sizeof *matcher->fingerprints, by_digest);
    return 0;
}

static int index_sentences(struct license_matcher *matcher, struct error *err)
{
    size_t total = 0;
    for (uint32_t i = 0; i < matcher->fingerprint_count; i++)
        if (matcher->fingerprints[i].pattern != NULL)
            total += license_pattern_sentences(matcher->fingerprints[i].pattern);
    matcher->postings = calloc(total + 1, sizeof *matcher->postings);
    if (matcher->postings == NULL)
        return error_no_memory(err);
    for (uint32_t i = 0; i < matcher->fingerprint_count; i++) {
        const struct license_pattern *pattern = matcher->fingerprints[i].pattern;
        uint32_t sentences = pattern == NULL ? 0 : license_pattern_sentences(pattern);
        for (uint32_t j = 0; j < sentences; j++) {
            struct posting *posting = &matcher->postings[matcher->posting_count];
            posting->fingerprint = i;
            posting->words = license_pattern_sentence(pattern, j, &posting->hash);
            matcher->posting_count += posting->words > 0;
        }
    }
    if (matcher->posting_count > 0)
        qsort(matcher->postings, matcher->posting_count, sizeof *matcher->postings, by_hash);
    return 0;
}

struct license_matcher *license_matcher_of(const struct license_record *const *records,
                                           uint32_t count, struct error *err)
{
    struct license_matcher *matcher = calloc(1, sizeof *matcher);
    if (matcher == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    if (read_records(matcher, records, count, err) == 0 && index_sentences(matcher, err) == 0)
        return matcher;
    license_matcher_free(matcher);
    return NULL;
}

struct license_matcher *license_matcher_new(const struct catalogue *catalogue, struct error *err)
{
    uint32_t count = catalogue_count(catalogue);
    const struct license_record **records = calloc((size_t)count + 1, sizeof *records);
    if (records == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++)
        records[i] = catalogue_at(catalogue, i);
    struct license_matcher *matcher = license_matcher_of(records, count, err);
    free(records);
    return matcher;
}

void license_matcher_free(struct license_matcher *matcher)
{
    if (matcher == NULL)
        return;
    for (uint32_t i = 0; i < matcher->fingerprint_count; i++)
        license_pattern_free(matcher->fingerprints[i].pattern);
    free(matcher->fingerprints);
    free(matcher->postings);
    free(matcher);
}

/* -- known -- */

static const struct fingerprint *find_digest(const struct license_matcher *matcher,
                                             const struct license_text *text)
{
    struct fingerprint key = {.pattern = NULL};
    memcpy(key.digest, text->digest, sizeof key.digest);
    if (matcher->fingerprint_count == 0)
        return NULL;
    return bsearch(&key, matcher->fingerprints, matcher->fingerprint_count,
                   sizeof *matcher->fingerprints, by_digest);
}

static const struct fingerprint *find_pattern(const struct license_matcher *matcher,
                                              const struct license_text *text)
{
    for (uint32_t i = 0; i < matcher->fingerprint_count; i++) {
        const struct license_pattern *pattern = matcher->fingerprints[i].pattern;
        if (pattern != NULL && license_pattern_has_slots(pattern) &&
            license_pattern_is(pattern, text))
            return &matcher->fingerprints[i];
    }
    return NULL;
}

static bool find_known(const struct license_matcher *matcher, const struct license_text *text,
                       struct license_match *ret)
{
    const struct fingerprint *found = find_digest(matcher, text);
    ret->kind = MATCH_DIGEST;
    if (found == NULL) {
        found = find_pattern(matcher, text);
        ret->kind = found != NULL ? MATCH_PATTERN : MATCH_NONE;
    }
    if (found == NULL)
        return false;
    ret->record = found->record;
    ret->role = found->role;
    ret->similarity = 1;
    return true;
}

/* -- alike -- */

struct candidate {
    uint32_t fingerprint;
    double likeness; /* by sentences alone, in any order */
};

/* Words in common over the mean length of both: 1 for the same text. */
static double likeness(uint32_t common, const struct license_text *text,
                       const struct license_pattern *pattern)
{
    double all = (double)text->word_count + license_pattern_words(pattern);
    double share = 2.0 * common / all;
    return share < 1 ? share : 1;
}

static uint32_t first_posting(const struct license_matcher *matcher, uint64_t hash)
{
    uint32_t low = 0, high = matcher->posting_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (matcher->postings[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Adds to words[fingerprint] those of the text's sentences that it has. */
static void count_common(const struct license_matcher *matcher, const struct license_text *text,
                         uint32_t *words)
{
    for (uint32_t i = 0; i < text->sentence_count && i < LICENSE_PATTERN_COMPARED_MAX; i++) {
        uint64_t hash = text->sentences[i].hash;
        uint32_t last = UINT32_MAX; /* a sentence that a pattern has twice counts once */
        for (uint32_t at = first_posting(matcher, hash);
             at < matcher->posting_count && matcher->postings[at].hash == hash; at++) {
            const struct posting *posting = &matcher->postings[at];
            if (posting->fingerprint != last)
                words[posting->fingerprint] += posting->words;
            last = posting->fingerprint;
        }
    }
}

static uint32_t choose(const struct license_matcher *matcher, const struct license_text *text,
                       const uint32_t *words, struct candidate ret[CANDIDATES_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < matcher->fingerprint_count; i++) {
        if (words[i] == 0)
            continue;
        struct candidate candidate = {i,
                                      likeness(words[i], text, matcher->fingerprints[i].pattern)};
        uint32_t place = count < CANDIDATES_MAX ? count++ : CANDIDATES_MAX;
        while (place > 0 && ret[place - 1].likeness < candidate.likeness) {
            if (place < CANDIDATES_MAX)
                ret[place] = ret[place - 1];
            place--;
        }
        if (place < CANDIDATES_MAX)
            ret[place] = candidate;
    }
    return count;
}

/* Aligns the candidates and keeps the one with most in common; best: its flags, when it is near
 * enough. flags: room for two times the text's words. */
static int find_nearest(const struct license_matcher *matcher, const struct license_text *text,
                        bool *flags, struct license_match *ret, struct error *err)
{
    struct candidate candidates[CANDIDATES_MAX];
    uint32_t *words = calloc((size_t)matcher->fingerprint_count + 1, sizeof *words);
    if (words == NULL)
        return error_no_memory(err);
    count_common(matcher, text, words);
    uint32_t count = choose(matcher, text, words, candidates);
    free(words);
    bool *trial = flags + text->word_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct fingerprint *other = &matcher->fingerprints[candidates[i].fingerprint];
        struct license_alignment alignment;
        int result = license_pattern_align(other->pattern, text, &alignment, trial, err);
        if (result != 0)
            return result;
        double share = likeness(alignment.word_count, text, other->pattern);
        if (share < LICENSE_SUGGEST_LEAST || share < ret->similarity ||
            (share == ret->similarity && alignment.missing >= ret->missing))
            continue;
        memcpy(flags, trial, text->word_count * sizeof *flags);
        ret->nearest = other->record;
        ret->similarity = share;
        ret->missing = alignment.missing;
    }
    return 0;
}

int license_match(const struct license_matcher *matcher, const struct license_text *text,
                  const char *bytes, struct license_match *ret, struct error *err)
{
    assert(text->word_count > 0);
    struct license_match match = {.kind = MATCH_NONE, .role = TEXT_LICENSE};
    if (find_known(matcher, text, &match)) {
        *ret = match;
        return 0;
    }
    bool *flags = calloc(2 * (size_t)text->word_count, sizeof *flags);
    if (flags == NULL)
        return error_no_memory(err);
    int result = find_nearest(matcher, text, flags, &match, err);
    if (result == 0) {
        license_residues_find(text, bytes, match.nearest == NULL ? NULL : flags, &match);
        *ret = match;
    }
    free(flags);
    return result;
}
