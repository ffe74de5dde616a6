/* SPDX-License-Identifier: Apache-2.0 */
/* roofline_test.c -- bytes that kernels/roofline tells, against those that the kernels themselves
 * ask of an emulated GPU's memory (emulator_traffic.h). Built as counted kernels are.
 *
 * Each case runs twice, on the counted GPU and on the backend that counts. Kernel by kernel, there
 * must be as many launches, and bytes read and written within 2%. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "emulator_traffic.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/roofline/roofline.h"
#include "models/model.h"
#include "tests/unit/models/tiny_model.h"

#define TOLERANCE    0.02
#define TRAFFIC_MAX  128u
#define ROWS_MAX     150u
#define SPANS_MAX    12u
#define CONTEXT_MAX  1536u
#define EXPERTS_MAX  24u
#define TOP_K_MAX    3u
#define TABLE_BLOCKS (CONTEXT_MAX / KV_BLOCK_TOKENS)
#define VOCABULARY   49984u /* of draws: whole blocks */

/* -- two counts of one run -- */

/* "(norm_rows<THREADS, VECTOR>)" and "attend (decode)" without what is around the name. */
static size_t bare_name(const char **name)
{
    *name += **name == '(';
    return strcspn(*name, "<) ");
}

static bool same_name(const char *a, const char *b)
{
    const size_t a_count = bare_name(&a), b_count = bare_name(&b);
    return a_count == b_count && memcmp(a, b, a_count) == 0;
}

/* What a kernel did in all its forms. */
static struct roofline_kernel told_of(const char *name, const struct roofline_kernel *kernels,
                                      uint32_t count)
{
    struct roofline_kernel sum = {.name = name};
    for (uint32_t i = 0; i < count; i++) {
        if (!same_name(name, kernels[i].name))
            continue;
        sum.launches += kernels[i].launches;
        sum.read_bytes += kernels[i].read_bytes;
        sum.written_bytes += kernels[i].written_bytes;
    }
    return sum;
}

static struct roofline_kernel counted_of(const char *name, const struct emulator_traffic *entries,
                                         uint32_t count)
{
    struct roofline_kernel sum = {.name = name};
    for (uint32_t i = 0; i < count; i++) {
        if (!same_name(name, entries[i].kernel))
            continue;
        sum.launches += entries[i].launches;
        sum.read_bytes += entries[i].read_sectors * EMULATOR_SECTOR_BYTES;
        sum.written_bytes += entries[i].written_sectors * EMULATOR_SECTOR_BYTES;
    }
    return sum;
}

static void expect_near(const char *run, const char *kernel, const char *what, uint64_t told,
                        uint64_t counted)
{
    const double off = (double)told - (double)counted;
    if (off > TOLERANCE * (double)counted || -off > TOLERANCE * (double)counted)
        fail_msg("%s: %s: %s: told %llu bytes, counted %llu", run, kernel, what,
                 (unsigned long long)told, (unsigned long long)counted);
}

static void compare(const char *run, const struct backend *roofline)
{
    struct emulator_traffic counted[TRAFFIC_MAX];
    struct roofline_kernel told[ROOFLINE_KERNELS_MAX];
    const uint32_t counted_count = emulator_traffic_read(counted, TRAFFIC_MAX);
    const uint32_t told_count = roofline_read(roofline, told);
    assert_in_range(counted_count, 1, TRAFFIC_MAX);
    for (uint32_t i = 0; i < counted_count; i++)
        if (told_of(counted[i].kernel, told, told_count).launches == 0)
            fail_msg("%s: nothing is told of %s", run, counted[i].kernel);
    for (uint32_t i = 0; i < told_count; i++) {
        if (strcmp(told[i].name, ROOFLINE_TO_HOST) == 0)
            continue;
        const struct roofline_kernel mine = told_of(told[i].name, told, told_count);
        const struct roofline_kernel theirs = counted_of(told[i].name, counted, counted_count);
        if (mine.launches != theirs.launches)
            fail_msg("%s: %s: told %llu launches, counted %llu", run, told[i].name,
                     (unsigned long long)mine.launches, (unsigned long long)theirs.launches);
        expect_near(run, told[i].name, "read", mine.read_bytes, theirs.read_bytes);
        expect_near(run, told[i].name, "written", mine.written_bytes, theirs.written_bytes);
    }
}

struct backends {
    struct backend *gpu, *roofline;
};

