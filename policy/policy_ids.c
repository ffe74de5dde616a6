/* SPDX-License-Identifier: Apache-2.0 */
/* policy_ids.c -- from a request to the key it came by, and from a key's requests to a finding.
 *
 *     workers         identity -> flag of the key? -> counted -> new at all? -> identity_watch
 *     policy thread   every few seconds: read the watch, raise flags, tell each finding once a day
 *
 * The key is the API key. Where there is none it is the client's address: the nearest thing to
 * "who sends this", so that a flag falls on one sender and not on all. A whole office behind one
 * address is one sender then, and one person at home as well, for whom one id is no finding. */
#include "policy/policy_ids.h"

#include "policy/policy_identity.h"
#include "policy/users/calendar.h"
#include "policy/users/identity_known.h"
#include "policy/users/identity_source.h"
#include "policy/users/identity_watch.h"
#include "policy/users/suspects.h"
#include "policy/users/usage_window.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURN_US   INT64_C(3000000)
#define FLAG_DAYS 1u /* after the day in which it was raised */

struct policy_ids {
    /* fixed at start */
    const uint8_t *key;  /* borrowed: the policy */
    struct usage *usage; /* borrowed: the policy */
    struct identity_source *source;
    struct identity_watch *watch;
    struct identity_known *known;
    uint32_t instances;
    /* policy thread */
    int64_t turned_us;
    uint32_t joined_scope;   /* the next whose users become known */
    bool known_failed, full; /* was noted */
    struct identity_finding read[POLICY_FINDINGS_MAX];
    /* under the lock */
    pthread_mutex_t lock;
    struct policy_finding findings[POLICY_FINDINGS_MAX];
    uint32_t finding_count;
    /* shared */
    struct suspects suspects;
};

static int open_parts(struct policy_ids *ids, const struct policy_ids_config *config,
                      struct error *err)
{
    const struct identity_watch_config watch = IDENTITY_WATCH_DEFAULTS(ids->instances);
    ids->source = identity_source_new(config->rules, err);
    if (ids->source == NULL)
        return -1;
    ids->watch = identity_watch_new(&watch, err);
    if (ids->watch == NULL)
        return -1;
    ids->known = identity_known_new(config->folder, year_keys_id(usage_year_keys(ids->usage)), err);
    return ids->known == NULL ? -1 : 0;
}

