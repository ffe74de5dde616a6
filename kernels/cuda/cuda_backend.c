/* SPDX-License-Identifier: Apache-2.0 */
/* cuda_backend.c -- the table of ops over one GPU and one stream.
 *
 * An op replaces the host arrays in its args by their copies on the device and launches. Ops cannot
 * fail by their contract, but a GPU can: the first error that a call returns sticks, with the name
 * of the op, later ops do nothing, and synchronize() tells it. It stays: after a fault in a kernel
 * or a GPU that fell off the bus, the process's hold on the device is void, and only a new process
 * gets another. An error that a kernel makes long after its launch comes back from a later call;
 * the name is then where it was noticed. */
#include "kernels/cuda/cuda_backend.h"

#include "kernels/cpu/ops.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/draws.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/step_graphs.h"
#include "kernels/cuda/step_inputs.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPABILITY_MAJOR_MIN 8 /* Ampere: cp.async, bf16 mma */
#define STAGING_BYTES        ((size_t)16 << 20)

struct lent_weight {
    struct weight *weight;
    void *device;
};

struct cuda_backend {
    struct backend face; /* first: backend.h */
    cudaStream_t stream;
    struct cuda_memory memory;
    /* while weights are loaded */
    void *staging; /* pinned; NULL until the first weight and after reserve() */
    struct lent_weight *weights;
    uint32_t weight_count, weight_max;
    /* of reserve() */
    struct step_inputs *inputs;
    void *inputs_device, *linear_scratch, *draws_device;
    void *moe_plan; /* of the last moe_route(), which wrote planned_begins */
    size_t moe_plan_bytes;
    const uint32_t *planned_begins;
    float *partials;
    struct draws *draws;
    struct step_graphs graphs;
    bool no_graphs;

    cudaError_t failure; /* the first; cudaSuccess: the device works as far as we know */
    const char *failed_in;
};

static struct cuda_backend *cuda_of(struct backend *backend)
{
    return (struct cuda_backend *)backend;
}

/* -- failing -- */

static bool works(const struct cuda_backend *cuda)
{
    return cuda->failure == cudaSuccess;
}

static void note(struct cuda_backend *cuda, const char *op, cudaError_t code)
{
    if (code == cudaSuccess || !works(cuda))
        return;
    if (cuda->graphs.captured != NULL) { /* nothing has run; the op is called again */
        cuda->graphs.spoilt = true;
        return;
    }
    cuda->failure = code;
    cuda->failed_in = op;
}

static int tell_failure(const struct cuda_backend *cuda, struct error *err)
{
    return error_set(err, ERROR_CLOSED, "the GPU failed in %s: %s (CUDA error %d)", cuda->failed_in,
                     cudaGetErrorString(cuda->failure), (int)cuda->failure);
}

static int synchronize(struct backend *backend, struct error *err)
{
    struct cuda_backend *cuda = cuda_of(backend);
    if (cuda->inputs != NULL)
        step_inputs_end(cuda->inputs);
    if (works(cuda))
        note(cuda, "synchronize", cudaStreamSynchronize(cuda->stream));
    return works(cuda) ? 0 : tell_failure(cuda, err);
}

/* -- memory -- */

static void *memory_alloc(struct backend *backend, size_t bytes, struct error *err)
{
    return cuda_memory_take(&cuda_of(backend)->memory, bytes, err);
}

static void memory_free(struct backend *backend, void *device)
{
    step_graphs_clear(&cuda_of(backend)->graphs);
    cuda_memory_give(&cuda_of(backend)->memory, device);
}

static int memory_together(struct backend *backend, size_t bytes, struct error *err)
{
    return cuda_memory_together(&cuda_of(backend)->memory, bytes, err);
}

static bool memory_room(struct backend *backend, struct device_room *ret)
{
    (void)backend;
    struct cudaDeviceProp properties;
    size_t room = 0, total = 0;
    int device = 0;
    if (cudaMemGetInfo(&room, &total) != cudaSuccess || cudaGetDevice(&device) != cudaSuccess ||
        cudaGetDeviceProperties(&properties, device) != cudaSuccess)
        return false;
    *ret = (struct device_room){.total_bytes = total, .free_bytes = room};
    (void)snprintf(ret->device, sizeof ret->device, "%s", properties.name);
    return true;
}

