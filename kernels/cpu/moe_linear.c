/* SPDX-License-Identifier: Apache-2.0 */
/* moe_linear.c -- every expert's rows times that expert's matrices, by the kernels of linear().
 *
 * Rows are first brought to their places, quantised or as they are, so that an expert's lie
 * together; then a task is some tiles of one expert's matrix times some of that expert's rows, and
 * the tasks of all experts are one job for the pool:
 *
 *     places      | expert 0     | expert 3 | expert 7                 |    experts without rows
 *     tasks       | t0 t1 t2 t3  | t4 t5    | t6 t7 t8 t9 (more rows)  |    have no tasks
 *
 * A row that several experts share is quantised once for each: it is one part in as many as the
 * matrix has rows. The kernels are told of a matrix alone, so its bits are linear()'s. */
#include "kernels/cpu/linear_level.h"
#include "kernels/cpu/weight.h"

#include <string.h>

#define TILES_PER_TASK_MAX 16u
#define TASKS_PER_THREAD   4u
#define SCRATCH_ALIGNMENT  64u
/* Fewer activations than this are brought to their places by the caller. */
#define PLACE_ALONE 8192u

/* An expert with rows. */
struct group {
    uint32_t expert;
    uint32_t begin, row_count; /* places */
    uint32_t rows_per_task;
    uint32_t task_begin;
};

struct moe_run {
    const struct linear_level *level;
    const struct moe_linear_args *args;
    struct activation_block *blocks; /* by place; where a weight is quantised */
    float *x;                        /* by place; where a weight is of floats and args->x is not */
    bool quantised, floats;
    uint32_t tiles_per_task;
    uint32_t tasks_across; /* a block of rows */
    uint32_t group_count;
    struct group groups[MOE_EXPERTS_MAX];
};

static size_t blocks_bytes(uint64_t entries, uint32_t columns)
{
    size_t blocks = ((size_t)columns + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS;
    size_t bytes = entries * blocks * sizeof(struct activation_block);
    return (bytes + SCRATCH_ALIGNMENT - 1) / SCRATCH_ALIGNMENT * SCRATCH_ALIGNMENT;
}

size_t cpu_moe_linear_scratch_bytes(uint64_t entries_max, uint32_t columns_max)
{
    return blocks_bytes(entries_max, columns_max) + entries_max * columns_max * sizeof(float);
}

static void place_row(void *argument, uint32_t place, uint32_t thread)
{
    const struct moe_run *run = argument;
    const struct moe_linear_args *args = run->args;
    const uint32_t columns = args->weights[0]->columns, blocks = columns / BLOCK_COLUMNS;
    const uint32_t row = args->by_place ? place : args->order[place] / args->top_k;
    const float *x = args->x + (size_t)row * columns;
    (void)thread;
    if (run->quantised)
        run->level->quantize(x, blocks, run->blocks + (size_t)place * blocks);
    if (run->floats && !args->by_place)
        memcpy(run->x + (size_t)place * columns, x, columns * sizeof *x);
}

static void place_rows(struct pool *pool, struct moe_run *run)
{
    const struct moe_linear_args *args = run->args;
    const uint32_t entries = args->rows * args->top_k;
    for (uint32_t i = 0; i < args->weight_count; i++)
        if (args->weights[i]->block_count != 0)
            run->quantised = true;
        else
            run->floats = true;
    if ((uint64_t)entries * args->weights[0]->columns >= PLACE_ALONE) {
        pool_run(pool, place_row, run, entries);
        return;
    }
    for (uint32_t place = 0; place < entries; place++)
        place_row(run, place, 0);
}

static uint32_t tasks_of(const struct moe_run *run, const struct weight *weight)
{
    return (weight->tile_count + run->tiles_per_task - 1) / run->tiles_per_task;
}

static uint32_t blocks_of_rows(const struct group *group)
{
    return (group->row_count - 1) / group->rows_per_task + 1;
}

/* Fills groups; returns how many tasks they have. */
static uint32_t cut(struct moe_run *run, uint32_t threads)
{
    const struct moe_linear_args *args = run->args;
    uint64_t down = 0, tiles = 0;
    for (uint32_t expert = 0; expert < args->experts; expert++) {
        const uint32_t begin = args->expert_begins[expert];
        const uint32_t row_count = args->expert_begins[expert + 1] - begin;
        if (row_count == 0)
            continue;
        struct group *group = &run->groups[run->group_count++];
        *group = (struct group){expert, begin, row_count, linear_rows_per_task(row_count), 0};
        down += blocks_of_rows(group);
    }
    for (uint32_t i = 0; i < args->weight_count; i++)
        tiles += args->weights[i]->tile_count;
    /* An even number, for the kernel that takes tiles in pairs. */
    uint64_t each = tiles * down / (threads * TASKS_PER_THREAD) / 2 * 2;
    run->tiles_per_task = (uint32_t)(each < 2                    ? 2
                                     : each > TILES_PER_TASK_MAX ? TILES_PER_TASK_MAX
                                                                 : each);
    for (uint32_t i = 0; i < args->weight_count; i++)
        run->tasks_across += tasks_of(run, args->weights[i]);
    uint32_t tasks = 0;
    for (uint32_t i = 0; i < run->group_count; i++) {
        run->groups[i].task_begin = tasks;
        tasks += blocks_of_rows(&run->groups[i]) * run->tasks_across;
    }
    return tasks;
}

static const struct group *group_of_task(const struct moe_run *run, uint32_t task)
{
    uint32_t low = 0, high = run->group_count - 1; /* the last that begins at or before it */
    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        if (run->groups[middle].task_begin <= task)
            low = middle;
        else
            high = middle - 1;
    }
    return &run->groups[low];
}