static struct backends open_both(void)
{
    struct error err = {0};
    struct backends both = {cuda_backend_open(&err), roofline_open(&err)};
    if (both.gpu == NULL || both.roofline == NULL)
        fail_msg("%s", err.text);
    return both;
}

static void reset_both(const struct backends *both)
{
    emulator_traffic_reset();
    roofline_reset(both->roofline);
}

static void close_both(const struct backends *both)
{
    backend_close(both->gpu);
    backend_close(both->roofline);
}

/* -- steps: spans of given lengths, each from a given position -- */

struct batch {
    uint32_t rows, spans, outputs;
    uint32_t tokens[ROWS_MAX], positions[ROWS_MAX], output_rows[ROWS_MAX];
    struct attention_span span[SPANS_MAX];
    uint32_t tables[SPANS_MAX * TABLE_BLOCKS];
};

static struct batch batch_new(void)
{
    struct batch batch = {0};
    for (uint32_t i = 0; i < SPANS_MAX * TABLE_BLOCKS; i++)
        batch.tables[i] = i;
    return batch;
}

static void batch_add(struct batch *batch, uint32_t rows, uint32_t position)
{
    assert_in_range(batch->rows + rows, 1, ROWS_MAX);
    assert_in_range(position + rows, 1, CONTEXT_MAX);
    batch->span[batch->spans] =
        (struct attention_span){batch->rows, rows, position, batch->spans * TABLE_BLOCKS};
    batch->spans++;
    for (uint32_t i = 0; i < rows; i++, batch->rows++) {
        batch->tokens[batch->rows] = batch->rows * 16 % TINY_VOCABULARY;
        batch->positions[batch->rows] = position + i;
    }
    batch->output_rows[batch->outputs++] = batch->rows - 1;
}

/* -- whole models -- */

static struct model *load(const struct tiny_model *tiny, struct backend *backend)
{
    char path[TINY_PATH_BYTES];
    struct error err = {0};
    tiny_model_write(tiny, path);
    struct model *model = model_load(path, backend, &err);
    unlink(path);
    const struct model_limits limits = {SPANS_MAX * TABLE_BLOCKS, ROWS_MAX, SPANS_MAX, SPANS_MAX,
                                        CONTEXT_MAX};
    if (model == NULL || model_reserve(model, &limits, &err) != 0)
        fail_msg("%s", err.text);
    return model;
}

static void forward(struct model *model, const struct batch *batch)
{
    struct error err = {0};
    float *logits = calloc((size_t)batch->outputs * TINY_VOCABULARY, sizeof *logits);
    const struct model_step step = {.row_count = batch->rows,
                                    .tokens = batch->tokens,
                                    .positions = batch->positions,
                                    .span_count = batch->spans,
                                    .spans = batch->span,
                                    .block_tables = batch->tables,
                                    .output_count = batch->outputs,
                                    .output_rows = batch->output_rows};
    if (model_forward(model, &step, logits, &err) != 0)
        fail_msg("%s", err.text);
    free(logits);
}

/* A decode alone, decodes together with long contexts among them, a prompt, both kinds at once. */
static void compare_model(const char *name, const struct tiny_model *tiny)
{
    static const struct {
        const char *name;
        uint32_t spans[6][2]; /* rows, position */
    } steps[] = {
        {"one decode", {{1, 99}}},
        {"decodes", {{1, 0}, {1, 15}, {1, 16}, {1, 700}, {1, 1300}, {1, 40}}},
        {"prompt", {{70, 0}}},
        {"chunks", {{90, 500}, {20, 7}}},
        {"mixed", {{1, 600}, {35, 30}, {1, 33}, {3, 510}}},
    };
    const struct backends both = open_both();
    struct model *on_gpu = load(tiny, both.gpu), *told = load(tiny, both.roofline);
    assert_int_equal(model_weight_bytes(on_gpu), model_weight_bytes(told));
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct batch batch = batch_new();
        char run[96];
        for (uint32_t j = 0; j < 6 && steps[i].spans[j][0] > 0; j++)
            batch_add(&batch, steps[i].spans[j][0], steps[i].spans[j][1]);
        (void)snprintf(run, sizeof run, "%s, %s", name, steps[i].name);
        reset_both(&both);
        forward(on_gpu, &batch);
        forward(told, &batch);
        compare(run, both.roofline);
    }
    model_free(on_gpu), model_free(told);
    close_both(&both);
}

