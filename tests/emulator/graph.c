/* SPDX-License-Identifier: Apache-2.0 */
/* graph.c -- captured work, run again.
 *
 * A graph is its nodes in the order of their calls; an executable is a copy of them, whose
 * arguments may be set anew. Launching copies them once more: what is under way is not changed by a
 * later update. */
#include "graph.h"

#include "device.h"
#include "kernel.h"
#include "memory.h"

#include <stdlib.h>

struct CUgraph_st {
    struct operations nodes;
};
struct CUgraphExec_st {
    struct operations nodes;
};

cudaGraph_t graph_of(struct operations *nodes)
{
    struct CUgraph_st *graph = calloc(1, sizeof *graph);
    if (graph == NULL)
        emulator_fail("no memory for a graph");
    operations_init(&graph->nodes);
    for (struct operation *each = nodes->first, *next; each != NULL; each = next) {
        next = each->next;
        operations_add(&graph->nodes, each);
    }
    operations_init(nodes);
    return graph;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    (void)flags;
    cudaError_t error = device_enter();
    if (error == cudaSuccess && graph == NULL)
        error = cudaErrorInvalidValue;
    if (error != cudaSuccess)
        return device_error(error);
    struct CUgraphExec_st *made = calloc(1, sizeof *made);
    if (made == NULL)
        return device_error(cudaErrorMemoryAllocation);
    operations_init(&made->nodes);
    for (const struct operation *each = graph->nodes.first; each != NULL; each = each->next)
        operations_add(&made->nodes, operation_clone(each));
    *exec = made;
    return device_error(cudaSuccess);
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess && (exec == NULL || stream_find(stream) == NULL))
        error = cudaErrorInvalidValue;
    return device_error(error);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess && exec == NULL)
        error = cudaErrorInvalidResourceHandle;
    if (error == cudaSuccess)
        error = stream_find_for_work(&stream);
    if (error == cudaSuccess && stream_is_capturing(stream))
        error = cudaErrorStreamCaptureUnsupported;
    if (error != cudaSuccess)
        return device_error(error);
    for (const struct operation *each = exec->nodes.first; each != NULL; each = each->next)
        stream_push(stream, operation_clone(each));
    return device_error(cudaSuccess);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    cudaError_t error = device_enter();
    if (graph == NULL)
        return device_error(error != cudaSuccess ? error : cudaErrorInvalidValue);
    operations_clear(&graph->nodes);
    free(graph);
    return device_error(error);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    cudaError_t error = device_enter();
    if (exec == NULL)
        return device_error(error != cudaSuccess ? error : cudaErrorInvalidValue);
    operations_clear(&exec->nodes);
    free(exec);
    return device_error(error);
}

/* -- Nodes -- */

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess && graph == NULL)
        error = cudaErrorInvalidValue;
    if (error != cudaSuccess)
        return device_error(error);
    if (nodes == NULL) {
        *count = graph->nodes.count;
        return device_error(cudaSuccess);
    }
    size_t room = *count;
    *count = 0;
    for (struct operation *each = graph->nodes.first; each != NULL && *count < room;
         each = each->next)
        nodes[(*count)++] = each;
    for (size_t i = *count; i < room; i++)
        nodes[i] = NULL;
    return device_error(cudaSuccess);
}

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, enum cudaGraphNodeType *type)
{
    static const enum cudaGraphNodeType types[] = {
        [OPERATION_KERNEL] = cudaGraphNodeTypeKernel,
        [OPERATION_COPY] = cudaGraphNodeTypeMemcpy,
        [OPERATION_FILL] = cudaGraphNodeTypeMemset,
        [OPERATION_HOST] = cudaGraphNodeTypeHost,
    };
    cudaError_t error = device_enter();
    if (error == cudaSuccess && node == NULL)
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess)
        *type = types[node->kind];
    return device_error(error);
}

cudaError_t cudaGraphKernelNodeGetParams(cudaGraphNode_t node, struct cudaKernelNodeParams *params)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess && (node == NULL || node->kind != OPERATION_KERNEL))
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess) {
        params->func = (void *)(uintptr_t)node->launch->kernel.function;
        params->gridDim = node->launch->grid;
        params->blockDim = node->launch->block;
        params->sharedMemBytes = (unsigned)node->launch->dynamic_bytes;
        params->kernelParams = node->launch->arguments;
        params->extra = NULL;
    }
    return device_error(error);
}

