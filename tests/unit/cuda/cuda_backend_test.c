/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU behind its table: opening, memory, a step's host arrays, failures, whole models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "batching/sampler.h"
#include "emulator_control.h"
#include "kernels/cuda/cuda_backend.h"
#include "models/model.h"
#include "tests/unit/models/tiny_model.h"

#define TOKENS      50u
#define SEQUENCES   4u
#define BLOCKS_EACH (TOKENS / KV_BLOCK_TOKENS + 1)

/* -- the emulated machine -- */

static void set_machine(const char *name, const char *value)
{
    assert_int_equal(setenv(name, value, 1), 0);
    emulator_reload();
}

static int plain_machine(void **state)
{
    (void)state;
    static const char *const names[] = {"WEIR_EMULATOR_DEVICES", "WEIR_EMULATOR_DRIVER",
                                        "WEIR_EMULATOR_MEMORY_MIB",
                                        "WEIR_EMULATOR_OUT_OF_MEMORY_AT", "WEIR_EMULATOR_LOST_AT"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    emulator_reload();
    return 0;
}

static struct backend *open_gpu(void)
{
    struct error err = {0};
    struct backend *backend = cuda_backend_open(&err);
    if (backend == NULL)
        fail_msg("%s", err.text);
    return backend;
}

static void expect_no_gpu(const char *variable, const char *value, const char *why)
{
    struct error err = {0};
    set_machine(variable, value);
    assert_null(cuda_backend_open(&err));
    if (strstr(err.text, why) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, why);
    plain_machine(NULL);
}

static void a_machine_without_a_gpu_is_told_with_what_helps(void **state)
{
    (void)state;
    expect_no_gpu("WEIR_EMULATOR_DRIVER", "0", "there is no NVIDIA driver, or one older than CUDA");
    expect_no_gpu("WEIR_EMULATOR_DEVICES", "0", "CUDA_VISIBLE_DEVICES");
    expect_no_gpu("WEIR_EMULATOR_OUT_OF_MEMORY_AT", "1", "the GPU has no 1 MiB in one piece");
    expect_no_gpu("WEIR_EMULATOR_LOST_AT", "1", "the GPU does not run our kernels");
}

/* -- memory -- */

static void memory_is_zeroed_aligned_and_copied(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 64, 1000, 1 << 20, (5 << 20) + 3};
    struct backend *backend = open_gpu();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t bytes = sizes[i];
        unsigned char *host = malloc(bytes), *sent = malloc(bytes);
        void *device = backend->ops->memory_alloc(backend, bytes, NULL);
        assert_non_null(device);
        assert_int_equal((uintptr_t)device % DEVICE_MEMORY_UNIT, 0);
        backend->ops->copy_from_device(backend, host, device, bytes);
        for (size_t at = 0; at < bytes; at++)
            assert_int_equal(host[at], 0);
        memset(sent, 0xa5, bytes);
        backend->ops->copy_to_device(backend, device, sent, bytes);
        backend->ops->copy_from_device(backend, host, device, bytes);
        assert_memory_equal(host, sent, bytes);
        backend->ops->memory_free(backend, device);
        free(host), free(sent);
    }
    backend->ops->memory_free(backend, NULL);
    assert_int_equal(emulator_device_bytes(), 0);
    backend_close(backend);
}

static void memory_that_is_not_there_is_refused_with_numbers(void **state)
{
    (void)state;
    struct error err = {0};
    struct device_room room;
    set_machine("WEIR_EMULATOR_MEMORY_MIB", "64");
    struct backend *backend = open_gpu();
    assert_true(backend->ops->memory_room(backend, &room));
    assert_int_equal(room.total_bytes, 64 << 20);
    assert_int_equal(room.free_bytes, 64 << 20);
    assert_null(backend->ops->memory_alloc(backend, 65 << 20, &err));
    assert_int_equal(err.code, ERROR_NO_MEMORY);
    assert_string_equal(err.text, "the GPU has no 66 MiB in one piece: 64 of its 64 MiB are free");
    assert_null(backend->ops->memory_alloc(backend, SIZE_MAX - 8, &err));
    assert_int_equal(err.code, ERROR_NO_MEMORY);
    assert_int_equal(backend->ops->memory_together(backend, 65 << 20, &err), ERROR_NO_MEMORY);
    void *device = backend->ops->memory_alloc(backend, 63 << 20, &err); /* and goes on */
    assert_non_null(device);
    backend->ops->memory_free(backend, device);
    assert_int_equal(backend->ops->synchronize(backend, &err), 0);
    backend_close(backend);
}