/* The host's bytes may be gone when this returns, so it waits. */
static void copy_to_device(struct backend *backend, void *device, const void *host, size_t bytes)
{
    struct cuda_backend *cuda = cuda_of(backend);
    if (!works(cuda) || bytes == 0)
        return;
    note(cuda, "a copy to the device",
         cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, cuda->stream));
    if (works(cuda))
        note(cuda, "a copy to the device", cudaStreamSynchronize(cuda->stream));
}

static void copy_from_device(struct backend *backend, void *host, const void *device, size_t bytes)
{
    struct cuda_backend *cuda = cuda_of(backend);
    if (cuda->inputs != NULL)
        step_inputs_end(cuda->inputs);
    if (works(cuda) && bytes > 0)
        note(cuda, "a copy from the device",
             cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, cuda->stream));
    if (works(cuda))
        note(cuda, "a copy from the device", cudaStreamSynchronize(cuda->stream));
    if (!works(cuda))
        memset(host, 0xff, bytes); /* NaN: who looks in spite of synchronize() is not deceived */
}

/* -- weights -- */

static size_t weight_bytes_wanted(const struct weight_source *source)
{
    size_t bytes = cuda_weight_bytes_wanted(source);
    return bytes == 0 ? 0 : cuda_memory_rounded(bytes);
}

static bool make_room_for_weight(struct cuda_backend *cuda, struct error *err)
{
    if (cuda->staging == NULL) {
        cudaError_t code = cudaMallocHost(&cuda->staging, STAGING_BYTES);
        if (code != cudaSuccess) {
            (void)cudaGetLastError();
            cuda->staging = NULL;
            (void)error_set(err, ERROR_NO_MEMORY, "%zu MiB of pinned memory: %s",
                            STAGING_BYTES >> 20, cudaGetErrorString(code));
            return false;
        }
    }
    if (cuda->weight_count < cuda->weight_max)
        return true;
    const uint32_t max = cuda->weight_max == 0 ? 64 : 2 * cuda->weight_max;
    struct lent_weight *weights = realloc(cuda->weights, max * sizeof *weights);
    if (weights == NULL) {
        error_no_memory(err);
        return false;
    }
    cuda->weights = weights;
    cuda->weight_max = max;
    return true;
}

static struct weight *weight_prepare(struct backend *backend, const struct weight_source *source,
                                     struct error *err)
{
    struct cuda_backend *cuda = cuda_of(backend);
    const size_t bytes = cuda_weight_bytes_wanted(source);
    if (bytes == 0) {
        (void)error_set(err, ERROR_UNSUPPORTED,
                        "weights of type %u are not served on a GPU: engine.device 'cpu' does",
                        (unsigned)source->type);
        return NULL;
    }
    if (!make_room_for_weight(cuda, err))
        return NULL;
    void *device = cuda_memory_take(&cuda->memory, bytes, err);
    if (device == NULL)
        return NULL;
    struct weight *weight = cuda_weight_prepare(source,
                                                &(struct cuda_weight_place){
                                                    .device = device,
                                                    .staging = cuda->staging,
                                                    .staging_bytes = STAGING_BYTES,
                                                    .stream = cuda->stream,
                                                },
                                                err);
    if (weight == NULL) {
        cuda_memory_give(&cuda->memory, device);
        return NULL;
    }
    cuda->weights[cuda->weight_count++] = (struct lent_weight){weight, device};
    return weight;
}

static void weight_free(struct backend *backend, struct weight *weight)
{
    struct cuda_backend *cuda = cuda_of(backend);
    if (weight == NULL)
        return;
    uint32_t i = 0;
    while (i < cuda->weight_count && cuda->weights[i].weight != weight)
        i++;
    assert(i < cuda->weight_count);
    step_graphs_clear(&cuda->graphs);
    cuda_weight_free(weight);
    cuda_memory_give(&cuda->memory, cuda->weights[i].device);
    cuda->weights[i] = cuda->weights[--cuda->weight_count];
}

/* -- scratch -- */

/* What reserve() takes, by purpose. */
struct reserve_plan {
    size_t inputs, linear, partials, moe_plan, draws;
};

