/* SPDX-License-Identifier: Apache-2.0 */
/* gate.c -- every condition on the scales, one by one, and what they come to.
 *
 *     recognition                     the operator's declaration
 *         licences, their conditions ---> weigh() <---'
 *         doubts, disagreements             |
 *                                           v
 *                      literal | conservative, reason, remedy, text
 *                                           |
 *           interpretation picks one, an acknowledgement may lower it
 *                                           v
 *                             worst first; the worst is the model's
 *
 * Conditions do not know of each other: a licence's clauses bind together, and so do the licences
 * of a model and of its base models. What a declaration changes can so be read line by line. The
 * rules of a kind are in gate_threshold.c, gate_territory.c, gate_duties.c; the README lists
 * them. */
#include "policy/license/gate.h"

#include "policy/license/catalogue.h"
#include "policy/license/gate_inner.h"
#include "policy/license/month.h"

#include <string.h>

#define ASSESSMENT_BYTES_MAX ((size_t)16 << 20)

/* -- One condition -- */

/* Ways out that hold for every kind. */
static bool let_off(const struct gate *gate, const struct license_condition *condition,
                    struct finding *ret)
{
    const struct declaration *declaration = gate->declaration;
    const char *reason = NULL;
    if (condition->commercial_only && declaration->commercial == DECLARED_NO)
        reason = "It binds commercial use alone, and you declare none (operator.commercial: no).";
    else if ((condition->exempt & EXEMPT_INTERNAL_USE) != 0 &&
             declaration->internal_use == DECLARED_YES)
        reason = "It lets internal use off, which yours is (operator.internal_use: yes).";
    else if ((condition->exempt & EXEMPT_NONPROFIT) != 0 && declaration->nonprofit == DECLARED_YES)
        reason = "It lets non-profits off, which you are (operator.nonprofit: yes).";
    if (reason == NULL)
        return false;
    *ret = gate_found(VERDICT_MET, reason, "");
    return true;
}

static bool any_name_matches(const struct recognition *recognition, char *const *globs,
                             uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < recognition->name_count; j++)
            if (catalogue_glob(gate_shown(globs[i]), gate_shown(recognition->names[j])))
                return true;
    return false;
}

/* Whether a condition on multimodal models is not about this one, or not known to be. The weights
 * know best; names come next, and where they say both, the condition holds. */
static bool spares_model(const struct gate *gate, const struct license_condition *condition,
                         struct finding *ret)
{
    const struct recognition *recognition = gate->recognition;
    if (condition->models != MODELS_MULTIMODAL || recognition->modality == MODALITY_MULTIMODAL)
        return false;
    bool text = recognition->modality == MODALITY_TEXT;
    if (!text) {
        if (any_name_matches(recognition, condition->multimodal, condition->multimodal_count))
            return false;
        text = any_name_matches(recognition, condition->text_only, condition->text_only_count);
    }
    if (text)
        *ret = gate_found(VERDICT_MET, "It binds multimodal models, and this is a text-only model.",
                          "");
    else
        *ret = gate_found(VERDICT_REVIEW,
                          "It binds multimodal models, and neither the weights nor the model's "
                          "names tell whether this is one.",
                          "Find out whether the model takes images or sound; if it takes text "
                          "alone, say so under operator.acknowledge.");
    return true;
}

static struct finding weigh(struct gate *gate, const struct matter *matter)
{
    struct finding finding;
    if (let_off(gate, matter->condition, &finding) ||
        spares_model(gate, matter->condition, &finding))
        return finding;
    switch (matter->condition->kind) {
    case CONDITION_THRESHOLD:
        return gate_weigh_threshold(gate, matter);
    case CONDITION_PURPOSE:
        return gate_weigh_purpose(gate, matter);
    case CONDITION_TERRITORY:
        return gate_weigh_territory(gate, matter);
    case CONDITION_BUSINESS:
        return gate_weigh_business(gate, matter);
    default:
        return gate_weigh_duty(gate, matter);
    }
}

/* -- Into the assessment -- */

static const struct declared_acknowledgement *acknowledgement_of(const struct gate *gate,
                                                                 const char *id)
{
    for (uint32_t i = 0; i < gate->declaration->acknowledge_count; i++) {
        const struct declared_acknowledgement *one = &gate->declaration->acknowledge[i];
        const char *model = gate_shown(one->model);
        if (gate_shown(one->reference)[0] != '\0' && strcmp(gate_shown(one->condition), id) == 0 &&
            (model[0] == '\0' || strcmp(model, gate_shown(gate->recognition->model)) == 0))
            return one;
    }
    return NULL;
}

