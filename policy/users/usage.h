/* SPDX-License-Identifier: Apache-2.0 */
/* usage.h -- the distinct users of what is served, day by day, on disk, and over windows of days.
 *
 * A scope is a model within a product. Each has a counter a UTC day and identity class
 * (usage_days.h); everything longer or wider is a union of those (usage_window.h).
 *
 * Threads: usage_new() before others; usage_scope_add(), usage_count() and usage_ask() any thread,
 * but usage_scope_add() waits for a disk where the name is new; what says "policy thread" one
 * thread at a time. */
#ifndef WEIR_POLICY_USERS_USAGE_H
#define WEIR_POLICY_USERS_USAGE_H

#include "base/error.h"
#include "base/text.h"
#include "policy/policy_users.h"
#include "policy/users/secret.h"
#include "policy/users/sketch.h"
#include "policy/users/usage_days.h"
#include "policy/users/years.h"

#include <stdbool.h>
#include <stdint.h>

#define USAGE_SCOPES_MAX      4096u
#define USAGE_LOGINS_MAX      256u /* of them scopes without a model: feeds leave room for models */
#define USAGE_KEEP_DAYS       92u
#define USAGE_KEEP_DAYS_LEAST 40u /* a rolling window and its month must be there */
#define USAGE_FINAL_HOURS     48u

struct usage;
struct usage_scope; /* borrowed from the usage, lives as long */

struct usage_config {
    const char *folder;          /* borrowed; the caller holds its lock */
    const struct secret *secret; /* borrowed */
    bool trust_asserted;         /* asserted users count in the lower view */
    uint32_t keep_days;          /* daily counters; 0: USAGE_KEEP_DAYS */
    uint32_t final_hours;        /* after a day's end it is final; 0: USAGE_FINAL_HOURS */
};

/* Replays the journal into the counters. Damage is moved aside and noted. ERROR_INVALID: what is
 * there was counted under another key, or under one for all years, or is none of ours. */
struct usage *usage_new(const struct usage_config *config, struct error *err);
void usage_free(struct usage *usage); /* commits, syncs, seals; NULL is fine */
/* The keys that users are to be hashed under; borrowed, they live as long. Any thread. */
const struct year_keys *usage_year_keys(const struct usage *usage);

struct usage_scope_name {
    const char *product; /* "" is "default" */
    const char *model;   /* "": users of the product, be it with a model or without: its logins */
    const char *family;  /* of the licence; "" for none */
};
/* Finds or makes it. Scopes that were served before are known from their files, and count in
 * unions. */
int usage_scope_add(struct usage *usage, const struct usage_scope_name *name,
                    struct usage_scope **ret, struct error *err);

/* Another licence was recognised: unions of families hold the scope where it is now. Main thread,
 * at any time. On failure it is as it was. */
int usage_scope_move(struct usage_scope *scope, const char *family, struct error *err);
uint32_t usage_scope_count(const struct usage *usage); /* fixed once all were added */

struct usage_sight {
    enum identity_class class;
    /* Of the user, under the key of each year that the day is counted under (years_of_day), at the
     * year's parity: so one sight does for both days at a midnight. Never 0; unused for
     * IDENTITY_NONE. */
    uint64_t hashes[YEARS_MAX];
    /* Likewise of the request, which may be one for all years; unused for verified and asserted. */
    uint64_t request_hashes[YEARS_MAX];
};
/* Counts. For a user counted before in the day: no lock, no system call, no allocation. Returns the
 * journal's sequence to wait for, 0 when nothing changed. */
uint64_t usage_count(struct usage_scope *scope, uint32_t day, const struct usage_sight *sight);
/* The same sight in another day: a user there as well, but no second request. */
uint64_t usage_count_again(struct usage_scope *scope, uint32_t day,
                           const struct usage_sight *sight);
/* Adds what another machine counted; of a final day that is an amendment. ERROR_INVALID: the day is
 * not counted under that year. Any thread. */
int usage_join(struct usage_scope *scope, const struct usage_name *name, const struct sketch *from,
               struct error *err);

/* Users of a day who made no request, as the journal has them. */
struct usage_values {
    uint32_t day;
    uint8_t class; /* usage_keyed_class() of one of the day's years */
    enum journal_kind kind;
    const uint64_t *values;
    uint32_t count; /* at most USAGE_PUT_MAX */
};
#define USAGE_PUT_MAX 4096u /* so that the journal keeps up and no thread is kept long */
/* Adds them; any thread. Of a final day that is an amendment. ret_sequence: to wait for, so that
 * all of them are on disk, those as well that were there before. ERROR_UNSUPPORTED for a day that
 * is in its month already. */
int usage_put(struct usage_scope *scope, const struct usage_values *values, uint64_t *ret_sequence,
              struct error *err);

uint64_t usage_durable(const struct usage *usage); /* sequences up to it are on disk; any thread */
uint64_t usage_waiting(const struct usage *usage); /* records that are not yet; any thread */
uint32_t usage_keep_days(const struct usage *usage);
uint64_t usage_left_out(const struct usage *usage); /* users that found no memory or disk; any */

/* Policy thread. Writes what waits for the disk. */
int usage_commit(struct usage *usage, struct error *err);
/* Policy thread, about once a second: the coming day is made ready, old ones are put away, counters
 * are synced so that the journal can forget; a little of each at a time, so that a commit never
 * waits long. What fails is noted and tried again. */
void usage_tick(struct usage *usage, int64_t now_unix_us);

/* What the log should be told, a line each, appended. Any thread. */
void usage_take_notes(struct usage *usage, struct text *out);
void usage_add_note(struct usage *usage, const char *line); /* cut to a kilobyte; any thread */

#endif