static void multiply_task(void *argument, uint32_t index, uint32_t thread)
{
    const struct moe_run *run = argument;
    const struct moe_linear_args *args = run->args;
    const struct group *group = group_of_task(run, index);
    (void)thread;
    index -= group->task_begin;
    uint32_t across = index % run->tasks_across, which = 0;
    while (across >= tasks_of(run, args->weights[which]))
        across -= tasks_of(run, args->weights[which++]);
    struct weight weight = *args->weights[which]; /* this expert's */
    weight.tiles += (size_t)group->expert * weight.tile_count * weight.tile_bytes;
    const float *x = args->by_place ? args->x : run->x;
    const uint32_t row = index / run->tasks_across * group->rows_per_task;
    const uint32_t row_end = row + group->rows_per_task, tile = across * run->tiles_per_task;
    const uint32_t tile_end = tile + run->tiles_per_task;
    struct linear_job job = {
        .weight = &weight,
        .blocks = run->blocks + (size_t)group->begin * weight.block_count,
        .x = x + (size_t)group->begin * weight.columns,
        .out = args->outs[which] + (size_t)group->begin * weight.rows,
        .row_first = row,
        .row_end = row_end < group->row_count ? row_end : group->row_count,
        .tile_first = tile,
        .tile_end = tile_end < weight.tile_count ? tile_end : weight.tile_count,
    };
    run->level->multiply(&job);
}

void cpu_moe_linear(enum cpu_level level, struct pool *pool, void *scratch,
                    const struct moe_linear_args *args)
{
    assert(args->weight_count >= 1 && args->weight_count <= LINEAR_WEIGHTS_MAX);
    assert(args->experts <= MOE_EXPERTS_MAX);
    const uint32_t columns = args->weights[0]->columns;
    for (uint32_t i = 0; i < args->weight_count; i++) {
        assert(args->weights[i]->columns == columns);
        assert(args->weights[i]->matrices == args->experts);
    }
    if (args->rows == 0)
        return;
    const size_t floats_at = blocks_bytes((uint64_t)args->rows * args->top_k, columns);
    struct moe_run run = {
        .level = linear_level_find(level),
        .args = args,
        .blocks = scratch,
        .x = (float *)((unsigned char *)scratch + floats_at),
    };
    place_rows(pool, &run);
    pool_run(pool, multiply_task, &run, cut(&run, pool_threads(pool)));
}
