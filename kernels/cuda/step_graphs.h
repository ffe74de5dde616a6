/* SPDX-License-Identifier: Apache-2.0 */
/* step_graphs.h -- decode steps captured once and launched again. Engine thread only. */
#ifndef WEIR_KERNELS_CUDA_STEP_GRAPHS_H
#define WEIR_KERNELS_CUDA_STEP_GRAPHS_H

#include "kernels/cuda/step_inputs.h"

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>

/* Beyond, the one that was launched the longest ago makes room. */
#define STEP_GRAPHS_MAX 64u

struct step_graph {
    struct step_shape shape;
    const void *caller;   /* NULL: no graph */
    cudaGraphExec_t exec; /* NULL: can't be captured */
    uint64_t used;
};

struct step_graphs {
    struct step_graph graphs[STEP_GRAPHS_MAX];
    struct step_graph *captured; /* the one under way, or NULL */
    bool spoilt;                 /* an op of it can't be in a graph */
    uint64_t launches;
};

enum step_graph_found { STEP_GRAPH_LAUNCHED, STEP_GRAPH_CAPTURES, STEP_GRAPH_NONE };

/* Launches the graph of the shape, or begins to capture one. NONE: it has none, nor will it. */
cudaError_t step_graphs_launch(struct step_graphs *graphs, const void *caller,
                               const struct step_shape *shape, cudaStream_t stream,
                               enum step_graph_found *ret);
/* Ends the capture and launches what it gave. *ret_enqueued false: it gave nothing, and nothing of
 * what was captured has run. */
cudaError_t step_graphs_captured(struct step_graphs *graphs, cudaStream_t stream,
                                 bool *ret_enqueued);
/* For memory that is given back. */
void step_graphs_clear(struct step_graphs *graphs);

#endif
