/* SPDX-License-Identifier: Apache-2.0 */
/* identity_text.h -- what an id may be made of, and which ids are words for "nobody". Pure. */
#ifndef WEIR_POLICY_USERS_IDENTITY_TEXT_H
#define WEIR_POLICY_USERS_IDENTITY_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* No NUL, no other control character of ASCII, and none of U+0080 to U+009F as UTF-8 spells them:
 * nothing that ends a string, a line or a domain early. */
bool identity_text_is_plain(const char *text, size_t count);

/* Cuts blanks off both ends; *text moves. Nothing else is changed: case and Unicode form are the
 * sender's, who must keep to one. */
void identity_text_trim(const char **text, size_t *count);

/* What programs send when nobody told them who is asking: "anonymous", "null", a UUID of zeros. */
bool identity_text_is_placeholder(const char *text, size_t count);

#endif
