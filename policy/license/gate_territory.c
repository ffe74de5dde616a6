/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/license/gate_inner.h"

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
    const char *domicile = home(gate->declaration->domicile);
    const char *principal = home(gate->declaration->principal_place_of_business);
    const char *denied = denied_words(gate, matter->condition);
    if (domicile[0] != '\0' && denied_by(matter->condition, domicile) != NULL)
        return barred(gate, matter, "operator.domicile", domicile);
    if (principal[0] != '\0' && denied_by(matter->condition, principal) != NULL)
        return barred(gate, matter, "operator.principal_place_of_business", principal);
    if (domicile[0] == '\0' && principal[0] == '\0')
        return gate_undeclared(
            gate, "operator.domicile and operator.principal_place_of_business",
            gate_say(gate, "The licence leaves out those who are at home in %s", denied));
    if (principal[0] == '\0')
        return gate_found(VERDICT_MET,
                          gate_say(gate,
                                   "You are at home in %s (operator.domicile), outside %s. "
                                   "operator.principal_place_of_business is not declared and is "
                                   "taken to be the domicile.",
                                   domicile, denied),
                          "");
    return gate_found(VERDICT_MET,
                      gate_say(gate,
                               "Your business is in %s (operator.principal_place_of_business), "
                               "outside %s.%s",
                               principal, denied,
                               domicile[0] == '\0'
                                   ? " operator.domicile is not declared and is taken to be there."
                                   : gate_say(gate, " So is your domicile, %s.", domicile)),
                      "");
}

/* -- Users and machines -- */

struct regions {
    const char *key;
    char *const *places;
    uint32_t count;
};

/* The first that is denied, or NULL. ret_silent: nothing is declared, or something that is no
 * place. */
static const char *denied_region(const struct matter *matter, const struct regions *regions,
                                 bool *ret_silent)
{
    *ret_silent = regions->count == 0;
    for (uint32_t i = 0; i < regions->count; i++) {
        const char *place = gate_shown(regions->places[i]);
        if (denied_by(matter->condition, place) != NULL)
            return place;
        *ret_silent |= !country_known(place) && strcmp(place, "world") != 0;
    }
    return NULL;
}

/* For those whom a licence bars wherever they come in: a breach anywhere is one, and silence
 * anywhere else is named all at once. */
static struct finding weigh_anyone(struct gate *gate, const struct matter *matter)
{
    const struct declaration *declaration = gate->declaration;
    const struct regions regions[] = {
        {"operator.user_regions", declaration->user_regions, declaration->user_region_count},
        {"operator.deployment_regions", declaration->deployment_regions,
         declaration->deployment_region_count}};
    const char *denied = denied_words(gate, matter->condition);
    struct finding licensee = weigh_licensee(gate, matter);
    if (licensee.literal == VERDICT_BREACH)
        return licensee;
    const char *keys = licensee.literal == VERDICT_MET ? "" : "operator.domicile";
    for (size_t i = 0; i < sizeof regions / sizeof regions[0]; i++) {
        bool silent;
        const char *place = denied_region(matter, &regions[i], &silent);
        if (place != NULL)
            return barred(gate, matter, regions[i].key, place);
        if (silent)
            keys = gate_also(gate, keys, " and ", regions[i].key);
    }
    if (keys[0] != '\0')
        return gate_undeclared(
            gate, keys,
            gate_say(gate, "The licence grants nothing in %s, be it to you, your users or machines",
                     denied));
    licensee.reason = gate_say(gate,
                               "%s Neither users (operator.user_regions) nor machines "
                               "(operator.deployment_regions) are declared there.",
                               licensee.reason);
    return licensee;
}

struct finding gate_weigh_territory(struct gate *gate, const struct matter *matter)
{
    return matter->condition->subject == SUBJECT_LICENSEE ? weigh_licensee(gate, matter)
                                                          : weigh_anyone(gate, matter);
}
