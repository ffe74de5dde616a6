/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda_plugin.h"

static const struct cuda_plugin plugin = {
    .abi = CUDA_PLUGIN_ABI,
    .table_bytes = sizeof(struct backend_ops),
    .open = cuda_backend_open,
};

/* All that the shared object exports. */
__attribute__((visibility("default"))) const struct cuda_plugin *weir_cuda_plugin(uint32_t abi);

const struct cuda_plugin *weir_cuda_plugin(uint32_t abi)
{
    return abi == CUDA_PLUGIN_ABI ? &plugin : NULL;
}
