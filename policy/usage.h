/* SPDX-License-Identifier: Apache-2.0 */
/* usage.h -- the distinct users of one model, month by month, exact, and on disk.
 *
 * Any thread after usage_new(). Months are numbered year * 12 + month - 1, UTC. */
#ifndef WEIR_POLICY_USAGE_H
#define WEIR_POLICY_USAGE_H

#include "base/error.h"
#include "policy/identity.h"
#include "policy/policy.h"
#include "policy/secret.h"

#include <stdint.h>

struct usage;

/* Replays the newest month of the model found in the folder. folder, secret: borrowed.
 * ERROR_INVALID names a file that is damaged or of another key, and what to do. */
struct usage *usage_new(const char *folder, const char *model, const struct secret *secret,
                        struct error *err);
void usage_free(struct usage *usage); /* writes what waits, syncs; NULL is fine */

uint32_t usage_month(int64_t unix_us); /* the month's number */

/* Counts. Takes no lock and makes no system call for a user counted before in the month; the
 * first sight of a user takes the lock and writes one record. */
void usage_add(struct usage *usage, uint32_t month, const struct identity *identity);
/* Fills all of ret but year and month. */
void usage_read(struct usage *usage, uint32_t month, struct policy_usage *ret);

#endif
