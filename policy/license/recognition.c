/* SPDX-License-Identifier: Apache-2.0 */
/* recognition.c -- the order in which a model is asked for its licence.
 *
 *     operator's id      settles it: labels, texts and names are not weighed any more
 *     labels             keys of the weights, front matter of the card   license_claims.c
 *     texts              beside the weights; they decide over labels     license_beside.c
 *     base models        by keys and card; they bind too                 lineage.c
 *     names              what lineage.yaml knows of a model called so    lineage.c
 *
 * A label that names no single text stays open until base models and names are known, for a
 * quantised "other" is what its base model is. Whatever is open then, or was never said, is a
 * doubt. Nothing that was found is dropped: the licences are a conjunction. */
#include "policy/license/recognition.h"

#include "policy/license/findings.h"
#include "policy/license/license_claims.h"
#include "policy/license/license_expression.h"
#include "policy/license/lineage.h"
#include "policy/license/modality.h"
#include "policy/license/model_folder.h"
#include "policy/license/model_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CONFIG_BYTES_MAX  1048576u
#define CHOSEN_KEY        "models[].license"
#define ROWS_MAX          FINDINGS_NAMES_MAX
#define HUB_FOLDER_PREFIX "models--"

struct asked {
    const struct catalogue *catalogue;
    const struct license_matcher *matcher;
    const struct policy_model_facts *facts;
    struct findings findings;
    bool has_folder;
    struct model_folder folder;
    struct model_card card;
    const char *card_path;
    const char *subject; /* of sentences about the model */
    struct license_claims claims;
    struct lineage_walk walk;
    struct lineage_found found; /* up to the base models */
};

static const char *or_empty(const char *string)
{
    return string == NULL ? "" : string;
}

/* -- Names -- */

static void add_spellings(struct findings *findings, const char *name)
{
    char plain[MODEL_NAME_BYTES];
    model_name_plain(name, plain);
    findings_name(findings, name);
    findings_name(findings, plain);
}

/* "org/name" of "/HUB/models--org--name/snapshots/REVISION". */
static bool add_cached_name(struct findings *findings, const char *real)
{
    const char *at = strstr(real, "/" HUB_FOLDER_PREFIX);
    if (at == NULL)
        return false;
    at += 1 + strlen(HUB_FOLDER_PREFIX);
    const char *dashes = strstr(at, "--"), *end = strchr(at, '/');
    if (dashes == NULL || end == NULL || dashes > end)
        return false;
    add_spellings(findings, findings_format(findings, "%.*s/%.*s", (int)(dashes - at), at,
                                            (int)(end - dashes - 2), dashes + 2));
    add_spellings(findings, findings_format(findings, "%.*s", (int)(end - dashes - 2), dashes + 2));
    return true;
}

static void add_folder_names(struct findings *findings, const char *real)
{
    const char *name = model_name_bare(real);
    if (name[0] == '\0' || add_cached_name(findings, real))
        return;
    add_spellings(findings, name);
    const char *organization = name - 1;
    while (organization > real && organization[-1] != '/')
        organization--;
    if (organization > real)
        add_spellings(findings, organization);
}

static void add_names(struct asked *asked)
{
    const struct policy_model_facts *facts = asked->facts;
    struct findings *findings = &asked->findings;
    char stem[MODEL_NAME_BYTES];
    const char *name = or_empty(facts->name), *path = or_empty(facts->path);
    const char *organization = or_empty(facts->organization);
    add_spellings(findings, or_empty(facts->id));
    if (name[0] != '\0') {
        add_spellings(findings, name);
        if (organization[0] != '\0')
            add_spellings(findings, findings_format(findings, "%s/%s", organization, name));
    }
    size_t count = strlen(path);
    if (count > 5 && strcasecmp(path + count - 5, ".gguf") == 0) {
        model_name_of_file(path, stem);
        findings_name(findings, stem);
    }
    if (asked->has_folder)
        add_folder_names(findings, asked->folder.real);
}

/* -- The operator's word -- */

