/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/cuda/attention_world.cuh"

#include <algorithm>

extern "C" {
#include "kernels/kv_fp8.h"
}
#include "tests/unit/cuda/device_copy.cuh"

#define GARBAGE 0xdeadbeefu
#define BEYOND  3u /* pieces, joins and rows that are launched but not planned */

/* On the device; for cudaFree(). */
template <class T> static T *put(const std::vector<T> &host)
{
    return device_put(host).memory;
}

static void release(const void *device)
{
    assert_int_equal(cudaFree(const_cast<void *>(device)), cudaSuccess);
}

static uint32_t blocks_of(uint32_t tokens)
{
    return (tokens + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS;
}

/* One number; of KV_FP8 by its scale, which the caller found. */
static float held_number(float value, enum kv_format format, uint32_t exponent)
{
    if (format == KV_BF16)
        return quant_bf16_to_float(quant_float_to_bf16(value));
    if (format == KV_F16)
        return quant_half_to_float(quant_float_to_half(value));
    const uint8_t code = kv_fp8_code(value, kv_fp8_inverse(exponent));
    return quant_half_to_float(kv_fp8_half(code)) * quant_half_to_float(kv_fp8_scale(exponent));
}

static std::vector<float> held(const std::vector<float> &numbers, const struct world_shape *shape)
{
    std::vector<float> out;
    for (size_t first = 0; first < numbers.size(); first += shape->head_dim) {
        uint32_t largest = 0;
        for (uint32_t d = 0; d < shape->head_dim; d++)
            largest = std::max(largest, kv_fp8_size(numbers[first + d]));
        for (uint32_t d = 0; d < shape->head_dim; d++)
            out.push_back(held_number(numbers[first + d], shape->format, kv_fp8_exponent(largest)));
    }
    return out;
}

/* As the GPU rounds queries: to what its tensor cores take keys as. */
static double rounded_query(float value, enum kv_format format)
{
    return held_number(value, format == KV_BF16 ? KV_BF16 : KV_F16, 0);
}

struct world world_new(const struct world_shape &shape, const std::vector<uint32_t> &tokens,
                       uint64_t seed, uint64_t shuffle)
{
    struct world world = {};
    world.shape = shape;
    world.blocks = 5;
    world.partial_max = CUDA_PARTIALS_MAX;
    for (uint32_t count : tokens)
        world.blocks += blocks_of(count);
    std::vector<uint32_t> numbers(world.blocks);
    for (uint32_t i = 0; i < world.blocks; i++)
        numbers[i] = i;
    for (uint32_t i = world.blocks - 1; i > 0; i--)
        std::swap(numbers[i], numbers[next_random(&shuffle) % (i + 1)]);
    for (uint32_t count : tokens) {
        struct sequence sequence = {};
        sequence.tokens = count;
        const size_t dim = shape.head_dim;
        sequence.q = random_values(count * shape.heads * dim, 1.5f, next_random(&seed));
        sequence.k = random_values(count * shape.kv_heads * dim, 1.5f, next_random(&seed));
        sequence.v = random_values(count * shape.kv_heads * dim, 1.5f, next_random(&seed));
        for (uint32_t i = 0; i < blocks_of(count); i++) {
            sequence.table.push_back(numbers.back());
            numbers.pop_back();
        }
        sequence.held_k = held(sequence.k, &shape);
        sequence.held_v = held(sequence.v, &shape);
        world.sequences.push_back(sequence);
    }
    world.cache =
        put(std::vector<uint8_t>(world_cache_bytes(&world), 0xff)); /* NaN in any format */
    return world;
}

size_t world_cache_bytes(const struct world *world)
{
    const struct world_shape &shape = world->shape;
    return world->blocks * 2 * shape.kv_heads * kv_slice_bytes(shape.format, shape.head_dim);
}

void world_free(struct world *world)
{
    release(world->cache);
    *world = {};
}

/* A step's arrays as the host has them. */
struct host_step {
    std::vector<struct attention_span> spans;
    std::vector<uint32_t> tables, row_spans;
    std::vector<float> q, k, v;
    uint32_t rows;
};

static void append_rows(std::vector<float> *to, const std::vector<float> &from, size_t width,
                        const struct chunk &chunk)
{
    to->insert(to->end(), from.begin() + chunk.begin * width, from.begin() + chunk.end * width);
}

static struct host_step host_step_of(const struct world *world,
                                     const std::vector<struct chunk> &chunks)
{
    struct host_step step = {};
    const struct world_shape &shape = world->shape;
    for (const struct chunk &chunk : chunks) {
        const struct sequence &sequence = world->sequences[chunk.sequence];
        assert_true(chunk.begin < chunk.end && chunk.end <= sequence.tokens);
        step.spans.push_back(
            {step.rows, chunk.end - chunk.begin, chunk.begin, (uint32_t)step.tables.size()});
        step.row_spans.insert(step.row_spans.end(), chunk.end - chunk.begin,
                              (uint32_t)step.spans.size() - 1);
        step.rows += chunk.end - chunk.begin;
        append_rows(&step.q, sequence.q, shape.heads * shape.head_dim, chunk);
        append_rows(&step.k, sequence.k, shape.kv_heads * shape.head_dim, chunk);
        append_rows(&step.v, sequence.v, shape.kv_heads * shape.head_dim, chunk);
        const uint32_t first = shape.window == 0 || chunk.begin + 1 < shape.window
                                   ? 0
                                   : chunk.begin + 1 - shape.window;
        for (uint32_t i = 0; i < sequence.table.size() + 2; i++) {
            const bool seen = i >= first / KV_BLOCK_TOKENS && i < blocks_of(chunk.end);
            step.tables.push_back(seen ? sequence.table[i] : GARBAGE);
        }
    }
    for (uint32_t i = 0; i < BEYOND; i++)
        step.row_spans.push_back(ATTENTION_NO_SPAN);
    const size_t width = shape.kv_heads * shape.head_dim;
    step.k.resize((step.rows + BEYOND) * width, NAN);
    step.v.resize((step.rows + BEYOND) * width, NAN);
    return step;
}

static std::vector<float> sinks_of(const struct world *world)
{
    return random_values(world->shape.sinks ? world->shape.heads : 0, 5.0f, 77);
}

static struct attention_args attention_args_of(const struct world *world)
{
    struct attention_args args = {};
    args.cache = world->cache;
    args.heads = world->shape.heads;
    args.kv_heads = world->shape.kv_heads;
    args.head_dim = world->shape.head_dim;
    args.scale = 1.0f / sqrtf((float)args.head_dim);
    args.softcap = world->shape.softcap;
    args.window = world->shape.window;
    args.format = world->shape.format;
    return args;
}

/* Captures the kernels, replays them over an empty plan, then over the step's. */
static void attend_replayed(const struct attention_args *args, const struct attention_step *step,
                            const struct attention_counts &counts)
{
    const struct attention_counts none = {};
    struct attention_counts *device = const_cast<struct attention_counts *>(step->counts);
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    assert_int_equal(cudaStreamCreate(&stream), cudaSuccess);
    assert_int_equal(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    assert_int_equal(cuda_attention(args, step, stream), cudaSuccess);
    assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    assert_int_equal(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    for (const struct attention_counts &now : {none, counts}) {
        assert_int_equal(cudaMemcpy(device, &now, sizeof now, cudaMemcpyHostToDevice), cudaSuccess);
        float first = 0.0f;
        assert_int_equal(cudaMemcpy(&first, args->out, sizeof first, cudaMemcpyDeviceToHost),
                         cudaSuccess);
        assert_true(isnan(first)); /* nothing was done yet */
        assert_int_equal(cudaGraphLaunch(exec, stream), cudaSuccess);
        assert_int_equal(cudaStreamSynchronize(stream), cudaSuccess);
    }
    assert_int_equal(cudaGraphExecDestroy(exec), cudaSuccess);
    assert_int_equal(cudaGraphDestroy(graph), cudaSuccess);
    assert_int_equal(cudaStreamDestroy(stream), cudaSuccess);
}

/* Plans the step, hands it to the device and attends. */
static std::vector<float> attend_planned(struct world *world, const struct host_step &host,
                                         struct attention_step step)
{
    const uint32_t pieces = host.rows + world->partial_max;
    std::vector<struct attention_piece> decodes(pieces + BEYOND), prefills(pieces + BEYOND);
    std::vector<struct attention_join> joins(host.rows + BEYOND);
    struct attention_plan plan = {};
    plan.decodes = decodes.data();
    plan.prefills = prefills.data();
    plan.joins = joins.data();
    plan.piece_max = pieces;
    plan.row_max = host.rows;
    plan.partial_max = world->partial_max;
    attention_plan_fill(host.spans.data(), (uint32_t)host.spans.size(), world->shape.window, &plan);
    decodes.resize(plan.counts.decodes + BEYOND);
    prefills.resize(plan.counts.prefills + BEYOND);
    joins.resize(plan.counts.joins + BEYOND);

    struct attention_args args = attention_args_of(world);
    const size_t floats = (size_t)host.rows * args.heads * args.head_dim;
    const size_t partial_floats = attention_partial_bytes(args.heads, args.head_dim) / 4;
    float *q = put(host.q);
    step.counts = put(std::vector<struct attention_counts>(1, plan.counts));
    step.decodes = put(decodes);
    step.prefills = put(prefills);
    step.joins = put(joins);
    step.partials = put(std::vector<float>(plan.counts.partials * partial_floats, NAN));
    step.decode_grid = plan.counts.decodes > 0 ? plan.counts.decodes + BEYOND : 0;
    step.prefill_grid = plan.counts.prefills > 0 ? plan.counts.prefills + BEYOND : 0;
    step.join_grid = plan.counts.joins > 0 ? plan.counts.joins + BEYOND : 0;
    args.q = q;
    args.out = put(std::vector<float>(floats, NAN));
    args.sinks = world->shape.sinks ? put(sinks_of(world)) : NULL;
    if (world->replayed)
        attend_replayed(&args, &step, plan.counts);
    else
        assert_int_equal(cuda_attention(&args, &step, NULL), cudaSuccess);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
    std::vector<float> out(floats);
    assert_int_equal(
        cudaMemcpy(out.data(), args.out, floats * sizeof(float), cudaMemcpyDeviceToHost),
        cudaSuccess);
    for (const void *device :
         std::vector<const void *>{q, args.out, args.sinks, step.counts, step.joins, step.decodes,
                                   step.prefills, step.partials})
        release(device);
    return out;
}

std::vector<float> world_step(struct world *world, const std::vector<struct chunk> &chunks,
                              bool attend)
{
    const struct host_step host = host_step_of(world, chunks);
    float *k = put(host.k), *v = put(host.v);
    struct attention_step step = {};
    step.spans = put(host.spans);
    step.block_tables = put(host.tables);
    step.row_spans = put(host.row_spans);
    struct kv_write_args write = {};
    write.k = k;
    write.v = v;
    write.cache = world->cache;
    write.kv_heads = world->shape.kv_heads;
    write.head_dim = world->shape.head_dim;
    write.format = world->shape.format;
    assert_int_equal(cuda_kv_write(&write, &step, host.rows + BEYOND, NULL), cudaSuccess);
    std::vector<float> out;
    if (attend)
        out = attend_planned(world, host, step);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
    for (const void *device :
         std::vector<const void *>{k, v, step.spans, step.block_tables, step.row_spans})
        release(device);
    return out;
}

std::vector<float> world_on_cpu(const struct world *world, uint32_t index)
{
    const struct sequence &sequence = world->sequences[index];
    const struct world_shape &shape = world->shape;
    struct backend_config config = {};
    config.device = "cpu";
    config.threads = 1;
    config.kv_format = shape.format;
    struct error err;
    struct backend *cpu = backend_open(&config, &err);
    assert_non_null(cpu);
    void *cache = cpu->ops->memory_alloc(cpu, world_cache_bytes(world), &err);
    assert_non_null(cache);
    struct attention_span span = {0, sequence.tokens, 0, 0};
    struct kv_write_args write = {};
    write.k = sequence.k.data();
    write.v = sequence.v.data();
    write.cache = cache;
    write.kv_heads = shape.kv_heads;
    write.head_dim = shape.head_dim;
    write.format = shape.format;
    write.spans = &span;
    write.span_count = 1;
    write.block_tables = sequence.table.data();
    cpu->ops->kv_write(cpu, &write);
    std::vector<float> out(sequence.q.size()), sinks = sinks_of(world);
    struct attention_args args = attention_args_of(world);
    args.q = sequence.q.data();
    args.cache = cache;
    args.spans = &span;
    args.span_count = 1;
    args.block_tables = sequence.table.data();
    args.out = out.data();
    args.sinks = shape.sinks ? sinks.data() : NULL;
    cpu->ops->attention(cpu, &args);
    cpu->ops->memory_free(cpu, cache);
    backend_close(cpu);
    return out;
}

/* Rounding queries and weights is within this, relative. */
static double epsilon_of(const struct world *world)
{
    return world->shape.format == KV_BF16 ? 0x1p-8 : 0x1p-11;
}

/* What one head's keys weigh for a row, and the sizes that bound the error of its scores. */
struct wanted_weights {
    uint32_t first;
    std::vector<double> weights; /* of positions from first on; sum to 1, with the sink's */
    double size_max;             /* of scale sum |q k| */
    double largest_share;        /* 1 / sum e^(s - largest): what a weight of 1 comes to */
};

static struct wanted_weights weights_in_double(const struct world *world,
                                               const struct sequence *sequence, uint32_t row,
                                               uint32_t head)
{
    const struct world_shape &shape = world->shape;
    const size_t dim = shape.head_dim, kv = head / (shape.heads / shape.kv_heads);
    const float *q = &sequence->q[(row * shape.heads + head) * dim];
    struct wanted_weights wanted = {};
    wanted.first = shape.window == 0 || row + 1 < shape.window ? 0 : row + 1 - shape.window;
    const double sink = shape.sinks ? sinks_of(world)[head] : -INFINITY;
    double largest = sink;
    for (uint32_t p = wanted.first; p <= row; p++) {
        const float *k = &sequence->held_k[(p * shape.kv_heads + kv) * dim];
        double dot = 0, size = 0;
        for (size_t d = 0; d < dim; d++) {
            dot += rounded_query(q[d], shape.format) * k[d];
            size += fabs(q[d] * k[d]);
        }
        dot /= sqrt(dim);
        wanted.size_max = std::max(wanted.size_max, size / sqrt(dim));
        if (shape.softcap != 0)
            dot = shape.softcap * tanh(dot / shape.softcap);
        wanted.weights.push_back(dot);
        largest = std::max(largest, dot);
    }
    double total = exp(sink - largest);
    for (double &weight : wanted.weights)
        total += weight = exp(weight - largest);
    for (double &weight : wanted.weights)
        weight /= total;
    wanted.largest_share = 1 / total;
    return wanted;
}

/* The tolerance. A weight w, relative to the largest so far, is rounded to what tensor cores take V
 * as: to half by at most E = 2^-11 of itself, or 2^-25 where that is more; to bf16 by at most
 * E = 2^-8. The total is of rounded weights too. So out moves by sum w e (v - out) with errors e
 * that fall to either side alike: a deviation of E / sqrt(3) sqrt(sum w^2 (v - out)^2), of which
 * eight are granted; and by the 2^-25, all to one side. Sums in float and e^x add 2e-5 as on the
 * CPU. Rounding q moves each score by at most E scale sum |q k|, and scores moved by x move out by
 * at most (e^2x - 1) max |v - out|. KV_FP8 adds nothing: both sides are of what the cache holds. */
struct wanted_row world_in_double(const struct world *world, const struct sequence *sequence,
                                  uint32_t row, uint32_t head)
{
    const struct world_shape &shape = world->shape;
    const size_t dim = shape.head_dim, kv = head / (shape.heads / shape.kv_heads);
    const struct wanted_weights wanted = weights_in_double(world, sequence, row, head);
    struct wanted_row result = {};
    result.out.assign(dim, 0.0);
    result.tolerance.assign(dim, 0.0);
    double apart_max = 0;
    for (size_t d = 0; d < dim; d++) {
        double out = 0, squares = 0, apart_sum = 0;
        const float *v = &sequence->held_v[(wanted.first * shape.kv_heads + kv) * dim + d];
        for (size_t i = 0; i < wanted.weights.size(); i++)
            out += wanted.weights[i] * v[i * shape.kv_heads * dim];
        for (size_t i = 0; i < wanted.weights.size(); i++) {
            const double apart = fabs(v[i * shape.kv_heads * dim] - out);
            squares += wanted.weights[i] * wanted.weights[i] * apart * apart;
            apart_sum += apart;
            apart_max = std::max(apart_max, apart);
        }
        if (shape.sinks)
            apart_max = std::max(apart_max, fabs(out)); /* the sink's value is 0 */
        result.out[d] = out;
        result.tolerance[d] = 8 * epsilon_of(world) / sqrt(3) * sqrt(squares) +
                              0x1p-25 * wanted.largest_share * apart_sum + 2e-5 * (1 + fabs(out));
    }
    result.from_rounding_q = (exp(2 * epsilon_of(world) * wanted.size_max) - 1) * apart_max;
    return result;
}
