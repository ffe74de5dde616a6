/* SPDX-License-Identifier: Apache-2.0 */
/* fleet_sync.c -- deltas: what the own counters have beyond the view goes out, what others have
 * comes in.
 *
 * What came in of one counter is joined at once and judged at once; only when that would be a step
 * that nobody makes is each message judged alone, so that one bad sender does not silence the
 * others. A position in the stream moves on when all before it is in the local store. */
#include "policy/fleet/fleet_inner.h"

#include <assert.h>
#include <string.h>

#define ENTRIES_A_BATCH 128u
#define BATCHES_A_TICK  8u /* of a day */
#define ENTRY_BYTES_MAX (FLEET_HEADER_BYTES + 8 + 8 * FLEET_DELTA_RECORDS_MAX)

struct batch_entry {
    struct fleet_name name;
    uint64_t sender;
    size_t at, count; /* in bytes, the header included */
    bool done;
};

struct batch {
    struct fleet *fleet;
    uint32_t day, entry_count;
    struct batch_entry entries[ENTRIES_A_BATCH];
    struct text bytes;
};

/* -- Reading -- */

static int on_entry(void *argument, const void *bytes, size_t count, struct error *err)
{
    struct batch *batch = argument;
    struct error why = {0};
    struct fleet_blob blob;
    int result = count > ENTRY_BYTES_MAX
                     ? error_set(&why, ERROR_INVALID, "a delta of %zu bytes", count)
                     : fleet_blob_open(batch->fleet->key, bytes, count, &blob, &why);
    bool streams = result == 0 && (blob.kind == FLEET_DELTA || blob.kind == FLEET_POKE);
    if (result == 0 && (!streams || blob.name.day != batch->day))
        result = error_set(&why, ERROR_INVALID, "a message is in the stream of another day");
    if (result == ERROR_NO_MEMORY)
        return error_no_memory(err);
    if (result != 0) {
        fleet_refuse(batch->fleet, &why);
        return 0;
    }
    if (blob.sender == batch->fleet->config.replica)
        return 0;
    batch->fleet->status.received++;
    if (blob.kind == FLEET_POKE) {
        struct fleet_track *track = fleet_track_take(batch->fleet, &blob.name);
        if (track != NULL)
            track->due = true;
        return 0;
    }
    assert(batch->entry_count < ENTRIES_A_BATCH);
    batch->entries[batch->entry_count++] = (struct batch_entry){
        .name = blob.name, .sender = blob.sender, .at = batch->bytes.count, .count = count};
    text_append(&batch->bytes, bytes, count);
    return batch->bytes.failed ? error_no_memory(err) : 0;
}

/* Into the local store, and into what the others are known to know. */
static int absorb(struct fleet *fleet, struct fleet_track *track, const struct sketch *news,
                  struct error *err)
{
    const struct fleet_store *store = &fleet->config.store;
    int result = store->join(store->self, &track->name, news, err);
    return result == 0 ? sketch_join(track->view, news, err) : result;
}

static int gather_entry(struct batch *batch, const struct batch_entry *entry,
                        struct fleet_gather *gather, struct error *err)
{
    struct error why = {0};
    int result = fleet_gather_add(gather, batch->bytes.bytes + entry->at + FLEET_HEADER_BYTES,
                                  entry->count - FLEET_HEADER_BYTES, &why);
    if (result == ERROR_NO_MEMORY)
        return error_no_memory(err);
    if (result != 0)
        fleet_refuse(batch->fleet, &why);
    return 0;
}

/* Takes what was gathered if it is plausible. */
static int take_gathered(struct fleet *fleet, struct fleet_track *track,
                         const struct fleet_gather *gather, struct fleet_suspect *suspect,
                         bool *ret_plausible, struct error *err)
{
    struct sketch *news = NULL;
    int result = fleet_gather_sketch(gather, &news, err);
    if (result == 0)
        result = fleet_judge(fleet, track->view, news, true, suspect, err);
    if (result >= 0) {
        *ret_plausible = result == 1;
        result = result == 1 ? absorb(fleet, track, news, err) : 0;
    }
    sketch_free(news);
    return result;
}

static int take_alone(struct batch *batch, struct fleet_track *track,
                      const struct batch_entry *entry, struct error *err)
{
    struct fleet_gather gather;
    struct fleet_suspect suspect = {
        .name = entry->name, .kind = FLEET_DELTA, .sender = entry->sender};
    bool plausible = true;
    fleet_gather_init(&gather, batch->fleet->config.p);
    /* A malformed one was refused already, and gathers nothing. */
    int result = fleet_gather_add(&gather, batch->bytes.bytes + entry->at + FLEET_HEADER_BYTES,
                                  entry->count - FLEET_HEADER_BYTES, err);
    if (result == 0)
        result = take_gathered(batch->fleet, track, &gather, &suspect, &plausible, err);
    else if (result == ERROR_INVALID)
        result = 0;
    if (result == 0 && !plausible)
        fleet_set_aside(batch->fleet, &suspect, batch->bytes.bytes + entry->at, entry->count);
    fleet_gather_destroy(&gather);
    return result;
}

static bool same_name(const struct fleet_name *a, const struct fleet_name *b)
{
    return a->scope == b->scope && a->day == b->day && a->class == b->class;
}

