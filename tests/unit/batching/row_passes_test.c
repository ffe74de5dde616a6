/* SPDX-License-Identifier: Apache-2.0 */
#include "batching/row_passes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCKS 70u
#define COUNT  (BLOCKS * ROW_BLOCK)

struct row {
    float logits[COUNT];
    float highest[BLOCKS], weights[COUNT];
    double sums[BLOCKS];
};

static float random_logit(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(int32_t)*state * (40.0f / 2147483648.0f);
}

/* What no logit should be, and logits that are as far apart as floats are. */
static void fill(struct row *row, uint32_t seed)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 3e38f, -3e38f, 1e-40f};
    for (uint32_t i = 0; i < COUNT; i++)
        row->logits[i] = random_logit(&seed);
    for (uint32_t i = 0; i < COUNT / 2; i += 1 + (uint32_t)(random_logit(&seed) + 40))
        row->logits[i] = odd[i % (sizeof odd / sizeof odd[0])];
    for (uint32_t i = 0; i < ROW_BLOCK; i++)
        row->logits[3 * ROW_BLOCK + i] = i % 2 == 0 ? NAN : -INFINITY;
}

static void pass(const struct row_passes *passes, const struct draw_softmax *softmax,
                 struct row *row)
{
    passes->highest(row->logits, BLOCKS, row->highest);
    passes->weights(row->logits, BLOCKS, softmax, row->weights, row->sums);
}

static void every_level_gives_the_same_bits(void **state)
{
    (void)state;
    const struct row_passes *const levels[] = {
        &row_passes_plain, __builtin_cpu_supports("avx2") ? &row_passes_avx2 : &row_passes_plain,
        row_passes_best()};
    static struct row want, got;
    for (uint32_t seed = 0; seed < 50; seed++) {
        const struct draw_softmax softmax = {.highest = 40.0f,
                                             .scale = 0.5f + (float)(seed % 7),
                                             .least = seed % 3 == 0 ? 1e-9f : 0};
        fill(&want, seed);
        fill(&got, seed);
        pass(levels[0], &softmax, &want);
        for (uint32_t level = 1; level < sizeof levels / sizeof levels[0]; level++) {
            pass(levels[level], &softmax, &got);
            assert_memory_equal(got.highest, want.highest, sizeof want.highest);
            assert_memory_equal(got.weights, want.weights, sizeof want.weights);
            assert_memory_equal(got.sums, want.sums, sizeof want.sums);
        }
    }
}

static void the_highest_is_the_highest_finite_one(void **state)
{
    (void)state;
    static struct row row;
    fill(&row, 7);
    row_passes_best()->highest(row.logits, BLOCKS, row.highest);
    for (uint32_t b = 0; b < BLOCKS; b++) {
        float want = -INFINITY;
        for (uint32_t i = b * ROW_BLOCK; i < (b + 1) * ROW_BLOCK; i++)
            if (isfinite(row.logits[i]) && row.logits[i] > want)
                want = row.logits[i];
        assert_true(row.highest[b] == want);
    }
    assert_true(row.highest[3] == -INFINITY);
}

/* Two units in the last place: what the polynomial promises. */
static void weights_are_exponentials(void **state)
{
    (void)state;
    static struct row row;
    fill(&row, 11);
    const struct draw_softmax softmax = {.highest = 40.0f, .scale = 1.0f};
    pass(row_passes_best(), &softmax, &row);
    for (uint32_t b = 0; b < BLOCKS; b++) {
        double sum = 0;
        for (uint32_t i = b * ROW_BLOCK; i < (b + 1) * ROW_BLOCK; i++) {
            double x = (double)(row.logits[i] - 40.0f), want = exp(x);
            sum += (double)row.weights[i];
            if (!isfinite(row.logits[i]) || x <= -87 || x > 0)
                assert_true(row.weights[i] == 0.0f);
            else
                assert_true(fabs((double)row.weights[i] - want) <= 2.5e-7 * want);
        }
        assert_true(fabs(row.sums[b] - sum) <= 1e-6 * sum);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_level_gives_the_same_bits),
        cmocka_unit_test(the_highest_is_the_highest_finite_one),
        cmocka_unit_test(weights_are_exponentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
