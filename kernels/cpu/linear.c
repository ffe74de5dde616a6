/* SPDX-License-Identifier: Apache-2.0 */
/* linear.c -- x times up to three weights: quantise x once, then cut the work into tasks.
 *
 * A task is a few tiles of one weight times up to ROWS_PER_TASK rows:
 *
 *                  tiles of weight 0  | tiles of weight 1 | ...
 *     rows   0..47 | task 0 | task 1  | task 2            |      a task writes its own rectangle
 *     rows  48..95 | task 3 | task 4  | task 5            |      of out, and nothing else
 *
 * Within a task a tile meets all rows before the next tile is touched: the tile is in the first
 * cache, the rows' activations (48 x 1536 columns are 144 KiB) in the second, and memory sees each
 * weight once a block of rows. Tasks are numbered along the tiles, so threads that take them in
 * order share the rows.
 *
 * A decode step has one block of rows; then only the number of tasks matters: enough that threads
 * which started late do not make the others wait, few enough that taking one costs nothing. */
#include "kernels/cpu/linear_level.h"
#include "kernels/cpu/weight.h"

#include <cpuid.h>

/* A multiple of the rows a kernel takes at once (4 and 6), small enough for the second cache. */
#define ROWS_PER_TASK      48u
#define ROWS_UNIT          12u
#define TILES_PER_TASK_MAX 16u /* once there are several blocks of rows */
#define TASKS_PER_THREAD   4u
/* Fewer activations than this are quantised at once by the caller: waking threads costs more. */
#define QUANTIZE_ALONE 8192u

/* Scratch begins and ends on a cache line. */
#define SCRATCH_ALIGNMENT 64u

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

const struct linear_level *linear_level_find(enum cpu_level level)
{
    switch (level) {
    case CPU_LEVEL_AVX512:
        return &linear_level_avx512;
    case CPU_LEVEL_AVX2:
        return &linear_level_avx2;
    default:
        return &linear_level_scalar;
    }
}

const char *cpu_level_name(enum cpu_level level)
{
    switch (level) {
    case CPU_LEVEL_AVX512:
        return "avx512";
    case CPU_LEVEL_AVX2:
        return "avx2";
    case CPU_LEVEL_SCALAR:
        return "scalar";
    default:
        return "auto";
    }
}

/* The compiler's test includes whether the system saves the registers. F16C, for which one of our
 * compilers has no name, shares them with AVX. */
static enum cpu_level level_of_processor(void)
{
    unsigned eax, ebx, ecx, edx;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_F16C))
        return CPU_LEVEL_SCALAR;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vnni"))
        return CPU_LEVEL_AVX512;
    return CPU_LEVEL_AVX2;
}

int cpu_level_resolve(enum cpu_level wanted, enum cpu_level *ret, struct error *err)
{
    enum cpu_level best = level_of_processor();
    if (wanted != CPU_LEVEL_AUTO && wanted > best)
        return error_set(err, ERROR_UNSUPPORTED,
                         "cpu level %s: this processor offers %s at most (use auto)",
                         cpu_level_name(wanted), cpu_level_name(best));
    *ret = wanted == CPU_LEVEL_AUTO ? best : wanted;
    return 0;
}

