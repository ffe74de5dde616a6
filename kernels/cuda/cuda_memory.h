/* SPDX-License-Identifier: Apache-2.0 */
/* cuda_memory.h -- a GPU's memory, lent in pieces.
 *
 * A piece is by itself, or cut from one allocation that cuda_memory_together() made: the weights
 * are one, the KV cache is one. An allocation goes back with its last piece. Engine thread only.
 * Invariant: every allocation has a piece, but the one that is open. */
#ifndef WEIR_KERNELS_CUDA_CUDA_MEMORY_H
#define WEIR_KERNELS_CUDA_CUDA_MEMORY_H

#include "base/error.h"

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

struct cuda_slab;

struct cuda_memory {
    cudaStream_t stream;     /* borrowed; zeros are written in its order */
    struct cuda_slab *slabs; /* newest first */
    struct cuda_slab *open;  /* one of them, or NULL */
};

/* Zeroed, aligned to DEVICE_MEMORY_UNIT. NULL and err, with what is free, where there is none. */
void *cuda_memory_take(struct cuda_memory *memory, size_t bytes, struct error *err);
void cuda_memory_give(struct cuda_memory *memory, void *device); /* NULL is fine */
/* Pieces taken from now on are cut from one allocation of so many bytes, while they fit; 0: no
 * more. */
int cuda_memory_together(struct cuda_memory *memory, size_t bytes, struct error *err);
/* Gives back whatever is left. */
void cuda_memory_destroy(struct cuda_memory *memory);

/* In whole units. */
size_t cuda_memory_rounded(size_t bytes);

#endif
