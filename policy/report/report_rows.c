/* SPDX-License-Identifier: Apache-2.0 */
/* report_rows.c -- what each kind of row means to a report. A row that cannot be read is told as
 * an anomaly: the chain vouches for it, so it was written, and leaving it out unseen would be a
 * report of another ledger. */
#include "policy/evidence.h"
#include "policy/license/month.h"
#include "policy/report/report_collect.h"
#include "policy/report/report_inner.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One more entry, zeroed, at the end of a list; NULL when there is no memory. */
static void *add(void **list, uint32_t *count, size_t bytes)
{
    char *grown = (*count & (*count - 1)) == 0 /* a power of two, or none yet: full */
                      ? realloc(*list, (*count == 0 ? 1 : (size_t)*count * 2) * bytes)
                      : *list;
    if (grown == NULL)
        return NULL;
    *list = grown;
    memset(grown + (size_t)*count * bytes, 0, bytes);
    return grown + (size_t)(*count)++ * bytes;
}

static int too_many(struct error *err, const char *what, uint32_t most)
{
    return error_set(err, ERROR_BUSY, "more than %u %s: ask for one model or family", most, what);
}

static const char *copy(struct report_collector *collector, const char *string)
{
    return arena_copy(collector->report->arena, string, strlen(string));
}

int report_tell_anomaly(struct report_collector *collector, int64_t sequence, const char *format,
                        ...)
{
    struct report *report = collector->report;
    char told[512];
    va_list args;
    if (report->anomaly_count >= REPORT_ANOMALIES_MAX) {
        report->anomalies_untold++;
        return 0;
    }
    va_start(args, format);
    (void)vsnprintf(told, sizeof told, format, args);
    va_end(args);
    struct report_anomaly *anomaly =
        add((void **)&report->anomalies, &report->anomaly_count, sizeof *anomaly);
    const char *text = copy(collector, told);
    if (anomaly == NULL || text == NULL)
        return error_no_memory(collector->err);
    *anomaly = (struct report_anomaly){.sequence = sequence, .text = text};
    return 0;
}

/* A row at fault is told; memory and limits end the collecting. */
static int tell_unless_fatal(struct report_collector *collector, const struct ledger_row *row,
                             int result)
{
    if (result != ERROR_INVALID)
        return result;
    char why[ERROR_TEXT_MAX];
    (void)snprintf(why, sizeof why, "%s", collector->err->text);
    *collector->err = (struct error){0};
    return report_tell_anomaly(collector, row->sequence, "a row of kind %s cannot be read: %.300s",
                               row->kind, why);
}

/* -- Figures -- */

static bool is_in_scope(const struct report_request *request, const struct report_month *month)
{
    if (request->organisation)
        return month->model[0] == '\0' && month->family[0] == '\0' && month->product[0] == '\0';
    if (request->model[0] != '\0')
        return strcmp(month->model, request->model) == 0;
    return request->family[0] == '\0' || strcmp(month->family, request->family) == 0;
}

static struct report_users *find_users(const struct report *report, const struct report_month *of)
{
    for (uint32_t i = 0; i < report->users_count; i++)
        if (report_month_is_same(&report->users[i].month, of))
            return &report->users[i];
    return NULL;
}

/* Whether the row takes the place of what stands; what of it does not fit is told. */
static int supersede(struct report_collector *collector, struct report_users *users,
                     const struct ledger_row *row, struct report_month *month)
{
    const struct report_month *old = &users->month;
    const char *whose = month->model[0] != '\0'     ? month->model
                        : month->family[0] != '\0'  ? month->family
                        : month->product[0] != '\0' ? month->product
                                                    : REPORT_ORGANISATION;
    users->rows++;
    if (month->lower.low < old->lower.low || month->upper.high < old->upper.high)
        return report_tell_anomaly(
            collector, row->sequence,
            "%s: %llu to %llu users would take the place of %llu to %llu of row %lld: a month's "
            "figures do not sink, and the earlier ones stand",
            whose, (unsigned long long)month->lower.low, (unsigned long long)month->upper.high,
            (unsigned long long)old->lower.low, (unsigned long long)old->upper.high,
            (long long)users->sequence);
    int result = 0;
    if (month->state == REPORT_PROVISIONAL && old->state != REPORT_PROVISIONAL) {
        result = report_tell_anomaly(collector, row->sequence,
                                     "%s: provisional figures for a month that was final; they are "
                                     "higher and stand as amended",
                                     whose);
        month->state = REPORT_AMENDED;
    }
    users->month = *month;
    users->sequence = row->sequence;
    users->at_unix = row->at_unix;
    return result;
}

