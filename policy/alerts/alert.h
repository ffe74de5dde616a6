/* SPDX-License-Identifier: Apache-2.0 */
/* alert.h -- when to say that a line comes near: levels, lead times, hysteresis. Pure.
 *
 * One watch a (condition, scope). Once a day's figures are there it is evaluated: levels 50, 75,
 * 90, 95 and 100% of the line on the upper bound; lead times of 90, 30 and 7 days on the early
 * edge of the forecast. A rule fires after ALERT_FIRE_AFTER evaluations in a row, and looks as far
 * ahead as they take: it fires before its level is crossed, not days after. It clears once the
 * level is 3% away, or the early edge beyond 1.25 times the lead, for ALERT_CLEAR_AFTER in a row,
 * and fires anew only after that.
 *
 * The id of an alert is the same on every replica that saw the same figures, so that a fleet and
 * its receivers can tell a repetition from news. Replicas that saw others may repeat an alert
 * under another id; none is lost. */
#ifndef WEIR_POLICY_ALERTS_ALERT_H
#define WEIR_POLICY_ALERTS_ALERT_H

#include "base/error.h"
#include "policy/alerts/forecast.h"

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

/* "level-50" ... "level-100", "lead-90", "lead-30", "lead-7": for files and receivers. */
const char *alert_rule_name(uint32_t rule);
/* ALERT_RULES for a name that is none. */
uint32_t alert_rule_find(const char *name);

/* What is watched; strings borrowed for the call. */
struct alert_scope {
    const char *condition; /* "kimi-k2.5/ui-name" */
    const char *scope;     /* model, family or "organisation" */
    double threshold;      /* users, above 0 */
};

/* State of one watch; plain, to be kept in a database between evaluations and restarts. */
struct alert_rule_state {
    uint32_t streak; /* evaluations in a row that ask for a change */
    bool firing;
    uint32_t period;    /* how often it has fired: part of the id */
    uint32_t fired_day; /* of the newest firing; its month is part of the id, too */
};
struct alert_watch {
    struct alert_rule_state rules[ALERT_RULES]; /* levels, then leads */
    uint32_t last_day;                          /* of the last evaluation; 0: none yet */
};

struct alert_figures {
    uint32_t day;                    /* since 1970-01-01 UTC, above 0 */
    double upper;                    /* users by the upper bound */
    const struct forecast *forecast; /* NULL for none: lead times wait */
};

struct alert_event {
    char id[ALERT_ID_BYTES];
    uint32_t rule; /* index into rules */
    bool fires;    /* false: clears */
    double upper, threshold;
    double days_early; /* NAN without a forecast that has a date */
    uint32_t day;
};

/* Evaluates the day, at most once a day (an earlier or the same day changes nothing). ret: room
 * for ALERT_RULES. Returns how many; ERROR_INVALID for an upper bound that is no figure,
 * ERROR_NO_MEMORY, and then nothing changed. */
int alert_evaluate(struct alert_watch *watch, const struct alert_scope *scope,
                   const struct alert_figures *figures, struct alert_event *ret, struct error *err);

#endif
