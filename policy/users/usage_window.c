/* SPDX-License-Identifier: Apache-2.0 */
/* usage_window.c -- unions of counters, and what is kept so that few have to be made.
 *
 *     a month     [ closed days: one sketch a class, kept ] + [ yesterday ] [ today ]
 *     rolling     [ files of closed days ........................ ] + [ yesterday ] [ today ]
 *     views       verified + asserted (+ weak: best) (+ request: upper) (+ edge days: a month's)
 *
 * Most models have users of one class only; then all views are that one sketch, and nothing is
 * copied or estimated twice.
 *
 * All of a window's counters are those under one year's key (years.h).
 *
 * The three rolling windows lie in each other, so that they are read in one pass, newest first. */
#include "policy/users/usage_window.h"

#include "policy/users/calendar.h"
#include "policy/users/usage_inner.h"
#include "policy/users/usage_month.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS_KINDS   4
#define DIGEST_BYTES   32
#define NO_PRODUCT     "default" /* usage_scope_add() has it */
#define REFRESH_AGE_US INT64_C(60000000)

static const uint32_t rolling_days[USAGE_WINDOW_COUNT] = {
    [USAGE_WINDOW_ROLLING_28] = 28, [USAGE_WINDOW_ROLLING_30] = 30, [USAGE_WINDOW_ROLLING_31] = 31};

struct answer {
    bool known;
    uint32_t day;
    uint64_t epoch, changes; /* of the group's scopes when it was made */
    int64_t made_us;
    struct usage_figures figures;
};

struct usage_group {
    _Atomic(struct usage_group *) next; /* set once: readers take no lock */
    enum usage_group_kind kind;
    char *name;
    struct usage_scope **members;
    uint32_t member_count;
    bool rolls; /* somebody wants rolling windows of it, fresh ones */
    struct answer answers[USAGE_WINDOW_COUNT];
};

const char *usage_window_name(enum usage_window window)
{
    static const char *const names[USAGE_WINDOW_COUNT] = {"day", "month", "rolling_28",
                                                          "rolling_30", "rolling_31"};
    assert((uint32_t)window < USAGE_WINDOW_COUNT);
    return names[window];
}

/* -- Groups -- */

struct usage_group *usage_group_find(struct usage *usage, enum usage_group_kind kind,
                                     const char *name)
{
    struct usage_group *group = atomic_load(&usage->groups);
    while (group != NULL && (group->kind != kind || strcmp(group->name, name) != 0))
        group = atomic_load(&group->next);
    return group;
}

/* Whole before anybody sees it. */
static void group_append(struct usage *usage, struct usage_group *group)
{
    _Atomic(struct usage_group *) *at = &usage->groups;
    for (struct usage_group *each; (each = atomic_load(at)) != NULL;)
        at = &each->next;
    atomic_store(at, group);
}

static struct usage_group *group_need(struct usage *usage, enum usage_group_kind kind,
                                      const char *name)
{
    struct usage_group *group = usage_group_find(usage, kind, name);
    if (group != NULL)
        return group;
    group = calloc(1, sizeof *group);
    char *copy = strdup(name);
    if (group == NULL || copy == NULL) {
        free(group);
        free(copy);
        return NULL;
    }
    group->kind = kind;
    group->name = copy;
    group_append(usage, group);
    return group;
}

static bool group_add(struct usage_group *group, struct usage_scope *scope)
{
    struct usage_scope **grown =
        realloc(group->members, (group->member_count + 1) * sizeof(struct usage_scope *));
    if (grown == NULL)
        return false;
    group->members = grown;
    group->members[group->member_count++] = scope;
    memset(group->answers, 0, sizeof group->answers);
    return true;
}

static void group_drop(struct usage_group *group, const struct usage_scope *scope)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < group->member_count; i++)
        if (group->members[i] != scope)
            group->members[kept++] = group->members[i];
    if (kept == group->member_count)
        return;
    group->member_count = kept;
    memset(group->answers, 0, sizeof group->answers);
}

