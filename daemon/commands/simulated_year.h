/* SPDX-License-Identifier: Apache-2.0 */
/* simulated_year.h -- users that grow as told, seen as weir would see them, and the alerts that
 * come of it. Pure: the same plan gives the same days. */
#ifndef WEIR_DAEMON_COMMANDS_SIMULATED_YEAR_H
#define WEIR_DAEMON_COMMANDS_SIMULATED_YEAR_H

#include "policy/alerts/alert.h"
#include "policy/alerts/forecast.h"

#include <stdint.h>

#define SIMULATED_DAYS_MAX   1000u
#define SIMULATED_PHASES_MAX 16u

struct simulated_phase {
    double growth; /* a day: 0.004 for 0.4% */
    uint32_t days; /* 0 for the rest */
};

struct simulated_plan {
    struct alert_scope scope;
    double start; /* users on the first day */
    struct simulated_phase phases[SIMULATED_PHASES_MAX];
    uint32_t phase_count;  /* 1 at least */
    uint32_t days;         /* 1 to SIMULATED_DAYS_MAX */
    uint32_t history_days; /* counted before the first, at the first phase's growth */
    uint32_t first_day;    /* since 1970-01-01 UTC */
    uint64_t seed;         /* of the sketch's error */
};

struct simulated_day {
    uint32_t day; /* since 1970-01-01 UTC */
    double users; /* in truth */
    double upper; /* as weir bounds them */
    struct forecast forecast;
    uint32_t event_count;
    struct alert_event events[ALERT_RULES];
};

struct simulated_year {
    uint32_t day_count;
    struct simulated_day days[SIMULATED_DAYS_MAX];
};

/* malloc'ed; NULL when there is no memory. */
struct simulated_year *simulated_year_new(const struct simulated_plan *plan, struct error *err);
void simulated_year_free(struct simulated_year *year); /* NULL is fine */

#endif
