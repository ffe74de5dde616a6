/* SPDX-License-Identifier: Apache-2.0 */
/* Decode steps replayed as graphs have the bits of their ops called one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "emulator_control.h"
#include "kernels/cuda/cuda_backend.h"
#include "models/model.h"
#include "tests/unit/models/tiny_model.h"

#define SEQUENCES   5u
#define CONTEXT     544u
#define BLOCKS_EACH (CONTEXT / KV_BLOCK_TOKENS)
#define ROWS_MAX    128u

struct world {
    struct backend *backend;
    struct model *model;
    uint32_t tables[SEQUENCES * BLOCKS_EACH];
    uint32_t lengths[SEQUENCES]; /* tokens in the cache */
};

static void load(struct world *world, const struct tiny_model *tiny)
{
    char path[TINY_PATH_BYTES];
    struct error err = {0};
    const struct model_limits limits = {SEQUENCES * BLOCKS_EACH, ROWS_MAX, SEQUENCES, SEQUENCES,
                                        CONTEXT};
    tiny_model_write(tiny, path);
    world->model = model_load(path, world->backend, &err);
    unlink(path);
    if (world->model == NULL || model_reserve(world->model, &limits, &err) != 0)
        fail_msg("%s", err.text);
}

static void world_init(struct world *world, enum weight_type type)
{
    struct tiny_model tiny = tiny_model_default();
    struct error err = {0};
    memset(world, 0, sizeof *world);
    tiny.type = type;
    tiny.context = CONTEXT;
    world->backend = cuda_backend_open(&err);
    if (world->backend == NULL)
        fail_msg("%s", err.text);
    load(world, &tiny);
    for (uint32_t i = 0; i < SEQUENCES * BLOCKS_EACH; i++)
        world->tables[i] = (i % BLOCKS_EACH) * SEQUENCES + (SEQUENCES - 1 - i / BLOCKS_EACH);
}

static void world_destroy(struct world *world)
{
    model_free(world->model);
    backend_close(world->backend);
    assert_int_equal(emulator_device_bytes(), 0);
}

static uint32_t token_at(uint32_t sequence, uint32_t position)
{
    return (position * position * 31 + 7 * position + 3 + sequence * 101) % TINY_VOCABULARY;
}

/* `rows` more tokens of each named sequence; the logits of each one's last. */
static void advance(struct world *world, const uint32_t *sequences, uint32_t count, uint32_t rows,
                    float *logits)
{
    uint32_t tokens[ROWS_MAX], positions[ROWS_MAX], outputs[SEQUENCES], row = 0;
    struct attention_span spans[SEQUENCES];
    struct error err = {0};
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t sequence = sequences[i], begin = world->lengths[sequence];
        spans[i] = (struct attention_span){row, rows, begin, sequence * BLOCKS_EACH};
        for (uint32_t j = 0; j < rows; j++, row++) {
            tokens[row] = token_at(sequence, begin + j);
            positions[row] = begin + j;
        }
        outputs[i] = row - 1;
        world->lengths[sequence] += rows;
    }
    const struct model_step step = {row,           tokens, positions, count, spans,
                                    world->tables, count,  outputs,   NULL};
    if (model_forward(world->model, &step, logits, &err) != 0)
        fail_msg("%s", err.text);
}

/* Prompts of several lengths. */
static void read_prompts(struct world *world, uint32_t chunks_of_first)
{
    float logits[TINY_VOCABULARY];
    for (uint32_t i = 0; i < chunks_of_first; i++)
        advance(world, (uint32_t[]){0}, 1, 127, logits);
    for (uint32_t i = 1; i < SEQUENCES; i++)
        advance(world, &i, 1, 7 + 7 * i, logits); /* what pads write shows at a block's end */
}

/* Steps of decodes in changing company, or each sequence by itself; all their logits. */
#define STEPS 14u
static void run(struct world *world, bool alone, float *logits)
{
    static const struct {
        uint32_t count, sequences[SEQUENCES];
    } steps[STEPS] = {
        {3, {0, 1, 2}},       {4, {3, 2, 1, 0}}, {1, {0}},       {3, {0, 1, 2}},    {2, {1, 3}},
        {5, {0, 1, 2, 3, 4}}, {1, {1}},          {2, {0, 2}},    {4, {0, 1, 2, 3}}, {3, {4, 0, 1}},
        {5, {4, 3, 2, 1, 0}}, {1, {0}},          {3, {2, 3, 0}}, {4, {1, 2, 3, 4}}};
    const struct world before = *world;
    for (uint32_t i = 0; i < STEPS; i++) {
        const uint32_t each = alone ? 1 : steps[i].count;
        for (uint32_t j = 0; j < steps[i].count; j += each, logits += each * TINY_VOCABULARY)
            advance(world, steps[i].sequences + j, each, 1, logits);
    }
    memcpy(world->lengths, before.lengths, sizeof world->lengths); /* they may be done again */
}

static float *logits_new(void)
{
    float *logits = calloc((size_t)STEPS * SEQUENCES * TINY_VOCABULARY, sizeof *logits);
    assert_non_null(logits);
    return logits;
}

static void check(enum weight_type type)
{
    struct world world;
    float *with = logits_new(), *without = logits_new();
    world_init(&world, type);
    read_prompts(&world, 4); /* the first crosses into a second stretch of keys as it decodes */
    assert_in_range(world.lengths[0], 512 - STEPS / 2, 512);
    world.backend->ops->repeat_steps(world.backend, false);
    run(&world, true, without);
    assert_int_equal(cuda_backend_graphs_launched(world.backend), 0);
    world.backend->ops->repeat_steps(world.backend, true);
    run(&world, false, with);
    assert_int_equal(cuda_backend_graphs_launched(world.backend), STEPS);
    assert_memory_equal(with, without, (size_t)STEPS * SEQUENCES * TINY_VOCABULARY * sizeof *with);
    world_destroy(&world);
    free(with), free(without);
}

