/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/alerts/watch.h"

#include "base/text.h"
#include "policy/alerts/alert_json.h"
#include "policy/alerts/alert_store.h"
#include "policy/users/calendar.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SETTLE_US      INT64_C(600000000) /* after midnight: late requests are counted by then */
#define RETRY_US       INT64_C(60000000)
#define EXACT_USERS    28672  /* up to so many a counter errs not at all */
#define RELATIVE_ERROR 0.0015 /* beyond */
#define MESSAGES_MAX   (ALERT_RULES * WATCH_TARGETS_MAX)

struct watched {
    struct line line;
    uint32_t done_day;        /* looked at up to it; 0: not since the lines were read */
    bool known;               /* there is a forecast */
    struct forecast forecast; /* under the lock */
};

struct watch {
    /* fixed at start */
    struct watch_config config;
    char *targets[WATCH_TARGETS_MAX];
    struct alert_store *alerts;
    struct point_store *points;
    /* the turning thread's */
    uint64_t generation;
    uint32_t day; /* the newest that is over, when the lines were read; 0: never */
    int64_t retry_us;
    uint32_t next; /* line to begin with */
    bool failing;
    struct point series[POINTS_DAYS_MAX];
    double users[POINTS_DAYS_MAX];
    struct line fresh[LINES_MAX];
    /* shared: written by that thread, under the lock */
    pthread_mutex_t lock;
    uint32_t line_count;
    struct watched lines[LINES_MAX], before[LINES_MAX];
};

static int copy_targets(struct watch *watch, struct error *err)
{
    for (uint32_t i = 0; i < watch->config.target_count; i++) {
        watch->targets[i] = strdup(watch->config.targets[i]);
        if (watch->targets[i] == NULL)
            return error_no_memory(err);
    }
    watch->config.targets = NULL;
    return 0;
}

struct watch *watch_new(const struct watch_config *config, struct error *err)
{
    assert(config->target_count <= WATCH_TARGETS_MAX);
    struct watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        error_no_memory(err);
        return NULL;
    }
    watch->config = *config;
    (void)pthread_mutex_init(&watch->lock, NULL); /* cannot fail with these attributes */
    if (copy_targets(watch, err) == 0)
        watch->alerts = alert_store_new(config->outbox, err);
    if (watch->alerts != NULL)
        watch->points = point_store_new(config->outbox, err);
    if (watch->points != NULL)
        return watch;
    watch_free(watch);
    return NULL;
}

void watch_free(struct watch *watch)
{
    if (watch == NULL)
        return;
    alert_store_free(watch->alerts);
    point_store_free(watch->points);
    for (uint32_t i = 0; i < watch->config.target_count; i++)
        free(watch->targets[i]);
    (void)pthread_mutex_destroy(&watch->lock);
    free(watch);
}

/* -- Which lines -- */

static struct watched *find(struct watched *lines, uint32_t count, const struct line *line)
{
    for (uint32_t i = 0; i < count; i++)
        if (line_same(&lines[i].line, line))
            return &lines[i];
    return NULL;
}

/* What two models share is one line; what was known of a line before stays until it is looked at
 * anew. */
static void read_lines(struct watch *watch, int64_t now_us)
{
    uint32_t count = watch->config.lines(watch->config.argument, now_us, watch->fresh, LINES_MAX);
    assert(count <= LINES_MAX);
    (void)pthread_mutex_lock(&watch->lock);
    uint32_t before_count = watch->line_count;
    memcpy(watch->before, watch->lines, before_count * sizeof *watch->lines);
    watch->line_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (find(watch->lines, watch->line_count, &watch->fresh[i]) != NULL)
            continue;
        const struct watched *before = find(watch->before, before_count, &watch->fresh[i]);
        struct watched *now = &watch->lines[watch->line_count++];
        if (before != NULL)
            *now = *before;
        else
            memset(now, 0, sizeof *now);
        now->line = watch->fresh[i];
        now->done_day = 0;
    }
    (void)pthread_mutex_unlock(&watch->lock);
    if (count == LINES_MAX)
        watch->config.note(watch->config.argument,
                           "more user thresholds than are watched: some have no alerts");
}

/* -- Points -- */

