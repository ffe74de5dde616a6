/* SPDX-License-Identifier: Apache-2.0 */
/* report_json.c -- the report as config/schema/report.schema.json has it. */
#include "policy/license/month.h"
#include "policy/render/json_writer.h"
#include "policy/render/plain.h"
#include "policy/render/report_render.h"
#include "policy/render/report_view.h"

#include <math.h>

static void write_time(struct text *out, const char *key, int64_t unix_seconds)
{
    struct text time;
    text_init(&time);
    plain_time(&time, unix_seconds);
    json_write_take(out, key, &time);
}

static void write_double(struct text *out, const char *key, double value)
{
    text_append_format(out, ",\"%s\":", key);
    text_append_json_double(out, value);
}

static void write_head(struct text *out, const struct report *report)
{
    char stamp[REPORT_STAMP_BYTES], month[MONTH_TEXT_BYTES];
    const struct report_request *request = &report->request;
    report_stamp(report, stamp);
    month_write(request->month, month);
    json_write_string(out, "stamp", stamp);
    json_write_string(out, "month", month);
    json_write_open(out, "scope", '{');
    json_write_string(out, "model", request->model);
    json_write_string(out, "family", request->family);
    json_write_bool(out, "organisation", request->organisation);
    json_write_close(out, '}');
    json_write_string(out, "operator", report->operator_name);
    write_time(out, "made_at", request->now_unix);
    json_write_string(out, "version", WEIR_VERSION);
    json_write_string_or_null(out, "signer", report->signer);
    json_write_open(out, "ledger", '{');
    json_write_u64(out, "sequence", (uint64_t)report->sequence);
    json_write_string(out, "hash", report->hash);
    json_write_close(out, '}');
    json_write_string(out, "method", report_method);
}

static void write_figure(struct text *out, const char *key, const struct report_figure *figure)
{
    json_write_open(out, key, '{');
    json_write_u64(out, "users", figure->users);
    json_write_u64(out, "low", figure->low);
    json_write_u64(out, "high", figure->high);
    json_write_close(out, '}');
}

static void write_days(struct text *out, const struct report_month *month)
{
    char name[MONTH_TEXT_BYTES];
    month_write(month->month, name);
    json_write_open(out, "daily", '[');
    for (uint32_t i = 0; i < month->day_count; i++) {
        struct text date;
        text_init(&date);
        text_append_format(&date, "%s-%02u", name, month->daily[i].day);
        json_write_open(out, NULL, '{');
        json_write_take(out, "day", &date);
        json_write_u64(out, "lower", month->daily[i].lower);
        json_write_u64(out, "best", month->daily[i].best);
        json_write_u64(out, "upper", month->daily[i].upper);
        json_write_close(out, '}');
    }
    json_write_close(out, ']');
}

static void write_held(struct text *out, const struct report *report,
                       const struct report_month *month)
{
    struct report_held held[REPORT_HELD_MAX];
    uint32_t count = report_view_held(report, month, held);
    json_write_open(out, "lines", '[');
    for (uint32_t i = 0; i < count; i++) {
        double line = (double)held[i].line->value;
        json_write_open(out, NULL, '{');
        json_write_string(out, "condition", held[i].condition->id);
        json_write_u64(out, "line", held[i].line->value);
        json_write_bool(out, "figure_is_lower_bound",
                        report_view_counts_all_products(held[i].condition));
        write_double(out, "share_best", line > 0 ? (double)month->best.users / line : 0);
        write_double(out, "share_upper", line > 0 ? (double)month->upper.high / line : 0);
        json_write_close(out, '}');
    }
    json_write_close(out, ']');
}

static void write_users(struct text *out, const struct report *report,
                        const struct report_users *users)
{
    const struct report_month *month = &users->month;
    json_write_open(out, NULL, '{');
    json_write_string(out, "scope", report_view_scope_kind(month));
    json_write_string(out, "model", month->model);
    json_write_string(out, "family", month->family);
    json_write_string(out, "product", month->product);
    json_write_string(out, "state", report_state_name(month->state));
    write_figure(out, "lower", &month->lower);
    write_figure(out, "best", &month->best);
    write_figure(out, "upper", &month->upper);
    json_write_bool(out, "exact", month->exact);
    write_double(out, "coverage", month->coverage);
    json_write_bool(out, "coverage_insufficient", report_view_lacks_coverage(month));
    json_write_u64(out, "anonymous_requests", month->anonymous_requests);
    json_write_u64(out, "days_missing", month->days_missing);
    json_write_string(out, "sketch_sha256", month->sketch_sha256);
    json_write_u64(out, "row", (uint64_t)users->sequence);
    write_time(out, "row_at", users->at_unix);
    json_write_u64(out, "rows", users->rows);
    write_held(out, report, month);
    write_days(out, month);
    json_write_close(out, '}');
}

static void write_condition(struct text *out, const struct report_condition *condition)
{
    json_write_open(out, NULL, '{');
    json_write_string(out, "id", condition->id);
    json_write_string(out, "kind", condition->kind);
    json_write_string(out, "clause", condition->clause);
    json_write_string(out, "summary", condition->summary);
    json_write_string(out, "text", condition->text);
    json_write_string(out, "verdict", condition->verdict);
    json_write_string(out, "literal", condition->literal);
    json_write_string(out, "conservative", condition->conservative);
    json_write_string(out, "acknowledged", condition->acknowledged);
    json_write_string(out, "scope", condition->scope);
    json_write_string(out, "test_month", condition->test_month);
    json_write_open(out, "any_of", '[');
    for (uint32_t i = 0; i < condition->line_count; i++) {
        const struct report_line *line = &condition->lines[i];
        json_write_open(out, NULL, '{');
        json_write_string(out, "metric", line->metric);
        json_write_string(out, "op", line->op);
        json_write_u64(out, "value", line->value);
        json_write_string(out, "window", line->window);
        json_write_string_unless_empty(out, "currency", line->currency);
        json_write_close(out, '}');
    }
    json_write_close(out, ']');
    json_write_close(out, '}');
}

