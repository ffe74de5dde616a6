/* SPDX-License-Identifier: Apache-2.0 */
/* linear.c -- x times up to three weights: x is prepared once for all that read it alike, weights
 * of one type go in one launch, and the number of rows decides which of two kernels serves. Neither
 * choice reaches a row's bits. */
#include "kernels/cuda/linear.h"

#include "kernels/cuda/linear_kernels.h"
#include "kernels/quant_codes.h"

#include <assert.h>

#define SCRATCH_ALIGNMENT 256u

/* How a type wants its activations. */
enum preparation { AS_CODES, AS_F16, AS_BF16, AS_FLOATS, PREPARATIONS };

static enum preparation preparation_of(enum weight_type type)
{
    switch (type) {
    case WEIGHT_F32:
        return AS_FLOATS;
    case WEIGHT_F16:
        return AS_F16;
    case WEIGHT_BF16:
        return AS_BF16;
    default:
        return AS_CODES;
    }
}

static size_t tiles_of(uint32_t rows)
{
    return ((size_t)rows + ACTIVATION_ROWS - 1) / ACTIVATION_ROWS;
}

static size_t halves_bytes(uint32_t rows, uint32_t columns)
{
    size_t steps = ((size_t)columns + STEP_COLUMNS - 1) / STEP_COLUMNS;
    return tiles_of(rows) * steps * ACTIVATION_STEP;
}

/* Codes and halves take turns in it: the stream runs in order. */
size_t cuda_linear_scratch_bytes(uint32_t rows_max, uint32_t columns_max)
{
    size_t blocks = ((size_t)columns_max + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS;
    size_t codes = tiles_of(rows_max) * blocks * ACTIVATION_BLOCK;
    size_t halves =
        halves_bytes(rows_max, columns_max) + tiles_of(rows_max) * ACTIVATION_ROWS * sizeof(float);
    size_t bytes = codes > halves ? codes : halves;
    return (bytes + SCRATCH_ALIGNMENT - 1) / SCRATCH_ALIGNMENT * SCRATCH_ALIGNMENT;
}

/* Fills what a batch, which knows its groups, has of x. */
static cudaError_t prepare(const struct linear_args *args, enum preparation preparation,
                           void *scratch, struct linear_batch *batch, cudaStream_t stream)
{
    uint32_t columns = args->weights[0]->columns;
    uint32_t prepared_rows =
        batch->groups.slabs ? batch->groups.x_tiles * ACTIVATION_ROWS : args->rows;
    batch->x = scratch;
    if (preparation == AS_FLOATS) {
        batch->x = (const uint8_t *)args->x;
        return cudaSuccess;
    }
    if (preparation == AS_CODES)
        return cuda_quantize(
            &(struct quantize_args){args->x, prepared_rows, columns, batch->groups, scratch},
            stream);
    float *factors = (float *)((uint8_t *)scratch + halves_bytes(prepared_rows, columns));
    batch->factors = factors;
    struct round_args round = {
        .x = args->x,
        .rows = prepared_rows,
        .columns = columns,
        .groups = batch->groups,
        .type = preparation == AS_F16 ? WEIGHT_F16 : WEIGHT_BF16,
        .halves = scratch,
        .factors = factors,
    };
    return cuda_round(&round, stream);
}

static cudaError_t launch(const struct linear_batch *batch, cudaStream_t stream)
{
    bool few = batch->groups.slabs ? batch->groups.slab_rows == ACTIVATION_ROWS
                                   : batch->rows <= FEW_ROWS_MAX;
    switch (preparation_of(batch->type)) {
    case AS_FLOATS:
        return few ? cuda_linear_float_few(batch, stream) : cuda_linear_float_many(batch, stream);
    case AS_CODES:
        return few ? cuda_linear_few(batch, stream) : cuda_linear_many(batch, stream);
    default:
        return few ? cuda_linear_half_few(batch, stream) : cuda_linear_half_many(batch, stream);
    }
}

/* All weights of the type of number `first`, which is the first of its type. */
static cudaError_t multiply_type(const struct linear_args *args, uint32_t first,
                                 struct linear_batch *batch, cudaStream_t stream)
{
    const struct weight *weight = args->weights[first];
    batch->type = weight->format->type;
    batch->block_count = weight->block_count;
    batch->unit_count = weight->unit_count;
    batch->superscales_offset = weight->superscales_offset;
    batch->tile_bytes = weight->tile_bytes;
    batch->target_count = 0;
    for (uint32_t i = first; i < args->weight_count; i++) {
        weight = args->weights[i];
        if (weight->format->type == batch->type)
            batch->targets[batch->target_count++] = (struct linear_target){
                weight->tiles, args->biases[i], args->outs[i], weight->rows, weight->tile_count};
    }
    return launch(batch, stream);
}

static bool is_first_of_type(const struct linear_args *args, uint32_t index)
{
    for (uint32_t i = 0; i < index; i++)
        if (args->weights[i]->format->type == args->weights[index]->format->type)
            return false;
    return true;
}

cudaError_t cuda_linear(const struct linear_args *args, void *scratch, cudaStream_t stream)
{
    for (uint32_t i = 0; i < args->weight_count; i++)
        assert(args->weights[i]->matrices == 1);
    return cuda_linear_groups(args, &(struct linear_groups){0}, scratch, stream);
}

cudaError_t cuda_linear_groups(const struct linear_args *args, const struct linear_groups *groups,
                               void *scratch, cudaStream_t stream)
{
    assert(args->weight_count >= 1 && args->weight_count <= LINEAR_WEIGHTS_MAX);
    assert(((uintptr_t)scratch & (SCRATCH_ALIGNMENT - 1)) == 0);
    for (uint32_t i = 1; i < args->weight_count; i++)
        assert(args->weights[i]->columns == args->weights[0]->columns);
    cudaError_t error = cudaSuccess;
    for (int preparation = 0; args->rows && preparation < PREPARATIONS; preparation++) {
        struct linear_batch batch = {
            .rows = args->rows, .columns = args->weights[0]->columns, .groups = *groups};
        bool prepared = false;
        for (uint32_t i = 0; !error && i < args->weight_count; i++) {
            if ((int)preparation_of(args->weights[i]->format->type) != preparation ||
                !is_first_of_type(args, i))
                continue;
            if (!prepared)
                error = prepare(args, (enum preparation)preparation, scratch, &batch, stream);
            prepared = true;
            if (!error)
                error = multiply_type(args, i, &batch, stream);
        }
    }
    return error;
}
