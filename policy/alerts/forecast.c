/* SPDX-License-Identifier: Apache-2.0 */
/* forecast.c -- Theil-Sen on logarithms, with edges from its own past mistakes.
 *
 * Growth is multiplicative, so the line is drawn through ln(users): nine points a week apart over
 * 56 days (a week apart, so that weekdays cancel), and the median of their 36 slopes. Daily
 * points of a 30-day window share nearly all their users; a least-squares interval, which takes
 * them for independent, held the truth 9 times of 100 when it claimed 90.
 *
 * So the edges come from the series itself. For every past day with history enough, the same
 * slope is taken and set against what the next days did; the 5th and 95th percentile of these
 * errors are added to today's slope (split conformal prediction with a rolling origin). Never
 * less than 15% of the slope, for a quiet past promises nothing. Where growth speeds up inside the
 * horizon no method can know: the interval covers some 80%, not 90.
 *
 * Backtests: tests/unit/policy/forecast_test.c. */
#include "policy/alerts/forecast.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#define STEP_DAYS     7u
#define POINTS        (FORECAST_WINDOW_DAYS / STEP_DAYS + 1)
#define SLOPES        (POINTS * (POINTS - 1) / 2)
#define ERRORS_LEAST  10u   /* past forecasts below which they say nothing */
#define FLOOR_SHARE   0.15  /* of the slope, on either side */
#define BLIND_SHARE   0.5   /* the same, where there are too few past forecasts */
#define EDGE          0.05  /* the quantiles are this and 1 - this */
#define LEVEL_Z       1.645 /* the same, of a normal error of the level */
#define HORIZON_LEAST 7.0
#define HORIZON_MOST  90.0
#define HOLT_LEVEL    0.4 /* weights of Holt's method, a week */
#define HOLT_TREND    0.2
#define HOLT_DAMPING  0.98

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* Sorted by insertion: few values, and asked for every day of the past. */
static double median(double *values, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        double value = values[i];
        uint32_t at = i;
        for (; at > 0 && values[at - 1] > value; at--)
            values[at] = values[at - 1];
        values[at] = value;
    }
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static double quantile(const double *sorted, uint32_t count, double share)
{
    double at = share * (count - 1);
    uint32_t low = (uint32_t)at;
    double high = low + 1 < count ? sorted[low + 1] : sorted[low];
    return sorted[low] + (at - low) * (high - sorted[low]);
}

/* The slope a day of the window that ends at `end`, and the level there: the last week's, brought
 * forward. A line through the whole window would lie above the end of growth that tires. */
static double theil_sen(const double *logs, uint32_t end, double *ret_level)
{
    double slopes[SLOPES] = {0}, sum = 0;
    uint32_t count = 0;
    const double *first = logs + end - FORECAST_WINDOW_DAYS;
    for (uint32_t i = 0; i < POINTS; i++)
        for (uint32_t j = i + 1; j < POINTS; j++)
            slopes[count++] =
                (first[j * STEP_DAYS] - first[i * STEP_DAYS]) / ((j - i) * (double)STEP_DAYS);
    double slope = median(slopes, SLOPES);
    for (uint32_t i = 0; i < STEP_DAYS; i++)
        sum += logs[end - i] + slope * i;
    *ret_level = sum / STEP_DAYS;
    return slope;
}

/* Of a history too short for a date: the steepest week among those that end in the last one. */
static void bound_growth(const double *logs, uint32_t count, struct forecast *ret)
{
    uint32_t first = count > 2 * STEP_DAYS ? count - STEP_DAYS : STEP_DAYS;
    for (uint32_t end = first; end < count; end++)
        ret->growth_high = fmax(ret->growth_high, (logs[end] - logs[end - STEP_DAYS]) / STEP_DAYS);
}

static double days_to(double distance, double slope)
{
    return distance <= 0 ? 0 : slope > 0 ? distance / slope : INFINITY;
}

/* Of past forecasts, what the `horizon` days after them did differently; sorted. */
static uint32_t past_errors(const double *logs, uint32_t count, uint32_t horizon, double *ret)
{
    uint32_t found = 0;
    double level;
    for (uint32_t end = FORECAST_WINDOW_DAYS; end + horizon < count; end++) {
        double slope = theil_sen(logs, end, &level);
        ret[found++] = (logs[end + horizon] - level) / horizon - slope;
    }
    qsort(ret, found, sizeof *ret, compare);
    return found;
}

