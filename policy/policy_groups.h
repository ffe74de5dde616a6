/* SPDX-License-Identifier: Apache-2.0 */
/* policy_groups.h -- how many people use what: the organisation, families, products, models. */
#ifndef WEIR_POLICY_POLICY_GROUPS_H
#define WEIR_POLICY_POLICY_GROUPS_H

#include "policy/users/usage_figures.h"

#include <stdbool.h>
#include <stdint.h>

struct policy;

#define POLICY_GROUPS_MAX 1024u /* told at once; the others are left out */

/* Of a model that is served no more, too: its users are in the month's unions. */
struct policy_group {
    const char *kind; /* "organisation", "family", "product", "model" */
    const char *name; /* "" of the organisation */
    struct usage_figures windows[USAGE_WINDOW_COUNT];
    uint32_t window_count; /* of an earlier month one: the month */
    bool known;            /* false: no memory or no disk to answer from, and no windows */
};
/* Each in turn, from the widest kind to the narrowest. month: year * 12 + month - 1 of UTC; that of
 * now, or an earlier one. Rolling windows may be two minutes old. Returns how many there were, the
 * untold with them. Any thread. */
uint32_t policy_groups_each(struct policy *policy, uint32_t month, int64_t now_unix_us,
                            void (*on_group)(void *argument, const struct policy_group *group),
                            void *argument);

#endif