struct policy_ids *policy_ids_new(const struct policy_ids_config *config, struct error *err)
{
    struct policy_ids *ids = aligned_alloc(_Alignof(struct policy_ids), sizeof *ids);
    if (ids == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    memset(ids, 0, sizeof *ids);
    (void)pthread_mutex_init(&ids->lock, NULL); /* cannot fail with these attributes */
    ids->key = config->key;
    ids->usage = config->usage;
    ids->instances = config->worker_count == 0 ? 1 : config->worker_count;
    if (ids->instances > IDENTITY_WATCH_INSTANCES_MAX)
        ids->instances = IDENTITY_WATCH_INSTANCES_MAX;
    if (open_parts(ids, config, err) == 0)
        return ids;
    policy_ids_free(ids);
    return NULL;
}

void policy_ids_free(struct policy_ids *ids)
{
    if (ids == NULL)
        return;
    identity_known_free(ids->known);
    identity_watch_free(ids->watch);
    identity_source_free(ids->source);
    (void)pthread_mutex_destroy(&ids->lock);
    free(ids);
}

/* -- Workers -- */

static void sight_of(const struct identity *identity, uint32_t year, struct usage_sight *ret)
{
    *ret = (struct usage_sight){.class = identity->class};
    ret->hashes[year % YEARS_MAX] = identity->hash;
    ret->hashes[(year + 1) % YEARS_MAX] = identity->other_hash;
}

/* The same person by the same hash, but never in the lower view: as somebody known by a key is. */
static void doubt(struct usage_sight *sight)
{
    sight->class = IDENTITY_WEAK;
    memcpy(sight->request_hashes, sight->hashes, sizeof sight->request_hashes);
}

void policy_ids_see(struct policy_ids *ids, const struct policy_claims *claims,
                    const struct policy_moment *moment, struct policy_id *ret,
                    struct usage_sight *ret_sight, bool *ret_names_request)
{
    uint32_t guard;
    const struct year_keys *years = usage_year_keys(ids->usage);
    struct identity_keys keys = {.key = year_keys_peek(years, moment->years[0])->users};
    if (moment->year_count == 2)
        keys.other = year_keys_peek(years, moment->years[1])->users;
    const struct identity_rules *rules = identity_source_enter(ids->source, &guard);
    ret->identity = identity_of_keys(rules, claims, &keys, moment->now_us / 1000000);
    identity_source_leave(ids->source, guard);
    ret->key = identity_key_hash(ids->key, claims);
    ret->day = moment->days[0];
    sight_of(&ret->identity, moment->years[0], ret_sight);
    *ret_names_request = ret->identity.class == IDENTITY_ASSERTED &&
                         suspects_have(&ids->suspects, ret->key, ret->day);
    if (*ret_names_request)
        doubt(ret_sight);
}

/* Whether the user is new: under the day's own year. The coming year's hash is kept as well where
 * there is one, for January asks under that. */
static bool is_first(struct policy_ids *ids, const struct identity *identity)
{
    if (identity->other_hash != 0)
        (void)identity_known_add(ids->known, identity->other_hash);
    return identity_known_add(ids->known, identity->hash);
}

void policy_ids_seen(struct policy_ids *ids, const struct policy_claims *claims,
                     const struct policy_id *id, bool changed)
{
    bool named = id->identity.class == IDENTITY_VERIFIED || id->identity.class == IDENTITY_ASSERTED;
    const struct identity_sighting sighting = {
        .key = id->key,
        .id = named ? id->identity.hash : 0,
        /* What changed no counter of the day came before in it. */
        .first_seen = named && changed && is_first(ids, &id->identity),
        .chance = identity_known_chance(ids->known),
        .is_person = claims->api_key == NULL || claims->api_key[0] == '\0',
        .day = id->day,
        .tenant = claims->tenant};
    if (identity_watch_add(ids->watch, claims->worker % ids->instances, &sighting))
        (void)suspects_raise(&ids->suspects, id->key, id->day, id->day + FLAG_DAYS);
}

/* -- Policy thread -- */

static const char *kind_name(enum identity_finding_kind kind)
{
    static const char *const names[] = {"shared", "sprayed"};
    static_assert(IDENTITY_SHARED == 0 && IDENTITY_SPRAYED == 1, "as they are named");
    return names[kind];
}

/* Under the lock. Of several shared ids of a key one finding is made. */
static struct policy_finding *finding_of(struct policy_ids *ids, const char *key, const char *kind)
{
    for (uint32_t i = 0; i < ids->finding_count; i++)
        if (strcmp(ids->findings[i].key, key) == 0 && ids->findings[i].kind == kind)
            return &ids->findings[i];
    if (ids->finding_count == POLICY_FINDINGS_MAX)
        return NULL;
    struct policy_finding *made = &ids->findings[ids->finding_count++];
    *made = (struct policy_finding){.kind = kind};
    memcpy(made->key, key, sizeof made->key);
    return made;
}

static void forget_old(struct policy_ids *ids, uint32_t today)
{
    uint32_t kept = 0;
    (void)pthread_mutex_lock(&ids->lock);
    for (uint32_t i = 0; i < ids->finding_count; i++)
        if (ids->findings[i].day + FLAG_DAYS >= today)
            ids->findings[kept++] = ids->findings[i];
    ids->finding_count = kept;
    (void)pthread_mutex_unlock(&ids->lock);
}

/* True when the day has not had it yet; *ret: what to tell. */
static bool take_up(struct policy_ids *ids, const struct identity_finding *found, uint32_t day,
                    struct policy_finding *ret)
{
    char key[POLICY_KEY_NAME_BYTES];
    (void)snprintf(key, sizeof key, "%08x", (unsigned)(found->key >> 32));
    (void)pthread_mutex_lock(&ids->lock);
    struct policy_finding *finding = finding_of(ids, key, kind_name(found->kind));
    bool is_new = finding != NULL && finding->day != day;
    if (finding != NULL) {
        if (is_new || found->share > finding->share)
            finding->share = found->share;
        finding->day = day;
        finding->requests = found->requests;
        static_assert(sizeof finding->tenant == sizeof found->tenant, "as cut");
        memcpy(finding->tenant, found->tenant, sizeof finding->tenant);
        *ret = *finding;
    }
    (void)pthread_mutex_unlock(&ids->lock);
    if (finding == NULL && !ids->full)
        usage_add_note(ids->usage, "identity_suspect more keys than can be told one by one");
    ids->full = ids->full || finding == NULL;
    return is_new;
}

static void read_watch(struct policy_ids *ids, uint32_t day, int64_t now_us,
                       const struct policy_ids_listener *listener)
{
    uint32_t count = 0;
    if (identity_watch_read(ids->watch, day, ids->read, POLICY_FINDINGS_MAX, &count, NULL) != 0)
        return; /* no memory: at the next turn */
    for (uint32_t i = 0; i < count; i++) {
        struct policy_finding finding;
        if (ids->read[i].kind == IDENTITY_SPRAYED)
            (void)suspects_raise(&ids->suspects, ids->read[i].key, day, day + FLAG_DAYS);
        if (take_up(ids, &ids->read[i], day, &finding))
            listener->on_finding(listener->argument, &finding, now_us);
    }
}

/* Users that other replicas counted are known here too: a scope a turn, its yesterday and today. */
static int know_others(struct policy_ids *ids, uint32_t day, struct error *err)
{
    int result = 0;
    for (uint32_t i = 0; i < 2 && day >= i && result == 0; i++) {
        struct sketch *users = NULL;
        result = usage_named_of_day(ids->usage, ids->joined_scope, day - i, &users, err);
        if (result == 0 && users != NULL)
            result = identity_known_join(ids->known, users, err);
        sketch_free(users);
    }
    ids->joined_scope =
        ids->joined_scope + 1 < usage_scope_count(ids->usage) ? ids->joined_scope + 1 : 0;
    return result;
}

void policy_ids_turn(struct policy_ids *ids, int64_t now_us,
                     const struct policy_ids_listener *listener)
{
    struct error err = {0};
    uint32_t day = calendar_day(now_us);
    if (ids->turned_us != 0 && now_us - ids->turned_us < TURN_US && now_us >= ids->turned_us)
        return;
    ids->turned_us = now_us;
    policy_ids_read_rules(ids, false);
    int result = identity_known_turn(ids->known, day, &err);
    if (result == 0)
        result = know_others(ids, day, &err);
    if (result != 0 && !ids->known_failed) {
        char line[ERROR_TEXT_MAX + 64];
        (void)snprintf(line, sizeof line, "ids that were seen before: %s; tried again", err.text);
        usage_add_note(ids->usage, line);
    }
    ids->known_failed = result != 0;
    forget_old(ids, day);
    read_watch(ids, day, now_us, listener);
}

void policy_ids_read_rules(struct policy_ids *ids, bool anyway)
{
    struct error err = {0};
    char line[ERROR_TEXT_MAX + 64];
    bool is_read = false;
    if (identity_source_look(ids->source, anyway, &is_read, &err) != 0) {
        (void)snprintf(line, sizeof line, "identity_rules_refused %s; the old ones stay", err.text);
        usage_add_note(ids->usage, line);
    } else if (is_read) {
        usage_add_note(ids->usage, "identity_rules_read users are proven by the files as they are");
    }
}

uint32_t policy_ids_findings(struct policy_ids *ids, struct policy_finding *ret, uint32_t capacity)
{
    (void)pthread_mutex_lock(&ids->lock);
    uint32_t count = ids->finding_count < capacity ? ids->finding_count : capacity;
    memcpy(ret, ids->findings, count * sizeof *ret);
    (void)pthread_mutex_unlock(&ids->lock);
    return count;
}

void policy_ids_suspects(struct policy_ids *ids, uint32_t *ret_shared, uint32_t *ret_sprayed)
{
    uint32_t shared = 0;
    (void)pthread_mutex_lock(&ids->lock);
    for (uint32_t i = 0; i < ids->finding_count; i++)
        shared += ids->findings[i].kind == kind_name(IDENTITY_SHARED);
    *ret_shared = shared;
    *ret_sprayed = ids->finding_count - shared;
    (void)pthread_mutex_unlock(&ids->lock);
}
