/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/cuda/sample_pack.h"

#define ROWS 4u

static const uint32_t history[] = {1, 2, 3, 4, 5};
static const uint32_t ends[] = {8, 9};
static const struct logit_bias bias[] = {{1, 0.5f}, {2, -0.5f}, {3, 1.0f}};

static struct draw_row plain(void)
{
    return (struct draw_row){
        .top_p = 1.0f,
        .repetition_penalty = 1.0f,
        .prompt = history,
        .prompt_count = 3,
        .output = history + 3,
        .output_count = 2,
        .forbidden = ends,
        .biases = bias,
    };
}

struct packed {
    struct sample_pack pack;
    struct sample_row rows[ROWS];
    bool left[ROWS];
    uint32_t tokens[16];
    struct logit_bias biases[4];
};

static void pack(struct packed *packed, const struct draw_row *rows, uint32_t token_max)
{
    packed->pack = (struct sample_pack){
        .rows = packed->rows,
        .left = packed->left,
        .tokens = packed->tokens,
        .biases = packed->biases,
        .token_max = token_max,
        .bias_max = 4,
    };
    sample_pack_fill(&packed->pack, rows, ROWS);
}

static void histories_travel_only_where_a_penalty_reads_them(void **state)
{
    (void)state;
    struct draw_row rows[ROWS] = {plain(), plain(), plain(), plain()};
    struct packed packed;
    rows[1].presence_penalty = 0.5f;   /* the output's */
    rows[2].repetition_penalty = 1.1f; /* all */
    rows[3].forbidden_count = 2;
    pack(&packed, rows, 16);
    assert_int_equal(packed.pack.drawn_count, ROWS);
    assert_int_equal(packed.pack.token_count, 0 + 2 + 5 + 2);
    for (uint32_t i = 0; i < ROWS; i++)
        assert_int_equal(packed.rows[i].output_count, 2); /* the place of the draw */
    const uint32_t *tokens = packed.tokens;
    assert_int_equal(packed.rows[1].prompt_count, 0);
    assert_memory_equal(tokens + packed.rows[1].history_offset, history + 3, 2 * sizeof *tokens);
    assert_int_equal(packed.rows[2].prompt_count, 3);
    assert_memory_equal(tokens + packed.rows[2].history_offset, history, 5 * sizeof *tokens);
    assert_memory_equal(tokens + packed.rows[3].forbidden_offset, ends, sizeof ends);
    assert_int_equal(packed.pack.needs, SAMPLE_BENDS);
}

static void who_finds_no_room_is_left_to_the_host(void **state)
{
    (void)state;
    struct draw_row rows[ROWS] = {plain(), plain(), plain(), plain()};
    struct packed packed;
    rows[0].repetition_penalty = rows[1].repetition_penalty = 2.0f;
    rows[2].bias_count = 3;
    rows[3].bias_count = 2;
    pack(&packed, rows, 9); /* five tokens twice are too many; and so are five biases */
    assert_false(packed.left[0]);
    assert_true(packed.left[1]);
    assert_false(packed.left[2]);
    assert_true(packed.left[3]);
    assert_int_equal(packed.pack.drawn_count, 2);
    assert_int_equal(packed.pack.token_count, 5);
    assert_int_equal(packed.pack.bias_count, 3);
    assert_int_equal(sample_needs(&packed.rows[1]), 0);
    assert_int_equal(sample_needs(&packed.rows[3]), 0);
    rows[2].by_host = true;
    pack(&packed, rows, 4);
    assert_true(packed.left[0] && packed.left[1] && packed.left[2]);
    assert_false(packed.left[3]);
}

static void a_step_of_the_hosts_rows_alone_needs_nothing(void **state)
{
    (void)state;
    struct packed packed;
    const struct draw_row rows[ROWS] = {
        {.by_host = true}, {.by_host = true}, {.by_host = true}, {.by_host = true}};
    pack(&packed, rows, 16);
    assert_int_equal(packed.pack.drawn_count, 0);
    assert_int_equal(packed.pack.needs, 0);
}

static void room_for_histories_is_bounded(void **state)
{
    (void)state;
    struct reserve_args args = {.spans_max = 2, .context_max = 100};
    assert_true(sample_tokens_max(&args) >= 200);
    args.spans_max = 1024, args.context_max = UINT32_MAX / 2;
    assert_int_equal(sample_tokens_max(&args), SAMPLE_TOKENS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histories_travel_only_where_a_penalty_reads_them),
        cmocka_unit_test(who_finds_no_room_is_left_to_the_host),
        cmocka_unit_test(a_step_of_the_hosts_rows_alone_needs_nothing),
        cmocka_unit_test(room_for_histories_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