static void what_is_taken_together_is_one_allocation(void **state)
{
    (void)state;
    struct backend *backend = open_gpu();
    const struct backend_ops *ops = backend->ops;
    assert_int_equal(ops->memory_together(backend, 4096, NULL), 0);
    unsigned char *a = ops->memory_alloc(backend, 1000, NULL);
    unsigned char *b = ops->memory_alloc(backend, 2000, NULL);
    assert_ptr_equal(b, a + 1024);
    assert_int_equal(emulator_device_bytes(), 4096);
    unsigned char *c = ops->memory_alloc(backend, 2000, NULL); /* does not fit: by itself */
    assert_int_equal(emulator_device_bytes(), 4096 + 2048);
    assert_int_equal(ops->memory_together(backend, 0, NULL), 0);
    ops->memory_free(backend, a);
    ops->memory_free(backend, c);
    assert_int_equal(emulator_device_bytes(), 4096);
    ops->memory_free(backend, b); /* its last piece */
    assert_int_equal(emulator_device_bytes(), 0);
    assert_int_equal(ops->memory_together(backend, 4096, NULL), 0);
    assert_int_equal(ops->memory_together(backend, 0, NULL), 0); /* nothing was taken */
    assert_int_equal(emulator_device_bytes(), 0);
    backend_close(backend);
}

/* -- whole models -- */

static struct model *load_reserved(const struct tiny_model *tiny, struct backend *backend)
{
    char path[TINY_PATH_BYTES];
    struct error err = {0};
    tiny_model_write(tiny, path);
    struct model *model = model_load(path, backend, &err);
    unlink(path);
    if (model == NULL)
        fail_msg("%s", err.text);
    const struct model_limits limits = {SEQUENCES * BLOCKS_EACH, SEQUENCES * TOKENS, SEQUENCES,
                                        SEQUENCES * TOKENS, TOKENS};
    if (model_reserve(model, &limits, &err) != 0)
        fail_msg("%s", err.text);
    return model;
}

struct batch {
    uint32_t rows, spans;
    uint32_t tokens[SEQUENCES * TOKENS], positions[SEQUENCES * TOKENS];
    uint32_t outputs[SEQUENCES * TOKENS];
    struct attention_span span[SEQUENCES];
    uint32_t tables[SEQUENCES * BLOCKS_EACH];
};

/* Blocks of one sequence are far apart; its table is followed by what nobody may read. */
static void batch_init(struct batch *batch)
{
    memset(batch, 0, sizeof *batch);
    for (uint32_t i = 0; i < SEQUENCES * BLOCKS_EACH; i++)
        batch->tables[i] = (i % BLOCKS_EACH) * SEQUENCES + (SEQUENCES - 1 - i / BLOCKS_EACH);
}

static void batch_add(struct batch *batch, uint32_t sequence, uint32_t begin, uint32_t end)
{
    batch->span[batch->spans++] =
        (struct attention_span){batch->rows, end - begin, begin, sequence * BLOCKS_EACH};
    for (uint32_t i = begin; i < end; i++, batch->rows++) {
        batch->tokens[batch->rows] = (i * i * 31 + 7 * i + 3 + sequence * 101) % TINY_VOCABULARY;
        batch->positions[batch->rows] = i;
        batch->outputs[batch->rows] = batch->rows;
    }
}