static void group_leave_all(struct usage *usage, const struct usage_scope *scope)
{
    for (struct usage_group *group = atomic_load(&usage->groups); group != NULL;
         group = atomic_load(&group->next))
        group_drop(group, scope);
}

int usage_group_join(struct usage *usage, struct usage_scope *scope, struct error *err)
{
    const char *const names[GROUPS_KINDS] = {[USAGE_GROUP_MODEL] = scope->model,
                                             [USAGE_GROUP_FAMILY] = scope->family,
                                             [USAGE_GROUP_PRODUCT] = scope->product,
                                             [USAGE_GROUP_ORGANISATION] = ""};
    (void)pthread_mutex_lock(&usage->windows_lock);
    group_leave_all(usage, scope);
    bool joined = true;
    for (uint32_t kind = 0; kind < GROUPS_KINDS && joined; kind++) {
        if (kind != USAGE_GROUP_ORGANISATION && names[kind][0] == '\0')
            continue; /* logins are of no model, and some licences of no family */
        struct usage_group *group = group_need(usage, (enum usage_group_kind)kind, names[kind]);
        joined = group != NULL && group_add(group, scope);
    }
    if (!joined)
        group_leave_all(usage, scope);
    (void)pthread_mutex_unlock(&usage->windows_lock);
    return joined ? 0 : error_no_memory(err);
}

void usage_groups_free(struct usage *usage)
{
    struct usage_group *group = atomic_load(&usage->groups);
    while (group != NULL) {
        struct usage_group *next = atomic_load(&group->next);
        free(group->members);
        free(group->name);
        free(group);
        group = next;
    }
}

struct usage_group *usage_group_next(struct usage *usage, const struct usage_group *after)
{
    return after == NULL ? atomic_load(&usage->groups) : atomic_load(&after->next);
}

void usage_group_name(struct usage *usage, const struct usage_group *group,
                      struct usage_group_name *ret)
{
    (void)pthread_mutex_lock(&usage->windows_lock);
    bool is_model = group->kind == USAGE_GROUP_MODEL;
    const struct usage_scope *first = group->member_count > 0 ? group->members[0] : NULL;
    *ret = (struct usage_group_name){.kind = group->kind,
                                     .product = group->kind == USAGE_GROUP_PRODUCT ? group->name
                                                : is_model && first != NULL        ? first->product
                                                                                   : "",
                                     .model = is_model ? group->name : "",
                                     .family = group->kind == USAGE_GROUP_FAMILY ? group->name
                                               : is_model && first != NULL       ? first->family
                                                                                 : ""};
    for (uint32_t i = 1; is_model && i < group->member_count; i++) {
        if (strcmp(group->members[i]->product, ret->product) != 0)
            ret->product = "";
        if (strcmp(group->members[i]->family, ret->family) != 0)
            ret->family = "";
    }
    if (strcmp(ret->product, NO_PRODUCT) == 0)
        ret->product = "";
    (void)pthread_mutex_unlock(&usage->windows_lock);
}

/* -- Has anything changed? -- */

static void changes_of(struct usage_scope *scope, uint64_t *epoch, uint64_t *changes)
{
    uint32_t guard = usage_enter(scope->usage);
    *epoch += atomic_load(&scope->epoch);
    for (uint32_t slot = 0; slot < USAGE_LIVE_DAYS; slot++) {
        struct usage_day *day = atomic_load(&scope->live[slot]);
        for (uint32_t c = 0; day != NULL && c < USAGE_KEYED_COUNT; c++) {
            const struct counter *counter =
                atomic_load_explicit(&day->counters[c], memory_order_acquire);
            if (counter != NULL)
                *changes += counter_changes(counter);
        }
    }
    usage_leave(scope->usage, guard);
}

