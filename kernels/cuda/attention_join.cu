/* SPDX-License-Identifier: Apache-2.0 */
/* attention_join.cu -- attention's door: pieces are launched, then partial sums joined.
 *
 * A row of partial sums holds, a head, head_dim sums over V, then the largest score and the total
 * of weights that they are relative to. A warp joins those of one (row, head), four dimensions a
 * lane, in ascending order and by the formula of attention_walk.cuh. */
#include "kernels/cuda/attention_walk.cuh"

#define JOIN_DIMS 4u /* a lane and step: a float4 */
#define JOIN_RUNS (CUDA_HEAD_DIM_MAX / (JOIN_DIMS * WARP))

struct join_args {
    const struct attention_join *joins;
    const struct attention_counts *counts;
    const float *partials, *sinks;
    float *out;
    uint32_t heads, head_dim;
};

static __global__ void join_partials(const struct join_args args)
{
    const uint32_t head = blockIdx.y * ATTEND_WARPS + threadIdx.x / WARP;
    if (blockIdx.x >= args.counts->joins || head >= args.heads)
        return;
    const struct attention_join join = args.joins[blockIdx.x];
    const uint32_t first = threadIdx.x % WARP * JOIN_DIMS;
    const size_t stride = args.head_dim + PARTIAL_TAIL;
    float4 sums[JOIN_RUNS] = {};
    const float2 at_first = sums_at_first(args.sinks, head);
    float largest = at_first.x, total = at_first.y;
    for (uint32_t i = 0; i < join.count; i++) {
        const float *from =
            args.partials + (static_cast<size_t>(join.partial + i) * args.heads + head) * stride;
        const float2 tail = *reinterpret_cast<const float2 *>(from + args.head_dim);
        const struct join_factors factors = join_peaks(largest, tail.x);
        largest = factors.largest;
        total = join_element(factors, total, tail.y);
#pragma unroll
        for (uint32_t run = 0; run < JOIN_RUNS; run++) {
            const uint32_t d = first + run * JOIN_DIMS * WARP;
            if (d >= args.head_dim)
                continue;
            const float4 joining = *reinterpret_cast<const float4 *>(from + d);
            sums[run].x = join_element(factors, sums[run].x, joining.x);
            sums[run].y = join_element(factors, sums[run].y, joining.y);
            sums[run].z = join_element(factors, sums[run].z, joining.z);
            sums[run].w = join_element(factors, sums[run].w, joining.w);
        }
    }
    float *out = args.out + (static_cast<size_t>(join.row) * args.heads + head) * args.head_dim;
    const float share = 1.0f / total;
#pragma unroll
    for (uint32_t run = 0; run < JOIN_RUNS; run++) {
        const uint32_t d = first + run * JOIN_DIMS * WARP;
        if (d >= args.head_dim)
            continue;
        const float2 low = finished(make_float2(sums[run].x, sums[run].y), share);
        const float2 high = finished(make_float2(sums[run].z, sums[run].w), share);
        *reinterpret_cast<float4 *>(out + d) = make_float4(low.x, low.y, high.x, high.y);
    }
}

extern "C" size_t attention_partial_bytes(uint32_t heads, uint32_t head_dim)
{
    return static_cast<size_t>(heads) * (head_dim + PARTIAL_TAIL) * sizeof(float);
}

static cudaError_t launch_join(const struct attention_args *args, const struct attention_step *step,
                               cudaStream_t stream)
{
    const struct join_args join = {step->joins, step->counts, step->partials, args->sinks,
                                   args->out,   args->heads,  args->head_dim};
    const dim3 grid(step->join_grid, (args->heads + ATTEND_WARPS - 1) / ATTEND_WARPS);
    LAUNCH((join_partials), grid, dim3(ATTEND_THREADS), 0, stream, join);
    return cudaGetLastError();
}

static bool servable(const struct attention_args *args)
{
    return args->kv_heads > 0 && args->heads % args->kv_heads == 0 &&
           args->heads / args->kv_heads <= CUDA_GROUP_MAX && args->head_dim > 0 &&
           args->head_dim <= CUDA_HEAD_DIM_MAX && args->head_dim % CUDA_HEAD_DIM_STEP == 0;
}

extern "C" cudaError_t cuda_attention(const struct attention_args *args,
                                      const struct attention_step *step, cudaStream_t stream)
{
    if (!servable(args))
        return cudaErrorInvalidValue;
    struct attend_args attend = {};
    attend.q = args->q;
    attend.cache = args->cache;
    attend.sinks = args->sinks;
    attend.out = args->out;
    attend.partials = step->partials;
    attend.spans = step->spans;
    attend.block_tables = step->block_tables;
    attend.heads = args->heads;
    attend.kv_heads = args->kv_heads;
    attend.head_dim = args->head_dim;
    attend.window = args->window;
    attend.slice_bytes = kv_slice_bytes(args->format, args->head_dim);
    attend.softcap = args->softcap;
    attend.scale = args->softcap == 0.0f ? args->scale : 2.0f * args->scale / args->softcap;
    cudaError_t error = cudaSuccess;
    if (step->decode_grid > 0) {
        attend.count = &step->counts->decodes;
        attend.pieces = step->decodes;
        error = attend_decodes(&attend, args->format, step->decode_grid, stream);
    }
    if (error == cudaSuccess && step->prefill_grid > 0) {
        attend.count = &step->counts->prefills;
        attend.pieces = step->prefills;
        error = attend_prefills(&attend, args->format, step->prefill_grid, stream);
    }
    if (error == cudaSuccess && step->join_grid > 0)
        error = launch_join(args, step, stream);
    return error;
}
