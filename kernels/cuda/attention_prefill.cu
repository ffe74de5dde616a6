/* SPDX-License-Identifier: Apache-2.0 */
/* attention_prefill.cu -- up to 64 rows of a chunk, 64 or 32 queries a block. */
#include "kernels/cuda/attention_walk.cuh"

/* A piece's queries are CUDA_PREFILL_ROWS a head of the group. */
template <enum kv_format FORMAT, uint32_t DIM, uint32_t SHARERS>
static cudaError_t launch_shape(const struct attend_args *args, uint32_t grid, cudaStream_t stream)
{
    typedef attend_shape<FORMAT, DIM, SHARERS> shape;
    static_assert(CUDA_PREFILL_ROWS % shape::queries == 0, "whole blocks a head");
    const uint32_t queries = args->heads / args->kv_heads * CUDA_PREFILL_ROWS;
    const dim3 blocks(grid, args->kv_heads, queries / shape::queries);
    return launch_attend<shape>(args, blocks, stream);
}

template <enum kv_format FORMAT>
static cudaError_t launch_pieces(const struct attend_args *args, uint32_t grid, cudaStream_t stream)
{
    if (args->head_dim <= 64)
        return launch_shape<FORMAT, 64, 1>(args, grid, stream);
    if (args->head_dim <= 96)
        return launch_shape<FORMAT, 96, 1>(args, grid, stream);
    if (args->head_dim <= 128)
        return launch_shape<FORMAT, 128, 1>(args, grid, stream);
    if (args->head_dim <= 192)
        return launch_shape<FORMAT, 192, 2>(args, grid, stream);
    return launch_shape<FORMAT, 256, 2>(args, grid, stream);
}

cudaError_t attend_prefills(const struct attend_args *args, enum kv_format format, uint32_t grid,
                            cudaStream_t stream)
{
    switch (format) {
    case KV_FP8:
        return launch_pieces<KV_FP8>(args, grid, stream);
    case KV_BF16:
        return launch_pieces<KV_BF16>(args, grid, stream);
    default:
        return launch_pieces<KV_F16>(args, grid, stream);
    }
}
