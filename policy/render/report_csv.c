/* SPDX-License-Identifier: Apache-2.0 */
/* report_csv.c -- one table for all: what a field holds depends on the record's kind, and the
 * columns that a kind has no use for are empty, so that a spreadsheet can filter by the first. */
#include "policy/license/month.h"
#include "policy/render/plain.h"
#include "policy/render/report_render.h"
#include "policy/render/report_view.h"

#include <stdio.h>
#include <string.h>

enum { RECORD, SCOPE, NAME, PRODUCT, ITEM, VALUE, LOW, HIGH, STATE, NOTE, ROW, COLUMN_COUNT };
static const char *const columns[COLUMN_COUNT] = {
    "record", "scope", "name", "product", "item", "value", "low", "high", "state", "note", "row"};

/* NULL is an empty field. */
struct record {
    const char *fields[COLUMN_COUNT];
};

static bool is_formula(const char *field)
{
    return field[0] != '\0' && strchr("=+-@\t", field[0]) != NULL;
}

static void append_field(struct text *out, const char *field)
{
    struct text plain;
    text_init(&plain);
    plain_append_lines(&plain, field);
    if (is_formula(text_string(&plain)))
        text_append_string(out, "\"'");
    else
        text_append_char(out, '"');
    for (const char *c = text_string(&plain); *c != '\0'; c++) {
        if (*c == '"')
            text_append_char(out, '"');
        text_append_char(out, *c);
    }
    text_append_char(out, '"');
    out->failed = out->failed || plain.failed;
    text_destroy(&plain);
}

static void append_record(struct text *out, const struct record *record)
{
    for (int i = 0; i < COLUMN_COUNT; i++) {
        if (i > 0)
            text_append_char(out, ',');
        if (record->fields[i] != NULL && record->fields[i][0] != '\0')
            append_field(out, record->fields[i]);
    }
    text_append_string(out, "\r\n");
}

/* Room for any number as digits. */
struct digits {
    char text[24];
};
static const char *number(struct digits *digits, uint64_t value)
{
    (void)snprintf(digits->text, sizeof digits->text, "%llu", (unsigned long long)value);
    return digits->text;
}

static void append_fact(struct text *out, const char *item, const char *value)
{
    const struct record record = {{[RECORD] = "report", [ITEM] = item, [VALUE] = value}};
    append_record(out, &record);
}

static void append_head(struct text *out, const struct report *report)
{
    char stamp[REPORT_STAMP_BYTES], month[MONTH_TEXT_BYTES];
    struct record head;
    struct text time;
    memcpy(head.fields, columns, sizeof columns);
    append_record(out, &head);
    report_stamp(report, stamp);
    month_write(report->request.month, month);
    text_init(&time);
    plain_time(&time, report->request.now_unix);
    append_fact(out, "stamp", stamp);
    append_fact(out, "month", month);
    append_fact(out, "operator", report->operator_name);
    append_fact(out, "made_at", text_string(&time));
    append_fact(out, "version", WEIR_VERSION);
    append_fact(out, "signer", report->signer);
    append_fact(out, "method", report_method);
    if (report->users_count == 0)
        append_fact(out, "no_figures", report_no_figures);
    out->failed = out->failed || time.failed;
    text_destroy(&time);
}

/* The columns that all records of one figure share. */
static struct record record_of(const struct report_month *month)
{
    return (struct record){{[SCOPE] = report_view_scope_kind(month),
                            [NAME] = month->model[0] != '\0'    ? month->model
                                     : month->family[0] != '\0' ? month->family
                                                                : month->product,
                            [PRODUCT] = month->product,
                            [STATE] = report_state_name(month->state)}};
}

static void append_figure(struct text *out, const struct report_users *users, const char *item,
                          const struct report_figure *figure)
{
    struct digits value, low, high, row;
    struct record record = record_of(&users->month);
    record.fields[RECORD] = "users";
    record.fields[ITEM] = item;
    record.fields[VALUE] = number(&value, figure->users);
    record.fields[LOW] = number(&low, figure->low);
    record.fields[HIGH] = number(&high, figure->high);
    record.fields[NOTE] = users->month.exact ? "exact" : "estimate";
    record.fields[ROW] = number(&row, (uint64_t)users->sequence);
    append_record(out, &record);
}

static void append_measure(struct text *out, const struct report_users *users, const char *item,
                           const char *value)
{
    struct digits row;
    struct record record = record_of(&users->month);
    record.fields[RECORD] = "measure";
    record.fields[ITEM] = item;
    record.fields[VALUE] = value;
    record.fields[ROW] = number(&row, (uint64_t)users->sequence);
    append_record(out, &record);
}

static void append_day(struct text *out, const struct report_users *users,
                       const struct report_day *day)
{
    char date[16], month[MONTH_TEXT_BYTES];
    struct digits value, low, high, row;
    struct record record = record_of(&users->month);
    month_write(users->month.month, month);
    (void)snprintf(date, sizeof date, "%s-%02u", month, day->day);
    record.fields[RECORD] = "day";
    record.fields[ITEM] = date;
    record.fields[VALUE] = number(&value, day->best);
    record.fields[LOW] = number(&low, day->lower);
    record.fields[HIGH] = number(&high, day->upper);
    record.fields[NOTE] = "month to date";
    record.fields[ROW] = number(&row, (uint64_t)users->sequence);
    append_record(out, &record);
}

