/* SPDX-License-Identifier: Apache-2.0 */
/* policy_months.c -- a pass over months and groups, a question a turn.
 *
 *     pass       months, oldest first; in each, every group
 *     a group    [ the month as counted ] -> [ up to day 7 ] [ up to day 8 ] ... -> [ a row ]
 *
 * What the ledger says of a figure is kept beside it (struct kept), so that a row is only made
 * where it tells more. A pass that a stop cuts off loses nothing: the next one finds the same days
 * missing; one in which something failed is done again. The month is asked for before its days,
 * since most groups of most months were counted by nobody and end there. Months that are final are
 * read when the daemon starts, and then only when something was added to their days: that is known
 * without reading. */
#include "policy/policy_months.h"

#include "policy/ledger.h"
#include "policy/license/month.h"
#include "policy/report/report.h"
#include "policy/users/calendar.h"
#include "policy/users/usage.h"
#include "policy/users/usage_window.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HOUR_US         INT64_C(3600000000)
#define SETTLE_US       INT64_C(900000000) /* after midnight: alerts come before */
#define RETRY_US        INT64_C(60000000)
#define STEP_MS         100u   /* between questions: others want counters too */
#define WAIT_MS_MAX     60000u /* a clock may be set */
#define STOP_GROUPS_MAX 256u   /* a stop may not take for ever */
#define KEPT_MAX        65536u /* figures: groups times months */
#define ARENA_BYTES_MAX ((size_t)1 << 20)
#define MONTH_FIRST     (2000u * 12)      /* of license/month.h */
#define MONTH_LAST      (2199u * 12 + 11) /* likewise */

/* A figure as the ledger has it. */
struct kept {
    struct kept *next;
    char *product, *model, *family; /* owned; the row's names */
    char sha256[USAGE_SHA256_BYTES];
    struct report_month row;
    bool asked; /* since the start, when its days were amended so often: */
    uint64_t amended;
};

enum pass { PASS_NONE, PASS_HOUR, PASS_DAY, PASS_ALL }; /* of two that are due the last */

/* One group in one month, while its row is made. */
struct draft {
    bool begun;
    bool of_nobody; /* and the ledger has no figure */
    uint64_t amended;
    char sha256[USAGE_SHA256_BYTES];
    struct report_month row; /* names are set when it is written */
};

struct policy_months {
    /* fixed at start */
    struct policy_months_config config;
    /* the caller's thread */
    struct kept *kept;
    uint32_t kept_count;
    enum pass pass, again;            /* again: something failed in it */
    uint32_t month, month_last, over; /* of the pass; over: the last day that has ended */
    struct usage_group *group;        /* whose turn it is */
    struct draft draft;
    bool started, failing;
    uint32_t day_done;
    int64_t hour_done, retry_us;
};

/* -- What the ledger says -- */

static void release_kept(struct kept *kept)
{
    free(kept->product);
    free(kept->model);
    free(kept->family);
    free(kept);
}

/* A model keeps the product that its month began with. */
static bool is_figure_of(const struct report_month *row, const struct report_month *other)
{
    if (row->model[0] != '\0')
        return row->month == other->month && strcmp(row->model, other->model) == 0;
    return report_month_is_same(row, other);
}

static struct kept *find_kept(const struct policy_months *months, const struct report_month *of)
{
    struct kept *kept = months->kept;
    while (kept != NULL && !is_figure_of(&kept->row, of))
        kept = kept->next;
    return kept;
}

static uint64_t larger(uint64_t one, uint64_t other)
{
    return one > other ? one : other;
}

static void raise_figure(struct report_figure *figure, const struct report_figure *least)
{
    figure->users = larger(figure->users, least->users);
    figure->low = larger(figure->low, least->low);
    figure->high = larger(figure->high, least->high);
}

/* The row says no less than the ledger does. */
static void raise(struct report_month *row, const struct report_month *least)
{
    row->exact = row->exact && (least->exact || row->best.users > least->best.users);
    raise_figure(&row->lower, &least->lower);
    raise_figure(&row->best, &least->best);
    raise_figure(&row->upper, &least->upper);
    row->anonymous_requests = larger(row->anonymous_requests, least->anonymous_requests);
    row->days_missing = (uint32_t)larger(row->days_missing, least->days_missing);
}

static struct kept *kept_new(const struct report_month *row)
{
    struct kept *kept = calloc(1, sizeof *kept);
    if (kept == NULL)
        return NULL;
    kept->product = strdup(row->product);
    kept->model = strdup(row->model);
    kept->family = strdup(row->family);
    if (kept->product != NULL && kept->model != NULL && kept->family != NULL)
        return kept;
    release_kept(kept);
    return NULL;
}