/* The executable's copy of a graph's node, where it is of the kind. */
static struct operation *copy_of(cudaGraphExec_t exec, cudaGraphNode_t node,
                                 enum operation_kind kind)
{
    if (exec == NULL || node == NULL)
        return NULL;
    for (struct operation *each = exec->nodes.first; each != NULL; each = each->next) {
        if (each->origin == node)
            return each->kind == kind ? each : NULL;
    }
    return NULL;
}

static cudaError_t set_launch(struct operation *node, const struct cudaKernelNodeParams *params)
{
    const struct emulator_kernel *kernel = kernel_find(params->func);
    if (kernel == NULL)
        return cudaErrorInvalidDeviceFunction;
    struct emulator_launch shape = {params->gridDim, params->blockDim, params->sharedMemBytes,
                                    NULL};
    cudaError_t error = kernel_check(kernel, &shape);
    if (error != cudaSuccess)
        return error;
    launch_free(node->launch);
    node->launch = kernel_launch(kernel, &shape, params->kernelParams);
    return cudaSuccess;
}

cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const struct cudaKernelNodeParams *params)
{
    cudaError_t error = device_enter();
    struct operation *copy = copy_of(exec, node, OPERATION_KERNEL);
    if (error == cudaSuccess && (copy == NULL || params->extra != NULL))
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess)
        error = set_launch(copy, params);
    return device_error(error);
}

cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void *to,
                                               const void *from, size_t bytes,
                                               enum cudaMemcpyKind kind)
{
    cudaError_t error = device_enter();
    struct operation *copy = copy_of(exec, node, OPERATION_COPY);
    if (error == cudaSuccess && copy == NULL)
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess)
        error = memory_check_copy(to, from, bytes, kind);
    if (error == cudaSuccess) {
        copy->to = to;
        copy->from = from;
        copy->bytes = bytes;
    }
    return device_error(error);
}

cudaError_t cudaGraphExecMemsetNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const struct cudaMemsetParams *params)
{
    cudaError_t error = device_enter();
    struct operation *copy = copy_of(exec, node, OPERATION_FILL);
    if (error == cudaSuccess && (copy == NULL || params->elementSize != 1 || params->height != 1))
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess)
        error = memory_check_fill(params->dst, params->width);
    if (error == cudaSuccess) {
        copy->to = params->dst;
        copy->value = (int)params->value;
        copy->bytes = params->width;
    }
    return device_error(error);
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph,
                                cudaGraphExecUpdateResultInfo *result)
{
    cudaError_t error = device_enter();
    if (error == cudaSuccess && (exec == NULL || graph == NULL))
        error = cudaErrorInvalidValue;
    if (error != cudaSuccess)
        return device_error(error);
    result->errorNode = result->errorFromNode = NULL;
    result->result = cudaGraphExecUpdateSuccess;
    const struct operation *old = exec->nodes.first;
    struct operation *fresh = graph->nodes.first;
    for (; old != NULL && fresh != NULL && old->kind == fresh->kind; fresh = fresh->next)
        old = old->next;
    if (old != NULL || fresh != NULL) {
        result->errorNode = fresh;
        result->result = old == NULL || fresh == NULL ? cudaGraphExecUpdateErrorTopologyChanged
                                                      : cudaGraphExecUpdateErrorNodeTypeChanged;
        return device_error(cudaErrorGraphExecUpdateFailure);
    }
    struct operations nodes;
    operations_init(&nodes);
    old = exec->nodes.first;
    for (fresh = graph->nodes.first; fresh != NULL; fresh = fresh->next) {
        struct operation *copy = operation_clone(fresh);
        copy->origin = old->origin;
        operations_add(&nodes, copy);
        old = old->next;
    }
    operations_clear(&exec->nodes);
    exec->nodes = nodes;
    if (nodes.first == NULL)
        operations_init(&exec->nodes);
    return device_error(cudaSuccess);
}
