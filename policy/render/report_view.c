/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/render/report_view.h"

#include "policy/render/plain.h"

#include <string.h>

/* A user id that nobody can be told by makes upper and lower part: beyond this, no verdict. */
#define COVERAGE_NUMERATOR   12u
#define COVERAGE_DENOMINATOR 10u

const char report_method[] =
    "A user is counted once a month, as a keyed pseudonym of what identifies the requests: the "
    "lower figure counts verified and trusted identities alone, best also takes each API key or "
    "address as one user, and upper also takes each request without any identity as a user of its "
    "own, with the days on both sides of the month because users' clocks differ. Up to 28,672 "
    "users a count is exact; beyond, it is an estimate from a sketch whose one-sided bounds are "
    "made to hold in 99.9% of cases, and the lower and upper figures are given at these bounds.";
const char report_org_note[] =
    "This clause counts the users of all products of the licensee and its affiliates. The users "
    "counted here are those of the models served by weir: they are a lower bound of the figure "
    "that the clause asks for.";
const char report_test_note[] =
    "By its letter this clause is tested once, on the month before a release: the figures of any "
    "other month tell what a test on them would have said, and so the next version's terms.";
const char report_no_figures[] =
    "No user figures are kept for this month: the ledger holds none. That says nothing about how "
    "many users there were.";
const char report_no_coverage[] =
    "Identity coverage is insufficient: the upper figure is more than 1.2 times the lower one, and "
    "a line between them can neither be confirmed nor ruled out.";
const char report_tokens_note[] =
    "Tokens are taken from weir's accounting beside the ledger, which is not sealed as the ledger "
    "is; a tenant is the name that the operator gave an API key.";
const char report_no_tenant[] = "no tenant";
const char report_advice[] =
    "Texts, clauses and lines are those that weir's licence catalogue held when the verdict was "
    "written. This report states what was counted and weighed; it is no legal advice.";

void report_view_month(int32_t month, struct text *out)
{
    static const char *const names[] = {"January",   "February", "March",    "April",
                                        "May",       "June",     "July",     "August",
                                        "September", "October",  "November", "December"};
    text_append_format(out, "%s %d", names[month % 12], month / 12);
}

const char *report_view_scope_kind(const struct report_month *month)
{
    return month->model[0] != '\0'     ? "model"
           : month->family[0] != '\0'  ? "family"
           : month->product[0] != '\0' ? "product"
                                       : REPORT_ORGANISATION;
}

void report_view_scope(const struct report_month *month, struct text *out)
{
    if (month->model[0] != '\0' || month->family[0] != '\0') {
        text_append_string(out, month->model[0] != '\0' ? "Model " : "Licence family ");
        plain_append(out, month->model[0] != '\0' ? month->model : month->family);
    } else if (month->product[0] != '\0') {
        text_append_string(out, "Product ");
        plain_append(out, month->product);
        return;
    } else {
        text_append_string(out, "The organisation");
    }
    if (month->product[0] != '\0') {
        text_append_string(out, ", product ");
        plain_append(out, month->product);
    }
}

void report_view_line(const struct report_line *line, struct text *out)
{
    static const struct {
        const char *window, *words;
    } windows[] = {{"month", "a month"},
                   {"day", "a day"},
                   {"year", "a year"},
                   {"trailing_12_months", "in any 12 months"},
                   {"arr", "of annual recurring revenue"}};
    bool is_revenue = strcmp(line->metric, "revenue") == 0;
    text_append_string(out, strcmp(line->op, ">=") == 0 ? "at least " : "more than ");
    if (is_revenue) {
        plain_append(out, line->currency);
        text_append_char(out, ' ');
    }
    plain_number(out, line->value);
    text_append_string(out, is_revenue ? " " : " users ");
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++)
        if (strcmp(line->window, windows[i].window) == 0) {
            text_append_string(out, windows[i].words);
            return;
        }
    plain_append(out, line->window);
}

bool report_view_is_monthly(const struct report_line *line)
{
    return strcmp(line->window, "month") == 0 &&
           (strcmp(line->metric, "mau") == 0 || strcmp(line->metric, "muu") == 0);
}

void report_view_share(uint64_t users, uint64_t line, struct text *out)
{
    double percent = line == 0 ? 0 : 100.0 * (double)users / (double)line;
    if (users > 0 && percent < 0.001)
        text_append_string(out, "under 0.001%");
    else if (percent < 1)
        text_append_format(out, percent == 0 ? "%.0f%%" : "%.3f%%", percent);
    else
        text_append_format(out, percent < 100 ? "%.1f%%" : "%.0f%%", percent);
}

bool report_view_lacks_coverage(const struct report_month *month)
{
    return month->upper.high * COVERAGE_DENOMINATOR > month->lower.low * COVERAGE_NUMERATOR;
}

bool report_view_counts_all_products(const struct report_condition *condition)
{
    return strcmp(condition->scope, "all_products") == 0;
}

bool report_view_asks(const struct report_condition *condition)
{
    return condition->acknowledged[0] != '\0' || strcmp(condition->verdict, "obligation") == 0 ||
           strcmp(condition->verdict, "review") == 0 || strcmp(condition->verdict, "breach") == 0;
}

/* Whether the figures name the model as one of the product. */
static bool is_in_product(const struct report *report, const char *model, const char *product)
{
    for (uint32_t i = 0; i < report->users_count; i++)
        if (strcmp(report->users[i].month.model, model) == 0 &&
            strcmp(report->users[i].month.product, product) == 0)
            return true;
    return false;
}

/* A family's line binds its models together, a product's those that are in it. */
static bool is_of(const struct report *report, const struct report_license *license,
                  const struct report_month *month)
{
    if (month->model[0] != '\0')
        return strcmp(license->model, month->model) == 0;
    if (month->family[0] != '\0')
        return strcmp(license->family, month->family) == 0;
    return month->product[0] == '\0' || is_in_product(report, license->model, month->product);
}

/* The organisation's figure is no measure of a line over one product alone, nor a product's of one
 * over all of them. */
static bool is_measure(const struct report_month *month, const struct report_condition *condition)
{
    if (month->model[0] != '\0' || month->family[0] != '\0')
        return true;
    return (month->product[0] != '\0') == (strcmp(condition->scope, "product_using_model") == 0);
}

static bool is_held(const struct report_held *held, uint32_t count, const char *id)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(held[i].condition->id, id) == 0)
            return true;
    return false;
}

uint32_t report_view_held(const struct report *report, const struct report_month *month,
                          struct report_held ret[REPORT_HELD_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < report->license_count; i++) {
        const struct report_license *license = &report->licenses[i];
        for (uint32_t j = 0; is_of(report, license, month) && j < license->condition_count; j++) {
            const struct report_condition *condition = &license->conditions[j];
            if (is_held(ret, count, condition->id) || !is_measure(month, condition))
                continue;
            for (uint32_t k = 0; k < condition->line_count && count < REPORT_HELD_MAX; k++)
                if (report_view_is_monthly(&condition->lines[k]))
                    ret[count++] = (struct report_held){license, condition, &condition->lines[k]};
        }
    }
    return count;
}
