/* SPDX-License-Identifier: Apache-2.0 */
/* attention_decode.cu -- a row's heads of one group against a stretch of its keys, by a block. */
#include "kernels/cuda/attention_walk.cuh"

cudaError_t attend_decodes(const struct attend_args *args, uint32_t grid, cudaStream_t stream)
{
    const dim3 blocks(grid, args->kv_heads);
    if (args->head_dim <= 64)
        return launch_attend<attend_shape<64, 4>>(args, blocks, stream);
    if (args->head_dim <= 96)
        return launch_attend<attend_shape<96, 4>>(args, blocks, stream);
    if (args->head_dim <= 128)
        return launch_attend<attend_shape<128, 4>>(args, blocks, stream);
    if (args->head_dim <= 192)
        return launch_attend<attend_shape<192, 4>>(args, blocks, stream);
    return launch_attend<attend_shape<256, 4>>(args, blocks, stream);
}