static void take_choice(struct asked *asked)
{
    const char *chosen = or_empty(asked->facts->chosen_license);
    struct findings *findings = &asked->findings;
    struct license_names names;
    if (chosen[0] == '\0')
        return;
    license_names_read(asked->catalogue, chosen, &names);
    bool known = names.count > 0 && !names.cut;
    for (uint32_t i = 0; i < names.count; i++)
        known = known && names.names[i].record != NULL;
    chosen = findings_copy(findings, chosen, strlen(chosen));
    for (uint32_t i = 0; known && i < names.count; i++)
        findings_license(findings,
                         &(struct recognised_license){
                             names.names[i].record,
                             findings_copy(findings, names.names[i].bytes, names.names[i].count),
                             BY_OPERATOR, CHOSEN_KEY, ""});
    findings->settled = known;
    if (known)
        return;
    findings_license(findings,
                     &(struct recognised_license){NULL, chosen, BY_OPERATOR, CHOSEN_KEY, ""});
    findings_doubt(
        findings, "license-unknown",
        findings_format(findings, CHOSEN_KEY " says \"%s\", no licence of the catalogue", chosen),
        "Correct " CHOSEN_KEY " (`weir licenses list` has all ids), or describe the "
        "licence in a file of licenses.folder.");
}

/* -- Labels and texts -- */

static int take_labels_and_texts(struct asked *asked, struct error *err)
{
    const struct policy_model_facts *facts = asked->facts;
    struct findings *findings = &asked->findings;
    struct license_claims card = {0};
    const struct license_label weights = {
        .by = BY_WEIGHTS,
        .license_key = "general.license",
        .name_key = "general.license.name",
        .link_key = "general.license.link",
        .license = or_empty(facts->license),
        .name = or_empty(facts->license_name),
        .link = or_empty(facts->license_link),
    };
    claims_add_label(&asked->claims, findings, asked->catalogue, &weights);
    claims_add_card(&card, findings, asked->catalogue, &asked->card, asked->card_path);
    claims_compare(&asked->claims, "The weights say", &card,
                   findings_format(findings, "%s says", asked->card_path), findings);
    claims_merge(&asked->claims, &card);
    if (!asked->has_folder)
        return 0;
    return claims_settle(&asked->claims, findings, asked->matcher, &asked->folder, asked->subject,
                         err);
}

static void add_own_licenses(struct asked *asked)
{
    for (uint32_t i = 0; i < asked->claims.license_count; i++)
        findings_license(&asked->findings, &asked->claims.licenses[i]);
}

/* -- Base models and names -- */

/* The hub's id where the weights give it; the name for people may do as well. */
static int walk_key_base(struct asked *asked, const struct policy_base_model *base,
                         struct error *err)
{
    struct findings *findings = &asked->findings;
    char hub_id[MODEL_NAME_BYTES], spelled[MODEL_NAME_BYTES];
    const char *name = or_empty(base->name), *organization = or_empty(base->organization);
    const char *joined =
        findings_format(findings, "%s%s%s", organization, organization[0] == '\0' ? "" : "/", name);
    model_name_plain(name[0] == '\0' ? "" : joined, spelled);
    if (model_name_of_url(or_empty(base->repo_url), hub_id))
        return lineage_walk_base(&asked->walk, hub_id, spelled, &asked->found, err);
    return lineage_walk_base(&asked->walk, spelled, "", &asked->found, err);
}

static int walk_bases(struct asked *asked, struct error *err)
{
    int result = 0;
    for (uint32_t i = 0; i < asked->facts->base_model_count && result == 0; i++)
        result = walk_key_base(asked, &asked->facts->base_models[i], err);
    for (uint32_t i = 0; i < asked->card.base_model_count && result == 0; i++)
        result =
            lineage_walk_base(&asked->walk, asked->card.base_models[i], "", &asked->found, err);
    return result;
}

/* A published model has the licence it was published under; only what is derived from a permissive
 * one may carry another label, and that has base models to name. */
static void tell_other_label(struct asked *asked, const struct lineage_row *row, const char *name)
{
    struct findings *findings = &asked->findings;
    bool derived = asked->facts->base_model_count > 0 || asked->card.base_model_count > 0;
    for (uint32_t i = 0; i < row->license_count && asked->claims.license_count > 0; i++) {
        const struct license_record *record = catalogue_find(asked->catalogue, row->licenses[i]);
        if (record == NULL || claims_have(&asked->claims, record) ||
            (derived && record->category == CATEGORY_PERMISSIVE))
            continue;
        findings_disagree(findings,
                          findings_format(findings,
                                          "%s is given under %s (%s), but %s is published under %s "
                                          "(%s): both bind.",
                                          asked->subject, claims_ids(&asked->claims, findings),
                                          asked->claims.licenses[0].evidence, name, record->id,
                                          row->source[0] == '\0' ? "lineage.yaml" : row->source));
    }
}

