/* SPDX-License-Identifier: Apache-2.0 */
/* step_graphs.c -- a forward pass is some hundred launches, each a few microseconds of the host's
 * time; a decode of a small batch takes a GPU little longer. A graph is one launch.
 *
 *     shape: 8 rows, window 0: 8 pieces, no joins        -> graph
 *            8 rows, window 0: 16 pieces, joins          -> graph
 *            16 rows, ...
 *
 * All that changes from step to step lies at fixed addresses in device memory and is copied before
 * the launch (step_inputs.c); how much of it counts, kernels read there. So a graph serves every
 * step whose launches are as large: rows are padded to few sizes by the model, pieces of attention
 * to powers of two here. A graph names weights and activations by address, and is dropped when any
 * memory is given back.
 *
 * The first step of a shape is captured, and runs by its graph's first launch. An op that has to
 * copy an array of its own, or that the driver won't capture, spoils the capture: then the step's
 * ops are called again, to run, and that shape is not tried another time. */
#include "kernels/cuda/step_graphs.h"

#include <assert.h>
#include <string.h>

static struct step_graph *find(struct step_graphs *graphs, const void *caller,
                               const struct step_shape *shape)
{
    for (uint32_t i = 0; i < STEP_GRAPHS_MAX; i++)
        if (graphs->graphs[i].caller == caller &&
            memcmp(&graphs->graphs[i].shape, shape, sizeof *shape) == 0)
            return &graphs->graphs[i];
    return NULL;
}

static void drop(struct step_graph *graph)
{
    if (graph->exec != NULL)
        (void)cudaGraphExecDestroy(graph->exec);
    *graph = (struct step_graph){0};
}

/* The place of the one that was used the longest ago; free ones were never. */
static struct step_graph *make_room(struct step_graphs *graphs)
{
    struct step_graph *oldest = &graphs->graphs[0];
    for (uint32_t i = 1; i < STEP_GRAPHS_MAX; i++)
        if (graphs->graphs[i].used < oldest->used)
            oldest = &graphs->graphs[i];
    drop(oldest);
    return oldest;
}

static cudaError_t launch(struct step_graphs *graphs, struct step_graph *graph, cudaStream_t stream)
{
    graph->used = ++graphs->launches;
    return cudaGraphLaunch(graph->exec, stream);
}

cudaError_t step_graphs_launch(struct step_graphs *graphs, const void *caller,
                               const struct step_shape *shape, cudaStream_t stream,
                               enum step_graph_found *ret)
{
    assert(caller != NULL && graphs->captured == NULL);
    struct step_graph *graph = find(graphs, caller, shape);
    *ret = STEP_GRAPH_NONE;
    if (graph != NULL && graph->exec == NULL)
        return cudaSuccess;
    if (graph != NULL) {
        *ret = STEP_GRAPH_LAUNCHED;
        return launch(graphs, graph, stream);
    }
    cudaError_t code = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    if (code != cudaSuccess)
        return code;
    graph = make_room(graphs);
    graph->caller = caller;
    graph->shape = *shape;
    graph->used = graphs->launches;
    graphs->captured = graph;
    graphs->spoilt = false;
    *ret = STEP_GRAPH_CAPTURES;
    return cudaSuccess;
}

cudaError_t step_graphs_captured(struct step_graphs *graphs, cudaStream_t stream,
                                 bool *ret_enqueued)
{
    struct step_graph *graph = graphs->captured;
    cudaGraph_t nodes = NULL;
    graphs->captured = NULL;
    *ret_enqueued = false;
    cudaError_t code = cudaStreamEndCapture(stream, &nodes);
    if (code == cudaSuccess && !graphs->spoilt) {
        code = cudaGraphInstantiate(&graph->exec, nodes, 0);
        if (code != cudaSuccess)
            graph->exec = NULL;
    }
    if (nodes != NULL)
        (void)cudaGraphDestroy(nodes);
    if (graph->exec == NULL) {
        (void)cudaGetLastError(); /* the ops are called again, and tell if the device is lost */
        return cudaSuccess;
    }
    *ret_enqueued = true;
    return launch(graphs, graph, stream);
}

void step_graphs_clear(struct step_graphs *graphs)
{
    assert(graphs->captured == NULL);
    for (uint32_t i = 0; i < STEP_GRAPHS_MAX; i++)
        drop(&graphs->graphs[i]);
}