static void changes_of_group(const struct usage_group *group, uint64_t *epoch, uint64_t *changes)
{
    *epoch = *changes = 0;
    for (uint32_t i = 0; i < group->member_count; i++)
        changes_of(group->members[i], epoch, changes);
}

/* -- Unions -- */

struct unions {
    uint32_t year;                                    /* under whose key all of it was counted */
    struct sketch *classes[USAGE_CLASS_COUNT], *edge; /* NULL: nobody */
};

static void unions_release(struct unions *unions)
{
    for (uint32_t c = 0; c < USAGE_CLASS_COUNT; c++)
        sketch_free(unions->classes[c]);
    sketch_free(unions->edge);
}

static int join(struct sketch **into, const struct sketch *from, struct error *err)
{
    if (from == NULL)
        return 0;
    if (*into == NULL)
        *into = sketch_new(SKETCH_P);
    return *into == NULL ? error_no_memory(err) : sketch_join(*into, from, err);
}

static int join_counter(struct sketch **into, const struct counter *counter, struct error *err)
{
    struct sketch *copy;
    int result = counter_sketch(counter, &copy, err);
    if (result != 0)
        return result;
    if (*into == NULL) {
        *into = copy;
        return 0;
    }
    result = sketch_join(*into, copy, err);
    sketch_free(copy);
    return result;
}

/* Under the scope's lock, so that nobody opens the file meanwhile. */
static int join_locked(struct usage_scope *scope, uint32_t number, uint8_t class,
                       struct sketch **into, struct error *err)
{
    if (number > CALENDAR_DAY_MAX) /* that month is cut short */
        return 0;
    const struct usage_day *day = usage_open_day(scope, number);
    struct counter *counter = day == NULL ? NULL : atomic_load(&day->counters[class]);
    if (counter != NULL)
        return join_counter(into, counter, err);
    const struct usage_name name = {.scope = scope->id, .day = number, .class = class};
    int result = usage_days_open(&scope->usage->folder, &name, false, &counter, err);
    if (result != 0 || counter == NULL)
        return result;
    result = join_counter(into, counter, err);
    counter_close(counter);
    return result;
}

static int join_day(struct usage_scope *scope, uint32_t number, uint8_t class, struct sketch **into,
                    struct error *err)
{
    (void)pthread_mutex_lock(&scope->lock);
    int result = join_locked(scope, number, class, into, err);
    (void)pthread_mutex_unlock(&scope->lock);
    return result;
}

int usage_named_of_day(struct usage *usage, uint32_t number, uint32_t day, struct sketch **ret,
                       struct error *err)
{
    struct usage_scope *scope = usage->scopes;
    struct sketch *users = NULL;
    for (uint32_t i = 0; scope != NULL && i < number; i++)
        scope = scope->next;
    uint32_t years[YEARS_MAX], year_count = scope == NULL ? 0 : years_of_day(day, years);
    int result = 0;
    for (uint32_t i = 0; i < year_count && result == 0; i++) {
        result = join_day(scope, day, usage_keyed_class(USAGE_VERIFIED, years[i]), &users, err);
        if (result == 0)
            result = join_day(scope, day, usage_keyed_class(USAGE_ASSERTED, years[i]), &users, err);
    }
    if (result != 0) {
        sketch_free(users);
        return result;
    }
    *ret = users;
    return 0;
}

/* -- The month's closed days -- */

static void closed_reset(struct usage_closed *closed, uint32_t month, uint64_t reopened)
{
    for (uint32_t c = 0; c < USAGE_CLASS_COUNT; c++)
        sketch_free(closed->sketches[c]);
    *closed = (struct usage_closed){
        .month = month, .upto = calendar_first_day(month), .reopened = reopened};
}

