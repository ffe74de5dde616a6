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
    json_write_open(out, "license", '{');
    json_write_string(out, "id", assessment->license);
    json_write_take(out, "name", &names);
    json_write_string(out, "recognised_by", recognised_by(license));
    json_write_string(out, "evidence", license == NULL ? "" : license->evidence);
    json_write_string_or_null(out, "link", assessment->recognition->link);
    json_write_close(out, '}');
}

/* What the text grants; nothing where the licence is none of the catalogue. */
static void append_grants(struct text *out, const struct license_grants *grants)
{
    json_write_open(out, "grants", '{');
    json_write_string(out, "commercial", license_answer_name(grants->commercial));
    json_write_string(out, "production", license_answer_name(grants->production));
    json_write_string(out, "hosting_is_distribution",
                      license_answer_name(grants->hosting_is_distribution));
    json_write_string(out, "patent", license_answer_name(grants->patent));
    json_write_string(out, "transferable", license_answer_name(grants->transferable));
    json_write_close(out, '}');
}

static void append_recognised(struct text *out, const struct recognised_license *license)
{
    const struct license_record *record = license->record;
    json_write_open(out, NULL, '{');
    json_write_string(out, "id", view_license_id(license));
    json_write_string(out, "name", view_license_name(license));
    json_write_string(out, "recognised_by", recognised_by(license));
    json_write_string(out, "evidence", license->evidence);
    json_write_string(out, "base", license->base);
    json_write_string_or_null(out, "category",
                              record == NULL ? NULL : license_category_name(record->category));
    json_write_string_or_null(out, "grade",
                              record == NULL ? NULL : license_grade_name(record->grade));
    json_write_bool(out, "verified", record != NULL && record->verified);
    if (record != NULL)
        append_grants(out, &record->grants);
    json_write_close(out, '}');
}

void render_limb(const struct threshold_limb *limb, struct text *out)
{
    json_write_open(out, NULL, '{');
    json_write_string(out, "metric", threshold_metric_name(limb->metric));
    json_write_string(out, "op", view_comparator(limb->comparator));
    json_write_u64(out, "value", limb->value);
    json_write_string(out, "window", threshold_window_name(limb->window));
    if (limb->metric == METRIC_REVENUE)
        json_write_string(out, "currency", view_currency(limb->currency));
    json_write_close(out, '}');
}

static void append_condition(struct text *out, const struct assessed_condition *condition)
{
    const struct license_condition *source = condition->condition;
    json_write_open(out, NULL, '{');
    json_write_string(out, "id", condition->id);
    json_write_string(out, "kind", condition->kind);
    json_write_string(out, "license", condition->license);
    json_write_string(out, "clause", condition->clause);
    json_write_string(out, "summary", condition->summary);
    json_write_string(out, "verdict", verdict_name(condition->verdict));
    json_write_string(out, "literal", verdict_name(condition->literal));
    json_write_string(out, "conservative", verdict_name(condition->conservative));
    json_write_string(out, "reason", condition->reason);
    json_write_string(out, "remedy", condition->remedy);
    json_write_string(out, "text", condition->text);
    json_write_strings(out, "where", source == NULL ? NULL : (const char *const *)source->where,
                       source == NULL ? 0 : source->where_count);
    json_write_open(out, "any_of", '[');
    for (uint32_t i = 0; source != NULL && i < source->any_of_count; i++)
        render_limb(&source->any_of[i], out);
    json_write_close(out, ']');
    json_write_string(out, "acknowledged", condition->acknowledged);
    json_write_close(out, '}');
}

static void append_positions(struct text *out, const struct assessment *assessment)
{
    json_write_open(out, "osaid", '{');
    json_write_string(out, "answer", license_answer_name(assessment->osaid));
    json_write_string(out, "reason", assessment->osaid_reason);
    json_write_close(out, '}');
    json_write_open(out, "ai_act", '{');
    json_write_string(out, "exemption", view_exemption(assessment->ai_act));
    json_write_string(out, "basis", assessment->ai_act_basis);
    json_write_string(out, "reason", assessment->ai_act_reason);
    json_write_close(out, '}');
}

void render_json(const struct assessment *assessment, struct text *out)
{
    const struct recognition *recognition = assessment->recognition;
    struct text time;
    text_init(&time);
    plain_time(&time, assessment->at_unix);
    text_append_char(out, '{');
    json_write_string(out, "model", assessment->model);
    append_license(out, assessment);
    json_write_string(out, "verdict", verdict_name(assessment->verdict));
    json_write_string(out, "literal", verdict_name(assessment->literal));
    json_write_string(out, "conservative", verdict_name(assessment->conservative));
    json_write_string(out, "interpretation", view_interpretation(assessment->interpretation));
    json_write_open(out, "conditions", '[');
    for (uint32_t i = 0; i < assessment->condition_count; i++)
        append_condition(out, &assessment->conditions[i]);
    json_write_close(out, ']');
    json_write_open(out, "licenses", '[');
    for (uint32_t i = 0; i < recognition->license_count; i++)
        append_recognised(out, &recognition->licenses[i]);
    json_write_close(out, ']');
    json_write_strings(out, "disagreements", recognition->disagreements,
                       recognition->disagreement_count);
    json_write_strings(out, "files", recognition->files, recognition->file_count);
    append_positions(out, assessment);
    json_write_take(out, "evaluated_at", &time);
    json_write_close(out, '}');
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

void render_license_object(const struct assessment *assessment, const char *attribution,
                           struct text *out)
{
    const struct recognition *recognition = assessment->recognition;
    struct text names;
    text_init(&names);
    view_append_license_names(assessment, &names);
    text_append_char(out, '{');
    json_write_string(out, "id", assessment->license);
    json_write_take(out, "name", &names);
    json_write_string_or_null(out, "link", recognition->link);
    json_write_string(out, "recognised_by", recognised_by(view_license(assessment)));
    json_write_string(out, "verdict", verdict_name(assessment->verdict));
    json_write_open(out, "obligations", '[');
    for (uint32_t i = 0; i < assessment->condition_count; i++) {
        const struct assessed_condition *condition = &assessment->conditions[i];
        if (condition->verdict == VERDICT_OBLIGATION && view_shows_text(condition) &&
            !is_repeated(assessment, i))
            json_write_string(out, NULL, condition->text);
    }
    json_write_close(out, ']');
    json_write_string_unless_empty(out, "attribution", attribution);
    if (recognition->disagreement_count > 0) {
        struct text joined;
        text_init(&joined);
        for (uint32_t i = 0; i < recognition->disagreement_count; i++) {
            text_append_string(&joined, i == 0 ? "" : " ");
            text_append_string(&joined, recognition->disagreements[i]);
        }
        json_write_take(out, "disagreement", &joined);
    }
    json_write_close(out, '}');
}
