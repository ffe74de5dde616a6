/* SPDX-License-Identifier: Apache-2.0 */
/* How wrong an estimate is, and how often its bounds are: over states that are drawn
 * (sampled_registers.h), up to 700 million users, and over users that are inserted one by one where
 * these are few. WEIR_INSERT_RUNS is how often the latter; the usual few keep the tests quick. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/policy/sampled_registers.h"

#define BOUND_RUNS   30000u
#define BOUND_MISSES 0.0015 /* of them, of a bound that claims 0.001 */
#define BOUND_LEAST  0.0002 /* a bound that is never missed is wider than it says */
#define ERROR_RUNS   10000u /* the deviation of such a mean is 0.7% of it */
#define ERROR_SLACK  0.03
#define ERROR_THEORY 0.761 /* times 1/sqrt(registers) */
#define BIAS_MOST    0.05  /* of a standard error: five deviations of its mean */

struct trial {
    uint32_t runs, above, below; /* the truth is, of the bounds */
    double squares, sum;         /* of relative errors */
};

static void judge(struct trial *trial, double users, const struct sketch_count *count)
{
    double error = count->value / users - 1;
    trial->runs++;
    trial->sum += error;
    trial->squares += error * error;
    trial->above += sketch_upper(count, SKETCH_Z_REPORT) < users;
    trial->below += sketch_lower(count, SKETCH_Z_REPORT) > users;
}

static double error_ratio(const struct trial *trial, uint32_t p)
{
    return sqrt(trial->squares / trial->runs) * sqrt(ldexp(1, (int)p)) / ERROR_THEORY;
}

static struct trial draw(double users, uint32_t p, uint32_t runs, uint64_t seed)
{
    struct trial trial = {0};
    for (uint32_t i = 0; i < runs; i++) {
        struct sketch_count count;
        sampled_count(users, p, &seed, &count);
        judge(&trial, users, &count);
    }
    return trial;
}

/* -- The shortcut -- */

#define MODEL_P     10u
#define MODEL_RUNS  400u
#define COUNT_LEAST 20u /* of a byte, to be compared on its own; the rest is one class */

/* Two samples of as many registers: what differs, in standard deviations of chi-square. */
static double difference(const uint64_t one[REGISTER_VALUES], const uint64_t other[REGISTER_VALUES])
{
    double chi_square = 0, rare_one = 0, rare_other = 0;
    int classes = 0;
    for (uint32_t value = 0; value < REGISTER_VALUES; value++) {
        double sum = (double)(one[value] + other[value]);
        double apart = (double)one[value] - (double)other[value];
        if (sum < COUNT_LEAST) {
            rare_one += (double)one[value];
            rare_other += (double)other[value];
            continue;
        }
        chi_square += apart * apart / sum;
        classes++;
    }
    if (rare_one + rare_other > 0) {
        double apart = rare_one - rare_other;
        chi_square += apart * apart / (rare_one + rare_other);
        classes++;
    }
    assert_true(classes > 2);
    return (chi_square - (classes - 1)) / sqrt(2.0 * (classes - 1));
}

static void drawn_counts_are_those_of_drawn_registers(void **state)
{
    (void)state;
    static const double users[] = {300, 5e3, 1e5, 3e6};
    uint64_t random = 11;
    for (size_t n = 0; n < sizeof users / sizeof users[0]; n++) {
        uint64_t drawn[REGISTER_VALUES] = {0}, defined[REGISTER_VALUES] = {0};
        struct trial of_counts = draw(users[n], MODEL_P, ERROR_RUNS, n + 1), of_registers = {0};
        for (uint32_t run = 0; run < MODEL_RUNS; run++) {
            uint8_t registers[1u << MODEL_P];
            uint32_t counts[REGISTER_VALUES];
            struct registers_estimate estimate;
            sampled_counts(users[n], MODEL_P, &random, counts);
            sampled_registers(users[n], MODEL_P, &random, registers);
            registers_estimate(registers, MODEL_P, &estimate);
            judge(&of_registers, users[n],
                  &(struct sketch_count){estimate.value, estimate.standard_error});
            assert_true(registers_possible(registers, MODEL_P));
            for (uint32_t i = 0; i < 1u << MODEL_P; i++)
                defined[registers[i]]++;
            for (uint32_t value = 0; value < REGISTER_VALUES; value++)
                drawn[value] += counts[value];
        }
        double apart = difference(drawn, defined);
        double spread =
            sqrt(of_counts.squares / of_counts.runs * of_registers.runs / of_registers.squares);
        print_message("%.0f users: counts differ by %.1f deviations, errors are %.2f times\n",
                      users[n], apart, spread);
        assert_true(apart < 4);
        assert_true(fabs(spread - 1) < 0.15); /* four deviations, of so few runs */
    }
}

/* -- Users one by one -- */

/* A state that is emptied by undoing what was done: a run costs its users, not its registers. */
struct inserted {
    uint32_t p, touched_count;
    uint8_t *registers;
    uint32_t *touched, counts[REGISTER_VALUES];
};

static void inserted_init(struct inserted *inserted, uint32_t p)
{
    *inserted = (struct inserted){.p = p, .counts = {1u << p}};
    inserted->registers = calloc(1u << p, 1);
    inserted->touched = calloc(1u << p, sizeof *inserted->touched);
    assert_true(inserted->registers != NULL && inserted->touched != NULL);
}

static void inserted_destroy(struct inserted *inserted)
{
    free(inserted->registers);
    free(inserted->touched);
}

