/* SPDX-License-Identifier: Apache-2.0 */
/* alert.h -- when to say that a line comes near: levels, lead times, hysteresis. Pure.
 *
 * One watch a (condition, scope). Once a day's figures are there it is evaluated: levels 50, 75,
 * 90, 95 and 100% of the line on the upper bound; lead times of 90, 30 and 7 days on the early
 * edge of the forecast. A rule fires after ALERT_FIRE_AFTER evaluations in a row, once a period,
 * and clears 3% below its level, or when the early edge is beyond 1.25 times its lead for
 * ALERT_CLEAR_AFTER evaluations. The id of an alert is the same on every replica, so that a fleet
 * and its receivers can tell a repetition from news. */
#ifndef WEIR_POLICY_ALERT_H
#define WEIR_POLICY_ALERT_H

#include "policy/forecast.h"

#include <stdbool.h>
#include <stdint.h>

#define ALERT_ID_BYTES    65u /* SHA-256 in hexadecimal and a NUL */
#define ALERT_LEVELS      5u
#define ALERT_LEADS       3u
#define ALERT_RULES       (ALERT_LEVELS + ALERT_LEADS)
#define ALERT_FIRE_AFTER  3u
#define ALERT_CLEAR_AFTER 7u

extern const uint32_t alert_level_percents[ALERT_LEVELS]; /* 50, 75, 90, 95, 100 */
extern const uint32_t alert_lead_days[ALERT_LEADS];       /* 90, 30, 7 */

/* What is watched; strings borrowed for the call. */
struct alert_scope {
    const char *condition; /* "kimi-k2.5/ui-name" */
    const char *scope;     /* model, family or "organisation" */
    double threshold;
};

/* State of one watch; plain, to be kept in a database between evaluations and restarts. */
struct alert_rule_state {
    uint32_t streak; /* evaluations in a row that ask for a change */
    bool firing;
    uint32_t period; /* how often it has fired: part of the id */
};
struct alert_watch {
    struct alert_rule_state rules[ALERT_RULES]; /* levels, then leads */
    uint32_t last_day;                          /* of the last evaluation; 0: none yet */
};

struct alert_event {
    char id[ALERT_ID_BYTES];
    uint32_t rule; /* index into rules */
    bool fires;    /* false: clears */
    double upper, threshold, days_early;
    uint32_t day;
};

/* Evaluates the day, at most once a day (an earlier or the same day changes nothing). upper: users
 * by the upper bound. forecast: NULL for none. ret: room for ALERT_RULES. Returns how many. */
uint32_t alert_evaluate(struct alert_watch *watch, const struct alert_scope *scope, uint32_t day,
                        double upper, const struct forecast *forecast, struct alert_event *ret);

#endif
