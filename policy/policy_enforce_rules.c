/* SPDX-License-Identifier: Apache-2.0 */
/* policy_enforce_rules.c -- what the lines of a model's licences ask for once they are crossed. Two
 * things only can be done here about a line: showing the words that it asks for, and keeping users
 * away from one beyond which a licence of its own is needed. A line that asks to tell the publisher
 * something, to pay, or to be reviewed is for people, who hear of it by alerts. */
#include "policy/license/assessment.h"
#include "policy/policy_enforce_inner.h"

#include <string.h>

static enum verdict by_reading(const struct assessment *assessment,
                               const struct assessed_condition *assessed)
{
    return assessment->interpretation == INTERPRETATION_LITERAL ? assessed->literal
                                                                : assessed->conservative;
}

static const struct assessed_condition *condition_of(const struct assessment *assessment,
                                                     const char *id)
{
    for (uint32_t i = 0; i < assessment->condition_count; i++)
        if (strcmp(assessment->conditions[i].id, id) == 0)
            return &assessment->conditions[i];
    return NULL;
}

static bool needs_license(enum threshold_consequence consequence)
{
    return consequence == CONSEQUENCE_NO_RIGHTS || consequence == CONSEQUENCE_SEPARATE_LICENSE ||
           consequence == CONSEQUENCE_TERMINATE;
}

/* Said by the operator, be it that nobody has to say it yet: the assessment has it only where the
 * condition asks for something today. */
static bool is_acknowledged(const struct declaration *declaration, const char *model,
                            const char *id)
{
    for (uint32_t i = 0; declaration != NULL && i < declaration->acknowledge_count; i++) {
        const struct declared_acknowledgement *one = &declaration->acknowledge[i];
        bool all = one->model == NULL || one->model[0] == '\0';
        if (strcmp(one->condition, id) == 0 && (all || strcmp(one->model, model) == 0))
            return true;
    }
    return false;
}

/* The limb that the line was made from says whether the line itself is past it. */
static bool is_at_least(const struct license_condition *condition, const struct line *line)
{
    for (uint32_t i = 0; i < condition->any_of_count; i++) {
        const struct threshold_limb *limb = &condition->any_of[i];
        if (limb->metric != METRIC_REVENUE && (limb->metric == METRIC_DAU) == line->daily &&
            (double)limb->value == line->threshold)
            return limb->comparator == COMPARATOR_AT_LEAST;
    }
    return false;
}

void enforce_rules_of(const struct line_source *source, enum policy_enforce mode,
                      struct enforce_plan *ret)
{
    struct line lines[ENFORCE_RULES_MAX];
    const struct assessment *assessment = source->assessment;
    uint32_t count = lines_of(source, lines, ENFORCE_RULES_MAX);
    ret->rule_count = 0;
    for (uint32_t i = 0; i < count && mode != POLICY_ENFORCE_ALERT; i++) {
        const struct assessed_condition *assessed = condition_of(assessment, lines[i].condition);
        if (assessed == NULL || by_reading(assessment, assessed) == VERDICT_MET)
            continue;
        bool shows = assessed->condition->consequence == CONSEQUENCE_ATTRIBUTE;
        bool stops = mode > POLICY_ENFORCE_ATTRIBUTE &&
                     !is_acknowledged(source->declaration, assessment->model, assessed->id) &&
                     needs_license(assessed->condition->consequence);
        if (shows || stops)
            ret->rules[ret->rule_count++] =
                (struct enforce_rule){.line = lines[i],
                                      .condition = assessed,
                                      .shows = shows,
                                      .at_least = is_at_least(assessed->condition, &lines[i])};
    }
}

/* Words asked of whoever serves the model, whatever its figures. */
static bool is_always_due(const struct assessment *assessment,
                          const struct assessed_condition *assessed)
{
    const struct license_condition *condition = assessed->condition;
    return condition != NULL && condition->kind == CONDITION_ATTRIBUTION &&
           (condition->trigger == TRIGGER_ALWAYS || condition->trigger == TRIGGER_SERVING ||
            condition->trigger == TRIGGER_NETWORK) &&
           by_reading(assessment, assessed) != VERDICT_MET;
}

/* All of it or nothing: half a sentence is not what a licence asks for. */
static void add_words(const char *words, char ret[POLICY_ATTRIBUTION_BYTES])
{
    size_t used = strlen(ret), count = strlen(words), gap = used == 0 ? 0 : 2;
    if (count == 0 || strstr(ret, words) != NULL || used + gap + count >= POLICY_ATTRIBUTION_BYTES)
        return;
    memcpy(ret + used, "; ", gap);
    memcpy(ret + used + gap, words, count + 1);
}

void enforce_words(const struct assessment *assessment, const struct enforce_plan *plan,
                   char ret[POLICY_ATTRIBUTION_BYTES])
{
    ret[0] = '\0';
    for (uint32_t i = 0; i < assessment->condition_count; i++)
        if (is_always_due(assessment, &assessment->conditions[i]))
            add_words(assessment->conditions[i].text, ret);
    for (uint32_t i = 0; i < plan->rule_count; i++) {
        const struct enforce_rule *rule = &plan->rules[i];
        if (rule->shows && rule->due)
            add_words(rule->condition->words[0] != '\0' ? rule->condition->words
                                                        : rule->condition->summary,
                      ret);
    }
}
