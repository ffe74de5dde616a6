/* SPDX-License-Identifier: Apache-2.0 */
/* roofline_linear.c -- products with matrices, and rows of one as floats.
 *
 * linear.c of kernels/cuda decides what is launched: activations are prepared once for all weights
 * that want them alike, weights of one type share a launch, the number of rows chooses the kernel.
 * The same decisions are taken here. A launch reads all tiles of its weights, whole units of them,
 * and of the activations what its threads ask for:
 *
 *     rows of x        1               2 to 4          5 to 32        more
 *     codes            first row       first four      whole tiles    whole tiles
 *     halves           rows alone ................................    whole tiles
 *
 * Arithmetic: an mma of integers has 8 columns, of which few rows take two each (their two
 * stretches), many one. What bounds a product of many rows is the law's float chain, which
 * linear_many.cu counts: so many instructions an output and block of 32 columns. */
#include "kernels/roofline/roofline_inner.h"

#include "kernels/cuda/activation_layout.h"
#include "kernels/cuda/moe_layout.h"
#include "kernels/cuda/weight_layout.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define MMA_OPS      4096u /* 16 x 8 outputs of 16 columns */
#define QUANTIZE_OPS 48u   /* instructions an element: four scales are tried */
#define ROUND_OPS    4u
#define EMBED_OPS    4u
#define CHAIN_OPS    5u /* an output and block: two of conversion, three of the chain */
#define OFFSET_OPS   1u /* besides, where a type has minima */

/* What is launched at once. */
struct product {
    const struct linear_args *args;
    uint32_t tokens;     /* rows of x that may meet one matrix */
    uint32_t groups;     /* matrices of each weight that are met */
    uint32_t group_rows; /* by so many rows each */
    uint64_t x_rows;     /* distinct ones */
    uint64_t results;    /* rows of an output */
    bool few;            /* which of the kernels */
};

enum preparation { AS_CODES, AS_F16, AS_BF16, AS_FLOATS, PREPARATIONS };

static enum preparation preparation_of(enum weight_type type)
{
    return type == WEIGHT_F32    ? AS_FLOATS
           : type == WEIGHT_F16  ? AS_F16
           : type == WEIGHT_BF16 ? AS_BF16
                                 : AS_CODES;
}

static uint64_t tiles_of(uint32_t rows)
{
    return ((uint64_t)rows + ACTIVATION_ROWS - 1) / ACTIVATION_ROWS;
}

static uint64_t prepared_bytes(uint64_t tiles, uint64_t columns, enum preparation preparation)
{
    if (preparation == AS_CODES)
        return tiles * (columns / BLOCK_COLUMNS) * ACTIVATION_BLOCK;
    return tiles * ((columns + STEP_COLUMNS - 1) / STEP_COLUMNS) * ACTIVATION_STEP +
           roofline_floats(tiles * ACTIVATION_ROWS);
}

static void prepare(struct roofline *roofline, const struct linear_args *args,
                    enum preparation preparation)
{
    const uint64_t columns = args->weights[0]->columns, count = args->rows * columns;
    const uint64_t tiles = tiles_of(args->rows);
    if (preparation == AS_FLOATS)
        return;
    struct roofline_kernel *kernel =
        roofline_launch(roofline, preparation == AS_CODES ? "quantize" : "round_rows");
    kernel->read_bytes += roofline_floats(count);
    kernel->written_bytes += prepared_bytes(tiles, columns, preparation);
    kernel->float_ops += (preparation == AS_CODES ? QUANTIZE_OPS : ROUND_OPS) * count;
}

/* What of a block of 32 columns a slab of few rows reads: codes, scales, sums. */
static uint32_t slab_block_bytes(uint32_t tokens)
{
    if (tokens == 1)
        return BLOCK_COLUMNS + 2 * ROOFLINE_SECTOR_BYTES;
    return tokens <= 4 ? 4 * BLOCK_COLUMNS + 2 * ROOFLINE_SECTOR_BYTES : ACTIVATION_BLOCK;
}

static uint64_t activation_bytes(const struct weight *weight, const struct product *product)
{
    const uint32_t rows = product->group_rows;
    switch (preparation_of(weight->format->type)) {
    case AS_FLOATS:
        return roofline_floats(product->x_rows * weight->columns);
    case AS_CODES:
        return product->groups * tiles_of(rows) * weight->block_count *
               slab_block_bytes(product->tokens);
    default:
        return product->groups *
               ((uint64_t)weight->unit_count * (ACTIVATION_STEP / ACTIVATION_ROWS) *
                    (product->few ? rows : tiles_of(rows) * ACTIVATION_ROWS) +
                roofline_floats(rows));
    }
}

static const char *kernel_name(enum weight_type type, bool few)
{
    switch (preparation_of(type)) {
    case AS_FLOATS:
        return "linear_float";
    case AS_CODES:
        return few ? "linear_few" : "linear_many";
    default:
        return few ? "linear_half_few" : "linear_half_many";
    }
}

