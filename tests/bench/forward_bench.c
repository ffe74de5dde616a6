/* SPDX-License-Identifier: Apache-2.0 */
/* forward_bench.c -- tokens a second of the forward pass alone: no scheduler, no sampling, no HTTP.
 *
 *     forward_bench MODEL.gguf [threads] [prefill tokens] [decode steps]
 *
 * Prefill runs one prompt in one step; decode runs 1, 8 and 32 sequences a step, each with CONTEXT
 * tokens behind it. Best of three, for a machine has other things to do. */
#include "base/clock.h"
#include "models/model.h"

#include <stdio.h>
#include <stdlib.h>

#define SEQUENCES_MAX 32u
#define CONTEXT       64u
#define ROUNDS        3

struct bench {
    struct model *model;
    uint32_t rows, steps, blocks_each;
    uint32_t *tokens, *positions, *output_rows, *tables;
    struct attention_span *spans;
    float *logits;
};

static uint32_t token_at(const struct bench *bench, uint32_t index)
{
    return (index * 7919u + 13u) % model_shape(bench->model)->vocabulary;
}

/* `rows` tokens of each sequence from `position` on; microseconds. */
static uint64_t run_step(struct bench *bench, uint32_t sequences, uint32_t position, uint32_t rows,
                         uint32_t outputs)
{
    struct model_step step = {.row_count = sequences * rows,
                              .tokens = bench->tokens,
                              .positions = bench->positions,
                              .span_count = sequences,
                              .spans = bench->spans,
                              .block_tables = bench->tables,
                              .output_count = outputs,
                              .output_rows = bench->output_rows};
    for (uint32_t i = 0; i < step.row_count; i++) {
        bench->positions[i] = position + i % rows;
        bench->tokens[i] = token_at(bench, bench->positions[i]);
    }
    for (uint32_t i = 0; i < sequences; i++) {
        bench->spans[i] = (struct attention_span){i * rows, rows, position, i * bench->blocks_each};
        bench->output_rows[i] = i * rows + rows - 1;
    }
    struct error err = {0};
    uint64_t begin_us = clock_monotonic_us();
    if (model_forward(bench->model, &step, bench->logits, &err) != 0)
        fprintf(stderr, "forward: %s\n", err.text);
    return clock_monotonic_us() - begin_us;
}

static void measure_prefill(struct bench *bench)
{
    uint64_t best_us = UINT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t us = run_step(bench, 1, 0, bench->rows, 1);
        best_us = us < best_us ? us : best_us;
    }
    printf("prefill %u: %.0f tokens/s\n", bench->rows, bench->rows * 1e6 / (double)best_us);
}

static void measure_decode(struct bench *bench, uint32_t sequences)
{
    uint64_t best_us = UINT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        for (uint32_t position = 0; position < CONTEXT; position += 16)
            run_step(bench, sequences, position, 16, 0);
        uint64_t us = 0;
        for (uint32_t i = 0; i < bench->steps; i++)
            us += run_step(bench, sequences, CONTEXT + i, 1, sequences);
        best_us = us < best_us ? us : best_us;
    }
    printf("decode x %u: %.0f tokens/s, %.2f ms a step\n", sequences,
           sequences * bench->steps * 1e6 / (double)best_us, (double)best_us / 1e3 / bench->steps);
}

static int bench_init(struct bench *bench, uint32_t rows, uint32_t steps, struct error *err)
{
    uint32_t context = rows > CONTEXT + steps ? rows : CONTEXT + steps;
    uint32_t rows_max = rows > 16 * SEQUENCES_MAX ? rows : 16 * SEQUENCES_MAX;
    bench->rows = rows;
    bench->steps = steps;
    bench->blocks_each = context / KV_BLOCK_TOKENS + 1;
    uint32_t blocks = SEQUENCES_MAX * bench->blocks_each;
    bench->tokens = calloc(rows_max, sizeof *bench->tokens);
    bench->positions = calloc(rows_max, sizeof *bench->positions);
    bench->output_rows = calloc(SEQUENCES_MAX, sizeof *bench->output_rows);
    bench->spans = calloc(SEQUENCES_MAX, sizeof *bench->spans);
    bench->tables = calloc(blocks, sizeof *bench->tables);
    bench->logits = calloc((size_t)SEQUENCES_MAX * model_shape(bench->model)->vocabulary,
                           sizeof *bench->logits);
    if (bench->tokens == NULL || bench->positions == NULL || bench->output_rows == NULL ||
        bench->spans == NULL || bench->tables == NULL || bench->logits == NULL)
        return error_no_memory(err);
    for (uint32_t i = 0; i < blocks; i++)
        bench->tables[i] = i;
    return model_reserve(bench->model, blocks, rows_max, SEQUENCES_MAX, context, err);
}

static uint32_t number(int argc, char **argv, int index, uint32_t otherwise)
{
    return argc > index ? (uint32_t)strtoul(argv[index], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s MODEL.gguf [threads] [prefill tokens] [decode steps]\n",
                argv[0]);
        return 2;
    }
    struct error err = {0};
    struct bench bench = {0};
    struct backend *backend =
        backend_open(&(struct backend_config){"cpu", number(argc, argv, 2, 0), 0}, &err);
    uint64_t begin_us = clock_monotonic_us();
    if (backend != NULL)
        bench.model = model_load(argv[1], backend, &err);
    int status = 1;
    if (bench.model == NULL ||
        bench_init(&bench, number(argc, argv, 3, 512), number(argc, argv, 4, 64), &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
    } else {
        printf("%s: loaded in %.0f ms, %zu bytes beyond the file\n", backend->ops->name,
               (double)(clock_monotonic_us() - begin_us) / 1e3, model_weight_bytes(bench.model));
        measure_prefill(&bench);
        measure_decode(&bench, 1);
        measure_decode(&bench, 8);
        measure_decode(&bench, SEQUENCES_MAX);
        status = 0;
    }
    free(bench.tokens), free(bench.positions), free(bench.output_rows), free(bench.spans);
    free(bench.tables), free(bench.logits);
    model_free(bench.model);
    backend_close(backend);
    return status;
}
