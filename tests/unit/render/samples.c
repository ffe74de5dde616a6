/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/render/samples.h"

static char *places[] = {"user interface", "website"};
static char *denied[] = {"EU"};
static struct license_reference policies[] = {
    {.name = "Acceptable Use Policy", .url = "https://example.org/use policy"}};
static struct threshold_limb limbs[] = {
    {METRIC_MAU, COMPARATOR_ABOVE, WINDOW_MONTH, CURRENCY_USD, 100000000},
    {METRIC_REVENUE, COMPARATOR_AT_LEAST, WINDOW_YEAR, CURRENCY_CNY, 20000000}};

static struct license_condition ui_name = {
    .id = "ui-name",
    .kind = CONDITION_THRESHOLD,
    .clause = "final paragraph",
    .summary = "Products above 100M monthly users show the name.",
    .remedy = "",
    .any_of = limbs,
    .any_of_count = 2,
    .release_date = "",
    .test_month = "",
    .consequence = CONSEQUENCE_ATTRIBUTE,
    .text = "Weirdo 5",
    .where = places,
    .where_count = 2,
};
static struct license_condition notice = {
    .id = "notice",
    .kind = CONDITION_NOTICE,
    .clause = "\xc2\xa7"
              "1",
    .summary = "Keep the notice with copies.",
    .remedy = "Put it beside the weights.",
    .trigger = TRIGGER_DISTRIBUTION,
    .release_date = "",
    .test_month = "",
    .text = "Weirdo is licensed under ```its``` terms.\nAll rights reserved.",
};
static struct license_condition territory = {
    .id = "eu",
    .kind = CONDITION_TERRITORY,
    .clause = "use policy, \xc2\xa7"
              "1(a)",
    .summary = "Companies of the European Union have no rights in multimodal models.",
    .remedy = "Use a model that reads text alone.",
    .release_date = "",
    .test_month = "",
    .text = "",
    .denied = denied,
    .denied_count = 1,
};
static struct license_condition research = {
    .id = "research",
    .kind = CONDITION_PURPOSE,
    .clause = "\xc2\xa7"
              "3.2",
    .summary = "Research alone.",
    .remedy = "Ask for a commercial licence.",
    .release_date = "",
    .test_month = "",
    .text = "",
};
static struct license_condition conditions[4];

static struct license_record weirdo = {
    .id = "weirdo-5",
    .name = "Weirdo 5 License",
    .family = "weirdo",
    .publisher = "Weirdo Labs",
    .version = "5",
    .spdx = "LicenseRef-weirdo-5",
    .category = CATEGORY_THRESHOLD,
    .grade = GRADE_P,
    .verified = true,
    .summary = "Free to use below a size.",
    .policies = policies,
    .policy_count = 1,
    .grants = {.commercial = ANSWER_YES, .patent = ANSWER_SILENT},
    .conditions = conditions,
    .condition_count = 4,
    .osaid = ANSWER_NO,
    .osaid_reason = "It limits who may use it.",
    .ai_act = ANSWER_CONDITIONAL,
    .ai_act_basis = "para. 83",
    .ai_act_reason = "Thresholds are not free.",
};
static struct license_record mit = {
    .id = "MIT",
    .name = "MIT License",
    .family = "MIT",
    .publisher = "",
    .version = "",
    .spdx = "MIT",
    .category = CATEGORY_PERMISSIVE,
    .grade = GRADE_S,
    .summary = "Permissive.",
    .osaid = ANSWER_YES,
    .osaid_reason = "",
    .ai_act = ANSWER_YES,
    .ai_act_basis = "",
    .ai_act_reason = "",
};

static const char *const full_disagreements[] = {"The card says MIT, the base model does not."};
static const char *const full_files[] = {"models/weirdo 5/LICENSE", "models/weirdo 5/README.md"};
static const struct recognition full_recognition = {
    .model = "weirdo-5-chat",
    .licenses = {{&mit, "mit", BY_CARD, "models/weirdo 5/README.md", ""},
                 {&weirdo, "weirdo-5", BY_LINEAGE, "general.base_model.0.name",
                  "weirdo/Weirdo-5-Base"}},
    .license_count = 2,
    .disagreements = full_disagreements,
    .disagreement_count = 1,
    .files = full_files,
    .file_count = 2,
    .link = "https://example.org/li cense?a=b",
};
static struct assessed_condition full_conditions[] = {
    {.id = "weirdo-5/eu",
     .kind = "territory",
     .license = "weirdo-5",
     .condition = &territory,
     .verdict = VERDICT_BREACH,
     .literal = VERDICT_BREACH,
     .conservative = VERDICT_BREACH,
     .reason = "Declared domicile DE is in the European Union.",
     .text = "",
     .acknowledged = ""},
    {.id = "recognition/text-unknown",
     .kind = "recognition",
     .license = "",
     .clause = "",
     .summary = "A text beside the weights is not known.",
     .verdict = VERDICT_REVIEW,
     .literal = VERDICT_REVIEW,
     .conservative = VERDICT_REVIEW,
     .reason = "LICENSE.old has a sentence of its own.",
     .remedy = "Read it.",
     .text = "",
     .acknowledged = ""},
    {.id = "weirdo-5/notice",
     .kind = "notice",
     .license = "weirdo-5",
     .condition = &notice,
     .verdict = VERDICT_OBLIGATION,
     .literal = VERDICT_OBLIGATION,
     .conservative = VERDICT_OBLIGATION,
     .reason = "Weights are distributed.",
     .acknowledged = ""},
    {.id = "weirdo-5/ui-name",
     .kind = "threshold",
     .license = "weirdo-5",
     .condition = &ui_name,
     .verdict = VERDICT_WATCH,
     .literal = VERDICT_MET,
     .conservative = VERDICT_WATCH,
     .reason = "90,000,000 users declared for 2026-10.",
     .acknowledged = ""},
    {.id = "weirdo-5/research",
     .kind = "purpose",
     .license = "weirdo-5",
     .condition = &research,
     .verdict = VERDICT_MET,
     .literal = VERDICT_BREACH,
     .conservative = VERDICT_BREACH,
     .reason = "Production is declared.",
     .text = "",
     .acknowledged = "contract 7/2026"},
    {.id = "MIT/notice",
     .kind = "notice",
     .license = "MIT",
     .condition = &notice,
     .verdict = VERDICT_MET,
     .literal = VERDICT_MET,
     .conservative = VERDICT_MET,
     .reason = "Nothing is distributed.",
     .acknowledged = ""},
};