/* The declaration may be gone before the assessment is. */
static void settle(struct gate *gate, struct assessed_condition *assessed,
                   const struct finding *finding)
{
    assessed->literal = finding->literal;
    assessed->conservative = finding->conservative;
    assessed->reason = finding->reason;
    assessed->remedy = finding->remedy;
    assessed->text = finding->text;
    assessed->words = finding->text;
    assessed->acknowledged = "";
    assessed->verdict = gate->declaration->interpretation == INTERPRETATION_LITERAL
                            ? finding->literal
                            : finding->conservative;
    const struct declared_acknowledgement *taken = acknowledgement_of(gate, assessed->id);
    if (assessed->verdict >= VERDICT_REVIEW && taken != NULL) {
        assessed->verdict = VERDICT_WATCH;
        assessed->acknowledged = gate_say(gate, "%s", taken->reference);
    }
}

static void add_condition(struct gate *gate, struct assessment *assessment,
                          const struct recognised_license *license,
                          const struct license_condition *condition)
{
    const struct license_record *record = license->record;
    const char *id = gate_say(gate, "%s/%s", gate_shown(record->id), gate_shown(condition->id));
    const struct matter matter = {.record = record, .condition = condition, .id = id};
    struct finding finding = weigh(gate, &matter);
    bool asks = finding.literal > VERDICT_WATCH || finding.conservative > VERDICT_WATCH;
    if (asks && !finding.undeclared && gate_shown(condition->remedy)[0] != '\0')
        finding.remedy = condition->remedy;
    if (gate_shown(license->base)[0] != '\0')
        finding.reason =
            gate_say(gate, "Through the base model %s: %s", license->base, finding.reason);
    struct assessed_condition *assessed = &assessment->conditions[assessment->condition_count];
    *assessed = (struct assessed_condition){.id = id,
                                            .kind = condition_kind_name(condition->kind),
                                            .license = gate_shown(record->id),
                                            .condition = condition,
                                            .clause = gate_shown(condition->clause),
                                            .summary = gate_shown(condition->summary)};
    settle(gate, assessed, &finding);
    if (condition->kind == CONDITION_THRESHOLD && condition->consequence == CONSEQUENCE_ATTRIBUTE)
        assessed->words = gate_text(gate, &matter);
    assessment->condition_count++;
}

/* Ids are unique, for they name metrics and acknowledgements: from the second on of a kind, a
 * remark has its number. */
static const char *remark_id(struct gate *gate, const struct assessment *assessment, const char *id)
{
    size_t count = strlen(id);
    uint32_t number = 1;
    for (uint32_t i = 0; i < assessment->condition_count; i++) {
        const char *other = assessment->conditions[i].id;
        if (strncmp(other, id, count) == 0 &&
            (other[count] == '\0' ||
             (other[count] == '-' && other[count + 1] >= '0' && other[count + 1] <= '9')))
            number++;
    }
    return number == 1 ? id : gate_say(gate, "%s-%u", id, number);
}

/* What is no condition of a licence: a doubt or a disagreement. */
static void add_remark(struct gate *gate, struct assessment *assessment, const char *id,
                       const char *summary, const struct finding *finding)
{
    struct assessed_condition *assessed = &assessment->conditions[assessment->condition_count];
    *assessed = (struct assessed_condition){.id = remark_id(gate, assessment, id),
                                            .kind = strncmp(id, "lineage/", 8) == 0 ? "lineage"
                                                                                    : "recognition",
                                            .license = "",
                                            .clause = "",
                                            .summary = summary};
    settle(gate, assessed, finding);
    assessment->condition_count++;
}

static void add_doubt(struct gate *gate, struct assessment *assessment, const char *id,
                      const char *reason, const char *remedy)
{
    struct finding finding = gate_found(VERDICT_REVIEW, reason, remedy);
    add_remark(gate, assessment, id, "Which terms bind the model is not fully known.", &finding);
}

/* A licence found twice, on the label and in the lineage, binds once. */
static bool seen_before(const struct recognition *recognition, uint32_t index)
{
    const struct license_record *record = recognition->licenses[index].record;
    for (uint32_t i = 0; i < index; i++)
        if (recognition->licenses[i].record == record)
            return record != NULL;
    return false;
}

