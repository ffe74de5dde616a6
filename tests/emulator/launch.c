/* SPDX-License-Identifier: Apache-2.0 */
/* launch.c -- blocks in the order of the settings, on the workers that there are.
 *
 * Workers are started once, at the first grid of several blocks, and wait for the next one for ever
 * after. The thread that launches is a worker too. Where it finds the pool in use by another it
 * runs its grid alone, so two threads may launch at a time, and kernels that wait for one another
 * across them make progress. */
#include "launch.h"

#include "counted.h"
#include "sanitizer.h"
#include "settings.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ARGUMENT_ALIGNMENT 16u

/* -- Arguments -- */

struct launch *launch_new(const struct emulator_kernel *kernel, void *const *arguments)
{
    unsigned count = kernel->argument_count;
    size_t bytes = 0;
    for (unsigned i = 0; i < count; i++)
        bytes += (kernel->argument_bytes[i] + ARGUMENT_ALIGNMENT - 1) / ARGUMENT_ALIGNMENT *
                 ARGUMENT_ALIGNMENT;
    size_t head = (sizeof(struct launch) + count * sizeof(void *) + ARGUMENT_ALIGNMENT - 1) /
                  ARGUMENT_ALIGNMENT * ARGUMENT_ALIGNMENT;
    struct launch *launch = calloc(1, head + bytes);
    if (launch == NULL)
        emulator_fail("no memory for a launch");
    launch->kernel = *kernel;
    launch->arguments = (void **)(launch + 1);
    char *at = (char *)launch + head;
    for (unsigned i = 0; i < count; i++) {
        launch->arguments[i] = at;
        at += (kernel->argument_bytes[i] + ARGUMENT_ALIGNMENT - 1) / ARGUMENT_ALIGNMENT *
              ARGUMENT_ALIGNMENT;
    }
    if (arguments != NULL)
        launch_set_arguments(launch, arguments);
    return launch;
}

void launch_set_arguments(struct launch *launch, void *const *arguments)
{
    for (unsigned i = 0; i < launch->kernel.argument_count; i++)
        raw_copy(launch->arguments[i], arguments[i], launch->kernel.argument_bytes[i]);
}

struct launch *launch_clone(const struct launch *launch)
{
    struct launch *clone = launch_new(&launch->kernel, launch->arguments);
    clone->grid = launch->grid;
    clone->block = launch->block;
    clone->dynamic_bytes = launch->dynamic_bytes;
    return clone;
}

void launch_free(struct launch *launch)
{
    free(launch);
}

/* -- Grids -- */

struct grid {
    const struct launch *launch;
    uint64_t block_count;
    uint64_t next;   /* atomic: how many blocks were taken */
    uint64_t stride; /* in random order */
};

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static uint3 block_at(const struct grid *grid, uint64_t turn)
{
    uint64_t i = turn;
    if (settings()->order == ORDER_REVERSE)
        i = grid->block_count - 1 - turn;
    else if (settings()->order == ORDER_RANDOM)
        i = (turn * grid->stride + settings()->seed) % grid->block_count;
    dim3 size = grid->launch->grid;
    return make_uint3((unsigned)(i % size.x), (unsigned)(i / size.x % size.y),
                      (unsigned)(i / ((uint64_t)size.x * size.y)));
}

static struct block *own_block(void)
{
    /* A worker's own, for its life: fibers hold addresses in it. Kept in a list, so that a thread
     * that ended has not lost it. */
    static struct block *all;
    static __thread struct block *own;
    if (own != NULL)
        return own;
    own = calloc(1, sizeof *own);
    if (own == NULL)
        emulator_fail("no memory for a block");
    own->next = __atomic_load_n(&all, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&all, &own->next, own, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED)) {
    }
    return own;
}

static void run_blocks(struct grid *grid)
{
    struct block *block = own_block();
    tsan_release(&block->begin_order);
    for (;;) {
        uint64_t turn = __atomic_fetch_add(&grid->next, 1, __ATOMIC_RELAXED);
        if (turn >= grid->block_count)
            break;
        block_run(block, grid->launch, block_at(grid, turn));
    }
    tsan_acquire(&block->end_order);
}

/* -- Workers -- */

static struct pool {
    pthread_mutex_t in_use; /* by the thread whose grid it runs */
    pthread_mutex_t mutex;  /* guards what follows */
    pthread_cond_t wanted, done;
    unsigned started;
    struct grid *grid; /* NULL: nothing to do */
    unsigned places;   /* workers that may still join */
    unsigned running;
} pool = {.in_use = PTHREAD_MUTEX_INITIALIZER,
          .mutex = PTHREAD_MUTEX_INITIALIZER,
          .wanted = PTHREAD_COND_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER};

static void *worker_main(void *unused)
{
    (void)unused;
    (void)pthread_mutex_lock(&pool.mutex);
    for (;;) {
        while (pool.grid == NULL || pool.places == 0)
            (void)pthread_cond_wait(&pool.wanted, &pool.mutex);
        struct grid *grid = pool.grid;
        pool.places--;
        pool.running++;
        (void)pthread_mutex_unlock(&pool.mutex);
        run_blocks(grid);
        (void)pthread_mutex_lock(&pool.mutex);
        if (--pool.running == 0)
            (void)pthread_cond_signal(&pool.done);
    }
    return NULL;
}

/* How many others may help: as many as could be started. */
static unsigned helpers_for(const struct grid *grid)
{
    unsigned wanted = settings()->workers - 1;
    if (wanted > grid->block_count - 1)
        wanted = (unsigned)(grid->block_count - 1);
    while (pool.started < wanted) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, worker_main, NULL) != 0)
            break;
        (void)pthread_detach(thread);
        pool.started++;
    }
    return wanted < pool.started ? wanted : pool.started;
}

static void run_with_helpers(struct grid *grid)
{
    (void)pthread_mutex_lock(&pool.mutex);
    pool.places = helpers_for(grid);
    pool.grid = grid;
    if (pool.places > 0)
        (void)pthread_cond_broadcast(&pool.wanted);
    (void)pthread_mutex_unlock(&pool.mutex);
    run_blocks(grid);
    (void)pthread_mutex_lock(&pool.mutex);
    pool.grid = NULL;
    while (pool.running > 0)
        (void)pthread_cond_wait(&pool.done, &pool.mutex);
    (void)pthread_mutex_unlock(&pool.mutex);
}

void launch_run(const struct launch *launch)
{
    if (counted_is_linked())
        counted_begin(launch);
    struct grid grid = {.launch = launch,
                        .block_count = (uint64_t)launch->grid.x * launch->grid.y * launch->grid.z,
                        .stride = 2654435761u};
    while (common_divisor(grid.stride, grid.block_count) != 1)
        grid.stride++;
    if (grid.block_count > 1 && settings()->workers > 1 &&
        pthread_mutex_trylock(&pool.in_use) == 0) {
        run_with_helpers(&grid);
        (void)pthread_mutex_unlock(&pool.in_use);
    } else {
        run_blocks(&grid);
    }
    if (counted_is_linked())
        counted_end();
}
