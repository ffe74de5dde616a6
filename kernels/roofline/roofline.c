/* SPDX-License-Identifier: Apache-2.0 */
/* roofline.c -- the table of ops that count, and the ops over elements and rows.
 *
 * What is counted is what must come from memory and go there, were each kernel alone: every sector
 * that a launch touches, once. That is the truth for weights and the cache, which are larger than
 * any second cache. It is too much where one kernel finds in the second cache what the last one
 * left there, as activations of a decode do; they are a small part of it. It is too little where a
 * launch reads the same memory twice and the second cache has lost it between, as in products of
 * hundreds of rows, which arithmetic bounds. tests/unit/emulator/roofline_test holds these bytes
 * against those that the kernels themselves ask for.
 *
 * Operations besides the tensor cores' are counted by reading the source, to a few in a hundred. */
#include "kernels/roofline/roofline_inner.h"

#include "kernels/cpu/ops.h"
#include "kernels/cuda/moe_layout.h"
#include "kernels/cuda/weight_layout.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ADDRESS ((uintptr_t)1 << 20)

/* Instructions an element. */
#define ADD_OPS   1u
#define NORM_OPS  6u
#define GATED_OPS 50u
#define ROPE_OPS  12u /* the cosines of a pair are shared by heads */

static struct roofline *roofline_of(struct backend *backend)
{
    return (struct roofline *)backend;
}

/* -- the counts -- */

struct roofline_kernel *roofline_launch(struct roofline *roofline, const char *name)
{
    uint32_t i = 0;
    while (i < roofline->kernel_count && strcmp(roofline->kernels[i].name, name) != 0)
        i++;
    if (i == roofline->kernel_count) {
        assert(roofline->kernel_count < ROOFLINE_KERNELS_MAX);
        roofline->kernels[roofline->kernel_count++] = (struct roofline_kernel){.name = name};
    }
    roofline->kernels[i].launches++;
    return &roofline->kernels[i];
}

uint32_t roofline_read(const struct backend *backend,
                       struct roofline_kernel ret[ROOFLINE_KERNELS_MAX])
{
    const struct roofline *roofline = (const struct roofline *)backend;
    memcpy(ret, roofline->kernels, roofline->kernel_count * sizeof *ret);
    return roofline->kernel_count;
}

void roofline_reset(struct backend *backend)
{
    roofline_of(backend)->kernel_count = 0;
}

/* -- memory that is not there -- */

static void *memory_alloc(struct backend *backend, size_t bytes, struct error *err)
{
    struct roofline *roofline = roofline_of(backend);
    const size_t units = bytes / DEVICE_MEMORY_UNIT + 1;
    if (units > (UINTPTR_MAX - roofline->next_address) / DEVICE_MEMORY_UNIT) {
        error_no_memory(err);
        return NULL;
    }
    const uintptr_t address = roofline->next_address;
    roofline->next_address += units * DEVICE_MEMORY_UNIT;
    return (void *)address;
}

static void memory_free(struct backend *backend, void *device)
{
    (void)backend;
    (void)device;
}

static void copy_to_device(struct backend *backend, void *device, const void *host, size_t bytes)
{
    (void)backend;
    (void)device;
    (void)host;
    (void)bytes;
}

static void copy_from_device(struct backend *backend, void *host, const void *device, size_t bytes)
{
    (void)host;
    (void)device;
    if (bytes > 0)
        roofline_launch(roofline_of(backend), ROOFLINE_TO_HOST)->bus_bytes += bytes;
}

static int synchronize(struct backend *backend, struct error *err)
{
    (void)backend;
    (void)err;
    return 0;
}

static struct weight *weight_prepare(struct backend *backend, const struct weight_source *source,
                                     struct error *err)
{
    (void)backend;
    struct weight *weight = calloc(1, sizeof *weight);
    if (weight == NULL) {
        error_no_memory(err);
        return NULL;
    }
    if (weight_describe(source, weight))
        return weight;
    (void)error_set(err, ERROR_UNSUPPORTED, "weights of type %u are not served on a GPU",
                    (unsigned)source->type);
    free(weight);
    return NULL;
}

static void weight_free(struct backend *backend, struct weight *weight)
{
    (void)backend;
    free(weight);
}

static size_t weight_bytes(const struct weight *weight)
{
    return (size_t)weight->matrices * weight->tile_count * weight->tile_bytes;
}

static void release_reserved(struct roofline *roofline)
{
    free(roofline->plan.decodes);
    free(roofline->plan.prefills);
    free(roofline->plan.joins);
    free(roofline->keys);
    roofline->plan = (struct attention_plan){0};
    roofline->keys = NULL;
}

/* As kernels/cuda refuses them. */
static int check_reserve(const struct reserve_args *args, struct error *err)
{
    if (args->context_max > CPU_POSITION_MAX)
        return error_set(err, ERROR_UNSUPPORTED, "a context of %u: the GPU's limit is %u",
                         args->context_max, CPU_POSITION_MAX);
    if (args->heads == 0)
        return 0;
    if (args->head_dim % CUDA_HEAD_DIM_STEP != 0 || args->head_dim > CUDA_HEAD_DIM_MAX ||
        args->heads / args->kv_heads > CUDA_GROUP_MAX)
        return error_set(err, ERROR_UNSUPPORTED,
                         "heads of %u dimensions, %u to a KV head, are not served on a GPU",
                         args->head_dim, args->heads / args->kv_heads);
    return 0;
}

