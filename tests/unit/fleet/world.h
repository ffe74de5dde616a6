/* SPDX-License-Identifier: Apache-2.0 */
/* world.h -- counters in memory, and a shared store that loses, doubles and mixes up on request. */
#ifndef WEIR_TESTS_UNIT_FLEET_WORLD_H
#define WEIR_TESTS_UNIT_FLEET_WORLD_H

#include "policy/fleet/fleet.h"

#define COUNTERS_MAX  8u
#define STREAMS_MAX   8u
#define SNAPSHOTS_MAX 64u
#define DAY_SECONDS   86400
#define SECOND_US     INT64_C(1000000)

/* -- A replica's own counters -- */

struct memory_counter {
    struct fleet_name name;
    struct sketch *sketch;
    uint64_t changes;
};
struct memory_store {
    uint32_t p, count;
    struct memory_counter counters[COUNTERS_MAX];
    bool full; /* joins fail */
};

void memory_store_init(struct memory_store *store, uint32_t p);
void memory_store_destroy(struct memory_store *store);
struct fleet_store memory_store_face(struct memory_store *store);
void memory_store_count(struct memory_store *store, const struct fleet_name *name, uint64_t hash);
/* NULL when there is none. */
const struct sketch *memory_store_find(const struct memory_store *store,
                                       const struct fleet_name *name);
/* Whether it is the same as the other, byte for byte. */
bool memory_store_is(const struct memory_store *store, const struct fleet_name *name,
                     const struct sketch *other);

/* -- The store that all reach -- */

struct shared_stream {
    uint32_t day, count, capacity;
    struct text *entries;
};
struct shared_snapshot {
    struct fleet_name name;
    struct text bytes;
};
struct shared {
    uint64_t epoch;
    struct shared_stream streams[STREAMS_MAX];
    struct shared_snapshot snapshots[SNAPSHOTS_MAX];
    uint32_t stream_count, snapshot_count;
    uint64_t random;
    uint32_t faults_percent; /* of calls and of entries; each kind */
    uint64_t faults;         /* that there were */
};
/* One replica's way there. */
struct shared_line {
    struct shared *shared;
    bool cut;
    uint64_t heads, updates, appends;
};

void shared_empty(struct shared *shared); /* as a restart without a disk */
struct shared_snapshot *shared_snapshot_find(struct shared *shared, const struct fleet_name *name);
struct fleet_transport shared_line_face(struct shared_line *line);

uint64_t next_hash(uint64_t *state);

#endif
