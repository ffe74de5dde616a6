/* SPDX-License-Identifier: Apache-2.0 */
/* graph.h -- what a capture becomes. */
#ifndef WEIR_EMULATOR_GRAPH_H
#define WEIR_EMULATOR_GRAPH_H

#include "stream.h"

/* Takes the nodes over; the list is empty then. */
cudaGraph_t graph_of(struct operations *nodes);

#endif
