/* SPDX-License-Identifier: Apache-2.0 */
/* fleet_compare.c -- snapshots: one a counter, the union of all that was ever written to it.
 *
 * Counters that agree have equal bytes, so 64 of them tell. Where they differ the snapshot is read,
 * joined and written back, unless somebody was faster: then it is done again, from what is there
 * now. A damaged snapshot is written over, for every replica holds what it put there; one under
 * another key, or one too big to be true, is left for somebody to look at. */
#include "policy/fleet/fleet_inner.h"

#include <string.h>

struct merge {
    struct fleet *fleet;
    const struct fleet_track *track;
    const struct sketch *local;
    const struct text *sealed; /* the snapshot that local alone would be */
    struct sketch *theirs;     /* what was there and was found good */
    bool wrote;
};

static int seal_snapshot(struct fleet *fleet, const struct fleet_name *name,
                         const struct sketch *sketch, struct text *out, struct error *err)
{
    struct text body;
    text_init(&body);
    sketch_write(sketch, &body);
    struct fleet_blob blob = {
        .kind = FLEET_SNAPSHOT, .name = *name, .body = body.bytes, .body_count = body.count};
    int result = body.failed ? error_no_memory(err) : fleet_blob_seal(fleet->key, &blob, out, err);
    text_destroy(&body);
    return result;
}

/* ERROR_INVALID: to be written over. ERROR_REFUSED: to be left. */
static int read_snapshot(const struct merge *merge, const void *bytes, size_t count,
                         struct sketch **ret, struct error *err)
{
    const struct fleet_name *name = &merge->track->name;
    struct fleet_blob blob;
    struct sketch *sketch = NULL;
    int result = fleet_blob_open(merge->fleet->key, bytes, count, &blob, err);
    if (result != 0)
        return result;
    if (blob.kind != FLEET_SNAPSHOT || blob.name.scope != name->scope ||
        blob.name.day != name->day || blob.name.class != name->class)
        return error_set(err, ERROR_INVALID, "a snapshot is another counter's");
    result = sketch_read(blob.body, blob.body_count, &sketch, err);
    if (result != 0)
        return result;
    if (sketch_p(sketch) != merge->fleet->config.p) {
        result = error_set(err, ERROR_REFUSED, "a snapshot of p = %u, ours is %u", sketch_p(sketch),
                           merge->fleet->config.p);
        sketch_free(sketch);
        return result;
    }
    *ret = sketch;
    return 0;
}

/* The bytes of both into out; 0 when that is what is there already. */
static int write_joined(struct merge *merge, const void *bytes, size_t count, struct text *out,
                        struct error *err)
{
    struct sketch *joined = NULL;
    int result = fleet_sketch_copy(merge->local, &joined, err);
    if (result == 0)
        result = sketch_join(joined, merge->theirs, err);
    if (result == 0)
        result = seal_snapshot(merge->fleet, &merge->track->name, joined, out, err);
    sketch_free(joined);
    if (result != 0)
        return result;
    merge->wrote = out->count != count || memcmp(out->bytes, bytes, count) != 0;
    return merge->wrote ? 1 : 0;
}

/* The local counter alone; an empty one has nothing to say. */
static int write_local(struct merge *merge, struct text *out, struct error *err)
{
    struct sketch_count users;
    sketch_count(merge->local, &users);
    merge->wrote = users.value > 0;
    if (merge->wrote)
        text_append(out, merge->sealed->bytes, merge->sealed->count);
    if (out->failed)
        return error_no_memory(err);
    return merge->wrote ? 1 : 0;
}

static int on_merge(void *argument, const void *bytes, size_t count, struct text *out,
                    struct error *err)
{
    struct merge *merge = argument;
    struct fleet *fleet = merge->fleet;
    struct fleet_suspect suspect = {.name = merge->track->name, .kind = FLEET_SNAPSHOT};
    struct error why = {0};
    if (count == 0)
        return write_local(merge, out, err);
    int result = read_snapshot(merge, bytes, count, &merge->theirs, &why);
    if (result == ERROR_NO_MEMORY)
        return error_no_memory(err);
    if (result != 0) {
        fleet_refuse(fleet, &why);
        return result == ERROR_REFUSED ? 0 : write_local(merge, out, err);
    }
    result = fleet_judge(fleet, merge->local, merge->theirs, merge->track->known, &suspect, err);
    if (result < 0)
        return result;
    if (result == 1)
        return write_joined(merge, bytes, count, out, err);
    fleet_set_aside(fleet, &suspect, bytes, count);
    sketch_free(merge->theirs);
    merge->theirs = NULL;
    return 0;
}

