/* SPDX-License-Identifier: Apache-2.0 */
/* admin_usage.c -- GET /admin/v1/usage[?month=2026-10]: all that is counted, as numbers.
 *
 * config/schema/usage.schema.json is what it promises. Figures are exact as far as they are known:
 * they are the operator's. A tenant must not have them, for whoever may ask often enough how many
 * there are can make a sketch tell anything. */
#include "base/clock.h"
#include "daemon/api/answer.h"
#include "daemon/api/handlers.h"
#include "policy/license/assessment.h"
#include "policy/license/month.h"
#include "policy/policy_feed.h"
#include "policy/policy_fleet.h"
#include "policy/policy_groups.h"
#include "policy/policy_lines.h"
#include "policy/render/json_writer.h"
#include "policy/users/calendar.h"
#include "policy/users/years.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LINES_A_MODEL 32u

static void write_number(struct text *out, const char *key, double value)
{
    text_append_format(
        out, "%s\"%s\":", out->count > 0 && out->bytes[out->count - 1] == '{' ? "" : ",", key);
    text_append_json_double(out, value);
}

static void write_date(struct text *out, const char *key, uint32_t day)
{
    char digits[CALENDAR_TEXT_BYTES];
    struct text date;
    text_init(&date);
    calendar_write(day < CALENDAR_DAY_MAX ? day : CALENDAR_DAY_MAX, digits);
    text_append_format(&date, "%.4s-%.2s-%.2s", digits, digits + 4, digits + 6);
    json_write_take(out, key, &date);
}

static void write_figure(struct text *out, const char *key, const struct usage_figure *figure)
{
    json_write_open(out, key, '{');
    write_number(out, "users", figure->users);
    write_number(out, "low", figure->low);
    write_number(out, "high", figure->high);
    json_write_bool(out, "exact", figure->exact);
    json_write_close(out, '}');
}

static void write_window(struct text *out, const struct usage_figures *figures)
{
    json_write_open(out, usage_window_name(figures->window), '{');
    write_date(out, "first_day", figures->first_day);
    write_date(out, "last_day", figures->last_day);
    write_figure(out, "lower", &figures->lower);
    write_figure(out, "best", &figures->best);
    write_figure(out, "upper", &figures->upper);
    write_figure(out, "upper_strict", &figures->upper_strict);
    json_write_open(out, "users_by_class", '{');
    for (uint32_t c = 0; c < IDENTITY_NONE; c++)
        write_number(out, identity_class_name((enum identity_class)c), figures->users_by_class[c]);
    json_write_close(out, '}');
    json_write_open(out, "requests", '{');
    for (uint32_t c = 0; c < IDENTITY_CLASS_COUNT; c++)
        json_write_u64(out, identity_class_name((enum identity_class)c), figures->requests[c]);
    json_write_close(out, '}');
    write_number(out, "coverage", figures->coverage);
    json_write_bool(out, "identity_insufficient", figures->identity_insufficient);
    json_write_bool(out, "final", figures->final);
    json_write_u64(out, "amended", figures->amended);
    json_write_u64(out, "days_missing", figures->days_missing);
    json_write_close(out, '}');
}

static void on_group(void *argument, const struct policy_group *group)
{
    struct text *out = argument;
    json_write_open(out, NULL, '{');
    json_write_string(out, "kind", group->kind);
    json_write_string(out, "name", group->name);
    json_write_bool(out, "known", group->known);
    json_write_open(out, "windows", '{');
    for (uint32_t w = 0; w < group->window_count; w++)
        write_window(out, &group->windows[w]);
    json_write_close(out, '}');
    json_write_close(out, '}');
}

/* A day, "never", or null where none can be told. */
static void write_days(struct text *out, const char *key, double days, uint32_t today)
{
    char date_key[32];
    (void)snprintf(date_key, sizeof date_key, "%s_date", key);
    if (isinf(days)) {
        json_write_string(out, key, "never");
        json_write_string_or_null(out, date_key, "");
        return;
    }
    write_number(out, key, days);
    if (isnan(days) || days > CALENDAR_DAY_MAX)
        json_write_string_or_null(out, date_key, "");
    else
        write_date(out, date_key, today + (uint32_t)fmax(days, 0));
}

static void write_line(struct text *out, const char *model, const struct policy_line *line,
                       uint32_t today)
{
    json_write_open(out, NULL, '{');
    json_write_string(out, "model", model);
    json_write_string(out, "license", line->license);
    json_write_string(out, "condition", line->condition);
    json_write_string(out, "kind", line->kind);
    json_write_string(out, "name", line->name);
    json_write_string(out, "per", line->daily ? "day" : "month");
    write_number(out, "threshold", line->threshold);
    write_number(out, "lower", line->lower);
    write_number(out, "upper", line->upper);
    write_number(out, "headroom_ratio", 1 - line->upper / line->threshold);
    write_days(out, "crossing_days_early", line->days_early, today);
    write_days(out, "crossing_days", line->days, today);
    write_days(out, "crossing_days_late", line->days_late, today);
    json_write_close(out, '}');
}

