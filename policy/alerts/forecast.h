/* SPDX-License-Identifier: Apache-2.0 */
/* forecast.h -- when a count that grows will reach a line, and how wrong that may be. Pure.
 *
 * In: the users of the 30 days ending on each day, one figure a day. That series is smooth and
 * defined every day; month-to-date is neither. Out: a date with an early and a late edge, to warn
 * on the early one. */
#ifndef WEIR_POLICY_ALERTS_FORECAST_H
#define WEIR_POLICY_ALERTS_FORECAST_H

#include <stdint.h>

#define FORECAST_WINDOW_DAYS   56u  /* of history that a slope is taken from */
#define FORECAST_HISTORY_LEAST 60u  /* days; with fewer no date is named */
#define FORECAST_DAYS_MAX      800u /* of the series, the newest are read */

enum forecast_outcome {
    FORECAST_TOO_SHORT,   /* history below FORECAST_HISTORY_LEAST since the last day without users;
                             no date, but growth_high says how fast at most, 0 for unknown */
    FORECAST_NOT_GROWING, /* not even the early edge reaches the line within FORECAST_DAYS_MAX */
    FORECAST_DATED,
    FORECAST_CROSSED /* the newest figure is above the line: 0 days, growth_high as above */
};

struct forecast_question {
    const double *daily; /* oldest first, at least 1 */
    uint32_t day_count;
    double threshold;      /* users */
    double relative_error; /* standard error of the newest figure, e.g. 0.0015 */
};

struct forecast {
    enum forecast_outcome outcome;
    double growth, growth_low, growth_high; /* of ln(users), a day */
    /* Days from the newest figure until the line; INFINITY where that edge never gets there. */
    double days, days_early, days_late;
    double days_damped; /* by Holt's damped trend, for comparison: slower where growth tires */
};

void forecast_make(const struct forecast_question *question, struct forecast *ret);

#endif