static int batch_run(struct batch *batch, struct model *model, float *logits, struct error *err)
{
    struct model_step step = {batch->rows,  batch->tokens,  batch->positions,
                              batch->spans, batch->span,    batch->tables,
                              batch->rows,  batch->outputs, NULL};
    int code = model_forward(model, &step, logits, err);
    batch->rows = batch->spans = 0;
    return code;
}

static float *logits_new(uint32_t rows)
{
    float *logits = calloc((size_t)rows * TINY_VOCABULARY, sizeof *logits);
    assert_non_null(logits);
    return logits;
}

/* Root of the mean squared difference over that of the logits. */
static double difference(const float *got, const float *want, size_t count)
{
    double errors = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        errors += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        squares += (double)want[i] * want[i];
    }
    return sqrt(errors / squares);
}

/* All sequences at once, each in one piece. */
static void run_all(struct model *model, float *logits)
{
    struct batch batch;
    struct error err = {0};
    batch_init(&batch);
    for (uint32_t i = 0; i < SEQUENCES; i++)
        batch_add(&batch, i, 0, TOKENS);
    if (batch_run(&batch, model, logits, &err) != 0)
        fail_msg("%s", err.text);
}

/* The same step on both; the caller frees. */
static void run_on_both(const struct tiny_model *tiny, float **ret_cpu, float **ret_gpu)
{
    struct error err = {0};
    struct backend *cpu =
        backend_open(&(struct backend_config){.device = "cpu", .threads = 1}, &err);
    struct backend *gpu = open_gpu();
    struct model *on_cpu = load_reserved(tiny, cpu), *on_gpu = load_reserved(tiny, gpu);
    *ret_cpu = logits_new(SEQUENCES * TOKENS);
    *ret_gpu = logits_new(SEQUENCES * TOKENS);
    run_all(on_cpu, *ret_cpu);
    run_all(on_gpu, *ret_gpu);
    model_free(on_cpu), model_free(on_gpu);
    backend_close(cpu), backend_close(gpu);
    assert_int_equal(emulator_device_bytes(), 0);
}

/* Attention alone is not the CPU's arithmetic: its products are of halves, in another order. A
 * probability rounded to half is off by 2^-11 of itself; two layers of it stay below 2e-3 of the
 * logits. With 8-bit activations a last bit may move a code, by 1/127 of a block's largest. */
static void expect_the_cpus_logits(const struct tiny_model *tiny, double tolerance)
{
    float *want, *got;
    run_on_both(tiny, &want, &got);
    double off = difference(got, want, (size_t)SEQUENCES * TOKENS * TINY_VOCABULARY);
    free(want), free(got);
    if (!(off < tolerance))
        fail_msg("type %d: off by %g of the logits' size", (int)tiny->type, off);
}

/* The same of each row; but where two experts' scores all but tie, that rounding may choose the
 * other, and the row's logits are then others: one row in fifty may be such. */
static void expect_the_cpus_rows(const struct tiny_model *tiny, double tolerance)
{
    float *want, *got;
    uint32_t strays = 0;
    run_on_both(tiny, &want, &got);
    for (size_t row = 0; row < SEQUENCES * TOKENS; row++)
        strays += !(difference(got + row * TINY_VOCABULARY, want + row * TINY_VOCABULARY,
                               TINY_VOCABULARY) < tolerance);
    free(want), free(got);
    if (strays > SEQUENCES * TOKENS / 50)
        fail_msg("%s: %u rows are off by more than %g of their logits' size", tiny->architecture,
                 strays, tolerance);
}

static struct tiny_model model_of(enum weight_type type, uint32_t heads, uint32_t kv_heads,
                                  uint32_t head_dim)
{
    struct tiny_model tiny = tiny_model_default();
    tiny.type = type;
    tiny.heads = heads;
    tiny.kv_heads = kv_heads;
    tiny.head_dim = head_dim;
    return tiny;
}

