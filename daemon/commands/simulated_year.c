/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/commands/simulated_year.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define SKETCH_ERROR 0.00149 /* standard, of a full counter */
#define UPPER_Z      3.30    /* of the upper bound, as usage reports it */
#define USERS_LEAST  1.0     /* a decline ends here */
#define USERS_MOST   1e10
#define TURN         6.283185307179586

/* SplitMix64 (S. Vigna, public domain), in (0, 1). */
static double uniform(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    z ^= z >> 31;
    return ((double)(z >> 11) + 0.5) / 9007199254740992.0;
}

/* Box and Muller's transform. */
static double normal(uint64_t *state)
{
    double radius = sqrt(-2 * log(uniform(state)));
    return radius * cos(TURN * uniform(state));
}

static double growth_on(const struct simulated_plan *plan, uint32_t day)
{
    uint32_t phase = 0, end = plan->phases[0].days;
    while (phase + 1 < plan->phase_count && plan->phases[phase].days != 0 && day >= end)
        end += plan->phases[++phase].days;
    return plan->phases[phase].growth;
}

static double bounded(double users)
{
    return fmin(fmax(users, USERS_LEAST), USERS_MOST);
}

/* The day's alerts. seen: every figure so far, the newest last. */
static int judge(const struct simulated_plan *plan, const double *seen, uint32_t seen_count,
                 struct alert_watch *watch, struct simulated_day *ret, struct error *err)
{
    const struct forecast_question question = {.daily = seen,
                                               .day_count = seen_count,
                                               .threshold = plan->scope.threshold,
                                               .relative_error = SKETCH_ERROR};
    forecast_make(&question, &ret->forecast);
    ret->upper = seen[seen_count - 1] * (1 + UPPER_Z * SKETCH_ERROR);
    const struct alert_figures figures = {
        .day = ret->day, .upper = ret->upper, .forecast = &ret->forecast};
    int count = alert_evaluate(watch, &plan->scope, &figures, ret->events, err);
    ret->event_count = count > 0 ? (uint32_t)count : 0;
    return count < 0 ? count : 0;
}

static int live(const struct simulated_plan *plan, double *seen, struct simulated_year *ret,
                struct error *err)
{
    struct alert_watch watch = {0};
    uint64_t state = plan->seed;
    double users = plan->start;
    for (uint32_t i = 0; i < plan->history_days; i++) {
        double before =
            plan->start * pow(1 + plan->phases[0].growth, -(double)(plan->history_days - i));
        seen[i] = bounded(before) * (1 + SKETCH_ERROR * normal(&state));
    }
    for (uint32_t i = 0; i < plan->days; i++) {
        struct simulated_day *day = &ret->days[i];
        uint32_t at = plan->history_days + i;
        day->day = plan->first_day + i;
        day->users = users;
        seen[at] = users * (1 + SKETCH_ERROR * normal(&state));
        int result = judge(plan, seen, at + 1, &watch, day, err);
        if (result != 0)
            return result;
        users = bounded(users * (1 + growth_on(plan, i)));
    }
    ret->day_count = plan->days;
    return 0;
}

struct simulated_year *simulated_year_new(const struct simulated_plan *plan, struct error *err)
{
    assert(plan->days >= 1 && plan->days <= SIMULATED_DAYS_MAX);
    assert(plan->history_days <= SIMULATED_DAYS_MAX);
    assert(plan->phase_count >= 1 && plan->phase_count <= SIMULATED_PHASES_MAX);
    struct simulated_year *year = calloc(1, sizeof *year);
    double *seen = calloc(plan->history_days + plan->days, sizeof *seen);
    int result = year == NULL || seen == NULL ? error_no_memory(err) : live(plan, seen, year, err);
    free(seen);
    if (result == 0)
        return year;
    simulated_year_free(year);
    return NULL;
}

void simulated_year_free(struct simulated_year *year)
{
    free(year);
}