/* The errors of forecasts over a horizon like ours, or the longest that the history has. */
static void slope_edges(const double *logs, uint32_t count, double days, struct forecast *ret)
{
    static_assert(FORECAST_DAYS_MAX > FORECAST_WINDOW_DAYS, "there is a past");
    double errors[FORECAST_DAYS_MAX];
    double wanted = days < HORIZON_LEAST  ? HORIZON_LEAST
                    : days > HORIZON_MOST ? HORIZON_MOST
                                          : days;
    uint32_t past = count - FORECAST_WINDOW_DAYS, horizon = (uint32_t)wanted;
    if (horizon + ERRORS_LEAST > past)
        horizon = past > ERRORS_LEAST ? past - ERRORS_LEAST : 1;
    uint32_t found = past_errors(logs, count, horizon, errors);
    double floor = fabs(ret->growth) * (found < ERRORS_LEAST ? BLIND_SHARE : FLOOR_SHARE);
    double low = -floor, high = floor;
    if (found >= ERRORS_LEAST) {
        low = fmin(low, quantile(errors, found, EDGE));
        high = fmax(high, quantile(errors, found, 1 - EDGE));
    }
    ret->growth_low = ret->growth + low;
    ret->growth_high = ret->growth + high;
}

/* Holt's linear trend with damping, a week a step (E. Gardner and E. McKenzie, 1985). */
static double damped_days(const double *logs, uint32_t count, double line)
{
    uint32_t at = (count - 1) % STEP_DAYS;
    double level = logs[at], trend = logs[at + STEP_DAYS] - logs[at];
    for (at += STEP_DAYS; at < count; at += STEP_DAYS) {
        double before = level;
        level = HOLT_LEVEL * logs[at] + (1 - HOLT_LEVEL) * (level + HOLT_DAMPING * trend);
        trend = HOLT_TREND * (level - before) + (1 - HOLT_TREND) * HOLT_DAMPING * trend;
    }
    double step = trend;
    for (uint32_t week = 1; week <= FORECAST_DAYS_MAX / STEP_DAYS; week++) {
        step *= HOLT_DAMPING;
        if (level + step >= line)
            return STEP_DAYS * (week - 1 + (step > 0 ? fmax(line - level, 0) / step : 0));
        level += step;
    }
    return INFINITY;
}

void forecast_make(const struct forecast_question *question, struct forecast *ret)
{
    double logs[FORECAST_DAYS_MAX];
    assert(question->day_count > 0 && question->threshold > 0);
    uint32_t count =
        question->day_count < FORECAST_DAYS_MAX ? question->day_count : FORECAST_DAYS_MAX;
    const double *daily = question->daily + question->day_count - count;
    *ret = (struct forecast){.outcome = FORECAST_TOO_SHORT,
                             .days = INFINITY,
                             .days_early = INFINITY,
                             .days_late = INFINITY,
                             .days_damped = INFINITY};
    uint32_t first = count; /* what lies before a day without users is another story */
    while (first > 0 && daily[first - 1] > 0 && isfinite(daily[first - 1]))
        first--;
    daily += first;
    count -= first;
    for (uint32_t i = 0; i < count; i++)
        logs[i] = log(daily[i]);
    bool crossed = count > 0 && daily[count - 1] > question->threshold;
    if (crossed || count < FORECAST_HISTORY_LEAST) {
        if (crossed)
            *ret = (struct forecast){.outcome = FORECAST_CROSSED};
        bound_growth(logs, count, ret);
        return;
    }
    double level, line = log(question->threshold);
    ret->growth = theil_sen(logs, count - 1, &level);
    double distance = line - level, doubt = LEVEL_Z * question->relative_error;
    ret->days = days_to(distance, ret->growth);
    slope_edges(logs, count, ret->days, ret);
    ret->days_early = days_to(distance - doubt, ret->growth_high);
    ret->days_late = days_to(distance + doubt, ret->growth_low);
    ret->days_damped = damped_days(logs, count, line);
    ret->outcome = ret->days_early <= FORECAST_DAYS_MAX ? FORECAST_DATED : FORECAST_NOT_GROWING;
}
