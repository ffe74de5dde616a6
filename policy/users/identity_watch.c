/* SPDX-License-Identifier: Apache-2.0 */
/* identity_watch.c -- the most frequent ids of each key, in a fixed room.
 *
 * Shared ids are found by Space-Saving (Metwally, Agrawal, El Abbadi 2005): of a key's ids,
 * IDENTITY_WATCH_IDS are counted; one that is not among them takes the place of the least, with
 * its count and, as its error, what it did not earn. Every id with more than 1/8 of the requests
 * is among them, and `count - error` of its requests are sure. Only what is sure is held against a
 * key, so that no tenant is accused by an artefact; sums over instances are sure as well.
 *
 * Spraying is seen in windows: when `window` requests of a key are over, their share of new ids is
 * compared and a new window begins, so that an hour of it is not lost in a quiet day. The highest
 * share of the day's full windows is kept. A key whose requests are spread over many instances
 * fills no window for long: a reader adds up the open and the latest full ones.
 *
 * Where many millions are known, a new id is recognised by a chance below 1 (identity_known.h). The
 * share is then what was found over what would have been found had all been new, and a window goes
 * on until that is IDENTITY_WATCH_EVIDENCE: half of 40 is 4 standard deviations from a quarter.
 *
 *     instance   heads[8192] -> keys[4096], chained by hash, and a list from newest to oldest
 *
 * Each instance has a flag instead of a lock: a writer who finds it taken goes on without having
 * counted. A reader holds it while it copies; it waits for a writer at most the 50 ns of one. */
#include "policy/users/identity_watch.h"

#include <assert.h>
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define HEADS 8192u /* a power of two, twice the keys */

struct counted {
    uint64_t id; /* 0: the place is free */
    uint32_t count, error;
};

struct key_watch {
    uint64_t key;
    uint32_t day;
    uint32_t requests; /* stops at UINT32_MAX, and then everything of the key does */
    struct counted ids[IDENTITY_WATCH_IDS];
    /* Of new ids, those that were found, and how many would have been if all had been new. */
    uint32_t open_requests,
        full_requests; /* the window that is not full yet, the latest that was */
    float open_new, open_chance, full_new, full_chance;
    float highest_share; /* of all full ones of the day */
    char tenant[IDENTITY_TENANT_BYTES];
    uint16_t chained; /* the next of the same head; places count from 1, 0: none */
    uint16_t newer, older;
};

struct instance {
    atomic_flag taken; /* guards everything below */
    uint16_t newest, oldest;
    uint32_t used;
    uint16_t heads[HEADS];
    struct key_watch keys[IDENTITY_WATCH_KEYS];
};
static_assert(sizeof(struct instance) <= IDENTITY_WATCH_BYTES, "as the header says");
static_assert(IDENTITY_WATCH_KEYS < UINT16_MAX, "a place is 16 bits");

struct identity_watch {
    struct identity_watch_config config;
    struct instance *instances[]; /* apart from each other, so that no cache line is shared */
};

struct identity_watch *identity_watch_new(const struct identity_watch_config *config,
                                          struct error *err)
{
    assert(config->instances >= 1 && config->instances <= IDENTITY_WATCH_INSTANCES_MAX);
    assert(config->shared_share > 1.0 / IDENTITY_WATCH_IDS); /* below, one may be missed */
    assert(config->window >= 1);
    struct identity_watch *watch =
        calloc(1, sizeof *watch + config->instances * sizeof *watch->instances);
    if (watch == NULL) {
        error_no_memory(err);
        return NULL;
    }
    watch->config = *config;
    for (uint32_t i = 0; i < config->instances; i++) {
        watch->instances[i] = calloc(1, sizeof *watch->instances[i]);
        if (watch->instances[i] == NULL) {
            error_no_memory(err);
            identity_watch_free(watch);
            return NULL;
        }
        atomic_flag_clear(&watch->instances[i]->taken);
    }
    return watch;
}

void identity_watch_free(struct identity_watch *watch)
{
    if (watch == NULL)
        return;
    for (uint32_t i = 0; i < watch->config.instances; i++)
        free(watch->instances[i]);
    free(watch);
}

/* -- Places of an instance -- */

static struct key_watch *at(struct instance *instance, uint16_t place)
{
    assert(place >= 1 && place <= IDENTITY_WATCH_KEYS);
    return &instance->keys[place - 1];
}

static uint16_t *head_of(struct instance *instance, uint64_t key)
{
    return &instance->heads[key & (HEADS - 1)]; /* key is a keyed hash already */
}

