/* SPDX-License-Identifier: Apache-2.0 */
/* year_keys.h -- the key of each year's users, and its name in files.
 *
 * All years that a day can lie in are derived once, in three milliseconds: then no year's turn has
 * anything to prepare, publish or miss, an old month's file can be told from another key's, and
 * nobody takes a lock. It gives nothing away, for whoever reads this process's memory finds the
 * root of all years beside it. Any thread, once made. */
#ifndef WEIR_POLICY_USERS_YEAR_KEYS_H
#define WEIR_POLICY_USERS_YEAR_KEYS_H

#include "base/error.h"
#include "policy/users/secret.h"

#include <stdint.h>

struct year_key {
    uint64_t id; /* names it without telling it */
    uint8_t users[SIPHASH_KEY_BYTES];
};

struct year_keys; /* opaque */

struct year_keys *year_keys_new(const struct secret *secret, struct error *err);
void year_keys_free(struct year_keys *keys); /* leaves no key in memory; NULL is fine */
/* Borrowed. year: of a day up to CALENDAR_DAY_MAX. */
const struct year_key *year_keys_peek(const struct year_keys *keys, uint32_t year);
uint64_t year_keys_id(const struct year_keys *keys); /* names all of them at once */

#endif
