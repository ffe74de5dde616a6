/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_backend.c -- the table of ops, and how each is cut into tasks for the pool.
 *
 * Enqueued is done: an op has finished when it returns, so synchronize() has nothing to wait for.
 * Which rows or heads go into one task is chosen for speed alone. The arithmetic of a row is the
 * same in any cut (ops.h), so neither the thread count nor the other rows of a step can show in a
 * result. A task is worth TASK_ELEMENTS or so: below that, handing it over costs more than it
 * saves, and an op with a single task runs on the caller without touching the pool. */
#include "kernels/cpu/cpu_backend.h"

#include "kernels/cpu/moe.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/pool.h"
#include "kernels/cpu/weight.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define TASK_ELEMENTS       16384u /* floats a task reads, for ops that are bound by memory */
#define ATTENTION_TASK_ROWS 16u    /* most rows of one KV head a task takes */
#define MAPPED_BYTES        (1u << 20)
#define MEMORY_ALIGNMENT    64u

struct cpu_backend {
    struct backend face; /* first: backend.h */
    const struct cpu_ops *ops;
    enum cpu_level level;
    struct pool *pool;
    void *scratch; /* of cpu_linear() and cpu_moe_linear() */
};

static struct cpu_backend *cpu_of(struct backend *backend)
{
    return (struct cpu_backend *)backend;
}

/* -- memory -- */

/* Precedes what memory_alloc() hands out. */
struct memory_header {
    _Alignas(MEMORY_ALIGNMENT) size_t mapped_bytes; /* 0: from the heap */
};

/* Large memory (the KV pool) is mapped: the kernel zeroes pages when they are first touched, so a
 * cache of gigabytes costs nothing at start, and in huge pages, for attention jumps about in it. */
static void *memory_alloc(struct backend *backend, size_t bytes, struct error *err)
{
    (void)backend;
    struct memory_header *header;
    size_t total = sizeof *header + bytes;
    if (bytes > SIZE_MAX - sizeof *header - MEMORY_ALIGNMENT) {
        error_no_memory(err);
        return NULL;
    }
    if (total >= MAPPED_BYTES) {
        header = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (header == MAP_FAILED) {
            error_no_memory(err);
            error_wrap(err, "%zu bytes of device memory", bytes);
            return NULL;
        }
        (void)madvise(header, total, MADV_HUGEPAGE);
        header->mapped_bytes = total;
        return header + 1;
    }
    total = (total + MEMORY_ALIGNMENT - 1) / MEMORY_ALIGNMENT * MEMORY_ALIGNMENT;
    header = aligned_alloc(MEMORY_ALIGNMENT, total);
    if (header == NULL) {
        error_no_memory(err);
        return NULL;
    }
    memset(header, 0, total);
    return header + 1;
}

static void memory_free(struct backend *backend, void *device)
{
    (void)backend;
    if (device == NULL)
        return;
    struct memory_header *header = (struct memory_header *)device - 1;
    if (header->mapped_bytes > 0)
        (void)munmap(header, header->mapped_bytes);
    else
        free(header);
}

static void copy_to_device(struct backend *backend, void *device, const void *host, size_t bytes)
{
    (void)backend;
    memcpy(device, host, bytes);
}

static void copy_from_device(struct backend *backend, void *host, const void *device, size_t bytes)
{
    (void)backend;
    memcpy(host, device, bytes);
}

static int synchronize(struct backend *backend, struct error *err)
{
    (void)backend;
    (void)err;
    return 0;
}

static int reserve(struct backend *backend, const struct reserve_args *args, struct error *err)
{
    struct cpu_backend *cpu = cpu_of(backend);
    if (args->context_max > CPU_POSITION_MAX)
        return error_set(err, ERROR_UNSUPPORTED, "a context of %u: the CPU's limit is %u",
                         args->context_max, CPU_POSITION_MAX);
    size_t bytes = cpu_linear_scratch_bytes(args->rows_max, args->columns_max);
    size_t of_experts = cpu_moe_linear_scratch_bytes((uint64_t)args->rows_max * args->top_k,
                                                     args->expert_columns_max);
    void *scratch = memory_alloc(backend, bytes > of_experts ? bytes : of_experts, err);
    if (scratch == NULL)
        return error_wrap(err, "scratch for steps of %u rows", args->rows_max);
    memory_free(backend, cpu->scratch);
    cpu->scratch = scratch;
    return 0;
}

/* Host arrays are read where they are. */
static void step_begin(struct backend *backend, const struct step_args *args)
{
    (void)backend;
    (void)args;
}

/* -- weights -- */

static struct weight *weight_prepare(struct backend *backend, const struct weight_source *source,
                                     struct error *err)
{
    struct cpu_backend *cpu = cpu_of(backend);
    return cpu_weight_prepare(cpu->level, cpu->pool, source, err);
}