static struct reserve_plan plan_reserve(const struct reserve_args *args)
{
    const size_t partials = args->heads == 0
                                ? 0
                                : attention_partials_max(args->rows_max, args->context_max) *
                                      attention_partial_bytes(args->heads, args->head_dim);
    const uint64_t entries = (uint64_t)args->rows_max * args->top_k;
    const size_t linear = cuda_linear_scratch_bytes(args->rows_max, args->columns_max);
    const size_t by_expert =
        cuda_moe_linear_scratch_bytes(entries, args->experts, args->expert_columns_max);
    return (struct reserve_plan){
        .inputs = step_inputs_bytes(args),
        .linear = linear > by_expert ? linear : by_expert,
        .partials = partials,
        .moe_plan = cuda_moe_plan_bytes(entries, args->experts),
        .draws = draws_bytes(args),
    };
}

static int check_reserve(const struct reserve_args *args, struct error *err)
{
    if (args->context_max > CPU_POSITION_MAX)
        return error_set(err, ERROR_UNSUPPORTED, "a context of %u: the GPU's limit is %u",
                         args->context_max, CPU_POSITION_MAX);
    if (args->heads == 0)
        return 0;
    if (args->head_dim % CUDA_HEAD_DIM_STEP != 0 || args->head_dim > CUDA_HEAD_DIM_MAX)
        return error_set(err, ERROR_UNSUPPORTED,
                         "heads of %u dimensions are not served on a GPU: multiples of %u up to "
                         "%u are; engine.device 'cpu' takes any",
                         args->head_dim, CUDA_HEAD_DIM_STEP, CUDA_HEAD_DIM_MAX);
    if (args->heads / args->kv_heads > CUDA_GROUP_MAX)
        return error_set(err, ERROR_UNSUPPORTED,
                         "%u query heads a KV head are not served on a GPU: up to %u are; "
                         "engine.device 'cpu' takes any",
                         args->heads / args->kv_heads, CUDA_GROUP_MAX);
    return 0;
}

static int reserve_bytes(const struct reserve_args *args, uint64_t *ret, struct error *err)
{
    if (check_reserve(args, err) != 0)
        return ERROR_UNSUPPORTED;
    const struct reserve_plan plan = plan_reserve(args);
    *ret = cuda_memory_rounded(plan.inputs) + cuda_memory_rounded(plan.linear) +
           cuda_memory_rounded(plan.partials) + cuda_memory_rounded(plan.moe_plan) +
           cuda_memory_rounded(plan.draws);
    return 0;
}

static void release_reserved(struct cuda_backend *cuda)
{
    step_graphs_clear(&cuda->graphs);
    step_inputs_free(cuda->inputs);
    draws_free(cuda->draws);
    cuda_memory_give(&cuda->memory, cuda->inputs_device);
    cuda_memory_give(&cuda->memory, cuda->linear_scratch);
    cuda_memory_give(&cuda->memory, cuda->partials);
    cuda_memory_give(&cuda->memory, cuda->moe_plan);
    cuda_memory_give(&cuda->memory, cuda->draws_device);
    cuda->inputs = NULL;
    cuda->draws = NULL;
    cuda->inputs_device = cuda->linear_scratch = cuda->moe_plan = cuda->draws_device = NULL;
    cuda->partials = NULL;
}

static int reserve(struct backend *backend, const struct reserve_args *args, struct error *err)
{
    struct cuda_backend *cuda = cuda_of(backend);
    if (check_reserve(args, err) != 0)
        return ERROR_UNSUPPORTED;
    if (cuda->staging != NULL)
        (void)cudaFreeHost(cuda->staging); /* all weights are where they belong */
    cuda->staging = NULL;
    (void)cudaStreamSynchronize(cuda->stream);
    release_reserved(cuda);
    const struct reserve_plan plan = plan_reserve(args);
    cuda->inputs_device = cuda_memory_take(&cuda->memory, plan.inputs, err);
    if (cuda->inputs_device != NULL)
        cuda->inputs = step_inputs_new(args, cuda->inputs_device, cuda->stream, err);
    if (cuda->inputs != NULL)
        cuda->linear_scratch = cuda_memory_take(&cuda->memory, plan.linear, err);
    if (cuda->linear_scratch != NULL)
        cuda->partials = cuda_memory_take(&cuda->memory, plan.partials, err);
    if (cuda->partials != NULL)
        cuda->moe_plan = cuda_memory_take(&cuda->memory, plan.moe_plan, err);
    cuda->moe_plan_bytes = plan.moe_plan;
    if (cuda->moe_plan != NULL)
        cuda->draws_device = cuda_memory_take(&cuda->memory, plan.draws, err);
    if (cuda->draws_device != NULL)
        cuda->draws = draws_new(args, cuda->draws_device, err);
    if (cuda->draws != NULL)
        return 0;
    release_reserved(cuda);
    (void)error_wrap(
        err, "scratch of %zu MiB for steps of %u rows",
        ((plan.inputs + plan.linear + plan.partials + plan.moe_plan + plan.draws) >> 20) + 1,
        args->rows_max);
    return ERROR_NO_MEMORY;
}

