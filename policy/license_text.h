/* SPDX-License-Identifier: Apache-2.0 */
/* license_text.h -- which licence a text is: exactly, or not at all. Pure; any thread.
 *
 * Similarity is no help here: a permissive text with one restricting sentence at its end is 80 to
 * 87% alike the original, and two vendors' riders 95%. So only the digest of the normalised text
 * counts: every word, in order, none left over. */
#ifndef WEIR_POLICY_LICENSE_TEXT_H
#define WEIR_POLICY_LICENSE_TEXT_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LICENSE_TEXT_BYTES_MAX (1u << 20)
#define LICENSE_DIGEST_BYTES   32u

/* SHA-256 of the words: lower case, punctuation and layout gone, plain copyright lines and a bare
 * title gone. ERROR_NO_MEMORY, or ERROR_IO when OpenSSL fails. */
int license_text_digest(const char *bytes, size_t count, uint8_t ret[LICENSE_DIGEST_BYTES],
                        struct error *err);
/* The id whose text has this digest; NULL when we know none. */
const char *license_of_digest(const uint8_t digest[LICENSE_DIGEST_BYTES]);
/* Whether license_of_digest() could ever answer this id. */
bool license_text_is_known(const char *id);

#endif
