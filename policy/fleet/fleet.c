/* SPDX-License-Identifier: Apache-2.0 */
/* fleet.c -- what each replica does to hold the same counters as all others.
 *
 *     own counters --- delta ------> stream of the day --> each replica: join
 *           |                                                 |
 *           +--- snapshot (join) --> one a counter  <-- compare, now and then
 *
 * A counter only grows, and joining twice or in another order gives the same, so messages may be
 * lost, doubled or late. Of each counter that moves the fleet keeps a view: what the others can
 * know of it. A delta is what the own counter has beyond the view, which grows by what was
 * published and by what was read; a user that another replica has told is not told again.
 *
 * Deltas are fast and may get lost: the stream is cut, a write that was acknowledged may not
 * survive its server. Snapshots are what makes good: every few minutes each counter is compared
 * with its snapshot, by 64 bytes if they agree, and each gets what it lacks. So all replicas that
 * reach the store agree after each has compared twice, whatever was lost before; that, and not the
 * stream, is what convergence rests on (tests/unit/fleet/fleet_swarm_test.c).
 *
 * The store carries a number of its own. Another number means that it was emptied: every view is
 * void, and whoever comes first writes snapshots from what it holds. After minutes without contact
 * views are void too, since a step that looks too big against an old view may be a morning's users.
 *
 * No replica owns a blob: a thousand of them times fifty models times a month of days would be
 * 400 GB, of which nearly all say the same. And no replica merges for the others: an advisory lease
 * would save traffic and bring a role that has to be watched. */
#include "policy/fleet/fleet.h"

#include "policy/fleet/fleet_inner.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define DAY_US              (INT64_C(86400) * 1000000)
#define BACKOFF_US          INT64_C(1000000)
#define BACKOFF_US_MAX      INT64_C(60000000)
#define STRANGER_US         INT64_C(600000000) /* without contact: views are void */
#define PUBLISHED_A_TICK    64u
#define COMPARED_A_TICK     16u
#define TRACKS_MIN          16u
#define DEFAULT_DAYS        32u
#define DEFAULT_SYNC_MS     5000u
#define DEFAULT_COMPARE     600u
#define DEFAULT_JUMP_USERS  1e7
#define DEFAULT_JUMP_FACTOR 2.0
#define DEFAULT_USERS_MAX   1e10

/* -- The object -- */

static uint64_t next_random(struct fleet *fleet)
{
    uint64_t mixed = fleet->random += 0x9e3779b97f4a7c15; /* splitmix64: spreads, hides nothing */
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return mixed ^ mixed >> 31;
}

/* Three to five quarters of it, so that replicas do not come all at once. */
static int64_t spread(struct fleet *fleet, int64_t duration_us)
{
    return duration_us / 4 * 3 + (int64_t)(next_random(fleet) % (uint64_t)(duration_us / 2 + 1));
}

static void fill_defaults(struct fleet_config *config)
{
    if (config->p == 0)
        config->p = SKETCH_P;
    if (config->days == 0)
        config->days = DEFAULT_DAYS;
    if (config->sync_ms == 0)
        config->sync_ms = DEFAULT_SYNC_MS;
    if (config->compare_seconds == 0)
        config->compare_seconds = DEFAULT_COMPARE;
    if (config->jump_users <= 0)
        config->jump_users = DEFAULT_JUMP_USERS;
    if (config->jump_factor <= 0)
        config->jump_factor = DEFAULT_JUMP_FACTOR;
    if (config->users_max <= 0)
        config->users_max = DEFAULT_USERS_MAX;
}

