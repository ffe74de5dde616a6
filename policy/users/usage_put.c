/* SPDX-License-Identifier: Apache-2.0 */
/* usage_put.c -- users who made no request: a product's logins, hashed here or elsewhere.
 *
 * They go the way of requests, counter and then journal, so that the same sequence tells when they
 * are safe; but not into the tallies of requests, whose share with a user is the coverage. The
 * scope's lock is held for the whole piece: the day may be an old one, whose file is opened for
 * it. */
#include "policy/users/usage_inner.h"

#include <assert.h>

static int put_one(struct counter *counter, struct journal_record *record, struct error *err)
{
    if (record->kind == JOURNAL_HASH) /* where there are registers, the journal needs no hash */
        return counter_add(counter, record->value, record, err);
    return counter_apply(counter, record, err);
}

struct putting {
    struct journal *journal;
    uint64_t id; /* the journal's name of the counter */
    const struct usage_values *values;
};

static int put_all(void *argument, struct counter *counter, struct error *err)
{
    const struct putting *putting = argument;
    int any = 0;
    for (uint32_t i = 0; i < putting->values->count; i++) {
        struct journal_record record = {.counter = putting->id,
                                        .value = putting->values->values[i],
                                        .kind = putting->values->kind};
        int result = put_one(counter, &record, err);
        if (result < 0)
            return result;
        if (result == 1)
            (void)journal_append(putting->journal, &record);
        any |= result;
    }
    return any;
}

int usage_put(struct usage_scope *scope, const struct usage_values *values, uint64_t *ret_sequence,
              struct error *err)
{
    assert(values->count <= USAGE_PUT_MAX);
    const struct usage_name name = {.scope = scope->id, .day = values->day, .class = values->class};
    struct putting putting = {
        .journal = scope->usage->journal, .id = usage_counter_id(&name), .values = values};
    const struct usage_change change = {.make = put_all, .argument = &putting};
    int result = usage_change_counter(scope, &name, &change, err);
    if (result != 0)
        return result;
    /* Who was there already may have come with a record that is on its way only. */
    *ret_sequence = journal_appended(scope->usage->journal);
    return 0;
}
