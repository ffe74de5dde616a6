/* SPDX-License-Identifier: Apache-2.0 */
/* Plans of attention: every key of every row in exactly one piece, within the capacity. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/attention_plan.h"

#define SPANS_MAX    40u
#define ROWS_MAX     600u
#define CONTEXT_MAX  20000u
#define STRETCHES    (CONTEXT_MAX / CUDA_SPLIT_TOKENS + 1)
#define PARTIALS_CAP CUDA_PARTIALS_MAX

/* The next of a sequence (Steele, Lea and Flood 2014, SplitMix64). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

struct fixture {
    struct attention_span spans[SPANS_MAX];
    uint32_t span_count, row_count;
    struct attention_plan plan;
};

static void fixture_init(struct fixture *fixture)
{
    memset(fixture, 0, sizeof *fixture);
    fixture->plan.piece_max = attention_pieces_max(ROWS_MAX, CONTEXT_MAX);
    fixture->plan.row_max = ROWS_MAX;
    fixture->plan.partial_max = attention_partials_max(ROWS_MAX, CONTEXT_MAX);
    fixture->plan.decodes = calloc(fixture->plan.piece_max, sizeof(struct attention_piece));
    fixture->plan.prefills = calloc(fixture->plan.piece_max, sizeof(struct attention_piece));
    fixture->plan.joins = calloc(ROWS_MAX, sizeof(struct attention_join));
}

static void fixture_destroy(struct fixture *fixture)
{
    free(fixture->plan.decodes), free(fixture->plan.prefills), free(fixture->plan.joins);
}

static void add_span(struct fixture *fixture, uint32_t position, uint32_t rows)
{
    assert_true(fixture->span_count < SPANS_MAX && fixture->row_count + rows <= ROWS_MAX);
    fixture->spans[fixture->span_count++] =
        (struct attention_span){fixture->row_count, rows, position, 0};
    fixture->row_count += rows;
}

/* What is known of a row's stretches: how often walked, and by which row of partial sums. */
struct coverage {
    uint8_t walked[ROWS_MAX][STRETCHES];
    uint32_t partial[ROWS_MAX][STRETCHES];
    uint8_t joined[ROWS_MAX];
};

static uint32_t row_of(const struct fixture *fixture, const struct attention_piece *piece,
                       uint32_t i)
{
    return fixture->spans[piece->span].first_row + piece->first + i;
}

static void cover(struct coverage *coverage, const struct fixture *fixture,
                  const struct attention_piece *piece)
{
    assert_true(piece->span < fixture->span_count && piece->count > 0);
    assert_true(piece->first + piece->count <= fixture->spans[piece->span].row_count);
    for (uint32_t i = 0; i < piece->count; i++) {
        const uint32_t row = row_of(fixture, piece, i);
        if (piece->partial == PIECE_WHOLE) {
            for (uint32_t stretch = 0; stretch < STRETCHES; stretch++)
                coverage->walked[row][stretch]++;
            continue;
        }
        assert_true(piece->split < STRETCHES && piece->partial < fixture->plan.counts.partials);
        coverage->walked[row][piece->split]++;
        coverage->partial[row][piece->split] = piece->partial;
    }
}

/* A row's partial sums are joined in ascending order of its keys, each written once. */
static void check_joins(struct coverage *coverage, const struct fixture *fixture, uint32_t window)
{
    const struct attention_plan *plan = &fixture->plan;
    uint32_t next = 0;
    for (uint32_t i = 0; i < plan->counts.joins; i++) {
        const struct attention_join *join = &plan->joins[i];
        uint32_t span = 0;
        while (join->row - fixture->spans[span].first_row >= fixture->spans[span].row_count)
            span++;
        const uint32_t end =
            fixture->spans[span].position + join->row - fixture->spans[span].first_row + 1;
        const uint32_t first = window == 0 || end < window ? 0 : end - window;
        assert_int_equal(join->partial, next);
        assert_int_equal(join->count,
                         (end - 1) / CUDA_SPLIT_TOKENS - first / CUDA_SPLIT_TOKENS + 1);
        for (uint32_t k = 0; k < join->count; k++) {
            assert_int_equal(coverage->partial[join->row][first / CUDA_SPLIT_TOKENS + k], next);
            next++;
        }
        assert_false(coverage->joined[join->row]++);
    }
    assert_int_equal(next, plan->counts.partials);
}

static void check_plan(struct fixture *fixture, uint32_t window)
{
    struct attention_plan *plan = &fixture->plan;
    struct coverage *coverage = calloc(1, sizeof *coverage);
    attention_plan_fill(fixture->spans, fixture->span_count, window, plan);
    assert_true(plan->counts.decodes <= plan->piece_max);
    assert_true(plan->counts.prefills <= plan->piece_max);
    assert_true(plan->counts.partials <= plan->partial_max);
    for (uint32_t i = 0; i < plan->counts.decodes; i++) {
        assert_int_equal(plan->decodes[i].count, 1);
        cover(coverage, fixture, &plan->decodes[i]);
    }
    for (uint32_t i = 0; i < plan->counts.prefills; i++) {
        assert_int_equal(plan->prefills[i].partial, PIECE_WHOLE);
        assert_true(plan->prefills[i].count <= CUDA_PREFILL_ROWS);
        cover(coverage, fixture, &plan->prefills[i]);
    }
    check_joins(coverage, fixture, window);
    for (uint32_t i = 0; i < fixture->span_count; i++)
        for (uint32_t k = 0; k < fixture->spans[i].row_count; k++) {
            const uint32_t end = fixture->spans[i].position + k + 1;
            const uint32_t first = window == 0 || end < window ? 0 : end - window;
            const uint32_t row = fixture->spans[i].first_row + k;
            for (uint32_t stretch = first / CUDA_SPLIT_TOKENS;
                 stretch <= (end - 1) / CUDA_SPLIT_TOKENS; stretch++)
                assert_int_equal(coverage->walked[row][stretch], 1);
        }
    free(coverage);
}