static struct tiny_model model_of(enum weight_type type, uint32_t heads, uint32_t kv_heads,
                                  uint32_t head_dim)
{
    struct tiny_model tiny = tiny_model_default();
    tiny.width = 256;
    tiny.feed_forward = 320;
    tiny.type = type;
    tiny.heads = heads;
    tiny.kv_heads = kv_heads;
    tiny.head_dim = head_dim;
    tiny.context = CONTEXT_MAX;
    return tiny;
}

static void a_models_steps_move_what_is_told(void **state)
{
    (void)state;
    struct tiny_model tiny = model_of(WEIGHT_Q4_0, 4, 2, 64);
    compare_model("Q4_0", &tiny);
    tiny = model_of(WEIGHT_F16, 2, 1, 128);
    tiny.untied = tiny.biases = true;
    compare_model("F16", &tiny);
}

/* -- ops by themselves: the same calls on both -- */

struct bench {
    struct backends both;
    struct backend *backend; /* the one whose turn it is */
};

static float *floats(const struct bench *bench, size_t count)
{
    float *device = bench->backend->ops->memory_alloc(bench->backend, count * sizeof *device, NULL);
    assert_non_null(device);
    return device;
}

static struct weight *matrices(const struct bench *bench, enum weight_type type, uint32_t rows,
                               uint32_t columns, uint32_t count)
{
    struct error err = {0};
    void *bytes = calloc((size_t)rows * count, quant_row_bytes(quant_format_find(type), columns));
    const struct weight_source source = {bytes, type, rows, columns, count};
    struct weight *weight = bench->backend->ops->weight_prepare(bench->backend, &source, &err);
    if (weight == NULL)
        fail_msg("%s", err.text);
    free(bytes);
    return weight;
}

static struct weight *matrix(const struct bench *bench, enum weight_type type, uint32_t rows,
                             uint32_t columns)
{
    return matrices(bench, type, rows, columns, 1);
}

static void reserve(const struct bench *bench, uint32_t columns, uint32_t head_dim)
{
    const struct reserve_args args = {.rows_max = ROWS_MAX,
                                      .spans_max = SPANS_MAX,
                                      .columns_max = columns,
                                      .context_max = CONTEXT_MAX,
                                      .heads = 8,
                                      .kv_heads = 2,
                                      .head_dim = head_dim,
                                      .outputs_max = SPANS_MAX,
                                      .vocabulary = VOCABULARY,
                                      .experts = EXPERTS_MAX,
                                      .top_k = TOP_K_MAX,
                                      .expert_columns_max = columns};
    assert_int_equal(bench->backend->ops->reserve(bench->backend, &args, NULL), 0);
}

/* `op` takes memory, resets the counts and calls. */
static void run_on_both(const char *name, void (*op)(struct bench *bench, const void *details),
                        const void *details)
{
    struct bench bench = {.both = open_both()};
    struct error err = {0};
    bench.backend = bench.both.roofline;
    op(&bench, details);
    bench.backend = bench.both.gpu;
    op(&bench, details);
    if (bench.both.gpu->ops->synchronize(bench.both.gpu, &err) != 0)
        fail_msg("%s: %s", name, err.text);
    compare(name, bench.both.roofline);
    close_both(&bench.both);
}

/* The GPU comes second: what it has counted until then was its own beginning. */
static void count_from_here(const struct bench *bench)
{
    emulator_traffic_reset();
    if (bench->backend == bench->both.roofline)
        roofline_reset(bench->backend);
}

#define TYPES 11u
static const enum weight_type types[TYPES] = {WEIGHT_F32,  WEIGHT_F16,  WEIGHT_BF16, WEIGHT_Q4_0,
                                              WEIGHT_Q4_1, WEIGHT_Q5_0, WEIGHT_Q5_1, WEIGHT_Q8_0,
                                              WEIGHT_Q4_K, WEIGHT_Q5_K, WEIGHT_Q6_K};

struct product {
    enum weight_type types[2];
    uint32_t rows, columns;
};

