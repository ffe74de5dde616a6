/* SPDX-License-Identifier: Apache-2.0 */
/* base64url.h -- RFC 4648 section 5 as signatures need it: one spelling for each string of bytes.
 *
 * No padding, no blanks, no letters of the other alphabet, and no bits left over: what a signature
 * covers must not have a second form. Pure. */
#ifndef WEIR_POLICY_USERS_BASE64URL_H
#define WEIR_POLICY_USERS_BASE64URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False for what is malformed or does not fit; ret may be written to all the same. */
bool base64url_decode(const char *text, size_t count, uint8_t *ret, size_t ret_bytes,
                      size_t *ret_count);

#endif
