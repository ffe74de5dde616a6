/* SPDX-License-Identifier: Apache-2.0 */
/* record.c -- a licence of the catalogue, for a person: what it grants, what it asks, and how well
 * that is known. */
#include "policy/render/page.h"
#include "policy/render/render.h"
#include "policy/render/view.h"

#include <string.h>

#define FIELD_INDENT  12u
#define DETAIL_INDENT 14u

static void append_list(const struct page *page, const char *label, char *const *values,
                        uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        page_field(page, i == 0 ? label : "", values[i], FIELD_INDENT);
}

static const char *trigger_name(enum condition_trigger trigger)
{
    switch (trigger) {
    case TRIGGER_SERVING:
        return "when a product or service uses the model";
    case TRIGGER_DISTRIBUTION:
        return "when weights or derivatives are passed on";
    case TRIGGER_DERIVATIVE:
        return "when a model made from it is passed on";
    case TRIGGER_NETWORK:
        return "when others use it over a network";
    default:
        return ""; /* any use: nothing to add */
    }
}

static void append_limbs(const struct page *page, const struct license_condition *condition)
{
    for (uint32_t i = 0; i < condition->any_of_count; i++) {
        struct text line;
        text_init(&line);
        view_append_limb(&line, &condition->any_of[i]);
        page_built(page, i == 0 ? "    line" : "    or", &line, DETAIL_INDENT);
    }
    if (condition->test == TEST_RELEASE_DATE && condition->test_month[0] != '\0') {
        struct text line;
        text_init(&line);
        text_append_format(&line, "in %s, the month before the release of %s",
                           condition->test_month, condition->release_date);
        page_built(page, "    tested", &line, DETAIL_INDENT);
    }
}

static void append_texts(const struct page *page, const struct license_condition *condition)
{
    page_field(page, "    text", condition->text, DETAIL_INDENT);
    for (uint32_t i = 0; i < condition->checkpoint_count; i++) {
        struct text line;
        text_init(&line);
        text_append_format(&line, "%s (of %s)", condition->checkpoints[i].text,
                           condition->checkpoints[i].model);
        page_built(page, condition->text[0] == '\0' && i == 0 ? "    text" : "", &line,
                   DETAIL_INDENT);
    }
    struct text where;
    text_init(&where);
    for (uint32_t i = 0; i < condition->where_count; i++)
        text_append_format(&where, "%s%s", i == 0 ? "" : " or ", condition->where[i]);
    page_built(page, "    where", &where, DETAIL_INDENT);
}

static void append_condition(const struct page *page, const struct license_condition *condition)
{
    struct text title, denied;
    text_init(&title);
    text_append_format(&title, "%s (%s)", condition->id, condition_kind_name(condition->kind));
    if (condition->clause[0] != '\0')
        text_append_format(&title, ", %s", condition->clause);
    page_built(page, " ", &title, 2);
    page_field(page, "    asks", condition->summary, DETAIL_INDENT);
    page_field(page, "    due", trigger_name(condition->trigger), DETAIL_INDENT);
    append_limbs(page, condition);
    text_init(&denied);
    for (uint32_t i = 0; i < condition->denied_count; i++)
        text_append_format(&denied, "%s%s", i == 0 ? "" : ", ", condition->denied[i]);
    page_built(page, "    not in", &denied, DETAIL_INDENT);
    append_texts(page, condition);
    page_field(page, "    do", condition->remedy, DETAIL_INDENT);
}

static void append_grants(const struct page *page, const struct license_grants *grants)
{
    struct text line;
    text_init(&line);
    text_append_format(
        &line,
        "commercial: %s; production: %s; patent: %s; transferable: %s; hosting counts as "
        "distribution: %s",
        license_answer_name(grants->commercial), license_answer_name(grants->production),
        license_answer_name(grants->patent), license_answer_name(grants->transferable),
        license_answer_name(grants->hosting_is_distribution));
    page_built(page, "Grants", &line, FIELD_INDENT);
}

static void append_positions(const struct page *page, const struct license_record *record)
{
    struct text line;
    text_init(&line);
    text_append_string(&line, license_answer_name(record->osaid));
    if (record->osaid_reason[0] != '\0')
        text_append_format(&line, ": %s", record->osaid_reason);
    page_built(page, "OSAID", &line, FIELD_INDENT);
    text_init(&line);
    text_append_format(&line, "open-source exemption: %s", view_exemption(record->ai_act));
    if (record->ai_act_basis[0] != '\0')
        text_append_format(&line, " (%s)", record->ai_act_basis);
    if (record->ai_act_reason[0] != '\0')
        text_append_format(&line, ": %s", record->ai_act_reason);
    page_built(page, "AI Act", &line, FIELD_INDENT);
}

static void append_policies(const struct page *page, const struct license_record *record)
{
    for (uint32_t i = 0; i < record->policy_count; i++) {
        struct text line;
        text_init(&line);
        text_append_format(&line, "%s: %s", record->policies[i].name, record->policies[i].url);
        page_built(page, i == 0 ? "Policies" : "", &line, FIELD_INDENT);
    }
}

void render_record(const struct license_record *record, uint32_t columns, struct text *out)
{
    struct page page = page_of(out, columns);
    struct text known;
    text_init(&known);
    text_append_format(&known, "grade %s, %s", license_grade_name(record->grade),
                       record->verified ? "verified" : "not verified");
    page_field(&page, "Id", record->id, FIELD_INDENT);
    page_field(&page, "Name", record->name, FIELD_INDENT);
    page_field(&page, "SPDX", record->spdx, FIELD_INDENT);
    page_field(&page, "Publisher", record->publisher, FIELD_INDENT);
    page_field(&page, "Version", record->version, FIELD_INDENT);
    page_field(&page, "Family", record->family, FIELD_INDENT);
    page_field(&page, "Category", license_category_name(record->category), FIELD_INDENT);
    append_list(&page, "Also called", record->aliases, record->alias_count);
    page_built(&page, "Known by", &known, FIELD_INDENT);
    append_list(&page, "Sources", record->sources, record->source_count);
    page_field(&page, "Summary", record->summary, FIELD_INDENT);
    append_grants(&page, &record->grants);
    append_positions(&page, record);
    append_policies(&page, record);
    append_list(&page, "Ambiguous", record->ambiguities, record->ambiguity_count);
    text_append_string(out, record->condition_count == 0 ? "Conditions  none\n" : "Conditions\n");
    for (uint32_t i = 0; i < record->condition_count; i++)
        append_condition(&page, &record->conditions[i]);
}