/* Two matrices of rows that fill no tile, one with a bias. */
static void multiply(struct bench *bench, const void *details)
{
    const struct product *product = details;
    const struct backend_ops *ops = bench->backend->ops;
    const uint32_t outputs[2] = {200, 37};
    struct linear_args args = {.x = floats(bench, (size_t)product->rows * product->columns),
                               .rows = product->rows,
                               .weight_count = 2,
                               .biases = {floats(bench, outputs[0]), NULL}};
    for (uint32_t i = 0; i < 2; i++) {
        args.weights[i] = matrix(bench, product->types[i], outputs[i], product->columns);
        args.outs[i] = floats(bench, (size_t)product->rows * outputs[i]);
    }
    reserve(bench, product->columns, 64);
    count_from_here(bench);
    ops->linear(bench->backend, &args);
    assert_int_equal(ops->synchronize(bench->backend, NULL), 0);
    for (uint32_t i = 0; i < 2; i++)
        ops->weight_free(bench->backend, (struct weight *)args.weights[i]);
}

static void products_of_each_type_move_what_is_told(void **state)
{
    (void)state;
    static const uint32_t rows[] = {1, 3, 11, 40};
    for (uint32_t i = 0; i < TYPES; i++) {
        const struct quant_format *format = quant_format_find(types[i]);
        for (size_t j = 0; j < sizeof rows / sizeof *rows; j++) {
            /* of 32 a block: an odd number of them; of one: no whole step */
            const uint32_t columns = format->block_weights == 256  ? 768
                                     : format->block_weights == 32 ? 352
                                                                   : 350;
            struct product product = {{types[i], types[i]}, rows[j], columns};
            run_on_both(format->name, multiply, &product);
        }
    }
    struct product mixed = {{WEIGHT_Q6_K, WEIGHT_F16}, 5, 512};
    run_on_both("Q6_K and F16", multiply, &mixed);
}

static void look_up(struct bench *bench, const void *details)
{
    const enum weight_type type = *(const enum weight_type *)details;
    const uint32_t tokens[] = {3, 77, 1999, 1000, 5, 77, 512, 13}; /* 5 and 13 lie together */
    struct weight *table = matrix(bench, type, 2000, 512);
    float *out = floats(bench, (size_t)8 * 512);
    reserve(bench, 512, 64);
    count_from_here(bench);
    bench->backend->ops->embed(bench->backend, &(struct embed_args){table, tokens, 8, out});
    assert_int_equal(bench->backend->ops->synchronize(bench->backend, NULL), 0);
    bench->backend->ops->weight_free(bench->backend, table);
}

static void rows_of_each_type_move_what_is_told(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < TYPES; i++)
        run_on_both(quant_format_find(types[i])->name, look_up, &types[i]);
}

enum { ROWS = 21, WIDTH = 1032, EXPERTS = 24, TOP_K = 3 };

static void over_elements(struct bench *bench, const void *details)
{
    (void)details;
    struct backend *backend = bench->backend;
    const struct backend_ops *ops = backend->ops;
    float *x = floats(bench, (size_t)ROWS * WIDTH), *y = floats(bench, (size_t)ROWS * WIDTH);
    float *out = floats(bench, (size_t)ROWS * WIDTH);
    float *gain = floats(bench, WIDTH), *bias = floats(bench, WIDTH);
    float *scores = floats(bench, ROWS * EXPERTS), *weights = floats(bench, ROWS * TOP_K);
    uint32_t *entries[4], positions[ROWS];
    for (uint32_t i = 0; i < 4; i++)
        entries[i] = (uint32_t *)floats(bench, ROWS * TOP_K + EXPERTS + 1);
    for (uint32_t i = 0; i < ROWS; i++)
        positions[i] = i * 3;
    reserve(bench, WIDTH, 64);
    count_from_here(bench);
    ops->layer_norm(backend,
                    &(struct layer_norm_args){x, NULL, gain, bias, 1e-5f, ROWS, WIDTH, out});
    ops->layer_norm(backend, &(struct layer_norm_args){x, y, gain, NULL, 1e-5f, ROWS, WIDTH, out});
    ops->add(backend, &(struct add_args){x, y, ROWS * WIDTH});
    ops->gated(backend, &(struct gated_args){x, y, ROWS * WIDTH, ACTIVATION_GELU_TANH, out});
    /* of 12 heads of 80 dimensions, 32 turn */
    ops->rope(backend, &(struct rope_args){x, ROWS, 12, 80, 32, ROPE_NEOX, gain, positions, 1.0f});
    ops->moe_route(backend,
                   &(struct moe_route_args){scores, ROWS, EXPERTS, TOP_K, true, 1.0f, entries[0],
                                            weights, entries[1], entries[2], entries[3]});
}

