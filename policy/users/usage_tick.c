/* SPDX-License-Identifier: Apache-2.0 */
/* usage_tick.c -- what the policy thread does beside committing: days come and go.
 *
 *     23:50   tomorrow's counters are made, of the classes that today has
 *     00:00   requests find them in their slot; nothing is switched
 *     00:05   yesterday leaves its slot; once nobody is in it any more it is synced, sealed, closed
 *
 * Each turn does a bounded piece: syncing fifty counters takes as long as fifty waits for a disk,
 * and an answer may be waiting for the next commit meanwhile. */
#include "policy/users/calendar.h"
#include "policy/users/usage_inner.h"
#include "policy/users/usage_month.h"

#include <assert.h>
#include <stdlib.h>

#define SECOND_US     INT64_C(1000000)
#define PREPARE_US    (600 * SECOND_US) /* before midnight */
#define LATE_US       (300 * SECOND_US) /* after midnight: requests of yesterday still count */
#define CHECKPOINT_US (60 * SECOND_US)
#define SAVE_US       (30 * SECOND_US)
#define SYNCS_A_TICK  4u
#define CLOSES_A_TICK 2u

void usage_retire(struct usage_scope *scope, uint32_t slot)
{
    struct usage_day *day = atomic_load(&scope->live[slot]);
    assert(day != NULL);
    atomic_store(&scope->live[slot], NULL);
    day->guards_rested = 0;
    day->next = scope->retired;
    scope->retired = day;
}

/* -- Days to come, days gone -- */

/* Whether users of the class are counted in the day, under any year. */
static bool has_class(const struct usage_day *day, enum usage_class class)
{
    bool has = false;
    for (uint32_t i = 0; i < day->year_count; i++)
        has = has || atomic_load(&day->counters[usage_keyed_class(class, day->years[i])]) != NULL;
    return has;
}

static void prepare_class(struct usage_scope *scope, struct usage_day *day, enum usage_class class)
{
    struct counter *counter;
    struct error err;
    for (uint32_t i = 0; i < day->year_count; i++)
        if (usage_need_counter(scope, day, usage_keyed_class(class, day->years[i]), &counter,
                               &err) != 0)
            usage_note(&scope->usage->notes, "the coming day's counter: %s", err.text);
}

static void prepare(struct usage_scope *scope, uint32_t today)
{
    (void)pthread_mutex_lock(&scope->lock);
    struct usage_day *now = usage_live_day(scope, today);
    struct usage_day *next = now == NULL ? NULL : usage_need_day(scope, today + 1);
    for (enum usage_class class = 0; next != NULL && class < USAGE_CLASS_COUNT; class ++)
        if (has_class(now, class))
            prepare_class(scope, next, class);
    (void)pthread_mutex_unlock(&scope->lock);
}

static void retire_others(struct usage_scope *scope, uint32_t first, uint32_t last)
{
    (void)pthread_mutex_lock(&scope->lock);
    for (uint32_t slot = 0; slot < USAGE_LIVE_DAYS; slot++) {
        struct usage_day *day = atomic_load(&scope->live[slot]);
        if (day != NULL && (day->day < first || day->day > last))
            usage_retire(scope, slot);
    }
    (void)pthread_mutex_unlock(&scope->lock);
}

/* Whether nobody can be in the day: every guard was at rest once after it had left its slot. */
static bool at_rest(struct usage *usage, struct usage_day *day)
{
    for (uint32_t i = 0; i < USAGE_GUARDS; i++)
        if (atomic_load(&usage->guards[i].inside) == 0)
            day->guards_rested |= 1u << i;
    return day->guards_rested == USAGE_GUARDS_ALL;
}

static void close_day(struct usage_scope *scope, struct usage_day *day)
{
    usage_totals_fold_day(scope, day);
    for (uint32_t c = 0; c < USAGE_KEYED_COUNT; c++)
        counter_close(atomic_load(&day->counters[c]));
    atomic_fetch_add(&scope->epoch, 1);
    free(day);
}

/* Syncs what has retired first, so that closing it under the lock is short. Its counters are ours:
 * only this thread closes any. */
static bool sync_day(struct usage *usage, struct usage_day *day)
{
    struct error err;
    for (uint32_t c = 0; c < USAGE_KEYED_COUNT; c++) {
        struct counter *counter = atomic_load(&day->counters[c]);
        if (counter == NULL || counter_sync(counter, &err) == 0)
            continue;
        if (!usage->checkpoint_failed)
            usage_note(&usage->notes, "%s; tried again", err.text);
        usage->checkpoint_failed = true;
        return false;
    }
    return true;
}

/* Closes one retired day of the scope, if one can be. */
static bool close_retired(struct usage_scope *scope)
{
    struct usage *usage = scope->usage;
    (void)pthread_mutex_lock(&scope->lock);
    struct usage_day *oldest = NULL;
    for (struct usage_day *day = scope->retired; day != NULL; day = day->next)
        if (at_rest(usage, day))
            oldest = day;
    (void)pthread_mutex_unlock(&scope->lock);
    if (oldest == NULL || !sync_day(usage, oldest))
        return false;
    (void)pthread_mutex_lock(&scope->lock);
    bool found = false;
    for (struct usage_day **at = &scope->retired; *at != NULL && !found;) {
        found = *at == oldest && oldest->guards_rested == USAGE_GUARDS_ALL;
        if (found)
            *at = oldest->next; /* else it was taken back, or is another's */
        else
            at = &(*at)->next;
    }
    if (found)
        close_day(scope, oldest);
    (void)pthread_mutex_unlock(&scope->lock);
    return found;
}

