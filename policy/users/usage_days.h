/* SPDX-License-Identifier: Apache-2.0 */
/* usage_days.h -- the counters of days as files of the state folder: names, opening, damage.
 *
 *     day-<scope, 12 hex digits>-<yyyymmdd>-<yyyy, whose key>-<class>.wcn
 *
 * A counter's id, which is all that the journal knows of it, holds the same: scope 45 bits (of a
 * keyed hash), day 16, the year's parity 1, class 2. So a journal can be replayed into counters
 * whose files are gone, and before anybody has said what is served. Any thread, but one at a time
 * for one file. */
#ifndef WEIR_POLICY_USERS_USAGE_DAYS_H
#define WEIR_POLICY_USERS_USAGE_DAYS_H

#include "base/error.h"
#include "policy/users/counter.h"
#include "policy/users/usage_notes.h"
#include "policy/users/year_keys.h"

#include <stdbool.h>
#include <stdint.h>

/* The classes that have a counter. USAGE_REQUEST holds a hash of each request without a verified or
 * asserted user, for the view in which every one of them is a person. */
enum usage_class { USAGE_VERIFIED, USAGE_ASSERTED, USAGE_WEAK, USAGE_REQUEST };
#define USAGE_CLASS_COUNT    4u
#define USAGE_KEYED_COUNT    8u /* classes under either of two years' keys */
#define USAGE_SCOPE_BITS     45u
#define USAGE_PATH_BYTES_MAX 4352

struct usage_name {
    uint64_t scope; /* below 2^USAGE_SCOPE_BITS */
    uint32_t day;   /* at most CALENDAR_DAY_MAX */
    uint8_t class;  /* usage_keyed_class(): a class, and the parity of the year whose key it is */
};

struct usage_folder {
    const char *path;              /* borrowed: whoever made the usage */
    uint64_t key_id;               /* of the root key */
    const struct year_keys *years; /* borrowed: the usage */
    struct usage_notes *notes;     /* borrowed: the usage */
};

/* A day is counted under at most two years, one after the other, so that the parity names one. */
uint8_t usage_keyed_class(enum usage_class class, uint32_t year);
uint32_t usage_year(const struct usage_name *name); /* whose key */
/* Whether such a counter can be: the day is counted under that year. */
bool usage_name_holds(const struct usage_name *name);

uint64_t usage_counter_id(const struct usage_name *name);
struct usage_name usage_counter_name(uint64_t id); /* which may not hold */

/* Opens the counter. A damaged file is moved aside (.damaged-1, -2, ...) and noted; the counter
 * then begins anew. make: whether to begin one where there is none; else *ret is NULL then. */
int usage_days_open(const struct usage_folder *folder, const struct usage_name *name, bool make,
                    struct counter **ret, struct error *err);
/* Whether there is a file. */
bool usage_days_exists(const struct usage_folder *folder, const struct usage_name *name);
int usage_days_remove(const struct usage_folder *folder, const struct usage_name *name,
                      struct error *err);

/* Every counter's file in the folder, in no order. *ret: malloc'ed. */
int usage_days_list(const struct usage_folder *folder, struct usage_name **ret, uint32_t *ret_count,
                    struct error *err);

/* ERROR_INVALID, with the remedy, when the folder's users were counted under one key for all years:
 * a person would be two over the change. */
int usage_days_refuse_yearless(const struct usage_folder *folder, struct error *err);

/* Renames it to the first of PATH.SUFFIX-1, -2, ... that is free. */
int usage_days_move_aside(const char *path, const char *suffix, struct error *err);
/* Writes a small file whole, and on disk, or leaves what was there. */
int usage_days_write(const struct usage_folder *folder, const char *name, const void *bytes,
                     size_t count, struct error *err);
/* A whole file; *ret malloc'ed. ERROR_NOT_FOUND. */
int usage_days_read(const struct usage_folder *folder, const char *name, size_t bytes_max,
                    char **ret, size_t *ret_count, struct error *err);

#endif
