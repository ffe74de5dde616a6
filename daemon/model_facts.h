/* SPDX-License-Identifier: Apache-2.0 */
/* model_facts.h -- what a weights' file says of itself, in the policy's words.
 *
 * Keys of the header alone; no weight is touched. Files are hostile: strings have limits, and a
 * NUL inside one becomes a blank, so that nothing hides behind it. Belongs to whoever declared it,
 * and is not to be moved: `facts` points into it. */
#ifndef WEIR_DAEMON_MODEL_FACTS_H
#define WEIR_DAEMON_MODEL_FACTS_H

#include "base/error.h"
#include "models/gguf.h"
#include "policy/policy.h"

struct arena;

#define MODEL_FACTS_BASE_MODELS_MAX 64u
#define MODEL_FACTS_NAME_BYTES      512u   /* longer names are cut */
#define MODEL_FACTS_LICENSE_BYTES   65536u /* longer licences are refused: a cut one is another */

struct model_facts {
    /* id, path and chosen_license are the caller's to set, "" until then. */
    struct policy_model_facts facts;
    struct policy_base_model base_models[MODEL_FACTS_BASE_MODELS_MAX];
    struct arena *arena; /* owned: the strings of facts */
};

/* gguf: borrowed for the call; NULL, for a folder without one, says nothing. */
int model_facts_init(struct model_facts *facts, const struct gguf *gguf, struct error *err);
void model_facts_destroy(struct model_facts *facts); /* all zero is fine */

#endif
