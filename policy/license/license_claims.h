/* SPDX-License-Identifier: Apache-2.0 */
/* license_claims.h -- what one model says of its own licence: by labels, and by texts.
 *
 * Labels are the keys of the weights and the front matter of the card; each names licences, or
 * says "other" and gives a name and a link. Texts lie beside the weights. claims_settle() brings
 * the two together: the text decides. What then still has no licence is `unknown` (nothing of the
 * catalogue) or `vague` (a name of several texts, "other"): lineage may decide the latter.
 *
 * Used for a model and, by their folders, for its base models. Not shared between threads. */
#ifndef WEIR_POLICY_LICENSE_LICENSE_CLAIMS_H
#define WEIR_POLICY_LICENSE_LICENSE_CLAIMS_H

#include "policy/license/findings.h"
#include "policy/license/license_match.h"
#include "policy/license/model_card.h"
#include "policy/license/model_folder.h"

#include <stdbool.h>
#include <stdint.h>

#define CLAIMS_MAX            RECOGNITION_LICENSES_MAX
#define CLAIMS_CANDIDATES_MAX 12u

/* A label without a licence. */
struct open_claim {
    const char *declared, *evidence;
    enum recognised_by by;
    bool vague;
    bool listed; /* beside other names: a text may stand for those instead */
    bool told;   /* its doubt is raised already */
};

struct license_claims {
    struct recognised_license licenses[CLAIMS_MAX]; /* with a record, base "" */
    uint32_t license_count;
    struct open_claim open[CLAIMS_MAX];
    uint32_t open_count;
    bool doubted; /* a text or a label is in doubt already */
};

/* What a license, license_name and license_link say; "" where they say nothing. */
struct license_label {
    enum recognised_by by;   /* BY_OPERATOR, BY_WEIGHTS or BY_CARD */
    const char *license_key; /* "general.license"; of the name and the link below */
    const char *name_key, *link_key;
    const char *license, *name, *link;
};
void claims_add_label(struct license_claims *claims, struct findings *findings,
                      const struct catalogue *catalogue, const struct license_label *label);

/* The front matter of the folder's README.md. What cannot be read is a doubt, and the card empty
 * then. ERROR_NO_MEMORY. */
int claims_read_card(struct license_claims *claims, struct findings *findings,
                     const struct model_folder *folder, struct model_card *card, struct error *err);
void claims_add_card(struct license_claims *claims, struct findings *findings,
                     const struct catalogue *catalogue, const struct model_card *card,
                     const char *path);

/* Licences that two labels of one model name must be the same; `said`: "The weights say". */
void claims_compare(const struct license_claims *a, const char *a_said,
                    const struct license_claims *b, const char *b_said, struct findings *findings);
void claims_merge(struct license_claims *into, const struct license_claims *from);

/* Reads and matches the folder's texts, and lets them decide. subject: of whom doubts and
 * disagreements speak, "the model". ERROR_NO_MEMORY. */
int claims_settle(struct license_claims *claims, struct findings *findings,
                  const struct license_matcher *matcher, const struct model_folder *folder,
                  const char *subject, struct error *err);

/* Whether a licence may be what a vague name means: any may be "other". */
bool claim_could_be(const struct open_claim *claim, const struct license_record *record);
/* Raises the doubt that an open claim is. */
void claim_doubt(const struct open_claim *claim, struct findings *findings,
                 const struct catalogue *catalogue, const char *subject);

bool claims_have(const struct license_claims *claims, const struct license_record *record);
/* Ids joined by " AND ", in the arena. */
const char *claims_ids(const struct license_claims *claims, struct findings *findings);

#endif
