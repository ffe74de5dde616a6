/* SPDX-License-Identifier: Apache-2.0 */
/* license_match.h -- which licence of the catalogue a text is, and what in it we do not know.
 *
 * First the digest of all words; then, in order and with nothing left over, the sentences with
 * their slots. What is only alike is a suggestion, never an answer: the sentences that the nearest
 * licence does not have are shown, and scanned for words that restrict (users, revenue, territory,
 * research, display, ...), and the gate sends them to review. Pure; any thread; a matcher does not
 * change once made. */
#ifndef WEIR_POLICY_LICENSE_LICENSE_MATCH_H
#define WEIR_POLICY_LICENSE_LICENSE_MATCH_H

#include "policy/license/catalogue.h"
#include "policy/license/license_pattern.h"
#include "policy/license/license_restriction.h"
#include "policy/license/license_text.h"

#define LICENSE_RESIDUES_MAX  8u
#define LICENSE_RESIDUE_BYTES 400u
#define LICENSE_SUGGEST_LEAST 0.5 /* share of words in common below which nothing is suggested */

enum license_match_kind { MATCH_NONE, MATCH_DIGEST, MATCH_PATTERN };

struct license_residue {                  /* a sentence that the nearest licence does not have */
    char sentence[LICENSE_RESIDUE_BYTES]; /* valid UTF-8, on one line, cut with "..." */
    const char *restricts; /* what it seems to limit, "users"; NULL where nothing was found */
};

struct license_match {
    enum license_match_kind kind;
    const struct license_record *record;  /* NULL with MATCH_NONE */
    enum license_text_role role;          /* of the text that matched */
    const struct license_record *nearest; /* with MATCH_NONE: the suggestion, or NULL */
    double similarity;                    /* of nearest: words in common, 0 to 1 */
    uint32_t missing;                     /* sentences of nearest that the text lacks */
    /* Those that restrict come first; each is a sentence, or of a long one the words that are not
     * the licence's with what stands before them. Where there is no nearest, of the whole text. */
    struct license_residue residues[LICENSE_RESIDUES_MAX];
    uint32_t residue_count, residue_total;
};

struct license_matcher; /* every fingerprint of a catalogue, parsed and indexed */

/* catalogue: borrowed. ERROR_INVALID names the record and the line of a bad fingerprint. */
struct license_matcher *license_matcher_new(const struct catalogue *catalogue, struct error *err);
/* The same over records, which are borrowed; the array is not. */
struct license_matcher *license_matcher_of(const struct license_record *const *records,
                                           uint32_t count, struct error *err);
void license_matcher_free(struct license_matcher *matcher); /* NULL is fine */

/* bytes: what `text` was made from. ERROR_NO_MEMORY: a text that is nobody's is an answer. */
int license_match(const struct license_matcher *matcher, const struct license_text *text,
                  const char *bytes, struct license_match *ret, struct error *err);

#endif