size_t cpu_linear_scratch_bytes(uint32_t rows_max, uint32_t columns_max)
{
    size_t blocks = ((size_t)columns_max + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS;
    size_t bytes = rows_max * blocks * sizeof(struct activation_block);
    return (bytes + SCRATCH_ALIGNMENT - 1) / SCRATCH_ALIGNMENT * SCRATCH_ALIGNMENT;
}

void linear_store(const struct linear_job *job, uint32_t row, uint32_t tile, const float *lanes)
{
    uint32_t first = tile * TILE_ROWS;
    uint32_t count = smaller(job->weight->rows - first, TILE_ROWS);
    float *out = job->out + (size_t)row * job->weight->rows + first;
    for (uint32_t lane = 0; lane < count; lane++)
        out[lane] = job->bias ? lanes[lane] + job->bias[first + lane] : lanes[lane];
}

struct linear_run {
    const struct linear_level *level;
    const struct linear_args *args;
    struct activation_block *blocks;
    uint32_t rows_per_task;
    uint32_t tiles_per_task;
    uint32_t tasks_across; /* a block of rows */
};

static void quantize_row(void *argument, uint32_t row, uint32_t thread)
{
    const struct linear_run *run = argument;
    uint32_t columns = run->args->weights[0]->columns;
    (void)thread;
    run->level->quantize(run->args->x + (size_t)row * columns, columns / BLOCK_COLUMNS,
                         run->blocks + (size_t)row * (columns / BLOCK_COLUMNS));
}

static void quantize_rows(struct pool *pool, struct linear_run *run)
{
    const struct linear_args *args = run->args;
    bool needed = false;
    for (uint32_t i = 0; i < args->weight_count; i++)
        needed |= args->weights[i]->block_count != 0;
    if (!needed)
        return;
    if ((uint64_t)args->rows * args->weights[0]->columns >= QUANTIZE_ALONE) {
        pool_run(pool, quantize_row, run, args->rows);
        return;
    }
    for (uint32_t row = 0; row < args->rows; row++)
        quantize_row(run, row, 0);
}

static uint32_t tasks_of(const struct linear_run *run, const struct weight *weight)
{
    return (weight->tile_count + run->tiles_per_task - 1) / run->tiles_per_task;
}

static void multiply_task(void *argument, uint32_t index, uint32_t thread)
{
    const struct linear_run *run = argument;
    const struct linear_args *args = run->args;
    (void)thread;
    uint32_t across = index % run->tasks_across,
             row = index / run->tasks_across * run->rows_per_task;
    uint32_t which = 0;
    while (across >= tasks_of(run, args->weights[which]))
        across -= tasks_of(run, args->weights[which++]);
    const struct weight *weight = args->weights[which];
    uint32_t tile = across * run->tiles_per_task;
    struct linear_job job = {
        .weight = weight,
        .blocks = run->blocks,
        .x = args->x,
        .bias = args->biases[which],
        .out = args->outs[which],
        .row_first = row,
        .row_end = smaller(row + run->rows_per_task, args->rows),
        .tile_first = tile,
        .tile_end = smaller(tile + run->tiles_per_task, weight->tile_count),
    };
    run->level->multiply(&job);
}

uint32_t linear_rows_per_task(uint32_t rows)
{
    uint32_t down = (rows - 1) / ROWS_PER_TASK + 1;
    return ((rows - 1) / down / ROWS_UNIT + 1) * ROWS_UNIT;
}

static void cut(struct linear_run *run, uint32_t threads)
{
    const struct linear_args *args = run->args;
    uint32_t down = (args->rows - 1) / ROWS_PER_TASK + 1;
    run->rows_per_task = linear_rows_per_task(args->rows);
    uint64_t tiles = 0;
    for (uint32_t i = 0; i < args->weight_count; i++)
        tiles += args->weights[i]->tile_count;
    /* An even number, for the kernel that takes tiles in pairs. */
    uint64_t each = tiles * down / (threads * TASKS_PER_THREAD) / 2 * 2;
    uint64_t most = down > 1 ? TILES_PER_TASK_MAX : UINT32_MAX - 1;
    run->tiles_per_task = (uint32_t)(each < 2 ? 2 : each > most ? most : each);
    for (uint32_t i = 0; i < args->weight_count; i++)
        run->tasks_across += tasks_of(run, args->weights[i]);
}

void cpu_linear(enum cpu_level level, struct pool *pool, void *scratch,
                const struct linear_args *args)
{
    assert(args->weight_count >= 1 && args->weight_count <= LINEAR_WEIGHTS_MAX);
    assert(((uintptr_t)scratch & 63) == 0);
    for (uint32_t i = 0; i < args->weight_count; i++) {
        assert(args->weights[i]->columns == args->weights[0]->columns);
        assert(args->weights[i]->matrices == 1);
    }
    if (!args->rows)
        return;
    struct linear_run run = {.level = linear_level_find(level), .args = args, .blocks = scratch};
    quantize_rows(pool, &run);
    cut(&run, pool_threads(pool));
    uint32_t down = (args->rows - 1) / run.rows_per_task + 1;
    pool_run(pool, multiply_task, &run, run.tasks_across * down);
}