static void a_models_logits_are_the_cpus(void **state)
{
    (void)state;
    struct tiny_model tiny = model_of(WEIGHT_F32, 4, 2, 16);
    expect_the_cpus_logits(&tiny, 2e-3);
    tiny = model_of(WEIGHT_F16, 2, 2, 64);
    tiny.rope_factors = true;
    expect_the_cpus_logits(&tiny, 2e-3);
    tiny = model_of(WEIGHT_Q8_0, 8, 1, 32);
    tiny.untied = tiny.biases = true;
    expect_the_cpus_logits(&tiny, 1e-2);
    tiny = model_of(WEIGHT_Q4_0, 2, 1, 128);
    expect_the_cpus_logits(&tiny, 1e-2);
}

static void a_mixtures_logits_are_the_cpus(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model_mixtral();
    expect_the_cpus_rows(&tiny, 2e-3);
    tiny = tiny_model_qwen2moe();
    tiny.type = WEIGHT_F16;
    expect_the_cpus_rows(&tiny, 2e-3);
    tiny = tiny_model_qwen3moe();
    tiny.type = WEIGHT_Q8_0;
    expect_the_cpus_rows(&tiny, 3e-2);
}

static void check_invariance(struct tiny_model tiny, uint32_t chunk)
{
    struct backend *backend = open_gpu();
    struct model *model = load_reserved(&tiny, backend);
    struct batch batch;
    float *all = logits_new(SEQUENCES * TOKENS), *some = logits_new(SEQUENCES * TOKENS);
    const size_t row_bytes = TINY_VOCABULARY * sizeof(float);
    run_all(model, all);
    batch_init(&batch);
    for (uint32_t begin = 0; begin < TOKENS; begin += chunk) {
        const uint32_t end = begin + chunk < TOKENS ? begin + chunk : TOKENS, rows = end - begin;
        batch_add(&batch, 2, begin, end); /* alone, and after it in company */
        assert_int_equal(batch_run(&batch, model, some, NULL), 0);
        assert_memory_equal(some, all + (2 * TOKENS + begin) * TINY_VOCABULARY, rows * row_bytes);
        batch_add(&batch, 3, begin, end);
        batch_add(&batch, 0, begin, end);
        assert_int_equal(batch_run(&batch, model, some, NULL), 0);
        assert_memory_equal(some, all + (3 * TOKENS + begin) * TINY_VOCABULARY, rows * row_bytes);
        assert_memory_equal(some + rows * TINY_VOCABULARY, all + begin * TINY_VOCABULARY,
                            rows * row_bytes);
    }
    free(all), free(some);
    model_free(model);
    backend_close(backend);
}

static void a_sequence_gets_the_same_bits_alone_chunked_and_in_company(void **state)
{
    (void)state;
    check_invariance(model_of(WEIGHT_F32, 4, 2, 16), 33);
    check_invariance(model_of(WEIGHT_F16, 2, 1, 64), 5);
    check_invariance(model_of(WEIGHT_Q8_0, 4, 2, 32), 1);
    check_invariance(model_of(WEIGHT_Q4_0, 4, 4, 16), 16);
}

/* -- draws -- */

/* Settings as different as they get; every third row is the host's. */
static void vary(struct draw_row *row, struct sampling *sampling, uint32_t i)
{
    static const uint32_t history[] = {7, 7, 250, 3, 104};
    static const uint32_t forbidden[] = {9, 11};
    static struct logit_bias bias[] = {{40, 3.5f}, {41, -2.0f}};
    *sampling = (struct sampling){
        .temperature = i % 4 == 1 ? 0.0f : 0.4f + (float)i / 64,
        .top_p = i % 5 == 2 ? 0.7f : 1.0f,
        .min_p = i % 7 == 3 ? 0.05f : 0.0f,
        .top_k = i % 6 == 4 ? 12 : 0,
        .repetition_penalty = i % 8 == 5 ? 1.3f : 1.0f,
        .presence_penalty = i % 9 == 6 ? 0.5f : 0.0f,
        .seed = 1000 + i,
        .logprobs = i % 2,
        .bias = bias,
        .bias_count = i % 10 == 7 ? 2 : 0,
    };
    *row = (struct draw_row){
        .by_host = i % 3 == 2,
        .logprob = sampling->logprobs,
        .seed = sampling->seed,
        .temperature = sampling->temperature,
        .top_p = sampling->top_p,
        .min_p = sampling->min_p,
        .top_k = sampling->top_k,
        .repetition_penalty = sampling->repetition_penalty,
        .presence_penalty = sampling->presence_penalty,
        .choice = i % 2,
        .prompt = history,
        .output = history + 3,
        .forbidden = forbidden,
        .biases = bias,
        .prompt_count = 3,
        .output_count = 2,
        .forbidden_count = i % 11 == 8 ? 2 : 0,
        .bias_count = sampling->bias_count,
    };
}

