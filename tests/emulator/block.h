/* SPDX-License-Identifier: Apache-2.0 */
/* block.h -- one block of threads, run on one thread of the machine (a worker).
 *
 * A worker has one struct block and runs one CUDA block after the other in it: stacks and shared
 * memory are used again. Nothing of it is touched by another worker. */
#ifndef WEIR_EMULATOR_BLOCK_H
#define WEIR_EMULATOR_BLOCK_H

#include "fiber.h"
#include "shared.h"

#define BLOCK_THREADS_MAX 1024u
#define WARP_LANES        32u
#define BLOCK_WARPS_MAX   (BLOCK_THREADS_MAX / WARP_LANES)
#define WARP_ORDERS       8u

/* A kernel to be run over a grid. */
struct launch {
    struct emulator_kernel kernel;
    dim3 grid, block;
    size_t dynamic_bytes;
    void **arguments;
};

struct barrier {
    unsigned arrived;
    unsigned generation;
    enum emulator_barrier kind;
    int result;
    struct emulator_site site;
    char orders[2]; /* of even and of odd generations, for TSan */
};

/* Bit l is lane l. */
struct warp {
    uint32_t alive, ready, waiting; /* waiting: in a collective that is not complete */
    unsigned next_order;
    char orders[WARP_ORDERS]; /* of the collectives under way, for TSan */
};

/* Under TSan blocks take turns with two: one set would hide that two blocks' threads of the same
 * index race. */
struct fiber_set {
    struct fiber *fibers[BLOCK_THREADS_MAX];
    unsigned count;
};

struct block {
    /* The worker's. */
    struct fiber_set sets[2];
    unsigned set; /* the one in use */
    struct context worker;
    struct shared_memory shared;
    char begin_order, end_order; /* of the kernel, for TSan */
    struct block *next;          /* of all workers' */
    /* Of the block that runs. */
    struct fiber **fibers;
    const struct launch *launch;
    unsigned thread_count, warp_count, live;
    struct warp warps[BLOCK_WARPS_MAX];
    struct barrier barrier;
    uint64_t random;
};

/* Runs the block of that index to its end. */
void block_run(struct block *block, const struct launch *launch, uint3 block_index);
/* The block that runs on this worker; NULL outside kernels. */
struct block *block_current(void);

/* The fiber that runs waits for something, others go on; returns when it was woken. */
void block_wait(struct fiber *fiber, enum fiber_state state);
void block_wake(struct fiber *fiber);

#endif
