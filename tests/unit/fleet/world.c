/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t next_hash(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static bool same_name(const struct fleet_name *a, const struct fleet_name *b)
{
    return a->scope == b->scope && a->day == b->day && a->class == b->class;
}

/* -- A replica's own counters -- */

void memory_store_init(struct memory_store *store, uint32_t p)
{
    *store = (struct memory_store){.p = p};
}

void memory_store_destroy(struct memory_store *store)
{
    for (uint32_t i = 0; i < store->count; i++)
        sketch_free(store->counters[i].sketch);
}

static struct memory_counter *find_counter(const struct memory_store *store,
                                           const struct fleet_name *name)
{
    for (uint32_t i = 0; i < store->count; i++)
        if (same_name(&store->counters[i].name, name))
            return (struct memory_counter *)&store->counters[i];
    return NULL;
}

static struct memory_counter *take_counter(struct memory_store *store,
                                           const struct fleet_name *name)
{
    struct memory_counter *counter = find_counter(store, name);
    if (counter != NULL)
        return counter;
    assert(store->count < COUNTERS_MAX);
    counter = &store->counters[store->count++];
    *counter = (struct memory_counter){.name = *name, .sketch = sketch_new(store->p)};
    assert(counter->sketch != NULL);
    return counter;
}

void memory_store_count(struct memory_store *store, const struct fleet_name *name, uint64_t hash)
{
    struct memory_counter *counter = take_counter(store, name);
    bool changed = false;
    int result = sketch_add(counter->sketch, hash, &changed, NULL);
    assert(result == 0);
    counter->changes += changed ? 1 : 0;
}

const struct sketch *memory_store_find(const struct memory_store *store,
                                       const struct fleet_name *name)
{
    const struct memory_counter *counter = find_counter(store, name);
    return counter == NULL ? NULL : counter->sketch;
}

bool memory_store_is(const struct memory_store *store, const struct fleet_name *name,
                     const struct sketch *other)
{
    const struct sketch *own = memory_store_find(store, name);
    struct text a, b;
    if (own == NULL)
        return false;
    text_init(&a);
    text_init(&b);
    sketch_write(own, &a);
    sketch_write(other, &b);
    bool same = a.count == b.count && memcmp(a.bytes, b.bytes, a.count) == 0;
    text_destroy(&a);
    text_destroy(&b);
    return same;
}

static int store_list(void *self, uint32_t first_day, uint32_t last_day,
                      int (*on_counter)(void *argument, const struct fleet_name *name,
                                        uint64_t changes, struct error *err),
                      void *argument, struct error *err)
{
    struct memory_store *store = self;
    int result = 0;
    for (uint32_t i = 0; i < store->count && result == 0; i++) {
        const struct memory_counter *counter = &store->counters[i];
        if (counter->name.day >= first_day && counter->name.day <= last_day)
            result = on_counter(argument, &counter->name, counter->changes, err);
    }
    return result;
}

static int store_sketch(void *self, const struct fleet_name *name, struct sketch **ret,
                        struct error *err)
{
    const struct sketch *sketch = memory_store_find(self, name);
    if (sketch == NULL)
        return error_set(err, ERROR_NOT_FOUND, "no counter");
    *ret = sketch_new(sketch_p(sketch));
    assert(*ret != NULL);
    return sketch_join(*ret, sketch, err);
}

static int store_join(void *self, const struct fleet_name *name, const struct sketch *sketch,
                      struct error *err)
{
    struct memory_store *store = self;
    if (store->full)
        return error_set(err, ERROR_IO, "no room on the disk");
    struct memory_counter *counter = take_counter(store, name);
    counter->changes++;
    return sketch_join(counter->sketch, sketch, err);
}

struct fleet_store memory_store_face(struct memory_store *store)
{
    return (struct fleet_store){
        .self = store, .list = store_list, .sketch = store_sketch, .join = store_join};
}

/* -- The store that all reach -- */

void shared_empty(struct shared *shared)
{
    for (uint32_t i = 0; i < shared->stream_count; i++) {
        for (uint32_t j = 0; j < shared->streams[i].count; j++)
            text_destroy(&shared->streams[i].entries[j]);
        free(shared->streams[i].entries);
    }
    for (uint32_t i = 0; i < shared->snapshot_count; i++)
        text_destroy(&shared->snapshots[i].bytes);
    shared->stream_count = shared->snapshot_count = 0;
    shared->epoch = 0;
}

struct shared_snapshot *shared_snapshot_find(struct shared *shared, const struct fleet_name *name)
{
    for (uint32_t i = 0; i < shared->snapshot_count; i++)
        if (same_name(&shared->snapshots[i].name, name))
            return &shared->snapshots[i];
    return NULL;
}

static bool fault(struct shared *shared)
{
    bool happens = next_hash(&shared->random) % 100 < shared->faults_percent;
    shared->faults += happens ? 1 : 0;
    return happens;
}

static int line_fails(const struct shared_line *line, struct error *err)
{
    return line->cut || fault(line->shared) ? error_set(err, ERROR_IO, "the line is cut") : 0;
}

static int shared_epoch(void *self, uint64_t candidate, uint64_t *ret, struct error *err)
{
    struct shared_line *line = self;
    int result = line_fails(line, err);
    if (result != 0)
        return result;
    if (line->shared->epoch == 0)
        line->shared->epoch = candidate;
    *ret = line->shared->epoch;
    return 0;
}

static struct shared_stream *take_stream(struct shared *shared, uint32_t day)
{
    for (uint32_t i = 0; i < shared->stream_count; i++)
        if (shared->streams[i].day == day)
            return &shared->streams[i];
    assert(shared->stream_count < STREAMS_MAX);
    struct shared_stream *stream = &shared->streams[shared->stream_count++];
    *stream = (struct shared_stream){.day = day};
    return stream;
}

/* Loses what it has said yes to, or keeps what it has said no to. */
static int shared_append(void *self, uint32_t day, const void *bytes, size_t count,
                         struct error *err)
{
    struct shared_line *line = self;
    int result = line_fails(line, err);
    if (result != 0 || fault(line->shared))
        return result;
    struct shared_stream *stream = take_stream(line->shared, day);
    if (stream->count == stream->capacity) {
        stream->capacity = stream->capacity == 0 ? 64 : 2 * stream->capacity;
        stream->entries = realloc(stream->entries, stream->capacity * sizeof stream->entries[0]);
        assert(stream->entries != NULL);
    }
    text_init(&stream->entries[stream->count]);
    text_append(&stream->entries[stream->count++], bytes, count);
    line->appends++;
    return fault(line->shared) ? error_set(err, ERROR_IO, "no answer") : 0;
}

/* Skips entries, or gives another in the place of one that is lost, and all in any order. */
static int shared_read(void *self, const struct fleet_read *read, struct error *err)
{
    struct shared_line *line = self;
    struct shared_stream *stream = take_stream(line->shared, read->day);
    int result = line_fails(line, err);
    if (result != 0)
        return result;
    uint32_t at = (uint32_t)strtoul(read->position->id, NULL, 10);
    uint32_t count = at < stream->count ? stream->count - at : 0;
    count = count < read->entries_max ? count : read->entries_max;
    uint32_t turn = line->shared->faults_percent > 0 && count > 0
                        ? (uint32_t)(next_hash(&line->shared->random) % count)
                        : 0;
    for (uint32_t i = 0; i < count && result == 0; i++) {
        uint32_t pick = at + (i + turn) % count;
        if (fault(line->shared))
            continue;
        if (fault(line->shared))
            pick = at;
        result = read->on_entry(read->argument, stream->entries[pick].bytes,
                                stream->entries[pick].count, err);
    }
    (void)snprintf(read->position->id, sizeof read->position->id, "%u", at + count);
    return result != 0 ? result : (int)count;
}

static int shared_names(void *self, uint32_t day, fleet_on_name on_name, void *argument,
                        struct error *err)
{
    struct shared_line *line = self;
    int result = line_fails(line, err);
    for (uint32_t i = 0; i < line->shared->snapshot_count && result == 0; i++)
        if (line->shared->snapshots[i].name.day == day)
            result = on_name(argument, &line->shared->snapshots[i].name, err);
    return result;
}

static int shared_head(void *self, const struct fleet_name *name, struct text *out,
                       struct error *err)
{
    struct shared_line *line = self;
    const struct shared_snapshot *snapshot = shared_snapshot_find(line->shared, name);
    int result = line_fails(line, err);
    line->heads++;
    if (result != 0)
        return result;
    if (snapshot == NULL)
        return error_set(err, ERROR_NOT_FOUND, "no snapshot");
    text_append(out, snapshot->bytes.bytes,
                snapshot->bytes.count < FLEET_HEADER_BYTES ? snapshot->bytes.count
                                                           : FLEET_HEADER_BYTES);
    return 0;
}

/* Loses races, and answers. */
static int shared_update(void *self, const struct fleet_name *name, fleet_on_merge on_merge,
                         void *argument, struct error *err)
{
    struct shared_line *line = self;
    struct shared *shared = line->shared;
    struct shared_snapshot *snapshot = shared_snapshot_find(shared, name);
    struct text out;
    int result = line_fails(line, err);
    line->updates++;
    if (result != 0)
        return result;
    text_init(&out);
    int answer = on_merge(argument, snapshot == NULL ? NULL : snapshot->bytes.bytes,
                          snapshot == NULL ? 0 : snapshot->bytes.count, &out, err);
    if (answer == 1 && fault(shared)) {
        result = error_set(err, ERROR_BUSY, "another was faster");
    } else if (answer == 1) {
        if (snapshot == NULL) {
            assert(shared->snapshot_count < SNAPSHOTS_MAX);
            snapshot = &shared->snapshots[shared->snapshot_count++];
            *snapshot = (struct shared_snapshot){.name = *name};
        }
        text_reset(&snapshot->bytes);
        text_append(&snapshot->bytes, out.bytes, out.count);
        result = fault(shared) ? error_set(err, ERROR_IO, "no answer") : 0;
    }
    text_destroy(&out);
    return answer < 0 ? answer : result;
}

struct fleet_transport shared_line_face(struct shared_line *line)
{
    return (struct fleet_transport){.self = line,
                                    .epoch = shared_epoch,
                                    .append = shared_append,
                                    .read = shared_read,
                                    .names = shared_names,
                                    .head = shared_head,
                                    .update = shared_update};
}