static struct sampled draw_here(struct sampler *sampler, const struct draw_row *row,
                                const struct sampling *sampling, float *logits)
{
    const struct sampler_input input = {
        .sampling = sampling,
        .prompt = row->prompt,
        .prompt_count = row->prompt_count,
        .output = row->output,
        .output_count = row->output_count,
        .choice = row->choice,
        .forbidden = row->forbidden,
        .forbidden_count = row->forbidden_count,
    };
    struct sampled sampled;
    assert_int_equal(sampler_draw(sampler, logits, &input, &sampled), 0);
    return sampled;
}

/* And the rows that are the host's, they alone, have their logits. */
static void tokens_drawn_on_the_device_are_the_samplers(void **state)
{
    (void)state;
    const struct tiny_model tiny = model_of(WEIGHT_F16, 4, 2, 16);
    struct backend *backend = open_gpu();
    struct model *model = load_reserved(&tiny, backend);
    struct sampler *sampler = sampler_new(TINY_VOCABULARY, NULL);
    struct batch batch;
    struct draw_row rows[TOKENS];
    struct sampling settings[TOKENS];
    struct model_results results;
    float *logits = logits_new(TOKENS);
    batch_init(&batch);
    batch_add(&batch, 0, 0, TOKENS);
    const struct model_step step = {batch.rows,  batch.tokens,  batch.positions,
                                    batch.spans, batch.span,    batch.tables,
                                    batch.rows,  batch.outputs, NULL};
    for (uint32_t i = 0; i < TOKENS; i++)
        vary(&rows[i], &settings[i], i);
    assert_true(model_draws(model));
    assert_int_equal(model_forward(model, &step, logits, NULL), 0);
    for (int turn = 0; turn < 2; turn++) {
        assert_int_equal(model_run(model, &step, rows, &results, NULL), 0);
        for (uint32_t i = 0; i < TOKENS; i++) {
            float row[TINY_VOCABULARY];
            const struct drawn *drawn = &results.drawn[i];
            memcpy(row, logits + (size_t)i * TINY_VOCABULARY, sizeof row);
            assert_int_equal(drawn->outcome, rows[i].by_host ? DRAW_LEFT : DRAW_DONE);
            if (rows[i].by_host) {
                assert_memory_equal(results.logits + (size_t)i * TINY_VOCABULARY, row, sizeof row);
                continue;
            }
            const struct sampled want = draw_here(sampler, &rows[i], &settings[i], row);
            assert_int_equal(drawn->token, want.token);
            assert_true(isnan(want.logprob) ? isnan(drawn->logprob)
                                            : drawn->logprob == want.logprob);
        }
    }
    free(logits);
    sampler_free(sampler);
    model_free(model);
    backend_close(backend);
    assert_int_equal(emulator_device_bytes(), 0);
}

static void a_mixture_gives_the_same_bits_alone_chunked_and_in_company(void **state)
{
    (void)state;
    struct tiny_model tiny = tiny_model_mixtral();
    tiny.type = WEIGHT_Q4_0;
    check_invariance(tiny, 33);
    tiny = tiny_model_qwen2moe();
    tiny.type = WEIGHT_F16;
    check_invariance(tiny, 5);
    tiny = tiny_model_qwen3moe();
    tiny.type = WEIGHT_Q8_0;
    check_invariance(tiny, 1);
}