static int reserve(struct backend *backend, const struct reserve_args *args, struct error *err)
{
    struct roofline *roofline = roofline_of(backend);
    if (check_reserve(args, err) != 0)
        return ERROR_UNSUPPORTED;
    release_reserved(roofline);
    struct attention_plan *plan = &roofline->plan;
    plan->piece_max = attention_pieces_max(args->rows_max, args->context_max);
    plan->partial_max = attention_partials_max(args->rows_max, args->context_max);
    plan->row_max = roofline->rows_max = args->rows_max;
    plan->decodes = calloc(plan->piece_max, sizeof *plan->decodes);
    plan->prefills = calloc(plan->piece_max, sizeof *plan->prefills);
    plan->joins = calloc(plan->row_max, sizeof *plan->joins);
    roofline->draws_max = args->spans_max < args->outputs_max ? args->spans_max : args->outputs_max;
    roofline->keys = calloc(args->rows_max, sizeof *roofline->keys);
    if (plan->decodes != NULL && plan->prefills != NULL && plan->joins != NULL &&
        roofline->keys != NULL)
        return 0;
    release_reserved(roofline);
    return error_no_memory(err);
}

/* -- ops over elements and rows -- */

static void step_begin(struct backend *backend, const struct step_args *args)
{
    (void)backend; /* its arrays are a few kilobytes, and travel while the last step runs */
    (void)args;
}

/* Steps that the GPU repeats are padded for it; what is in them is counted each time. */
static bool step_repeat(struct backend *backend, const void *caller)
{
    (void)backend;
    (void)caller;
    return false;
}

static bool step_learn(struct backend *backend)
{
    (void)backend;
    return true;
}

static void repeat_steps(struct backend *backend, bool repeat)
{
    (void)backend;
    (void)repeat;
}

static void embed(struct backend *backend, const struct embed_args *args)
{
    if (args->rows > 0)
        roofline_embed(roofline_of(backend), args);
}

static void norm_rows(struct backend *backend, uint64_t rows, uint64_t width, bool adds,
                      uint32_t vectors)
{
    if (rows == 0)
        return;
    struct roofline_kernel *kernel = roofline_launch(roofline_of(backend), "norm_rows");
    const uint64_t row_bytes = roofline_floats(rows * width);
    kernel->read_bytes += (adds ? 2 : 1) * row_bytes + vectors * roofline_floats(width);
    kernel->written_bytes += (adds ? 2 : 1) * row_bytes;
    kernel->float_ops += NORM_OPS * rows * width;
}

static void rms_norm(struct backend *backend, const struct rms_norm_args *args)
{
    norm_rows(backend, args->rows, args->width, args->residual != NULL, 1);
}

static void layer_norm(struct backend *backend, const struct layer_norm_args *args)
{
    norm_rows(backend, args->rows, args->width, args->residual != NULL, args->bias == NULL ? 1 : 2);
}

static void add(struct backend *backend, const struct add_args *args)
{
    if (args->count == 0)
        return;
    struct roofline_kernel *kernel = roofline_launch(roofline_of(backend), "add_elements");
    kernel->read_bytes += 2 * roofline_floats(args->count);
    kernel->written_bytes += roofline_floats(args->count);
    kernel->float_ops += ADD_OPS * args->count;
}

static void linear(struct backend *backend, const struct linear_args *args)
{
    if (args->rows > 0)
        roofline_linear(roofline_of(backend), args);
}

static void rope(struct backend *backend, const struct rope_args *args)
{
    if (args->rows == 0 || args->heads == 0 || args->rotary_dims < 2)
        return;
    struct roofline_kernel *kernel = roofline_launch(roofline_of(backend), "rope_rows");
    const uint64_t heads = (uint64_t)args->rows * args->heads;
    const uint64_t x_bytes = args->rotary_dims == args->head_dim
                                 ? roofline_floats(heads * args->head_dim)
                                 : heads * roofline_floats(args->rotary_dims);
    kernel->read_bytes +=
        x_bytes + roofline_floats(args->rows) + roofline_floats(args->rotary_dims / 2);
    kernel->written_bytes += x_bytes;
    kernel->float_ops += ROPE_OPS * heads * args->rotary_dims;
}

static void kv_write(struct backend *backend, const struct kv_write_args *args)
{
    if (args->span_count > 0)
        roofline_kv_write(roofline_of(backend), args);
}

static void attention(struct backend *backend, const struct attention_args *args)
{
    if (args->span_count > 0)
        roofline_attention(roofline_of(backend), args);
}

