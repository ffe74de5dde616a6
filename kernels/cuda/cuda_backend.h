/* SPDX-License-Identifier: Apache-2.0 */
/* cuda_backend.h -- a GPU behind the door of kernels/backend.h. */
#ifndef WEIR_KERNELS_CUDA_CUDA_BACKEND_H
#define WEIR_KERNELS_CUDA_CUDA_BACKEND_H

#include "kernels/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* GPU 0 ($CUDA_VISIBLE_DEVICES picks which that is). NULL and err, with the remedy. */
struct backend *cuda_backend_open(struct error *err);
/* Steps that were one launch. For tests. */
uint64_t cuda_backend_graphs_launched(const struct backend *backend);

#ifdef __cplusplus
}
#endif

#endif
