/* SPDX-License-Identifier: Apache-2.0 */
/* usage_window.h -- questions to usage: how many over these days, of this model, family, product,
 * or of all. Every answer is a union of counters, never a sum.
 *
 * Any thread; one question at a time. An answer is kept: as long as nothing changed, asking again
 * costs a look at each counter's number of changes. */
#ifndef WEIR_POLICY_USERS_USAGE_WINDOW_H
#define WEIR_POLICY_USERS_USAGE_WINDOW_H

#include "base/error.h"
#include "policy/users/usage_figures.h"

#include <stdint.h>

struct usage;
struct usage_scope;
struct usage_group; /* borrowed from the usage, lives as long */

enum usage_group_kind {
    USAGE_GROUP_MODEL,
    USAGE_GROUP_FAMILY,
    USAGE_GROUP_PRODUCT,
    USAGE_GROUP_ORGANISATION
};

/* NULL: nothing of that name is or was served. name: "" for the organisation. */
struct usage_group *usage_group_find(struct usage *usage, enum usage_group_kind kind,
                                     const char *name);

/* All that is or was served, in no order: NULL begins, and ends it. Those that come to be while
 * somebody walks may be left out. */
struct usage_group *usage_group_next(struct usage *usage, const struct usage_group *group);
enum usage_group_kind usage_group_kind_of(const struct usage_group *group);
const char *usage_group_name(const struct usage_group *group);

struct usage_question {
    struct usage_group *group;
    enum usage_window window;
    uint32_t day;       /* the window's last day; of a month any day in it */
    uint32_t age_s_max; /* an answer as old as that will do; 0: none that missed anything */
    int64_t now_unix_us;
};
int usage_ask(struct usage *usage, const struct usage_question *question, struct usage_figures *ret,
              struct error *err);

/* Internal to usage: puts the scope into its groups; a new family moves it. */
int usage_group_join(struct usage *usage, struct usage_scope *scope, struct error *err);
void usage_groups_free(struct usage *usage);

#endif
