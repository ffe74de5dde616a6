/* SPDX-License-Identifier: Apache-2.0 */
/* usage_import.h -- the format before this one: a set of pseudonyms a model and month, read once.
 *
 *     users-<model, 16 hex digits>-2026-11.log, little endian
 *      0 "WEIRUSE1"  8 key id  16 model, a keyed hash  24 month  28 keyed check of the 28 before
 *     32 records, 16 each: pseudonym 8, amount 4, keyed check 4
 *
 * A record of pseudonym 3 is `amount` requests that named nobody. All of it is counted on the
 * month's first day, and the file renamed to .imported. Internal to usage. */
#ifndef WEIR_POLICY_USERS_USAGE_IMPORT_H
#define WEIR_POLICY_USERS_USAGE_IMPORT_H

#include "base/error.h"

#include <stdint.h>

struct usage;
struct usage_scope;

/* The hash under which a pseudonym is counted. Its low two bits said how the user was identified;
 * what is left is mixed to 64 bits, one to one. Ids are hashed otherwise since (identity.h): who
 * was counted then and comes again in the same month is two, which is the safe side. */
uint64_t usage_hash_of_pseudonym(uint64_t pseudonym);

/* Every such file of the scope's model. What is damaged in one is left out and noted. ERROR_INVALID
 * for a file that was counted under another key. */
int usage_import(struct usage *usage, struct usage_scope *scope, struct error *err);

#endif
