/* SPDX-License-Identifier: Apache-2.0 */
/* fleet.h -- one count of users for many replicas, which may be cut off, restarted or told twice.
 *
 * What is exchanged are unions of sets, so nothing is counted twice however often it is said, in
 * whatever order; and each replica holds all it knows, so the shared store may lose everything.
 * Takes the clock as an argument; blocks only in its transport. Policy thread. */
#ifndef WEIR_POLICY_FLEET_FLEET_H
#define WEIR_POLICY_FLEET_FLEET_H

#include "base/error.h"
#include "policy/fleet/fleet_blob.h"
#include "policy/fleet/fleet_transport.h"
#include "policy/users/sketch.h"

#include <stdbool.h>
#include <stdint.h>

#define FLEET_NAMES_MAX      16384u /* counters followed at once */
#define FLEET_QUARANTINE_MAX 16u
#define FLEET_DAYS_MAX       100u

/* The replica's own counters; any of it may fail, and is asked again. */
struct fleet_store {
    void *self;
    /* Each counter of the days, with a number that rises when the counter changes. */
    int (*list)(void *self, uint32_t first_day, uint32_t last_day,
                int (*on_counter)(void *argument, const struct fleet_name *name, uint64_t changes,
                                  struct error *err),
                void *argument, struct error *err);
    /* A copy, the caller's to free; ERROR_NOT_FOUND when there is none. */
    int (*sketch)(void *self, const struct fleet_name *name, struct sketch **ret,
                  struct error *err);
    /* Adds what others counted, making the counter if need be. */
    int (*join)(void *self, const struct fleet_name *name, const struct sketch *sketch,
                struct error *err);
};

/* Zero asks for the default. */
struct fleet_config {
    const uint8_t *key;               /* FLEET_KEY_BYTES, derived for this purpose */
    uint64_t key_id;                  /* of the pseudonyms' key */
    uint64_t replica;                 /* random, not 0; another one for each process */
    struct fleet_store store;         /* what it points to outlives the fleet */
    struct fleet_transport transport; /* the same */
    uint32_t p;                       /* SKETCH_P; all replicas alike */
    uint32_t days;                    /* followed, back from today: 32 */
    uint32_t sync_ms;                 /* between exchanges: 5000 */
    uint32_t compare_seconds;         /* between comparisons of all snapshots: 600 */
    double jump_users, jump_factor;   /* a step beyond both is set aside: 1e7 users, times 2 */
    double users_max;                 /* more are nowhere: 1e10 */
};

struct fleet;

struct fleet *fleet_new(const struct fleet_config *config, struct error *err);
void fleet_free(struct fleet *fleet); /* NULL is fine */

/* As often as one likes, once a second at least: what is due is done, a bounded amount of it at a
 * time. An error (one of the transport's, or of the local store's) is for the log; the fleet tries
 * again by itself, up to a minute later. */
int fleet_tick(struct fleet *fleet, int64_t now_unix_us, struct error *err);

/* The next tick does what is due as if its time had come. */
void fleet_hurry(struct fleet *fleet);

struct fleet_status {
    bool complete;          /* all counters were compared since the start, or since a loss */
    int64_t synced_unix_us; /* when all was last exchanged; 0: never */
    uint64_t epoch_changes; /* times that the store was found emptied */
    uint64_t published, suppressed; /* deltas; those that would have said nothing new */
    uint64_t received;              /* deltas of others */
    uint64_t refused;               /* messages: damaged, of another key or format */
    uint64_t set_aside;             /* messages: in quarantine, or beyond its room */
    uint64_t snapshots_written, races_lost;
    uint64_t left_out;                 /* counters beyond FLEET_NAMES_MAX */
    uint32_t due;                      /* counters that wait to be compared */
    char last_refusal[ERROR_TEXT_MAX]; /* "" when there was none */
};
void fleet_status(const struct fleet *fleet, struct fleet_status *ret);
/* Seconds since everything was exchanged; UINT64_MAX: never. */
uint64_t fleet_stale_seconds(const struct fleet *fleet, int64_t now_unix_us);

/* What one step of would have made a counter jump. A join cannot be undone, so somebody has to say
 * that it is true; until then it is in no figure. */
struct fleet_suspect {
    uint64_t number; /* of the message, in the order of their coming; other bytes, another number */
    struct fleet_name name;
    enum fleet_blob_kind kind;
    uint64_t sender; /* 0: a snapshot */
    double users_before, users_after;
};
uint32_t fleet_suspects(const struct fleet *fleet); /* how many, at most FLEET_QUARANTINE_MAX */
const struct fleet_suspect *fleet_suspect_peek(const struct fleet *fleet, uint32_t index);
/* Takes it out of the quarantine, joined (accept) or forgotten. */
int fleet_suspect_settle(struct fleet *fleet, uint32_t index, bool accept, struct error *err);

#endif
