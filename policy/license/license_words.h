/* SPDX-License-Identifier: Apache-2.0 */
/* license_words.h -- what of a text's characters is a word, and which words are no more than a
 * name. Pure; any thread. */
#ifndef WEIR_POLICY_LICENSE_LICENSE_WORDS_H
#define WEIR_POLICY_LICENSE_LICENSE_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#define LICENSE_NAME_BYTES_MAX 240u /* longer is no name of anybody */

enum license_char {
    LICENSE_CHAR_LETTER, /* of a word: ASCII letters and digits, other scripts */
    LICENSE_CHAR_ALONE,  /* a word by itself: Han and kana, which are written without blanks, so
                          * that a line may break anywhere */
    LICENSE_CHAR_BLANK,  /* ASCII blanks and line ends */
    LICENSE_CHAR_STOP,   /* ends a sentence when a blank follows: . ; : ! ? */
    LICENSE_CHAR_FULL,   /* ends a sentence: their full-width brothers */
    LICENSE_CHAR_SIGN,   /* the copyright sign */
    LICENSE_CHAR_MARK    /* any other punctuation, drawn lines, invisible characters */
};

/* The kind of the character at `bytes`, and its length. count > 0. Malformed bytes are letters: no
 * text has them, and what has them must not look like something else. */
enum license_char license_char_at(const char *bytes, size_t count, size_t *ret_length);

/* Whether words (as struct license_text keeps them, each followed by a blank) may stand for whom
 * and when in a slot or a copyright line: none of them permits, forbids or limits anything. Says no
 * when in doubt, for what it lets pass goes unread. */
bool license_words_are_a_name(const char *words, size_t count);

#endif
