/* SPDX-License-Identifier: Apache-2.0 */
/* usage_month.h -- what is left of days that are older than daily counters are kept: a file a scope
 * and month, kept for good, since a licence may ask years later. Internal to usage.
 *
 *     month-<scope, 12 hex digits>-<yyyymm>-<yyyy, whose key>.wsk
 *      0 "WMO1"  4 crc32c of the rest  8 key id, the year's  16 scope  24 month
 *     28 days before it are in  32 requests 4 x 8   64 amended  68 bytes of each sketch 5 x 4
 *     88 the sketches: one a class, and the edge: verified, asserted and request of the day before
 *        the month and of the day after it
 *
 * Of days that were counted under two years' keys a month takes the one that answers for it
 * (years_of_window), and each month next to them likewise. */
#ifndef WEIR_POLICY_USERS_USAGE_MONTH_H
#define WEIR_POLICY_USERS_USAGE_MONTH_H

#include "base/error.h"
#include "policy/users/sketch.h"
#include "policy/users/usage_days.h"

#include <stdint.h>

#define USAGE_EDGE           USAGE_CLASS_COUNT /* index of the edge among the sketches */
#define USAGE_MONTH_SKETCHES (USAGE_CLASS_COUNT + 1)

struct usage;

struct usage_month {
    struct sketch *sketches[USAGE_MONTH_SKETCHES]; /* NULL: nobody */
    uint64_t requests[4];                          /* by enum identity_class */
    uint32_t amended;
    uint32_t upto; /* requests of days before it are in; 0 when there is no file */
};

/* What there is; nothing when there is no file. A damaged one is moved aside and noted. */
int usage_month_load(const struct usage_folder *folder, uint64_t scope, uint32_t month,
                     struct usage_month *ret, struct error *err);
void usage_month_release(struct usage_month *month);

/* Policy thread: puts one old day of one scope into its month, if there is any. */
void usage_month_fold(struct usage *usage);

#endif
