/* SPDX-License-Identifier: Apache-2.0 */
/* model_card.h -- the YAML front matter of a README.md, read as loosely as hubs do.
 *
 * Between a first line "---" and the next. Keys that we do not ask for may be anything; of ours a
 * string may stand for a list of one. Limits: the matter's bytes, its depth, a list's length;
 * aliases are not followed. Pure; any thread. */
#ifndef WEIR_POLICY_LICENSE_MODEL_CARD_H
#define WEIR_POLICY_LICENSE_MODEL_CARD_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define MODEL_CARD_BYTES_MAX 262144u
#define MODEL_CARD_LIST_MAX  16u

struct model_card {
    char *licenses[MODEL_CARD_LIST_MAX];
    uint32_t license_count;
    char *license_name, *license_link; /* NULL where it says nothing */
    char *base_models[MODEL_CARD_LIST_MAX];
    uint32_t base_model_count;
    char *base_model_relation;
    char *pipeline_tag;
};

/* All zero for a text without front matter. ERROR_INVALID, with the line, for front matter that is
 * not YAML; *card is then empty. */
int model_card_init(struct model_card *card, const char *bytes, size_t count, struct error *err);
void model_card_destroy(struct model_card *card);

#endif
