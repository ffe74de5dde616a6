/* SPDX-License-Identifier: Apache-2.0 */
/* usage.c -- counting, and coming back after an end of any kind.
 *
 *     usage_count   guard, slot of the day, "has it?", and almost always that was all
 *                        |            |            |
 *                        |        no such day   it changed: journal
 *                        |        (once a day, under the scope's lock; the policy thread was there
 *                        |         before, but for the first day of all)
 *                   so that the policy thread may unmap a day when nobody is in it
 *
 * Coming back: the counters' files hold all that a killed process counted. A power cut may have
 * kept old pages of them; what an answer left for is in the journal, and is applied again. Then
 * everything is synced and the journal is forgotten. A file that is damaged is moved aside, noted,
 * and made again from what the journal has. */
#include "policy/users/usage.h"

#include "policy/users/calendar.h"
#include "policy/users/usage_inner.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define JOURNAL_FILE_BYTES (16u << 20)
#define RECOVERY_OPEN_MAX  256u /* counters that are open at a time while the journal is replayed */

/* -- Live days -- */

uint32_t usage_enter(struct usage *usage)
{
    uint64_t thread = (uint64_t)pthread_self() * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t guard = (uint32_t)(thread >> 60);
    static_assert(USAGE_GUARDS == 16, "four bits");
    /* Sequentially consistent, like the emptying of a slot: either we are seen inside, or we see
     * that the slot is empty. */
    atomic_fetch_add(&usage->guards[guard].inside, 1);
    return guard;
}

void usage_leave(struct usage *usage, uint32_t guard)
{
    atomic_fetch_sub_explicit(&usage->guards[guard].inside, 1, memory_order_release);
}

struct usage_day *usage_live_day(struct usage_scope *scope, uint32_t day)
{
    struct usage_day *live = atomic_load(&scope->live[day % USAGE_LIVE_DAYS]);
    return live != NULL && live->day == day ? live : NULL;
}

struct usage_day *usage_open_day(struct usage_scope *scope, uint32_t number)
{
    struct usage_day *day = usage_live_day(scope, number);
    for (struct usage_day *at = scope->retired; day == NULL && at != NULL; at = at->next)
        if (at->day == number)
            day = at;
    return day;
}

static struct usage_day *take_retired(struct usage_scope *scope, uint32_t day)
{
    for (struct usage_day **at = &scope->retired; *at != NULL; at = &(*at)->next) {
        struct usage_day *found = *at;
        if (found->day != day)
            continue;
        *at = found->next;
        found->next = NULL;
        found->guards_rested = 0;
        atomic_fetch_add(&scope->epoch, 1);
        return found;
    }
    return NULL;
}

struct usage_day *usage_need_day(struct usage_scope *scope, uint32_t day)
{
    struct usage_day *found = usage_live_day(scope, day);
    if (found != NULL)
        return found;
    uint32_t slot = day % USAGE_LIVE_DAYS;
    if (atomic_load(&scope->live[slot]) != NULL)
        usage_retire(scope, slot);
    found = take_retired(scope, day);
    if (found == NULL) {
        found = aligned_alloc(_Alignof(struct usage_day), sizeof *found);
        if (found == NULL)
            return NULL;
        memset(found, 0, sizeof *found);
        found->day = day;
        found->year_count = years_of_day(day, found->years);
        found->serial = atomic_fetch_add(&scope->usage->days_opened, 1) + 1;
    }
    atomic_store(&scope->live[slot], found);
    return found;
}

int usage_need_counter(struct usage_scope *scope, struct usage_day *day, uint8_t class,
                       struct counter **ret, struct error *err)
{
    const struct usage_name name = {.scope = scope->id, .day = day->day, .class = class};
    *ret = atomic_load_explicit(&day->counters[class], memory_order_relaxed);
    if (*ret != NULL)
        return 0;
    int result = usage_days_open(&scope->usage->folder, &name, true, ret, err);
    if (result != 0)
        return result;
    if (day->day < scope->folded_before)
        scope->reopened++;
    atomic_fetch_add(&scope->epoch, 1);
    atomic_store_explicit(&day->counters[class], *ret, memory_order_release);
    return 0;
}

/* -- Counting -- */

static struct usage_day *find_day(struct usage_scope *scope, uint32_t day)
{
    struct usage_day *found = usage_live_day(scope, day);
    if (found != NULL)
        return found;
    (void)pthread_mutex_lock(&scope->lock);
    found = usage_need_day(scope, day);
    (void)pthread_mutex_unlock(&scope->lock);
    return found;
}

