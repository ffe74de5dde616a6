/* SPDX-License-Identifier: Apache-2.0 */
/* attention_decode.cu -- a row's heads of one group against a stretch of its keys, by a block. */
#include "kernels/cuda/attention_walk.cuh"

template <enum kv_format FORMAT>
static cudaError_t launch_pieces(const struct attend_args *args, uint32_t grid, cudaStream_t stream)
{
    const dim3 blocks(grid, args->kv_heads);
    if (args->head_dim <= 64)
        return launch_attend<attend_shape<FORMAT, 64, 4>>(args, blocks, stream);
    if (args->head_dim <= 96)
        return launch_attend<attend_shape<FORMAT, 96, 4>>(args, blocks, stream);
    if (args->head_dim <= 128)
        return launch_attend<attend_shape<FORMAT, 128, 4>>(args, blocks, stream);
    if (args->head_dim <= 192)
        return launch_attend<attend_shape<FORMAT, 192, 4>>(args, blocks, stream);
    return launch_attend<attend_shape<FORMAT, 256, 4>>(args, blocks, stream);
}

cudaError_t attend_decodes(const struct attend_args *args, enum kv_format format, uint32_t grid,
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