/* Weights to the byte, but for two small arrays that no tensor is; steps and the cache exactly. */
static void expect_needs_as_told(const struct tiny_model *tiny)
{
    enum { OTHER_BYTES = 2 * DEVICE_MEMORY_UNIT };
    char path[TINY_PATH_BYTES];
    struct model_needs needs;
    uint64_t step_bytes = 0;
    struct backend *backend = open_gpu();
    tiny_model_write(tiny, path);
    assert_int_equal(model_read_needs(path, backend, &needs, NULL), 0);
    struct model *model = model_load(path, backend, NULL);
    unlink(path);
    assert_non_null(model);
    const uint64_t loaded = emulator_device_bytes();
    assert_true(loaded >= needs.weight_bytes && loaded <= needs.weight_bytes + OTHER_BYTES);
    const struct model_limits limits = {SEQUENCES * BLOCKS_EACH, TOKENS, SEQUENCES, TOKENS, TOKENS};
    assert_int_equal(model_step_bytes(&needs, &limits, backend, &step_bytes, NULL), 0);
    assert_int_equal(model_reserve(model, &limits, NULL), 0);
    const uint64_t cache = (uint64_t)limits.blocks * needs.shape.kv_block_bytes;
    const uint64_t taken = emulator_device_bytes() - loaded - cache;
    assert_true(taken >= step_bytes && taken < step_bytes + 32 * DEVICE_MEMORY_UNIT);
    model_free(model);
    backend_close(backend);
}

static void a_model_takes_what_it_was_told_to(void **state)
{
    (void)state;
    struct tiny_model models[] = {tiny_model_default(), tiny_model_mixtral(), tiny_model_qwen2moe(),
                                  tiny_model_qwen3moe()};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        expect_needs_as_told(&models[i]);
        models[i].type = WEIGHT_Q8_0;
        expect_needs_as_told(&models[i]);
    }
}

/* -- host arrays -- */

enum { HEADS = 4, KV_HEADS = 2, DIM = 16, WIDTH = HEADS * DIM, PAIR = KV_HEADS * DIM, ROWS = 40 };

static float *put_floats(struct backend *backend, size_t count, float first)
{
    float *host = malloc(count * sizeof *host);
    for (size_t i = 0; i < count; i++)
        host[i] = first + (float)((i * 7919) % 97) / 97.0f;
    float *device = backend->ops->memory_alloc(backend, count * sizeof *host, NULL);
    assert_non_null(device);
    backend->ops->copy_to_device(backend, device, host, count * sizeof *host);
    free(host);
    return device;
}

