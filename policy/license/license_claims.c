/* SPDX-License-Identifier: Apache-2.0 */
/* license_claims.c -- labels. Texts are in license_beside.c. */
#include "policy/license/license_claims.h"

#include "base/text.h"
#include "policy/license/license_expression.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool claims_have(const struct license_claims *claims, const struct license_record *record)
{
    for (uint32_t i = 0; i < claims->license_count; i++)
        if (claims->licenses[i].record == record)
            return true;
    return false;
}

static void add_license(struct license_claims *claims, const struct recognised_license *license)
{
    if (!claims_have(claims, license->record) && claims->license_count < CLAIMS_MAX)
        claims->licenses[claims->license_count++] = *license;
}

static void add_open(struct license_claims *claims, const struct open_claim *claim)
{
    for (uint32_t i = 0; i < claims->open_count; i++)
        if (strcasecmp(claims->open[i].declared, claim->declared) == 0)
            return;
    if (claims->open_count < CLAIMS_MAX)
        claims->open[claims->open_count++] = *claim;
}

void claims_merge(struct license_claims *into, const struct license_claims *from)
{
    for (uint32_t i = 0; i < from->license_count; i++)
        add_license(into, &from->licenses[i]);
    for (uint32_t i = 0; i < from->open_count; i++)
        add_open(into, &from->open[i]);
    into->doubted = into->doubted || from->doubted;
}

const char *claims_ids(const struct license_claims *claims, struct findings *findings)
{
    char joined[FINDINGS_NAME_BYTES] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < claims->license_count && used < sizeof joined; i++)
        used += (size_t)snprintf(joined + used, sizeof joined - used, "%s%s", i == 0 ? "" : " AND ",
                                 claims->licenses[i].record->id);
    return findings_format(findings, "%s", joined);
}

/* -- Names that stand for nothing, or for several texts -- */

/* A hub's ways to say that it has no word for the licence. */
static bool is_generic(const char *name)
{
    static const char *const names[] = {"", "other", "unknown", "custom", "none", "license"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) != 0;
}

/* Whether the word is one of the text's; case does not count. */
static bool has_word(const char *text, const char *word, size_t count)
{
    for (const char *at = text; *at != '\0'; at++)
        if ((at == text || !is_word(at[-1])) && strncasecmp(at, word, count) == 0 &&
            !is_word(at[count]))
            return true;
    return false;
}

static bool is_same_word(const char *word, size_t count, const char *other)
{
    return strlen(other) == count && strncasecmp(word, other, count) == 0;
}

static bool has_word_of_names(const struct license_record *record, const char *word, size_t count)
{
    return has_word(record->name, word, count) || has_word(record->id, word, count) ||
           has_word(record->family, word, count);
}

/* Whether a licence is called so among others: all words of the name are words of its own names.
 * "modified-mit" is "Kimi K2.5 License (Modified MIT)" and "MiniMax-M2 License (MIT with a rider)",
 * which hubs call modified too. */
static bool is_called(const struct license_record *record, const char *name)
{
    uint32_t words = 0;
    for (const char *at = name; *at != '\0';) {
        size_t count = 0;
        while (is_word(at[count]))
            count++;
        if (count == 0) {
            at++;
            continue;
        }
        words++;
        bool rider = is_same_word(at, count, "modified") && has_word_of_names(record, "rider", 5);
        if (!rider && !has_word_of_names(record, at, count))
            return false;
        at += count;
    }
    return words > 0;
}

bool claim_could_be(const struct open_claim *claim, const struct license_record *record)
{
    return claim->vague && (is_generic(claim->declared) || is_called(record, claim->declared));
}

static uint32_t count_candidates(const struct catalogue *catalogue, const char *name)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < catalogue_count(catalogue); i++)
        found += is_called(catalogue_at(catalogue, i), name);
    return found;
}

/* -- Labels -- */

/* The record of a name, or else of the link. */
static bool add_by_name_or_link(struct license_claims *claims, struct findings *findings,
                                const struct catalogue *catalogue,
                                const struct license_label *label)
{
    struct recognised_license license = {.base = "", .by = label->by, .evidence = label->name_key};
    license.record = license_of_name(catalogue, label->name, strlen(label->name));
    if (license.record == NULL) {
        license.record =
            label->link[0] == '\0' ? NULL : catalogue_find_link(catalogue, label->link);
        license.by = BY_LINK;
        license.evidence = findings_format(findings, "%s: %s", label->link_key, label->link);
        license.declared = label->link;
    } else {
        license.declared = label->name;
    }
    if (license.record == NULL)
        return false;
    license.declared = findings_copy(findings, license.declared, strlen(license.declared));
    add_license(claims, &license);
    return true;
}

/* A name without a licence. "other" sends the reader to the name, and that to the link. */
static void add_unplaced(struct license_claims *claims, struct findings *findings,
                         const struct catalogue *catalogue, const struct license_label *label,
                         struct open_claim *claim)
{
    if (add_by_name_or_link(claims, findings, catalogue, label))
        return;
    if (is_generic(claim->declared) && !is_generic(label->name)) {
        claim->declared = findings_copy(findings, label->name, strlen(label->name));
        claim->evidence = label->name_key;
    }
    if (claim->declared[0] == '\0') /* there is only a link */
        claim->declared = "other";
    claim->vague = is_generic(claim->declared) || count_candidates(catalogue, claim->declared) > 1;
    add_open(claims, claim);
}

