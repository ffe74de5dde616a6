/* SPDX-License-Identifier: Apache-2.0 */
/* pool.h -- compute threads for the CPU backend. The engine thread calls; nobody else.
 *
 * pool_run() cuts an op into tasks that any thread may take in any order: a task must write only
 * what is its own and reduce in an order of its own, so that results do not depend on who ran it.
 * Threads spin briefly between ops (a forward pass is hundreds of them), then sleep. */
#ifndef WEIR_KERNELS_CPU_POOL_H
#define WEIR_KERNELS_CPU_POOL_H

#include "base/error.h"

#include <stdint.h>

struct pool;

/* threads: the caller included; 0 means one a core the process may run on. */
struct pool *pool_new(uint32_t threads, struct error *err);
void pool_free(struct pool *pool); /* NULL is fine */
uint32_t pool_threads(const struct pool *pool);

/* Runs task(argument, index, thread) for every index below task_count; returns when all are done.
 * `thread` is below pool_threads(), for scratch memory. */
typedef void (*pool_task)(void *argument, uint32_t index, uint32_t thread);
void pool_run(struct pool *pool, pool_task task, void *argument, uint32_t task_count);

#endif
