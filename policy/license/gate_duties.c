/* SPDX-License-Identifier: Apache-2.0 */
/* gate_duties.c -- what a model is for, who asks for it, and what the operator then owes. */
#include "policy/license/gate_inner.h"

#include <string.h>

/* -- Purpose -- */

struct purpose_question {
    const char *key;
    enum declared declared;
    const char *breach;
};

/* Any yes is a breach, any silence a review, and only noes are kept. */
static struct finding weigh_questions(struct gate *gate, const struct matter *matter,
                                      const struct purpose_question *questions, uint32_t count,
                                      const char *allows)
{
    const char *silent = "", *said = "";
    for (uint32_t i = 0; i < count; i++) {
        if (questions[i].declared == DECLARED_YES)
            return gate_found(VERDICT_BREACH,
                              gate_say(gate, "You declare %s (%s: yes), and the licence allows %s.",
                                       questions[i].breach, questions[i].key, allows),
                              gate_way_out(gate, matter));
        if (questions[i].declared == UNDECLARED)
            silent = gate_also(gate, silent, " and ", questions[i].key);
        else
            said = gate_also(gate, said, ", ", gate_say(gate, "%s: no", questions[i].key));
    }
    if (silent[0] != '\0')
        return gate_undeclared(gate, silent, gate_say(gate, "The licence allows %s", allows));
    return gate_found(
        VERDICT_MET,
        gate_say(gate, "The licence allows %s, and that is what you declare (%s).", allows, said),
        "");
}

struct finding gate_weigh_purpose(struct gate *gate, const struct matter *matter)
{
    const struct purpose_question production = {"operator.production",
                                                gate->declaration->production, "production use"};
    const struct purpose_question commercial = {"operator.commercial",
                                                gate->declaration->commercial, "commercial use"};
    const struct purpose_question research[2] = {production, commercial};
    switch (matter->condition->purpose) {
    case PURPOSE_RESEARCH:
        return weigh_questions(gate, matter, research, 2, "research only");
    case PURPOSE_NON_PRODUCTION:
        return weigh_questions(gate, matter, &production, 1, "non-production use only");
    case PURPOSE_NON_COMMERCIAL:
        break;
    }
    return weigh_questions(gate, matter, &commercial, 1, "non-commercial use only");
}

/* -- Kinds of business -- */

