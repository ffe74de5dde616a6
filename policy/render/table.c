/* SPDX-License-Identifier: Apache-2.0 */
/* table.c -- an assessment for a person at a terminal.
 *
 *     Model     kimi-k2.5
 *     Licence   Kimi K2.5 License (Modified MIT) [kimi-k2.5]; by text: LICENSE
 *     Verdict   obligation (literal: obligation, conservative: obligation)
 *
 *     obligation  kimi-k2.5/ui-name, final paragraph
 *       asks      Products above ... show "Kimi K2.5" on their interface.
 *       because   120,000,000 users declared for 2026-10 are more than 100,000,000.
 *       do        Show it on the user interface.
 *       text      Kimi K2.5
 *       where     user interface */
#include "policy/render/page.h"
#include "policy/render/plain.h"
#include "policy/render/render.h"
#include "policy/render/view.h"

#include <string.h>

#define HEAD_INDENT 10u
#define ROW_INDENT  12u

struct table {
    struct page page;
    bool colour;
};

static const char *colour_of(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_BREACH:
        return "\033[1;31m";
    case VERDICT_REVIEW:
        return "\033[33m";
    case VERDICT_OBLIGATION:
        return "\033[36m";
    case VERDICT_WATCH:
        return "\033[34m";
    default:
        return "\033[32m";
    }
}

/* The verdict's word, padded to `width` columns. */
static void append_verdict(const struct table *table, enum verdict verdict, uint32_t width)
{
    const char *name = verdict_name(verdict);
    uint32_t count = plain_width(name);
    if (table->colour)
        text_append_string(table->page.out, colour_of(verdict));
    text_append_string(table->page.out, name);
    if (table->colour)
        text_append_string(table->page.out, "\033[0m");
    plain_blanks(table->page.out, count < width ? width - count : 0);
}

static void append_licenses(const struct table *table, const struct recognition *recognition)
{
    if (recognition->license_count == 0)
        page_field(&table->page, "Licence", "unknown", HEAD_INDENT);
    for (uint32_t i = 0; i < recognition->license_count; i++) {
        const struct recognised_license *license = &recognition->licenses[i];
        struct text line;
        text_init(&line);
        text_append_format(&line, "%s [%s]; by %s", view_license_name(license),
                           view_license_id(license), recognised_by_name(license->by));
        if (license->evidence[0] != '\0')
            text_append_format(&line, ": %s", license->evidence);
        if (license->base[0] != '\0')
            text_append_format(&line, "; of its base model %s", license->base);
        if (license->record != NULL && !license->record->verified)
            text_append_format(&line, "; not verified, known by grade %s",
                               license_grade_name(license->record->grade));
        page_built(&table->page, i == 0 ? "Licence" : "", &line, HEAD_INDENT);
    }
    for (uint32_t i = 0; i < recognition->disagreement_count; i++)
        page_field(&table->page, i == 0 ? "Differs" : "", recognition->disagreements[i],
                   HEAD_INDENT);
}

static void append_head(const struct table *table, const struct assessment *assessment)
{
    struct text *out = table->page.out;
    struct text readings;
    page_field(&table->page, "Model", assessment->model, HEAD_INDENT);
    append_licenses(table, assessment->recognition);
    text_append_string(out, "Verdict   ");
    append_verdict(table, assessment->verdict, 0);
    text_init(&readings);
    text_append_format(&readings, "(literal: %s, conservative: %s; weighed %s)",
                       verdict_name(assessment->literal), verdict_name(assessment->conservative),
                       assessment->interpretation == INTERPRETATION_LITERAL ? "literally"
                                                                            : "conservatively");
    text_append_char(out, ' ');
    page_rest(&table->page, &readings,
              HEAD_INDENT + 1 + plain_width(verdict_name(assessment->verdict)), HEAD_INDENT);
}

static void append_where(const struct table *table, const struct assessed_condition *condition)
{
    struct text where;
    text_init(&where);
    for (uint32_t i = 0; i < condition->condition->where_count; i++)
        text_append_format(&where, "%s%s", i == 0 ? "" : " or ", condition->condition->where[i]);
    page_built(&table->page, "  where", &where, ROW_INDENT);
}

/* What is met is told in short: its name and the reason. */
static void append_condition(const struct table *table, const struct assessment *assessment,
                             const struct assessed_condition *condition)
{
    struct text title;
    text_init(&title);
    text_append_string(&title, condition->id);
    if (condition->clause[0] != '\0')
        text_append_format(&title, ", %s", condition->clause);
    append_verdict(table, condition->verdict, ROW_INDENT);
    page_rest(&table->page, &title, ROW_INDENT, ROW_INDENT);
    if (condition->verdict != VERDICT_MET || view_is_taken_on(condition))
        page_field(&table->page, "  asks", condition->summary, ROW_INDENT);
    page_field(&table->page, "  because", condition->reason, ROW_INDENT);
    if (view_is_taken_on(condition)) {
        struct text taken;
        text_init(&taken);
        text_append_format(&taken, "%s, under %s",
                           verdict_name(view_raw_verdict(assessment, condition)),
                           condition->acknowledged);
        page_built(&table->page, "  taken on", &taken, ROW_INDENT);
    }
    if (condition->literal != condition->conservative) {
        struct text readings;
        text_init(&readings);
        text_append_format(&readings, "literal: %s, conservative: %s",
                           verdict_name(condition->literal), verdict_name(condition->conservative));
        page_built(&table->page, "  readings", &readings, ROW_INDENT);
    }
    if (condition->verdict == VERDICT_MET)
        return;
    page_field(&table->page, "  do", condition->remedy, ROW_INDENT);
    page_field(&table->page, "  text", condition->text, ROW_INDENT);
    if (condition->condition != NULL && condition->text[0] != '\0')
        append_where(table, condition);
}

static void append_positions(const struct table *table, const struct assessment *assessment)
{
    struct text line;
    text_init(&line);
    text_append_format(&line, "open-source exemption: %s", view_exemption(assessment->ai_act));
    if (assessment->ai_act_basis[0] != '\0')
        text_append_format(&line, " (%s)", assessment->ai_act_basis);
    if (assessment->ai_act_reason[0] != '\0')
        text_append_format(&line, ": %s", assessment->ai_act_reason);
    page_built(&table->page, "AI Act", &line, HEAD_INDENT);
    text_init(&line);
    text_append_string(&line, license_answer_name(assessment->osaid));
    if (assessment->osaid_reason[0] != '\0')
        text_append_format(&line, ": %s", assessment->osaid_reason);
    page_built(&table->page, "OSAID", &line, HEAD_INDENT);
}

void render_table(const struct assessment *assessment, uint32_t columns, bool colour,
                  struct text *out)
{
    struct table table = {.page = page_of(out, columns), .colour = colour};
    append_head(&table, assessment);
    text_append_char(out, '\n');
    for (uint32_t i = 0; i < assessment->condition_count; i++) {
        append_condition(&table, assessment, &assessment->conditions[i]);
        text_append_char(out, '\n');
    }
    append_positions(&table, assessment);
}
