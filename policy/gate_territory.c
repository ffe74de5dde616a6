/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/gate_inner.h"

#include <string.h>
#include <strings.h>

/* Which of the denied places it is, NULL for none. */
static const char *denied_by(const struct license_condition *condition, const char *place)
{
    for (uint32_t i = 0; i < condition->denied_count; i++)
        if (strcmp(place, "world") == 0 || country_overlaps(place, condition->denied[i]))
            return condition->denied[i];
    return NULL;
}

static const char *denied_words(struct gate *gate, const struct license_condition *condition)
{
    return gate_join(gate, (const char *const *)condition->denied, condition->denied_count,
                     " and ");
}

static struct finding barred(struct gate *gate, const struct matter *matter, const char *key,
                             const char *place)
{
    const char *denied = gate_shown(denied_by(matter->condition, place));
    const char *inside = "";
    if (strcasecmp(denied, "EU") == 0 && strcasecmp(place, "EU") != 0 && country_in_eu(place))
        inside = ", which is in the EU";
    else if (strcasecmp(place, "EU") == 0 && strcasecmp(denied, "EU") != 0)
        inside = gate_say(gate, ", which holds %s", denied);
    return gate_found(VERDICT_BREACH,
                      gate_say(gate,
                               "You declare %s: %s%s. The licence grants nothing there: it "
                               "leaves out %s.",
                               key, place, inside, denied_words(gate, matter->condition)),
                      gate_way_out(gate, matter));
}

/* What is no place is no declaration. */
static const char *home(const char *place)
{
    return country_known(place) ? place : "";
}

/* Domicile and principal place of business; one stands for the other where that is left out. */
static struct finding weigh_licensee(struct gate *gate, const struct matter *matter)
{
    const struct declaration *declaration = gate->declaration;
    const char *domicile = home(declaration->domicile);
    const char *principal = home(declaration->principal_place_of_business);
    const char *denied = denied_words(gate, matter->condition);
    if (domicile[0] != '\0' && denied_by(matter->condition, domicile) != NULL)
        return barred(gate, matter, "operator.domicile", domicile);
    if (principal[0] != '\0' && denied_by(matter->condition, principal) != NULL)
        return barred(gate, matter, "operator.principal_place_of_business", principal);
    if (domicile[0] == '\0' && principal[0] == '\0')
        return gate_undeclared(
            gate, "operator.domicile and operator.principal_place_of_business",
            gate_say(gate, "The licence leaves out those who are at home in %s", denied));
    const char *assumed = "";
    if (principal[0] == '\0')
        assumed = " The principal place of business (operator.principal_place_of_business) is not "
                  "declared and is taken to be the domicile.";
    else if (domicile[0] == '\0')
        assumed = " The domicile (operator.domicile) is not declared and is taken to be where the "
                  "business is.";
    return gate_found(VERDICT_MET,
                      gate_say(gate,
                               "You are at home in %s (operator.domicile, "
                               "operator.principal_place_of_business), not in %s.%s",
                               domicile[0] == '\0' ? principal : domicile, denied, assumed),
                      "");
}

struct regions {
    const char *key;
    const char *whose;
    char *const *places;
    uint32_t count;
};

static struct finding weigh_regions(struct gate *gate, const struct matter *matter,
                                    const struct regions *regions)
{
    const char *denied = denied_words(gate, matter->condition);
    if (regions->count == 0)
        return gate_undeclared(gate, regions->key,
                               gate_say(gate, "The licence bars %s in %s", regions->whose, denied));
    for (uint32_t i = 0; i < regions->count; i++) {
        const char *place = gate_shown(regions->places[i]);
        if (denied_by(matter->condition, place) != NULL)
            return barred(gate, matter, regions->key, place);
        if (!country_known(place) && strcmp(place, "world") != 0)
            return gate_undeclared(gate, regions->key,
                                   gate_say(gate, "'%s' is no place that weir knows", place));
    }
    return gate_found(
        VERDICT_MET,
        gate_say(gate, "You declare no %s in %s (%s).", regions->whose, denied, regions->key), "");
}

/* The worst of them speaks; where several want a declaration, all keys are named. */
static struct finding worse(struct gate *gate, struct finding one, struct finding other)
{
    if (one.literal != other.literal)
        return one.literal > other.literal ? one : other;
    if (one.literal == VERDICT_BREACH)
        return one;
    one.reason = gate_say(gate, "%s %s", one.reason, other.reason);
    one.remedy = gate_also(gate, one.remedy, " ", other.remedy);
    return one;
}

struct finding gate_weigh_territory(struct gate *gate, const struct matter *matter)
{
    const struct declaration *declaration = gate->declaration;
    struct finding finding = weigh_licensee(gate, matter);
    if (matter->condition->subject == SUBJECT_LICENSEE)
        return finding;
    const struct regions users = {.key = "operator.user_regions",
                                  .whose = "users",
                                  .places = declaration->user_regions,
                                  .count = declaration->user_region_count};
    const struct regions machines = {.key = "operator.deployment_regions",
                                     .whose = "deployment",
                                     .places = declaration->deployment_regions,
                                     .count = declaration->deployment_region_count};
    finding = worse(gate, finding, weigh_regions(gate, matter, &users));
    return worse(gate, finding, weigh_regions(gate, matter, &machines));
}