static bool has_offsets(enum weight_type type)
{
    const enum quant_scaling scaling = quant_scaling_of(type);
    return scaling == QUANT_SCALING_MINIMUM || scaling == QUANT_SCALING_NESTED;
}

static void count_operations(const struct weight *weight, const struct product *product,
                             struct roofline_kernel *kernel)
{
    const enum weight_type type = weight->format->type;
    const uint32_t rows = product->group_rows;
    const uint64_t tiles = (uint64_t)weight->tile_count * product->groups;
    const uint64_t outputs = tiles * TILE_ROWS * rows;
    /* Rows of x that an mma takes at once, in eighths of its columns. */
    const uint64_t columns = product->tokens <= 4 ? 1
                             : product->few       ? 2 * tiles_of(rows)
                                                  : tiles_of(rows);
    switch (preparation_of(type)) {
    case AS_FLOATS:
        kernel->float_ops += outputs * weight->columns;
        break;
    case AS_CODES:
        kernel->int8_ops += 2ull * MMA_OPS * tiles * weight->block_count * columns;
        kernel->float_ops +=
            (CHAIN_OPS + has_offsets(type) * OFFSET_OPS) * outputs * weight->block_count;
        break;
    default:
        kernel->half_ops += (uint64_t)MMA_OPS * tiles * weight->unit_count * tiles_of(rows);
    }
}

/* All weights of the type of number `first`, which is the first of its type. */
static struct roofline_kernel *multiply_type(struct roofline *roofline,
                                             const struct product *product, uint32_t first)
{
    const struct linear_args *args = product->args;
    const enum weight_type type = args->weights[first]->format->type;
    struct roofline_kernel *kernel = roofline_launch(roofline, kernel_name(type, product->few));
    kernel->read_bytes += activation_bytes(args->weights[first], product);
    for (uint32_t i = first; i < args->weight_count; i++) {
        const struct weight *weight = args->weights[i];
        if (weight->format->type != type)
            continue;
        const uint64_t used = weight->superscales_offset +
                              ((uint64_t)weight->unit_count + SUPERBLOCK_PAIRS - 1) /
                                  SUPERBLOCK_PAIRS * TILE_ROWS * weight_superscales_bytes(type);
        kernel->read_bytes +=
            (uint64_t)product->groups * weight->tile_count * roofline_sectors(used);
        if (args->biases[i] != NULL)
            kernel->read_bytes += roofline_floats(weight->rows);
        kernel->written_bytes += roofline_floats(product->results * weight->rows);
        count_operations(weight, product, kernel);
    }
    return kernel;
}

static bool is_first_of_type(const struct linear_args *args, uint32_t index)
{
    for (uint32_t i = 0; i < index; i++)
        if (args->weights[i]->format->type == args->weights[index]->format->type)
            return false;
    return true;
}

void roofline_linear(struct roofline *roofline, const struct linear_args *args)
{
    const struct product product = {.args = args,
                                    .tokens = args->rows,
                                    .groups = 1,
                                    .group_rows = args->rows,
                                    .x_rows = args->rows,
                                    .results = args->rows,
                                    .few = args->rows <= FEW_ROWS_MAX};
    for (int preparation = 0; preparation < PREPARATIONS; preparation++) {
        bool prepared = false;
        for (uint32_t i = 0; i < args->weight_count; i++) {
            if ((int)preparation_of(args->weights[i]->format->type) != preparation ||
                !is_first_of_type(args, i))
                continue;
            if (!prepared)
                prepare(roofline, args, (enum preparation)preparation);
            prepared = true;
            (void)multiply_type(roofline, &product, i);
        }
    }
}

/* -- By expert -- */

/* Who chooses whom is not known, so: everybody alike, and by chance. */
static uint32_t experts_met(const struct moe_linear_args *args)
{
    const double missed = 1.0 - (double)args->top_k / args->experts;
    const uint64_t entries = (uint64_t)args->rows * args->top_k;
    const double met = round(args->experts * (1.0 - pow(missed, args->rows)));
    return met < 1.0 ? 1 : met < (double)entries ? (uint32_t)met : (uint32_t)entries;
}

/* Tiles are as many as there could have to be, and written whole. */
static void prepare_places(struct roofline *roofline, const struct moe_linear_args *args,
                           uint64_t x_rows, enum preparation preparation)
{
    const uint64_t columns = args->weights[0]->columns;
    const uint64_t entries = (uint64_t)args->rows * args->top_k;
    const uint64_t tiles = moe_slabs_max(entries, args->experts, ACTIVATION_ROWS);
    if (preparation == AS_FLOATS)
        return;
    struct roofline_kernel *kernel =
        roofline_launch(roofline, preparation == AS_CODES ? "quantize" : "round_rows");
    kernel->read_bytes += roofline_floats(x_rows * columns) +
                          roofline_floats(tiles * ACTIVATION_ROWS) +
                          (args->by_place ? 0 : roofline_floats(entries));
    kernel->written_bytes += prepared_bytes(tiles, columns, preparation);
    kernel->float_ops += (preparation == AS_CODES ? QUANTIZE_OPS : ROUND_OPS) * entries * columns;
}

