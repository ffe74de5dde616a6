/* SPDX-License-Identifier: Apache-2.0 */
/* gate.h -- may this model be served here, by us, for this?
 *
 * Weighs every condition of every licence that binds a model against what the operator declared.
 * Pure: the clock is an argument and nothing is read or kept. What is not declared is never
 * "met"; a threshold is crossed by more than its number, exactly as its text says ("more than" or
 * "at least"). Where the letter and a cautious reading part (a test at a release date, watched
 * also as a running line) both verdicts are given. Any thread. */
#ifndef WEIR_POLICY_LICENSE_GATE_H
#define WEIR_POLICY_LICENSE_GATE_H

#include "policy/license/assessment.h"

/* Takes the recognition over, also on failure. declaration: borrowed for the call; NULL is an empty
 * declaration. ERROR_NO_MEMORY. */
int gate_assess(struct recognition *recognition, const struct declaration *declaration,
                int64_t now_unix, struct assessment **ret, struct error *err);

#endif