static void weight_free(struct backend *backend, struct weight *weight)
{
    (void)backend;
    cpu_weight_free(weight);
}

static void embed(struct backend *backend, const struct embed_args *args)
{
    cpu_embed(cpu_of(backend)->pool, args);
}

static void linear(struct backend *backend, const struct linear_args *args)
{
    struct cpu_backend *cpu = cpu_of(backend);
    cpu_linear(cpu->level, cpu->pool, cpu->scratch, args);
}

/* -- ops over rows or elements -- */

struct job {
    const struct cpu_ops *ops;
    const void *args;
    uint64_t count;    /* rows or elements in all */
    uint64_t per_task; /* of them */
};

static uint64_t job_begin(const struct job *job, uint32_t index)
{
    return index * job->per_task;
}

static uint64_t job_end(const struct job *job, uint32_t index)
{
    uint64_t end = (index + (uint64_t)1) * job->per_task;
    return end < job->count ? end : job->count;
}

static void job_run(struct cpu_backend *cpu, pool_task task, const void *args, uint64_t count,
                    uint64_t per_task)
{
    struct job job = {cpu->ops, args, count, per_task > 0 ? per_task : 1};
    pool_run(cpu->pool, task, &job, (uint32_t)((count + job.per_task - 1) / job.per_task));
}

static void rms_norm_task(void *argument, uint32_t index, uint32_t thread)
{
    (void)thread;
    const struct job *job = argument;
    job->ops->rms_norm(job->args, (uint32_t)job_begin(job, index), (uint32_t)job_end(job, index));
}

static void rms_norm(struct backend *backend, const struct rms_norm_args *args)
{
    job_run(cpu_of(backend), rms_norm_task, args, args->rows, TASK_ELEMENTS / args->width);
}

static void layer_norm_task(void *argument, uint32_t index, uint32_t thread)
{
    (void)thread;
    const struct job *job = argument;
    job->ops->layer_norm(job->args, (uint32_t)job_begin(job, index), (uint32_t)job_end(job, index));
}

static void layer_norm(struct backend *backend, const struct layer_norm_args *args)
{
    job_run(cpu_of(backend), layer_norm_task, args, args->rows, TASK_ELEMENTS / args->width);
}

static void add_task(void *argument, uint32_t index, uint32_t thread)
{
    (void)thread;
    const struct job *job = argument;
    job->ops->add(job->args, job_begin(job, index), job_end(job, index));
}

static void add(struct backend *backend, const struct add_args *args)
{
    job_run(cpu_of(backend), add_task, args, args->count, TASK_ELEMENTS);
}

static void rope_task(void *argument, uint32_t index, uint32_t thread)
{
    (void)thread;
    const struct job *job = argument;
    job->ops->rope(job->args, (uint32_t)job_begin(job, index), (uint32_t)job_end(job, index));
}

static void rope(struct backend *backend, const struct rope_args *args)
{
    job_run(cpu_of(backend), rope_task, args, args->rows,
            TASK_ELEMENTS / (args->heads * args->head_dim));
}

static void kv_write_task(void *argument, uint32_t index, uint32_t thread)
{
    (void)thread;
    const struct job *job = argument;
    job->ops->kv_write(job->args, (uint32_t)job_begin(job, index), (uint32_t)job_end(job, index));
}

static uint32_t span_rows(const struct attention_span *spans, uint32_t span_count)
{
    return span_count == 0 ? 0 : spans[span_count - 1].first_row + spans[span_count - 1].row_count;
}

static void kv_write(struct backend *backend, const struct kv_write_args *args)
{
    assert(args->format == backend->kv_format);
    job_run(cpu_of(backend), kv_write_task, args, span_rows(args->spans, args->span_count),
            TASK_ELEMENTS / (2 * args->kv_heads * args->head_dim));
}

static void gated_task(void *argument, uint32_t index, uint32_t thread)
{
    (void)thread;
    const struct job *job = argument;
    job->ops->gated(job->args, job_begin(job, index), job_end(job, index));
}

static void gated(struct backend *backend, const struct gated_args *args)
{
    job_run(cpu_of(backend), gated_task, args, args->count, TASK_ELEMENTS / 2);
}

static void moe_route_task(void *argument, uint32_t index, uint32_t thread)
{
    (void)thread;
    const struct job *job = argument;
    job->ops->moe_route(job->args, (uint32_t)job_begin(job, index), (uint32_t)job_end(job, index));
}

static void moe_route(struct backend *backend, const struct moe_route_args *args)
{
    job_run(cpu_of(backend), moe_route_task, args, args->rows,
            TASK_ELEMENTS / (args->top_k * args->experts));
    cpu_moe_group(args);
}

static void moe_linear(struct backend *backend, const struct moe_linear_args *args)
{
    struct cpu_backend *cpu = cpu_of(backend);
    cpu_moe_linear(cpu->level, cpu->pool, cpu->scratch, args);
}