/* Brings the union up to the first day that is open, or today. Under the windows' lock. */
static int closed_extend(struct usage_scope *scope, uint32_t month, uint32_t today,
                         struct error *err)
{
    struct usage_closed *closed = &scope->closed;
    uint32_t year = years_of_window(USAGE_WINDOW_MONTH, calendar_first_day(month));
    int result = 0;
    bool more = true;
    while (more && result == 0) {
        (void)pthread_mutex_lock(&scope->lock);
        if (closed->month != month || closed->reopened != scope->reopened)
            closed_reset(closed, month, scope->reopened);
        uint32_t day = closed->upto;
        more = day < today && usage_open_day(scope, day) == NULL;
        for (uint32_t c = 0; more && c < USAGE_CLASS_COUNT && result == 0; c++)
            result = join_locked(scope, day, usage_keyed_class((enum usage_class)c, year),
                                 &closed->sketches[c], err);
        if (more && result == 0) {
            closed->upto = day + 1;
            if (scope->folded_before <= day)
                scope->folded_before = day + 1;
        }
        (void)pthread_mutex_unlock(&scope->lock);
    }
    if (result != 0)
        closed_reset(closed, month, UINT64_MAX); /* begun anew when it is asked again */
    return result;
}

/* -- A scope's part of a window -- */

static int add_days(struct usage_scope *scope, uint32_t first, uint32_t last, struct unions *unions,
                    struct error *err)
{
    int result = 0;
    for (uint32_t c = 0; c < USAGE_CLASS_COUNT; c++)
        for (uint32_t day = last + 1; day > first && result == 0; day--)
            result = join_day(scope, day - 1, usage_keyed_class((enum usage_class)c, unions->year),
                              &unions->classes[c], err);
    return result;
}

static int add_edge(struct usage_scope *scope, uint32_t day, struct unions *unions,
                    struct error *err)
{
    static const enum usage_class classes[] = {USAGE_VERIFIED, USAGE_ASSERTED, USAGE_REQUEST};
    int result = 0;
    for (uint32_t i = 0; i < 3 && result == 0; i++)
        result =
            join_day(scope, day, usage_keyed_class(classes[i], unions->year), &unions->edge, err);
    return result;
}

static int add_month(struct usage_scope *scope, uint32_t month, uint32_t today,
                     struct unions *unions, struct error *err)
{
    uint32_t first = calendar_first_day(month), last = calendar_last_day(month);
    int result = 0;
    if (month == calendar_month(today)) { /* nothing of it is old enough for a file of months */
        result = closed_extend(scope, month, today, err);
        for (uint32_t c = 0; c < USAGE_CLASS_COUNT && result == 0; c++)
            result = join(&unions->classes[c], scope->closed.sketches[c], err);
        first = scope->closed.upto;
        last = last < today + 1 ? last : today + 1; /* tomorrow's: clocks differ */
    } else {
        struct usage_month old;
        result = usage_month_load(&scope->usage->folder, scope->id, month, &old, err);
        for (uint32_t c = 0; c < USAGE_CLASS_COUNT && result == 0; c++)
            result = join(&unions->classes[c], old.sketches[c], err);
        if (result == 0)
            result = join(&unions->edge, old.sketches[USAGE_EDGE], err);
        usage_month_release(&old);
    }
    if (result == 0)
        result = add_days(scope, first, last, unions, err);
    if (result == 0 && calendar_first_day(month) > 0)
        result = add_edge(scope, calendar_first_day(month) - 1, unions, err);
    if (result == 0)
        result = add_edge(scope, calendar_last_day(month) + 1, unions, err);
    return result;
}

/* -- Views -- */

static struct usage_figure figure_of(const struct sketch *sketch)
{
    struct sketch_count count;
    if (sketch == NULL)
        return (struct usage_figure){.exact = true};
    sketch_count(sketch, &count);
    return (struct usage_figure){.users = count.value,
                                 .low = sketch_lower(&count, SKETCH_Z_REPORT),
                                 .high = sketch_upper(&count, SKETCH_Z_REPORT),
                                 .exact = sketch_is_exact(sketch)};
}