/* Whether the snapshot's first bytes are those that ours would have. */
static int head_is(struct fleet *fleet, const struct fleet_name *name, const struct text *sealed,
                   bool *ret_same, struct error *err)
{
    const struct fleet_transport *transport = &fleet->config.transport;
    struct text head;
    text_init(&head);
    int result = transport->head(transport->self, name, &head, err);
    if (result == 0 && head.failed)
        result = error_no_memory(err);
    *ret_same = result == 0 && head.count == FLEET_HEADER_BYTES &&
                memcmp(head.bytes, sealed->bytes, FLEET_HEADER_BYTES) == 0;
    text_destroy(&head);
    return result == ERROR_NOT_FOUND ? 0 : result;
}

/* The snapshot is known to the others: so the view has it. */
static int widen_view(struct fleet *fleet, struct fleet_track *track, const struct sketch *theirs,
                      struct error *err)
{
    if (track->view == NULL)
        track->view = sketch_new(fleet->config.p);
    if (track->view == NULL)
        return error_no_memory(err);
    return theirs == NULL ? 0 : sketch_join(track->view, theirs, err);
}

static int merge_snapshot(struct fleet *fleet, struct fleet_track *track, struct merge *merge,
                          struct error *err)
{
    const struct fleet_transport *transport = &fleet->config.transport;
    const struct fleet_store *store = &fleet->config.store;
    struct error why = {0};
    int result = transport->update(transport->self, &track->name, on_merge, merge, &why);
    bool lost = result == ERROR_BUSY;
    if (result != 0 && !lost)
        return error_set(err, result, "%s", why.text);
    fleet->status.races_lost += lost ? 1 : 0;
    fleet->status.snapshots_written += merge->wrote && !lost ? 1 : 0;
    track->untold = track->untold || (merge->wrote && !lost);
    track->due = lost;
    result = merge->theirs == NULL ? 0 : store->join(store->self, &track->name, merge->theirs, err);
    return result == 0 ? widen_view(fleet, track, merge->theirs, err) : result;
}

int fleet_compare(struct fleet *fleet, struct fleet_track *track, struct error *err)
{
    struct sketch *local = NULL;
    struct text sealed;
    bool same = false;
    text_init(&sealed);
    int result = fleet_local(fleet, &track->name, &local, err);
    if (result == 0)
        result = seal_snapshot(fleet, &track->name, local, &sealed, err);
    if (result == 0)
        result = head_is(fleet, &track->name, &sealed, &same, err);
    if (result == 0 && same) {
        track->due = false;
        result = widen_view(fleet, track, local, err);
    } else if (result == 0) {
        struct merge merge = {.fleet = fleet, .track = track, .local = local, .sealed = &sealed};
        result = merge_snapshot(fleet, track, &merge, err);
        sketch_free(merge.theirs);
    }
    if (!fleet_day_streams(fleet, track->name.day)) { /* no deltas, so no view */
        sketch_free(track->view);
        track->view = NULL;
    } else if (result == 0) {
        track->known = true;
        fleet_view_set(fleet, track);
    }
    text_destroy(&sealed);
    sketch_free(local);
    return result;
}

static int on_name(void *argument, const struct fleet_name *name, struct error *err)
{
    (void)err;
    (void)fleet_track_take(argument, name);
    return 0;
}

int fleet_compare_all(struct fleet *fleet, struct error *err)
{
    const struct fleet_transport *transport = &fleet->config.transport;
    int result = 0;
    for (uint32_t i = 0; i <= fleet->config.days && result == 0; i++)
        result = transport->names(transport->self, fleet->today + 1 - i, on_name, fleet, err);
    for (uint32_t i = 0; i < fleet->track_count && result == 0; i++)
        fleet->tracks[i].due = true;
    return result;
}