static void gated(struct backend *backend, const struct gated_args *args)
{
    if (args->count == 0)
        return;
    struct roofline_kernel *kernel = roofline_launch(roofline_of(backend), "gate_elements");
    kernel->read_bytes += 2 * roofline_floats(args->count);
    kernel->written_bytes += roofline_floats(args->count);
    kernel->float_ops += GATED_OPS * args->count;
}

/* Grouping reads all entries once an expert, but from the second cache. */
static void moe_route(struct backend *backend, const struct moe_route_args *args)
{
    if (args->rows == 0)
        return;
    struct roofline *roofline = roofline_of(backend);
    const uint64_t scores = (uint64_t)args->rows * args->experts;
    const uint64_t entries = (uint64_t)args->rows * args->top_k;
    struct roofline_kernel *route = roofline_launch(roofline, "route_rows");
    route->read_bytes += roofline_floats(scores);
    route->written_bytes += 2 * roofline_floats(entries);
    route->float_ops += scores * args->top_k;
    struct roofline_kernel *group = roofline_launch(roofline, "group_entries");
    group->read_bytes += roofline_floats(entries);
    group->written_bytes += 2 * roofline_floats(entries) + roofline_floats(args->experts + 1ull);
    group->float_ops += 2 * entries * args->experts;
    struct roofline_kernel *rows = roofline_launch(roofline, "group_rows");
    const uint32_t slab_rows = moe_slab_rows(args->rows, args->top_k, args->experts);
    rows->read_bytes += roofline_floats(args->experts + 1ull);
    rows->written_bytes +=
        moe_slabs_max(entries, args->experts, slab_rows) * sizeof(struct linear_slab) +
        roofline_floats((uint64_t)ACTIVATION_ROWS *
                        moe_slabs_max(entries, args->experts, ACTIVATION_ROWS));
}

static void moe_linear(struct backend *backend, const struct moe_linear_args *args)
{
    if (args->rows > 0)
        roofline_moe_linear(roofline_of(backend), args);
}

static void moe_combine(struct backend *backend, const struct moe_combine_args *args)
{
    if (args->rows == 0)
        return;
    struct roofline_kernel *kernel = roofline_launch(roofline_of(backend), "combine_rows");
    const uint64_t entries = (uint64_t)args->rows * args->top_k;
    const uint64_t out = roofline_floats((uint64_t)args->rows * args->width);
    kernel->read_bytes += roofline_floats(entries * args->width) + 2 * roofline_floats(entries) +
                          (args->shared == NULL ? 0 : out) +
                          (args->shared_scores == NULL ? 0 : roofline_floats(args->rows));
    kernel->written_bytes += out;
    kernel->float_ops += entries * args->width;
}

static void gather(struct backend *backend, const struct gather_args *args)
{
    if (args->count == 0 || args->width == 0)
        return;
    struct roofline_kernel *kernel = roofline_launch(roofline_of(backend), "gather_rows");
    const uint64_t bytes = roofline_floats((uint64_t)args->count * args->width);
    kernel->read_bytes += bytes + roofline_floats(args->count);
    kernel->written_bytes += bytes;
}

static void draw(struct backend *backend, const struct draw_args *args)
{
    if (args->row_count > 0)
        roofline_draw(roofline_of(backend), args);
}

static int drawn(struct backend *backend, struct drawn *ret, uint32_t row_count, struct error *err)
{
    (void)err;
    for (uint32_t i = 0; i < row_count; i++)
        ret[i] = (struct drawn){.outcome = roofline_of(backend)->keys[i] ? DRAW_LEFT : DRAW_DONE,
                                .logprob = NAN};
    return 0;
}

static void feed(struct backend *backend, const uint32_t *draw_rows, uint32_t row_count)
{
    (void)draw_rows;
    roofline_feed(roofline_of(backend), row_count);
}

/* -- opening and closing -- */

static void roofline_close(struct backend *backend)
{
    release_reserved(roofline_of(backend));
    free(backend);
}

static const struct backend_ops table = {
    .name = "roofline",
    .memory_alloc = memory_alloc,
    .memory_free = memory_free,
    .copy_to_device = copy_to_device,
    .copy_from_device = copy_from_device,
    .synchronize = synchronize,
    .weight_prepare = weight_prepare,
    .weight_free = weight_free,
    .weight_bytes = weight_bytes,
    .reserve = reserve,
    .step_begin = step_begin,
    .step_repeat = step_repeat,
    .step_learn = step_learn,
    .repeat_steps = repeat_steps,
    .embed = embed,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .add = add,
    .linear = linear,
    .rope = rope,
    .kv_write = kv_write,
    .attention = attention,
    .gated = gated,
    .moe_route = moe_route,
    .moe_linear = moe_linear,
    .moe_combine = moe_combine,
    .gather = gather,
    .draw = draw,
    .drawn = drawn,
    .feed = feed,
    .close = roofline_close,
};

struct backend *roofline_open(struct error *err)
{
    struct roofline *roofline = calloc(1, sizeof *roofline);
    if (roofline == NULL) {
        error_no_memory(err);
        return NULL;
    }
    roofline->face.ops = &table;
    roofline->next_address = FIRST_ADDRESS;
    return &roofline->face;
}
