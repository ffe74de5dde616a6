/* SPDX-License-Identifier: Apache-2.0 */
/* The forecast against growth whose crossing is known.
 *
 * A series is ln(users) = path + permanent shocks (0.12% a day) + a transient that fades over
 * weeks (AR(1)) + a weekly cycle, seen with a sketch's error of 0.15%. The path grows by 0.15 to
 * 0.6% a day and is bent so that it would cross the line, undisturbed, on a day of its own. Errors
 * and coverage at 90, 30 and 7 days before the truth crosses are held to the figures that the
 * method was chosen by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "policy/alerts/forecast.h"

#define DAYS          720u
#define SERIES        120u
#define CROSSING_MIN  150u /* the least history before a crossing that is counted */
#define LINE          100e6
#define LEADS         3u
#define SKETCH_ERROR  0.0015
#define SHOCK         0.0012
#define TRANSIENT     0.0015
#define TRANSIENT_AR  0.95
#define WEEKLY        0.003
#define LOGISTIC_PART 0.7 /* the line's place below the ceiling that growth tires towards */
#define PLATEAUS      150u
#define TURN          6.283185307179586

enum bend { EXPONENTIAL, LOGISTIC, DOUBLES, HALVES };

static const uint32_t lead_days[LEADS] = {90, 30, 7};

/* SplitMix64 (S. Vigna, public domain). */
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

/* ln(users / LINE) without noise. */
static void draw_path(enum bend bend, double growth, double crossing, double *ret)
{
    double at = 0;
    for (uint32_t day = 0; day < DAYS; day++) {
        ret[day] = at;
        bool turned = day >= DAYS / 2;
        at += growth * (bend == DOUBLES && turned ? 2 : bend == HALVES && turned ? 0.5 : 1);
    }
    double offset = ret[(uint32_t)crossing];
    double rate = 2 * growth;
    double middle = crossing - log(LOGISTIC_PART / (1 - LOGISTIC_PART)) / rate;
    for (uint32_t day = 0; day < DAYS; day++)
        ret[day] = bend == LOGISTIC ? -log(LOGISTIC_PART * (1 + exp(-rate * (day - middle))))
                                    : ret[day] - offset;
}

/* Adds the noise; returns the day on which the truth crosses, DAYS if it does not. */
static uint32_t draw_users(const double *path, uint64_t *state, double *ret_seen)
{
    double lasting = 0, passing = 0, phase = 7 * uniform(state);
    uint32_t crossing = DAYS;
    for (uint32_t day = 0; day < DAYS; day++) {
        lasting += SHOCK * normal(state);
        passing = TRANSIENT_AR * passing + TRANSIENT * normal(state);
        double users =
            LINE * exp(path[day] + lasting + passing + WEEKLY * sin(TURN * (day + phase) / 7));
        ret_seen[day] = users * (1 + SKETCH_ERROR * normal(state));
        if (users > LINE && crossing == DAYS)
            crossing = day;
    }
    return crossing;
}

