/* SPDX-License-Identifier: Apache-2.0 */
/* kv_write.cu -- a step's K and V into the slots of their positions, rounded to half.
 *
 * A thread takes eight dimensions of one head: 32 bytes in, 16 out, neighbours side by side. */
#include "kernels/cuda/port.cuh"

#include "kernels/cuda/attention.h"

#define WRITE_THREADS 256u
#define WRITE_DIMS    8u

struct write_args {
    const float *k, *v;
    half *cache;
    const struct attention_span *spans;
    const uint32_t *row_spans, *block_tables;
    uint32_t rows, kv_heads, head_dim;
};

static __device__ __forceinline__ uint4 eight_halves(const float *from)
{
    const float4 low = *reinterpret_cast<const float4 *>(from);
    const float4 high = *reinterpret_cast<const float4 *>(from + 4);
    half2 pairs[4] = {__floats2half2_rn(low.x, low.y), __floats2half2_rn(low.z, low.w),
                      __floats2half2_rn(high.x, high.y), __floats2half2_rn(high.z, high.w)};
    const uint32_t *words = reinterpret_cast<const uint32_t *>(pairs);
    return make_uint4(words[0], words[1], words[2], words[3]);
}

static __global__ void write_rows(const struct write_args args)
{
    const uint32_t chunks = args.kv_heads * args.head_dim / WRITE_DIMS; /* of K, a row */
    const uint32_t index = blockIdx.x * WRITE_THREADS + threadIdx.x;
    const uint32_t row = index / (2 * chunks);
    if (row >= args.rows || args.row_spans[row] == ATTENTION_NO_SPAN)
        return;
    const struct attention_span span = args.spans[args.row_spans[row]];
    const uint32_t position = span.position + (row - span.first_row);
    const uint32_t block = args.block_tables[span.block_offset + position / KV_BLOCK_TOKENS];
    const bool is_value = index % (2 * chunks) >= chunks;
    const uint32_t at = index % chunks * WRITE_DIMS; /* in the row */
    const uint32_t head = at / args.head_dim, d = at % args.head_dim;
    const size_t plane = static_cast<size_t>(block) * 2 + is_value;
    half *to = args.cache +
               ((plane * args.kv_heads + head) * KV_BLOCK_TOKENS + position % KV_BLOCK_TOKENS) *
                   args.head_dim +
               d;
    const float *from = (is_value ? args.v : args.k) +
                        static_cast<size_t>(row) * args.kv_heads * args.head_dim + at;
    *reinterpret_cast<uint4 *>(to) = eight_halves(from);
}

extern "C" cudaError_t cuda_kv_write(const struct kv_write_args *args,
                                     const struct attention_step *step, uint32_t rows,
                                     cudaStream_t stream)
{
    if (rows == 0)
        return cudaSuccess;
    if (args->head_dim % CUDA_HEAD_DIM_STEP != 0)
        return cudaErrorInvalidValue;
    const struct write_args write = {args->k,     args->v,         static_cast<half *>(args->cache),
                                     step->spans, step->row_spans, step->block_tables,
                                     rows,        args->kv_heads,  args->head_dim};
    const uint32_t threads = rows * 2 * (args->kv_heads * args->head_dim / WRITE_DIMS);
    LAUNCH((write_rows), dim3((threads + WRITE_THREADS - 1) / WRITE_THREADS), dim3(WRITE_THREADS),
           0, stream, write);
    return cudaGetLastError();
}
