/* SPDX-License-Identifier: Apache-2.0 */
/* operation.h -- one thing that a stream does, or a graph's node. */
#ifndef WEIR_EMULATOR_OPERATION_H
#define WEIR_EMULATOR_OPERATION_H

#include "include/cuda_runtime_api.h"
#include "launch.h"

/* A graph's node is an operation: to the API it is a cudaGraphNode_t, here it has its own name. */
#define operation CUgraphNode_st

enum operation_kind {
    OPERATION_KERNEL,
    OPERATION_COPY,
    OPERATION_FILL,
    OPERATION_HOST,
    OPERATION_RECORD,
    OPERATION_WAIT
};

struct operation {
    enum operation_kind kind;
    struct operation *next;
    uint64_t number;                /* in a stream: in the order of all that were enqueued */
    const struct operation *origin; /* of a graph's executable: the node it was made from */
    struct launch *launch;          /* owned */
    void *to;
    const void *from;
    size_t bytes;
    void *staged; /* owned: what from points at where the source was pageable */
    int value;
    cudaHostFn_t function;
    void *user;
    cudaEvent_t event;
    uint64_t ticket; /* which of the event's records */
};

struct operation *operation_new(enum operation_kind kind);
struct operation *operation_clone(const struct operation *operation);
void operation_free(struct operation *operation); /* NULL is fine */
/* Kernels, copies, fills and host functions. Without the device's mutex. */
void operation_run(const struct operation *operation);

#endif