static struct counter *find_counter(struct usage_scope *scope, struct usage_day *day, uint8_t class,
                                    struct error *err)
{
    struct counter *found = atomic_load_explicit(&day->counters[class], memory_order_acquire);
    if (found != NULL)
        return found;
    (void)pthread_mutex_lock(&scope->lock);
    int result = usage_need_counter(scope, day, class, &found, err);
    (void)pthread_mutex_unlock(&scope->lock);
    return result == 0 ? found : NULL;
}

static uint64_t count_in(struct usage_scope *scope, struct usage_day *day, uint8_t class,
                         uint64_t hash)
{
    struct usage *usage = scope->usage;
    struct journal_record record;
    struct counter *counter = find_counter(scope, day, class, NULL);
    if (counter != NULL && counter_has(counter, hash))
        return 0;
    int result = counter == NULL ? ERROR_IO : counter_add(counter, hash, &record, NULL);
    if (result == 1)
        return journal_append(usage->journal, &record);
    if (result < 0)
        atomic_fetch_add_explicit(&usage->left_out, 1, memory_order_relaxed);
    return 0;
}

static const enum usage_class class_of_identity[IDENTITY_CLASS_COUNT] = {
    USAGE_VERIFIED, USAGE_ASSERTED, USAGE_WEAK, USAGE_REQUEST};

static uint64_t count_under(struct usage_scope *scope, struct usage_day *day, uint32_t year,
                            const struct usage_sight *sight)
{
    uint64_t sequence = 0, of_request = 0, hash = sight->hashes[year % YEARS_MAX];
    if (sight->class != IDENTITY_NONE) {
        assert(hash != 0); /* a year that was forgotten: all its users would be one */
        sequence =
            count_in(scope, day, usage_keyed_class(class_of_identity[sight->class], year), hash);
    }
    if (sight->class == IDENTITY_WEAK || sight->class == IDENTITY_NONE)
        of_request = count_in(scope, day, usage_keyed_class(USAGE_REQUEST, year),
                              sight->request_hashes[year % YEARS_MAX]);
    return sequence > of_request ? sequence : of_request;
}

static uint64_t count(struct usage_scope *scope, uint32_t day, const struct usage_sight *sight,
                      uint32_t requests)
{
    struct usage *usage = scope->usage;
    uint64_t sequence = 0;
    assert((uint32_t)sight->class < IDENTITY_CLASS_COUNT);
    if (day > CALENDAR_DAY_MAX)
        day = CALENDAR_DAY_MAX;
    uint32_t guard = usage_enter(usage);
    struct usage_day *live = find_day(scope, day);
    if (live == NULL) {
        usage_leave(usage, guard);
        atomic_fetch_add_explicit(&usage->left_out, 1, memory_order_relaxed);
        return 0;
    }
    atomic_fetch_add_explicit(&live->tallies[guard % USAGE_TALLIES].requests[sight->class],
                              requests, memory_order_relaxed);
    for (uint32_t i = 0; i < live->year_count; i++) {
        uint64_t changed = count_under(scope, live, live->years[i], sight);
        sequence = changed > sequence ? changed : sequence;
    }
    usage_leave(usage, guard);
    return sequence;
}

uint64_t usage_count(struct usage_scope *scope, uint32_t day, const struct usage_sight *sight)
{
    return count(scope, day, sight, 1);
}

uint64_t usage_count_again(struct usage_scope *scope, uint32_t day, const struct usage_sight *sight)
{
    return count(scope, day, sight, 0);
}

/* -- Joining -- */

static void note_amendment(struct usage_scope *scope, uint32_t day)
{
    const struct usage *usage = scope->usage;
    int64_t end_us = (int64_t)(day + 1) * CALENDAR_DAY_US;
    int64_t final_us = end_us + (int64_t)usage->final_hours * 3600 * 1000000;
    if (atomic_load(&usage->now_us) < final_us)
        return;
    struct usage_total *total = usage_total_of(scope, day);
    if (total != NULL) {
        total->amended++;
        total->saved = false;
    }
}

/* A day that nobody counts in any more stays closed but for this, or it would push a live one out
 * of its slot. */
static int change_closed(struct usage_scope *scope, const struct usage_name *name,
                         const struct usage_change *change, struct error *err)
{
    struct counter *counter;
    int result = usage_days_open(&scope->usage->folder, name, true, &counter, err);
    if (result != 0)
        return result;
    result = change->make(change->argument, counter, err);
    if (result == 1 && counter_sync(counter, err) != 0)
        result = ERROR_IO; /* no checkpoint will sync it, and the journal forgets */
    counter_close(counter);
    if (result != 0 && name->day < scope->folded_before)
        scope->reopened++;
    if (result != 0)
        atomic_fetch_add(&scope->epoch, 1);
    return result;
}

