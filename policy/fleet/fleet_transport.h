/* SPDX-License-Identifier: Apache-2.0 */
/* fleet_transport.h -- what the fleet asks of a store that all replicas reach.
 *
 * Of each UTC day: a stream of deltas that forgets its oldest, a set of names, and a snapshot a
 * name. Calls may block for as long as the store's timeouts say. They return 0 or an error of the
 * table; after ERROR_IO it is unknown whether a change was made. Bytes that come from a store are
 * hostile until fleet_blob_open() has taken them. Policy thread. */
#ifndef WEIR_POLICY_FLEET_FLEET_TRANSPORT_H
#define WEIR_POLICY_FLEET_FLEET_TRANSPORT_H

#include "base/error.h"
#include "base/text.h"
#include "policy/fleet/fleet_blob.h"

#include <stddef.h>
#include <stdint.h>

/* Where a reader is in a day's stream: the store's name of the last entry it has read. */
struct fleet_position {
    char id[48]; /* "" is before the first */
};

typedef int (*fleet_on_entry)(void *argument, const void *bytes, size_t count, struct error *err);
typedef int (*fleet_on_name)(void *argument, const struct fleet_name *name, struct error *err);
/* What shall replace the snapshot (count 0: there is none): 1 with the new bytes in out, 0 to leave
 * it, or an error. */
typedef int (*fleet_on_merge)(void *argument, const void *bytes, size_t count, struct text *out,
                              struct error *err);

struct fleet_read {
    uint32_t day, entries_max;
    struct fleet_position *position; /* moves behind what was read */
    fleet_on_entry on_entry;
    void *argument;
};

struct fleet_transport {
    void *self;
    /* The store's own number, `candidate` if it had none: another one means that it was emptied. */
    int (*epoch)(void *self, uint64_t candidate, uint64_t *ret, struct error *err);
    int (*append)(void *self, uint32_t day, const void *bytes, size_t count, struct error *err);
    /* Up to entries_max entries after the position. Returns how many the store gave; fewer than
     * entries_max means that there are no more for now. */
    int (*read)(void *self, const struct fleet_read *read, struct error *err);
    /* Names of the day's snapshots. */
    int (*names)(void *self, uint32_t day, fleet_on_name on_name, void *argument,
                 struct error *err);
    /* Up to FLEET_HEADER_BYTES of the snapshot's beginning; ERROR_NOT_FOUND. */
    int (*head)(void *self, const struct fleet_name *name, struct text *out, struct error *err);
    /* Reads, merges, writes if nobody else has meanwhile: else ERROR_BUSY, and nothing is lost. */
    int (*update)(void *self, const struct fleet_name *name, fleet_on_merge on_merge,
                  void *argument, struct error *err);
};

#endif