static void write_license(struct text *out, const struct report_license *license)
{
    json_write_open(out, NULL, '{');
    json_write_string(out, "model", license->model);
    json_write_string(out, "license", license->license);
    json_write_string(out, "family", license->family);
    json_write_string(out, "verdict", license->verdict);
    json_write_string(out, "literal", license->literal);
    json_write_string(out, "conservative", license->conservative);
    json_write_u64(out, "row", (uint64_t)license->sequence);
    write_time(out, "row_at", license->at_unix);
    json_write_u64(out, "verdicts_in_month", license->changes);
    json_write_open(out, "conditions", '[');
    for (uint32_t i = 0; i < license->condition_count; i++)
        write_condition(out, &license->conditions[i]);
    json_write_close(out, ']');
    json_write_close(out, '}');
}

static void write_acknowledgement(struct text *out, const struct report_acknowledgement *one)
{
    json_write_open(out, NULL, '{');
    json_write_string(out, "model", one->model);
    json_write_string(out, "condition", one->condition);
    json_write_string(out, "clause", one->clause);
    json_write_string(out, "reference", one->reference);
    json_write_string(out, "signer", one->signer);
    json_write_bool(out, "in_force", one->in_force);
    json_write_u64(out, "row", (uint64_t)one->sequence);
    write_time(out, "row_at", one->at_unix);
    json_write_close(out, '}');
}

/* Left out where nobody declared any. */
static void write_outside(struct text *out, const struct report *report)
{
    if (report->outside_count == 0)
        return;
    json_write_open(out, "outside", '[');
    for (uint32_t i = 0; i < report->outside_count; i++) {
        const struct report_outside *one = &report->outside[i];
        json_write_open(out, NULL, '{');
        json_write_string(out, "product", one->product);
        json_write_u64(out, "users", one->users);
        json_write_string(out, "signer", one->signer);
        json_write_u64(out, "row", (uint64_t)one->sequence);
        write_time(out, "row_at", one->at_unix);
        json_write_close(out, '}');
    }
    json_write_close(out, ']');
}

static void write_alert(struct text *out, const struct report_alert *alert)
{
    json_write_open(out, NULL, '{');
    json_write_string(out, "id", alert->id);
    json_write_string(out, "condition", alert->condition);
    json_write_string(out, "scope", alert->scope);
    json_write_string(out, "rule", alert->rule);
    json_write_string(out, "day", alert->day);
    json_write_bool(out, "fires", alert->fires);
    write_double(out, "upper", alert->upper);
    write_double(out, "threshold", alert->threshold);
    write_double(out, "days_early", alert->has_days_early ? alert->days_early : NAN);
    json_write_u64(out, "row", (uint64_t)alert->sequence);
    json_write_close(out, '}');
}

static void write_tokens(struct text *out, const struct report *report)
{
    json_write_open(out, "tokens", '[');
    for (uint32_t i = 0; i < report->token_count; i++) {
        const struct report_tokens *tokens = &report->tokens[i];
        json_write_open(out, NULL, '{');
        json_write_string(out, "tenant", tokens->tenant);
        json_write_string(out, "model", tokens->model);
        json_write_u64(out, "requests", tokens->counts.requests);
        json_write_u64(out, "prompt_tokens", tokens->counts.prompt);
        json_write_u64(out, "cached_tokens", tokens->counts.cached);
        json_write_u64(out, "generated_tokens", tokens->counts.generated);
        json_write_close(out, '}');
    }
    json_write_close(out, ']');
    json_write_u64(out, "tokens_untold", report->tokens_untold);
}

static void write_anomalies(struct text *out, const struct report *report)
{
    json_write_open(out, "anomalies", '[');
    for (uint32_t i = 0; i < report->anomaly_count; i++) {
        json_write_open(out, NULL, '{');
        json_write_u64(out, "row", (uint64_t)report->anomalies[i].sequence);
        json_write_string(out, "text", report->anomalies[i].text);
        json_write_close(out, '}');
    }
    json_write_close(out, ']');
    json_write_u64(out, "anomalies_untold", report->anomalies_untold);
}

void render_report_json(const struct report *report, struct text *out)
{
    text_append_char(out, '{');
    write_head(out, report);
    json_write_bool(out, "has_figures", report->users_count > 0);
    json_write_open(out, "users", '[');
    for (uint32_t i = 0; i < report->users_count; i++)
        write_users(out, report, &report->users[i]);
    json_write_close(out, ']');
    write_outside(out, report);
    json_write_open(out, "licenses", '[');
    for (uint32_t i = 0; i < report->license_count; i++)
        write_license(out, &report->licenses[i]);
    json_write_close(out, ']');
    json_write_open(out, "acknowledgements", '[');
    for (uint32_t i = 0; i < report->acknowledgement_count; i++)
        write_acknowledgement(out, &report->acknowledgements[i]);
    json_write_close(out, ']');
    json_write_open(out, "alerts", '[');
    for (uint32_t i = 0; i < report->alert_count; i++)
        write_alert(out, &report->alerts[i]);
    json_write_close(out, ']');
    write_tokens(out, report);
    write_anomalies(out, report);
    json_write_close(out, '}');
    text_append_char(out, '\n');
}