static int walk_names(struct asked *asked, struct lineage_found *by_name, struct error *err)
{
    const struct recognition *made = asked->findings.made;
    const struct lineage_row *rows[ROWS_MAX];
    uint32_t row_count = 0;
    for (uint32_t i = 0; i < made->name_count; i++) {
        const struct lineage_row *row = lineage_find(asked->catalogue, made->names[i]);
        bool seen = row == NULL;
        for (uint32_t j = 0; j < row_count; j++)
            seen = seen || rows[j] == row;
        if (seen)
            continue;
        rows[row_count++] = row;
        tell_other_label(asked, row, made->names[i]);
        int result = lineage_walk_row(&asked->walk, row, made->names[i], by_name, err);
        if (result != 0)
            return result;
    }
    return 0;
}

static int take_lineage(struct asked *asked, struct error *err)
{
    struct findings *findings = &asked->findings;
    lineage_init(&asked->walk, asked->catalogue, asked->matcher, findings,
                 asked->has_folder ? &asked->folder : NULL);
    int result = walk_bases(asked, err);
    if (result != 0 || findings->settled)
        return result;
    struct lineage_found by_name = {.count = 0};
    result = walk_names(asked, &by_name, err);
    if (result != 0)
        return result;
    for (uint32_t i = 0; i < by_name.count && asked->found.count < RECOGNITION_LICENSES_MAX; i++)
        asked->found.licenses[asked->found.count++] = by_name.licenses[i];
    return 0;
}

/* -- What is left -- */

static void doubt_open_labels(struct asked *asked)
{
    struct findings *findings = &asked->findings;
    for (uint32_t i = 0; i < asked->claims.open_count; i++) {
        const struct open_claim *claim = &asked->claims.open[i];
        if (lineage_decides(&asked->found, claim))
            continue;
        claim_doubt(claim, findings, asked->catalogue, asked->subject);
        findings_license(findings, &(struct recognised_license){NULL, claim->declared, claim->by,
                                                                claim->evidence, ""});
    }
}

/* Nothing at all, or a model made from another that says how and not under what. A quantisation
 * has its base model's licence. */
static void doubt_silence(struct asked *asked)
{
    struct findings *findings = &asked->findings;
    const char *relation = asked->card.base_model_relation;
    bool silent = asked->claims.license_count == 0 && asked->claims.open_count == 0;
    bool made_anew = relation != NULL && strcasecmp(relation, "quantized") != 0;
    if (!silent || asked->claims.doubted || (asked->found.count > 0 && !made_anew))
        return;
    const char *reason =
        asked->found.count == 0
            ? findings_format(findings,
                              "neither the weights nor anything beside them says under what %s is "
                              "licensed",
                              asked->subject)
            : findings_format(findings,
                              "%s says that the model is a %s of another, but not under what it is "
                              "licensed itself",
                              asked->card_path, relation);
    findings_doubt(findings, "license-unknown", reason,
                   "Put the model's README.md or LICENSE beside the weights, or name the licence "
                   "under " CHOSEN_KEY ".");
}

static int take_modality(struct asked *asked, struct error *err)
{
    const struct policy_model_facts *facts = asked->facts;
    enum modality modality =
        modality_of_both(modality_of_architecture(or_empty(facts->architecture)),
                         modality_of_tags(or_empty(facts->tags)));
    modality = modality_of_both(modality, modality_of_tags(or_empty(asked->card.pipeline_tag)));
    if (asked->has_folder && asked->folder.has_projector)
        modality = MODALITY_MULTIMODAL;
    if (asked->has_folder && asked->folder.config[0] != '\0') {
        struct text bytes;
        text_init(&bytes);
        /* One that cannot be read says nothing; the gate goes by names then. */
        int result =
            model_folder_read(&asked->folder, asked->folder.config, CONFIG_BYTES_MAX, &bytes, NULL);
        if (result == 0) {
            modality =
                modality_of_both(modality, modality_of_config(text_string(&bytes), bytes.count));
            findings_file(&asked->findings,
                          findings_format(&asked->findings, "%s/%s", asked->folder.path,
                                          asked->folder.config));
        }
        text_destroy(&bytes);
        if (result == ERROR_NO_MEMORY)
            return error_no_memory(err);
    }
    asked->findings.made->modality = modality;
    return 0;
}

