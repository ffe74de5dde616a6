/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h -- what device code asks of the engine. Kernels do not call this: the CUDA headers do.
 *
 * Any of these calls may let other threads of the block run first. A site is where in the source
 * the call stands: threads that meet must stand at the same one, and reports name it. */
#ifndef WEIR_EMULATOR_ENGINE_H
#define WEIR_EMULATOR_ENGINE_H

#include "types.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The CUDA thread that runs now on this thread of the machine. A kernel sees them constant: they
 * change only while another runs. */
#ifdef __cplusplus
#define EMULATOR_CONST const
#else
#define EMULATOR_CONST
#endif
extern EMULATOR_CONST __thread uint3 threadIdx, blockIdx;
extern EMULATOR_CONST __thread dim3 blockDim, gridDim;
/* The block's dynamic shared memory, 128-byte aligned. */
extern __thread unsigned char *emulator_dynamic;

struct emulator_site {
    const char *file;
    int line;
};

/* -- Barriers of the block (block.c) -- */
enum emulator_barrier { BARRIER_PLAIN, BARRIER_OR, BARRIER_AND, BARRIER_COUNT };
int emulator_barrier(enum emulator_barrier kind, bool predicate, struct emulator_site site);
/* Lets the others run: for loops that wait for another thread. */
void emulator_yield(void);

/* -- Warp collectives (warp.c, matrix.c) -- */
enum emulator_warp_op {
    WARP_SYNC,
    WARP_SHUFFLE,
    WARP_SHUFFLE_UP,
    WARP_SHUFFLE_DOWN,
    WARP_SHUFFLE_XOR,
    WARP_BALLOT,
    WARP_ANY,
    WARP_ALL,
    WARP_ADD,
    WARP_MIN_SIGNED,
    WARP_MAX_SIGNED,
    WARP_MIN_UNSIGNED,
    WARP_MAX_UNSIGNED,
    WARP_AND,
    WARP_OR,
    WARP_XOR,
    WARP_MATCH_ANY,
    WARP_MATCH_ALL,
    WARP_MMA_F16,  /* in: uint32_t a[4], b[2]; out: float c[4], read too */
    WARP_MMA_BF16, /* the same */
    WARP_MMA_S8,   /* in: uint32_t a[2], b[1]; out: int32_t c[4], read too */
    WARP_LOAD_MATRICES,
    WARP_LOAD_MATRICES_TURNED /* in: the lane's row; out: uint32_t [argument] */
};
struct emulator_warp_call {
    enum emulator_warp_op op;
    uint32_t mask;     /* who takes part */
    unsigned argument; /* source lane, distance, or how many matrices */
    unsigned width;    /* lanes a section of a shuffle, a power of two up to 32 */
    unsigned bytes;    /* of what each lane brings, at most 16 */
    const void *in;
    void *out;
    struct emulator_site site;
};
/* Returns when every lane of the mask has called and out is written. */
void emulator_warp(const struct emulator_warp_call *call);

/* -- Shared memory (shared.c): the block's array named by `key` -- */
void *emulator_shared(const void *key, size_t bytes, struct emulator_site site);

/* -- Asynchronous copies (copy_async.c): 16 bytes, zeros where from is NULL -- */
void emulator_copy_async(void *shared, const void *from, struct emulator_site site);
void emulator_copy_async_commit(void);
void emulator_copy_async_wait(unsigned pending_max, struct emulator_site site);

/* -- Fences, and atomics that they order (fence.c) -- */
void emulator_fence(void);
void emulator_atomic_begin(const void *address);
void emulator_atomic_end(const void *address);

/* -- Launches (launch.c) -- */
struct emulator_kernel {
    const void *function;
    const char *name; /* as the launch wrote it */
    void (*call)(const void *function, void *const *arguments);
    const size_t *argument_bytes;
    const bool *argument_is_pointer; /* then to memory that a device reaches, or NULL */
    unsigned argument_count;
};
struct emulator_launch {
    dim3 grid, block;
    size_t shared_bytes;
    cudaStream_t stream;
};
/* Takes copies of the kernel's description and of the arguments, as a launch does. What went wrong
 * is cudaGetLastError()'s. */
void emulator_enqueue(const struct emulator_kernel *kernel, const struct emulator_launch *launch,
                      void **arguments);

/* Ends the program with the words, and with who runs: a kernel did what CUDA forbids. */
__attribute__((noreturn, format(printf, 1, 2))) void emulator_fail(const char *format, ...);

#ifdef __cplusplus
}
#endif

#endif
