/* SPDX-License-Identifier: Apache-2.0 */
/* kv_write.cu -- a step's K and V into the slots of their positions, rounded to the cache's format.
 *
 * A thread takes eight dimensions of one head: 32 bytes in, 16 out, neighbours side by side. */
#include "kernels/cuda/port.cuh"

#include "kernels/cuda/attention.h"
#include "kernels/cuda/kv_element.cuh"

#define WRITE_THREADS 256u
#define WRITE_DIMS    8u

struct write_args {
    const float *k, *v;
    void *cache;
    const struct attention_span *spans;
    const uint32_t *row_spans, *block_tables;
    uint32_t rows, kv_heads, head_dim;
};

template <enum kv_format FORMAT> static __global__ void write_rows(const struct write_args args)
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
    uint16_t *to = static_cast<uint16_t *>(args.cache) +
                   ((plane * args.kv_heads + head) * KV_BLOCK_TOKENS + position % KV_BLOCK_TOKENS) *
                       args.head_dim +
                   d;
    const float *from = (is_value ? args.v : args.k) +
                        static_cast<size_t>(row) * args.kv_heads * args.head_dim + at;
    *reinterpret_cast<uint4 *>(to) = pack_eight<FORMAT>(from);
}

extern "C" cudaError_t cuda_kv_write(const struct kv_write_args *args,
                                     const struct attention_step *step, uint32_t rows,
                                     cudaStream_t stream)
{
    if (rows == 0)
        return cudaSuccess;
    if (args->head_dim % CUDA_HEAD_DIM_STEP != 0)
        return cudaErrorInvalidValue;
    const struct write_args write = {args->k,     args->v,         args->cache,
                                     step->spans, step->row_spans, step->block_tables,
                                     rows,        args->kv_heads,  args->head_dim};
    const uint32_t threads = rows * 2 * (args->kv_heads * args->head_dim / WRITE_DIMS);
    const dim3 grid((threads + WRITE_THREADS - 1) / WRITE_THREADS);
    if (args->format == KV_BF16)
        LAUNCH((write_rows<KV_BF16>), grid, dim3(WRITE_THREADS), 0, stream, write);
    else
        LAUNCH((write_rows<KV_F16>), grid, dim3(WRITE_THREADS), 0, stream, write);
    return cudaGetLastError();
}
