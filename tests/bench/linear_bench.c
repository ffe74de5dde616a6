/* SPDX-License-Identifier: Apache-2.0 */
/* linear_bench.c -- what cpu_linear() makes of the machine, by weight type, shape and rows.
 *
 *     linear_bench [threads [level [type]]]        e.g.  linear_bench 2 avx2 Q4_1
 *
 * GB/s counts the weight once a call, whatever the cache did; Gop/s two operations a weight and
 * row. Each figure is the best of several runs: others may use the machine. */
#include "base/clock.h"
#include "kernels/cpu/weight.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_US 1000 /* shorter than a time slice, that some runs are ours alone */
#define RUNS   25

struct shape {
    uint32_t rows, columns;
};

struct bench {
    enum cpu_level level;
    struct pool *pool;
    float *x, *out;
    void *scratch;
};

static double now_s(void)
{
    return (double)clock_monotonic_us() * 1e-6;
}

static double best_seconds(struct bench *bench, const struct linear_args *args)
{
    double best = 1e9;
    for (int run = 0; run < RUNS; run++) {
        double start = now_s(), end;
        int calls = 0;
        do {
            cpu_linear(bench->level, bench->pool, bench->scratch, args);
            calls++;
            end = now_s();
        } while (end - start < RUN_US * 1e-6);
        if ((end - start) / calls < best)
            best = (end - start) / calls;
    }
    return best;
}

static int bench_shape(struct bench *bench, const struct quant_format *format, struct shape shape)
{
    static const uint32_t batches[] = {1, 8, 32, 512};
    size_t size = quant_row_bytes(format, shape.columns) * shape.rows;
    if (!size)
        return 0; /* not a whole number of this format's blocks */
    uint8_t *bytes = malloc(size);
    if (!bytes)
        return -1;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 37 % 61);
    struct weight_source source = {bytes, format->type, shape.rows, shape.columns, 0};
    double start = now_s();
    struct weight *weight = cpu_weight_prepare(bench->level, bench->pool, &source, NULL);
    double prepare = now_s() - start;
    if (!weight) {
        free(bytes);
        return -1;
    }
    printf("%-5s %6u x %-5u prepare %6.2f GB/s", format->name, shape.rows, shape.columns,
           (double)size / prepare * 1e-9);
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        struct linear_args args = {.x = bench->x,
                                   .rows = batches[i],
                                   .weight_count = 1,
                                   .weights = {weight},
                                   .outs = {bench->out}};
        double seconds = best_seconds(bench, &args);
        printf(" | %3u: %5.1f GB/s %6.0f Gop/s", batches[i], (double)size / seconds * 1e-9,
               2.0 * batches[i] * shape.rows * shape.columns / seconds * 1e-9);
        fflush(stdout);
    }
    printf("\n");
    cpu_weight_free(weight);
    free(bytes);
    return 0;
}

static int bench_all(struct bench *bench, const char *only)
{
    static const uint32_t types[] = {3, 8, 2, 6, 7, 12, 13, 14, 1, 30, 0};
    static const struct shape shapes[] = {
        {576, 576}, {1536, 576}, {576, 1536}, {1536, 1536}, {49152, 576}};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const struct quant_format *format = quant_format_find(types[t]);
        if (only && strcmp(only, format->name) != 0)
            continue;
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            if (bench_shape(bench, format, shapes[s]))
                return -1;
    }
    return 0;
}

int main(int count, char **arguments)
{
    struct error err = {0};
    struct bench bench = {0};
    enum cpu_level wanted = CPU_LEVEL_AUTO;
    for (int i = CPU_LEVEL_SCALAR; count > 2 && i <= CPU_LEVEL_AVX512; i++)
        if (!strcmp(arguments[2], cpu_level_name((enum cpu_level)i)))
            wanted = (enum cpu_level)i;
    if (cpu_level_resolve(wanted, &bench.level, &err)) {
        fprintf(stderr, "linear_bench: %s\n", err.text);
        return 1;
    }
    bench.pool = pool_new(count > 1 ? (uint32_t)strtoul(arguments[1], NULL, 10) : 0, &err);
    bench.x = malloc(sizeof(float) * 512 * 1536);
    bench.out = malloc(sizeof(float) * 512 * 49152);
    bench.scratch = aligned_alloc(64, cpu_linear_scratch_bytes(512, 1536));
    int result = -1;
    if (bench.pool && bench.x && bench.out && bench.scratch) {
        for (size_t i = 0; i < (size_t)512 * 1536; i++)
            bench.x[i] = (float)(i * 29 % 101) - 50;
        printf("level %s, %u threads\n", cpu_level_name(bench.level), pool_threads(bench.pool));
        result = bench_all(&bench, count > 3 ? arguments[3] : NULL);
    }
    if (result)
        fprintf(stderr, "linear_bench: %s\n", err.code ? err.text : "out of memory");
    pool_free(bench.pool);
    free(bench.x);
    free(bench.out);
    free(bench.scratch);
    return result ? 1 : 0;
}