/* Of two; *ret_copy, where one is needed, is the caller's to free. Returns the union. */
static const struct sketch *both(const struct sketch *a, const struct sketch *b,
                                 struct sketch **ret_copy, bool *failed)
{
    if (a == NULL || b == NULL)
        return a == NULL ? b : a;
    if (join(ret_copy, a, NULL) != 0 || join(ret_copy, b, NULL) != 0)
        *failed = true;
    return *ret_copy;
}

/* False when there is no memory. */
static bool digest_of(const struct sketch *sketch, char ret[USAGE_SHA256_BYTES])
{
    unsigned char digest[DIGEST_BYTES];
    struct text bytes;
    ret[0] = '\0';
    if (sketch == NULL)
        return true;
    text_init(&bytes);
    sketch_write(sketch, &bytes);
    bool made = !bytes.failed &&
                EVP_Digest(bytes.bytes, bytes.count, digest, NULL, EVP_sha256(), NULL) == 1;
    text_destroy(&bytes);
    for (uint32_t i = 0; made && i < DIGEST_BYTES; i++)
        (void)snprintf(ret + (size_t)2 * i, 3, "%02x", digest[i]);
    return made;
}

/* ret_sha256: of the union behind `best`; NULL where nobody asks. */
static int views_of(const struct usage *usage, const struct unions *unions,
                    struct usage_figures *ret, char *ret_sha256, struct error *err)
{
    const struct sketch *verified = unions->classes[USAGE_VERIFIED];
    const struct sketch *asserted = unions->classes[USAGE_ASSERTED];
    const struct sketch *weak = unions->classes[USAGE_WEAK];
    struct sketch *named = NULL, *best = NULL, *upper = NULL, *edged = NULL;
    bool failed = false;
    const struct sketch *known = both(verified, asserted, &named, &failed);
    const struct sketch *all = both(known, weak, &best, &failed);
    const struct sketch *most = both(known, unions->classes[USAGE_REQUEST], &upper, &failed);
    const struct sketch *around = both(most, unions->edge, &edged, &failed);
    if (!failed) {
        struct usage_figure of_verified = figure_of(verified);
        struct usage_figure of_known = known == verified ? of_verified : figure_of(known);
        struct usage_figure of_weak = figure_of(weak);
        ret->lower = usage->trust_asserted ? of_known : of_verified;
        ret->best = all == known ? of_known : all == weak ? of_weak : figure_of(all);
        ret->upper_strict = most == known ? of_known : figure_of(most);
        ret->upper = around == most ? ret->upper_strict : figure_of(around);
        ret->users_by_class[0] = of_verified.users;
        ret->users_by_class[1] = known == asserted ? of_known.users : figure_of(asserted).users;
        ret->users_by_class[2] = of_weak.users;
        ret->identity_insufficient =
            ret->upper_strict.users > USAGE_COVERAGE_RATIO_MAX * ret->lower.users;
    }
    if (!failed && ret_sha256 != NULL)
        failed = !digest_of(all, ret_sha256);
    sketch_free(named);
    sketch_free(best);
    sketch_free(upper);
    sketch_free(edged);
    return failed ? error_no_memory(err) : 0;
}

/* -- Requests, which are sums and change without any user being new -- */

static void add_requests(struct usage_scope *scope, struct usage_figures *figures)
{
    (void)pthread_mutex_lock(&scope->lock);
    usage_totals_fold(scope);
    for (uint32_t i = 0; i < scope->total_count; i++) {
        const struct usage_total *total = &scope->totals[i];
        if (total->day < figures->first_day || total->day > figures->last_day)
            continue;
        for (uint32_t c = 0; c < IDENTITY_CLASS_COUNT; c++)
            figures->requests[c] += total->requests[c];
        figures->amended += total->amended;
    }
    (void)pthread_mutex_unlock(&scope->lock);
}