struct fleet *fleet_new(const struct fleet_config *config, struct error *err)
{
    assert(config->key != NULL && config->replica != 0);
    struct fleet *fleet = calloc(1, sizeof *fleet);
    if (fleet == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    fleet->config = *config;
    fill_defaults(&fleet->config);
    assert(fleet->config.p >= 8 && fleet->config.p <= 24 && fleet->config.days <= FLEET_DAYS_MAX);
    fleet->random = config->replica;
    fleet->key = fleet_key_new(config->key, config->key_id, err);
    fleet->config.key = NULL; /* the caller may wipe it now */
    if (fleet->key != NULL)
        return fleet;
    fleet_free(fleet);
    return NULL;
}

void fleet_free(struct fleet *fleet)
{
    if (fleet == NULL)
        return;
    for (uint32_t i = 0; i < fleet->track_count; i++)
        sketch_free(fleet->tracks[i].view);
    for (uint32_t i = 0; i < fleet->held_count; i++)
        text_destroy(&fleet->held[i].bytes);
    free(fleet->tracks);
    fleet_key_free(fleet->key);
    free(fleet);
}

/* -- Counters that are followed -- */

static int compare_names(const struct fleet_name *a, const struct fleet_name *b)
{
    if (a->day != b->day)
        return a->day > b->day ? -1 : 1; /* the newest first: they matter most */
    if (a->scope != b->scope)
        return a->scope < b->scope ? -1 : 1;
    return (int)a->class - (int)b->class;
}

/* Where the name is, or would be. */
static uint32_t find_track(const struct fleet *fleet, const struct fleet_name *name)
{
    uint32_t low = 0, high = fleet->track_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (compare_names(&fleet->tracks[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool day_is_followed(const struct fleet *fleet, uint32_t day)
{
    return day <= fleet->today + 1 && day + fleet->config.days > fleet->today;
}

bool fleet_day_streams(const struct fleet *fleet, uint32_t day)
{
    return day <= fleet->today + 1 && day + 1 >= fleet->today;
}

struct fleet_track *fleet_track_take(struct fleet *fleet, const struct fleet_name *name)
{
    uint32_t at = find_track(fleet, name);
    if (at < fleet->track_count && compare_names(&fleet->tracks[at].name, name) == 0)
        return &fleet->tracks[at];
    if (!day_is_followed(fleet, name->day))
        return NULL;
    if (fleet->track_count == fleet->track_capacity) {
        uint32_t capacity = fleet->track_capacity == 0 ? TRACKS_MIN : 2 * fleet->track_capacity;
        struct fleet_track *tracks = capacity > FLEET_NAMES_MAX
                                         ? NULL
                                         : realloc(fleet->tracks, capacity * sizeof *fleet->tracks);
        if (tracks == NULL) {
            fleet->status.left_out++;
            return NULL;
        }
        fleet->tracks = tracks;
        fleet->track_capacity = capacity;
    }
    memmove(&fleet->tracks[at + 1], &fleet->tracks[at],
            (fleet->track_count - at) * sizeof fleet->tracks[0]);
    fleet->track_count++;
    /* Counts as changed: a counter from before a restart has all to tell and 0 changes. */
    fleet->tracks[at] = (struct fleet_track){.name = *name, .published = UINT64_MAX};
    return &fleet->tracks[at];
}

static void drop_view(struct fleet_track *track)
{
    sketch_free(track->view);
    track->view = NULL;
}

/* Days pass: old counters are let go, streams are those of the days around today. */
static void move_to(struct fleet *fleet, uint32_t today)
{
    struct fleet_position positions[FLEET_STREAM_DAYS] = {{""}};
    uint32_t kept = 0;
    fleet->today = today;
    for (uint32_t i = 0; i < fleet->track_count; i++) {
        struct fleet_track *track = &fleet->tracks[i];
        if (!fleet_day_streams(fleet, track->name.day))
            drop_view(track);
        if (day_is_followed(fleet, track->name.day))
            fleet->tracks[kept++] = *track;
    }
    fleet->track_count = kept;
    for (uint32_t i = 0; i < FLEET_STREAM_DAYS; i++)
        for (uint32_t j = 0; j < FLEET_STREAM_DAYS; j++)
            if (fleet->position_days[j] == today + i - 1)
                positions[i] = fleet->positions[j];
    memcpy(fleet->positions, positions, sizeof positions);
    for (uint32_t i = 0; i < FLEET_STREAM_DAYS; i++)
        fleet->position_days[i] = today + i - 1;
}

/* -- What others say, judged -- */

void fleet_refuse(struct fleet *fleet, const struct error *why)
{
    fleet->status.refused++;
    memcpy(fleet->status.last_refusal, why->text, sizeof fleet->status.last_refusal);
}

int fleet_sketch_copy(const struct sketch *sketch, struct sketch **ret, struct error *err)
{
    struct sketch *copy = sketch_new(sketch_p(sketch));
    if (copy == NULL)
        return error_no_memory(err);
    int result = sketch_join(copy, sketch, err);
    if (result != 0) {
        sketch_free(copy);
        return result;
    }
    *ret = copy;
    return 0;
}

int fleet_local(const struct fleet *fleet, const struct fleet_name *name, struct sketch **ret,
                struct error *err)
{
    struct sketch *local = NULL;
    int result = fleet->config.store.sketch(fleet->config.store.self, name, &local, err);
    if (result == ERROR_NOT_FOUND) {
        local = sketch_new(fleet->config.p);
        result = local == NULL ? error_no_memory(err) : 0;
    }
    if (result != 0)
        return result;
    if (sketch_p(local) != fleet->config.p) {
        result = error_set(err, ERROR_INVALID, "a counter of p = %u in a fleet of p = %u",
                           sketch_p(local), fleet->config.p);
        sketch_free(local);
        return result;
    }
    *ret = local;
    return 0;
}

int fleet_judge(const struct fleet *fleet, const struct sketch *now, const struct sketch *with,
                bool known, struct fleet_suspect *ret, struct error *err)
{
    const struct fleet_config *config = &fleet->config;
    struct sketch *joined = NULL;
    struct sketch_count before, after;
    int result = fleet_sketch_copy(now, &joined, err);
    if (result == 0)
        result = sketch_join(joined, with, err);
    if (result == 0) {
        sketch_count(now, &before);
        sketch_count(joined, &after);
        ret->users_before = before.value;
        ret->users_after = after.value;
        bool step = !known || after.value - before.value <= config->jump_users ||
                    after.value <= before.value * config->jump_factor;
        result = step && after.value <= config->users_max ? 1 : 0;
    }
    sketch_free(joined);
    return result;
}

static struct fleet_held *find_held(struct fleet *fleet, const struct fleet_suspect *suspect)
{
    for (uint32_t i = 0; i < fleet->held_count; i++) {
        const struct fleet_suspect *held = &fleet->held[i].suspect;
        if (suspect->kind == FLEET_SNAPSHOT && held->kind == FLEET_SNAPSHOT &&
            compare_names(&suspect->name, &held->name) == 0)
            return &fleet->held[i]; /* each comparison finds it again */
    }
    fleet->status.set_aside++;
    if (fleet->held_count == FLEET_QUARANTINE_MAX)
        return NULL;
    struct fleet_held *held = &fleet->held[fleet->held_count++];
    text_init(&held->bytes);
    return held;
}

void fleet_set_aside(struct fleet *fleet, const struct fleet_suspect *suspect, const void *bytes,
                     size_t count)
{
    struct fleet_held *held = find_held(fleet, suspect);
    if (held == NULL)
        return;
    bool same = held->bytes.count == count && count > 0 && !held->bytes.failed &&
                memcmp(held->bytes.bytes, bytes, count) == 0;
    uint64_t number = same ? held->suspect.number : ++fleet->held_number;
    held->suspect = *suspect;
    held->suspect.number = number;
    text_reset(&held->bytes);
    text_append(&held->bytes, bytes, count);
}

uint32_t fleet_suspects(const struct fleet *fleet)
{
    return fleet->held_count;
}

const struct fleet_suspect *fleet_suspect_peek(const struct fleet *fleet, uint32_t index)
{
    assert(index < fleet->held_count);
    return &fleet->held[index].suspect;
}

/* The users that its bytes tell of. */
static int read_held(struct fleet *fleet, const struct fleet_held *held, struct sketch **ret,
                     struct error *err)
{
    struct fleet_blob blob;
    struct fleet_gather gather;
    if (held->bytes.failed)
        return error_no_memory(err);
    int result = fleet_blob_open(fleet->key, held->bytes.bytes, held->bytes.count, &blob, err);
    if (result != 0)
        return result;
    if (blob.kind == FLEET_SNAPSHOT)
        return sketch_read(blob.body, blob.body_count, ret, err);
    fleet_gather_init(&gather, fleet->config.p);
    result = fleet_gather_add(&gather, blob.body, blob.body_count, err);
    if (result == 0)
        result = fleet_gather_sketch(&gather, ret, err);
    fleet_gather_destroy(&gather);
    return result;
}

int fleet_suspect_settle(struct fleet *fleet, uint32_t index, bool accept, struct error *err)
{
    assert(index < fleet->held_count);
    struct fleet_held *held = &fleet->held[index];
    struct sketch *sketch = NULL;
    int result = accept ? read_held(fleet, held, &sketch, err) : 0;
    if (result == 0 && accept)
        result =
            fleet->config.store.join(fleet->config.store.self, &held->suspect.name, sketch, err);
    sketch_free(sketch);
    if (result != 0)
        return result;
    text_destroy(&held->bytes);
    fleet->held_count--;
    memmove(held, held + 1, (fleet->held_count - index) * sizeof *held);
    return 0;
}

/* -- The tick -- */

static void forget_views(struct fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->track_count; i++)
        drop_view(&fleet->tracks[i]);
    fleet->compare_unix_us = 0;
    fleet->status.complete = false;
}

/* Whether the store is the one that we know. */
static int check_epoch(struct fleet *fleet, int64_t now_unix_us, struct error *err)
{
    uint64_t epoch = 0;
    int result = fleet->config.transport.epoch(fleet->config.transport.self, next_random(fleet) | 1,
                                               &epoch, err);
    if (result != 0)
        return result;
    bool emptied = fleet->epoch != 0 && fleet->epoch != epoch;
    if (emptied) {
        fleet->status.epoch_changes++;
        memset(fleet->positions, 0, sizeof fleet->positions);
    }
    if (emptied || now_unix_us - fleet->contact_unix_us > STRANGER_US)
        forget_views(fleet);
    fleet->epoch = epoch;
    return 0;
}

static int on_counter(void *argument, const struct fleet_name *name, uint64_t changes,
                      struct error *err)
{
    struct fleet *fleet = argument;
    struct fleet_track *track = fleet_track_take(fleet, name);
    (void)err;
    if (track != NULL)
        track->changes = changes;
    return 0;
}

static int publish_changed(struct fleet *fleet, bool *ret_more, struct error *err)
{
    const struct fleet_store *store = &fleet->config.store;
    uint32_t published = 0;
    int result = store->list(store->self, fleet->today + 1 - fleet->config.days, fleet->today + 1,
                             on_counter, fleet, err);
    for (uint32_t i = 0; i < fleet->track_count && result == 0; i++) {
        struct fleet_track *track = &fleet->tracks[i];
        if (track->changes == track->published)
            continue;
        if (published++ == PUBLISHED_A_TICK) {
            *ret_more = true;
            break;
        }
        result = fleet_publish(fleet, track, err);
    }
    return result;
}

static int compare_due(struct fleet *fleet, bool *ret_more, struct error *err)
{
    uint32_t compared = 0, due = 0;
    int result = 0;
    for (uint32_t i = 0; i < fleet->track_count; i++) {
        struct fleet_track *track = &fleet->tracks[i];
        if (track->due && result == 0 && compared < COMPARED_A_TICK) {
            result = fleet_compare(fleet, track, err);
            compared++;
        }
        due += track->due ? 1 : 0;
    }
    fleet->status.due = due;
    *ret_more |= due > 0;
    return result;
}

static int exchange(struct fleet *fleet, int64_t now_unix_us, bool *ret_more, struct error *err)
{
    int64_t interval_us = (int64_t)fleet->config.compare_seconds * 1000000;
    int result = check_epoch(fleet, now_unix_us, err);
    /* A clock that was set back must not put it off for long. */
    if (result == 0 && (now_unix_us >= fleet->compare_unix_us ||
                        fleet->compare_unix_us - now_unix_us > 2 * interval_us)) {
        result = fleet_compare_all(fleet, err);
        if (result == 0)
            fleet->compare_unix_us = now_unix_us + spread(fleet, interval_us);
    }
    if (result == 0)
        result = fleet_pull(fleet, ret_more, err);
    if (result == 0)
        result = publish_changed(fleet, ret_more, err);
    if (result == 0)
        result = compare_due(fleet, ret_more, err);
    return result;
}

int fleet_tick(struct fleet *fleet, int64_t now_unix_us, struct error *err)
{
    bool more = false;
    assert(now_unix_us >= DAY_US * 2);
    int64_t wait_us = fleet->next_unix_us - now_unix_us;
    if (wait_us > 0 && wait_us <= 2 * BACKOFF_US_MAX)
        return 0;
    move_to(fleet, (uint32_t)(now_unix_us / DAY_US));
    int result = exchange(fleet, now_unix_us, &more, err);
    if (result != 0) {
        int64_t backoff_us = BACKOFF_US << (fleet->failures < 6 ? fleet->failures : 6);
        fleet->failures++;
        fleet->next_unix_us =
            now_unix_us +
            spread(fleet, backoff_us < BACKOFF_US_MAX ? backoff_us : BACKOFF_US_MAX) * 4 / 5;
        return error_wrap(err, "fleet");
    }
    fleet->failures = 0;
    fleet->contact_unix_us = now_unix_us;
    fleet->next_unix_us =
        more ? now_unix_us : now_unix_us + spread(fleet, (int64_t)fleet->config.sync_ms * 1000);
    if (!more) {
        fleet->status.complete = true;
        fleet->status.synced_unix_us = now_unix_us;
    }
    return 0;
}

void fleet_hurry(struct fleet *fleet)
{
    fleet->next_unix_us = 0;
}

void fleet_status(const struct fleet *fleet, struct fleet_status *ret)
{
    *ret = fleet->status;
}

uint64_t fleet_stale_seconds(const struct fleet *fleet, int64_t now_unix_us)
{
    int64_t synced = fleet->status.synced_unix_us;
    if (synced == 0)
        return UINT64_MAX;
    return now_unix_us > synced ? (uint64_t)(now_unix_us - synced) / 1000000 : 0;
}
