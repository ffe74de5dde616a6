/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/render/page.h"
#include "policy/render/plain.h"
#include "policy/render/report_render.h"
#include "policy/render/report_view.h"

#define INDENT 14u

static void append_figures(const struct page *page, const struct report_month *month)
{
    struct text words;
    text_init(&words);
    text_append_string(&words, "at least ");
    plain_number(&words, month->lower.low);
    text_append_string(&words, ", best ");
    plain_number(&words, month->best.users);
    text_append_string(&words, ", at most ");
    plain_number(&words, month->upper.high);
    text_append_format(&words, " (%s, %s; identity coverage %.1f%%)",
                       month->exact ? "exact" : "estimate", report_state_name(month->state),
                       100 * month->coverage);
    page_built(page, "  users", &words, INDENT);
    if (report_view_lacks_coverage(month))
        page_field(page, "", report_no_coverage, INDENT);
}

static void append_users(const struct page *page, const struct report *report,
                         const struct report_month *month)
{
    struct report_held held[REPORT_HELD_MAX];
    uint32_t count = report_view_held(report, month, held);
    struct text words;
    text_append_char(page->out, '\n');
    report_view_scope(month, page->out);
    text_append_char(page->out, '\n');
    append_figures(page, month);
    for (uint32_t i = 0; i < count; i++) {
        text_init(&words);
        report_view_line(held[i].line, &words);
        text_append_string(&words, "; users served: at most ");
        report_view_share(month->upper.high, held[i].line->value, &words);
        text_append_format(&words, " of it (%s)", held[i].condition->id);
        page_built(page, "  line", &words, INDENT);
        if (report_view_counts_all_products(held[i].condition))
            page_field(page, "", report_org_note, INDENT);
    }
}

static void append_license(const struct page *page, const struct report_license *license)
{
    struct text words;
    text_append_char(page->out, '\n');
    plain_append(page->out, license->model);
    text_append_string(page->out, ": ");
    plain_append(page->out, license->license);
    text_append_string(page->out, ", ");
    plain_append(page->out, license->verdict);
    text_append_char(page->out, '\n');
    for (uint32_t i = 0; i < license->condition_count; i++) {
        const struct report_condition *condition = &license->conditions[i];
        if (!report_view_asks(condition))
            continue;
        text_init(&words);
        text_append_format(&words, "%s: %s", condition->id, condition->summary);
        if (condition->text[0] != '\0')
            text_append_format(&words, " Words: %s", condition->text);
        if (condition->acknowledged[0] != '\0')
            text_append_format(&words, " Taken on under %s.", condition->acknowledged);
        page_built(page, "  due", &words, INDENT);
    }
}

static void append_outside(const struct page *page, const struct report_outside *one)
{
    struct text words;
    text_init(&words);
    text_append_format(&words, "%llu declared %s%s, whom weir does not see; by %s",
                       (unsigned long long)one->users,
                       one->product[0] == '\0' ? "of the organisation" : "of ", one->product,
                       one->signer[0] == '\0' ? "nobody named" : one->signer);
    page_built(page, "outside", &words, INDENT);
}

static void append_tokens(const struct page *page, const struct report *report)
{
    if (report->token_count > 0)
        text_append_char(page->out, '\n');
    for (uint32_t i = 0; i < report->token_count; i++) {
        const struct report_tokens *tokens = &report->tokens[i];
        struct text words;
        text_init(&words);
        plain_append(&words, tokens->tenant[0] != '\0' ? tokens->tenant : report_no_tenant);
        text_append_string(&words, ", ");
        plain_append(&words, tokens->model);
        text_append_string(&words, ": ");
        plain_number(&words, tokens->counts.requests);
        text_append_string(&words, " requests, ");
        plain_number(&words, tokens->counts.prompt);
        text_append_string(&words, " prompt tokens (");
        plain_number(&words, tokens->counts.cached);
        text_append_string(&words, " cached), ");
        plain_number(&words, tokens->counts.generated);
        text_append_string(&words, " generated");
        page_built(page, "tokens", &words, INDENT);
    }
}

static void append_end(const struct page *page, const struct report *report)
{
    char stamp[REPORT_STAMP_BYTES];
    report_stamp(report, stamp);
    text_append_char(page->out, '\n');
    for (uint32_t i = 0; i < report->alert_count; i++) {
        const struct report_alert *alert = &report->alerts[i];
        struct text words;
        text_init(&words);
        text_append_format(&words, "%s %s: %s of %s", alert->day,
                           alert->fires ? "fired" : "cleared", alert->rule, alert->scope);
        page_built(page, "alert", &words, INDENT);
    }
    for (uint32_t i = 0; i < report->anomaly_count; i++) {
        struct text words;
        text_init(&words);
        text_append_format(&words, "row %lld: %s", (long long)report->anomalies[i].sequence,
                           report->anomalies[i].text);
        page_built(page, "anomaly", &words, INDENT);
    }
    page_field(page, "ledger", stamp, INDENT);
}

void render_report_plain(const struct report *report, uint32_t columns, struct text *out)
{
    struct page page = page_of(out, columns);
    text_append_string(out, "Users and licences of served models, ");
    report_view_month(report->request.month, out);
    text_append_string(out, "\n");
    if (report->users_count == 0)
        page_field(&page, "users", report_no_figures, INDENT);
    for (uint32_t i = 0; i < report->users_count; i++)
        append_users(&page, report, &report->users[i].month);
    for (uint32_t i = 0; i < report->outside_count; i++)
        append_outside(&page, &report->outside[i]);
    for (uint32_t i = 0; i < report->license_count; i++)
        append_license(&page, &report->licenses[i]);
    append_tokens(&page, report);
    append_end(&page, report);
}
