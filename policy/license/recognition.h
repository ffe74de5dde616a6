/* SPDX-License-Identifier: Apache-2.0 */
/* recognition.h -- under which licences a model stands, and how we know.
 *
 * In this order: the operator's explicit id; the keys of the weights (GGUF general.license*, SPDX
 * expressions or a hub's words, lists, "other" with name and link); the front matter of README.md;
 * the LICENSE and USE_POLICY texts beside the weights, MODEL before CODE. Then lineage: base models
 * by the keys, the front matter and the name, each looked up in lineage.yaml or in a folder nearby.
 * Every licence found binds. Where a label and a text disagree the text decides; where a label
 * drops what a base model's licence asks, both bind; either way the disagreement is told. What
 * cannot be made out is a doubt, and a doubt goes to review.
 *
 * Reads files of the model's folder and of base models in folders nearby (cards and licence texts,
 * never weights). Main thread or a command's; no state is kept. */
#ifndef WEIR_POLICY_LICENSE_RECOGNITION_H
#define WEIR_POLICY_LICENSE_RECOGNITION_H

#include "base/error.h"
#include "policy/license/catalogue.h"
#include "policy/license/license_match.h"
#include "policy/policy.h"

#define RECOGNITION_LICENSES_MAX 16u
#define RECOGNITION_DEPTH_MAX    8u /* links from base model to base model */

enum recognised_by {
    BY_NOTHING,
    BY_OPERATOR,     /* "operator": models[].license of weir.yaml, or named on the command line */
    BY_WEIGHTS,      /* "weights": keys of the GGUF file */
    BY_CARD,         /* "card": front matter of README.md */
    BY_TEXT_DIGEST,  /* "text": every word of a file */
    BY_TEXT_PATTERN, /* "template": a file, but for names and years */
    BY_LINK,         /* "link": where the keys or the card send the reader */
    BY_LINEAGE,      /* "lineage": a base model's */
    BY_NAME          /* "name": the published model of that name */
};
const char *recognised_by_name(enum recognised_by by);

struct recognised_license {
    const struct license_record *record; /* NULL: declared, but nothing of the catalogue */
    const char *declared;                /* as it was spelled, or the id */
    enum recognised_by by;
    const char *evidence; /* a path, a key or a name */
    const char *base;     /* of which base model; "" for the model's own */
};

/* What could not be made out; each is a condition of the assessment with verdict review. */
struct recognition_doubt {
    const char *id;     /* "license-unknown", "text-unknown", "text-unreadable", "lineage-cycle",
                         * "lineage-unknown", "ambiguous-name", "several-texts" */
    const char *reason; /* names the file and, where there is one, the sentence */
    const char *remedy;
};

enum modality { MODALITY_UNKNOWN, MODALITY_TEXT, MODALITY_MULTIMODAL };

struct recognition {
    const char *model; /* as served or asked for */
    /* Every name it goes by: served id, general.name, folder or file, hub id of the card. */
    const char *const *names;
    uint32_t name_count;
    enum modality modality;
    struct recognised_license licenses[RECOGNITION_LICENSES_MAX];
    uint32_t license_count;
    const char *const *disagreements; /* a sentence each */
    uint32_t disagreement_count;
    const struct recognition_doubt *doubts;
    uint32_t doubt_count;
    const char *const *files; /* what was read beside the weights */
    uint32_t file_count;
    const char *link; /* the model's own licence link, "" when it gives none */
};

/* Takes a catalogue and its matcher. facts->path: "" when there is no folder to look at. Errors are
 * ERROR_NO_MEMORY, ERROR_IO for a folder that cannot be read and ERROR_NOT_FOUND for one that does
 * not exist: a licence that cannot be made out is an answer, not an error. */
int recognition_read(const struct catalogue *catalogue, const struct license_matcher *matcher,
                     const struct policy_model_facts *facts, struct recognition **ret,
                     struct error *err);
void recognition_free(struct recognition *recognition); /* NULL is fine */

/* One licence by its id, as if a model had it, for `weir check ID`; or what lineage.yaml knows of a
 * published model's name. ERROR_NOT_FOUND when it is neither. */
int recognition_of_name(const struct catalogue *catalogue, const char *name,
                        struct recognition **ret, struct error *err);

#endif
