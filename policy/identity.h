/* SPDX-License-Identifier: Apache-2.0 */
/* identity.h -- from what a request claims to a pseudonym. Pure; any thread; no allocation. */
#ifndef WEIR_POLICY_IDENTITY_H
#define WEIR_POLICY_IDENTITY_H

#include "policy/policy.h"
#include "policy/siphash.h"

#include <stdint.h>

#define IDENTITY_BYTES_MAX  512u /* an id that is longer is a payload, not an id */
#define IDENTITY_CLASS_BITS 3u   /* mask: the low bits of a pseudonym carry its class */

struct identity {
    enum identity_class class;
    uint64_t pseudonym; /* never 0; 0 for IDENTITY_NONE */
};

/* The strongest usable claim, bound to the tenant, under the key. A claim is unusable when, with
 * blanks trimmed, it is empty, longer than IDENTITY_BYTES_MAX, or one of the words that clients
 * send for want of an id ("anonymous", "null", ...). */
struct identity identity_of(const struct policy_claims *claims,
                            const uint8_t key[SIPHASH_KEY_BYTES]);

#endif
