/* SPDX-License-Identifier: Apache-2.0 */
/* license_beside.c -- the texts of a model's folder, and what they do to its labels.
 *
 *     label      text beside it         the licence is
 *     MIT        MIT, word for word     MIT
 *     MIT        Kimi K2.5's            Kimi K2.5's, and the disagreement is told
 *     other      Kimi K2.5's            Kimi K2.5's
 *     MIT        nobody's               unknown: it may be MIT with a sentence more
 *     llama3.1   nobody's               Llama 3.1's, in doubt: less would be the unsafe side
 *
 * Only the texts of the highest promise are read, and the use policies. */
#include "policy/license/license_claims.h"

#include <stdio.h>
#include <string.h>

#define RESIDUES_SHOWN 3u

static const char text_remedy[] =
    "Read the text; then name the licence under models[].license, or describe it in a file of "
    "licenses.folder.";

/* What the folder's texts are, as far as they are licences. */
struct texts_found {
    struct recognised_license licenses[MODEL_FOLDER_TEXTS_MAX];
    uint32_t license_count;
    const char *unmatched; /* the first text that is nobody's; NULL for none */
};

struct beside {
    struct findings *findings;
    const struct license_matcher *matcher;
    const struct model_folder *folder;
    const char *subject;
    struct license_claims *claims;
    struct texts_found found;
};

static const char *path_of(const struct beside *beside, const char *name)
{
    return findings_format(beside->findings, "%s/%s", beside->folder->path, name);
}

static void doubt_unreadable(struct beside *beside, const char *name, const char *why)
{
    findings_doubt(beside->findings, "text-unreadable",
                   findings_format(beside->findings, "%s: %s", path_of(beside, name), why),
                   "Put the text there as plain UTF-8, or name the licence under "
                   "models[].license.");
    beside->claims->doubted = true;
}

/* The first of the sentences that nobody knows, with what they seem to limit. */
static const char *show_residues(struct findings *findings, const struct license_match *match)
{
    char shown[RESIDUES_SHOWN * (LICENSE_RESIDUE_BYTES + 64)] = "";
    size_t used = 0;
    uint32_t count = match->residue_count < RESIDUES_SHOWN ? match->residue_count : RESIDUES_SHOWN;
    for (uint32_t i = 0; i < count && used < sizeof shown; i++) {
        const struct license_residue *residue = &match->residues[i];
        used += (size_t)snprintf(shown + used, sizeof shown - used, "%s\"%s\"%s%s%s",
                                 i == 0 ? "" : "; ", residue->sentence,
                                 residue->restricts == NULL ? "" : " (it seems to limit ",
                                 residue->restricts == NULL ? "" : residue->restricts,
                                 residue->restricts == NULL ? "" : ")");
    }
    if (match->residue_total > count && used < sizeof shown)
        (void)snprintf(shown + used, sizeof shown - used, "; and %u more",
                       match->residue_total - count);
    return findings_format(findings, "%s", shown);
}

static void doubt_unknown(struct beside *beside, const char *name,
                          const struct license_match *match)
{
    struct findings *findings = beside->findings;
    const char *path = path_of(beside, name);
    const char *residues = show_residues(findings, match);
    const char *nearest = "", *missing = "";
    if (match->nearest != NULL)
        nearest = findings_format(findings, "; %.0f%% of it is as in %s", match->similarity * 100,
                                  match->nearest->id);
    if (match->nearest != NULL && match->missing > 0)
        missing = findings_format(findings, ", of which it lacks %u sentences", match->missing);
    findings_doubt(findings, "text-unknown",
                   findings_format(findings, "%s is no text of the catalogue%s%s%s%s", path,
                                   nearest, missing,
                                   residues[0] == '\0'      ? ""
                                   : match->nearest == NULL ? ": "
                                                            : ", which does not have: ",
                                   residues),
                   text_remedy);
    beside->claims->doubted = true;
}

