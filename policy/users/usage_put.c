/* SPDX-License-Identifier: Apache-2.0 */
/* usage_put.c -- users who made no request: a product's logins, hashed here or elsewhere.
 *
 * They go the way of requests, counter and then journal, so that the same sequence tells when they
 * are safe; but not into the tallies of requests, whose share with a user is the coverage. The
 * scope's lock is held for the whole piece: the day may be an old one, which the policy thread puts
 * away again as soon as it may. */
#include "policy/users/usage_inner.h"

#include <assert.h>

static int put_one(struct counter *counter, struct journal_record *record, struct error *err)
{
    if (record->kind == JOURNAL_HASH) /* where there are registers, the journal needs no hash */
        return counter_add(counter, record->value, record, err);
    return counter_apply(counter, record, err);
}

static int put_all(struct usage *usage, struct counter *counter, uint64_t id,
                   const struct usage_values *values, struct error *err)
{
    int any = 0;
    for (uint32_t i = 0; i < values->count; i++) {
        struct journal_record record = {
            .counter = id, .value = values->values[i], .kind = values->kind};
        int result = put_one(counter, &record, err);
        if (result < 0)
            return result;
        if (result == 1)
            (void)journal_append(usage->journal, &record);
        any |= result;
    }
    return any;
}

static int put_locked(struct usage_scope *scope, const struct usage_values *values,
                      struct error *err)
{
    struct usage *usage = scope->usage;
    const struct usage_name name = {.scope = scope->id, .day = values->day, .class = values->class};
    struct counter *counter;
    if (name.day + usage->keep_days <= usage->today) /* who folds the day holds the lock, too */
        return error_set(err, ERROR_UNSUPPORTED, "the day has been put into its month already");
    struct usage_day *day = usage_need_day(scope, name.day);
    int result = day == NULL ? error_no_memory(err)
                             : usage_need_counter(scope, day, values->class, &counter, err);
    return result == 0 ? put_all(usage, counter, usage_counter_id(&name), values, err) : result;
}

int usage_put(struct usage_scope *scope, const struct usage_values *values, uint64_t *ret_sequence,
              struct error *err)
{
    assert(values->count <= USAGE_PUT_MAX);
    (void)pthread_mutex_lock(&scope->lock);
    int result = put_locked(scope, values, err);
    if (result == 1)
        usage_note_amendment(scope, values->day);
    (void)pthread_mutex_unlock(&scope->lock);
    if (result < 0)
        return result;
    /* Who was there already may have come with a record that is on its way only. */
    *ret_sequence = journal_appended(scope->usage->journal);
    return 0;
}