/* -- ops -- */

static void step_begin(struct backend *backend, const struct step_args *args)
{
    struct cuda_backend *cuda = cuda_of(backend);
    if (works(cuda))
        note(cuda, "step_begin", step_inputs_begin(cuda->inputs, args));
}

static bool step_repeat(struct backend *backend, const void *caller)
{
    struct cuda_backend *cuda = cuda_of(backend);
    struct step_shape shape;
    enum step_graph_found found = STEP_GRAPH_NONE;
    cudaError_t code;
    if (!works(cuda) || cuda->no_graphs)
        return false;
    if (step_inputs_shape(cuda->inputs, &shape, &code))
        code = step_graphs_launch(&cuda->graphs, caller, &shape, cuda->stream, &found);
    note(cuda, "step_repeat", code);
    if (found == STEP_GRAPH_CAPTURES)
        step_inputs_freeze(cuda->inputs, &shape);
    return found == STEP_GRAPH_LAUNCHED;
}

static bool step_learn(struct backend *backend)
{
    struct cuda_backend *cuda = cuda_of(backend);
    bool enqueued;
    if (cuda->graphs.captured == NULL)
        return true;
    if (!step_inputs_thaw(cuda->inputs))
        cuda->graphs.spoilt = true;
    note(cuda, "step_learn", step_graphs_captured(&cuda->graphs, cuda->stream, &enqueued));
    return enqueued;
}

static void repeat_steps(struct backend *backend, bool repeat)
{
    cuda_of(backend)->no_graphs = !repeat;
}

uint64_t cuda_backend_graphs_launched(const struct backend *backend)
{
    return ((const struct cuda_backend *)backend)->graphs.launches;
}

static void embed(struct backend *backend, const struct embed_args *args)
{
    struct cuda_backend *cuda = cuda_of(backend);
    struct embed_args on_device = *args;
    if (!works(cuda) || args->rows == 0)
        return;
    note(cuda, "embed",
         step_inputs_tokens(cuda->inputs, args->tokens, args->rows, &on_device.tokens));
    if (works(cuda))
        note(cuda, "embed", cuda_embed(&on_device, cuda->stream));
}

static void rms_norm(struct backend *backend, const struct rms_norm_args *args)
{
    struct cuda_backend *cuda = cuda_of(backend);
    if (works(cuda))
        note(cuda, "rms_norm", cuda_rms_norm(args, cuda->stream));
}

static void layer_norm(struct backend *backend, const struct layer_norm_args *args)
{
    struct cuda_backend *cuda = cuda_of(backend);
    if (works(cuda))
        note(cuda, "layer_norm", cuda_layer_norm(args, cuda->stream));
}

static void add(struct backend *backend, const struct add_args *args)
{
    struct cuda_backend *cuda = cuda_of(backend);
    if (works(cuda))
        note(cuda, "add", cuda_add(args, cuda->stream));
}

static void linear(struct backend *backend, const struct linear_args *args)
{
    struct cuda_backend *cuda = cuda_of(backend);
    if (works(cuda) && args->rows > 0)
        note(cuda, "linear", cuda_linear(args, cuda->linear_scratch, cuda->stream));
}

static void rope(struct backend *backend, const struct rope_args *args)
{
    struct cuda_backend *cuda = cuda_of(backend);
    struct rope_args on_device = *args;
    if (!works(cuda) || args->rows == 0)
        return;
    note(cuda, "rope",
         step_inputs_positions(cuda->inputs, args->positions, args->rows, &on_device.positions));
    if (works(cuda))
        note(cuda, "rope", cuda_rope(&on_device, cuda->stream));
}

