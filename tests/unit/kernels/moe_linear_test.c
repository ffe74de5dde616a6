/* SPDX-License-Identifier: Apache-2.0 */
/* A grouped product is linear() by each row's expert, bit for bit: at every level that runs here,
 * whatever experts the others chose and however many threads there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/backend.h"
#include "tests/unit/kernels/random_values.h"

enum { EXPERTS = 5, TOP_K = 2, ROWS_MAX = 130, COLUMNS = 256 };
enum { ENTRIES_MAX = ROWS_MAX * TOP_K };

struct routes {
    uint32_t chosen[ENTRIES_MAX], begins[EXPERTS + 1], order[ENTRIES_MAX], places[ENTRIES_MAX];
    float weights[ENTRIES_MAX];
};

/* Opens the level, or NULL where the processor has it not. */
static struct backend *open_level(enum cpu_level level, uint32_t threads)
{
    struct backend *backend =
        backend_open(&(struct backend_config){"cpu", threads, level, NULL}, NULL);
    const struct reserve_args args = {.rows_max = ENTRIES_MAX,
                                      .spans_max = 1,
                                      .columns_max = COLUMNS,
                                      .context_max = 1,
                                      .experts = EXPERTS,
                                      .top_k = TOP_K,
                                      .expert_columns_max = COLUMNS};
    if (backend != NULL)
        assert_int_equal(backend->ops->reserve(backend, &args, NULL), 0);
    return backend;
}

/* Nobody chooses expert 1, and all but a few rows choose expert 3. */
static void route(struct backend *backend, uint32_t rows, struct routes *ret)
{
    float *scores = random_floats((size_t)rows * EXPERTS, 1.0f, rows);
    for (uint32_t row = 0; row < rows; row++) {
        scores[row * EXPERTS + 1] = -9.0f;
        scores[row * EXPERTS + 3] += row % 7 != 0 ? 5.0f : 0.0f;
    }
    const struct moe_route_args args = {.scores = scores,
                                        .rows = rows,
                                        .experts = EXPERTS,
                                        .top_k = TOP_K,
                                        .renormalise = true,
                                        .scale = 1.0f,
                                        .chosen = ret->chosen,
                                        .weights = ret->weights,
                                        .expert_begins = ret->begins,
                                        .order = ret->order,
                                        .places = ret->places};
    backend->ops->moe_route(backend, &args);
    free(scores);
}

static uint8_t *random_matrix(enum weight_type type, uint32_t rows, uint64_t seed)
{
    const struct quant_format *format = quant_format_find(type);
    const size_t bytes = rows * quant_row_bytes(format, COLUMNS);
    uint8_t *matrix = malloc(bytes);
    assert_non_null(matrix);
    for (size_t i = 0; i < bytes; i++)
        matrix[i] = (uint8_t)random_next(&seed);
    for (size_t at = 0; at < bytes; at += format->block_bytes) {
        const float value = random_float(&seed, 0.02f);
        const uint16_t half = quant_float_to_half(value);
        if (type == WEIGHT_F32)
            memcpy(matrix + at, &value, sizeof value);
        else
            memcpy(matrix + at + (type == WEIGHT_Q6_K ? 208 : 0), &half, sizeof half);
        if (type == WEIGHT_Q4_1)
            memcpy(matrix + at + 2, &half, sizeof half);
    }
    return matrix;
}

/* All experts' matrices in one weight, and each alone. */
struct stack {
    uint8_t *bytes;
    struct weight *all, *each[EXPERTS];
    uint32_t rows;
};

static void stack_init(struct stack *stack, struct backend *backend, enum weight_type type,
                       uint32_t rows)
{
    const size_t one = rows * quant_row_bytes(quant_format_find(type), COLUMNS);
    stack->rows = rows;
    stack->bytes = random_matrix(type, EXPERTS * rows, type + 1);
    struct weight_source source = {stack->bytes, type, rows, COLUMNS, EXPERTS};
    stack->all = backend->ops->weight_prepare(backend, &source, NULL);
    assert_non_null(stack->all);
    size_t bytes = 0;
    for (uint32_t expert = 0; expert < EXPERTS; expert++) {
        source = (struct weight_source){stack->bytes + expert * one, type, rows, COLUMNS, 0};
        stack->each[expert] = backend->ops->weight_prepare(backend, &source, NULL);
        assert_non_null(stack->each[expert]);
        bytes += backend->ops->weight_bytes(stack->each[expert]);
    }
    assert_int_equal(backend->ops->weight_bytes(stack->all), bytes);
}

