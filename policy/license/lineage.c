/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/license/lineage.h"

#include "policy/license/model_name.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ROOT 0u

static const char unknown_remedy[] =
    "Put the base model's README.md and LICENSE in a folder of its name beside the model's, add a "
    "row to lineage.yaml in licenses.folder, or name the licence under models[].license.";

void lineage_init(struct lineage_walk *walk, const struct catalogue *catalogue,
                  const struct license_matcher *matcher, struct findings *findings,
                  const struct model_folder *root)
{
    walk->catalogue = catalogue;
    walk->matcher = matcher;
    walk->findings = findings;
    walk->root = root;
    walk->nodes[ROOT] = (struct lineage_node){.name = findings->made->model, .on_path = true};
    walk->node_count = 1;
    if (root != NULL) {
        walk->nodes[ROOT].device = root->device;
        walk->nodes[ROOT].inode = root->inode;
    }
}

const struct lineage_row *lineage_find(const struct catalogue *catalogue, const char *name)
{
    char plain[MODEL_NAME_BYTES];
    if (name[0] == '\0')
        return NULL;
    const struct lineage_row *row = catalogue_published(catalogue, name);
    model_name_plain(name, plain);
    if (row == NULL && strcmp(plain, name) != 0)
        row = catalogue_published(catalogue, plain);
    const char *bare = model_name_bare(plain);
    if (row == NULL && bare != plain && bare[0] != '\0')
        row = catalogue_published(catalogue, bare);
    return row;
}

static void add_found(struct lineage_found *found, const struct license_record *record,
                      const char *base)
{
    for (uint32_t i = 0; i < found->count; i++)
        if (found->licenses[i].record == record)
            return;
    if (found->count == RECOGNITION_LICENSES_MAX)
        return;
    found->licenses[found->count].record = record;
    found->licenses[found->count++].base = base;
}

static void merge_found(struct lineage_found *into, const struct lineage_found *from)
{
    for (uint32_t i = 0; i < from->count; i++)
        add_found(into, from->licenses[i].record, from->licenses[i].base);
}

bool lineage_decides(const struct lineage_found *found, const struct open_claim *claim)
{
    for (uint32_t i = 0; i < found->count; i++)
        if (claim_could_be(claim, found->licenses[i].record))
            return true;
    return false;
}

void lineage_tell_dropped(const struct license_claims *claims, const struct lineage_found *found,
                          const char *subject, struct findings *findings)
{
    for (uint32_t i = 0; i < found->count && claims->license_count > 0; i++) {
        const struct license_record *record = found->licenses[i].record;
        if (found->licenses[i].base[0] == '\0' || record->category == CATEGORY_PERMISSIVE ||
            claims_have(claims, record))
            continue;
        findings_disagree(
            findings,
            findings_format(findings,
                            "%s is given under %s (%s), but it is made from %s, whose licence is "
                            "%s: both bind.",
                            subject, claims_ids(claims, findings), claims->licenses[0].evidence,
                            found->licenses[i].base, record->id));
    }
}

static void doubt_lineage(struct lineage_walk *walk, const char *reason)
{
    findings_doubt(walk->findings, "lineage-unknown", reason, unknown_remedy);
}

/* -- Cycles -- */

/* "A -> B -> A", from the node that the name leads back to. */
static void doubt_cycle(struct lineage_walk *walk, uint32_t back_to, uint32_t from,
                        const char *name)
{
    char chain[FINDINGS_REASON_BYTES / 2] = "";
    uint32_t path[RECOGNITION_DEPTH_MAX + 2], count = 0;
    for (uint32_t at = from; count < RECOGNITION_DEPTH_MAX + 2; at = walk->nodes[at].parent) {
        path[count++] = at;
        if (at == back_to || at == ROOT)
            break;
    }
    size_t used = 0;
    while (count > 0 && used < sizeof chain) {
        const char *node = path[count - 1] == back_to ? name : walk->nodes[path[count - 1]].name;
        used += (size_t)snprintf(chain + used, sizeof chain - used, "%s -> ", node);
        count--;
    }
    findings_doubt(walk->findings, "lineage-cycle",
                   findings_format(walk->findings,
                                   "the base models lead back to where they began: %s%s", chain,
                                   name),
                   "Mend base_model in the front matter of README.md, or name the licence under "
                   "models[].license.");
}

/* The model's own: as served, or as its folder is called. Not by its file: a base model and its
 * quantisation share that name. */
static bool is_own_name(const struct lineage_walk *walk, const char *name)
{
    if (strcasecmp(walk->nodes[ROOT].name, name) == 0)
        return true;
    const char *folder = walk->root == NULL ? "" : walk->root->real;
    size_t folder_count = strlen(folder), count = strlen(name);
    return folder_count > count && folder[folder_count - count - 1] == '/' &&
           strcasecmp(folder + folder_count - count, name) == 0;
}