/* Makes the oldest point that is missing; *ret_made: whether one was. */
static int make_point(struct watch *watch, const struct line *line, int64_t now_us, bool *ret_made,
                      struct error *err)
{
    char scope[LINE_SCOPE_BYTES];
    uint32_t newest = 0, yesterday = watch->day;
    line_scope_key(line, scope);
    int result = point_store_newest(watch->points, scope, &newest, err);
    *ret_made = false;
    if (result != 0 || newest >= yesterday)
        return result;
    uint32_t first = yesterday < WATCH_CATCH_UP_DAYS ? 1 : yesterday - WATCH_CATCH_UP_DAYS + 1;
    struct point point = {.day = newest + 1 > first ? newest + 1 : first};
    result = watch->config.figures(watch->config.argument, line, now_us, &point, err);
    if (result == 0)
        result = point_store_put(watch->points, scope, &point, err);
    *ret_made = result == 0;
    return result;
}

/* -- A day of a line -- */

/* figures->day is set. */
static int read_figures(struct watch *watch, const struct line *line, struct alert_figures *figures,
                        struct forecast *forecast, struct error *err)
{
    char scope[LINE_SCOPE_BYTES];
    uint32_t count = 0;
    line_scope_key(line, scope);
    int result = point_store_read(watch->points, scope, figures->day, watch->series, &count, err);
    if (result != 0)
        return result;
    if (count == 0)
        return error_set(err, ERROR_NOT_FOUND, "%.200s: the day has no figure", scope);
    for (uint32_t i = 0; i < count; i++)
        watch->users[i] =
            line_upper(line, line->daily ? watch->series[i].daily : watch->series[i].rolling_30);
    const struct point *newest = &watch->series[count - 1];
    const struct forecast_question question = {
        .daily = watch->users,
        .day_count = count,
        .threshold = line->threshold,
        .relative_error = watch->users[count - 1] > EXACT_USERS ? RELATIVE_ERROR : 0};
    forecast_make(&question, forecast);
    figures->upper = line_upper(line, line->daily ? newest->daily_high : newest->monthly_high);
    return 0;
}

static void note_event(struct watch *watch, const struct alert_note *note)
{
    struct text text;
    text_init(&text);
    text_append_string(&text, note->event->fires ? "alert_fired " : "alert_cleared ");
    text_append_format(&text, "%s: ", alert_rule_name(note->event->rule));
    alert_sentence(note, &text);
    if (!text.failed)
        watch->config.note(watch->config.argument, text_string(&text));
    text_destroy(&text);
}

/* One day of one line, while it is looked at. */
struct look {
    const struct line *line;
    struct alert_scope scope;
    struct alert_watch state;
    struct alert_figures figures;
    int64_t now_ms;
    uint32_t event_count;
    struct alert_event events[ALERT_RULES];
};

static struct alert_note note_of(const struct look *look, uint32_t index)
{
    return (struct alert_note){
        .scope = &look->scope, .event = &look->events[index], .now_ms = look->now_ms};
}

/* The state and all messages in one transaction. */
static int save(struct watch *watch, const struct look *look, struct error *err)
{
    struct outbox_message messages[MESSAGES_MAX];
    struct text bodies[ALERT_RULES];
    uint32_t message_count = 0;
    int result = 0;
    for (uint32_t i = 0; i < look->event_count; i++) {
        const struct alert_note note = note_of(look, i);
        text_init(&bodies[i]);
        alert_json(&note, &bodies[i]);
        if (bodies[i].failed)
            result = error_no_memory(err);
        for (uint32_t t = 0; t < watch->config.target_count; t++)
            messages[message_count++] = (struct outbox_message){.id = look->events[i].id,
                                                                .target = watch->targets[t],
                                                                .body = text_string(&bodies[i])};
    }
    const struct alert_change change = {.condition = look->scope.condition,
                                        .scope = look->scope.scope,
                                        .watch = &look->state,
                                        .messages = messages,
                                        .message_count = message_count};
    if (result == 0)
        result = alert_store_save(watch->alerts, &change, look->now_ms, err);
    for (uint32_t i = 0; i < look->event_count; i++)
        text_destroy(&bodies[i]);
    return result;
}