static void add_license(struct gate *gate, struct assessment *assessment, uint32_t index)
{
    const struct recognised_license *license = &gate->recognition->licenses[index];
    if (license->record == NULL && gate->recognition->doubt_count > 0)
        return; /* recognition says better what is wrong with it */
    if (license->record == NULL) {
        const char *evidence = gate_shown(license->evidence);
        add_doubt(
            gate, assessment, "recognition/unknown-license",
            gate_say(gate, "'%s' is declared%s%s%s, and the catalogue has no such licence.",
                     gate_shown(license->declared), evidence[0] == '\0' ? "" : " (", evidence,
                     evidence[0] == '\0' ? "" : ")"),
            "Read its text. Name a licence of 'weir licenses list' under models[].license, or "
            "add a record of your own to licenses.folder.");
        return;
    }
    if (seen_before(gate->recognition, index))
        return;
    for (uint32_t i = 0; i < license->record->condition_count; i++)
        add_condition(gate, assessment, license, &license->record->conditions[i]);
}

static void add_all(struct gate *gate, struct assessment *assessment)
{
    const struct recognition *recognition = gate->recognition;
    for (uint32_t i = 0; i < recognition->license_count; i++)
        add_license(gate, assessment, i);
    for (uint32_t i = 0; i < recognition->doubt_count; i++) {
        const struct recognition_doubt *doubt = &recognition->doubts[i];
        add_doubt(gate, assessment, gate_say(gate, "recognition/%s", gate_shown(doubt->id)),
                  gate_shown(doubt->reason), gate_shown(doubt->remedy));
    }
    /* Nothing known and nobody in doubt about it: silence is no licence. */
    if (recognition->license_count == 0 && recognition->doubt_count == 0)
        add_doubt(gate, assessment, "recognition/unknown-license",
                  "Neither the weights nor the files beside them name a licence.",
                  "Find out under which licence it was published and name it under "
                  "models[].license.");
    for (uint32_t i = 0; i < recognition->disagreement_count; i++) {
        struct finding finding =
            gate_found(VERDICT_OBLIGATION, gate_shown(recognition->disagreements[i]),
                       "Keep to both. Have the label corrected before you pass the model on.");
        add_remark(gate, assessment, "lineage/disagreement",
                   "Label, text and lineage do not say the same; all of them bind.", &finding);
    }
}

static size_t conditions_at_most(const struct recognition *recognition)
{
    size_t count = (size_t)recognition->doubt_count + recognition->disagreement_count + 1;
    for (uint32_t i = 0; i < recognition->license_count; i++)
        count += recognition->licenses[i].record == NULL
                     ? 1
                     : recognition->licenses[i].record->condition_count;
    return count;
}

/* -- What they come to -- */

static enum verdict worse(enum verdict one, enum verdict other)
{
    return one > other ? one : other;
}

/* Worst first, each verdict in the order it came. */
static void sort_conditions(struct gate *gate, struct assessment *assessment)
{
    struct assessed_condition *sorted =
        arena_alloc(gate->arena, assessment->condition_count * sizeof *sorted);
    uint32_t used = 0;
    if (sorted == NULL) {
        gate->failed = true;
        return;
    }
    for (int verdict = VERDICT_BREACH; verdict >= VERDICT_MET; verdict--)
        for (uint32_t i = 0; i < assessment->condition_count; i++)
            if (assessment->conditions[i].verdict == (enum verdict)verdict)
                sorted[used++] = assessment->conditions[i];
    assessment->conditions = sorted;
}

static void sum_up(struct assessment *assessment)
{
    for (uint32_t i = 0; i < assessment->condition_count; i++) {
        const struct assessed_condition *one = &assessment->conditions[i];
        assessment->verdict = worse(assessment->verdict, one->verdict);
        assessment->literal = worse(assessment->literal, one->literal);
        assessment->conservative = worse(assessment->conservative, one->conservative);
    }
}

static const char *joined_ids(struct gate *gate)
{
    const char *joined = "";
    bool unknown = gate->recognition->license_count == 0;
    for (uint32_t i = 0; i < gate->recognition->license_count; i++) {
        const struct license_record *record = gate->recognition->licenses[i].record;
        unknown |= record == NULL;
        if (record != NULL && !seen_before(gate->recognition, i))
            joined = gate_also(gate, joined, " AND ", gate_shown(record->id));
    }
    return unknown ? gate_also(gate, joined, " AND ", "unknown") : joined;
}