static void ops_over_elements_move_what_is_told(void **state)
{
    (void)state;
    run_on_both("elements", over_elements, NULL);
}

struct by_expert {
    enum weight_type type;
    uint32_t rows, experts;
};

/* Row after row takes the next two experts, so that all have as many rows. */
static void put_scores(const struct bench *bench, const struct by_expert *of, float *scores)
{
    float *host = calloc((size_t)of->rows * of->experts, sizeof *host);
    for (uint32_t entry = 0; entry < 2 * of->rows; entry++)
        host[entry / 2 * of->experts + entry % of->experts] = 9.0f;
    bench->backend->ops->copy_to_device(bench->backend, scores, host,
                                        (size_t)of->rows * of->experts * sizeof *host);
    free(host);
}

static void ask_experts(struct bench *bench, const void *details)
{
    enum { COLUMNS = 512, HIDDEN = 256 };
    const struct by_expert *of = details;
    const struct backend_ops *ops = bench->backend->ops;
    const uint32_t entries = 2 * of->rows;
    float *scores = floats(bench, (size_t)of->rows * of->experts), *out;
    struct weight *up = matrices(bench, of->type, HIDDEN, COLUMNS, of->experts);
    struct weight *down = matrices(bench, of->type, COLUMNS, HIDDEN, of->experts);
    const struct moe_route_args route = {.scores = scores,
                                         .rows = of->rows,
                                         .experts = of->experts,
                                         .top_k = 2,
                                         .scale = 1.0f,
                                         .chosen = (uint32_t *)floats(bench, entries),
                                         .weights = floats(bench, entries),
                                         .expert_begins =
                                             (uint32_t *)floats(bench, of->experts + 1),
                                         .order = (uint32_t *)floats(bench, entries),
                                         .places = (uint32_t *)floats(bench, entries)};
    struct moe_linear_args product = {.x = floats(bench, (size_t)of->rows * COLUMNS),
                                      .rows = of->rows,
                                      .experts = of->experts,
                                      .top_k = 2,
                                      .expert_begins = route.expert_begins,
                                      .order = route.order,
                                      .weight_count = 1,
                                      .weights = {up},
                                      .outs = {floats(bench, (size_t)entries * HIDDEN)}};
    out = floats(bench, (size_t)entries * COLUMNS);
    const struct moe_combine_args sum = {.x = out,
                                         .places = route.places,
                                         .weights = route.weights,
                                         .rows = of->rows,
                                         .top_k = 2,
                                         .width = COLUMNS,
                                         .shared = floats(bench, (size_t)of->rows * COLUMNS),
                                         .shared_scores = floats(bench, of->rows),
                                         .out = floats(bench, (size_t)of->rows * COLUMNS)};
    reserve(bench, COLUMNS, 64);
    put_scores(bench, of, scores);
    count_from_here(bench);
    ops->moe_route(bench->backend, &route);
    ops->moe_linear(bench->backend, &product);
    product.x = product.outs[0], product.by_place = true;
    product.weights[0] = down, product.outs[0] = out;
    ops->moe_linear(bench->backend, &product);
    ops->moe_combine(bench->backend, &sum);
    assert_int_equal(ops->synchronize(bench->backend, NULL), 0);
    ops->weight_free(bench->backend, up);
    ops->weight_free(bench->backend, down);
}

static void experts_asked_alike_move_what_is_told(void **state)
{
    (void)state;
    static const enum weight_type of[] = {WEIGHT_F32, WEIGHT_F16, WEIGHT_Q4_1, WEIGHT_Q6_K};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        run_on_both("few rows an expert", ask_experts, &(struct by_expert){of[i], 20, 8});
        run_on_both("many rows an expert", ask_experts, &(struct by_expert){of[i], 80, 4});
        run_on_both("a row alone", ask_experts, &(struct by_expert){of[i], 1, 2});
    }
}

struct attending {
    uint32_t head_dim, window;
    bool sinks;
};

