/* SPDX-License-Identifier: Apache-2.0 */
/* markdown.c -- what to paste into a NOTICE file, a page or an interface, and why.
 *
 * Exact words stand in code blocks, so that they are copied as they are; everything else is
 * escaped, so that no string of a model file becomes markup. */
#include "policy/render/plain.h"
#include "policy/render/render.h"
#include "policy/render/view.h"

#include <string.h>

#define FENCE_LEAST 3u

static void append_escaped(struct text *out, const char *string)
{
    struct text plain;
    text_init(&plain);
    plain_append(&plain, string);
    for (const char *at = text_string(&plain); *at != '\0'; at++) {
        if (strchr("\\`*_[]<>|#&~!", *at) != NULL)
            text_append_char(out, '\\');
        text_append_char(out, *at);
    }
    out->failed = out->failed || plain.failed;
    text_destroy(&plain);
}

/* A fence longer than any run of backticks inside ends where we end it. */
static void append_block(struct text *out, const char *string)
{
    uint32_t longest = 0, run = 0;
    for (const char *at = string; *at != '\0'; at++) {
        run = *at == '`' ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    uint32_t fence = longest + 1 > FENCE_LEAST ? longest + 1 : FENCE_LEAST;
    text_append_char(out, '\n');
    for (uint32_t i = 0; i < fence; i++)
        text_append_char(out, '`');
    text_append_string(out, "text\n");
    plain_append_lines(out, string);
    text_append_char(out, '\n');
    for (uint32_t i = 0; i < fence; i++)
        text_append_char(out, '`');
    text_append_string(out, "\n");
}

static void append_head(struct text *out, const struct assessment *assessment)
{
    const struct recognition *recognition = assessment->recognition;
    text_append_string(out, "\n## ");
    append_escaped(out, assessment->model);
    text_append_string(out, "\n\n");
    if (recognition->license_count == 0)
        text_append_string(out, "- Licence: unknown\n");
    for (uint32_t i = 0; i < recognition->license_count; i++) {
        const struct recognised_license *license = &recognition->licenses[i];
        text_append_string(out, "- Licence: ");
        append_escaped(out, view_license_name(license));
        text_append_string(out, " (");
        append_escaped(out, view_license_id(license));
        text_append_char(out, ')');
        if (license->base[0] != '\0') {
            text_append_string(out, ", of the base model ");
            append_escaped(out, license->base);
        }
        text_append_char(out, '\n');
    }
    struct text url;
    text_init(&url);
    if (plain_append_url(&url, recognition->link))
        text_append_format(out, "- Published at: <%s>\n", text_string(&url));
    out->failed = out->failed || url.failed;
    text_destroy(&url);
    text_append_format(out, "- Verdict: **%s**\n", verdict_name(assessment->verdict));
}

static bool is_notice(const struct assessed_condition *condition)
{
    return condition->condition != NULL && condition->verdict != VERDICT_MET &&
           (condition->condition->kind == CONDITION_NOTICE ||
            condition->condition->kind == CONDITION_NAMING);
}

static bool is_duty(const struct assessed_condition *condition)
{
    return view_asks(condition) && !is_notice(condition);
}

/* "id, clause: " in bold, to begin a paragraph or an item with. */
static void append_name(struct text *out, const struct assessed_condition *condition)
{
    text_append_string(out, "**");
    append_escaped(out, condition->id);
    text_append_string(out, "**");
    if (condition->clause[0] != '\0') {
        text_append_string(out, ", ");
        append_escaped(out, condition->clause);
    }
    text_append_string(out, ": ");
}

static void append_where(struct text *out, const struct license_condition *condition)
{
    for (uint32_t i = 0; i < condition->where_count; i++) {
        text_append_string(out, i == 0 ? " Where: " : " or ");
        append_escaped(out, condition->where[i]);
    }
    if (condition->where_count > 0)
        text_append_char(out, '.');
}

/* A paragraph a condition that passes `wanted`, with its exact words below it. */
static void append_texts(struct text *out, const struct assessment *assessment, const char *title,
                         bool (*wanted)(const struct assessed_condition *))
{
    bool titled = false;
    for (uint32_t i = 0; i < assessment->condition_count; i++) {
        const struct assessed_condition *condition = &assessment->conditions[i];
        if (!wanted(condition))
            continue;
        if (!titled)
            text_append_format(out, "\n### %s\n", title);
        titled = true;
        text_append_char(out, '\n');
        append_name(out, condition);
        append_escaped(out, condition->summary);
        append_where(out, condition->condition);
        if (condition->verdict == VERDICT_WATCH) {
            text_append_string(out, " Not due today: ");
            append_escaped(out, condition->reason);
        }
        text_append_char(out, '\n');
        if (condition->text[0] != '\0')
            append_block(out, condition->text);
    }
}

static void append_duties(struct text *out, const struct assessment *assessment)
{
    bool titled = false;
    for (uint32_t i = 0; i < assessment->condition_count; i++) {
        const struct assessed_condition *condition = &assessment->conditions[i];
        if (!is_duty(condition))
            continue;
        if (!titled)
            text_append_string(out, "\n### Duties\n\n");
        titled = true;
        text_append_format(out, "- %s: ", verdict_name(condition->verdict));
        append_name(out, condition);
        append_escaped(out, condition->summary);
        if (condition->reason[0] != '\0') {
            text_append_string(out, " Because: ");
            append_escaped(out, condition->reason);
        }
        if (condition->remedy[0] != '\0') {
            text_append_string(out, " To do: ");
            append_escaped(out, condition->remedy);
        }
        if (view_is_taken_on(condition)) {
            text_append_string(out, " Taken on under ");
            append_escaped(out, condition->acknowledged);
            text_append_char(out, '.');
        }
        text_append_char(out, '\n');
    }
}

static void append_policies(struct text *out, const struct recognition *recognition)
{
    bool titled = false;
    for (uint32_t i = 0; i < recognition->license_count; i++) {
        const struct license_record *record = recognition->licenses[i].record;
        for (uint32_t j = 0; record != NULL && j < record->policy_count; j++) {
            if (!titled)
                text_append_string(out, "\n### Policies of use\n\n");
            titled = true;
            struct text url;
            text_init(&url);
            text_append_string(out, "- ");
            append_escaped(out, record->policies[j].name);
            if (plain_append_url(&url, record->policies[j].url))
                text_append_format(out, ": <%s>", text_string(&url));
            text_append_char(out, '\n');
            out->failed = out->failed || url.failed;
            text_destroy(&url);
        }
    }
}

void render_markdown(const struct assessment *const *assessments, uint32_t count, struct text *out)
{
    text_append_string(out, "# Notices and attributions of models\n");
    for (uint32_t i = 0; i < count; i++) {
        const struct assessment *assessment = assessments[i];
        append_head(out, assessment);
        append_texts(out, assessment, "To show", view_shows_text);
        append_texts(out, assessment, "To keep with copies and derivatives", is_notice);
        append_duties(out, assessment);
        append_policies(out, assessment->recognition);
    }
}
