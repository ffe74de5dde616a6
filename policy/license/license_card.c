/* SPDX-License-Identifier: Apache-2.0 */
/* license_card.c -- the label that the front matter of README.md is. */
#include "policy/license/license_claims.h"

#include "base/text.h"

#include <string.h>

static const char remedy[] =
    "Mend the front matter of README.md, or name the licence under models[].license.";

int claims_read_card(struct license_claims *claims, struct findings *findings,
                     const struct model_folder *folder, struct model_card *card, struct error *err)
{
    struct error local;
    struct text bytes;
    if (err == NULL)
        err = &local;
    memset(card, 0, sizeof *card);
    if (folder->card[0] == '\0')
        return 0;
    text_init(&bytes);
    const char *path = findings_format(findings, "%s/%s", folder->path, folder->card);
    findings_file(findings, path);
    int result = model_folder_read(folder, folder->card, MODEL_CARD_BYTES_MAX, &bytes, err);
    if (result == 0)
        result = model_card_init(card, text_string(&bytes), bytes.count, err);
    text_destroy(&bytes);
    if (result == 0 || result == ERROR_NO_MEMORY)
        return result;
    findings_doubt(findings, "text-unreadable",
                   findings_format(findings, "%s: %s", path, err->text), remedy);
    claims->doubted = true;
    return 0;
}

static const char *or_empty(const char *string)
{
    return string == NULL ? "" : string;
}

void claims_add_card(struct license_claims *claims, struct findings *findings,
                     const struct catalogue *catalogue, const struct model_card *card,
                     const char *path)
{
    struct text joined;
    text_init(&joined);
    for (uint32_t i = 0; i < card->license_count; i++) {
        text_append_string(&joined, i == 0 ? "" : ",");
        text_append_string(&joined, card->licenses[i]);
    }
    const struct license_label label = {
        .by = BY_CARD,
        .license_key = findings_format(findings, "license of %s", path),
        .name_key = findings_format(findings, "license_name of %s", path),
        .link_key = findings_format(findings, "license_link of %s", path),
        .license = text_string(&joined),
        .name = or_empty(card->license_name),
        .link = or_empty(card->license_link),
    };
    claims_add_label(claims, findings, catalogue, &label);
    findings->failed = findings->failed || joined.failed;
    text_destroy(&joined);
}