static int change_locked(struct usage_scope *scope, const struct usage_name *name,
                         const struct usage_change *change, struct error *err)
{
    uint32_t today = atomic_load(&scope->usage->today);
    struct counter *counter;
    if (name->day + scope->usage->keep_days <= today) /* who folds the day holds the lock, too */
        return error_set(err, ERROR_UNSUPPORTED, "the day has been put into its month already");
    struct usage_day *day = usage_open_day(scope, name->day);
    if (day == NULL && name->day < today)
        return change_closed(scope, name, change, err);
    if (day == NULL)
        day = usage_need_day(scope, name->day);
    if (day == NULL)
        return error_no_memory(err);
    int result = usage_need_counter(scope, day, name->class, &counter, err);
    if (result == 0)
        result = change->make(change->argument, counter, err);
    if (result == 1 && usage_live_day(scope, name->day) != day)
        atomic_fetch_add(&scope->epoch, 1); /* of days on their way out nobody asks what changed */
    return result;
}

int usage_change_counter(struct usage_scope *scope, const struct usage_name *name,
                         const struct usage_change *change, struct error *err)
{
    assert(name->scope == scope->id);
    if (!usage_name_holds(name))
        return error_set(err, ERROR_INVALID, "no day is counted under such a key");
    (void)pthread_mutex_lock(&scope->lock);
    int result = change_locked(scope, name, change, err);
    /* Under either year: one is its month's, the other may be at the edge of the next month. */
    if (result == 1)
        note_amendment(scope, name->day);
    (void)pthread_mutex_unlock(&scope->lock);
    return result < 0 ? result : 0;
}

static int join_one(void *argument, struct counter *counter, struct error *err)
{
    return counter_join(counter, argument, err);
}

int usage_join(struct usage_scope *scope, const struct usage_name *name, const struct sketch *from,
               struct error *err)
{
    const struct usage_change change = {.make = join_one, .argument = (void *)from};
    return usage_change_counter(scope, name, &change, err);
}

/* -- Coming back -- */

struct recovery {
    struct usage *usage;
    uint32_t open_count;
    uint64_t ids[RECOVERY_OPEN_MAX];
    struct counter *open[RECOVERY_OPEN_MAX];
    uint64_t impossible; /* records that no counter of the name can have written */
};

static int close_recovered(struct recovery *recovery, struct error *err)
{
    int result = 0;
    for (uint32_t i = 0; i < recovery->open_count; i++) {
        if (result == 0)
            result = counter_sync(recovery->open[i], err);
        counter_close(recovery->open[i]);
    }
    recovery->open_count = 0;
    return result;
}

static int recovered_counter(struct recovery *recovery, uint64_t id, struct counter **ret,
                             struct error *err)
{
    for (uint32_t i = recovery->open_count; i > 0; i--) /* the newest are asked for most */
        if (recovery->ids[i - 1] == id) {
            *ret = recovery->open[i - 1];
            return 0;
        }
    int result = 0;
    if (recovery->open_count == RECOVERY_OPEN_MAX)
        result = close_recovered(recovery, err);
    const struct usage_name name = usage_counter_name(id);
    if (result == 0)
        result = usage_days_open(&recovery->usage->folder, &name, true, ret, err);
    if (result != 0)
        return result;
    recovery->ids[recovery->open_count] = id;
    recovery->open[recovery->open_count++] = *ret;
    return 0;
}

static int on_record(void *argument, const struct journal_record *record, struct error *err)
{
    struct recovery *recovery = argument;
    struct counter *counter;
    const struct usage_name name = usage_counter_name(record->counter);
    if (!usage_name_holds(&name)) {
        recovery->impossible++;
        return 0;
    }
    int result = recovered_counter(recovery, record->counter, &counter, err);
    if (result != 0)
        return result;
    result = counter_apply(counter, record, err);
    if (result == ERROR_INVALID) {
        recovery->impossible++;
        return 0;
    }
    return result < 0 ? result : 0;
}