static void turn_days(struct usage *usage, int64_t now_us)
{
    uint32_t today = usage->today, closed = 0;
    int64_t into_us = now_us - (int64_t)today * CALENDAR_DAY_US;
    bool prepares = into_us >= CALENDAR_DAY_US - PREPARE_US && today < CALENDAR_DAY_MAX;
    uint32_t first = today > 0 && into_us < LATE_US ? today - 1 : today;
    for (struct usage_scope *scope = usage->scopes; scope != NULL; scope = scope->next) {
        if (prepares)
            prepare(scope, today);
        retire_others(scope, first, prepares ? today + 1 : today);
        while (closed < CLOSES_A_TICK && close_retired(scope))
            closed++;
    }
}

/* -- What the journal may forget -- */

/* The counters of a scope that are open now. Only this thread closes them. */
static bool sync_scope(struct usage_scope *scope)
{
    struct usage_day *days[2 * USAGE_LIVE_DAYS];
    uint32_t count = 0;
    bool more = false;
    (void)pthread_mutex_lock(&scope->lock);
    for (uint32_t slot = 0; slot < USAGE_LIVE_DAYS; slot++) {
        days[count] = atomic_load(&scope->live[slot]);
        count += days[count] != NULL;
    }
    for (struct usage_day *day = scope->retired; day != NULL; day = day->next) {
        more = more || count == 2 * USAGE_LIVE_DAYS;
        if (!more)
            days[count++] = day;
    }
    (void)pthread_mutex_unlock(&scope->lock);
    bool synced = !more; /* more than that are closed first */
    for (uint32_t i = 0; i < count && synced; i++)
        synced = sync_day(scope->usage, days[i]);
    return synced;
}

/* A record with a sequence up to the one read first belongs to a counter that was open then, and
 * still is, or was synced when it was closed. */
static void checkpoint(struct usage *usage, int64_t now_us)
{
    struct error err;
    if (usage->checkpoint_upto == 0) {
        uint64_t appended = journal_appended(usage->journal);
        bool due = now_us - usage->checkpoint_us >= CHECKPOINT_US || now_us < usage->checkpoint_us;
        if (appended == 0 || (!due && !journal_stuck(usage->journal)))
            return;
        usage->checkpoint_upto = appended;
        usage->checkpoint_us = now_us;
        usage->checkpoint_next = usage->scopes;
    }
    for (uint32_t i = 0; i < SYNCS_A_TICK && usage->checkpoint_next != NULL; i++) {
        if (!sync_scope(usage->checkpoint_next)) {
            usage->checkpoint_upto = 0;
            return;
        }
        usage->checkpoint_next = usage->checkpoint_next->next;
    }
    if (usage->checkpoint_next != NULL)
        return;
    if (journal_forget(usage->journal, usage->checkpoint_upto, &err) != 0)
        usage_note(&usage->notes, "%s", err.text);
    usage->checkpoint_upto = 0;
    usage->checkpoint_failed = false;
}

int usage_commit(struct usage *usage, struct error *err)
{
    struct error local;
    if (err == NULL)
        err = &local;
    int result = journal_commit(usage->journal, err);
    if (result != 0 && !usage->commit_failed)
        usage_note(&usage->notes, "%s; users are counted in memory, and it is tried again",
                   err->text);
    usage->commit_failed = result != 0;
    return result;
}

/* -- Each turn -- */

static void save_totals(struct usage *usage)
{
    struct error err;
    for (struct usage_scope *scope = usage->scopes; scope != NULL; scope = scope->next) {
        (void)pthread_mutex_lock(&scope->lock);
        usage_totals_fold(scope);
        (void)pthread_mutex_unlock(&scope->lock);
    }
    if (usage_totals_save(usage, &err) != 0)
        usage_note(&usage->notes, "%s", err.text);
}

void usage_tick(struct usage *usage, int64_t now_us)
{
    atomic_store(&usage->now_us, now_us);
    atomic_store(&usage->today, calendar_day(now_us));
    turn_days(usage, now_us);
    checkpoint(usage, now_us);
    if (now_us - usage->saved_us >= SAVE_US || now_us < usage->saved_us) {
        save_totals(usage);
        usage->saved_us = now_us;
    }
    usage_month_fold(usage);
    usage_window_refresh(usage, now_us);
}

void usage_close_all(struct usage *usage)
{
    uint64_t appended = journal_appended(usage->journal);
    bool synced = true;
    (void)usage_commit(usage, NULL);
    for (struct usage_scope *scope = usage->scopes; scope != NULL; scope = scope->next) {
        retire_others(scope, 1, 0);
        while (scope->retired != NULL) {
            struct usage_day *day = scope->retired;
            scope->retired = day->next;
            synced = sync_day(usage, day) && synced;
            close_day(scope, day);
        }
    }
    (void)usage_totals_save(usage, NULL);
    if (synced)
        (void)journal_forget(usage->journal, appended, NULL);
}