static void kv_write(struct backend *backend, const struct kv_write_args *args)
{
    struct cuda_backend *cuda = cuda_of(backend);
    const struct step_spans spans = {args->spans, args->span_count, args->block_tables};
    struct attention_step step;
    uint32_t rows;
    assert(args->format == backend->kv_format);
    if (!works(cuda) || args->span_count == 0)
        return;
    note(cuda, "kv_write", step_inputs_spans(cuda->inputs, &spans, &step, &rows));
    if (works(cuda))
        note(cuda, "kv_write", cuda_kv_write(args, &step, rows, cuda->stream));
}

static void attention(struct backend *backend, const struct attention_args *args)
{
    struct cuda_backend *cuda = cuda_of(backend);
    const struct step_spans spans = {args->spans, args->span_count, args->block_tables};
    struct attention_step step;
    assert(args->format == backend->kv_format);
    if (!works(cuda) || args->span_count == 0)
        return;
    note(cuda, "attention", step_inputs_attention(cuda->inputs, &spans, args->window, &step));
    if (!works(cuda))
        return;
    step.partials = cuda->partials;
    note(cuda, "attention", cuda_attention(args, &step, cuda->stream));
}

static void gated(struct backend *backend, const struct gated_args *args)
{
    struct cuda_backend *cuda = cuda_of(backend);
    if (works(cuda))
        note(cuda, "gated", cuda_gated(args, cuda->stream));
}

static void moe_route(struct backend *backend, const struct moe_route_args *args)
{
    struct cuda_backend *cuda = cuda_of(backend);
    if (works(cuda))
        note(cuda, "moe_route", cuda_moe_route(args, cuda->stream));
    assert(cuda_moe_plan_bytes((uint64_t)args->rows * args->top_k, args->experts) <=
           cuda->moe_plan_bytes);
    if (works(cuda))
        note(cuda, "moe_route", cuda_moe_plan(args, cuda->moe_plan, cuda->stream));
    cuda->planned_begins = args->expert_begins;
}

static void moe_linear(struct backend *backend, const struct moe_linear_args *args)
{
    struct cuda_backend *cuda = cuda_of(backend);
    assert(args->expert_begins == cuda->planned_begins);
    if (works(cuda))
        note(cuda, "moe_linear",
             cuda_moe_linear(args, cuda->moe_plan, cuda->linear_scratch, cuda->stream));
}

static void moe_combine(struct backend *backend, const struct moe_combine_args *args)
{
    struct cuda_backend *cuda = cuda_of(backend);
    if (works(cuda))
        note(cuda, "moe_combine", cuda_moe_combine(args, cuda->stream));
}

static void gather(struct backend *backend, const struct gather_args *args)
{
    struct cuda_backend *cuda = cuda_of(backend);
    struct gather_args on_device = *args;
    if (!works(cuda) || args->count == 0)
        return;
    note(cuda, "gather",
         step_inputs_output_rows(cuda->inputs, args->rows, args->count, &on_device.rows));
    if (works(cuda))
        note(cuda, "gather", cuda_gather(&on_device, cuda->stream));
}

static void draw(struct backend *backend, const struct draw_args *args)
{
    struct cuda_backend *cuda = cuda_of(backend);
    if (works(cuda) && args->row_count > 0)
        note(cuda, "draw", draws_enqueue(cuda->draws, cuda->inputs, args, cuda->stream));
}

static int drawn(struct backend *backend, struct drawn *ret, uint32_t row_count, struct error *err)
{
    struct cuda_backend *cuda = cuda_of(backend);
    if (works(cuda))
        note(cuda, "drawn", draws_tell(cuda->draws, ret, row_count));
    return works(cuda) ? 0 : tell_failure(cuda, err);
}

static void feed(struct backend *backend, const uint32_t *draw_rows, uint32_t row_count)
{
    struct cuda_backend *cuda = cuda_of(backend);
    if (works(cuda))
        note(cuda, "feed",
             draws_feed(cuda->draws, cuda->inputs, draw_rows, row_count, cuda->stream));
}

/* -- opening and closing -- */

