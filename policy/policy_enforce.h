/* SPDX-License-Identifier: Apache-2.0 */
/* policy_enforce.h -- what was decided at thresholds, in numbers. Any thread. */
#ifndef WEIR_POLICY_POLICY_ENFORCE_H
#define WEIR_POLICY_POLICY_ENFORCE_H

#include "policy/policy_config.h"

#include <stdbool.h>
#include <stdint.h>

struct policy;
struct policy_model;

enum policy_outcome {
    POLICY_OUTCOME_PASSED,
    POLICY_OUTCOME_ATTRIBUTED, /* passed, with words to show */
    POLICY_OUTCOME_CAPPED,     /* a new user, refused */
    POLICY_OUTCOME_REFUSED     /* past a line, where nobody is served */
};
#define POLICY_OUTCOME_COUNT 4
const char *policy_outcome_name(enum policy_outcome outcome); /* "attributed" */
const char *policy_enforce_name(enum policy_enforce enforce); /* "cap" */

#define POLICY_CAPS_MAX 3u /* the model's own, its product's, the organisation's */

struct policy_cap {
    const char *scope; /* "model", "product", "organisation"; a constant */
    uint64_t limit;    /* users of the month, all that is kept back taken off */
    uint64_t counted;  /* that many are, some seconds ago, and surely no more */
    uint64_t tickets;  /* new users that may still come in, here */
    uint64_t bytes;    /* of the file that knows who is in */
};

struct policy_enforcement {
    enum policy_enforce mode;
    uint64_t outcomes[POLICY_OUTCOME_COUNT]; /* since the start; of requests */
    struct policy_cap caps[POLICY_CAPS_MAX];
    uint32_t cap_count;
};
void policy_enforcement(const struct policy_model *model, struct policy_enforcement *ret);

/* Words that answers carry now, "" when none are due; the policy's. */
const char *policy_attribution(const struct policy_model *model);

#endif
