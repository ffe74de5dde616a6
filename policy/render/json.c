/* SPDX-License-Identifier: Apache-2.0 */
/* json.c -- the assessment as config/schema/assessment.schema.json has it, and the short object
 * that clients of /v1/models see. */
#include "policy/render/json_writer.h"
#include "policy/render/plain.h"
#include "policy/render/render.h"
#include "policy/render/view.h"

#include <string.h>

static const char *recognised_by(const struct recognised_license *license)
{
    return license == NULL ? "nothing" : recognised_by_name(license->by);
}

static void append_license(struct text *out, const struct assessment *assessment)
{
    const struct recognised_license *license = view_license(assessment);
    struct text names;
    text_init(&names);
    view_append_license_names(assessment, &names);
    json_open(out, "license", '{');
    json_string(out, "id", assessment->license);
    json_take(out, "name", &names);
    json_string(out, "recognised_by", recognised_by(license));
    json_string(out, "evidence", license == NULL ? "" : license->evidence);
    json_string_or_null(out, "link", assessment->recognition->link);
    json_close(out, '}');
}

/* What the text grants; nothing where the licence is none of the catalogue. */
static void append_grants(struct text *out, const struct license_grants *grants)
{
    json_open(out, "grants", '{');
    json_string(out, "commercial", license_answer_name(grants->commercial));
    json_string(out, "production", license_answer_name(grants->production));
    json_string(out, "hosting_is_distribution",
                license_answer_name(grants->hosting_is_distribution));
    json_string(out, "patent", license_answer_name(grants->patent));
    json_string(out, "transferable", license_answer_name(grants->transferable));
    json_close(out, '}');
}

static void append_recognised(struct text *out, const struct recognised_license *license)
{
    const struct license_record *record = license->record;
    json_open(out, NULL, '{');
    json_string(out, "id", view_license_id(license));
    json_string(out, "name", view_license_name(license));
    json_string(out, "recognised_by", recognised_by(license));
    json_string(out, "evidence", license->evidence);
    json_string(out, "base", license->base);
    json_string_or_null(out, "category",
                        record == NULL ? NULL : license_category_name(record->category));
    json_string_or_null(out, "grade", record == NULL ? NULL : license_grade_name(record->grade));
    json_bool(out, "verified", record != NULL && record->verified);
    if (record != NULL)
        append_grants(out, &record->grants);
    json_close(out, '}');
}

static void append_limb(struct text *out, const struct threshold_limb *limb)
{
    json_open(out, NULL, '{');
    json_string(out, "metric", threshold_metric_name(limb->metric));
    json_string(out, "op", view_comparator(limb->comparator));
    json_u64(out, "value", limb->value);
    json_string(out, "window", threshold_window_name(limb->window));
    if (limb->metric == METRIC_REVENUE)
        json_string(out, "currency", view_currency(limb->currency));
    json_close(out, '}');
}

static void append_condition(struct text *out, const struct assessed_condition *condition)
{
    const struct license_condition *source = condition->condition;
    json_open(out, NULL, '{');
    json_string(out, "id", condition->id);
    json_string(out, "kind", condition->kind);
    json_string(out, "license", condition->license);
    json_string(out, "clause", condition->clause);
    json_string(out, "summary", condition->summary);
    json_string(out, "verdict", verdict_name(condition->verdict));
    json_string(out, "literal", verdict_name(condition->literal));
    json_string(out, "conservative", verdict_name(condition->conservative));
    json_string(out, "reason", condition->reason);
    json_string(out, "remedy", condition->remedy);
    json_string(out, "text", condition->text);
    json_strings(out, "where", source == NULL ? NULL : (const char *const *)source->where,
                 source == NULL ? 0 : source->where_count);
    json_open(out, "any_of", '[');
    for (uint32_t i = 0; source != NULL && i < source->any_of_count; i++)
        append_limb(out, &source->any_of[i]);
    json_close(out, ']');
    json_string(out, "acknowledged", condition->acknowledged);
    json_close(out, '}');
}

static void append_positions(struct text *out, const struct assessment *assessment)
{
    json_open(out, "osaid", '{');
    json_string(out, "answer", license_answer_name(assessment->osaid));
    json_string(out, "reason", assessment->osaid_reason);
    json_close(out, '}');
    json_open(out, "ai_act", '{');
    json_string(out, "exemption", view_exemption(assessment->ai_act));
    json_string(out, "basis", assessment->ai_act_basis);
    json_string(out, "reason", assessment->ai_act_reason);
    json_close(out, '}');
}

void render_json(const struct assessment *assessment, struct text *out)
{
    const struct recognition *recognition = assessment->recognition;
    struct text time;
    text_init(&time);
    plain_time(&time, assessment->at_unix);
    text_append_char(out, '{');
    json_string(out, "model", assessment->model);
    append_license(out, assessment);
    json_string(out, "verdict", verdict_name(assessment->verdict));
    json_string(out, "literal", verdict_name(assessment->literal));
    json_string(out, "conservative", verdict_name(assessment->conservative));
    json_string(out, "interpretation", view_interpretation(assessment->interpretation));
    json_open(out, "conditions", '[');
    for (uint32_t i = 0; i < assessment->condition_count; i++)
        append_condition(out, &assessment->conditions[i]);
    json_close(out, ']');
    json_open(out, "licenses", '[');
    for (uint32_t i = 0; i < recognition->license_count; i++)
        append_recognised(out, &recognition->licenses[i]);
    json_close(out, ']');
    json_strings(out, "disagreements", recognition->disagreements, recognition->disagreement_count);
    json_strings(out, "files", recognition->files, recognition->file_count);
    append_positions(out, assessment);
    json_take(out, "evaluated_at", &time);
    json_close(out, '}');
}

/* A text to show stands once, however many licences ask for it. */
static bool is_repeated(const struct assessment *assessment, uint32_t index)
{
    for (uint32_t i = 0; i < index; i++) {
        const struct assessed_condition *earlier = &assessment->conditions[i];
        if (earlier->verdict == VERDICT_OBLIGATION && view_shows_text(earlier) &&
            strcmp(earlier->text, assessment->conditions[index].text) == 0)
            return true;
    }
    return false;
}

void render_license_object(const struct assessment *assessment, struct text *out)
{
    const struct recognition *recognition = assessment->recognition;
    struct text names;
    text_init(&names);
    view_append_license_names(assessment, &names);
    text_append_char(out, '{');
    json_string(out, "id", assessment->license);
    json_take(out, "name", &names);
    json_string_or_null(out, "link", recognition->link);
    json_string(out, "recognised_by", recognised_by(view_license(assessment)));
    json_string(out, "verdict", verdict_name(assessment->verdict));
    json_open(out, "obligations", '[');
    for (uint32_t i = 0; i < assessment->condition_count; i++) {
        const struct assessed_condition *condition = &assessment->conditions[i];
        if (condition->verdict == VERDICT_OBLIGATION && view_shows_text(condition) &&
            !is_repeated(assessment, i))
            json_string(out, NULL, condition->text);
    }
    json_close(out, ']');
    if (recognition->disagreement_count > 0) {
        struct text joined;
        text_init(&joined);
        for (uint32_t i = 0; i < recognition->disagreement_count; i++) {
            text_append_string(&joined, i == 0 ? "" : " ");
            text_append_string(&joined, recognition->disagreements[i]);
        }
        json_take(out, "disagreement", &joined);
    }
    json_close(out, '}');
}