/* The node of that name: one that has been visited, or is being. */
static bool find_node(const struct lineage_walk *walk, const char *name, uint32_t *ret)
{
    for (uint32_t i = ROOT + 1; i < walk->node_count; i++)
        if (strcasecmp(walk->nodes[i].name, name) == 0) {
            *ret = i;
            return true;
        }
    return false;
}

static bool find_folder(const struct lineage_walk *walk, const struct model_folder *folder,
                        uint32_t *ret)
{
    for (uint32_t i = 0; i < walk->node_count; i++)
        if (walk->nodes[i].device == folder->device && walk->nodes[i].inode == folder->inode) {
            *ret = i;
            return true;
        }
    return false;
}

/* -- The walk -- */

struct base_step {
    uint32_t parent;
    const char *name, *also;
    struct lineage_found *found; /* of the parent */
};

static int walk_step(struct lineage_walk *walk, const struct base_step *step, struct error *err);

/* base_models of a row; one that the same row describes says nothing more. */
static int walk_row_bases(struct lineage_walk *walk, const struct lineage_row *row, uint32_t parent,
                          struct lineage_found *found, struct error *err)
{
    for (uint32_t i = 0; i < row->base_model_count; i++) {
        const struct base_step step = {parent, row->base_models[i], "", found};
        if (lineage_find(walk->catalogue, row->base_models[i]) == row)
            continue;
        int result = walk_step(walk, &step, err);
        if (result != 0)
            return result;
    }
    return 0;
}

/* base: "" for the model's own row. */
static void add_row_licenses(struct lineage_walk *walk, const struct lineage_row *row,
                             const char *name, const char *base, struct lineage_found *found)
{
    struct findings *findings = walk->findings;
    const char *evidence = findings_format(findings, "lineage.yaml: %s%s%s%s", name,
                                           row->source[0] == '\0' ? "" : " (", row->source,
                                           row->source[0] == '\0' ? "" : ")");
    for (uint32_t i = 0; i < row->license_count; i++) {
        const struct license_record *record = catalogue_find(walk->catalogue, row->licenses[i]);
        findings_license(findings, &(struct recognised_license){
                                       .record = record,
                                       .declared = row->licenses[i],
                                       .by = base[0] == '\0' ? BY_NAME : BY_LINEAGE,
                                       .evidence = evidence,
                                       .base = base,
                                   });
        if (record != NULL)
            add_found(found, record, base);
        else
            findings_doubt(findings, "license-unknown",
                           findings_format(findings,
                                           "lineage.yaml gives %s for %s, no licence of the "
                                           "catalogue",
                                           row->licenses[i], name),
                           "Describe the licence in a file of licenses.folder.");
    }
}

static int walk_card_bases(struct lineage_walk *walk, const struct model_card *card,
                           uint32_t parent, struct lineage_found *found, struct error *err)
{
    for (uint32_t i = 0; i < card->base_model_count; i++) {
        const struct base_step step = {parent, card->base_models[i], "", found};
        int result = walk_step(walk, &step, err);
        if (result != 0)
            return result;
    }
    return 0;
}

/* What a base model's folder claims becomes a finding about that base. */
static void add_claims(struct lineage_walk *walk, const struct license_claims *claims,
                       struct lineage_node *node)
{
    for (uint32_t i = 0; i < claims->license_count; i++) {
        struct recognised_license license = claims->licenses[i];
        license.by = BY_LINEAGE;
        license.base = node->name;
        findings_license(walk->findings, &license);
        add_found(&node->found, license.record, node->name);
    }
}

/* Once its own base models are known, which may decide what its claims left open. */
static void weigh_claims(struct lineage_walk *walk, const struct license_claims *claims,
                         struct lineage_node *node, const struct lineage_found *below)
{
    struct findings *findings = walk->findings;
    for (uint32_t i = 0; i < claims->open_count; i++) {
        const struct open_claim *claim = &claims->open[i];
        if (lineage_decides(below, claim))
            continue;
        claim_doubt(claim, findings, walk->catalogue, node->name);
        findings_license(findings, &(struct recognised_license){NULL, claim->declared, BY_LINEAGE,
                                                                claim->evidence, node->name});
    }
    lineage_tell_dropped(claims, below, node->name, findings);
    merge_found(&node->found, below);
}