const struct assessment *sample_full(void)
{
    static struct assessment assessment = {
        .recognition = &full_recognition,
        .model = "weirdo-5-chat",
        .license = "MIT AND weirdo-5",
        .verdict = VERDICT_BREACH,
        .literal = VERDICT_BREACH,
        .conservative = VERDICT_BREACH,
        .interpretation = INTERPRETATION_CONSERVATIVE,
        .conditions = full_conditions,
        .condition_count = sizeof full_conditions / sizeof full_conditions[0],
        .osaid = ANSWER_NO,
        .ai_act = ANSWER_CONDITIONAL,
        .osaid_reason = "It limits who may use it.",
        .ai_act_basis = "para. 83",
        .ai_act_reason = "Thresholds are not free.",
        .at_unix = 1795568932,
    };
    conditions[0] = ui_name;
    conditions[1] = notice;
    conditions[2] = territory;
    conditions[3] = research;
    for (uint32_t i = 0; i < assessment.condition_count; i++) {
        struct assessed_condition *condition = &full_conditions[i];
        if (condition->condition == NULL)
            continue;
        condition->clause = condition->condition->clause;
        condition->summary = condition->condition->summary;
        condition->remedy = condition->condition->remedy;
        condition->text = condition->condition->text;
    }
    return &assessment;
}

const struct assessment *sample_plain(void)
{
    static const struct recognition recognition = {
        .model = "tiny",
        .licenses = {{&mit, "mit", BY_WEIGHTS, "general.license", ""}},
        .license_count = 1,
        .link = "",
    };
    static const struct assessment assessment = {
        .recognition = &recognition,
        .model = "tiny",
        .license = "MIT",
        .osaid = ANSWER_YES,
        .ai_act = ANSWER_YES,
        .osaid_reason = "",
        .ai_act_basis = "",
        .ai_act_reason = "",
        .at_unix = 0,
    };
    return &assessment;
}

const struct assessment *sample_bare(void)
{
    static const struct recognition recognition = {.model = "m", .link = ""};
    static const struct assessment assessment = {
        .recognition = &recognition,
        .model = "m",
        .license = "unknown",
        .verdict = VERDICT_REVIEW,
        .literal = VERDICT_REVIEW,
        .conservative = VERDICT_REVIEW,
        .interpretation = INTERPRETATION_LITERAL,
        .osaid_reason = "",
        .ai_act_basis = "",
        .ai_act_reason = "",
        .at_unix = INT64_MAX,
    };
    return &assessment;
}

const struct assessment *sample_hostile(void)
{
    static const char *const strings[] = {SAMPLE_HOSTILE, SAMPLE_HOSTILE};
    static const struct recognition recognition = {
        .model = SAMPLE_HOSTILE,
        .licenses = {{NULL, SAMPLE_HOSTILE, BY_CARD, SAMPLE_HOSTILE, SAMPLE_HOSTILE}},
        .license_count = 1,
        .disagreements = strings,
        .disagreement_count = 2,
        .files = strings,
        .file_count = 2,
        .link = "https://" SAMPLE_HOSTILE,
    };
    static struct assessed_condition condition = {
        .id = "recognition/" SAMPLE_HOSTILE,
        .kind = "recognition",
        .license = SAMPLE_HOSTILE,
        .clause = SAMPLE_HOSTILE,
        .summary = SAMPLE_HOSTILE,
        .verdict = VERDICT_REVIEW,
        .literal = VERDICT_REVIEW,
        .conservative = VERDICT_REVIEW,
        .reason = SAMPLE_HOSTILE,
        .remedy = SAMPLE_HOSTILE,
        .text = SAMPLE_HOSTILE,
        .acknowledged = SAMPLE_HOSTILE,
    };
    static const struct assessment assessment = {
        .recognition = &recognition,
        .model = SAMPLE_HOSTILE,
        .license = SAMPLE_HOSTILE,
        .verdict = VERDICT_REVIEW,
        .literal = VERDICT_REVIEW,
        .conservative = VERDICT_REVIEW,
        .conditions = &condition,
        .condition_count = 1,
        .osaid_reason = SAMPLE_HOSTILE,
        .ai_act_basis = SAMPLE_HOSTILE,
        .ai_act_reason = SAMPLE_HOSTILE,
        .at_unix = INT64_MIN,
    };
    return &assessment;
}