/* All entries of the counter that the first is of. */
static int take_counter(struct batch *batch, uint32_t first, struct error *err)
{
    struct fleet *fleet = batch->fleet;
    const struct fleet_name name = batch->entries[first].name;
    struct fleet_track *track = fleet_track_take(fleet, &name);
    struct fleet_suspect suspect = {.name = name};
    struct fleet_gather gather;
    bool plausible = true;
    int result = 0;
    if (track != NULL && track->view == NULL)
        result = fleet_compare(fleet, track, err);
    fleet_gather_init(&gather, fleet->config.p);
    for (uint32_t i = first; i < batch->entry_count && result == 0; i++) {
        if (!same_name(&batch->entries[i].name, &name))
            continue;
        batch->entries[i].done = true;
        if (track != NULL)
            result = gather_entry(batch, &batch->entries[i], &gather, err);
    }
    if (result == 0 && (gather.hashes != NULL || gather.registers != NULL))
        result = take_gathered(fleet, track, &gather, &suspect, &plausible, err);
    for (uint32_t i = first; i < batch->entry_count && result == 0 && !plausible; i++)
        if (same_name(&batch->entries[i].name, &name))
            result = take_alone(batch, track, &batch->entries[i], err);
    fleet_gather_destroy(&gather);
    return result;
}

static int pull_batch(struct fleet *fleet, struct batch *batch, struct fleet_position *position,
                      struct error *err)
{
    const struct fleet_transport *transport = &fleet->config.transport;
    struct fleet_position moved = *position;
    struct fleet_read read = {.day = batch->day,
                              .entries_max = ENTRIES_A_BATCH,
                              .position = &moved,
                              .on_entry = on_entry,
                              .argument = batch};
    batch->entry_count = 0;
    text_reset(&batch->bytes);
    int count = transport->read(transport->self, &read, err), result = 0;
    for (uint32_t i = 0; count >= 0 && i < batch->entry_count && result == 0; i++)
        if (!batch->entries[i].done)
            result = take_counter(batch, i, err);
    if (count < 0 || result != 0)
        return count < 0 ? count : result;
    *position = moved;
    return count;
}

int fleet_pull(struct fleet *fleet, bool *ret_more, struct error *err)
{
    struct batch batch = {.fleet = fleet};
    int count = 0;
    text_init(&batch.bytes);
    for (uint32_t i = 0; i < FLEET_STREAM_DAYS && count >= 0; i++) {
        batch.day = fleet->position_days[i];
        uint32_t batches = 0;
        do
            count = pull_batch(fleet, &batch, &fleet->positions[i], err);
        while (count == (int)ENTRIES_A_BATCH && ++batches < BATCHES_A_TICK);
        *ret_more |= count == (int)ENTRIES_A_BATCH;
    }
    text_destroy(&batch.bytes);
    return count < 0 ? count : 0;
}

/* -- Writing -- */

static int send_delta(struct fleet *fleet, const struct fleet_name *name, const struct text *delta,
                      struct error *err)
{
    const struct fleet_transport *transport = &fleet->config.transport;
    struct fleet_blob blob = {.kind = delta->count == 0 ? FLEET_POKE : FLEET_DELTA,
                              .name = *name,
                              .sender = fleet->config.replica,
                              .body = delta->bytes,
                              .body_count = delta->count};
    struct text sealed;
    text_init(&sealed);
    int result = fleet_blob_seal(fleet->key, &blob, &sealed, err);
    if (result == 0)
        result = transport->append(transport->self, name->day, sealed.bytes, sealed.count, err);
    if (result == 0)
        fleet->status.published++;
    text_destroy(&sealed);
    return result;
}

/* What the local sketch has beyond the view. *ret_sent: the others can know all of it now. */
static int send_news(struct fleet *fleet, struct fleet_track *track, const struct sketch *local,
                     bool *ret_sent, struct error *err)
{
    struct text delta;
    uint32_t count = 0;
    text_init(&delta);
    int result = fleet_delta_write(local, track->view, &delta, &count, err);
    if (result == 0 && count > FLEET_DELTA_RECORDS_MAX)
        result = fleet_compare(fleet, track, err);
    bool waits = count > FLEET_DELTA_RECORDS_MAX && track->due; /* somebody else was faster */
    if (result == 0 && count > 0 && !waits)
        result = send_delta(fleet, &track->name, &delta, err);
    text_destroy(&delta);
    if (result != 0 || waits)
        return result;
    fleet->status.suppressed += count == 0 ? 1 : 0;
    track->published = track->changes;
    *ret_sent = count > 0;
    return 0;
}

int fleet_publish(struct fleet *fleet, struct fleet_track *track, struct error *err)
{
    struct sketch *local = NULL;
    bool sent = false;
    if (!fleet_day_streams(fleet, track->name.day)) {
        track->due = true; /* nobody reads its stream any more */
        track->published = track->changes;
        return 0;
    }
    int result = track->view == NULL ? fleet_compare(fleet, track, err) : 0;
    if (result == 0)
        result = fleet_local(fleet, &track->name, &local, err);
    if (result == 0)
        result = send_news(fleet, track, local, &sent, err);
    if (result == 0 && sent) {
        sketch_free(track->view);
        track->view = local;
        local = NULL;
    }
    sketch_free(local);
    return result;
}