const char *gate_business_words(struct gate *gate, uint32_t business)
{
    static const struct {
        uint32_t bit;
        const char *word;
    } kinds[] = {{BUSINESS_NONE, "none"},
                 {BUSINESS_MODEL_AS_A_SERVICE, "model_as_a_service"},
                 {BUSINESS_AI_WORK_ASSISTANT, "ai_work_assistant"},
                 {BUSINESS_SOFTWARE_OR_CLOUD, "software_or_cloud"},
                 {BUSINESS_COMPETES_WITH_PUBLISHER, "competes_with_publisher"},
                 {BUSINESS_IMAGE_GENERATION, "image_generation"}};
    const char *words[sizeof kinds / sizeof kinds[0]];
    uint32_t count = 0;
    for (uint32_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if ((business & kinds[i].bit) != 0)
            words[count++] = kinds[i].word;
    return gate_join(gate, words, count, " or ");
}

struct finding gate_weigh_business(struct gate *gate, const struct matter *matter)
{
    uint32_t declared = gate->declaration->business_types;
    uint32_t asked = matter->condition->business & ~(uint32_t)BUSINESS_NONE;
    const char *words = gate_business_words(gate, asked);
    if (declared == 0)
        return gate_undeclared(
            gate, "operator.business_types",
            gate_say(gate, "The clause is for those whose business is %s (or say none)", words));
    if ((declared & asked) == 0)
        return gate_found(
            VERDICT_MET,
            gate_say(gate, "Your business is not %s (operator.business_types).", words), "");
    return gate_consequence(gate, matter,
                            gate_say(gate, "Your business is %s (operator.business_types).",
                                     gate_business_words(gate, declared & asked)));
}

/* -- Duties -- */

/* What a duty asks, beginning in lower case, without its stop. */
static const char *duty_words(struct gate *gate, const struct matter *matter, const char *text)
{
    bool exact = text[0] != '\0';
    switch (matter->condition->kind) {
    case CONDITION_ATTRIBUTION:
        return exact ? gate_say(gate, "show \"%s\"%s", text, gate_where(gate, matter))
                     : gate_say(gate, "show the attribution that the clause asks%s",
                                gate_where(gate, matter));
    case CONDITION_NOTICE:
        return exact ? gate_say(gate, "keep the notice \"%s\"%s", text, gate_where(gate, matter))
                     : gate_say(gate, "keep the licence's text and notices%s",
                                gate_where(gate, matter));
    case CONDITION_NAMING:
        return exact ? gate_say(gate, "carry \"%s\" in the names of models made from it", text)
                     : "name models made from it as the clause says";
    case CONDITION_FLOW_DOWN:
        return "bind those who get or use it to the same limits, in your own terms";
    case CONDITION_COPYLEFT:
        return "put what you make from it under the same licence, as the clause says";
    case CONDITION_REGISTRATION:
        return gate_say(gate, "register with %s first, or tell them, as the clause says",
                        gate_publisher(matter));
    default:
        return "do what the clause asks";
    }
}

static struct finding duty(struct gate *gate, const struct matter *matter, const char *why,
                           const char *when)
{
    const char *text = gate_text(gate, matter);
    const char *words = duty_words(gate, matter, text);
    const char *remedy =
        when[0] != '\0' ? gate_say(gate, "%s, %s.", when, words)
                        : gate_say(gate, "%c%s.", words[0] >= 'a' ? words[0] - 'a' + 'A' : words[0],
                                   words[0] == '\0' ? "" : words + 1);
    struct finding finding = gate_found(VERDICT_OBLIGATION, why, remedy);
    finding.text = text;
    return finding;
}

/* Duties that weigh only on those who pass something on. Silence gets the stricter answer: the duty
 * costs little to know, and a review would stand in the way of serving. */
static struct finding duty_on_passing_on(struct gate *gate, const struct matter *matter)
{
    bool derivative = matter->condition->trigger == TRIGGER_DERIVATIVE;
    const char *what = derivative ? "models made from it" : "weights";
    switch (gate->declaration->distributes_weights) {
    case DECLARED_NO:
        return gate_found(VERDICT_MET,
                          "You declare that you pass no weights on "
                          "(operator.distributes_weights: no).",
                          "");
    case DECLARED_YES:
        return duty(gate, matter,
                    gate_say(gate,
                             "Due when you pass %s on, which you declare "
                             "(operator.distributes_weights: yes).",
                             what),
                    gate_say(gate, "When you pass %s on", what));
    case UNDECLARED:
        break;
    }
    return duty(gate, matter,
                gate_say(gate,
                         "Due when you pass %s on; operator.distributes_weights is not "
                         "declared, so the duty stands.",
                         what),
                gate_say(gate, "When you pass %s on", what));
}

static struct finding duty_by_trigger(struct gate *gate, const struct matter *matter)
{
    switch (matter->condition->trigger) {
    case TRIGGER_DISTRIBUTION:
    case TRIGGER_DERIVATIVE:
        return duty_on_passing_on(gate, matter);
    case TRIGGER_SERVING:
        return duty(gate, matter, "Due from whoever offers something that uses the model.", "");
    case TRIGGER_NETWORK:
        return duty(gate, matter, "Due from whoever lets others use the model over a network.", "");
    case TRIGGER_ALWAYS:
        break;
    }
    return duty(gate, matter, "Due with any use of the model.", "");
}

static struct finding weigh_use_policy(struct gate *gate, const struct matter *matter)
{
    const struct license_record *record = matter->record;
    const char *names = "";
    for (uint32_t i = 0; i < record->policy_count; i++) {
        const char *url = gate_shown(record->policies[i].url);
        names = gate_also(gate, names, "; ",
                          gate_say(gate, "%s%s%s", gate_shown(record->policies[i].name),
                                   url[0] == '\0' ? "" : " ", url));
    }
    return gate_found(VERDICT_OBLIGATION, "The licence bars some uses, whoever makes them.",
                      names[0] == '\0'
                          ? "Keep out of the uses that the clause bars."
                          : gate_say(gate, "Keep out of the uses that it bars: %s.", names));
}

static struct finding weigh_outputs(struct gate *gate, const struct matter *matter)
{
    const char *text = gate_text(gate, matter), *remedy = "";
    switch (matter->condition->outputs) {
    case OUTPUTS_FREE:
        return gate_found(VERDICT_MET, "What the model says may be used freely.", "");
    case OUTPUTS_NO_TRAINING:
        remedy = "Do not train or improve other models with what it says.";
        break;
    case OUTPUTS_TRAINING_NAMED:
        remedy =
            text[0] == '\0'
                ? "Models trained with what it says have to be named as the clause says."
                : gate_say(gate, "Models trained with what it says have to carry \"%s\".", text);
        break;
    case OUTPUTS_RESEARCH:
        remedy = "Use what it says only as the model itself may be used.";
        break;
    case OUTPUTS_MAKE_DERIVATIVES:
        remedy = "Treat a model trained with what it says as made from it: the licence goes along.";
        break;
    }
    struct finding finding =
        gate_found(VERDICT_OBLIGATION, "The licence also binds what the model says.", remedy);
    finding.text = text;
    return finding;
}

static struct finding weigh_transfer(const struct gate *gate)
{
    if (gate->declaration->change_of_control == DECLARED_YES)
        return gate_found(VERDICT_REVIEW,
                          "You declare a change of control (operator.change_of_control: yes). "
                          "Whether the licence goes along is a question for a lawyer.",
                          "Ask the publisher or a lawyer, then name the answer under "
                          "operator.acknowledge.");
    return gate_found(VERDICT_WATCH,
                      gate->declaration->change_of_control == DECLARED_NO
                          ? "You declare no change of control (operator.change_of_control: no); "
                            "a sale or merger would raise the question."
                          : "A sale or merger of the company would raise the question; "
                            "operator.change_of_control is not declared.",
                      "");
}

struct finding gate_weigh_duty(struct gate *gate, const struct matter *matter)
{
    switch (matter->condition->kind) {
    case CONDITION_USE_POLICY:
        return weigh_use_policy(gate, matter);
    case CONDITION_OUTPUTS:
        return weigh_outputs(gate, matter);
    case CONDITION_TRANSFER:
        return weigh_transfer(gate);
    case CONDITION_TERMINATION:
        return gate_found(VERDICT_WATCH,
                          "Nothing to do now; the clause says what would end the "
                          "licence.",
                          "");
    case CONDITION_UPDATE:
        return gate_found(VERDICT_WATCH,
                          "Nothing to do now; a later version or order of the "
                          "publisher may bind you.",
                          "");
    case CONDITION_REGISTRATION:
        return duty(gate, matter, "Due before the model is used.", "");
    default:
        return duty_by_trigger(gate, matter);
    }
}