void roofline_moe_linear(struct roofline *roofline, const struct moe_linear_args *args)
{
    const uint64_t entries = (uint64_t)args->rows * args->top_k;
    const uint32_t slab_rows = moe_slab_rows(args->rows, args->top_k, args->experts);
    const uint64_t slabs = moe_slabs_max(entries, args->experts, slab_rows);
    struct linear_args weights = {.weight_count = args->weight_count};
    struct product product = {.args = &weights,
                              .tokens = args->rows,
                              .groups = experts_met(args),
                              .x_rows = args->by_place ? entries : args->rows,
                              .results = entries,
                              .few = slab_rows == ACTIVATION_ROWS};
    product.group_rows = (uint32_t)((entries + product.groups - 1) / product.groups);
    for (uint32_t i = 0; i < args->weight_count; i++)
        weights.weights[i] = args->weights[i];
    for (int preparation = 0; preparation < PREPARATIONS; preparation++) {
        bool prepared = false;
        for (uint32_t i = 0; i < args->weight_count; i++) {
            const enum weight_type type = args->weights[i]->format->type;
            if ((int)preparation_of(type) != preparation || !is_first_of_type(&weights, i))
                continue;
            if (!prepared)
                prepare_places(roofline, args, product.x_rows, (enum preparation)preparation);
            prepared = true;
            multiply_type(roofline, &product, i)->read_bytes +=
                slabs * sizeof(struct linear_slab) +
                (preparation == AS_FLOATS && !args->by_place ? roofline_floats(entries) : 0);
        }
    }
}

/* -- Rows of a matrix as floats -- */

static int compare_keys(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* How many groups of rows that lie together the tokens name: each is read once. A tile is cut into
 * `groups`; row r of it is in r / each % groups. */
static uint64_t groups_named(struct roofline *roofline, const struct embed_args *args,
                             uint32_t each, uint32_t groups)
{
    assert(args->rows <= roofline->rows_max);
    for (uint32_t i = 0; i < args->rows; i++)
        roofline->keys[i] =
            args->tokens[i] / TILE_ROWS * groups + args->tokens[i] % TILE_ROWS / each % groups;
    qsort(roofline->keys, args->rows, sizeof *roofline->keys, compare_keys);
    uint64_t count = 1;
    for (uint32_t i = 1; i < args->rows; i++)
        count += roofline->keys[i] != roofline->keys[i - 1];
    return count;
}

/* A scale's sector holds those of its neighbours; codes lie with those of the row 8 further on. */
static uint64_t embed_codes_bytes(struct roofline *roofline, const struct embed_args *args)
{
    const struct weight *table = args->table;
    const enum weight_type type = table->format->type;
    const uint32_t bits = quant_code_bits(type), supers = weight_superscales_bytes(type);
    const uint64_t pairs = ((uint64_t)table->block_count + 1) / PAIR_BLOCKS;
    const uint64_t codes = (bits == 8 ? 4 : bits == 4 ? 2 : 3) * ROOFLINE_SECTOR_BYTES;
    const uint32_t scale_rows = ROOFLINE_SECTOR_BYTES / weight_scales_bytes(type);
    uint64_t bytes = pairs * codes * groups_named(roofline, args, 1, TILE_ROWS / 2) +
                     pairs * ROOFLINE_SECTOR_BYTES *
                         groups_named(roofline, args, scale_rows, TILE_ROWS / scale_rows);
    if (supers > 0)
        bytes += (pairs + SUPERBLOCK_PAIRS - 1) / SUPERBLOCK_PAIRS * ROOFLINE_SECTOR_BYTES *
                 groups_named(roofline, args, ROOFLINE_SECTOR_BYTES / supers,
                              TILE_ROWS * supers / ROOFLINE_SECTOR_BYTES);
    return bytes;
}

void roofline_embed(struct roofline *roofline, const struct embed_args *args)
{
    const struct weight *table = args->table;
    const bool codes = preparation_of(table->format->type) == AS_CODES;
    const uint64_t floats = roofline_floats((uint64_t)args->rows * table->columns);
    struct roofline_kernel *kernel =
        roofline_launch(roofline, codes ? "embed_codes" : "embed_floats");
    kernel->read_bytes += roofline_floats(args->rows);
    if (codes)
        kernel->read_bytes += embed_codes_bytes(roofline, args);
    else if (table->format->type == WEIGHT_F32) /* 16 bytes of each of two rows a sector */
        kernel->read_bytes += (uint64_t)table->unit_count * ROOFLINE_SECTOR_BYTES *
                              groups_named(roofline, args, 2, TILE_ROWS / 2);
    else /* two sectors a step, of rows 8 apart */
        kernel->read_bytes += (uint64_t)table->unit_count * 2 * ROOFLINE_SECTOR_BYTES *
                              groups_named(roofline, args, 1, TILE_ROWS / 2);
    kernel->written_bytes += floats;
    kernel->float_ops += EMBED_OPS * (uint64_t)args->rows * table->columns;
}