static void unlink_age(struct instance *instance, uint16_t place)
{
    struct key_watch *entry = at(instance, place);
    *(entry->newer == 0 ? &instance->newest : &at(instance, entry->newer)->older) = entry->older;
    *(entry->older == 0 ? &instance->oldest : &at(instance, entry->older)->newer) = entry->newer;
}

static void make_newest(struct instance *instance, uint16_t place)
{
    struct key_watch *entry = at(instance, place);
    entry->newer = 0;
    entry->older = instance->newest;
    *(entry->older == 0 ? &instance->oldest : &at(instance, entry->older)->newer) = place;
    instance->newest = place;
}

/* The place of the key seen longest ago, out of its chain and of the list of ages. */
static uint16_t evict(struct instance *instance)
{
    uint16_t place = instance->oldest;
    uint16_t *link = head_of(instance, at(instance, place)->key);
    while (*link != place)
        link = &at(instance, *link)->chained;
    *link = at(instance, place)->chained;
    unlink_age(instance, place);
    return place;
}

/* The key's entry, now the newest; an empty one when it is not there. */
static struct key_watch *find(struct instance *instance, uint64_t key)
{
    uint16_t *head = head_of(instance, key), place = *head;
    while (place != 0 && at(instance, place)->key != key)
        place = at(instance, place)->chained;
    if (place != 0 && place == instance->newest)
        return at(instance, place);
    if (place != 0) {
        unlink_age(instance, place);
    } else {
        place = instance->used < IDENTITY_WATCH_KEYS ? (uint16_t)++instance->used : evict(instance);
        *at(instance, place) = (struct key_watch){.key = key, .chained = *head};
        *head = place;
    }
    make_newest(instance, place);
    return at(instance, place);
}

/* -- Counting -- */

static void begin_day(struct key_watch *entry, const struct identity_sighting *sighting)
{
    const char *tenant = sighting->tenant == NULL ? "" : sighting->tenant;
    *entry = (struct key_watch){.key = entry->key,
                                .day = sighting->day,
                                .chained = entry->chained,
                                .newer = entry->newer,
                                .older = entry->older};
    memcpy(entry->tenant, tenant, strnlen(tenant, sizeof entry->tenant - 1));
}

static void count_id(struct key_watch *entry, uint64_t id)
{
    struct counted *least = &entry->ids[0];
    for (uint32_t i = 0; i < IDENTITY_WATCH_IDS; i++) {
        if (entry->ids[i].id == id) {
            entry->ids[i].count++;
            return;
        }
        if (entry->ids[i].count < least->count)
            least = &entry->ids[i];
    }
    *least = (struct counted){.id = id, .count = least->count + 1, .error = least->count};
}

/* Whether a window is over in which too many were new. */
static bool count_new(struct key_watch *entry, bool first_seen, float chance,
                      const struct identity_watch_config *config)
{
    entry->open_requests++;
    entry->open_new += first_seen ? 1 : 0;
    entry->open_chance += chance;
    if (entry->open_requests < config->window)
        return false;
    if (entry->open_chance < IDENTITY_WATCH_EVIDENCE &&
        entry->open_chance < (float)entry->open_requests) /* a small window of what is all sure */
        return false;
    float share = entry->open_new / entry->open_chance;
    if (share > entry->highest_share)
        entry->highest_share = share;
    entry->full_requests = entry->open_requests;
    entry->full_new = entry->open_new;
    entry->full_chance = entry->open_chance;
    entry->open_requests = 0;
    entry->open_new = entry->open_chance = 0;
    return share > config->sprayed_share;
}

bool identity_watch_add(struct identity_watch *watch, uint32_t instance,
                        const struct identity_sighting *sighting)
{
    assert(instance < watch->config.instances);
    struct instance *own = watch->instances[instance];
    bool sprays = false;
    if (atomic_flag_test_and_set_explicit(&own->taken, memory_order_acquire))
        return false;
    struct key_watch *entry = find(own, sighting->key);
    if (entry->day != sighting->day)
        begin_day(entry, sighting);
    if (entry->requests < UINT32_MAX) {
        entry->requests++;
        if (sighting->id != 0 && !sighting->is_person)
            count_id(entry, sighting->id);
        if (sighting->chance > 0)
            sprays = count_new(entry, sighting->id != 0 && sighting->first_seen, sighting->chance,
                               &watch->config);
    }
    atomic_flag_clear_explicit(&own->taken, memory_order_release);
    return sprays;
}

/* -- Reading -- */