static int take_month(struct report_collector *collector, const struct ledger_row *row)
{
    struct report *report = collector->report;
    struct report_month month;
    int result = report_month_read(row->body, report->arena, &month, collector->err);
    if (result != 0)
        return result;
    if (strcmp(month.model, row->model) != 0)
        return error_set(collector->err, ERROR_INVALID, "it names another model than its row");
    if (month.month != report->request.month || !is_in_scope(&report->request, &month))
        return 0;
    struct report_users *users = find_users(report, &month);
    if (users != NULL)
        return supersede(collector, users, row, &month);
    if (report->users_count >= REPORT_ENTRIES_MAX)
        return too_many(collector->err, "figures", REPORT_ENTRIES_MAX);
    users = add((void **)&report->users, &report->users_count, sizeof *users);
    if (users == NULL)
        return error_no_memory(collector->err);
    *users = (struct report_users){
        .month = month, .at_unix = row->at_unix, .sequence = row->sequence, .rows = 1};
    return 0;
}

/* -- Verdicts -- */

static int keep_verdict(struct report_collector *collector, const struct ledger_row *row)
{
    struct report_kept *kept = NULL;
    if (row->at_unix >= collector->month_to)
        return 0;
    for (uint32_t i = 0; i < collector->verdict_count && kept == NULL; i++)
        if (strcmp(collector->verdicts[i].model, row->model) == 0)
            kept = &collector->verdicts[i];
    if (kept == NULL) {
        if (collector->verdict_count >= REPORT_MODELS_MAX)
            return error_set(collector->err, ERROR_BUSY, "verdicts of more than %u models",
                             REPORT_MODELS_MAX);
        kept = add((void **)&collector->verdicts, &collector->verdict_count, sizeof *kept);
        if (kept == NULL || (kept->model = strdup(row->model)) == NULL)
            return error_no_memory(collector->err);
    }
    char *body = strdup(row->body);
    if (body == NULL)
        return error_no_memory(collector->err);
    free(kept->body);
    kept->body = body;
    kept->at_unix = row->at_unix;
    kept->sequence = row->sequence;
    kept->changes += row->at_unix >= collector->month_from;
    return 0;
}

static int read_line(struct report_collector *collector, const json_t *value,
                     struct report_line *line)
{
    struct arena *arena = collector->report->arena;
    int result = report_string(value, "metric", arena, &line->metric, collector->err);
    if (result == 0)
        result = report_string(value, "op", arena, &line->op, collector->err);
    if (result == 0)
        result = report_string(value, "window", arena, &line->window, collector->err);
    if (result == 0)
        result = report_string(value, "currency", arena, &line->currency, collector->err);
    return result == 0 ? report_number(value, "value", INT64_MAX, &line->value, collector->err)
                       : result;
}

static int read_lines(struct report_collector *collector, const json_t *value,
                      struct report_condition *condition)
{
    const json_t *lines = json_object_get(value, "any_of");
    size_t count = json_array_size(lines);
    if (count > REPORT_ENTRIES_MAX)
        return too_many(collector->err, "lines", REPORT_ENTRIES_MAX);
    condition->lines = arena_alloc(collector->report->arena, count * sizeof *condition->lines + 1);
    if (condition->lines == NULL)
        return error_no_memory(collector->err);
    for (uint32_t i = 0; i < count; i++) {
        int result = read_line(collector, json_array_get(lines, i), &condition->lines[i]);
        if (result != 0)
            return result;
    }
    condition->line_count = (uint32_t)count;
    return 0;
}

static int read_condition(struct report_collector *collector, const json_t *value,
                          struct report_condition *condition)
{
    const struct {
        const char *key, **ret;
    } members[] = {{"id", &condition->id},
                   {"kind", &condition->kind},
                   {"clause", &condition->clause},
                   {"summary", &condition->summary},
                   {"text", &condition->text},
                   {"scope", &condition->scope},
                   {"test_month", &condition->test_month},
                   {"verdict", &condition->verdict},
                   {"literal", &condition->literal},
                   {"conservative", &condition->conservative},
                   {"acknowledged", &condition->acknowledged}};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        int result = report_string(value, members[i].key, collector->report->arena, members[i].ret,
                                   collector->err);
        if (result != 0)
            return result;
    }
    return read_lines(collector, value, condition);
}