static void write_lines(struct text *out, const struct server *server, int64_t now_us)
{
    struct policy_line lines[LINES_A_MODEL];
    json_write_open(out, "lines", '[');
    for (uint32_t i = 0; i < server->model_count; i++) {
        const struct served_model *model = server_model(server, i);
        if (model == NULL)
            continue;
        uint32_t count = policy_lines(server->policy, model->policy, now_us, lines, LINES_A_MODEL);
        for (uint32_t l = 0; l < count; l++)
            write_line(out, model->id, &lines[l], calendar_day(now_us));
    }
    json_write_close(out, ']');
}

static void write_models(struct text *out, const struct server *server)
{
    json_write_open(out, "models", '[');
    for (uint32_t i = 0; i < server->model_count; i++)
        if (server_model(server, i) != NULL)
            json_write_string(out, NULL, server->models[i].id);
    json_write_close(out, ']');
}

/* What is of the whole daemon, and not of a month. */
/* null where no exchange has succeeded yet; alone the view is always whole. */
static void write_stale(struct text *out, const struct policy *policy, int64_t now_us)
{
    struct policy_fleet_status fleet;
    policy_fleet_status(policy, now_us, &fleet);
    if (fleet.stale_seconds == UINT64_MAX)
        json_write_string_or_null(out, "stale_seconds", NULL);
    else
        json_write_u64(out, "stale_seconds", fleet.stale_seconds);
}

static void write_state(struct text *out, const struct server *server, int64_t now_us)
{
    const struct served_model *any = server_first_model(server);
    struct policy_usage usage = {0};
    struct policy_messages messages;
    if (any != NULL)
        policy_usage(server->policy, any->policy, now_us, &usage);
    policy_messages(server->policy, &messages);
    write_stale(out, server->policy, now_us);
    json_write_u64(out, "unsaved", usage.unsaved);
    json_write_u64(out, "left_out", usage.left_out);
    json_write_open(out, "messages", '{');
    json_write_u64(out, "pending", messages.pending);
    json_write_u64(out, "delivered", messages.delivered);
    json_write_u64(out, "dead", messages.dead);
    json_write_close(out, '}');
}

/* Under which users of today are hashed. */
static void write_keys(struct text *out, const struct policy *policy, uint32_t today)
{
    uint32_t years[YEARS_MAX], count = years_of_day(today, years);
    json_write_open(out, "keys", '[');
    for (uint32_t i = 0; i < count; i++) {
        struct text id;
        text_init(&id);
        text_append_format(&id, "%016llx", (unsigned long long)policy_key_id(policy, years[i]));
        json_write_open(out, NULL, '{');
        json_write_u64(out, "year", years[i]);
        json_write_take(out, "id", &id);
        json_write_close(out, '}');
    }
    json_write_close(out, ']');
}

static void write_usage(struct text *out, const struct server *server, uint32_t month,
                        int64_t now_us)
{
    char name[MONTH_TEXT_BYTES];
    month_write((int32_t)month, name);
    text_append_char(out, '{');
    json_write_string(out, "object", "usage");
    json_write_string(out, "version", WEIR_VERSION);
    json_write_u64(out, "at_unix", (uint64_t)(now_us / 1000000));
    json_write_string(out, "month", name);
    write_keys(out, server->policy, calendar_day(now_us));
    write_state(out, server, now_us);
    write_models(out, server);
    json_write_open(out, "groups", '[');
    uint32_t count = policy_groups_each(server->policy, month, now_us, on_group, out);
    json_write_close(out, ']');
    json_write_u64(out, "groups_left_out",
                   count > POLICY_GROUPS_MAX ? count - POLICY_GROUPS_MAX : 0);
    write_lines(out, server, now_us);
    json_write_close(out, '}');
}

/* "month=2026-10" or nothing. */
static int read_month(const char *query, uint32_t now, uint32_t *ret, struct fault *fault)
{
    static const char key[] = "month=";
    *ret = now;
    if (query[0] == '\0')
        return 0;
    int32_t month =
        strncmp(query, key, sizeof key - 1) == 0 ? month_parse(query + sizeof key - 1) : MONTH_NONE;
    if (month == MONTH_NONE || (uint32_t)month > now)
        return fault_set(fault, 400, "month",
                         "expected month= and one that is not to come, such "
                         "as 2026-10");
    *ret = (uint32_t)month;
    return 0;
}

void admin_usage_answer(struct call *call)
{
    int64_t now_us = clock_unix_us();
    struct fault fault;
    uint32_t month;
    if (read_month(exchange_query(call->exchange), calendar_month(calendar_day(now_us)), &month,
                   &fault) != 0) {
        answer_fault(call, &fault, NULL);
        return;
    }
    struct text body;
    text_init(&body);
    write_usage(&body, call->api->server, month, now_us);
    answer_json(call, &body);
    text_destroy(&body);
}