static void take_link(struct asked *asked)
{
    const char *link = or_empty(asked->facts->license_link);
    if (link[0] == '\0')
        link = or_empty(asked->card.license_link);
    asked->findings.made->link = findings_format(&asked->findings, "%s", link);
}

static int read_all(struct asked *asked, struct error *err)
{
    struct findings *findings = &asked->findings;
    const char *path = or_empty(asked->facts->path);
    int result = 0;
    asked->subject = findings->made->model;
    if (path[0] != '\0' && asked->facts->path_is_text)
        result = model_folder_open_text(&asked->folder, path, err);
    else if (path[0] != '\0')
        result = model_folder_open(&asked->folder, path, err);
    if (result != 0)
        return result;
    asked->has_folder = path[0] != '\0';
    if (!asked->facts->path_is_text || asked->folder.card[0] != '\0')
        add_names(asked); /* what a licence's text is called names no model */
    take_choice(asked);
    if (asked->has_folder) {
        result = claims_read_card(&asked->claims, findings, &asked->folder, &asked->card, err);
        asked->card_path =
            findings_format(findings, "%s/%s", asked->folder.path, asked->folder.card);
    } else {
        asked->card_path = "";
    }
    if (result == 0 && !findings->settled)
        result = take_labels_and_texts(asked, err);
    if (result == 0)
        add_own_licenses(asked);
    if (result == 0)
        result = take_lineage(asked, err);
    if (result == 0)
        result = take_modality(asked, err);
    if (result != 0)
        return result;
    lineage_tell_dropped(&asked->claims, &asked->found, asked->subject, findings);
    doubt_open_labels(asked);
    doubt_silence(asked);
    take_link(asked);
    return 0;
}

int recognition_read(const struct catalogue *catalogue, const struct license_matcher *matcher,
                     const struct policy_model_facts *facts, struct recognition **ret,
                     struct error *err)
{
    struct asked *asked = calloc(1, sizeof *asked);
    if (asked == NULL)
        return error_no_memory(err);
    asked->catalogue = catalogue;
    asked->matcher = matcher;
    asked->facts = facts;
    asked->folder.fd = -1;
    int result = findings_init(&asked->findings, or_empty(facts->id), err);
    if (result == 0) {
        result = read_all(asked, err);
        if (result == 0)
            result = findings_take(&asked->findings, ret, err);
    }
    findings_destroy(&asked->findings);
    model_card_destroy(&asked->card);
    model_folder_close(&asked->folder);
    free(asked);
    return result;
}

int recognition_of_name(const struct catalogue *catalogue, const char *name,
                        struct recognition **ret, struct error *err)
{
    struct lineage_walk *walk = NULL;
    struct findings findings;
    struct lineage_found found = {.count = 0};
    const struct license_record *record = catalogue_find(catalogue, name);
    const struct lineage_row *row = record == NULL ? lineage_find(catalogue, name) : NULL;
    if (record == NULL && row == NULL)
        return error_set(err, ERROR_NOT_FOUND,
                         "%.200s: no licence of the catalogue, and no model that lineage.yaml "
                         "knows",
                         name);
    int result = findings_init(&findings, name, err);
    if (result != 0)
        return result;
    if (record != NULL) {
        findings_license(&findings, &(struct recognised_license){record, findings.made->model,
                                                                 BY_OPERATOR, "as asked for", ""});
    } else {
        walk = calloc(1, sizeof *walk);
        findings.failed = findings.failed || walk == NULL;
        add_spellings(&findings, name);
    }
    if (walk != NULL) {
        lineage_init(walk, catalogue, NULL, &findings, NULL);
        result = lineage_walk_row(walk, row, findings.made->model, &found, err);
    }
    if (result == 0)
        result = findings_take(&findings, ret, err);
    findings_destroy(&findings);
    free(walk);
    return result;
}