static struct forecast ask(const double *seen, uint32_t count)
{
    struct forecast forecast;
    struct forecast_question question = {
        .daily = seen, .day_count = count, .threshold = LINE, .relative_error = SKETCH_ERROR};
    forecast_make(&question, &forecast);
    return forecast;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

struct score {
    uint32_t count;
    uint32_t covered[LEADS];      /* of `count` */
    double errors[LEADS][SERIES]; /* |days told - days left| */
    double
        warned[SERIES]; /* days left, below 0 for never, when the early edge first came within 90 */
};

static void score_one(const double *seen, uint32_t crossing, struct score *score)
{
    uint32_t one = score->count++;
    for (uint32_t i = 0; i < LEADS; i++) {
        struct forecast forecast = ask(seen, crossing - lead_days[i] + 1);
        score->errors[i][one] = fabs(forecast.days - lead_days[i]);
        score->covered[i] +=
            forecast.days_early <= lead_days[i] && forecast.days_late >= lead_days[i];
    }
    uint32_t day = FORECAST_HISTORY_LEAST;
    while (day < crossing && !(ask(seen, day + 1).days_early <= lead_days[0]))
        day++;
    score->warned[one] = (double)crossing - day;
}

static void score_bend(enum bend bend, struct score *score)
{
    double path[DAYS], seen[DAYS];
    memset(score, 0, sizeof *score);
    for (uint32_t i = 0; i < SERIES; i++) {
        uint64_t state = 1000003u * (uint64_t)bend + 7919u * i + 1;
        double growth = 0.0015 * pow(4, uniform(&state));
        double crossing = 200 + uniform(&state) * (DAYS - 200);
        draw_path(bend, growth, crossing, path);
        uint32_t day = draw_users(path, &state, seen);
        if (day >= CROSSING_MIN && day < DAYS)
            score_one(seen, day, score);
    }
    for (uint32_t i = 0; i < LEADS; i++)
        qsort(score->errors[i], score->count, sizeof(double), compare);
    qsort(score->warned, score->count, sizeof(double), compare);
}

/* The figures that the method was chosen by. */
struct expected {
    double errors[LEADS];        /* medians, days */
    double coverage[LEADS];      /* percent */
    double warned, warned_least; /* days, median and 5th percentile */
};

#define ERROR_DAYS    1.0 /* more than the figure, at most */
#define COVERAGE_LESS 4.0 /* percent below the figure, at most: two series in fifty */
#define WARNED_LESS   8.0 /* days below the figure, at most */

static void assert_bend(enum bend bend, const char *name, const struct expected *expected)
{
    struct score score;
    score_bend(bend, &score);
    assert_in_range(score.count, 93, SERIES);
    double warned = score.warned[score.count / 2], least = score.warned[score.count / 20];
    print_message("%-11s %u series; warned %.0f days before, %.0f at the 5th percentile\n", name,
                  score.count, warned, least);
    for (uint32_t i = 0; i < LEADS; i++) {
        double error = score.errors[i][score.count / 2];
        double coverage = 100.0 * score.covered[i] / score.count;
        print_message("    %2u days before: off by %.1f (%.0f), covered %.0f%% (%.0f%%)\n",
                      lead_days[i], error, expected->errors[i], coverage, expected->coverage[i]);
        assert_true(error <= expected->errors[i] + ERROR_DAYS);
        assert_true(coverage >= expected->coverage[i] - COVERAGE_LESS);
    }
    assert_true(warned >= expected->warned - WARNED_LESS);
    assert_true(least >= expected->warned_least - WARNED_LESS);
}

static void steady_growth_is_dated(void **state)
{
    (void)state;
    assert_bend(EXPONENTIAL, "exponential", &(struct expected){{9, 4, 1}, {85, 81, 84}, 112, 90});
}

static void growth_that_tires_is_dated(void **state)
{
    (void)state;
    assert_bend(LOGISTIC, "logistic", &(struct expected){{23, 6, 2}, {68, 83, 88}, 161, 102});
}

static void growth_that_doubles_is_dated(void **state)
{
    (void)state;
    assert_bend(DOUBLES, "doubles", &(struct expected){{11, 4, 1}, {57, 64, 70}, 97, 57});
}

static void growth_that_halves_is_dated(void **state)
{
    (void)state;
    assert_bend(HALVES, "halves", &(struct expected){{17, 7, 2}, {68, 79, 83}, 144, 98});
}

/* Settled at 80 to 95% of the line: over 100 days, at most 5 of 150 warn. */
static void a_plateau_seldom_alarms(void **state)
{
    (void)state;
    double seen[400];
    uint32_t alarms = 0;
    for (uint32_t i = 0; i < PLATEAUS; i++) {
        uint64_t seed = 77777 + 31u * i;
        double top = log(LINE * (0.8 + 0.15 * uniform(&seed))), passing = 0;
        for (uint32_t day = 0; day < 400; day++) {
            passing = TRANSIENT_AR * passing + TRANSIENT * normal(&seed);
            seen[day] = exp(top - exp(-(double)day / 60) + passing + WEEKLY * sin(TURN * day / 7)) *
                        (1 + SKETCH_ERROR * normal(&seed));
        }
        bool alarmed = false;
        for (uint32_t day = 300; day < 400; day++)
            alarmed |= ask(seen, day + 1).days_early <= lead_days[0];
        alarms += alarmed;
    }
    print_message("plateau: %u of %u alarmed (5)\n", alarms, PLATEAUS);
    assert_in_range(alarms, 0, 5);
}

/* -- Edges -- */

static void fill(double *ret, uint32_t count, double last, double growth)
{
    for (uint32_t i = 0; i < count; i++)
        ret[i] = last * exp(-growth * (count - 1 - i));
}

static void a_short_history_names_no_date(void **state)
{
    (void)state;
    double seen[FORECAST_HISTORY_LEAST];
    fill(seen, FORECAST_HISTORY_LEAST, 90e6, 0.01);
    assert_int_equal(ask(seen + 1, FORECAST_HISTORY_LEAST - 1).outcome, FORECAST_TOO_SHORT);
    assert_true(isinf(ask(seen + 1, FORECAST_HISTORY_LEAST - 1).days_early));
    assert_int_equal(ask(seen, FORECAST_HISTORY_LEAST).outcome, FORECAST_DATED);
    assert_true(fabs(ask(seen, FORECAST_HISTORY_LEAST).days - log(1 / 0.9) / 0.01) < 0.01);
}

static void a_short_history_bounds_the_growth(void **state)
{
    (void)state;
    double seen[30];
    fill(seen, 30, 50e6, 0.02);
    for (uint32_t count = 1; count <= 30; count++) {
        struct forecast forecast = ask(seen, count);
        assert_int_equal(forecast.outcome, FORECAST_TOO_SHORT);
        assert_true(fabs(forecast.growth_high - (count > 7 ? 0.02 : 0)) < 1e-9);
    }
}

static void a_day_without_a_figure_begins_a_new_history(void **state)
{
    (void)state;
    const double gaps[] = {0, -1, NAN, INFINITY};
    double seen[200];
    for (uint32_t i = 0; i < sizeof gaps / sizeof *gaps; i++) {
        fill(seen, 200, 50e6, 0.003);
        seen[150] = gaps[i];
        assert_int_equal(ask(seen, 200).outcome, FORECAST_TOO_SHORT);
        assert_int_equal(ask(seen, 150).outcome, FORECAST_DATED);
        assert_int_equal(ask(seen, 151).outcome, FORECAST_TOO_SHORT);
    }
}

static void above_the_line_is_crossed_whatever_the_history(void **state)
{
    (void)state;
    double seen[100];
    fill(seen, 100, LINE * 1.001, 0.001);
    assert_int_equal(ask(seen + 99, 1).outcome, FORECAST_CROSSED);
    struct forecast forecast = ask(seen, 100);
    assert_int_equal(forecast.outcome, FORECAST_CROSSED);
    assert_true(forecast.days_early == 0 && forecast.days_late == 0);
    seen[99] = LINE; /* at the line is not above it */
    assert_int_equal(ask(seen, 100).outcome, FORECAST_DATED);
}

static void a_fall_is_not_growth(void **state)
{
    (void)state;
    double seen[300];
    fill(seen, 300, 50e6, -0.003);
    struct forecast forecast = ask(seen, 300);
    assert_int_equal(forecast.outcome, FORECAST_NOT_GROWING);
    assert_true(isinf(forecast.days) && isinf(forecast.days_late));
}

static void only_the_newest_days_are_read(void **state)
{
    (void)state;
    static double seen[3 * FORECAST_DAYS_MAX];
    fill(seen, 3 * FORECAST_DAYS_MAX, 80e6, 0.0005);
    struct forecast all = ask(seen, 3 * FORECAST_DAYS_MAX);
    struct forecast newest = ask(seen + 2 * FORECAST_DAYS_MAX, FORECAST_DAYS_MAX);
    assert_memory_equal(&all, &newest, sizeof all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steady_growth_is_dated),
        cmocka_unit_test(growth_that_tires_is_dated),
        cmocka_unit_test(growth_that_doubles_is_dated),
        cmocka_unit_test(growth_that_halves_is_dated),
        cmocka_unit_test(a_plateau_seldom_alarms),
        cmocka_unit_test(a_short_history_names_no_date),
        cmocka_unit_test(a_short_history_bounds_the_growth),
        cmocka_unit_test(a_day_without_a_figure_begins_a_new_history),
        cmocka_unit_test(above_the_line_is_crossed_whatever_the_history),
        cmocka_unit_test(a_fall_is_not_growth),
        cmocka_unit_test(only_the_newest_days_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
