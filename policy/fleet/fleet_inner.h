/* SPDX-License-Identifier: Apache-2.0 */
/* fleet_inner.h -- what fleet.c, fleet_sync.c and fleet_compare.c share. Policy thread. */
#ifndef WEIR_POLICY_FLEET_FLEET_INNER_H
#define WEIR_POLICY_FLEET_FLEET_INNER_H

#include "policy/fleet/fleet.h"
#include "policy/fleet/fleet_delta.h"

#define FLEET_STREAM_DAYS 3u /* yesterday, today, and tomorrow, where a fast clock is already */

/* A counter that is followed. */
struct fleet_track {
    struct fleet_name name;
    uint64_t changes;    /* of the store, when last looked at */
    uint64_t published;  /* of the store, when all of it was last with the fleet */
    struct sketch *view; /* what the others can know of it; NULL: to be asked */
    bool due;            /* is to be compared with its snapshot */
};

struct fleet_held {
    struct fleet_suspect suspect;
    struct text bytes;
};

struct fleet {
    struct fleet_config config; /* defaults filled in */
    struct fleet_key *key;

    uint32_t today;
    int64_t next_unix_us, compare_unix_us; /* when to act; when to compare everything */
    int64_t contact_unix_us;               /* the last tick without an error */
    uint32_t failures;                     /* in a row */
    uint64_t random;
    uint64_t epoch; /* 0: not known */
    struct fleet_position positions[FLEET_STREAM_DAYS];
    uint32_t position_days[FLEET_STREAM_DAYS];

    struct fleet_track *tracks; /* newest days first, then by scope and class */
    uint32_t track_count, track_capacity;
    struct fleet_held held[FLEET_QUARANTINE_MAX];
    uint32_t held_count;
    uint64_t held_number; /* the newest suspect.number */
    struct fleet_status status;
};

/* -- fleet.c -- */

/* Finds or makes; NULL when there is no room or memory, or the day is not followed. Valid until the
 * next call. */
struct fleet_track *fleet_track_take(struct fleet *fleet, const struct fleet_name *name);
bool fleet_day_streams(const struct fleet *fleet, uint32_t day);
void fleet_refuse(struct fleet *fleet, const struct error *why);
/* 1 when `with` joined to `now` is a step that people make, 0 when not, or an error. known: there
 * is something to compare with; else the users alone are judged. ret tells both counts. */
int fleet_judge(const struct fleet *fleet, const struct sketch *now, const struct sketch *with,
                bool known, struct fleet_suspect *ret, struct error *err);
void fleet_set_aside(struct fleet *fleet, const struct fleet_suspect *suspect, const void *bytes,
                     size_t count);
int fleet_sketch_copy(const struct sketch *sketch, struct sketch **ret, struct error *err);
/* The store's sketch, an empty one where it has none; of our p. */
int fleet_local(const struct fleet *fleet, const struct fleet_name *name, struct sketch **ret,
                struct error *err);

/* -- fleet_compare.c: snapshots -- */

/* Compares with the snapshot, whichever lacks something gets it; the view is known after. */
int fleet_compare(struct fleet *fleet, struct fleet_track *track, struct error *err);
/* Everything becomes due, the names that only the store of the fleet knows included. */
int fleet_compare_all(struct fleet *fleet, struct error *err);

/* -- fleet_sync.c: deltas -- */

/* Reads what others published. *ret_more: there may be more. */
int fleet_pull(struct fleet *fleet, bool *ret_more, struct error *err);
int fleet_publish(struct fleet *fleet, struct fleet_track *track, struct error *err);

#endif
