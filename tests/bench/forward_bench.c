/* SPDX-License-Identifier: Apache-2.0 */
/* forward_bench.c -- tokens a second of the forward pass alone: no scheduler, no sampling, no HTTP.
 *
 *     forward_bench MODEL.gguf [threads] [prefill tokens] [decode steps] [sequences]
 *
 * Each sequence's prompt is read in steps of STEP_ROWS rows at most, then all of them decode
 * together behind their prompts: what llama-batched-bench measures, printed under its names as one
 * line of JSON, with what a token costs in multiply-adds and a step in bytes of weights. */
#include "base/clock.h"
#include "models/model.h"

#include <stdio.h>
#include <stdlib.h>

#define STEP_ROWS 512u

struct bench {
    struct model *model;
    uint32_t prefill, steps, sequences, blocks_each;
    uint32_t *tokens, *positions, *output_rows, *tables;
    struct attention_span *spans;
};

static uint32_t token_at(const struct bench *bench, uint32_t index)
{
    return (index * 7919u + 13u) % model_shape(bench->model)->vocabulary;
}

/* `rows` tokens from `position` on of `sequences` sequences, the first of them `first`;
 * microseconds. */
static uint64_t run_step(struct bench *bench, uint32_t first, uint32_t sequences, uint32_t position,
                         uint32_t rows)
{
    struct model_step step = {.row_count = sequences * rows,
                              .tokens = bench->tokens,
                              .positions = bench->positions,
                              .span_count = sequences,
                              .spans = bench->spans,
                              .block_tables = bench->tables,
                              .output_count = sequences,
                              .output_rows = bench->output_rows};
    for (uint32_t i = 0; i < step.row_count; i++) {
        bench->positions[i] = position + i % rows;
        bench->tokens[i] = token_at(bench, bench->positions[i]);
    }
    for (uint32_t i = 0; i < sequences; i++) {
        bench->spans[i] =
            (struct attention_span){i * rows, rows, position, (first + i) * bench->blocks_each};
        bench->output_rows[i] = i * rows + rows - 1;
    }
    struct error err = {0};
    struct model_results results;
    uint64_t begin_us = clock_monotonic_us();
    if (model_run(bench->model, &step, NULL, &results, &err) != 0)
        fprintf(stderr, "forward: %s\n", err.text);
    return clock_monotonic_us() - begin_us;
}

static double measure_prefill(struct bench *bench)
{
    uint64_t us = 0;
    for (uint32_t sequence = 0; sequence < bench->sequences; sequence++)
        for (uint32_t position = 0; position < bench->prefill; position += STEP_ROWS) {
            uint32_t left = bench->prefill - position;
            us += run_step(bench, sequence, 1, position, left < STEP_ROWS ? left : STEP_ROWS);
        }
    return (double)bench->sequences * bench->prefill * 1e6 / (double)us;
}

static double measure_decode(struct bench *bench)
{
    uint64_t us = 0;
    for (uint32_t i = 0; i < bench->steps; i++)
        us += run_step(bench, 0, bench->sequences, bench->prefill + i, 1);
    return (double)bench->sequences * bench->steps * 1e6 / (double)us;
}

static int bench_init(struct bench *bench, struct error *err)
{
    uint32_t context = bench->prefill + bench->steps;
    uint32_t rows_max = bench->sequences > STEP_ROWS ? bench->sequences : STEP_ROWS;
    bench->blocks_each = context / KV_BLOCK_TOKENS + 1;
    uint32_t blocks = bench->sequences * bench->blocks_each;
    bench->tokens = calloc(rows_max, sizeof *bench->tokens);
    bench->positions = calloc(rows_max, sizeof *bench->positions);
    bench->output_rows = calloc(bench->sequences, sizeof *bench->output_rows);
    bench->spans = calloc(bench->sequences, sizeof *bench->spans);
    bench->tables = calloc(blocks, sizeof *bench->tables);
    if (bench->tokens == NULL || bench->positions == NULL || bench->output_rows == NULL ||
        bench->spans == NULL || bench->tables == NULL)
        return error_no_memory(err);
    for (uint32_t i = 0; i < blocks; i++)
        bench->tables[i] = i;
    const struct model_limits limits = {blocks, rows_max, bench->sequences, bench->sequences,
                                        context};
    return model_reserve(bench->model, &limits, err);
}

/* Of one token that passes through the layers; the head is for the last of a prompt alone. */
static uint64_t multiply_adds(const struct model_shape *shape)
{
    uint64_t heads = (uint64_t)shape->heads * shape->head_dim;
    uint64_t kv = 2ull * shape->kv_heads * shape->head_dim;
    return shape->layers * shape->width * (2 * heads + kv + 3ull * shape->feed_forward);
}

static uint64_t weight_bytes(const struct gguf *file)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < gguf_tensor_count(file); i++)
        bytes += gguf_tensor_at(file, i)->bytes_count;
    const struct gguf_tensor *embedding = gguf_tensor_find(file, "token_embd.weight");
    if (embedding != NULL && gguf_tensor_find(file, "output.weight") != NULL)
        bytes -= embedding->bytes_count; /* a few of its rows are read, not the whole */
    return bytes;
}

static void measure(struct bench *bench)
{
    double prefill = measure_prefill(bench), decode = measure_decode(bench);
    printf("{\"pp\": %u, \"tg\": %u, \"pl\": %u, \"speed_pp\": %.2f, \"speed_tg\": %.2f, "
           "\"multiply_adds_per_token\": %llu, \"weight_bytes_per_step\": %llu}\n",
           bench->prefill, bench->steps, bench->sequences, prefill, decode,
           (unsigned long long)multiply_adds(model_shape(bench->model)),
           (unsigned long long)weight_bytes(model_file(bench->model)));
}

static uint32_t number(int argc, char **argv, int index, uint32_t otherwise)
{
    uint32_t value = argc > index ? (uint32_t)strtoul(argv[index], NULL, 10) : otherwise;
    return value > 0 ? value : otherwise;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s MODEL.gguf [threads] [prefill] [decode] [sequences]\n", argv[0]);
        return 2;
    }
    struct error err = {0};
    struct bench bench = {.prefill = number(argc, argv, 3, 512),
                          .steps = number(argc, argv, 4, 32),
                          .sequences = number(argc, argv, 5, 1)};
    struct backend *backend = backend_open(
        &(struct backend_config){"cpu", number(argc, argv, 2, 0), 0, NULL, KV_F16}, &err);
    if (backend != NULL)
        bench.model = model_load(argv[1], backend, &err);
    int status = 1;
    if (bench.model == NULL || bench_init(&bench, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
    } else {
        measure(&bench);
        status = 0;
    }
    free(bench.tokens), free(bench.positions), free(bench.output_rows), free(bench.spans);
    free(bench.tables);
    model_free(bench.model);
    backend_close(backend);
    return status;
}