static int read_license(struct report_collector *collector, const json_t *root,
                        struct report_license *license)
{
    struct arena *arena = collector->report->arena;
    const json_t *conditions = json_object_get(root, "conditions");
    const json_t *first = json_array_get(json_object_get(root, "licenses"), 0);
    size_t count = json_array_size(conditions);
    if (count > REPORT_ENTRIES_MAX)
        return too_many(collector->err, "conditions", REPORT_ENTRIES_MAX);
    int result = report_string(root, "license", arena, &license->license, collector->err);
    if (result == 0)
        result = report_string(first, "family", arena, &license->family, collector->err);
    if (result == 0)
        result = report_string(root, "verdict", arena, &license->verdict, collector->err);
    if (result == 0)
        result = report_string(root, "literal", arena, &license->literal, collector->err);
    if (result == 0)
        result = report_string(root, "conservative", arena, &license->conservative, collector->err);
    license->conditions = arena_alloc(arena, count * sizeof *license->conditions + 1);
    if (result == 0 && license->conditions == NULL)
        return error_no_memory(collector->err);
    for (uint32_t i = 0; result == 0 && i < count; i++)
        result = read_condition(collector, json_array_get(conditions, i), &license->conditions[i]);
    license->condition_count = result == 0 ? (uint32_t)count : 0;
    return result;
}

static int take_verdict(struct report_collector *collector, const struct report_kept *kept)
{
    struct report *report = collector->report;
    const struct report_request *request = &report->request;
    struct report_license license = {.model = copy(collector, kept->model),
                                     .at_unix = kept->at_unix,
                                     .sequence = kept->sequence,
                                     .changes = kept->changes};
    json_t *root = NULL;
    if (license.model == NULL)
        return error_no_memory(collector->err);
    if (request->model[0] != '\0' && strcmp(request->model, kept->model) != 0)
        return 0;
    int result = report_parse(kept->body, &root, collector->err);
    if (result != 0)
        return result;
    result = read_license(collector, root, &license);
    json_decref(root);
    if (result != 0 || (request->family[0] != '\0' && strcmp(request->family, license.family) != 0))
        return result;
    struct report_license *added =
        add((void **)&report->licenses, &report->license_count, sizeof *added);
    if (added == NULL)
        return error_no_memory(collector->err);
    *added = license;
    return 0;
}

int report_take_verdicts(struct report_collector *collector)
{
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < collector->verdict_count; i++) {
        const struct report_kept *kept = &collector->verdicts[i];
        const struct ledger_row row = {.sequence = kept->sequence, .kind = EVIDENCE_VERDICT};
        result = tell_unless_fatal(collector, &row, take_verdict(collector, kept));
    }
    return result;
}

/* -- Acknowledgements and alerts -- */

static int take_acknowledgement(struct report_collector *collector, const struct ledger_row *row)
{
    struct report *report = collector->report;
    struct arena *arena = report->arena;
    struct report_acknowledgement *found = NULL, one = {.at_unix = row->at_unix,
                                                        .sequence = row->sequence,
                                                        .model = copy(collector, row->model),
                                                        .condition = copy(collector, row->subject)};
    json_t *root = NULL;
    if (row->at_unix >= collector->month_to)
        return 0;
    if (one.model == NULL || one.condition == NULL)
        return error_no_memory(collector->err);
    int result = report_parse(row->body, &root, collector->err);
    if (result == 0)
        result = report_string(root, "clause", arena, &one.clause, collector->err);
    if (result == 0)
        result = report_string(root, "reference", arena, &one.reference, collector->err);
    if (result == 0)
        result = report_string(root, "signer", arena, &one.signer, collector->err);
    json_decref(root);
    if (result != 0)
        return result;
    for (uint32_t i = 0; i < report->acknowledgement_count && found == NULL; i++)
        if (strcmp(report->acknowledgements[i].model, one.model) == 0 &&
            strcmp(report->acknowledgements[i].condition, one.condition) == 0)
            found = &report->acknowledgements[i];
    if (found == NULL && report->acknowledgement_count >= REPORT_ENTRIES_MAX)
        return too_many(collector->err, "acknowledgements", REPORT_ENTRIES_MAX);
    if (found == NULL)
        found = add((void **)&report->acknowledgements, &report->acknowledgement_count, sizeof one);
    if (found == NULL)
        return error_no_memory(collector->err);
    *found = one;
    return 0;
}