static int walk_folder(struct lineage_walk *walk, uint32_t index, const struct model_folder *folder,
                       struct error *err)
{
    struct license_claims claims = {0};
    struct lineage_found below = {.count = 0};
    struct model_card card;
    struct lineage_node *node = &walk->nodes[index];
    node->device = folder->device;
    node->inode = folder->inode;
    int result = claims_read_card(&claims, walk->findings, folder, &card, err);
    if (result != 0)
        return result;
    claims_add_card(&claims, walk->findings, walk->catalogue, &card,
                    findings_format(walk->findings, "%s/README.md", folder->path));
    result = claims_settle(&claims, walk->findings, walk->matcher, folder, node->name, err);
    if (result == 0) {
        add_claims(walk, &claims, node);
        result = walk_card_bases(walk, &card, index, &below, err);
    }
    bool says_nothing = claims.license_count == 0 && claims.open_count == 0 && !claims.doubted &&
                        card.base_model_count == 0;
    model_card_destroy(&card);
    if (result != 0)
        return result;
    weigh_claims(walk, &claims, node, &below);
    if (says_nothing)
        doubt_lineage(walk, findings_format(walk->findings,
                                            "nothing in %s says under what the base model %s is "
                                            "licensed",
                                            folder->path, node->name));
    return 0;
}

static int walk_nearby(struct lineage_walk *walk, uint32_t index, struct error *err)
{
    struct lineage_node *node = &walk->nodes[index];
    struct model_folder folder = {.fd = -1};
    struct error local;
    uint32_t seen = 0;
    int result = walk->root == NULL
                     ? ERROR_NOT_FOUND
                     : model_folder_open_near(&folder, walk->root, node->name, &local);
    if (result == ERROR_NO_MEMORY)
        return error_no_memory(err);
    if (result != 0 && (walk->root == NULL || result == ERROR_NOT_FOUND)) {
        doubt_lineage(walk, findings_format(walk->findings,
                                            "the base model %s is neither in lineage.yaml nor in "
                                            "a folder nearby",
                                            node->name));
        return 0;
    }
    if (result != 0) {
        doubt_lineage(walk, findings_format(walk->findings,
                                            "the folder of the base model %s cannot be read: %s",
                                            node->name, local.text));
        return 0;
    }
    if (!find_folder(walk, &folder, &seen))
        result = walk_folder(walk, index, &folder, err);
    else if (walk->nodes[seen].on_path)
        doubt_cycle(walk, seen, node->parent, node->name);
    else
        node->found = walk->nodes[seen].found;
    model_folder_close(&folder);
    return result;
}

static int walk_node(struct lineage_walk *walk, uint32_t index, const struct lineage_row *row,
                     struct error *err)
{
    struct lineage_node *node = &walk->nodes[index];
    int result;
    if (row == NULL) {
        result = walk_nearby(walk, index, err);
    } else {
        add_row_licenses(walk, row, node->name, node->name, &node->found);
        result = walk_row_bases(walk, row, index, &node->found, err);
    }
    node->on_path = false;
    return result;
}

static int walk_step(struct lineage_walk *walk, const struct base_step *step, struct error *err)
{
    struct findings *findings = walk->findings;
    uint32_t index = 0;
    const char *name = findings_copy(findings, step->name, strlen(step->name));
    uint32_t depth = walk->nodes[step->parent].depth + 1;
    if (name[0] == '\0')
        return 0;
    if (find_node(walk, name, &index)) {
        if (walk->nodes[index].on_path)
            doubt_cycle(walk, index, step->parent, name);
        merge_found(step->found, &walk->nodes[index].found);
        return 0;
    }
    const struct lineage_row *row = lineage_find(walk->catalogue, name);
    if (row == NULL)
        row = lineage_find(walk->catalogue, step->also);
    if (row == NULL && is_own_name(walk, name)) {
        doubt_cycle(walk, ROOT, step->parent, name);
        return 0;
    }
    if (depth > RECOGNITION_DEPTH_MAX || walk->node_count == LINEAGE_NODES_MAX) {
        doubt_lineage(walk, findings_format(findings,
                                            "the base models go on after %s, further than %u "
                                            "links or %u models, and are not followed",
                                            name, RECOGNITION_DEPTH_MAX, LINEAGE_NODES_MAX));
        return 0;
    }
    index = walk->node_count++;
    walk->nodes[index] = (struct lineage_node){
        .name = name, .parent = step->parent, .depth = depth, .on_path = true};
    int result = walk_node(walk, index, row, err);
    merge_found(step->found, &walk->nodes[index].found);
    return result;
}

int lineage_walk_base(struct lineage_walk *walk, const char *name, const char *also,
                      struct lineage_found *found, struct error *err)
{
    const struct base_step step = {ROOT, name, also, found};
    return walk_step(walk, &step, err);
}

int lineage_walk_row(struct lineage_walk *walk, const struct lineage_row *row, const char *name,
                     struct lineage_found *found, struct error *err)
{
    add_row_licenses(walk, row, name, "", found);
    return walk_row_bases(walk, row, ROOT, found, err);
}
