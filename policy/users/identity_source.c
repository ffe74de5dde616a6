/* SPDX-License-Identifier: Apache-2.0 */
/* identity_source.c -- a stamp is taken before the file is read (file_stamp.h).
 *
 * A program that writes the file in place may be seen half-way: then the half is refused, the old
 * rules stay, and the whole is another file again. */
#include "policy/users/identity_source.h"

#include "base/file_stamp.h"
#include "policy/users/guards.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define FILES       2u
#define RETIRED_MAX 8u /* that somebody still reads: a look waits for the next rather than grow */

struct retired {
    struct identity_rules *rules; /* NULL: the place is free */
    uint32_t rested;
};

struct identity_source {
    /* fixed at start */
    struct policy_identity settings; /* into `strings` */
    char *strings[5];
    const char *files[FILES]; /* NULL for what is not configured */
    /* under the lock */
    pthread_mutex_t lock;
    struct file_stamp stamps[FILES];
    struct retired retired[RETIRED_MAX];
    /* shared */
    _Atomic(struct identity_rules *) rules; /* NULL: no file is configured */
    struct guards guards;
};

static const char *set_or_null(const char *setting)
{
    return setting == NULL || setting[0] == '\0' ? NULL : setting;
}

static int copy_settings(struct identity_source *source, const struct policy_identity *from,
                         struct error *err)
{
    struct policy_identity *to = &source->settings;
    const struct {
        const char *from, **to;
    } strings[] = {{from->jwt_keys_file, &to->jwt_keys_file},
                   {from->jwt_issuer, &to->jwt_issuer},
                   {from->jwt_audience, &to->jwt_audience},
                   {from->jwt_claim, &to->jwt_claim},
                   {from->gateway_secret_file, &to->gateway_secret_file}};
    static_assert(sizeof strings / sizeof strings[0] == sizeof source->strings / sizeof(char *),
                  "a place for each");
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        if (set_or_null(strings[i].from) == NULL)
            continue;
        source->strings[i] = strdup(strings[i].from);
        if (source->strings[i] == NULL)
            return error_no_memory(err);
        *strings[i].to = source->strings[i];
    }
    source->files[0] = to->jwt_keys_file;
    source->files[1] = to->gateway_secret_file;
    return 0;
}

static bool take_stamps(struct identity_source *source)
{
    bool changed = false;
    for (uint32_t i = 0; i < FILES; i++) {
        struct file_stamp now = file_stamp(source->files[i]);
        changed = changed || !file_stamp_same(&now, &source->stamps[i]);
        source->stamps[i] = now;
    }
    return changed;
}

static int read_rules(const struct identity_source *source, struct identity_rules **ret,
                      struct error *err)
{
    struct identity_rules *rules = calloc(1, sizeof *rules);
    if (rules == NULL)
        return error_no_memory(err);
    int result = identity_rules_load(&source->settings, rules, err);
    if (result == 0)
        *ret = rules;
    else
        free(rules);
    return result;
}

static void release(struct identity_rules *rules)
{
    if (rules == NULL)
        return;
    identity_rules_destroy(rules);
    free(rules);
}

/* Frees what nobody reads any more. Returns a free place, NULL for none. */
static struct retired *sweep(struct identity_source *source)
{
    struct retired *place = NULL;
    for (uint32_t i = 0; i < RETIRED_MAX; i++) {
        struct retired *retired = &source->retired[i];
        if (retired->rules != NULL && guards_rested(&source->guards, &retired->rested)) {
            release(retired->rules);
            *retired = (struct retired){.rules = NULL};
        }
        if (retired->rules == NULL)
            place = retired;
    }
    return place;
}

struct identity_source *identity_source_new(const struct policy_identity *settings,
                                            struct error *err)
{
    struct identity_rules *rules = NULL;
    struct identity_source *source =
        aligned_alloc(_Alignof(struct identity_source), sizeof *source);
    if (source == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    memset(source, 0, sizeof *source);
    (void)pthread_mutex_init(&source->lock, NULL); /* cannot fail with these attributes */
    int result = copy_settings(source, settings, err);
    (void)take_stamps(source);
    if (result == 0)
        result = read_rules(source, &rules, err);
    if (result != 0) {
        identity_source_free(source);
        return NULL;
    }
    if (source->files[0] == NULL && source->files[1] == NULL) {
        release(rules);
        rules = NULL;
    }
    atomic_store(&source->rules, rules);
    return source;
}

void identity_source_free(struct identity_source *source)
{
    if (source == NULL)
        return;
    release(atomic_load(&source->rules));
    for (uint32_t i = 0; i < RETIRED_MAX; i++)
        release(source->retired[i].rules);
    for (size_t i = 0; i < sizeof source->strings / sizeof source->strings[0]; i++)
        free(source->strings[i]);
    (void)pthread_mutex_destroy(&source->lock);
    free(source);
}

const struct identity_rules *identity_source_enter(struct identity_source *source,
                                                   uint32_t *ret_guard)
{
    *ret_guard = GUARDS_COUNT;
    /* Whether there are any is fixed at start. */
    if (atomic_load_explicit(&source->rules, memory_order_relaxed) == NULL)
        return NULL;
    *ret_guard = guards_enter(&source->guards);
    return atomic_load(&source->rules);
}

void identity_source_leave(struct identity_source *source, uint32_t guard)
{
    if (guard < GUARDS_COUNT)
        guards_leave(&source->guards, guard);
}

static int look_locked(struct identity_source *source, bool anyway, bool *ret_read,
                       struct error *err)
{
    struct identity_rules *rules = NULL;
    struct retired *place = sweep(source);
    *ret_read = false;
    if (place == NULL || atomic_load_explicit(&source->rules, memory_order_relaxed) == NULL)
        return 0;
    if (!take_stamps(source) && !anyway)
        return 0;
    int result = read_rules(source, &rules, err);
    if (result != 0)
        return result;
    *place = (struct retired){.rules = atomic_exchange(&source->rules, rules)};
    *ret_read = true;
    return 0;
}

int identity_source_look(struct identity_source *source, bool anyway, bool *ret_read,
                         struct error *err)
{
    (void)pthread_mutex_lock(&source->lock);
    int result = look_locked(source, anyway, ret_read, err);
    (void)pthread_mutex_unlock(&source->lock);
    return result;
}
