/* SPDX-License-Identifier: Apache-2.0 */
/* license_text.h -- a licence's text as hashed sentences: known exactly, or not at all.
 *
 * Similarity is no help here: a permissive text with one restricting sentence at its end is 80 to
 * 87% alike the original, and two versions of one licence 99%. So every word counts, in order.
 * Words are lower-cased ASCII and whole runs of other scripts; layout, punctuation and quotes are
 * gone. A sentence ends with the word before one of . ; : ! ? that blanks or an end of text
 * follow, or before the full stop of another script. Plain copyright lines and a bare title are
 * left out, for the licence leaves them open; a line that also permits or forbids is neither.
 *
 * A pattern is what the catalogue keeps of a text, a line a sentence:
 *     12:9f3a6c0d51e2b7a4                 twelve words whose hash is that
 *     3:0011223344556677 ~8 9:8899aabbccddeeff   three words, up to eight of anybody's, nine words
 * The hash is the first 8 bytes of SHA-256 over the words joined by blanks.
 *
 * Pure; any thread; a struct belongs to its caller. */
#ifndef WEIR_POLICY_LICENSE_TEXT_H
#define WEIR_POLICY_LICENSE_TEXT_H

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LICENSE_TEXT_BYTES_MAX 1048576u /* more is no licence that we know */
#define LICENSE_DIGEST_BYTES   32u

struct license_sentence {
    uint32_t first_word, word_count;
    uint32_t begin, end; /* bytes of the original that it came from, to be shown */
    uint64_t hash;       /* of all its words */
};

struct license_text {
    char *words;      /* normalised, each followed by a blank; NUL at the end */
    uint32_t *starts; /* byte offset of each word in `words`, and one past the last */
    uint32_t word_count;
    struct license_sentence *sentences;
    uint32_t sentence_count;
    uint8_t digest[LICENSE_DIGEST_BYTES]; /* SHA-256 of the words joined by blanks */
};

/* ERROR_UNSUPPORTED, with what it is and what to do, for bytes that are no plain text: UTF-16, a
 * PDF, HTML, an archive, NULs, not UTF-8, larger than LICENSE_TEXT_BYTES_MAX, no words at all. */
int license_text_init(struct license_text *text, const char *bytes, size_t count,
                      struct error *err);
void license_text_destroy(struct license_text *text);

/* The entry of a catalogue's `texts:` for it: digest and sentences, indented by `indent` blanks.
 * For `weir licenses fingerprint`; slots are put in by hand. */
void license_text_write(const struct license_text *text, uint32_t indent, struct text *out);

struct license_pattern; /* the sentences of a fingerprint, parsed */

/* ERROR_INVALID names the line of `sentences` (from 1) that is malformed. */
struct license_pattern *license_pattern_new(const char *sentences, struct error *err);
void license_pattern_free(struct license_pattern *pattern); /* NULL is fine */

/* What of a text is a pattern's. */
struct license_alignment {
    bool whole;          /* every sentence matches, in order, on both sides */
    uint32_t word_count; /* of the text, in sentences that match in order */
    uint32_t missing;    /* sentences of the pattern that the text lacks */
};
/* ret_matched: room for text->sentence_count flags, true where a sentence is the pattern's.
 * Longest common subsequence; at most a fixed number of sentences are looked at. */
int license_pattern_align(const struct license_pattern *pattern, const struct license_text *text,
                          struct license_alignment *ret, bool *ret_matched, struct error *err);
uint32_t license_pattern_words(const struct license_pattern *pattern); /* without slots */

#endif