static void append_users(struct text *out, const struct report_users *users)
{
    const struct report_month *month = &users->month;
    struct digits digits;
    char coverage[32];
    (void)snprintf(coverage, sizeof coverage, "%.6g", month->coverage);
    append_figure(out, users, "lower", &month->lower);
    append_figure(out, users, "best", &month->best);
    append_figure(out, users, "upper", &month->upper);
    append_measure(out, users, "coverage", coverage);
    append_measure(out, users, "coverage_insufficient",
                   report_view_lacks_coverage(month) ? "yes" : "no");
    append_measure(out, users, "anonymous_requests", number(&digits, month->anonymous_requests));
    append_measure(out, users, "days_missing", number(&digits, month->days_missing));
    for (uint32_t i = 0; i < month->day_count; i++)
        append_day(out, users, &month->daily[i]);
}

static void append_condition(struct text *out, const struct report_license *license,
                             const struct report_condition *condition)
{
    struct digits value, row;
    struct record record = {{[RECORD] = "condition",
                             [SCOPE] = "model",
                             [NAME] = license->model,
                             [ITEM] = condition->id,
                             [VALUE] = condition->text,
                             [STATE] = condition->verdict,
                             [NOTE] = condition->summary,
                             [ROW] = number(&row, (uint64_t)license->sequence)}};
    append_record(out, &record);
    for (uint32_t i = 0; i < condition->line_count; i++) {
        struct text words;
        text_init(&words);
        report_view_line(&condition->lines[i], &words);
        if (report_view_counts_all_products(condition))
            text_append_format(&words, ". %s", report_org_note);
        record.fields[RECORD] = "threshold";
        record.fields[VALUE] = number(&value, condition->lines[i].value);
        record.fields[NOTE] = text_string(&words);
        append_record(out, &record);
        out->failed = out->failed || words.failed;
        text_destroy(&words);
    }
}

static void append_license(struct text *out, const struct report_license *license)
{
    struct digits row;
    const struct record record = {{[RECORD] = "license",
                                   [SCOPE] = "model",
                                   [NAME] = license->model,
                                   [ITEM] = license->license,
                                   [STATE] = license->verdict,
                                   [ROW] = number(&row, (uint64_t)license->sequence)}};
    append_record(out, &record);
    for (uint32_t i = 0; i < license->condition_count; i++)
        append_condition(out, license, &license->conditions[i]);
}

static void append_acknowledgement(struct text *out, const struct report_acknowledgement *one)
{
    struct digits row;
    const struct record record = {{[RECORD] = "acknowledgement",
                                   [SCOPE] = "model",
                                   [NAME] = one->model,
                                   [ITEM] = one->condition,
                                   [VALUE] = one->reference,
                                   [STATE] = one->in_force ? "in force" : "no longer in force",
                                   [NOTE] = one->signer,
                                   [ROW] = number(&row, (uint64_t)one->sequence)}};
    append_record(out, &record);
}

static void append_outside(struct text *out, const struct report_outside *one)
{
    struct digits users, row;
    const struct record record = {{[RECORD] = "outside",
                                   [SCOPE] = one->product[0] == '\0' ? "organisation" : "product",
                                   [NAME] = one->product,
                                   [VALUE] = number(&users, one->users),
                                   [NOTE] = one->signer,
                                   [ROW] = number(&row, (uint64_t)one->sequence)}};
    append_record(out, &record);
}

static void append_alert(struct text *out, const struct report_alert *alert)
{
    struct digits upper, line, row;
    const struct record record = {{[RECORD] = "alert",
                                   [SCOPE] = alert->scope,
                                   [NAME] = alert->rule,
                                   [ITEM] = alert->condition,
                                   [VALUE] = number(&line, (uint64_t)alert->threshold),
                                   [HIGH] = number(&upper, (uint64_t)alert->upper),
                                   [STATE] = alert->fires ? "fired" : "cleared",
                                   [NOTE] = alert->day,
                                   [ROW] = number(&row, (uint64_t)alert->sequence)}};
    append_record(out, &record);
}

static void append_tokens(struct text *out, const struct report_tokens *tokens)
{
    const struct {
        const char *item;
        uint64_t count;
    } counts[] = {{"requests", tokens->counts.requests},
                  {"prompt_tokens", tokens->counts.prompt},
                  {"cached_tokens", tokens->counts.cached},
                  {"generated_tokens", tokens->counts.generated}};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct digits value;
        const struct record record = {{[RECORD] = "tokens",
                                       [SCOPE] = "model",
                                       [NAME] = tokens->model,
                                       [ITEM] = counts[i].item,
                                       [VALUE] = number(&value, counts[i].count),
                                       [NOTE] = tokens->tenant}};
        append_record(out, &record);
    }
}

void render_report_csv(const struct report *report, struct text *out)
{
    append_head(out, report);
    for (uint32_t i = 0; i < report->users_count; i++)
        append_users(out, &report->users[i]);
    for (uint32_t i = 0; i < report->outside_count; i++)
        append_outside(out, &report->outside[i]);
    for (uint32_t i = 0; i < report->license_count; i++)
        append_license(out, &report->licenses[i]);
    for (uint32_t i = 0; i < report->acknowledgement_count; i++)
        append_acknowledgement(out, &report->acknowledgements[i]);
    for (uint32_t i = 0; i < report->alert_count; i++)
        append_alert(out, &report->alerts[i]);
    for (uint32_t i = 0; i < report->token_count; i++)
        append_tokens(out, &report->tokens[i]);
    for (uint32_t i = 0; i < report->anomaly_count; i++) {
        struct digits row;
        const struct record record = {
            {[RECORD] = "anomaly",
             [NOTE] = report->anomalies[i].text,
             [ROW] = number(&row, (uint64_t)report->anomalies[i].sequence)}};
        append_record(out, &record);
    }
    if (report->tokens_untold > 0) {
        struct digits untold;
        append_fact(out, "tokens_untold", number(&untold, report->tokens_untold));
    }
    if (report->anomalies_untold > 0) {
        struct digits untold;
        append_fact(out, "anomalies_untold", number(&untold, report->anomalies_untold));
    }
}
