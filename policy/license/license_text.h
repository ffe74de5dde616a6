/* SPDX-License-Identifier: Apache-2.0 */
/* license_text.h -- a licence's text as hashed sentences: known exactly, or not at all.
 *
 * Similarity is no help here: a permissive text with one restricting sentence at its end is 80 to
 * 87% alike the original, and two versions of one licence 99%. So every word counts, in order.
 *
 * Words are runs of ASCII letters (lower-cased), digits and other scripts; each Han character and
 * kana is one, for lines break between them. Layout, punctuation, quotes and quoting marks are
 * gone; "https" reads "http"; "(c)" after "copyright" is the sign, which is punctuation.
 * At the head of a paragraph plain copyright lines, "all rights reserved" after them and a bare
 * title ("MIT License") are left out, for the licence leaves them open; a line that also permits or
 * forbids (license_words_are_a_name() says no) stays. So wrapping a paragraph anew, CRLF, "> " or a
 * byte order mark changes nothing.
 * A sentence ends where the marks after a word hold one of . ; : ! ? and then a blank, or the full
 * stop of another script, and with a paragraph, which ends at a line without words. A word alone
 * before a stop ("1.", "Definitions.") goes with what follows it.
 *
 * Pure; any thread; a struct belongs to its caller. */
#ifndef WEIR_POLICY_LICENSE_LICENSE_TEXT_H
#define WEIR_POLICY_LICENSE_LICENSE_TEXT_H

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LICENSE_TEXT_BYTES_MAX 1048576u /* more is no licence that we know */
#define LICENSE_DIGEST_BYTES   32u
#define LICENSE_SLOT_WORD      "weirslot" /* and a number: see license_text_write() */

struct license_sentence {
    uint32_t first_word, word_count;
    uint32_t begin, end; /* bytes of the original that it came from, to be shown */
    uint64_t hash;       /* license_words_hash() of all its words */
};

struct license_text {
    char *words;       /* normalised, each followed by a blank; NUL at the end */
    uint32_t *starts;  /* byte offset of each word in `words`, and one past the last */
    uint32_t *origins; /* byte offset of each word in the original, and its length */
    uint32_t word_count;
    struct license_sentence *sentences;
    uint32_t sentence_count;
    uint8_t digest[LICENSE_DIGEST_BYTES]; /* SHA-256 of `words` */
};

/* ERROR_UNSUPPORTED, with what it is and what to do, for bytes that are no plain text: UTF-16, a
 * PDF, HTML, an archive, NULs, not UTF-8, larger than LICENSE_TEXT_BYTES_MAX, no words at all. */
int license_text_init(struct license_text *text, const char *bytes, size_t count,
                      struct error *err);
void license_text_destroy(struct license_text *text); /* all zero is fine */

/* The entry of a catalogue's `texts:` for it, indented by `indent` blanks: digest, and sentences in
 * the grammar of license_pattern.h. For `weir licenses fingerprint`. A word "weirslot8" becomes a
 * slot of up to eight words; it belongs in a copy of the text, for the digest is of all words as
 * they stand. */
void license_text_write(const struct license_text *text, uint32_t indent, struct text *out);

/* The first 8 bytes, the first highest, of SHA-256 over words as struct license_text keeps them.
 * false when OpenSSL has no SHA-256. */
bool license_words_hash(const char *words, size_t count, uint64_t *ret);

#endif
