/* SPDX-License-Identifier: Apache-2.0 */
/* draws.h -- a step's tokens drawn on the GPU, and their way back. Engine thread only. */
#ifndef WEIR_KERNELS_CUDA_DRAWS_H
#define WEIR_KERNELS_CUDA_DRAWS_H

#include "base/error.h"
#include "kernels/backend.h"
#include "kernels/cuda/step_inputs.h"

#include <cuda_runtime_api.h>

struct draws;

/* Device memory wanted; 0 where nothing is to be drawn. */
size_t draws_bytes(const struct reserve_args *args);
/* device: draws_bytes() of it, zeroed, borrowed. NULL and err without pinned memory. */
struct draws *draws_new(const struct reserve_args *args, void *device, struct error *err);
void draws_free(struct draws *draws); /* NULL is fine; the stream is to be idle */

cudaError_t draws_enqueue(struct draws *draws, struct step_inputs *inputs,
                          const struct draw_args *args, cudaStream_t stream);
/* What was drawn last, as the tokens of the step that has begun. */
cudaError_t draws_feed(const struct draws *draws, struct step_inputs *inputs,
                       const uint32_t *draw_rows, uint32_t row_count, cudaStream_t stream);
/* Waits for the oldest that was not told of yet. */
cudaError_t draws_tell(struct draws *draws, struct drawn *ret, uint32_t row_count);

#endif
