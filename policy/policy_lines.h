/* SPDX-License-Identifier: Apache-2.0 */
/* policy_lines.h -- how near the thresholds of licences are, and who was told. Any thread. */
#ifndef WEIR_POLICY_POLICY_LINES_H
#define WEIR_POLICY_POLICY_LINES_H

#include <stdbool.h>
#include <stdint.h>

struct policy;
struct policy_model;

/* How near a threshold is. */
struct policy_line {
    const char *license, *condition; /* the assessment's */
    double upper, threshold; /* users: surely no more than `upper` are counted or declared */
    double lower;            /* surely no fewer, by what is counted and who is declared outside */
    const char *kind, *name; /* whose: "organisation" and "", "product" or "model" and which */
    bool daily;              /* users of a day, else of a month */
    /* Days until it is crossed: at the earliest, as it looks, at the latest; INFINITY for never.
     * NAN where no date can be told, and until a day is over. */
    double days_early, days, days_late;
};
/* The user thresholds of a served model, one a condition: of two, that which is nearer. Those whose
 * figures cannot be had just now are left out. Returns how many, at most `capacity`. Any thread. */
uint32_t policy_lines(struct policy *policy, const struct policy_model *model, int64_t now_unix_us,
                      struct policy_line *ret, uint32_t capacity);

struct policy_messages {
    uint64_t pending, delivered, dead; /* dead: nobody took them in time */
};
/* Of alerts, some seconds old. Any thread. */
void policy_messages(const struct policy *policy, struct policy_messages *ret);

#endif
