/* SPDX-License-Identifier: Apache-2.0 */
/* Routing to experts against its formula in double, every level bit for bit, and the grouping that
 * a product by expert needs. Tolerance: e^x within 1.5 units and at most 64 roundings of a sum. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/moe.h"
#include "tests/unit/kernels/op_levels.h"
#include "tests/unit/kernels/random_values.h"

#define ROWS        7u
#define EXPERTS_MAX 600u

struct routed {
    uint32_t chosen[ROWS * MOE_CHOSEN_MAX];
    float weights[ROWS * MOE_CHOSEN_MAX];
};

static void assert_near(double got, double wanted)
{
    if (!(fabs(got - wanted) <= 1e-5 * (1e-3 + fabs(wanted))))
        fail_msg("got %.9g, wanted %.9g", got, wanted);
}

static struct moe_route_args args_for(const float *scores, uint32_t experts, uint32_t top_k,
                                      struct routed *routed)
{
    return (struct moe_route_args){.scores = scores,
                                   .rows = ROWS,
                                   .experts = experts,
                                   .top_k = top_k,
                                   .scale = 1.0f,
                                   .chosen = routed->chosen,
                                   .weights = routed->weights};
}

/* The formula, over one row whose experts were chosen. */
static void check_row(const struct moe_route_args *args, uint32_t row)
{
    const float *scores = args->scores + row * args->experts;
    const uint32_t *chosen = args->chosen + row * args->top_k;
    double all = 0, kept = 0;
    for (uint32_t e = 0; e < args->experts; e++)
        all += exp((double)scores[e]);
    for (uint32_t rank = 0; rank < args->top_k; rank++)
        kept += exp((double)scores[chosen[rank]]);
    for (uint32_t rank = 0; rank < args->top_k; rank++) {
        uint32_t before = 0; /* who should come before it */
        for (uint32_t e = 0; e < args->experts; e++)
            before += scores[e] > scores[chosen[rank]] ||
                      (scores[e] == scores[chosen[rank]] && e < chosen[rank]);
        assert_int_equal(before, rank);
        assert_near(args->weights[row * args->top_k + rank], exp((double)scores[chosen[rank]]) /
                                                                 (args->renormalise ? kept : all) *
                                                                 args->scale);
    }
}

static void check_routes(uint32_t experts, uint32_t top_k, bool renormalise)
{
    float *scores = random_floats((size_t)ROWS * experts, 5.0f, experts);
    for (uint32_t e = 0; e < experts; e++)
        scores[e] = roundf(scores[e]); /* ties in the first row */
    const struct cpu_ops *ops[OP_LEVELS_MAX];
    uint32_t level_count = op_levels(ops);
    struct routed first;
    for (uint32_t level = 0; level < level_count; level++) {
        struct routed routed;
        struct moe_route_args args = args_for(scores, experts, top_k, &routed);
        args.renormalise = renormalise;
        args.scale = 2.5f;
        ops[level]->moe_route(&args, 0, 3);
        ops[level]->moe_route(&args, 3, ROWS);
        if (level == 0) {
            first = routed;
            for (uint32_t row = 0; row < ROWS; row++)
                check_row(&args, row);
        }
        assert_memory_equal(routed.chosen, first.chosen, ROWS * top_k * sizeof(uint32_t));
        assert_memory_equal(routed.weights, first.weights, ROWS * top_k * sizeof(float));
    }
    free(scores);
}

static void the_highest_experts_are_chosen_with_their_share_at_every_level(void **state)
{
    (void)state;
    static const uint32_t shapes[][2] = {{1, 1}, {8, 2}, {16, 4}, {60, 4}, {128, 8}, {600, 32}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check_routes(shapes[i][0], shapes[i][1], false);
        check_routes(shapes[i][0], shapes[i][1], true);
    }
}

