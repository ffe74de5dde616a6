/* SPDX-License-Identifier: Apache-2.0 */
/* facts.h -- what a model said of itself, kept to weigh it again. */
#ifndef WEIR_POLICY_FACTS_H
#define WEIR_POLICY_FACTS_H

#include "base/arena.h"
#include "policy/policy.h"

/* A copy in the arena, NULL strings as "". NULL when it does not fit. */
const struct policy_model_facts *facts_copy(struct arena *arena,
                                            const struct policy_model_facts *facts);

#endif
