/* SPDX-License-Identifier: Apache-2.0 */
/* plain.h -- text for people: nothing in it that a terminal or an editor would obey.
 *
 * Strings come from model files of anybody's making. Control characters, escape sequences, marks
 * that turn the direction of writing and bytes that are not UTF-8 become U+FFFD; line breaks and
 * tabs become blanks. A code point counts as one column. Pure; any thread. */
#ifndef WEIR_POLICY_RENDER_PLAIN_H
#define WEIR_POLICY_RENDER_PLAIN_H

#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

void plain_append(struct text *out, const char *string); /* NULL is "" */
/* As it is, for the exact words of a licence: line breaks stay too. */
void plain_append_lines(struct text *out, const char *string);
uint32_t plain_width(const char *string); /* in columns */

/* A link that may be followed: http and https, whatever is no part of a URL escaped. False, and
 * nothing appended, for any other. */
bool plain_append_url(struct text *out, const char *link);

/* Where a paragraph stands: `at` columns are written already, later lines begin at `indent`. */
struct plain_lines {
    uint32_t at, indent, columns;
};
/* Words, wrapped, and a line's end. A word longer than a line is cut. */
void plain_wrap(struct text *out, const char *string, struct plain_lines lines);
void plain_blanks(struct text *out, uint32_t count);

/* "2026-11-25T01:08:52Z"; times outside of the years 0 to 9999 are their nearest end. */
void plain_time(struct text *out, int64_t unix_seconds);
void plain_number(struct text *out, uint64_t value); /* "700,000,000" */

#endif