/* Rope, the cache, attention with each window, and a gather; `out` has ROWS rows a window and 2. */
#define WINDOWS 3u
static void run_ops(struct backend *backend, bool in_a_step, float *out)
{
    const struct backend_ops *ops = backend->ops;
    float *q = put_floats(backend, ROWS * WIDTH, 0.5f), *k = put_floats(backend, ROWS * PAIR, 0);
    float *v = put_floats(backend, ROWS * PAIR, -0.5f),
          *frequencies = put_floats(backend, DIM / 2, 0);
    float *attended = put_floats(backend, ROWS * WIDTH, 0),
          *few = put_floats(backend, 2 * WIDTH, 0);
    void *cache = ops->memory_alloc(backend, 8 * 2 * PAIR * KV_BLOCK_TOKENS * 2, NULL);
    uint32_t positions[ROWS], tables[16], rows[2] = {ROWS - 2, 3};
    const struct attention_span spans[] = {{0, ROWS - 1, 0, 9}, {ROWS - 1, 1, 0, 2}};
    for (uint32_t i = 0; i < 16; i++)
        tables[i] = i < 8 ? i : 15 - i; /* those of 9 and 2, which are used, differ */
    for (uint32_t i = 0; i < ROWS; i++)
        positions[i] = i == ROWS - 1 ? 0 : i;
    if (in_a_step)
        ops->step_begin(backend,
                        &(struct step_args){ROWS, NULL, positions, 2, spans, tables, 2, rows});
    ops->rope(backend, &(struct rope_args){q, ROWS, HEADS, DIM, DIM, ROPE_NORM, frequencies,
                                           positions, 1.0f});
    ops->kv_write(backend,
                  &(struct kv_write_args){k, v, cache, KV_HEADS, DIM, spans, 2, tables, KV_F16});
    for (uint32_t i = 0; i < WINDOWS; i++) {
        ops->attention(backend, &(struct attention_args){.q = q,
                                                         .cache = cache,
                                                         .heads = HEADS,
                                                         .kv_heads = KV_HEADS,
                                                         .head_dim = DIM,
                                                         .scale = 0.25f,
                                                         .window = i * 5,
                                                         .spans = spans,
                                                         .span_count = 2,
                                                         .block_tables = tables,
                                                         .out = attended});
        if (in_a_step && i + 1 < WINDOWS) /* copying back would end the step */
            continue;
        ops->gather(backend, &(struct gather_args){attended, rows, 2, WIDTH, few});
        ops->copy_from_device(backend, out + i * 2 * WIDTH, few, 2 * WIDTH * sizeof *few);
    }
    void *all[] = {q, k, v, frequencies, attended, few, cache};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ops->memory_free(backend, all[i]);
}

static void arrays_told_at_once_and_one_by_one_are_the_same(void **state)
{
    (void)state;
    struct backend *backend = open_gpu();
    const struct reserve_args args = {.rows_max = ROWS,
                                      .spans_max = 2,
                                      .columns_max = WIDTH,
                                      .context_max = 64,
                                      .heads = HEADS,
                                      .kv_heads = KV_HEADS,
                                      .head_dim = DIM};
    static float told[WINDOWS * 2 * WIDTH], loose[WINDOWS * 2 * WIDTH];
    const float *last = told + (WINDOWS - 1) * 2 * WIDTH;
    assert_int_equal(backend->ops->reserve(backend, &args, NULL), 0);
    for (uint32_t i = 0; i < 5; i++) { /* more often than the ring is long */
        run_ops(backend, true, told);
        run_ops(backend, false, loose);
        assert_memory_equal(last, loose + (WINDOWS - 1) * 2 * WIDTH, 2 * WIDTH * sizeof *last);
    }
    assert_int_equal(backend->ops->synchronize(backend, NULL), 0);
    assert_true(isfinite(last[0]) && last[0] != loose[0]); /* the windows differ */
    backend_close(backend);
}

static void what_attention_cannot_serve_is_refused(void **state)
{
    (void)state;
    struct error err = {0};
    uint64_t bytes;
    struct backend *backend = open_gpu();
    struct reserve_args args = {.rows_max = 4,
                                .spans_max = 4,
                                .columns_max = 64,
                                .context_max = 64,
                                .heads = 4,
                                .kv_heads = 2,
                                .head_dim = 24};
    assert_int_equal(backend->ops->reserve_bytes(&args, &bytes, &err), ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "heads of 24 dimensions are not served on a GPU"));
    args.head_dim = 64, args.heads = 34;
    assert_int_equal(backend->ops->reserve(backend, &args, &err), ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "17 query heads a KV head"));
    args.heads = 4, args.context_max = (1u << 24) + 1;
    assert_int_equal(backend->ops->reserve(backend, &args, &err), ERROR_UNSUPPORTED);
    backend_close(backend);
}

/* -- failing -- */