/* A use policy belongs to its licence. Where nothing else names that licence, it binds too. */
static void add_use_policy(struct beside *beside, const struct recognised_license *license)
{
    struct license_claims *claims = beside->claims;
    if (claims_have(claims, license->record) || claims->license_count == CLAIMS_MAX)
        return;
    bool has_text = false;
    for (uint32_t i = 0; i < license->record->text_count; i++)
        has_text = has_text || license->record->texts[i].role == TEXT_LICENSE;
    if (claims->license_count > 0 && has_text)
        findings_disagree(beside->findings,
                          findings_format(beside->findings,
                                          "%s is under %s, but %s belongs to %s: both bind.",
                                          beside->subject, claims_ids(claims, beside->findings),
                                          license->evidence, license->record->id));
    claims->licenses[claims->license_count++] = *license;
}

static void take_match(struct beside *beside, const struct model_folder_text *file,
                       const struct license_match *match, bool policies)
{
    if (match->kind == MATCH_NONE) {
        doubt_unknown(beside, file->name, match);
        if (!file->use_policy && beside->found.unmatched == NULL)
            beside->found.unmatched = path_of(beside, file->name);
        return;
    }
    struct recognised_license license = {
        .record = match->record,
        .declared = match->record->id,
        .by = match->kind == MATCH_DIGEST ? BY_TEXT_DIGEST : BY_TEXT_PATTERN,
        .evidence = path_of(beside, file->name),
        .base = "",
    };
    if (policies)
        add_use_policy(beside, &license);
    else
        beside->found.licenses[beside->found.license_count++] = license;
}

static int match_bytes(struct beside *beside, const struct model_folder_text *file,
                       const struct text *bytes, struct license_match *match, struct error *err)
{
    struct license_text text;
    int result = license_text_init(&text, text_string(bytes), bytes->count, err);
    if (result == 0) {
        result = license_match(beside->matcher, &text, text_string(bytes), match, err);
        license_text_destroy(&text);
    }
    if (result == 0 || result == ERROR_NO_MEMORY)
        return result;
    doubt_unreadable(beside, file->name, err->text);
    return 1;
}

static int read_text(struct beside *beside, const struct model_folder_text *file, bool policies,
                     struct error *err)
{
    struct license_match match = {.kind = MATCH_NONE};
    struct text bytes;
    text_init(&bytes);
    findings_file(beside->findings, path_of(beside, file->name));
    /* One byte more than a licence may have, so that a longer text shows as such. */
    int result =
        model_folder_read(beside->folder, file->name, LICENSE_TEXT_BYTES_MAX + 1, &bytes, err);
    if (result == 0)
        result = match_bytes(beside, file, &bytes, &match, err);
    else if (result != ERROR_NO_MEMORY)
        doubt_unreadable(beside, file->name, err->text);
    text_destroy(&bytes);
    if (result == 0)
        take_match(beside, file, &match, policies);
    return result == ERROR_NO_MEMORY ? result : 0;
}

/* -- Texts against labels -- */

static bool any_labelled(const struct beside *beside)
{
    for (uint32_t i = 0; i < beside->found.license_count; i++)
        if (claims_have(beside->claims, beside->found.licenses[i].record))
            return true;
    return false;
}

/* Texts are the answer to every label that was left open, but for a list's other names where the
 * text is already one of them. */
static void close_labels(struct beside *beside, bool labelled)
{
    struct license_claims *claims = beside->claims;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < claims->open_count; i++)
        if (labelled && claims->open[i].listed)
            claims->open[kept++] = claims->open[i];
    bool in_place_of_open = claims->open_count > kept;
    claims->open_count = kept;
    if (labelled || in_place_of_open || claims->license_count == 0)
        return;
    struct license_claims texts = {0};
    for (uint32_t i = 0; i < beside->found.license_count; i++)
        texts.licenses[texts.license_count++] = beside->found.licenses[i];
    findings_disagree(beside->findings,
                      findings_format(beside->findings,
                                      "%s is labelled %s (%s), but the text %s is %s: the text "
                                      "decides.",
                                      beside->subject, claims_ids(claims, beside->findings),
                                      claims->licenses[0].evidence, texts.licenses[0].evidence,
                                      claims_ids(&texts, beside->findings)));
    claims->license_count = 0;
}