/* Takes the row in; of a row that sinks the figures stand. */
static int keep(struct policy_months *months, const struct report_month *row, struct error *err)
{
    struct kept *kept = find_kept(months, row);
    struct report_month risen = *row;
    if (kept != NULL) {
        raise(&risen, &kept->row);
        if (risen.state == REPORT_PROVISIONAL)
            risen.state = kept->row.state;
    } else if (months->kept_count == KEPT_MAX) {
        return error_set(err, ERROR_BUSY, "figures of more than %u models and months", KEPT_MAX);
    } else if ((kept = kept_new(row)) != NULL) {
        kept->next = months->kept;
        months->kept = kept;
        months->kept_count++;
    } else {
        return error_no_memory(err);
    }
    kept->row = risen;
    kept->row.product = kept->product;
    kept->row.model = kept->model;
    kept->row.family = kept->family;
    size_t digest = strnlen(row->sketch_sha256, USAGE_SHA256_BYTES - 1);
    memcpy(kept->sha256, row->sketch_sha256, digest);
    kept->sha256[digest] = '\0';
    kept->row.sketch_sha256 = kept->sha256;
    return 0;
}

static void forget_before(struct policy_months *months, uint32_t month)
{
    for (struct kept **at = &months->kept; *at != NULL;) {
        struct kept *kept = *at;
        if ((uint32_t)kept->row.month >= month) {
            at = &kept->next;
            continue;
        }
        *at = kept->next;
        release_kept(kept);
        months->kept_count--;
    }
}

struct reading {
    struct policy_months *months;
    uint32_t first; /* month */
    int result;
    struct error *err;
};

/* A row that cannot be read is told by the report, and is none to go by. */
static bool on_row(void *argument, const struct ledger_row *ledger_row)
{
    struct reading *reading = argument;
    struct report_month row;
    char name[MONTH_TEXT_BYTES] = "";
    (void)memccpy(name, ledger_row->subject, ' ', sizeof name - 1);
    int32_t month = month_parse(name);
    if (month == MONTH_NONE || (uint32_t)month < reading->first)
        return true;
    struct arena *arena = arena_new(ARENA_BYTES_MAX);
    if (arena == NULL) {
        reading->result = error_no_memory(reading->err);
        return false;
    }
    int result = report_month_read(ledger_row->body, arena, &row, NULL);
    if (result == 0)
        reading->result = keep(reading->months, &row, reading->err);
    else if (result == ERROR_NO_MEMORY)
        reading->result = error_no_memory(reading->err);
    arena_free(arena);
    return reading->result == 0;
}

static uint32_t months_back(uint32_t month, uint32_t count)
{
    return month > MONTH_FIRST + count ? month - count : MONTH_FIRST;
}