static void every_key_of_every_row_is_walked_once(void **state)
{
    (void)state;
    struct fixture fixture;
    uint64_t seed = 3;
    for (uint32_t round = 0; round < 300; round++) {
        fixture_init(&fixture);
        const uint32_t spans = (uint32_t)(next_random(&seed) % SPANS_MAX);
        for (uint32_t i = 0; i < spans; i++) {
            uint32_t rows = next_random(&seed) % 3 > 0 ? 1 : (uint32_t)(next_random(&seed) % 150);
            uint32_t room = ROWS_MAX - fixture.row_count - (spans - i);
            rows = rows < 1 ? 1 : rows > room ? 1 : rows;
            const uint32_t reach = next_random(&seed) % 2 ? 1200 : CONTEXT_MAX - 200;
            add_span(&fixture, (uint32_t)(next_random(&seed) % reach), rows);
        }
        static const uint32_t windows[] = {0, 1, 512, 513, 4000, 100000};
        fixture.plan.partial_max = (uint32_t)(next_random(&seed) % (PARTIALS_CAP + 1));
        check_plan(&fixture, windows[round % 6]);
        fixture_destroy(&fixture);
    }
}

static void a_context_of_one_stretch_is_not_split(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    add_span(&fixture, CUDA_SPLIT_TOKENS - 1, 1);
    add_span(&fixture, CUDA_SPLIT_TOKENS, 1);
    check_plan(&fixture, 0);
    assert_int_equal(fixture.plan.counts.decodes, 3);
    assert_int_equal(fixture.plan.decodes[0].partial, PIECE_WHOLE);
    assert_int_equal(fixture.plan.counts.joins, 1);
    check_plan(&fixture, 16); /* a window that crosses the boundary is two stretches */
    assert_int_equal(fixture.plan.counts.partials, 2);
    fixture_destroy(&fixture);
}

static void few_rows_are_decoded_and_many_are_prefilled_last_first(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    add_span(&fixture, 0, CUDA_DECODE_ROWS);
    add_span(&fixture, 7, CUDA_DECODE_ROWS + 1);
    add_span(&fixture, 0, 2 * CUDA_PREFILL_ROWS + 1);
    check_plan(&fixture, 0);
    assert_int_equal(fixture.plan.counts.decodes, CUDA_DECODE_ROWS);
    assert_int_equal(fixture.plan.counts.prefills, 4);
    assert_int_equal(fixture.plan.prefills[1].first, 2 * CUDA_PREFILL_ROWS);
    assert_int_equal(fixture.plan.prefills[1].count, 1);
    assert_int_equal(fixture.plan.prefills[3].first, 0);
    fixture_destroy(&fixture);
}

static void short_contexts_give_way_when_partial_sums_run_out(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    for (uint32_t i = 0; i < 10; i++)
        add_span(&fixture, 2 * CUDA_SPLIT_TOKENS - 1, 1);
    add_span(&fixture, 16 * CUDA_SPLIT_TOKENS - 1, 1);
    fixture.plan.partial_max = 16;
    check_plan(&fixture, 0);
    assert_int_equal(fixture.plan.counts.joins, 1);
    assert_int_equal(fixture.plan.joins[0].row, 10);
    fixture.plan.partial_max = 0;
    check_plan(&fixture, 0);
    assert_int_equal(fixture.plan.counts.decodes, 11);
    fixture_destroy(&fixture);
}

static void the_largest_step_fits_the_capacity(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    for (uint32_t i = 0; i < SPANS_MAX; i++)
        add_span(&fixture, CONTEXT_MAX - CUDA_DECODE_ROWS, CUDA_DECODE_ROWS);
    check_plan(&fixture, 0);
    fixture_destroy(&fixture);
    fixture_init(&fixture);
    check_plan(&fixture, 0); /* an empty step */
    assert_int_equal(fixture.plan.counts.decodes + fixture.plan.counts.prefills, 0);
    fixture_destroy(&fixture);
    assert_int_equal(attention_partials_max(64, CUDA_SPLIT_TOKENS), 0);
    assert_int_equal(attention_partials_max(64, CUDA_SPLIT_TOKENS + 1), 128);
    assert_int_equal(attention_partials_max(UINT32_MAX, UINT32_MAX), CUDA_PARTIALS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_of_every_row_is_walked_once),
        cmocka_unit_test(a_context_of_one_stretch_is_not_split),
        cmocka_unit_test(few_rows_are_decoded_and_many_are_prefilled_last_first),
        cmocka_unit_test(short_contexts_give_way_when_partial_sums_run_out),
        cmocka_unit_test(the_largest_step_fits_the_capacity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