static int add_old_requests(const struct usage_scope *scope, struct usage_figures *figures,
                            struct error *err)
{
    struct usage_month old;
    int result = usage_month_load(&scope->usage->folder, scope->id,
                                  calendar_month(figures->last_day), &old, err);
    for (uint32_t c = 0; c < IDENTITY_CLASS_COUNT && result == 0; c++)
        figures->requests[c] += old.requests[c];
    figures->amended += result == 0 ? old.amended : 0;
    usage_month_release(&old);
    return result;
}

/* What is not kept with an answer. */
static int complete(const struct usage_question *question, struct usage_figures *figures,
                    struct error *err)
{
    const struct usage_group *group = question->group;
    const struct usage *usage = group->members[0]->usage;
    uint32_t today = calendar_day(question->now_unix_us);
    uint32_t kept_from = today > usage->keep_days ? today - usage->keep_days + 1 : 0;
    int64_t end_us = (int64_t)(figures->last_day + 1) * CALENDAR_DAY_US;
    int64_t wait_us = (int64_t)usage->final_hours * 3600 * 1000000;
    int result = 0;
    bool is_month = figures->window == USAGE_WINDOW_MONTH;
    figures->final = question->now_unix_us >= end_us + wait_us;
    if (!is_month && figures->first_day < kept_from)
        figures->days_missing =
            (figures->last_day < kept_from ? figures->last_day + 1 : kept_from) -
            figures->first_day;
    for (uint32_t i = 0; i < group->member_count && result == 0; i++) {
        add_requests(group->members[i], figures);
        if (is_month && figures->first_day < kept_from)
            result = add_old_requests(group->members[i], figures, err);
    }
    uint64_t named = figures->requests[IDENTITY_VERIFIED] + figures->requests[IDENTITY_ASSERTED];
    uint64_t all = named + figures->requests[IDENTITY_WEAK] + figures->requests[IDENTITY_NONE];
    figures->coverage = all == 0 ? 1 : (double)named / (double)all;
    return result;
}

/* -- Answers -- */

static void keep(const struct usage_question *question, enum usage_window window,
                 const struct answer *stamp, const struct usage_figures *figures)
{
    struct answer *answer = &question->group->answers[window];
    *answer = *stamp;
    answer->known = true;
    answer->day = question->day;
    answer->made_us = question->now_unix_us;
    answer->figures = *figures;
}

static int answer_rolling(const struct usage_question *question, const struct answer *stamp,
                          struct error *err)
{
    const struct usage_group *group = question->group;
    /* The three end on one day. */
    struct unions unions = {.year = years_of_window(USAGE_WINDOW_ROLLING_31, question->day)};
    uint32_t upto = question->day + 1, day = upto; /* days from here on are in */
    int result = 0;
    for (uint32_t w = USAGE_WINDOW_ROLLING_28; w < USAGE_WINDOW_COUNT && result == 0; w++) {
        uint32_t first = upto > rolling_days[w] ? upto - rolling_days[w] : 0;
        struct usage_figures figures = {
            .window = (enum usage_window)w, .first_day = first, .last_day = question->day};
        for (uint32_t i = 0; i < group->member_count && day > first && result == 0; i++)
            result = add_days(group->members[i], first, day - 1, &unions, err);
        day = first;
        if (result == 0)
            result = views_of(group->members[0]->usage, &unions, &figures, NULL, err);
        if (result == 0)
            keep(question, (enum usage_window)w, stamp, &figures);
    }
    unions_release(&unions);
    return result;
}

static int answer_one(const struct usage_question *question, const struct answer *stamp,
                      char *ret_sha256, struct error *err)
{
    const struct usage_group *group = question->group;
    bool is_month = question->window == USAGE_WINDOW_MONTH;
    uint32_t month = calendar_month(question->day);
    struct unions unions = {.year = years_of_window(question->window, question->day)};
    struct usage_figures figures = {
        .window = question->window,
        .first_day = is_month ? calendar_first_day(month) : question->day,
        .last_day = is_month ? calendar_last_day(month) : question->day};
    int result = 0;
    for (uint32_t i = 0; i < group->member_count && result == 0; i++)
        result = is_month ? add_month(group->members[i], month, calendar_day(question->now_unix_us),
                                      &unions, err)
                          : add_days(group->members[i], figures.first_day, figures.last_day,
                                     &unions, err);
    if (result == 0)
        result = views_of(group->members[0]->usage, &unions, &figures, ret_sha256, err);
    if (result == 0)
        keep(question, question->window, stamp, &figures);
    unions_release(&unions);
    return result;
}

