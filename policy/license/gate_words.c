/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/license/catalogue.h"
#include "policy/license/gate_inner.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MODEL_MARK "{model}"

const char *gate_say(struct gate *gate, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int needed = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *said = needed < 0 ? NULL : arena_alloc(gate->arena, (size_t)needed + 1);
    if (said != NULL)
        (void)vsnprintf(said, (size_t)needed + 1, format, again);
    else
        gate->failed = true;
    va_end(again);
    return said == NULL ? "" : said;
}

const char *gate_number(struct gate *gate, uint64_t value)
{
    char text[28]; /* 20 digits, 6 commas */
    size_t at = sizeof text;
    uint32_t digits = 0;
    text[--at] = '\0';
    do {
        if (digits > 0 && digits % 3 == 0)
            text[--at] = ',';
        text[--at] = (char)('0' + value % 10);
        value /= 10;
        digits++;
    } while (value != 0);
    return gate_say(gate, "%s", text + at);
}

const char *gate_also(struct gate *gate, const char *before, const char *between, const char *word)
{
    if (word[0] == '\0')
        return before;
    return before[0] == '\0' ? word : gate_say(gate, "%s%s%s", before, between, word);
}

const char *gate_join(struct gate *gate, const char *const *words, uint32_t count, const char *last)
{
    const char *joined = "";
    for (uint32_t i = 0; i < count; i++)
        joined = gate_also(gate, joined, i + 1 == count ? last : ", ", gate_shown(words[i]));
    return joined;
}

/* -- What to show -- */

static bool ends_with(const char *text, const char *end)
{
    size_t count = strlen(text), end_count = strlen(end);
    return count >= end_count && strcasecmp(text + count - end_count, end) == 0;
}

/* The model's own name: not what it is served as, nor that of its file. */
static const char *own_name(const struct recognition *recognition)
{
    const char *found = gate_shown(recognition->model);
    for (uint32_t i = 0; i < recognition->name_count; i++) {
        const char *name = gate_shown(recognition->names[i]);
        if (name[0] == '\0' || strcmp(name, gate_shown(recognition->model)) == 0 ||
            ends_with(name, ".gguf"))
            continue;
        found = name;
        break;
    }
    const char *slash = strrchr(found, '/');
    return slash == NULL || slash[1] == '\0' ? found : slash + 1;
}

static const char *text_for_model(const struct gate *gate,
                                  const struct license_condition *condition)
{
    for (uint32_t i = 0; i < condition->checkpoint_count; i++)
        for (uint32_t j = 0; j < gate->recognition->name_count; j++)
            if (catalogue_glob(gate_shown(condition->checkpoints[i].model),
                               gate_shown(gate->recognition->names[j])))
                return gate_shown(condition->checkpoints[i].text);
    return gate_shown(condition->text);
}

const char *gate_text(struct gate *gate, const struct matter *matter)
{
    const char *rest = text_for_model(gate, matter->condition);
    const char *built = "", *name = own_name(gate->recognition);
    for (const char *mark; (mark = strstr(rest, MODEL_MARK)) != NULL && !gate->failed;
         rest = mark + strlen(MODEL_MARK))
        built = gate_say(gate, "%s%.*s%s", built, (int)(mark - rest), rest, name);
    return built[0] == '\0' ? rest : gate_say(gate, "%s%s", built, rest);
}

const char *gate_where(struct gate *gate, const struct matter *matter)
{
    const struct license_condition *condition = matter->condition;
    if (condition->where_count == 0)
        return "";
    return gate_say(
        gate, " (%s)",
        gate_join(gate, (const char *const *)condition->where, condition->where_count, " or "));
}

/* -- Common answers -- */

const char *gate_publisher(const struct matter *matter)
{
    const char *publisher = gate_shown(matter->record->publisher);
    return publisher[0] == '\0' ? "the publisher" : publisher;
}

const char *gate_way_out(struct gate *gate, const struct matter *matter)
{
    return gate_say(gate,
                    "Get a licence of your own from %s and name it under operator.acknowledge "
                    "(condition: %s, reference: the contract); or serve another model.",
                    gate_publisher(matter), matter->id);
}

struct finding gate_found(enum verdict verdict, const char *reason, const char *remedy)
{
    return (struct finding){.literal = verdict,
                            .conservative = verdict,
                            .reason = reason,
                            .remedy = remedy,
                            .text = ""};
}

struct finding gate_undeclared(struct gate *gate, const char *key, const char *why)
{
    struct finding finding =
        gate_found(VERDICT_REVIEW, gate_say(gate, "not declared: %s. %s.", key, why),
                   gate_say(gate, "Declare %s in weir.yaml, then check again.", key));
    finding.undeclared = true;
    return finding;
}

/* What the text brings about, and what to do then. */
static const char *words_of(struct gate *gate, const struct matter *matter, const char **ret_remedy)
{
    const char *publisher = gate_publisher(matter);
    *ret_remedy = gate_way_out(gate, matter);
    switch (matter->condition->consequence) {
    case CONSEQUENCE_NO_RIGHTS:
        return gate_say(gate, "The licence grants nothing until %s grants you one of your own.",
                        publisher);
    case CONSEQUENCE_SEPARATE_LICENSE:
        return gate_say(gate, "A separate licence from %s is needed before commercial use.",
                        publisher);
    case CONSEQUENCE_TERMINATE:
        return "The licence ends with it.";
    case CONSEQUENCE_SECURITY_REVIEW:
        *ret_remedy = gate_say(gate,
                               "Pass %s's security review and name it under operator.acknowledge "
                               "(condition: %s, reference: its result); or serve another model.",
                               publisher, matter->id);
        return gate_say(gate, "%s's security review must be passed before commercial use.",
                        publisher);
    case CONSEQUENCE_ROYALTY:
        *ret_remedy = gate_say(gate,
                               "Agree on the royalty with %s and name the contract under "
                               "operator.acknowledge (condition: %s); or serve another model.",
                               publisher, matter->id);
        return gate_say(gate, "A royalty is due to %s.", publisher);
    case CONSEQUENCE_ATTRIBUTE:
        *ret_remedy =
            gate_say(gate, "Show \"%s\"%s.", gate_text(gate, matter), gate_where(gate, matter));
        return gate_say(gate, "The product must now show \"%s\"%s.", gate_text(gate, matter),
                        gate_where(gate, matter));
    case CONSEQUENCE_NOTIFY:
        *ret_remedy = gate_say(gate, "Tell %s, as the clause says.", publisher);
        return gate_say(gate, "%s must be told.", publisher);
    }
    return "The licence now asks for more.";
}

struct finding gate_consequence(struct gate *gate, const struct matter *matter, const char *because)
{
    enum threshold_consequence consequence = matter->condition->consequence;
    bool is_duty = consequence == CONSEQUENCE_ATTRIBUTE || consequence == CONSEQUENCE_NOTIFY;
    const char *remedy;
    const char *then = words_of(gate, matter, &remedy);
    struct finding finding = gate_found(is_duty ? VERDICT_OBLIGATION : VERDICT_BREACH,
                                        gate_say(gate, "%s %s", because, then), remedy);
    if (consequence == CONSEQUENCE_ATTRIBUTE)
        finding.text = gate_text(gate, matter);
    return finding;
}
