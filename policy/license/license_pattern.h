/* SPDX-License-Identifier: Apache-2.0 */
/* license_pattern.h -- what the catalogue keeps of a licence's text: hashes, in order, and slots.
 *
 * A line a sentence:
 *     12:9f3a6c0d51e2b7a4                        twelve words whose hash is that
 *     3:0011223344556677 ~8 9:8899aabbccddeeff   three words, up to eight of a name, nine words
 * A slot takes what license_words_are_a_name() calls a name, so that no rule hides in it.
 *
 * Pure; any thread; immutable once made. */
#ifndef WEIR_POLICY_LICENSE_LICENSE_PATTERN_H
#define WEIR_POLICY_LICENSE_LICENSE_PATTERN_H

#include "base/error.h"
#include "policy/license/license_text.h"

#include <stdbool.h>
#include <stdint.h>

#define LICENSE_PATTERN_SENTENCES_MAX  2048u
#define LICENSE_PATTERN_SLOTS_MAX      64u /* of a pattern */
#define LICENSE_PATTERN_SLOT_WORDS_MAX 32u
#define LICENSE_PATTERN_RUN_WORDS_MAX  (LICENSE_TEXT_BYTES_MAX / 2)
#define LICENSE_PATTERN_COMPARED_MAX   4096u /* sentences of a text that are aligned */

struct license_pattern;

/* ERROR_INVALID names the line of `sentences` (from 1) that is malformed, or that there is none. */
struct license_pattern *license_pattern_new(const char *sentences, struct error *err);
void license_pattern_free(struct license_pattern *pattern); /* NULL is fine */

/* Whether the text is the pattern from its first word to its last. Sentence ends do not count: a
 * copy whose blank lines went astray is the same text. */
bool license_pattern_is(const struct license_pattern *pattern, const struct license_text *text);

/* What of a text is a pattern's. */
struct license_alignment {
    uint32_t word_count; /* of the text, that the pattern has in this order */
    uint32_t missing;    /* sentences of the pattern that the text lacks; one with words put into
                          * it is not lacking */
};
/* Longest common subsequence of the sentences, counted in words; between them single words. Of a
 * text's sentences the first LICENSE_PATTERN_COMPARED_MAX are compared, and the search for words
 * put into a sentence ends after a fixed effort: what was not looked at counts as unmatched.
 * ret_matched: room for text->word_count flags, true where a word is the pattern's. */
int license_pattern_align(const struct license_pattern *pattern, const struct license_text *text,
                          struct license_alignment *ret, bool *ret_matched, struct error *err);

uint32_t license_pattern_words(const struct license_pattern *pattern); /* without slots */
bool license_pattern_has_slots(const struct license_pattern *pattern);
uint32_t license_pattern_sentences(const struct license_pattern *pattern);
/* The words and the hash of a sentence; 0 words where it has slots. */
uint32_t license_pattern_sentence(const struct license_pattern *pattern, uint32_t index,
                                  uint64_t *ret_hash);

#endif