static bool fresh(const struct usage_question *question, const struct answer *stamp)
{
    const struct answer *answer = &question->group->answers[question->window];
    if (!answer->known || answer->day != question->day)
        return false;
    int64_t age_us = question->now_unix_us - answer->made_us;
    if (age_us >= 0 && age_us < (int64_t)question->age_s_max * 1000000)
        return true;
    return answer->epoch == stamp->epoch && answer->changes == stamp->changes;
}

/* Of a group whose scopes went to another family. */
static struct usage_figures figures_of_nobody(const struct usage_question *question)
{
    return (struct usage_figures){.window = question->window,
                                  .first_day = question->day,
                                  .last_day = question->day,
                                  .coverage = 1};
}

static int ask_locked(const struct usage_question *question, struct usage_figures *ret,
                      char *ret_sha256, struct error *err)
{
    struct usage_group *group = question->group;
    struct answer stamp = {0};
    int result = 0;
    if (ret_sha256 != NULL)
        ret_sha256[0] = '\0';
    if (group->member_count == 0) {
        *ret = figures_of_nobody(question);
        return 0;
    }
    changes_of_group(group, &stamp.epoch, &stamp.changes); /* before the counters are read */
    if (ret_sha256 != NULL || !fresh(question, &stamp))
        result = rolling_days[question->window] > 0 ? answer_rolling(question, &stamp, err)
                                                    : answer_one(question, &stamp, ret_sha256, err);
    if (result != 0)
        return result;
    struct usage_figures figures = group->answers[question->window].figures;
    result = complete(question, &figures, err);
    if (result == 0)
        *ret = figures;
    return result;
}

int usage_ask(struct usage *usage, const struct usage_question *question, struct usage_figures *ret,
              struct error *err)
{
    assert((uint32_t)question->window < USAGE_WINDOW_COUNT);
    assert(question->day <= CALENDAR_DAY_MAX);
    (void)pthread_mutex_lock(&usage->windows_lock);
    if (rolling_days[question->window] > 0 && question->age_s_max > 0)
        question->group->rolls = true;
    int result = ask_locked(question, ret, NULL, err);
    (void)pthread_mutex_unlock(&usage->windows_lock);
    return result;
}

/* -- Evidence -- */

int usage_ask_month(struct usage *usage, const struct usage_question *question,
                    struct usage_figures *ret, char ret_sha256[USAGE_SHA256_BYTES],
                    struct error *err)
{
    assert(question->window == USAGE_WINDOW_MONTH);
    assert(question->day <= CALENDAR_DAY_MAX);
    (void)pthread_mutex_lock(&usage->windows_lock);
    int result = ask_locked(question, ret, ret_sha256, err);
    (void)pthread_mutex_unlock(&usage->windows_lock);
    return result;
}

uint64_t usage_amendments(struct usage *usage, const struct usage_group *group, uint32_t first_day,
                          uint32_t last_day)
{
    uint64_t count = 0;
    (void)pthread_mutex_lock(&usage->windows_lock);
    for (uint32_t i = 0; i < group->member_count; i++) {
        struct usage_scope *scope = group->members[i];
        (void)pthread_mutex_lock(&scope->lock);
        for (uint32_t t = 0; t < scope->total_count; t++)
            if (scope->totals[t].day >= first_day && scope->totals[t].day <= last_day)
                count += scope->totals[t].amended;
        (void)pthread_mutex_unlock(&scope->lock);
    }
    (void)pthread_mutex_unlock(&usage->windows_lock);
    return count;
}