static int read_alert(struct report_collector *collector, const json_t *root,
                      struct report_alert *alert)
{
    struct arena *arena = collector->report->arena;
    const json_t *days = json_object_get(root, "days_early");
    int result = report_string(root, "id", arena, &alert->id, collector->err);
    if (result == 0)
        result = report_string(root, "condition", arena, &alert->condition, collector->err);
    if (result == 0)
        result = report_string(root, "scope", arena, &alert->scope, collector->err);
    if (result == 0)
        result = report_string(root, "rule", arena, &alert->rule, collector->err);
    if (result == 0)
        result = report_string(root, "day", arena, &alert->day, collector->err);
    if (result == 0)
        result = report_bool(root, "fires", &alert->fires, collector->err);
    alert->upper = json_number_value(json_object_get(root, "upper"));
    alert->threshold = json_number_value(json_object_get(root, "threshold"));
    alert->has_days_early = json_is_number(days);
    alert->days_early = json_number_value(days);
    double most = (double)REPORT_USERS_MAX;
    if (result == 0 && (!(alert->upper >= 0 && alert->upper <= most) ||
                        !(alert->threshold >= 0 && alert->threshold <= most)))
        result = error_set(collector->err, ERROR_INVALID, "upper, threshold: expected users");
    return result;
}

static int take_alert(struct report_collector *collector, const struct ledger_row *row)
{
    struct report *report = collector->report;
    struct report_alert alert = {.sequence = row->sequence};
    json_t *root = NULL;
    int result = report_parse(row->body, &root, collector->err);
    if (result == 0)
        result = read_alert(collector, root, &alert);
    json_decref(root);
    if (result != 0 || report_day_of(alert.day, report->request.month) == 0)
        return result;
    if (report->alert_count >= REPORT_ENTRIES_MAX)
        return too_many(collector->err, "alerts", REPORT_ENTRIES_MAX);
    struct report_alert *added = add((void **)&report->alerts, &report->alert_count, sizeof alert);
    if (added == NULL)
        return error_no_memory(collector->err);
    *added = alert;
    return 0;
}

/* -- Users elsewhere -- */

static int read_outside(struct report_collector *collector, const json_t *root,
                        struct report_outside *one)
{
    struct arena *arena = collector->report->arena;
    int result = report_string(root, "product", arena, &one->product, collector->err);
    if (result == 0)
        result = report_string(root, "signer", arena, &one->signer, collector->err);
    return result == 0 ? report_number(root, "users", REPORT_USERS_MAX, &one->users, collector->err)
                       : result;
}

/* The newest of a product; a row of another month says nothing here. */
static int take_outside(struct report_collector *collector, const struct ledger_row *row)
{
    struct report *report = collector->report;
    struct report_outside *found = NULL, one = {.at_unix = row->at_unix, .sequence = row->sequence};
    json_t *root = NULL;
    int result = report_parse(row->body, &root, collector->err);
    int32_t month = month_parse(json_string_value(json_object_get(root, "month")));
    if (result == 0 && month == report->request.month)
        result = read_outside(collector, root, &one);
    json_decref(root);
    if (result != 0 || month != report->request.month)
        return result;
    for (uint32_t i = 0; i < report->outside_count && found == NULL; i++)
        if (strcmp(report->outside[i].product, one.product) == 0)
            found = &report->outside[i];
    if (found == NULL && report->outside_count >= REPORT_ENTRIES_MAX)
        return too_many(collector->err, "users outside", REPORT_ENTRIES_MAX);
    if (found == NULL)
        found = add((void **)&report->outside, &report->outside_count, sizeof one);
    if (found == NULL)
        return error_no_memory(collector->err);
    *found = one;
    return 0;
}

int report_take_row(struct report_collector *collector, const struct ledger_row *row)
{
    static const struct {
        const char *kind;
        int (*take)(struct report_collector *collector, const struct ledger_row *row);
    } kinds[] = {{REPORT_MONTH_KIND, take_month},
                 {EVIDENCE_VERDICT, keep_verdict},
                 {EVIDENCE_ACKNOWLEDGEMENT, take_acknowledgement},
                 {EVIDENCE_OUTSIDE, take_outside},
                 {REPORT_ALERT_KIND, take_alert}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(row->kind, kinds[i].kind) == 0)
            return tell_unless_fatal(collector, row, kinds[i].take(collector, row));
    return 0; /* other kinds are no part of a report */
}