static void every_allocation_that_fails_is_an_error_and_leaves_nothing(void **state)
{
    (void)state;
    const struct tiny_model tiny = model_of(WEIGHT_Q8_0, 4, 2, 16);
    char path[TINY_PATH_BYTES];
    tiny_model_write(&tiny, path);
    const struct model_limits limits = {SEQUENCES * BLOCKS_EACH, TOKENS, SEQUENCES, TOKENS, TOKENS};
    for (uint32_t at = 2, whole = 0; whole == 0; at++) { /* the first is of opening */
        char number[16];
        struct error err = {0};
        (void)snprintf(number, sizeof number, "%u", at);
        set_machine("WEIR_EMULATOR_OUT_OF_MEMORY_AT", number);
        struct backend *backend = open_gpu();
        struct model *model = model_load(path, backend, &err);
        whole = model != NULL && model_reserve(model, &limits, &err) == 0;
        if (!whole)
            assert_int_equal(err.code, ERROR_NO_MEMORY);
        assert_true(at < 100);
        model_free(model);
        backend_close(backend);
        assert_int_equal(emulator_device_bytes(), 0);
    }
    unlink(path);
}

static void a_lost_device_is_told_once_and_stays_lost(void **state)
{
    (void)state;
    const struct tiny_model tiny = model_of(WEIGHT_F16, 4, 2, 16);
    struct batch batch;
    struct error err = {0};
    float *logits = logits_new(SEQUENCES * TOKENS);
    batch_init(&batch);
    struct backend *backend = open_gpu();
    struct model *model = load_reserved(&tiny, backend);
    batch_add(&batch, 0, 0, 5);
    assert_int_equal(batch_run(&batch, model, logits, &err), 0);
    set_machine("WEIR_EMULATOR_LOST_AT", "7");
    batch_add(&batch, 0, 5, 6);
    assert_int_equal(batch_run(&batch, model, logits, &err), ERROR_CLOSED);
    assert_non_null(strstr(err.text, "the GPU failed in "));
    assert_non_null(strstr(err.text, "(CUDA error 719)"));
    backend->ops->copy_from_device(backend, logits, NULL, sizeof *logits);
    assert_true(isnan(logits[0])); /* who looks is not deceived */
    unsigned kernels = emulator_kernels();
    char first[ERROR_TEXT_MAX];
    (void)snprintf(first, sizeof first, "%s", err.text);
    batch_add(&batch, 0, 6, 7);
    assert_int_equal(batch_run(&batch, model, logits, &err), ERROR_CLOSED);
    assert_string_equal(err.text, first);
    assert_int_equal(emulator_kernels(), kernels);
    free(logits);
    model_free(model);
    backend_close(backend);
}

int main(void)
{
#define ON_A_PLAIN_MACHINE(test) cmocka_unit_test_setup_teardown(test, plain_machine, plain_machine)
    const struct CMUnitTest tests[] = {
        ON_A_PLAIN_MACHINE(a_machine_without_a_gpu_is_told_with_what_helps),
        ON_A_PLAIN_MACHINE(memory_is_zeroed_aligned_and_copied),
        ON_A_PLAIN_MACHINE(memory_that_is_not_there_is_refused_with_numbers),
        ON_A_PLAIN_MACHINE(what_is_taken_together_is_one_allocation),
        ON_A_PLAIN_MACHINE(a_models_logits_are_the_cpus),
        ON_A_PLAIN_MACHINE(a_sequence_gets_the_same_bits_alone_chunked_and_in_company),
        ON_A_PLAIN_MACHINE(tokens_drawn_on_the_device_are_the_samplers),
        ON_A_PLAIN_MACHINE(a_mixtures_logits_are_the_cpus),
        ON_A_PLAIN_MACHINE(a_mixture_gives_the_same_bits_alone_chunked_and_in_company),
        ON_A_PLAIN_MACHINE(a_model_takes_what_it_was_told_to),
        ON_A_PLAIN_MACHINE(arrays_told_at_once_and_one_by_one_are_the_same),
        ON_A_PLAIN_MACHINE(what_attention_cannot_serve_is_refused),
        ON_A_PLAIN_MACHINE(every_allocation_that_fails_is_an_error_and_leaves_nothing),
        ON_A_PLAIN_MACHINE(a_lost_device_is_told_once_and_stays_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