static void stack_destroy(struct stack *stack, struct backend *backend)
{
    backend->ops->weight_free(backend, stack->all);
    for (uint32_t expert = 0; expert < EXPERTS; expert++)
        backend->ops->weight_free(backend, stack->each[expert]);
    free(stack->bytes);
}

/* Row by row, by linear(). */
static void check_places(struct backend *backend, const struct moe_linear_args *args,
                         const struct routes *routes, const struct stack *stack, const float *out)
{
    float *wanted = malloc(stack->rows * sizeof *wanted);
    assert_non_null(wanted);
    for (uint32_t entry = 0; entry < args->rows * TOP_K; entry++) {
        const uint32_t place = routes->places[entry];
        const uint32_t from = args->by_place ? place : entry / TOP_K;
        backend->ops->linear(backend, &(struct linear_args){
                                          .x = args->x + (size_t)from * COLUMNS,
                                          .rows = 1,
                                          .weight_count = 1,
                                          .weights = {stack->each[routes->chosen[entry]]},
                                          .outs = {wanted},
                                      });
        assert_memory_equal(out + (size_t)place * stack->rows, wanted,
                            stack->rows * sizeof *wanted);
    }
    free(wanted);
}

static void check_rows(struct backend *backend, const struct stack stacks[2], uint32_t rows)
{
    static struct routes routes;
    float *x = random_floats((size_t)ENTRIES_MAX * COLUMNS, 2.0f, rows), *outs[2];
    route(backend, rows, &routes);
    for (int by_place = 0; by_place < 2; by_place++) {
        for (uint32_t i = 0; i < 2; i++)
            outs[i] = random_floats((size_t)ENTRIES_MAX * stacks[i].rows, 1.0f, 1);
        const struct moe_linear_args args = {.x = x,
                                             .by_place = by_place,
                                             .rows = rows,
                                             .experts = EXPERTS,
                                             .top_k = TOP_K,
                                             .expert_begins = routes.begins,
                                             .order = routes.order,
                                             .weight_count = 2,
                                             .weights = {stacks[0].all, stacks[1].all},
                                             .outs = {outs[0], outs[1]}};
        backend->ops->moe_linear(backend, &args);
        for (uint32_t i = 0; i < 2; i++) {
            check_places(backend, &args, &routes, &stacks[i], outs[i]);
            free(outs[i]);
        }
    }
    free(x);
}

static void a_row_gets_the_bits_of_its_experts_matrix_alone(void **state)
{
    (void)state;
    static const enum weight_type types[][2] = {
        {WEIGHT_F32, WEIGHT_Q4_1}, {WEIGHT_F16, WEIGHT_F32}, {WEIGHT_Q8_0, WEIGHT_Q6_K}};
    static const uint32_t rows[] = {0, 1, 2, 31, ROWS_MAX};
    for (int level = CPU_LEVEL_SCALAR; level <= CPU_LEVEL_AVX512; level++) {
        for (uint32_t threads = 1; threads < 4; threads += 2) {
            struct backend *backend = open_level((enum cpu_level)level, threads);
            if (backend == NULL)
                continue;
            for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
                struct stack stacks[2];
                stack_init(&stacks[0], backend, types[t][0], 37); /* not whole tiles */
                stack_init(&stacks[1], backend, types[t][1], 65);
                for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
                    check_rows(backend, stacks, rows[i]);
                stack_destroy(&stacks[0], backend);
                stack_destroy(&stacks[1], backend);
            }
            backend_close(backend);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_gets_the_bits_of_its_experts_matrix_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