static void cuda_close(struct backend *backend)
{
    struct cuda_backend *cuda = cuda_of(backend);
    (void)cudaStreamSynchronize(cuda->stream);
    release_reserved(cuda);
    assert(cuda->weight_count == 0);
    free(cuda->weights);
    if (cuda->staging != NULL)
        (void)cudaFreeHost(cuda->staging);
    cuda_memory_destroy(&cuda->memory);
    (void)cudaStreamDestroy(cuda->stream);
    free(cuda);
}

static const struct backend_ops table = {
    .name = "cuda",
    .memory_alloc = memory_alloc,
    .memory_free = memory_free,
    .copy_to_device = copy_to_device,
    .copy_from_device = copy_from_device,
    .synchronize = synchronize,
    .weight_prepare = weight_prepare,
    .weight_free = weight_free,
    .weight_bytes = cuda_weight_bytes,
    .reserve = reserve,
    .memory_room = memory_room,
    .weight_bytes_wanted = weight_bytes_wanted,
    .reserve_bytes = reserve_bytes,
    .memory_together = memory_together,
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
    .close = cuda_close,
};

/* What cudaGetDeviceCount() said, with what helps. */
static int tell_no_device(cudaError_t code, struct error *err)
{
    const int major = CUDART_VERSION / 1000, minor = CUDART_VERSION % 1000 / 10;
    if (code == cudaErrorInsufficientDriver)
        return error_set(err, ERROR_NOT_FOUND,
                         "there is no NVIDIA driver, or one older than CUDA %d.%d: install one",
                         major, minor);
    if (code == cudaErrorStubLibrary)
        return error_set(err, ERROR_NOT_FOUND,
                         "libcuda.so.1 is the toolkit's stub and not the driver's: take it out of "
                         "the way of the loader");
    if (code == cudaErrorNoDevice)
        return error_set(err, ERROR_NOT_FOUND,
                         "the driver knows of no GPU: is it visible here, by "
                         "CUDA_VISIBLE_DEVICES and to this container or service?");
    return error_set(err, ERROR_IO, "%s (CUDA error %d)", cudaGetErrorString(code), (int)code);
}

static int check_device(struct error *err)
{
    int count = 0, major = 0, minor = 0;
    struct cudaDeviceProp properties;
    cudaError_t code = cudaGetDeviceCount(&count);
    if (code == cudaSuccess && count == 0)
        code = cudaErrorNoDevice;
    if (code != cudaSuccess)
        return tell_no_device(code, err);
    if ((code = cudaSetDevice(0)) != cudaSuccess ||
        (code = cudaGetDeviceProperties(&properties, 0)) != cudaSuccess ||
        (code = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0)) !=
            cudaSuccess ||
        (code = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0)) !=
            cudaSuccess)
        return tell_no_device(code, err);
    if (major < CAPABILITY_MAJOR_MIN)
        return error_set(err, ERROR_UNSUPPORTED,
                         "%s has compute capability %d.%d: %d.0 and later are served",
                         properties.name, major, minor, CAPABILITY_MAJOR_MIN);
    return 0;
}

/* A kernel of ours is run: a GPU that this build has no code for says so now. */
static int try_kernel(struct cuda_backend *cuda, struct error *err)
{
    float *x = cuda_memory_take(&cuda->memory, sizeof *x, err);
    if (x == NULL)
        return ERROR_NO_MEMORY;
    cudaError_t code = cuda_add(&(struct add_args){x, x, 1}, cuda->stream);
    if (code == cudaSuccess)
        code = cudaStreamSynchronize(cuda->stream);
    cuda_memory_give(&cuda->memory, x);
    if (code == cudaSuccess)
        return 0;
    return error_set(err, ERROR_UNSUPPORTED, "the GPU does not run our kernels: %s (CUDA error %d)",
                     cudaGetErrorString(code), (int)code);
}

struct backend *cuda_backend_open(struct error *err)
{
    if (check_device(err) != 0)
        return NULL;
    struct cuda_backend *cuda = calloc(1, sizeof *cuda);
    if (cuda == NULL) {
        error_no_memory(err);
        return NULL;
    }
    cuda->face.ops = &table;
    cudaError_t code = cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking);
    if (code != cudaSuccess) {
        (void)tell_no_device(code, err);
        free(cuda);
        return NULL;
    }
    cuda->memory.stream = cuda->stream;
    if (try_kernel(cuda, err) == 0)
        return &cuda->face;
    cuda_close(&cuda->face);
    return NULL;
}
