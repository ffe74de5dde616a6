/* SPDX-License-Identifier: Apache-2.0 */
/* usage_figures.h -- what is told of a window of days: three views of the same people, with bounds.
 *
 *     lower    users who are verified, and asserted ones where the operator trusts its tenants
 *     best     verified, asserted, and keys and addresses as one user each
 *     upper    verified, asserted, and every other request as a user of its own */
#ifndef WEIR_POLICY_USERS_USAGE_FIGURES_H
#define WEIR_POLICY_USERS_USAGE_FIGURES_H

#include <stdbool.h>
#include <stdint.h>

enum usage_window {
    USAGE_WINDOW_DAY,
    USAGE_WINDOW_MONTH, /* of the calendar */
    USAGE_WINDOW_ROLLING_28,
    USAGE_WINDOW_ROLLING_30,
    USAGE_WINDOW_ROLLING_31,
    USAGE_WINDOW_COUNT
};
const char *usage_window_name(enum usage_window window); /* "day", "month", "rolling_28" */

#define USAGE_COVERAGE_RATIO_MAX 1.2 /* of upper to lower: beyond, identities do not suffice */

struct usage_figure {
    double users;
    double low, high; /* one-sided bounds of the sketch, SKETCH_Z_REPORT errors away */
    bool exact;
};

struct usage_figures {
    enum usage_window window;
    uint32_t first_day, last_day; /* since 1970-01-01 UTC */
    struct usage_figure lower, best;
    /* Of a month: with the day before it and the day after it, since users' clocks are not ours and
     * a month begins 14 hours earlier and ends 12 hours later than here somewhere. */
    struct usage_figure upper;
    struct usage_figure upper_strict; /* of the window's days alone */
    double users_by_class[3];         /* verified, asserted, weak: distinct in each */
    uint64_t requests[4];             /* by enum identity_class; a crash forgets some seconds */
    double coverage;                  /* verified or asserted, of all requests; 1 without any */
    bool identity_insufficient;       /* upper_strict > USAGE_COVERAGE_RATIO_MAX * lower */
    bool final;                       /* nothing is expected to be added any more */
    uint32_t amended;                 /* additions to days that were final */
    uint32_t days_missing;            /* days that cannot be told apart any more, or are damaged */
};

#endif