static int to_date_locked(const struct usage_question *question, struct usage_figures *ret,
                          struct error *err)
{
    const struct usage_group *group = question->group;
    uint32_t month = calendar_month(question->day), first = calendar_first_day(month);
    struct usage_figures figures = {
        .window = USAGE_WINDOW_MONTH, .first_day = first, .last_day = question->day};
    struct unions unions = {.year = years_of_window(USAGE_WINDOW_MONTH, question->day)};
    int result = 0;
    for (uint32_t i = 0; i < group->member_count && result == 0; i++) {
        struct usage_scope *scope = group->members[i];
        result = add_days(scope, first, question->day, &unions, err);
        if (result == 0 && first > 0)
            result = add_edge(scope, first - 1, &unions, err);
        if (result == 0 && question->day == calendar_last_day(month))
            result = add_edge(scope, question->day + 1, &unions, err);
    }
    if (result == 0)
        result = views_of(group->members[0]->usage, &unions, &figures, NULL, err);
    unions_release(&unions);
    if (result == 0)
        result = complete(question, &figures, err);
    if (result == 0)
        *ret = figures;
    return result;
}

int usage_ask_to_date(struct usage *usage, const struct usage_question *question,
                      struct usage_figures *ret, struct error *err)
{
    assert(question->day <= CALENDAR_DAY_MAX);
    uint32_t today = calendar_day(question->now_unix_us);
    uint32_t first = calendar_first_day(calendar_month(question->day));
    if (first + usage->keep_days <= today + 1) /* the day before the month is asked for too */
        return error_set(err, ERROR_NOT_FOUND, "days of the month became one");
    if (question->group->member_count == 0) {
        *ret = figures_of_nobody(question);
        return 0;
    }
    (void)pthread_mutex_lock(&usage->windows_lock);
    int result = to_date_locked(question, ret, err);
    (void)pthread_mutex_unlock(&usage->windows_lock);
    return result;
}

/* Days that closed since somebody asked for the month: a scope a call. */
static bool extend_next(struct usage *usage, uint32_t today)
{
    struct error err;
    bool extended = false;
    (void)pthread_mutex_lock(&usage->windows_lock);
    for (struct usage_scope *scope = usage->scopes; scope != NULL && !extended;
         scope = scope->next) {
        const struct usage_closed *closed = &scope->closed;
        uint32_t upto = closed->upto;
        if (closed->month != calendar_month(today) || upto >= today)
            continue;
        if (closed_extend(scope, closed->month, today, &err) != 0)
            usage_note(&usage->notes, "the month of '%s': %s", scope->model, err.text);
        extended = closed->upto != upto;
    }
    (void)pthread_mutex_unlock(&usage->windows_lock);
    return extended;
}

/* One group a call, so that nobody who asks waits for files, nor does a commit for long. */
void usage_window_refresh(struct usage *usage, int64_t now_us)
{
    struct usage_figures unused;
    struct error err;
    uint32_t today = calendar_day(now_us);
    if (extend_next(usage, today))
        return;
    for (struct usage_group *group = atomic_load(&usage->groups); group != NULL;
         group = atomic_load(&group->next)) {
        (void)pthread_mutex_lock(&usage->windows_lock);
        const struct answer *answer = &group->answers[USAGE_WINDOW_ROLLING_31];
        bool due = group->rolls && (!answer->known || answer->day != today ||
                                    now_us - answer->made_us >= REFRESH_AGE_US);
        const struct usage_question question = {
            .group = group, .window = USAGE_WINDOW_ROLLING_31, .day = today, .now_unix_us = now_us};
        if (due && ask_locked(&question, &unused, NULL, &err) != 0)
            usage_note(&usage->notes, "rolling windows of '%s': %s", group->name, err.text);
        (void)pthread_mutex_unlock(&usage->windows_lock);
        if (due)
            return;
    }
}
