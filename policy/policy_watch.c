/* SPDX-License-Identifier: Apache-2.0 */
/* policy_watch.c -- from counters and licences to alerts: what the watch asks is answered here, by
 * the policy thread, between its commits. */
#include "policy/alerts/alert_json.h"
#include "policy/alerts/delivery.h"
#include "policy/alerts/watch.h"
#include "policy/license/assessment.h"
#include "policy/license/month.h"
#include "policy/policy_inner.h"
#include "policy/render/json_writer.h"
#include "policy/users/calendar.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EVIDENCE_ALERT    "alert"
#define ROLLING_AGE_S_MAX 120u
#define MODEL_LINES_MAX   32u
#define CATCH_UP_MS       100u /* between steps of a day that is over: others want counters too */
#define SECOND_US         INT64_C(1000000)

static_assert(WATCH_TARGETS_MAX == POLICY_WEBHOOKS_MAX, "each hears of all");

/* -- Lines -- */

static uint32_t lines_of_model(const struct policy *policy, const struct policy_model *model,
                               int64_t now_us, struct line *ret, uint32_t capacity)
{
    const struct line_source source = {.assessment = policy_model_assessment(model),
                                       .declaration = atomic_load(&policy->declaration),
                                       .product = model->facts->product,
                                       .month = month_of_unix(now_us / SECOND_US)};
    return model->scope == NULL ? 0 : lines_of(&source, ret, capacity);
}

static uint32_t all_lines(void *argument, int64_t now_us, struct line *ret, uint32_t capacity)
{
    const struct policy *policy = argument;
    uint32_t count = 0;
    for (const struct policy_model *model = policy->models; model != NULL; model = model->next)
        count += lines_of_model(policy, model, now_us, ret + count, capacity - count);
    return count;
}

/* -- Figures -- */

/* Of a day that is over. What 31 days hold is never less than a month up to that day; only once it
 * is over has a month more, the days at its edges. */
static int figures_of(void *argument, const struct line *line, int64_t now_us, struct point *point,
                      struct error *err)
{
    struct policy *policy = argument;
    struct usage_figures figures;
    struct usage_question question = {.group =
                                          policy_group_of(policy, line->scope, line_whose(line)),
                                      .day = point->day,
                                      .now_unix_us = now_us};
    if (question.group == NULL)
        return error_set(err, ERROR_NOT_FOUND, "%.200s: nothing is counted", line->condition);
    question.window = USAGE_WINDOW_ROLLING_30;
    int result = usage_ask(policy->usage, &question, &figures, err);
    if (result != 0)
        return result;
    point->rolling_30 = figures.upper.users;
    question.window = USAGE_WINDOW_ROLLING_31;
    result = usage_ask(policy->usage, &question, &figures, err);
    if (result != 0)
        return result;
    point->monthly_high = figures.upper.high;
    question.window = USAGE_WINDOW_DAY;
    result = usage_ask(policy->usage, &question, &figures, err);
    if (result != 0)
        return result;
    point->daily = figures.upper.users;
    point->daily_high = figures.upper.high;
    if (point->day + 1 != calendar_day(now_us) ||
        point->day != calendar_last_day(calendar_month(point->day)))
        return 0;
    question.window = USAGE_WINDOW_MONTH;
    result = usage_ask(policy->usage, &question, &figures, err);
    if (result == 0)
        point->monthly_high = fmax(point->monthly_high, figures.upper.high);
    return result;
}

/* -- What is told -- */

static void append_number(struct text *out, const char *key, double value)
{
    text_append_format(out, ",\"%s\":", key);
    text_append_json_double(out, value);
}

/* The subject is the alert's own id, so that one that is said again after a crash is no second
 * row. */
static int record(void *argument, const struct watch_event *told, struct error *err)
{
    struct policy *policy = argument;
    const struct alert_event *event = told->event;
    struct text body;
    text_init(&body);
    text_append_char(&body, '{');
    json_write_string(&body, "id", event->id);
    json_write_string(&body, "condition", told->scope->condition);
    json_write_string(&body, "scope", told->scope->scope);
    json_write_string(&body, "rule", alert_rule_name(event->rule));
    json_write_bool(&body, "fires", event->fires);
    append_number(&body, "upper", round(event->upper));
    append_number(&body, "threshold", event->threshold);
    append_number(&body, "days_early", event->days_early);
    text_append_string(&body, ",\"day\":\"");
    alert_date(event->day, &body);
    text_append_string(&body, "\"}");
    const struct ledger_entry entry = {.at_unix = told->now_ms / 1000,
                                       .kind = EVIDENCE_ALERT,
                                       .model = told->line->model,
                                       .subject = event->id,
                                       .body = text_string(&body)};
    int result = body.failed ? error_no_memory(err) : policy_record(policy, &entry, err);
    text_destroy(&body);
    return result;
}

static void note(void *argument, const char *text)
{
    struct policy *policy = argument;
    usage_add_note(policy->usage, text);
}

/* -- Life -- */