static void a_graph_gives_the_bits_of_its_ops(void **state)
{
    (void)state;
    static const char *const streams[] = {"eager", "lazy"};
    for (size_t i = 0; i < 2; i++) {
        setenv("WEIR_EMULATOR_STREAMS", streams[i], 1);
        emulator_reload();
        check(i == 0 ? WEIGHT_F16 : WEIGHT_Q8_0);
    }
    unsetenv("WEIR_EMULATOR_STREAMS");
    emulator_reload();
}

/* A second model on the backend, at the first one's addresses perhaps. */
static void memory_given_back_takes_its_graphs_along(void **state)
{
    (void)state;
    struct world world;
    struct tiny_model other = tiny_model_default();
    float *first = logits_new(), *second = logits_new(), *alone = logits_new();
    other.context = CONTEXT;
    other.seed = 99;
    world_init(&world, WEIGHT_F32);
    read_prompts(&world, 1);
    run(&world, false, first);
    model_free(world.model);
    load(&world, &other);
    memset(world.lengths, 0, sizeof world.lengths);
    read_prompts(&world, 1);
    run(&world, false, second);
    world.backend->ops->repeat_steps(world.backend, false);
    run(&world, true, alone);
    const size_t bytes = (size_t)STEPS * SEQUENCES * TINY_VOCABULARY * sizeof *first;
    assert_memory_equal(second, alone, bytes);
    assert_memory_not_equal(first, second, bytes);
    world_destroy(&world);
    free(first), free(second), free(alone);
}

static void a_device_lost_in_a_graph_is_told(void **state)
{
    (void)state;
    struct world world;
    struct error err = {0};
    float *logits = logits_new();
    world_init(&world, WEIGHT_F32);
    read_prompts(&world, 1);
    run(&world, false, logits);
    const uint32_t token = 1, position = 0, output = 0;
    const struct attention_span span = {0, 1, 0, 0};
    const struct model_step step = {1, &token, &position, 1, &span, world.tables, 1, &output, NULL};
    const uint64_t launched = cuda_backend_graphs_launched(world.backend);
    setenv("WEIR_EMULATOR_LOST_AT", "3", 1);
    emulator_reload();
    assert_int_equal(model_forward(world.model, &step, logits, &err), ERROR_CLOSED);
    assert_non_null(strstr(err.text, "the GPU failed in "));
    assert_int_equal(cuda_backend_graphs_launched(world.backend), launched + 1);
    model_free(world.model);
    backend_close(world.backend);
    unsetenv("WEIR_EMULATOR_LOST_AT");
    emulator_reload();
    free(logits);
}

/* Greedy tokens of three sequences, step by step, or each step begun while the one before is under
 * way, its tokens where they were drawn. */
#define DRAWS 8u
static void decode(struct world *world, bool ahead, uint32_t tokens[DRAWS][3])
{
    struct draw_row rows[3];
    uint32_t fed[3], positions[3], outputs[3] = {0, 1, 2};
    const uint32_t sources[3] = {0, 1, 2};
    struct attention_span spans[3];
    struct model_results results;
    for (uint32_t i = 0; i < 3; i++) {
        fed[i] = token_at(i + 1, world->lengths[i + 1]);
        rows[i] = (struct draw_row){
            .temperature = i * 0.5f, .top_p = 1.0f, .repetition_penalty = 1.0f, .seed = 5 + i};
    }
    for (uint32_t step = 0; step < DRAWS + ahead; step++) {
        for (uint32_t i = 0; i < 3; i++) {
            positions[i] = world->lengths[i + 1] + step;
            spans[i] = (struct attention_span){i, 1, positions[i], (i + 1) * BLOCKS_EACH};
            rows[i].output_count = step;
        }
        const struct model_step now = {3, fed,     positions, 3, spans, world->tables,
                                       3, outputs, NULL};
        if (step < DRAWS)
            model_begin(world->model, &now, rows, ahead && step > 0 ? sources : NULL);
        memset(positions, 0xff, sizeof positions); /* the device has its own */
        if (ahead && step == 0)
            continue;
        assert_int_equal(model_end(world->model, &results, NULL), 0);
        for (uint32_t i = 0; i < 3; i++) {
            assert_int_equal(results.drawn[i].outcome, DRAW_DONE);
            tokens[step - ahead][i] = results.drawn[i].token;
            fed[i] = ahead ? 0 : results.drawn[i].token;
        }
    }
}

static void a_step_begun_ahead_is_fed_what_was_drawn(void **state)
{
    (void)state;
    static const char *const streams[] = {"eager", "lazy"};
    for (size_t i = 0; i < 2; i++) {
        uint32_t after[DRAWS][3], ahead[DRAWS][3];
        struct world world;
        setenv("WEIR_EMULATOR_STREAMS", streams[i], 1);
        emulator_reload();
        world_init(&world, WEIGHT_F16);
        read_prompts(&world, 0);
        decode(&world, false, after);
        decode(&world, true, ahead);
        assert_memory_equal(ahead, after, sizeof after);
        assert_memory_not_equal(after[0], after[1], sizeof after[0]);
        world_destroy(&world);
    }
    unsetenv("WEIR_EMULATOR_STREAMS");
    emulator_reload();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_graph_gives_the_bits_of_its_ops),
        cmocka_unit_test(memory_given_back_takes_its_graphs_along),
        cmocka_unit_test(a_step_begun_ahead_is_fed_what_was_drawn),
        cmocka_unit_test(a_device_lost_in_a_graph_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
