/* SPDX-License-Identifier: Apache-2.0 */
/* license_restriction.h -- what a sentence seems to limit.
 *
 * A scan for words, not an understanding: it orders what people are shown first and keeps names
 * from hiding rules. It may see a limit where there is none, and nothing may be permitted because
 * it saw none. Pure; any thread. */
#ifndef WEIR_POLICY_LICENSE_LICENSE_RESTRICTION_H
#define WEIR_POLICY_LICENSE_LICENSE_RESTRICTION_H

#include <stddef.h>

/* "users", "revenue", "territory", "research", "commerce", "production", "display",
 * "competition", "registration", "conduct", "military", or NULL. Text as written or normalised, in
 * English or Chinese. */
const char *license_restriction(const char *sentence, size_t count);

#endif
