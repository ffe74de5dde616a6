/* SPDX-License-Identifier: Apache-2.0 */
/* kv_write.cu -- a step's K and V into the slots of their positions, rounded to the cache's format.
 *
 * A thread takes eight dimensions of one head: 32 bytes in, 16 out, neighbours side by side. Of
 * KV_FP8 it takes them of K and of V, 8 bytes out each, and a warp has the whole head. */
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
    size_t slice_bytes;
};

struct write_place {
    uint32_t block, slot;
};

static __device__ __forceinline__ struct write_place place_of(const struct write_args &args,
                                                              uint32_t row)
{
    const struct attention_span span = args.spans[args.row_spans[row]];
    const uint32_t position = span.position + (row - span.first_row);
    return {args.block_tables[span.block_offset + position / KV_BLOCK_TOKENS],
            position % KV_BLOCK_TOKENS};
}

template <enum kv_format FORMAT> static __global__ void write_rows(const struct write_args args)
{
    const uint32_t chunks = args.kv_heads * args.head_dim / WRITE_DIMS; /* of K, a row */
    const uint32_t index = blockIdx.x * WRITE_THREADS + threadIdx.x;
    const uint32_t row = index / (2 * chunks);
    if (row >= args.rows || args.row_spans[row] == ATTENTION_NO_SPAN)
        return;
    const struct write_place place = place_of(args, row);
    const bool is_value = index % (2 * chunks) >= chunks;
    const uint32_t at = index % chunks * WRITE_DIMS; /* in the row */
    const uint32_t head = at / args.head_dim, d = at % args.head_dim;
    const size_t plane = static_cast<size_t>(place.block) * 2 + is_value;
    uint16_t *to = static_cast<uint16_t *>(args.cache) +
                   ((plane * args.kv_heads + head) * KV_BLOCK_TOKENS + place.slot) * args.head_dim +
                   d;
    const float *from = (is_value ? args.v : args.k) +
                        static_cast<size_t>(row) * args.kv_heads * args.head_dim + at;
    *reinterpret_cast<uint4 *>(to) = pack_eight<FORMAT>(from);
}

/* The largest size of the head's numbers; each lane has eight of them, or zeros. */
static __device__ __forceinline__ uint32_t exponent_of(const float (&numbers)[WRITE_DIMS])
{
    uint32_t largest = 0;
#pragma unroll
    for (uint32_t i = 0; i < WRITE_DIMS; i++)
        largest = max(largest, kv_fp8_size(numbers[i]));
    for (int width = WARP / 2; width > 0; width /= 2)
        largest = max(largest, __shfl_xor_sync(WARP_ALL, largest, width));
    return kv_fp8_exponent(largest);
}

static __device__ __forceinline__ void load_eight(const float *from, bool valid,
                                                  float (&numbers)[WRITE_DIMS])
{
    const float4 none = make_float4(0, 0, 0, 0);
    const float4 low = valid ? *reinterpret_cast<const float4 *>(from) : none;
    const float4 high = valid ? *reinterpret_cast<const float4 *>(from + 4) : none;
    numbers[0] = low.x, numbers[1] = low.y, numbers[2] = low.z, numbers[3] = low.w;
    numbers[4] = high.x, numbers[5] = high.y, numbers[6] = high.z, numbers[7] = high.w;
}

/* The lane's codes into its slice, and by one lane the scale. */
static __device__ __forceinline__ void store_fp8(unsigned char *slice, uint32_t slot,
                                                 uint32_t head_dim, uint32_t exponent,
                                                 const float (&numbers)[WRITE_DIMS])
{
    const uint32_t lane = threadIdx.x % WARP;
    const float inverse = kv_fp8_inverse(exponent);
    uint32_t words[2] = {};
#pragma unroll
    for (uint32_t i = 0; i < WRITE_DIMS; i++)
        words[i / 4] |= static_cast<uint32_t>(kv_fp8_code(numbers[i], inverse)) << 8 * (i % 4);
    if (lane * WRITE_DIMS < head_dim)
        *reinterpret_cast<uint2 *>(slice + slot * head_dim + lane * WRITE_DIMS) =
            make_uint2(words[0], words[1]);
    if (lane == 0)
        reinterpret_cast<uint16_t *>(slice + KV_BLOCK_TOKENS * head_dim)[slot] =
            kv_fp8_scale(exponent);
}

/* A warp a row and KV head. */
static __global__ void write_rows_fp8(const struct write_args args)
{
    const uint32_t index = blockIdx.x * (WRITE_THREADS / WARP) + threadIdx.x / WARP;
    const uint32_t row = index / args.kv_heads, head = index % args.kv_heads;
    if (row >= args.rows || args.row_spans[row] == ATTENTION_NO_SPAN)
        return;
    const struct write_place place = place_of(args, row);
    const uint32_t d = threadIdx.x % WARP * WRITE_DIMS;
    const size_t from = static_cast<size_t>(index) * args.head_dim + d;
    float k[WRITE_DIMS], v[WRITE_DIMS];
    load_eight(args.k + from, d < args.head_dim, k);
    load_eight(args.v + from, d < args.head_dim, v);
    const uint32_t of_k = exponent_of(k), alone = exponent_of(v);
    const uint32_t of_v = of_k == KV_FP8_NONE ? of_k : alone;
    unsigned char *keys =
        static_cast<unsigned char *>(args.cache) +
        (static_cast<size_t>(place.block) * 2 * args.kv_heads + head) * args.slice_bytes;
    store_fp8(keys, place.slot, args.head_dim, of_k, k);
    store_fp8(keys + args.kv_heads * args.slice_bytes, place.slot, args.head_dim, of_v, v);
}

extern "C" cudaError_t cuda_kv_write(const struct kv_write_args *args,
                                     const struct attention_step *step, uint32_t rows,
                                     cudaStream_t stream)
{
    if (rows == 0)
        return cudaSuccess;
    if (args->head_dim % CUDA_HEAD_DIM_STEP != 0 || args->head_dim > CUDA_HEAD_DIM_MAX)
        return cudaErrorInvalidValue;
    const struct write_args write = {args->k,
                                     args->v,
                                     args->cache,
                                     step->spans,
                                     step->row_spans,
                                     step->block_tables,
                                     rows,
                                     args->kv_heads,
                                     args->head_dim,
                                     kv_slice_bytes(args->format, args->head_dim)};
    const uint32_t warps = rows * args->kv_heads; /* of KV_FP8 */
    const uint32_t threads =
        args->format == KV_FP8 ? warps * WARP : warps * 2 * (args->head_dim / WRITE_DIMS);
    const dim3 grid((threads + WRITE_THREADS - 1) / WRITE_THREADS);
    if (args->format == KV_FP8)
        LAUNCH((write_rows_fp8), grid, dim3(WRITE_THREADS), 0, stream, write);
    else if (args->format == KV_BF16)
        LAUNCH((write_rows<KV_BF16>), grid, dim3(WRITE_THREADS), 0, stream, write);
    else
        LAUNCH((write_rows<KV_F16>), grid, dim3(WRITE_THREADS), 0, stream, write);
    return cudaGetLastError();
}
