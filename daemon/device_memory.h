/* SPDX-License-Identifier: Apache-2.0 */
/* device_memory.h -- what a model takes of a GPU's memory, and what is left for its KV cache. Pure.
 *
 *     total     |--------------------------------------------------------------|
 *     usable    |----- free now, less the share that is to stay free -----|
 *               | weights | steps | weights of later models | KV cache ... |
 *
 * Asked twice: before weights are loaded, so that what cannot fit is told with numbers and at
 * once; and after, for what is really free then. */
#ifndef WEIR_DAEMON_DEVICE_MEMORY_H
#define WEIR_DAEMON_DEVICE_MEMORY_H

#include "base/error.h"
#include "models/model.h"

#include <stdbool.h>
#include <stdint.h>

struct device_request {
    struct device_room room;
    uint32_t utilization;            /* millionths of all memory that may be used */
    const struct model_shape *shape; /* borrowed */
    uint64_t weight_bytes;           /* 0 once they are loaded */
    uint64_t step_bytes;             /* activations and scratch */
    uint64_t later_bytes;            /* weights of models that are yet to come */
    uint32_t models_to_come;         /* this one included: they share what is left */
    uint64_t kv_memory_bytes;        /* 0: all that is left */
    uint32_t context;                /* 0: the model's, cut where memory is short */
    uint32_t max_sequences;
};

struct device_plan {
    uint64_t usable_bytes;
    uint64_t kv_bytes;
    uint32_t context;
    bool context_cut;
};

/* KV bytes: what is left, but no more than max_sequences full contexts need. ERROR_NO_MEMORY with
 * all numbers and the remedy where not even one sequence fits. */
int device_plan_memory(const struct device_request *request, struct device_plan *ret,
                       struct error *err);

#endif
