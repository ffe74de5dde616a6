/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/render/view.h"

#include "policy/render/plain.h"

#include <string.h>

const struct recognised_license *view_license(const struct assessment *assessment)
{
    const struct recognition *recognition = assessment->recognition;
    for (uint32_t i = 0; i < recognition->license_count; i++)
        if (recognition->licenses[i].base[0] == '\0')
            return &recognition->licenses[i];
    return recognition->license_count == 0 ? NULL : &recognition->licenses[0];
}

const char *view_license_id(const struct recognised_license *license)
{
    return license->record != NULL ? license->record->id : license->declared;
}

const char *view_license_name(const struct recognised_license *license)
{
    return license->record != NULL ? license->record->name : license->declared;
}

const struct recognised_license *view_license_of(const struct assessment *assessment,
                                                 const struct assessed_condition *condition)
{
    const struct recognition *recognition = assessment->recognition;
    if (condition->license[0] == '\0')
        return NULL;
    for (uint32_t i = 0; i < recognition->license_count; i++)
        if (strcmp(view_license_id(&recognition->licenses[i]), condition->license) == 0)
            return &recognition->licenses[i];
    return NULL;
}

void view_append_license_names(const struct assessment *assessment, struct text *out)
{
    const struct recognition *recognition = assessment->recognition;
    uint32_t written = 0;
    for (uint32_t i = 0; i < recognition->license_count; i++) {
        const char *name = view_license_name(&recognition->licenses[i]);
        bool seen = false;
        for (uint32_t j = 0; j < i && !seen; j++)
            seen = strcmp(name, view_license_name(&recognition->licenses[j])) == 0;
        if (seen)
            continue;
        text_append_string(out, written++ == 0 ? "" : " AND ");
        text_append_string(out, name);
    }
    if (written == 0)
        text_append_string(out, "unknown");
}

bool view_asks(const struct assessed_condition *condition)
{
    return condition->verdict >= VERDICT_OBLIGATION || view_is_taken_on(condition);
}

bool view_is_taken_on(const struct assessed_condition *condition)
{
    return condition->acknowledged != NULL && condition->acknowledged[0] != '\0';
}

enum verdict view_raw_verdict(const struct assessment *assessment,
                              const struct assessed_condition *condition)
{
    return assessment->interpretation == INTERPRETATION_LITERAL ? condition->literal
                                                                : condition->conservative;
}

bool view_shows_text(const struct assessed_condition *condition)
{
    if (condition->condition == NULL || condition->text[0] == '\0' ||
        condition->verdict == VERDICT_MET)
        return false;
    return condition->condition->kind == CONDITION_ATTRIBUTION ||
           condition->condition->kind == CONDITION_THRESHOLD;
}

const char *view_interpretation(enum interpretation interpretation)
{
    return interpretation == INTERPRETATION_LITERAL ? "literal" : "conservative";
}

const char *view_exemption(enum license_answer answer)
{
    switch (answer) {
    case ANSWER_YES:
        return "yes";
    case ANSWER_NO:
        return "no";
    case ANSWER_CONDITIONAL:
        return "uncertain";
    default:
        return "unknown";
    }
}

const char *view_comparator(enum threshold_comparator comparator)
{
    return comparator == COMPARATOR_AT_LEAST ? ">=" : ">";
}

const char *view_currency(enum license_currency currency)
{
    return currency == CURRENCY_CNY ? "CNY" : "USD";
}

void view_append_limb(struct text *out, const struct threshold_limb *limb)
{
    static const char *const windows[] = {
        [WINDOW_MONTH] = "a month",
        [WINDOW_DAY] = "a day",
        [WINDOW_YEAR] = "a year",
        [WINDOW_TRAILING_12_MONTHS] = "in any 12 months",
        [WINDOW_ARR] = "of annual recurring revenue",
    };
    static const char *const users[] = {
        [METRIC_MAU] = "users", [METRIC_DAU] = "users", [METRIC_MUU] = "unique users"};
    text_append_string(out, limb->comparator == COMPARATOR_AT_LEAST ? "at least " : "more than ");
    if (limb->metric == METRIC_REVENUE)
        text_append_format(out, "%s ", view_currency(limb->currency));
    plain_number(out, limb->value);
    if (limb->metric != METRIC_REVENUE)
        text_append_format(out, " %s", users[limb->metric]);
    text_append_format(out, " %s", windows[limb->window]);
}