int policy_watch_open(struct policy *policy, const struct policy_config *config, struct error *err)
{
    const char *targets[POLICY_WEBHOOKS_MAX];
    if (config->webhook_count > POLICY_WEBHOOKS_MAX)
        return error_set(err, ERROR_INVALID, "at most %u webhooks", POLICY_WEBHOOKS_MAX);
    policy->outbox = outbox_open(policy->folder, err);
    if (policy->outbox == NULL)
        return err->code;
    const struct delivery_config delivery = {.webhooks = config->webhooks,
                                             .webhook_count = config->webhook_count,
                                             .outbox = policy->outbox,
                                             .note = note,
                                             .argument = policy};
    policy->delivery = delivery_new(&delivery, err);
    if (policy->delivery == NULL)
        return err->code;
    for (uint32_t i = 0; i < config->webhook_count; i++)
        targets[i] = config->webhooks[i].name;
    const struct watch_config watch = {.outbox = policy->outbox,
                                       .targets = targets,
                                       .target_count = config->webhook_count,
                                       .lines = all_lines,
                                       .figures = figures_of,
                                       .record = record,
                                       .note = note,
                                       .argument = policy};
    policy->watch = watch_new(&watch, err);
    return policy->watch == NULL ? err->code : 0;
}

void policy_watch_close(struct policy *policy)
{
    watch_free(policy->watch);
    delivery_free(policy->delivery);
    outbox_close(policy->outbox);
}

uint32_t policy_watch_turn(void *argument, int64_t now_us)
{
    struct policy *policy = argument;
    /* Either only rises: the sum is another one when anything was weighed anew or added. */
    uint64_t generation = atomic_load(&policy->generation) + policy->model_count;
    bool more = watch_turn(policy->watch, generation, now_us);
    uint32_t wait_ms = delivery_turn(policy->delivery, now_us);
    return more && wait_ms > CATCH_UP_MS ? CATCH_UP_MS : wait_ms;
}

/* -- What is near, now -- */

struct span {
    double lower, upper;
};

/* The lower end is the calendar month's alone: what a clause of months can be held against. */
static bool span_of(struct policy *policy, const struct line *line, int64_t now_us,
                    struct span *ret)
{
    static const enum usage_window monthly[] = {USAGE_WINDOW_MONTH, USAGE_WINDOW_ROLLING_31};
    static const enum usage_window daily[] = {USAGE_WINDOW_DAY};
    struct usage_question question = {.group =
                                          policy_group_of(policy, line->scope, line_whose(line)),
                                      .day = calendar_day(now_us),
                                      .now_unix_us = now_us};
    const enum usage_window *windows = line->daily ? daily : monthly;
    uint32_t count = line->daily ? 1 : 2;
    double lower = 0, upper = 0;
    for (uint32_t i = 0; question.group != NULL && i < count; i++) {
        struct usage_figures figures;
        question.window = windows[i];
        question.age_s_max = windows[i] == USAGE_WINDOW_ROLLING_31 ? ROLLING_AGE_S_MAX : 0;
        if (usage_ask(policy->usage, &question, &figures, NULL) != 0)
            return false;
        upper = fmax(upper, figures.upper.high);
        if (i == 0)
            lower = figures.lower.low;
    }
    *ret = (struct span){.lower = line_lower(line, lower), .upper = line_upper(line, upper)};
    return question.group != NULL;
}

static struct policy_line line_now(struct policy *policy, const struct line *line,
                                   const struct span *span)
{
    struct forecast forecast;
    struct policy_line now = {.license = line->license,
                              .condition = line->condition,
                              .lower = span->lower,
                              .upper = span->upper,
                              .threshold = line->threshold,
                              .kind = line_kind_name(line->scope),
                              .name = line_whose(line),
                              .daily = line->daily,
                              .days_early = NAN,
                              .days = NAN,
                              .days_late = NAN};
    if (watch_forecast(policy->watch, line, &forecast) && forecast.outcome != FORECAST_TOO_SHORT) {
        now.days_early = forecast.days_early;
        now.days = forecast.days;
        now.days_late = forecast.days_late;
    }
    return now;
}

uint32_t policy_lines(struct policy *policy, const struct policy_model *model, int64_t now_us,
                      struct policy_line *ret, uint32_t capacity)
{
    struct line lines[MODEL_LINES_MAX];
    uint32_t made = 0, count = lines_of_model(policy, model, now_us, lines, MODEL_LINES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct span span;
        uint32_t at = 0;
        if (!span_of(policy, &lines[i], now_us, &span))
            continue;
        while (at < made && strcmp(ret[at].condition, lines[i].condition) != 0)
            at++;
        if (at == capacity ||
            (at < made && span.upper / lines[i].threshold <= ret[at].upper / ret[at].threshold))
            continue;
        ret[at] = line_now(policy, &lines[i], &span);
        made += at == made;
    }
    return made;
}

void policy_messages(const struct policy *policy, struct policy_messages *ret)
{
    struct outbox_counts counts;
    delivery_counts(policy->delivery, &counts);
    *ret = (struct policy_messages){
        .pending = counts.pending, .delivered = counts.delivered, .dead = counts.dead};
}