static void a_score_that_is_not_a_number_is_chosen_last(void **state)
{
    (void)state;
    const float scores[4] = {NAN, -INFINITY, 1.0f, 2.0f};
    struct routed routed;
    struct moe_route_args args = args_for(scores, 4, 4, &routed);
    args.rows = 1;
    cpu_ops_scalar.moe_route(&args, 0, 1);
    const uint32_t wanted[] = {3, 2, 1, 0};
    assert_memory_equal(routed.chosen, wanted, sizeof wanted);
}

static void entries_lie_expert_by_expert_in_ascending_order(void **state)
{
    (void)state;
    uint32_t chosen[] = {2, 0, 2, 4, 0, 2}; /* 3 rows of 2; nobody goes to 1 and 3 */
    uint32_t begins[6], order[6], places[6];
    struct moe_route_args args = {.rows = 3,
                                  .experts = 5,
                                  .top_k = 2,
                                  .chosen = chosen,
                                  .expert_begins = begins,
                                  .order = order,
                                  .places = places};
    cpu_moe_group(&args);
    const uint32_t wanted_begins[] = {0, 2, 2, 5, 5, 6}, wanted_order[] = {1, 4, 0, 2, 5, 3};
    assert_memory_equal(begins, wanted_begins, sizeof begins);
    assert_memory_equal(order, wanted_order, sizeof order);
    for (uint32_t place = 0; place < 6; place++)
        assert_int_equal(places[order[place]], place);
}

static void check_combined(uint32_t width, const float *shared_scores, bool has_shared)
{
    enum { TOP_K = 3, WIDTH_MAX = 70 };
    uint32_t places[ROWS * TOP_K];
    for (uint32_t i = 0; i < ROWS * TOP_K; i++)
        places[i] = (i * 5 + 2) % (ROWS * TOP_K);
    float *x = random_floats((size_t)ROWS * TOP_K * width, 3.0f, width);
    float *weights = random_floats((size_t)ROWS * TOP_K, 1.0f, 5);
    float *shared = random_floats((size_t)ROWS * width, 2.0f, 6);
    static float out[OP_LEVELS_MAX][ROWS * WIDTH_MAX];
    const struct cpu_ops *ops[OP_LEVELS_MAX];
    const uint32_t level_count = op_levels(ops);
    for (uint32_t level = 0; level < level_count; level++) {
        const struct moe_combine_args args = {.x = x,
                                              .places = places,
                                              .weights = weights,
                                              .rows = ROWS,
                                              .top_k = TOP_K,
                                              .width = width,
                                              .shared = has_shared ? shared : NULL,
                                              .shared_scores = shared_scores,
                                              .out = out[level]};
        ops[level]->moe_combine(&args, 0, 2);
        ops[level]->moe_combine(&args, 2, ROWS);
        assert_memory_equal(out[level], out[0], (size_t)ROWS * width * sizeof(float));
    }
    for (uint32_t i = 0; i < ROWS * width; i++) {
        const uint32_t row = i / width;
        const double score = shared_scores == NULL ? INFINITY : (double)shared_scores[row];
        double wanted = has_shared ? shared[i] / (1 + exp(-score)) : 0;
        for (uint32_t entry = row * TOP_K; entry < (row + 1) * TOP_K; entry++)
            wanted += (double)weights[entry] * x[places[entry] * width + i % width];
        assert_true(fabs(out[0][i] - wanted) <= 1e-5);
    }
    free(x), free(weights), free(shared);
}

static void what_experts_say_is_summed_by_their_weights_at_every_level(void **state)
{
    (void)state;
    const float scores[ROWS] = {0.5f, -1.0f, 3.0f, 0.0f, -20.0f, 20.0f, -200.0f};
    check_combined(64, NULL, false);
    check_combined(70, NULL, true);
    check_combined(33, scores, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_highest_experts_are_chosen_with_their_share_at_every_level),
        cmocka_unit_test(a_score_that_is_not_a_number_is_chosen_last),
        cmocka_unit_test(entries_lie_expert_by_expert_in_ascending_order),
        cmocka_unit_test(what_experts_say_is_summed_by_their_weights_at_every_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