struct policy_months *policy_months_new(const struct policy_months_config *config, int64_t now_us,
                                        struct error *err)
{
    struct error local = {0};
    if (err == NULL)
        err = &local;
    struct policy_months *months = calloc(1, sizeof *months);
    if (months == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    months->config = *config;
    struct reading reading = {
        .months = months,
        .first = months_back(calendar_month(calendar_day(now_us)), MONTHS_BACK_MAX),
        .err = err};
    int result = ledger_read(config->ledger, REPORT_MONTH_KIND, on_row, &reading, err);
    if (result == 0 && reading.result == 0)
        return months;
    policy_months_free(months);
    return NULL;
}

void policy_months_free(struct policy_months *months)
{
    if (months == NULL)
        return;
    forget_before(months, UINT32_MAX);
    free(months);
}

/* -- From what is counted to a row -- */

static uint64_t whole(double users)
{
    return users <= 0 ? 0 : users >= (double)REPORT_USERS_MAX ? REPORT_USERS_MAX : (uint64_t)users;
}

static struct report_figure figure_of(const struct usage_figure *figure)
{
    return (struct report_figure){.users = whole(round(figure->users)),
                                  .low = whole(floor(figure->low)),
                                  .high = whole(ceil(figure->high))};
}

/* The names of a group's figure in a month; false for one that has none: a nameless product. */
static bool name_row(const struct policy_months *months, const struct usage_group *group,
                     uint32_t month, struct report_month *row, const struct kept **ret_kept)
{
    struct usage_group_name name;
    usage_group_name(months->config.usage, group, &name);
    row->month = (int32_t)month;
    row->product = name.product;
    row->model = name.model;
    row->family = name.family;
    const struct kept *kept = find_kept(months, row);
    if (kept != NULL)
        row->product = kept->row.product;
    *ret_kept = kept;
    return name.kind != USAGE_GROUP_PRODUCT || name.product[0] != '\0';
}

static struct usage_question question_of(struct usage_group *group, uint32_t day, int64_t now_us)
{
    return (struct usage_question){
        .group = group, .window = USAGE_WINDOW_MONTH, .day = day, .now_unix_us = now_us};
}

/* Of the month and the days at its edges. */
static uint64_t amendments(const struct policy_months *months, const struct usage_group *group,
                           uint32_t month)
{
    return usage_amendments(months->config.usage, group, calendar_first_day(month) - 1,
                            calendar_last_day(month) + 1);
}

/* The day at the month's edge is read as well. */
static bool heard_all(const struct policy_months *months, uint32_t month)
{
    int64_t end_us = (int64_t)(calendar_last_day(month) + 2) * CALENDAR_DAY_US;
    return months->config.heard_past == NULL ||
           months->config.heard_past(months->config.argument, end_us);
}

/* The month as it is counted, and the days that the ledger has of it. */
static int ask_month(const struct policy_months *months, struct usage_group *group, uint32_t month,
                     int64_t now_us, struct draft *ret, struct error *err)
{
    struct usage_figures figures;
    struct draft draft = {.begun = true, .amended = amendments(months, group, month)};
    const struct kept *kept;
    struct report_month *row = &draft.row;
    const struct usage_question question = question_of(group, calendar_last_day(month), now_us);
    int result = usage_ask_month(months->config.usage, &question, &figures, draft.sha256, err);
    if (result != 0)
        return result;
    row->lower = figure_of(&figures.lower);
    row->best = figure_of(&figures.best);
    row->upper = figure_of(&figures.upper);
    row->exact = figures.lower.exact && figures.best.exact && figures.upper.exact;
    row->coverage = figures.coverage;
    row->anonymous_requests = figures.requests[IDENTITY_WEAK] + figures.requests[IDENTITY_NONE];
    row->days_missing =
        figures.days_missing < REPORT_DAYS_MAX ? figures.days_missing : REPORT_DAYS_MAX;
    row->state = figures.final && heard_all(months, month) ? REPORT_FINAL : REPORT_PROVISIONAL;
    row->key_id = year_keys_peek(usage_year_keys(months->config.usage),
                                 years_of_window(USAGE_WINDOW_MONTH, question.day))
                      ->id;
    (void)name_row(months, group, month, row, &kept);
    draft.of_nobody = kept == NULL && figures.upper_strict.users == 0;
    if (kept != NULL) {
        if (row->best.users < kept->row.best.users) /* the proof goes with its figure */
            memcpy(draft.sha256, kept->sha256, sizeof draft.sha256);
        raise(row, &kept->row);
        memcpy(row->daily, kept->row.daily, sizeof row->daily);
        row->day_count = kept->row.day_count;
    }
    *ret = draft;
    return 0;
}

/* The next day of the month that is over and has no figures; 0 for none. */
static uint32_t next_day(const struct report_month *row, uint32_t over)
{
    uint32_t first = calendar_first_day((uint32_t)row->month);
    uint32_t last = calendar_last_day((uint32_t)row->month);
    uint32_t day = row->day_count == 0 ? first : first + row->daily[row->day_count - 1].day;
    return day <= over && day <= last ? day : 0;
}

/* A day's figures are no less than those of the day before. Where days cannot be told apart any
 * more there are none, and *ret_more is false. */
static int ask_day(struct policy_months *months, uint32_t day, int64_t now_us, bool *ret_more,
                   struct error *err)
{
    struct report_month *row = &months->draft.row;
    struct usage_figures figures;
    const struct usage_question question = question_of(months->group, day, now_us);
    int result = usage_ask_to_date(months->config.usage, &question, &figures, err);
    *ret_more = result == 0;
    if (result != 0)
        return result == ERROR_NOT_FOUND ? 0 : result;
    assert(row->day_count < REPORT_DAYS_MAX);
    struct report_day point = {.day = day - calendar_first_day((uint32_t)row->month) + 1,
                               .lower = figure_of(&figures.lower).low,
                               .best = figure_of(&figures.best).users,
                               .upper = figure_of(&figures.upper).high};
    if (row->day_count > 0) {
        const struct report_day *before = &row->daily[row->day_count - 1];
        point.lower = larger(point.lower, before->lower);
        point.best = larger(point.best, before->best);
        point.upper = larger(point.upper, before->upper);
    }
    row->daily[row->day_count++] = point;
    return 0;
}

/* -- Is there anything to say? -- */

static bool same_figure(const struct report_figure *one, const struct report_figure *other)
{
    return one->users == other->users && one->low == other->low && one->high == other->high;
}

static bool tells_the_same(const struct draft *draft, const struct kept *kept)
{
    const struct report_month *row = &draft->row, *told = &kept->row;
    return same_figure(&row->lower, &told->lower) && same_figure(&row->best, &told->best) &&
           same_figure(&row->upper, &told->upper) && row->day_count == told->day_count &&
           row->anonymous_requests == told->anonymous_requests &&
           row->days_missing == told->days_missing && strcmp(draft->sha256, kept->sha256) == 0;
}

static bool grew(uint64_t now, uint64_t told)
{
    return now > told && now - told >= told / 4;
}

/* Settles the row's state as well. */
static bool is_news(struct draft *draft, const struct kept *kept, enum pass pass)
{
    struct report_month *row = &draft->row;
    if (kept == NULL)
        return true;
    const struct report_month *told = &kept->row;
    bool same = tells_the_same(draft, kept);
    if (told->state != REPORT_PROVISIONAL) {
        row->state = same ? told->state : REPORT_AMENDED;
        return !same;
    }
    if (row->state == REPORT_FINAL)
        return true;
    if (pass != PASS_HOUR)
        return !same;
    return grew(row->lower.low, told->lower.low) || grew(row->best.users, told->best.users) ||
           grew(row->upper.high, told->upper.high);
}

/* -- Writing -- */

/* Within the ledger's lock. */
static int write_row(struct policy_months *months, struct usage_group *group, uint32_t month,
                     int64_t now_us, struct draft *draft, struct error *err)
{
    const struct kept *kept;
    (void)name_row(months, group, month, &draft->row, &kept);
    draft->row.sketch_sha256 = draft->sha256;
    return report_month_append(months->config.ledger, &draft->row, now_us / 1000000, NULL, err);
}

static int tell(struct policy_months *months, int64_t now_us, struct error *err)
{
    const struct kept *told;
    struct report_month name = {0};
    int result = 0;
    (void)name_row(months, months->group, months->month, &name, &told);
    if (is_news(&months->draft, told, months->pass)) {
        (void)pthread_mutex_lock(months->config.ledger_lock);
        result = write_row(months, months->group, months->month, now_us, &months->draft, err);
        (void)pthread_mutex_unlock(months->config.ledger_lock);
        if (result == 0)
            result = keep(months, &months->draft.row, err);
    }
    struct kept *kept = result == 0 ? find_kept(months, &name) : NULL;
    if (kept != NULL) {
        kept->asked = true;
        kept->amended = months->draft.amended;
    }
    return result;
}

/* -- A pass -- */

/* To the next group that has figures, or the first of the next month. */
static void go_on(struct policy_months *months)
{
    const struct kept *kept;
    struct report_month name = {0};
    months->draft = (struct draft){0};
    do {
        months->group = usage_group_next(months->config.usage, months->group);
        if (months->group == NULL && months->month < months->month_last) {
            months->month++;
            months->group = usage_group_next(months->config.usage, NULL);
        }
    } while (months->group != NULL &&
             !name_row(months, months->group, months->month, &name, &kept));
    if (months->group == NULL)
        months->pass = PASS_NONE;
}

/* Nothing can have changed since it was asked for. A month of nobody counts as asked for, unless
 * users may have come just before its end. */
static bool is_settled(const struct policy_months *months)
{
    const struct kept *kept;
    struct report_month name = {0};
    if (months->pass == PASS_ALL || months->month == months->month_last)
        return false;
    uint64_t amended = amendments(months, months->group, months->month);
    (void)name_row(months, months->group, months->month, &name, &kept);
    if (kept == NULL)
        return amended == 0 && months->month + 1 != months->month_last;
    return kept->row.state != REPORT_PROVISIONAL && kept->asked && kept->amended == amended;
}

/* What is due now; false for nothing. */
static bool begin(struct policy_months *months, int64_t now_us)
{
    static const uint32_t back[] = {
        [PASS_HOUR] = 1, [PASS_DAY] = MONTHS_BACK_MAX, [PASS_ALL] = MONTHS_BACK_MAX};
    uint32_t today = calendar_day(now_us), settled = calendar_day(now_us - SETTLE_US);
    uint32_t month = calendar_month(today);
    if (month < MONTH_FIRST || month > MONTH_LAST || settled == 0)
        return false; /* a clock that is not set */
    if (!months->started)
        months->pass = PASS_ALL;
    else if (months->day_done != settled)
        months->pass = PASS_DAY;
    else if (months->hour_done != now_us / HOUR_US)
        months->pass = PASS_HOUR;
    if (months->pass < months->again)
        months->pass = months->again;
    if (months->pass == PASS_NONE)
        return false;
    months->again = PASS_NONE;
    months->started = true;
    months->day_done = settled;
    months->hour_done = now_us / HOUR_US;
    months->over = settled - 1;
    months->month = months_back(month, back[months->pass]);
    months->month_last = month;
    months->group = NULL;
    forget_before(months, months_back(month, MONTHS_BACK_MAX));
    go_on(months);
    return months->pass != PASS_NONE;
}

/* One question, or one row. */
static int step(struct policy_months *months, int64_t now_us, struct error *err)
{
    struct draft *draft = &months->draft;
    bool more = false;
    if (!draft->begun && is_settled(months)) {
        go_on(months);
        return 0;
    }
    if (!draft->begun) {
        int asked = ask_month(months, months->group, months->month, now_us, draft, err);
        if (asked == 0 && draft->of_nobody)
            go_on(months);
        return asked;
    }
    uint32_t day = months->pass == PASS_HOUR ? 0 : next_day(&draft->row, months->over);
    int result = 0;
    if (day != 0)
        result = ask_day(months, day, now_us, &more, err);
    if (result == 0 && !more) {
        result = tell(months, now_us, err);
        if (result == 0)
            go_on(months);
    }
    return result;
}

static void fail(struct policy_months *months, int64_t now_us, const struct error *err)
{
    struct text text;
    months->retry_us = now_us + RETRY_US;
    months->again = months->pass;
    if (months->pass != PASS_NONE)
        go_on(months); /* the others need not wait for it */
    if (months->failing)
        return; /* said before */
    months->failing = true;
    text_init(&text);
    text_append_format(&text, "figures of the month: %s; tried again each minute", err->text);
    if (!text.failed)
        usage_add_note(months->config.usage, text_string(&text));
    text_destroy(&text);
}

static uint32_t wait_ms(int64_t us)
{
    return us >= (int64_t)WAIT_MS_MAX * 1000 ? WAIT_MS_MAX : (uint32_t)(us / 1000) + 1;
}

uint32_t policy_months_turn(struct policy_months *months, int64_t now_us)
{
    struct error err = {0};
    if (months->retry_us > now_us && months->retry_us - now_us <= RETRY_US)
        return wait_ms(months->retry_us - now_us);
    if (months->pass == PASS_NONE && !begin(months, now_us))
        return wait_ms(HOUR_US - now_us % HOUR_US);
    if (step(months, now_us, &err) != 0)
        fail(months, now_us, &err);
    else if (months->pass == PASS_NONE && months->again == PASS_NONE)
        months->failing = false; /* a whole pass went well */
    return STEP_MS;
}

/* -- A clean stop -- */

static int write_group(struct policy_months *months, struct usage_group *group, uint32_t month,
                       int64_t now_us, struct error *err)
{
    const struct kept *kept;
    struct report_month name = {0};
    struct draft draft;
    if (!name_row(months, group, month, &name, &kept))
        return 0;
    int result = ask_month(months, group, month, now_us, &draft, err);
    if (result != 0 || draft.of_nobody || !is_news(&draft, kept, PASS_ALL))
        return result;
    return write_row(months, group, month, now_us, &draft, err);
}

/* In one transaction, so that the disk is waited for once. */
static int write_all(struct policy_months *months, uint32_t first, uint32_t last, int64_t now_us,
                     struct error *err)
{
    int result = ledger_begin(months->config.ledger, err);
    if (result != 0)
        return result;
    for (uint32_t month = first; month <= last && result == 0; month++) {
        struct usage_group *group = usage_group_next(months->config.usage, NULL);
        for (uint32_t i = 0; group != NULL && i < STOP_GROUPS_MAX && result == 0; i++) {
            result = write_group(months, group, month, now_us, err);
            group = usage_group_next(months->config.usage, group);
        }
    }
    if (result == 0)
        return ledger_commit(months->config.ledger, err);
    ledger_rollback(months->config.ledger);
    return result;
}

void policy_months_stop(struct policy_months *months, int64_t now_us)
{
    struct error err = {0};
    uint32_t month = calendar_month(calendar_day(now_us));
    if (month < MONTH_FIRST || month > MONTH_LAST)
        return;
    (void)pthread_mutex_lock(months->config.ledger_lock);
    int result = write_all(months, months_back(month, 1), month, now_us, &err);
    (void)pthread_mutex_unlock(months->config.ledger_lock);
    if (result != 0)
        fail(months, now_us, &err);
}