/* "license: mit" with "license_name: modified-mit" is not MIT alone. */
static void weigh_name_beside(struct license_claims *claims, struct findings *findings,
                              const struct catalogue *catalogue, const struct license_label *label)
{
    const struct license_record *record =
        license_of_name(catalogue, label->name, strlen(label->name));
    if (is_generic(label->name) || claims_have(claims, record))
        return;
    if (record == NULL && count_candidates(catalogue, label->name) < 2)
        return;
    for (uint32_t i = 0; i < claims->license_count; i++)
        if (record == NULL && is_called(claims->licenses[i].record, label->name))
            return;
    struct open_claim claim = {.declared = "", .by = label->by, .evidence = label->name_key};
    add_unplaced(claims, findings, catalogue, label, &claim);
}

void claims_add_label(struct license_claims *claims, struct findings *findings,
                      const struct catalogue *catalogue, const struct license_label *label)
{
    struct license_names names;
    license_names_read(catalogue, label->license, &names);
    const char *evidence = label->license_key;
    if (names.chosen)
        evidence = findings_format(findings,
                                   "%s: \"%s\" leaves a choice, of which the first known is taken",
                                   label->license_key, label->license);
    for (uint32_t i = 0; i < names.count; i++) {
        const struct license_name *name = &names.names[i];
        const char *declared = findings_copy(findings, name->bytes, name->count);
        if (name->record != NULL) {
            add_license(claims, &(struct recognised_license){name->record, declared, label->by,
                                                             evidence, ""});
            continue;
        }
        struct open_claim claim = {
            .declared = declared, .evidence = evidence, .by = label->by, .listed = names.count > 1};
        add_unplaced(claims, findings, catalogue, label, &claim);
    }
    if (names.cut)
        add_open(claims, &(struct open_claim){
                             .declared = findings_format(findings, "%.200s", label->license),
                             .evidence = evidence,
                             .by = label->by,
                             .listed = true});
    if (names.count > 0) {
        weigh_name_beside(claims, findings, catalogue, label);
    } else if (!is_generic(label->name) || label->link[0] != '\0') {
        struct open_claim claim = {.declared = "", .by = label->by, .evidence = label->link_key};
        add_unplaced(claims, findings, catalogue, label, &claim);
    }
}

void claims_compare(const struct license_claims *a, const char *a_said,
                    const struct license_claims *b, const char *b_said, struct findings *findings)
{
    bool same = a->license_count == b->license_count;
    for (uint32_t i = 0; same && i < a->license_count; i++)
        same = claims_have(b, a->licenses[i].record);
    if (same || a->license_count == 0 || b->license_count == 0)
        return;
    findings_disagree(findings,
                      findings_format(findings, "%s %s, but %s %s.", a_said,
                                      claims_ids(a, findings), b_said, claims_ids(b, findings)));
}

/* -- What stays open -- */

static const char *list_candidates(const struct catalogue *catalogue, const char *name,
                                   struct findings *findings)
{
    char joined[FINDINGS_REASON_BYTES / 2] = "";
    size_t used = 0;
    uint32_t shown = 0, found = 0;
    for (uint32_t i = 0; i < catalogue_count(catalogue); i++) {
        const struct license_record *record = catalogue_at(catalogue, i);
        if (!is_called(record, name))
            continue;
        found++;
        if (shown == CLAIMS_CANDIDATES_MAX || used + strlen(record->id) + 3 > sizeof joined)
            continue;
        used += (size_t)snprintf(joined + used, sizeof joined - used, "%s%s",
                                 shown == 0 ? "" : ", ", record->id);
        shown++;
    }
    return findings_format(findings, "%s%s", joined, found > shown ? " and others" : "");
}

void claim_doubt(const struct open_claim *claim, struct findings *findings,
                 const struct catalogue *catalogue, const char *subject)
{
    static const char remedy[] =
        "Put the model's LICENSE file beside the weights, or name the licence under "
        "models[].license.";
    const char *candidates = "";
    if (claim->told)
        return;
    if (claim->vague && !is_generic(claim->declared))
        candidates = list_candidates(catalogue, claim->declared, findings);
    if (candidates[0] != '\0')
        findings_doubt(findings, "ambiguous-name",
                       findings_format(findings,
                                       "%s is \"%s\" (%s), which several licences with different "
                                       "terms are called: %s",
                                       subject, claim->declared, claim->evidence, candidates),
                       remedy);
    else if (claim->vague)
        findings_doubt(findings, "ambiguous-name",
                       findings_format(findings,
                                       "%s is \"%s\" (%s), and no text, link or base model says "
                                       "which licence that is",
                                       subject, claim->declared, claim->evidence),
                       remedy);
    else
        findings_doubt(findings, "license-unknown",
                       findings_format(findings, "%s is \"%s\" (%s), no licence of the catalogue",
                                       subject, claim->declared, claim->evidence),
                       "Name the licence under models[].license, or describe it in a file of "
                       "licenses.folder.");
}