static void insert(struct inserted *inserted, uint64_t users, uint64_t *random,
                   struct sketch_count *ret)
{
    struct registers_estimate estimate;
    for (uint64_t i = 0; i < users; i++) {
        uint64_t hash = sampled_word(random);
        uint32_t index = (uint32_t)(hash >> (64 - inserted->p));
        uint8_t old = inserted->registers[index];
        if (!registers_add(inserted->registers, inserted->p, hash, NULL, NULL))
            continue;
        if (old == 0)
            inserted->touched[inserted->touched_count++] = index;
        inserted->counts[old]--;
        inserted->counts[inserted->registers[index]]++;
    }
    registers_estimate_counted(inserted->counts, inserted->p, &estimate);
    *ret = (struct sketch_count){estimate.value, estimate.standard_error};
    for (; inserted->touched_count > 0; inserted->touched_count--)
        inserted->registers[inserted->touched[inserted->touched_count - 1]] = 0;
    memset(inserted->counts, 0, sizeof inserted->counts);
    inserted->counts[0] = 1u << inserted->p;
}

static struct trial insert_often(uint64_t users, uint32_t p, uint32_t runs, uint64_t seed)
{
    struct trial trial = {0};
    struct inserted inserted;
    inserted_init(&inserted, p);
    for (uint32_t i = 0; i < runs; i++) {
        struct sketch_count count;
        insert(&inserted, users, &seed, &count);
        judge(&trial, (double)users, &count);
    }
    inserted_destroy(&inserted);
    return trial;
}

static uint32_t insert_runs(uint32_t usual)
{
    const char *text = getenv("WEIR_INSERT_RUNS");
    return text == NULL ? usual : (uint32_t)strtoul(text, NULL, 10);
}

/* Many a register, where a Poisson number of users is hardly more than a fixed one. */
static void drawn_states_err_as_inserted_ones_do(void **state)
{
    (void)state;
    struct trial real = insert_often(60000, MODEL_P, 3000, 5);
    struct trial drawn = draw(60000, MODEL_P, ERROR_RUNS, 6);
    print_message("60000 users, p %u: error inserted %.3f, drawn %.3f of theory\n", MODEL_P,
                  error_ratio(&real, MODEL_P), error_ratio(&drawn, MODEL_P));
    assert_true(fabs(error_ratio(&real, MODEL_P) / error_ratio(&drawn, MODEL_P) - 1) < 0.06);
}

static void few_users_are_estimated_better_than_bounded(void **state)
{
    (void)state;
    static const struct {
        uint64_t users;
        uint32_t runs;
    } trials[] = {{SKETCH_EXACT_MAX + 1, 3000}, {100000, 1000}, {1000000, 50}};
    for (size_t i = 0; i < sizeof trials / sizeof trials[0]; i++) {
        struct trial trial =
            insert_often(trials[i].users, SKETCH_P, insert_runs(trials[i].runs), i + 1);
        print_message("%llu users inserted %u times: error %.3f of theory, missed %u above, "
                      "%u below\n",
                      (unsigned long long)trials[i].users, trial.runs,
                      error_ratio(&trial, SKETCH_P), trial.above, trial.below);
        assert_true(error_ratio(&trial, SKETCH_P) < 1);
        assert_true(trial.above <= BOUND_MISSES * trial.runs);
        assert_true(trial.below <= BOUND_MISSES * trial.runs);
    }
}

/* -- What is promised -- */

static void errors_are_those_of_theory(void **state)
{
    (void)state;
    static const double users[] = {1e8, 7e8};
    for (uint32_t p = 12; p <= 18; p++)
        for (size_t n = 0; n < 2; n++) {
            struct trial trial = draw(users[n], p, ERROR_RUNS, 100 * p + n);
            double ratio = error_ratio(&trial, p), bias = trial.sum / trial.runs;
            double error = ERROR_THEORY / sqrt(ldexp(1, (int)p));
            print_message("p %u, %.0e users: error %.4f%%, %.3f of theory; bias %+.4f%%\n", p,
                          users[n], 100 * ratio * error, ratio, 100 * bias);
            assert_true(fabs(ratio - 1) <= ERROR_SLACK);
            assert_true(fabs(bias) <= BIAS_MOST * error);
        }
}

static void bounds_are_missed_as_seldom_as_claimed(void **state)
{
    (void)state;
    static const double users[] = {SKETCH_EXACT_MAX + 1, 1e5, 1e6, 1e7, 1e8, 7e8};
    for (size_t n = 0; n < sizeof users / sizeof users[0]; n++) {
        struct trial trial = draw(users[n], SKETCH_P, BOUND_RUNS, 31 * n + 7);
        print_message("%.0f users: error %.4f%%; of %u, %u above the upper bound, %u below the "
                      "lower\n",
                      users[n], 100 * sqrt(trial.squares / trial.runs), trial.runs, trial.above,
                      trial.below);
        assert_true(trial.above <= BOUND_MISSES * BOUND_RUNS);
        assert_true(trial.below <= BOUND_MISSES * BOUND_RUNS);
        assert_true(trial.above + trial.below >= BOUND_LEAST * BOUND_RUNS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drawn_counts_are_those_of_drawn_registers),
        cmocka_unit_test(drawn_states_err_as_inserted_ones_do),
        cmocka_unit_test(few_users_are_estimated_better_than_bounded),
        cmocka_unit_test(errors_are_those_of_theory),
        cmocka_unit_test(bounds_are_missed_as_seldom_as_claimed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