static void note_recovery(struct usage *usage, const struct journal_recovery *found,
                          uint64_t impossible)
{
    if (found->frames_damaged > 0)
        usage_note(&usage->notes,
                   "journal: %llu frames are damaged; the users in them are known only if their "
                   "counters were synced",
                   (unsigned long long)found->frames_damaged);
    if (found->bytes_cut > 0)
        usage_note(&usage->notes, "journal: a torn end of %llu bytes was cut off",
                   (unsigned long long)found->bytes_cut);
    if (impossible > 0)
        usage_note(&usage->notes, "journal: %llu records make no sense and were left out",
                   (unsigned long long)impossible);
}

static int recover(struct usage *usage, struct error *err)
{
    struct journal_recovery found = {0};
    const struct journal_config config = {.folder = usage->folder.path,
                                          .key_id = year_keys_id(usage->years),
                                          .bytes_rotate = JOURNAL_FILE_BYTES};
    struct recovery *recovery = calloc(1, sizeof *recovery);
    if (recovery == NULL)
        return error_no_memory(err);
    recovery->usage = usage;
    int result = journal_open(&config, on_record, recovery, &usage->journal, &found, err);
    int closed = close_recovered(recovery, result == 0 ? err : NULL);
    if (result == 0)
        result = closed;
    if (result == 0) {
        note_recovery(usage, &found, recovery->impossible);
        result = journal_forget(usage->journal, journal_appended(usage->journal), err);
    }
    free(recovery);
    return result;
}

/* -- Life -- */

static int open_usage(struct usage *usage, struct error *err)
{
    usage->years = year_keys_new(usage->secret, err);
    if (usage->years == NULL)
        return err == NULL ? ERROR_NO_MEMORY : err->code;
    usage->folder.years = usage->years;
    int result = usage_days_refuse_yearless(&usage->folder, err);
    if (result == 0)
        result = usage_scopes_load(usage, err);
    if (result == 0)
        result = recover(usage, err);
    if (result == 0)
        result = usage_totals_load(usage, err);
    return result;
}

struct usage *usage_new(const struct usage_config *config, struct error *err)
{
    struct usage *usage = aligned_alloc(_Alignof(struct usage), sizeof *usage);
    if (usage == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    memset(usage, 0, sizeof *usage);
    usage_notes_init(&usage->notes);
    (void)pthread_mutex_init(&usage->scopes_lock, NULL); /* cannot fail with these attributes */
    (void)pthread_mutex_init(&usage->windows_lock, NULL);
    usage->folder = (struct usage_folder){
        .path = config->folder, .key_id = config->secret->key_id, .notes = &usage->notes};
    usage->secret = config->secret;
    usage->trust_asserted = config->trust_asserted;
    usage->keep_days = config->keep_days == 0 ? USAGE_KEEP_DAYS : config->keep_days;
    if (usage->keep_days < USAGE_KEEP_DAYS_LEAST)
        usage->keep_days = USAGE_KEEP_DAYS_LEAST;
    usage->final_hours = config->final_hours == 0 ? USAGE_FINAL_HOURS : config->final_hours;
    usage->scopes_end = &usage->scopes;
    if (open_usage(usage, err) == 0)
        return usage;
    usage_free(usage);
    return NULL;
}

void usage_free(struct usage *usage)
{
    if (usage == NULL)
        return;
    if (usage->journal != NULL)
        usage_close_all(usage);
    journal_close(usage->journal);
    while (usage->scopes != NULL) {
        struct usage_scope *next = usage->scopes->next;
        usage_scope_free(usage->scopes);
        usage->scopes = next;
    }
    usage_groups_free(usage);
    free(usage->old);
    year_keys_free(usage->years);
    usage_notes_destroy(&usage->notes);
    (void)pthread_mutex_destroy(&usage->windows_lock);
    (void)pthread_mutex_destroy(&usage->scopes_lock);
    free(usage);
}

const struct year_keys *usage_year_keys(const struct usage *usage)
{
    return usage->years;
}

/* -- The journal's state -- */

uint64_t usage_durable(const struct usage *usage)
{
    return journal_durable(usage->journal);
}

uint64_t usage_waiting(const struct usage *usage)
{
    uint64_t durable = journal_durable(usage->journal);
    return journal_appended(usage->journal) - durable;
}

uint32_t usage_keep_days(const struct usage *usage)
{
    return usage->keep_days;
}

uint64_t usage_left_out(const struct usage *usage)
{
    return atomic_load_explicit(&usage->left_out, memory_order_relaxed);
}

void usage_add_note(struct usage *usage, const char *line)
{
    usage_note(&usage->notes, "%s", line);
}

void usage_take_notes(struct usage *usage, struct text *out)
{
    usage_notes_take(&usage->notes, out);
}
