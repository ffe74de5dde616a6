/* SPDX-License-Identifier: Apache-2.0 */
/* lineage.h -- what a model was made from, and under which licences that stands.
 *
 * A base model is looked up by its name in lineage.yaml, and where that does not know it, in a
 * folder nearby; either may name base models in turn. Each is visited once, at most
 * LINEAGE_NODES_MAX in all and RECOGNITION_DEPTH_MAX deep; a chain that bites its tail is a doubt
 * that shows the chain. One walk's; not shared between threads. */
#ifndef WEIR_POLICY_LICENSE_LINEAGE_H
#define WEIR_POLICY_LICENSE_LINEAGE_H

#include "policy/license/findings.h"
#include "policy/license/license_claims.h"
#include "policy/license/model_folder.h"

#include <stdbool.h>
#include <stdint.h>

#define LINEAGE_NODES_MAX 64u

/* Licences found up to some base model. */
struct lineage_found {
    struct {
        const struct license_record *record;
        const char *base; /* "": of the model's own name */
    } licenses[RECOGNITION_LICENSES_MAX];
    uint32_t count;
};

struct lineage_node {
    const char *name;
    uint64_t device, inode; /* of its folder; 0 and 0 for none */
    uint32_t parent, depth;
    bool on_path; /* between the model and where the walk is */
    struct lineage_found found;
};

struct lineage_walk {
    const struct catalogue *catalogue;
    const struct license_matcher *matcher;
    struct findings *findings;
    const struct model_folder *root;              /* NULL: there is no folder */
    struct lineage_node nodes[LINEAGE_NODES_MAX]; /* the first is the model itself */
    uint32_t node_count;
};

/* All borrowed, for as long as the walk. */
void lineage_init(struct lineage_walk *walk, const struct catalogue *catalogue,
                  const struct license_matcher *matcher, struct findings *findings,
                  const struct model_folder *root);

/* A name as lineage.yaml may know it: the whole, without quantisation, and after its '/'. */
const struct lineage_row *lineage_find(const struct catalogue *catalogue, const char *name);

/* One base model of the model itself; its licences become findings. also: another spelling to look
 * it up by, or "". ERROR_NO_MEMORY. */
int lineage_walk_base(struct lineage_walk *walk, const char *name, const char *also,
                      struct lineage_found *found, struct error *err);

/* What a row says of the model of that name itself: its licences bind by name, its base models are
 * walked. */
int lineage_walk_row(struct lineage_walk *walk, const struct lineage_row *row, const char *name,
                     struct lineage_found *found, struct error *err);

/* A sentence for each licence found that asks something and that the claims drop. */
void lineage_tell_dropped(const struct license_claims *claims, const struct lineage_found *found,
                          const char *subject, struct findings *findings);

/* Whether one of the licences found is what a vague claim means. */
bool lineage_decides(const struct lineage_found *found, const struct open_claim *claim);

#endif