static void moe_combine_task(void *argument, uint32_t index, uint32_t thread)
{
    (void)thread;
    const struct job *job = argument;
    job->ops->moe_combine(job->args, (uint32_t)job_begin(job, index),
                          (uint32_t)job_end(job, index));
}

static void moe_combine(struct backend *backend, const struct moe_combine_args *args)
{
    job_run(cpu_of(backend), moe_combine_task, args, args->rows,
            TASK_ELEMENTS / ((args->top_k + 1) * args->width));
}

static void gather(struct backend *backend, const struct gather_args *args)
{
    (void)backend;
    for (uint32_t i = 0; i < args->count; i++)
        memcpy(args->out + (size_t)i * args->width, args->x + (size_t)args->rows[i] * args->width,
               args->width * sizeof *args->x);
}

/* -- attention: a task is some rows of one KV head -- */

/* Late rows see most and are taken first, so that no thread is left with them at the end. */
static void attention_task(void *argument, uint32_t index, uint32_t thread)
{
    (void)thread;
    const struct job *job = argument;
    const struct attention_args *args = job->args;
    uint32_t chunks = (uint32_t)((job->count + job->per_task - 1) / job->per_task);
    uint32_t chunk = chunks - 1 - index / args->kv_heads;
    cpu_attention(job->ops->attend, args, (uint32_t)job_begin(job, chunk),
                  (uint32_t)job_end(job, chunk), index % args->kv_heads);
}

static void attention(struct backend *backend, const struct attention_args *args)
{
    struct cpu_backend *cpu = cpu_of(backend);
    assert(args->format == backend->kv_format);
    const uint32_t rows = span_rows(args->spans, args->span_count);
    const uint32_t wanted_chunks = 4 * pool_threads(cpu->pool); /* some to even out the load */
    uint32_t per_task = rows / wanted_chunks;
    if (per_task > ATTENTION_TASK_ROWS)
        per_task = ATTENTION_TASK_ROWS;
    struct job job = {cpu->ops, args, rows, per_task > 0 ? per_task : 1};
    uint32_t chunks = (uint32_t)((rows + job.per_task - 1) / job.per_task);
    pool_run(cpu->pool, attention_task, &job, chunks * args->kv_heads);
}

/* -- opening and closing -- */

static void cpu_close(struct backend *backend)
{
    struct cpu_backend *cpu = cpu_of(backend);
    memory_free(backend, cpu->scratch);
    pool_free(cpu->pool);
    free(cpu);
}

#define CPU_TABLE(level_name)                                                                      \
    {                                                                                              \
        .name = "cpu-" level_name, .shares_memory = true, .memory_alloc = memory_alloc,            \
        .memory_free = memory_free, .copy_to_device = copy_to_device,                              \
        .copy_from_device = copy_from_device, .synchronize = synchronize,                          \
        .weight_prepare = weight_prepare, .weight_free = weight_free,                              \
        .weight_bytes = cpu_weight_bytes, .reserve = reserve, .step_begin = step_begin,            \
        .embed = embed, .rms_norm = rms_norm, .layer_norm = layer_norm, .add = add,                \
        .linear = linear, .rope = rope, .kv_write = kv_write, .attention = attention,              \
        .gated = gated, .moe_route = moe_route, .moe_linear = moe_linear,                          \
        .moe_combine = moe_combine, .gather = gather, .close = cpu_close                           \
    }

static const struct backend_ops table_scalar = CPU_TABLE("scalar");
static const struct backend_ops table_avx2 = CPU_TABLE("avx2");
static const struct backend_ops table_avx512 = CPU_TABLE("avx512");

static void choose_level(struct cpu_backend *cpu)
{
    switch (cpu->level) {
    case CPU_LEVEL_AVX512:
        cpu->face.ops = &table_avx512;
        cpu->ops = &cpu_ops_avx512;
        break;
    case CPU_LEVEL_AVX2:
        cpu->face.ops = &table_avx2;
        cpu->ops = &cpu_ops_avx2;
        break;
    default:
        cpu->face.ops = &table_scalar;
        cpu->ops = &cpu_ops_scalar;
        break;
    }
}

struct backend *cpu_backend_open(const struct backend_config *config, struct error *err)
{
    enum cpu_level level;
    if (cpu_level_resolve(config->level, &level, err) != 0)
        return NULL;
    struct cpu_backend *cpu = calloc(1, sizeof *cpu);
    if (cpu == NULL) {
        error_no_memory(err);
        return NULL;
    }
    cpu->level = level;
    choose_level(cpu);
    cpu->pool = pool_new(config->threads, err);
    if (cpu->pool == NULL) {
        free(cpu);
        return NULL;
    }
    return &cpu->face;
}