static void attend_to(struct bench *bench, const void *details)
{
    const struct attending *of = details;
    const struct backend_ops *ops = bench->backend->ops;
    struct batch batch = batch_new();
    batch_add(&batch, 1, 1400);
    batch_add(&batch, 66, 800);
    batch_add(&batch, 1, 3);
    batch_add(&batch, 4, 1020);
    const size_t kv = (size_t)2 * of->head_dim, row = (size_t)8 * of->head_dim;
    void *cache = floats(bench, SPANS_MAX * TABLE_BLOCKS * KV_BLOCK_TOKENS * kv);
    const struct kv_write_args write = {.k = floats(bench, ROWS_MAX * kv),
                                        .v = floats(bench, ROWS_MAX * kv),
                                        .cache = cache,
                                        .kv_heads = 2,
                                        .head_dim = of->head_dim,
                                        .spans = batch.span,
                                        .span_count = batch.spans,
                                        .block_tables = batch.tables};
    const struct attention_args args = {.q = floats(bench, ROWS_MAX * row),
                                        .cache = cache,
                                        .heads = 8,
                                        .kv_heads = 2,
                                        .head_dim = of->head_dim,
                                        .scale = 0.1f,
                                        .window = of->window,
                                        .spans = batch.span,
                                        .span_count = batch.spans,
                                        .block_tables = batch.tables,
                                        .out = floats(bench, ROWS_MAX * row),
                                        .sinks = of->sinks ? floats(bench, 8) : NULL};
    reserve(bench, (uint32_t)row, of->head_dim);
    count_from_here(bench);
    ops->kv_write(bench->backend, &write);
    ops->attention(bench->backend, &args);
    assert_int_equal(ops->synchronize(bench->backend, NULL), 0);
}

static void attention_moves_what_is_told(void **state)
{
    (void)state;
    static const struct attending each[] = {
        {64, 0, true}, {80, 700, false}, {128, 0, false}, {256, 100, true}};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        run_on_both("attention", attend_to, &each[i]);
}

struct drawing {
    const char *name;
    struct draw_row rows[3];
    uint32_t candidates; /* high logits, far apart; 0: all are different */
};

/* High ones stand at the end, so that a draw looks at all blocks before it. */
static void draw(struct bench *bench, const void *details)
{
    const struct drawing *drawing = details;
    const struct backend_ops *ops = bench->backend->ops;
    struct drawn drawn[3];
    float *host = calloc((size_t)3 * VOCABULARY, sizeof *host);
    for (uint32_t i = 0; i < 3 * VOCABULARY; i++) {
        const uint32_t token = i % VOCABULARY, left = VOCABULARY - 1 - token;
        if (drawing->candidates == 0)
            host[i] = (float)(token * 7919u % 10007u) / 1000.0f;
        else
            host[i] = left % 70 == 0 && left / 70 < drawing->candidates ? 100.0f : 0.0f;
    }
    float *logits = floats(bench, (size_t)3 * VOCABULARY);
    ops->copy_to_device(bench->backend, logits, host, (size_t)3 * VOCABULARY * sizeof *host);
    free(host);
    reserve(bench, 64, 64);
    count_from_here(bench);
    ops->draw(bench->backend, &(struct draw_args){logits, 3, VOCABULARY, drawing->rows});
    assert_int_equal(ops->drawn(bench->backend, drawn, 3, NULL), 0);
    assert_int_equal(drawn[0].outcome, DRAW_DONE);
}

static void draws_move_what_is_told(void **state)
{
    (void)state;
#define ROW(share, ...)                                                                            \
    {                                                                                              \
        .top_p = share, .repetition_penalty = 1.0f, __VA_ARGS__                                    \
    }
    static const struct drawing each[] = {
        {"greedy", {ROW(1), ROW(1), ROW(1)}, 1},
        {"drawn", {ROW(1, .temperature = 1), ROW(1), ROW(1, .temperature = 1, .logprob = true)}, 1},
        {"bent",
         {ROW(1, .presence_penalty = 1, .temperature = 1), ROW(1, .frequency_penalty = 1),
          ROW(1, .presence_penalty = 1, .temperature = 1, .logprob = true)},
         1},
        {"top_p", {ROW(1, .temperature = 1), ROW(.9f, .temperature = 1), ROW(1)}, 256},
        {"top_k", {ROW(1, .temperature = 1, .top_k = 40), ROW(1), ROW(1)}, 0},
    };
#undef ROW
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        run_on_both(each[i].name, draw, &each[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_models_steps_move_what_is_told),
        cmocka_unit_test(products_of_each_type_move_what_is_told),
        cmocka_unit_test(rows_of_each_type_move_what_is_told),
        cmocka_unit_test(ops_over_elements_move_what_is_told),
        cmocka_unit_test(experts_asked_alike_move_what_is_told),
        cmocka_unit_test(attention_moves_what_is_told),
        cmocka_unit_test(draws_move_what_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