/* -- Open source, by those who define it -- */

/* How bad an answer is: a model is as open as the least open of its licences. */
static int openness(enum license_answer answer)
{
    switch (answer) {
    case ANSWER_NO:
        return 0;
    case ANSWER_CONDITIONAL:
        return 2;
    case ANSWER_YES:
        return 3;
    case ANSWER_UNKNOWN:
    case ANSWER_SILENT:
        break;
    }
    return 1;
}

static enum license_answer plain(enum license_answer answer)
{
    return answer == ANSWER_SILENT ? ANSWER_UNKNOWN : answer;
}

static const char *why(struct gate *gate, const struct license_record *record, const char *reason)
{
    if (record == NULL)
        return "The licence is not known.";
    reason = gate_shown(reason);
    if (reason[0] == '\0')
        return gate_say(gate, "%s has not been judged.", gate_shown(record->id));
    return gate->recognition->license_count > 1
               ? gate_say(gate, "%s: %s", gate_shown(record->id), reason)
               : reason;
}

static void judge_openness(struct gate *gate, struct assessment *assessment)
{
    const struct recognition *recognition = gate->recognition;
    const struct license_record *osaid = NULL, *ai_act = NULL;
    assessment->osaid = assessment->ai_act =
        recognition->license_count == 0 ? ANSWER_UNKNOWN : ANSWER_YES;
    for (uint32_t i = 0; i < recognition->license_count; i++) {
        const struct license_record *record = recognition->licenses[i].record;
        enum license_answer source = record == NULL ? ANSWER_UNKNOWN : plain(record->osaid);
        enum license_answer exempt = record == NULL ? ANSWER_UNKNOWN : plain(record->ai_act);
        if (i == 0 || openness(source) < openness(assessment->osaid)) {
            assessment->osaid = source;
            osaid = record;
        }
        if (i == 0 || openness(exempt) < openness(assessment->ai_act)) {
            assessment->ai_act = exempt;
            ai_act = record;
        }
    }
    assessment->osaid_reason = why(gate, osaid, osaid == NULL ? "" : osaid->osaid_reason);
    assessment->ai_act_basis = ai_act == NULL ? "" : gate_shown(ai_act->ai_act_basis);
    assessment->ai_act_reason =
        gate_say(gate,
                 "%s The exemption is that of the model's provider. Who deploys the model becomes "
                 "its provider only by putting it on the EU market where the provider clearly left "
                 "that out (guidelines C(2025) 5045, para. 59), or by modifying it substantially "
                 "(para. 63).",
                 why(gate, ai_act, ai_act == NULL ? "" : ai_act->ai_act_reason));
}

/* -- All of it -- */

static void assess(struct gate *gate, struct assessment *assessment)
{
    assessment->conditions = arena_alloc(gate->arena, conditions_at_most(gate->recognition) *
                                                          sizeof *assessment->conditions);
    if (assessment->conditions == NULL) {
        gate->failed = true;
        return;
    }
    add_all(gate, assessment);
    sort_conditions(gate, assessment);
    sum_up(assessment);
    judge_openness(gate, assessment);
    assessment->license = joined_ids(gate);
}

int gate_assess(struct recognition *recognition, const struct declaration *declaration,
                int64_t now_unix, struct assessment **ret, struct error *err)
{
    static const struct declaration nothing = {.interpretation = INTERPRETATION_CONSERVATIVE};
    struct arena *arena = arena_new(ASSESSMENT_BYTES_MAX);
    struct assessment *assessment = arena == NULL ? NULL : arena_alloc(arena, sizeof *assessment);
    if (assessment == NULL) {
        arena_free(arena);
        recognition_free(recognition);
        return error_no_memory(err);
    }
    struct gate gate = {.arena = arena,
                        .recognition = recognition,
                        .declaration = declaration == NULL ? &nothing : declaration,
                        .month = month_of_unix(now_unix)};
    *assessment = (struct assessment){.recognition = recognition,
                                      .model = gate_shown(recognition->model),
                                      .interpretation = gate.declaration->interpretation,
                                      .at_unix = now_unix,
                                      .arena = arena};
    assess(&gate, assessment);
    if (gate.failed) {
        assessment_free(assessment);
        return error_no_memory(err);
    }
    *ret = assessment;
    return 0;
}
