/* SPDX-License-Identifier: Apache-2.0 */
/* moe_linear.c -- what a product by expert takes beside a plain one: room, and who does what.
 *
 * Rows of x are prepared in tiles of 8 as for linear(), an expert's from a tile of its own on, and
 * a block of threads takes a slab of rows of one expert:
 *
 *     places        0 1 2 3 4 5 6 7 8 9 | 10 11 | 12          experts 0, 3 and 4
 *     tiles of x    [0 .. 7][8 9 . . . . . .]   [10 11 ...]   [12 ...]
 *     slabs of 8    0       1                   2             3
 *
 * How many rows each expert has is known to the device alone, so grids are as large as they could
 * have to be, and blocks without a slab end at once: the same launches serve every step of so many
 * rows, as a captured graph needs it. */
#include "kernels/cuda/linear.h"

#include "kernels/cuda/linear_kernels.h"

#include <assert.h>

/* Slabs, then the places of prepared rows, from a sector of memory of their own on. */
static size_t slabs_bytes(uint64_t entries, uint32_t experts)
{
    size_t bytes = moe_slabs_max(entries, experts, ACTIVATION_ROWS) * sizeof(struct linear_slab);
    return (bytes + TILE_ALIGNMENT - 1) / TILE_ALIGNMENT * TILE_ALIGNMENT;
}

size_t cuda_moe_plan_bytes(uint64_t entries_max, uint32_t experts)
{
    const size_t tiles = moe_slabs_max(entries_max, experts, ACTIVATION_ROWS);
    return slabs_bytes(entries_max, experts) + tiles * ACTIVATION_ROWS * sizeof(uint32_t);
}

size_t cuda_moe_linear_scratch_bytes(uint64_t entries_max, uint32_t experts, uint32_t columns_max)
{
    const uint32_t tiles = moe_slabs_max(entries_max, experts, ACTIVATION_ROWS);
    return cuda_linear_scratch_bytes(tiles * ACTIVATION_ROWS, columns_max);
}

static struct linear_groups groups_of(uint32_t rows, uint32_t top_k, uint32_t experts, void *plan)
{
    const uint64_t entries = (uint64_t)rows * top_k;
    const uint32_t slab_rows = moe_slab_rows(rows, top_k, experts);
    return (struct linear_groups){
        .slabs = plan,
        .places = (uint32_t *)((uint8_t *)plan + slabs_bytes(entries, experts)),
        .top_k = top_k,
        .slab_rows = slab_rows,
        .slab_count = moe_slabs_max(entries, experts, slab_rows),
        .x_tiles = moe_slabs_max(entries, experts, ACTIVATION_ROWS),
    };
}

cudaError_t cuda_moe_plan(const struct moe_route_args *args, void *plan, cudaStream_t stream)
{
    if (args->rows == 0)
        return cudaSuccess;
    const struct linear_groups groups = groups_of(args->rows, args->top_k, args->experts, plan);
    return cuda_group_rows(&groups, args->expert_begins, args->experts, stream);
}

cudaError_t cuda_moe_linear(const struct moe_linear_args *args, void *plan, void *scratch,
                            cudaStream_t stream)
{
    if (args->rows == 0)
        return cudaSuccess;
    struct linear_groups groups = groups_of(args->rows, args->top_k, args->experts, plan);
    groups.order = args->by_place ? NULL : args->order;
    struct linear_args product = {
        .x = args->x, .rows = args->rows, .weight_count = args->weight_count};
    for (uint32_t i = 0; i < args->weight_count; i++) {
        assert(args->weights[i]->matrices == args->experts);
        product.weights[i] = args->weights[i];
        product.outs[i] = args->outs[i];
    }
    return cuda_linear_groups(&product, &groups, scratch, stream);
}