struct findings {
    struct identity_finding *list;
    uint32_t count, capacity;
};

static void tell(struct findings *findings, const struct key_watch *entry,
                 const struct identity_finding *finding)
{
    if (findings->count == findings->capacity)
        return;
    struct identity_finding *told = &findings->list[findings->count++];
    *told = *finding;
    told->key = entry->key;
    memcpy(told->tenant, entry->tenant, sizeof told->tenant);
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = ((const struct key_watch *)a)->key, y = ((const struct key_watch *)b)->key;
    return (x > y) - (x < y);
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = ((const struct counted *)a)->id, y = ((const struct counted *)b)->id;
    return (x > y) - (x < y);
}

/* `entries` are one key's, of as many instances. */
static void judge_sharing(const struct identity_watch_config *config,
                          const struct key_watch *entries, uint32_t count, uint64_t requests,
                          struct findings *findings)
{
    struct counted ids[IDENTITY_WATCH_INSTANCES_MAX * IDENTITY_WATCH_IDS];
    uint32_t used = 0;
    if (requests < config->requests_min)
        return;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < IDENTITY_WATCH_IDS; j++)
            if (entries[i].ids[j].id != 0)
                ids[used++] = entries[i].ids[j];
    qsort(ids, used, sizeof ids[0], by_id);
    for (uint32_t i = 0, next; i < used; i = next) {
        uint64_t sure = 0;
        for (next = i; next < used && ids[next].id == ids[i].id; next++)
            sure += ids[next].count - ids[next].error;
        double share = (double)sure / (double)requests;
        if (share > config->shared_share)
            tell(findings, &entries[0],
                 &(struct identity_finding){.kind = IDENTITY_SHARED,
                                            .id = ids[i].id,
                                            .requests = requests,
                                            .share = share});
    }
}

static void judge_spraying(const struct identity_watch_config *config,
                           const struct key_watch *entries, uint32_t count, uint64_t requests,
                           struct findings *findings)
{
    uint64_t latest = 0;
    double latest_new = 0, latest_chance = 0, share = 0;
    for (uint32_t i = 0; i < count; i++) {
        latest += (uint64_t)entries[i].open_requests + entries[i].full_requests;
        latest_new += (double)entries[i].open_new + entries[i].full_new;
        latest_chance += (double)entries[i].open_chance + entries[i].full_chance;
        if (entries[i].highest_share > share)
            share = entries[i].highest_share;
    }
    bool enough = latest >= config->window &&
                  (latest_chance >= IDENTITY_WATCH_EVIDENCE || latest_chance >= (double)latest);
    if (enough && latest_new / latest_chance > share)
        share = latest_new / latest_chance;
    if (share > config->sprayed_share)
        tell(findings, &entries[0],
             &(struct identity_finding){
                 .kind = IDENTITY_SPRAYED, .requests = requests, .share = fmin(share, 1)});
}

/* Returns how many entries of the day were copied. */
static uint32_t copy_instance(struct instance *instance, uint32_t day, struct key_watch *ret)
{
    uint32_t count = 0;
    while (atomic_flag_test_and_set_explicit(&instance->taken, memory_order_acquire))
        (void)sched_yield();
    for (uint32_t i = 0; i < instance->used; i++)
        if (instance->keys[i].day == day)
            ret[count++] = instance->keys[i];
    atomic_flag_clear_explicit(&instance->taken, memory_order_release);
    return count;
}

int identity_watch_read(struct identity_watch *watch, uint32_t day, struct identity_finding *ret,
                        uint32_t capacity, uint32_t *ret_count, struct error *err)
{
    const struct identity_watch_config *config = &watch->config;
    struct findings findings = {.list = ret, .capacity = capacity};
    struct key_watch *entries =
        malloc((size_t)config->instances * IDENTITY_WATCH_KEYS * sizeof *entries);
    if (entries == NULL)
        return error_no_memory(err);
    uint32_t used = 0;
    for (uint32_t i = 0; i < config->instances; i++)
        used += copy_instance(watch->instances[i], day, entries + used);
    qsort(entries, used, sizeof *entries, by_key);
    for (uint32_t i = 0, next; i < used; i = next) {
        uint64_t requests = 0;
        for (next = i; next < used && entries[next].key == entries[i].key; next++)
            requests += entries[next].requests;
        judge_sharing(config, entries + i, next - i, requests, &findings);
        judge_spraying(config, entries + i, next - i, requests, &findings);
    }
    free(entries);
    *ret_count = findings.count;
    return 0;
}