static void add_texts(struct beside *beside)
{
    const struct texts_found *found = &beside->found;
    struct license_claims *claims = beside->claims;
    bool several = false;
    for (uint32_t i = 0; i < found->license_count; i++) {
        const struct recognised_license *text = &found->licenses[i];
        several = several || text->record != found->licenses[0].record;
        for (uint32_t j = 0; j < claims->license_count; j++)
            if (claims->licenses[j].record == text->record)
                claims->licenses[j].evidence =
                    findings_format(beside->findings, "%s, and the text %s",
                                    claims->licenses[j].evidence, text->evidence);
        if (!claims_have(claims, text->record) && claims->license_count < CLAIMS_MAX)
            claims->licenses[claims->license_count++] = *text;
    }
    if (!several)
        return;
    findings_doubt(beside->findings, "several-texts",
                   findings_format(beside->findings,
                                   "%s holds the texts of different licences, among them %s (%s) "
                                   "and %s (%s); all of them are taken to bind",
                                   beside->folder->path, found->licenses[0].evidence,
                                   found->licenses[0].record->id,
                                   found->licenses[found->license_count - 1].evidence,
                                   found->licenses[found->license_count - 1].record->id),
                   "Say which one is the model's under models[].license, or name the files "
                   "LICENSE-MODEL and LICENSE-CODE.");
    claims->doubted = true;
}

static bool text_is_known(const struct license_record *record)
{
    for (uint32_t i = 0; i < record->text_count; i++)
        if (record->texts[i].role == TEXT_LICENSE)
            return true;
    return false;
}

/* The text is nobody's. A permissive label whose text we know is then not believed: what the text
 * adds could be anything. Other labels go on binding, for a bar must not fall by a text we do not
 * know. */
static void distrust_labels(struct beside *beside)
{
    struct license_claims *claims = beside->claims;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < claims->license_count; i++) {
        const struct recognised_license *license = &claims->licenses[i];
        if (!text_is_known(license->record)) {
            claims->licenses[kept++] = *license;
            continue;
        }
        findings_disagree(beside->findings,
                          findings_format(beside->findings,
                                          "%s is labelled %s (%s), but the text %s is not %s's.",
                                          beside->subject, license->declared, license->evidence,
                                          beside->found.unmatched, license->record->id));
        if (license->record->category != CATEGORY_PERMISSIVE)
            claims->licenses[kept++] = *license;
        else if (claims->open_count < CLAIMS_MAX)
            claims->open[claims->open_count++] = (struct open_claim){.declared = license->declared,
                                                                     .evidence = license->evidence,
                                                                     .by = license->by,
                                                                     .told = true};
    }
    claims->license_count = kept;
}

static void settle(struct beside *beside)
{
    if (beside->found.license_count > 0) {
        close_labels(beside, any_labelled(beside));
        add_texts(beside);
    } else if (beside->found.unmatched != NULL) {
        distrust_labels(beside);
    }
}

int claims_settle(struct license_claims *claims, struct findings *findings,
                  const struct license_matcher *matcher, const struct model_folder *folder,
                  const char *subject, struct error *err)
{
    struct beside beside = {.findings = findings,
                            .matcher = matcher,
                            .folder = folder,
                            .subject = subject,
                            .claims = claims};
    struct error local;
    if (err == NULL)
        err = &local;
    for (uint32_t i = 0; i < folder->text_count; i++) {
        const struct model_folder_text *file = &folder->texts[i];
        if (file->use_policy || file->promise < folder->texts[0].promise)
            continue;
        int result = read_text(&beside, file, false, err);
        if (result != 0)
            return result;
    }
    settle(&beside);
    for (uint32_t i = 0; i < folder->text_count; i++) {
        int result =
            folder->texts[i].use_policy ? read_text(&beside, &folder->texts[i], true, err) : 0;
        if (result != 0)
            return result;
    }
    if (folder->left_out > 0 || folder->cut)
        doubt_unreadable(&beside, "", "there are more files than are looked at");
    return 0;
}
