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
struct sketch;
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
struct usage_group *usage_group_next(struct usage *usage, const struct usage_group *after);
struct usage_group_name {
    enum usage_group_kind kind;
    /* What all of the group have in common, and "" else: a model may be in several products. A
     * product without a name is "". Borrowed: they live as long as the usage. */
    const char *product, *model, *family;
};
void usage_group_name(struct usage *usage, const struct usage_group *group,
                      struct usage_group_name *ret);

struct usage_question {
    struct usage_group *group;
    enum usage_window window;
    uint32_t day;       /* the window's last day; of a month any day in it */
    uint32_t age_s_max; /* an answer as old as that will do; 0: none that missed anything */
    int64_t now_unix_us;
};
int usage_ask(struct usage *usage, const struct usage_question *question, struct usage_figures *ret,
              struct error *err);

/* -- Evidence of a month -- */

/* A month, and the SHA-256, in hexadecimal, of the canonical bytes (sketch_write) of the union that
 * `best` was estimated from: verified, asserted and weak users of the month's own days. That union
 * and no other, since the registers of it can be made again from the counters and since nothing in
 * it hangs on single requests. "" for nobody. It is always made anew. */
#define USAGE_SHA256_BYTES 65
int usage_ask_month(struct usage *usage, const struct usage_question *question,
                    struct usage_figures *ret, char ret_sha256[USAGE_SHA256_BYTES],
                    struct error *err);
/* Of a month its days up to question->day alone, which is over; the upper view has the day before
 * the month too, and the day after it once question->day is the last. ERROR_NOT_FOUND where days of
 * it cannot be told apart any more. */
int usage_ask_to_date(struct usage *usage, const struct usage_question *question,
                      struct usage_figures *ret, struct error *err);

/* How often something was added to these days after they were final; those that became a month do
 * not count. Costs a look at what is in memory. */
uint64_t usage_amendments(struct usage *usage, const struct usage_group *group, uint32_t first_day,
                          uint32_t last_day);
/* The verified and asserted users of a scope's day, by its number below usage_scope_count(), under
 * each year of the day; *ret NULL for nobody. Any thread. */
int usage_named_of_day(struct usage *usage, uint32_t scope, uint32_t day, struct sketch **ret,
                       struct error *err);

/* Internal to usage: puts the scope into its groups; a new family moves it. */
int usage_group_join(struct usage *usage, struct usage_scope *scope, struct error *err);
void usage_groups_free(struct usage *usage);

#endif
