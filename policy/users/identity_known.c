/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/users/identity_known.h"

#include "policy/users/calendar.h"
#include "policy/users/counter.h"
#include "policy/users/guards.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX         "known-"
#define NAME_BYTES     24
#define PATH_BYTES_MAX 4352
#define MONTHS         2u /* this one and the one before */
#define RETIRED_MAX    4u /* months that somebody is still in: they turn once a month */

struct retired {
    struct counter *counter; /* NULL: the place is free */
    uint32_t rested;
};

struct identity_known {
    /* fixed at start */
    const char *folder; /* borrowed: the policy */
    uint64_t key_id;
    /* policy thread */
    uint32_t month; /* of months[0]; 0: none is open */
    struct retired retired[RETIRED_MAX];
    /* shared: swapped by the policy thread, used within a guard */
    _Atomic(struct counter *) months[MONTHS];
    _Atomic float chance;
    struct guards guards;
};

struct identity_known *identity_known_new(const char *folder, uint64_t key_id, struct error *err)
{
    struct identity_known *known = aligned_alloc(_Alignof(struct identity_known), sizeof *known);
    if (known == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    memset(known, 0, sizeof *known);
    known->folder = folder;
    known->key_id = key_id;
    return known;
}

void identity_known_free(struct identity_known *known)
{
    if (known == NULL)
        return;
    for (uint32_t i = 0; i < MONTHS; i++)
        counter_close(atomic_load(&known->months[i]));
    for (uint32_t i = 0; i < RETIRED_MAX; i++)
        counter_close(known->retired[i].counter);
    free(known);
}

/* -- Months that come and go -- */

static void name_of(uint32_t month, char ret[NAME_BYTES])
{
    (void)snprintf(ret, NAME_BYTES, PREFIX "%04u%02u.wcn", month / 12 % 10000, month % 12 + 1);
}

static int open_month(const struct identity_known *known, uint32_t month, struct counter **ret,
                      struct error *err)
{
    char name[NAME_BYTES], path[PATH_BYTES_MAX];
    struct error why;
    name_of(month, name);
    (void)snprintf(path, sizeof path, "%s/%s", known->folder, name);
    /* The month's number stands for what a day's counter has: nothing else has this folder's name
     * and so small an id. */
    const struct counter_name counter = {
        .id = month, .key_id = known->key_id, .day = calendar_first_day(month)};
    int result = counter_open(path, &counter, ret, &why);
    if (result != ERROR_INVALID)
        return result == 0 ? 0 : error_set(err, result, "%s", why.text);
    /* Of another key, or damaged: nothing is lost but what it knew. */
    (void)unlink(path);
    return counter_open(path, &counter, ret, err);
}

static void remove_others(const struct identity_known *known, uint32_t month)
{
    char keep[MONTHS][NAME_BYTES];
    for (uint32_t i = 0; i < MONTHS; i++)
        name_of(month - i, keep[i]);
    DIR *entries = opendir(known->folder);
    if (entries == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
        if (strncmp(entry->d_name, PREFIX, sizeof PREFIX - 1) == 0 &&
            strcmp(entry->d_name, keep[0]) != 0 && strcmp(entry->d_name, keep[1]) != 0)
            (void)unlinkat(dirfd(entries), entry->d_name, 0);
    (void)closedir(entries);
}

/* Closes what nobody is in any more. Returns the places that are free. */
static uint32_t sweep(struct identity_known *known)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < RETIRED_MAX; i++) {
        struct retired *retired = &known->retired[i];
        if (retired->counter != NULL && guards_rested(&known->guards, &retired->rested)) {
            counter_close(retired->counter);
            *retired = (struct retired){.counter = NULL};
        }
        count += retired->counter == NULL;
    }
    return count;
}

static void retire(struct identity_known *known, struct counter *counter)
{
    for (uint32_t i = 0; i < RETIRED_MAX && counter != NULL; i++)
        if (known->retired[i].counter == NULL) {
            known->retired[i] = (struct retired){.counter = counter};
            counter = NULL;
        }
}

/* The month before first: a reader between two swaps knows too much rather than too little. */
static int turn_month(struct identity_known *known, uint32_t month, struct error *err)
{
    struct counter *opened[MONTHS] = {NULL}, *before[MONTHS];
    bool follows = known->month != 0 && month == known->month + 1;
    if (sweep(known) < MONTHS)
        return 0; /* tried again at the next turn */
    int result = open_month(known, month, &opened[0], err);
    for (uint32_t i = 0; i < MONTHS; i++)
        before[i] = atomic_load(&known->months[i]);
    if (result == 0 && follows)
        opened[1] = before[0]; /* a file has one opening at a time */
    else if (result == 0)
        result = open_month(known, month - 1, &opened[1], err);
    if (result != 0) {
        counter_close(opened[0]);
        return result;
    }
    atomic_store(&known->months[1], opened[1]);
    atomic_store(&known->months[0], opened[0]);
    if (!follows)
        retire(known, before[0]);
    retire(known, before[1]);
    known->month = month;
    remove_others(known, month);
    return 0;
}

/* -- The chance -- */

static int reckon(struct identity_known *known, struct error *err)
{
    struct sketch *ids = NULL, *before = NULL;
    int result = counter_sketch(atomic_load(&known->months[0]), &ids, err);
    if (result == 0)
        result = counter_sketch(atomic_load(&known->months[1]), &before, err);
    /* A set knows every id: then the other one's registers decide alone. */
    struct sketch *ids_of = ids;
    if (result == 0 && sketch_is_exact(ids))
        ids_of = before;
    else if (result == 0 && !sketch_is_exact(before))
        result = sketch_join(ids, before, err);
    if (result == 0)
        atomic_store_explicit(&known->chance, (float)sketch_change_chance(ids_of),
                              memory_order_relaxed);
    sketch_free(ids);
    sketch_free(before);
    return result;
}

int identity_known_turn(struct identity_known *known, uint32_t day, struct error *err)
{
    uint32_t month = calendar_month(day);
    (void)sweep(known);
    /* A clock that goes back over midnight is no other month. */
    if (month > known->month || month + 1 < known->month) {
        int result = turn_month(known, month, err);
        if (result != 0)
            return result;
    }
    return known->month == 0 ? 0 : reckon(known, err);
}

int identity_known_join(struct identity_known *known, const struct sketch *ids, struct error *err)
{
    struct counter *counter = atomic_load(&known->months[0]);
    int result = counter == NULL ? 0 : counter_join(counter, ids, err);
    return result < 0 ? result : 0;
}

/* -- Any thread -- */

bool identity_known_add(struct identity_known *known, uint64_t id)
{
    struct journal_record unused;
    uint32_t guard = guards_enter(&known->guards);
    struct counter *month = atomic_load(&known->months[0]);
    const struct counter *before = atomic_load(&known->months[1]);
    bool is_new = month != NULL && before != NULL && counter_add(month, id, &unused, NULL) == 1 &&
                  !counter_has(before, id);
    guards_leave(&known->guards, guard);
    return is_new;
}

float identity_known_chance(const struct identity_known *known)
{
    return atomic_load_explicit(&known->chance, memory_order_relaxed);
}