static int evaluate(struct watch *watch, struct look *look, struct error *err)
{
    int count = alert_evaluate(&look->state, &look->scope, &look->figures, look->events, err);
    if (count < 0)
        return count;
    int result = 0;
    look->event_count = (uint32_t)count;
    for (uint32_t i = 0; i < look->event_count && result == 0; i++) {
        const struct watch_event event = {.line = look->line,
                                          .scope = &look->scope,
                                          .event = &look->events[i],
                                          .now_ms = look->now_ms};
        result = watch->config.record(watch->config.argument, &event, err);
    }
    if (result == 0)
        result = save(watch, look, err);
    for (uint32_t i = 0; i < look->event_count && result == 0; i++) {
        const struct alert_note note = note_of(look, i);
        note_event(watch, &note);
    }
    return result;
}

/* The day to look at: the first after the last that has a point; at first yesterday alone, since
 * nobody wants to hear of levels that were crossed months ago one after the other. */
static int next_day(struct watch *watch, const struct line *line, const struct alert_watch *state,
                    uint32_t *ret, struct error *err)
{
    char scope[LINE_SCOPE_BYTES];
    uint32_t day = 0;
    line_scope_key(line, scope);
    if (state->last_day != 0 && state->last_day < watch->day) {
        int result = point_store_after(watch->points, scope, state->last_day, &day, err);
        if (result != 0)
            return result;
    }
    *ret = day == 0 || day > watch->day ? watch->day : day;
    return 0;
}

static int look_at(struct watch *watch, struct watched *watched, int64_t now_us, struct error *err)
{
    const struct line *line = &watched->line;
    char name[LINE_SCOPE_BYTES];
    struct forecast forecast;
    struct look look = {
        .line = line,
        .scope = {.condition = line->condition, .scope = name, .threshold = line->threshold},
        .figures = {.forecast = &forecast},
        .now_ms = now_us / 1000};
    line_scope_name(line, name);
    int result = alert_store_load(watch->alerts, line->condition, name, &look.state, err);
    if (result == 0)
        result = next_day(watch, line, &look.state, &look.figures.day, err);
    if (result == 0)
        result = read_figures(watch, line, &look.figures, &forecast, err);
    if (result == 0 && look.figures.day > look.state.last_day)
        result = evaluate(watch, &look, err);
    if (result != 0)
        return result;
    (void)pthread_mutex_lock(&watch->lock);
    watched->done_day = look.figures.day;
    watched->forecast = forecast;
    watched->known = true;
    (void)pthread_mutex_unlock(&watch->lock);
    return 0;
}

/* -- Each turn -- */

static int step(struct watch *watch, struct watched *watched, int64_t now_us, struct error *err)
{
    bool made;
    int result = make_point(watch, &watched->line, now_us, &made, err);
    return result != 0 || made ? result : look_at(watch, watched, now_us, err);
}

static void fail(struct watch *watch, int64_t now_us, const struct error *err)
{
    struct text text;
    watch->retry_us = now_us + RETRY_US;
    watch->next++; /* the others need not wait for it */
    if (watch->failing)
        return; /* said before */
    watch->failing = true;
    text_init(&text);
    text_append_format(&text, "alerts: %s; tried again each minute", err->text);
    if (!text.failed)
        watch->config.note(watch->config.argument, text_string(&text));
    text_destroy(&text);
}

bool watch_turn(struct watch *watch, uint64_t generation, int64_t now_us)
{
    struct error err = {0};
    uint32_t over = calendar_day(now_us - SETTLE_US);
    if (over < 2 || (watch->retry_us > now_us && watch->retry_us - now_us <= RETRY_US))
        return false;
    if (watch->day != over - 1 || watch->generation != generation) {
        watch->day = over - 1;
        watch->generation = generation;
        read_lines(watch, now_us);
    }
    for (uint32_t i = 0; i < watch->line_count; i++) {
        uint32_t index = (watch->next + i) % watch->line_count;
        if (watch->lines[index].done_day == watch->day)
            continue;
        watch->next = index;
        int result = step(watch, &watch->lines[index], now_us, &err);
        if (result != 0)
            fail(watch, now_us, &err);
        else
            watch->failing = false;
        return result == 0;
    }
    return false;
}

bool watch_forecast(struct watch *watch, const struct line *line, struct forecast *ret)
{
    (void)pthread_mutex_lock(&watch->lock);
    const struct watched *watched = find(watch->lines, watch->line_count, line);
    bool known = watched != NULL && watched->known;
    if (known)
        *ret = watched->forecast;
    (void)pthread_mutex_unlock(&watch->lock);
    return known;
}
