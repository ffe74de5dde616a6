/* SPDX-License-Identifier: Apache-2.0 */
/* heap.h -- a priority queue whose nodes live inside what is queued.
 *
 * A pairing heap (Fredman et al. 1986): insert and peek in constant time, remove of any node, the
 * first included, in amortised O(log n). It allocates nothing, so queueing cannot fail. Not shared
 * between threads. */
#ifndef WEIR_BATCHING_HEAP_H
#define WEIR_BATCHING_HEAP_H

#include <stdbool.h>
#include <stddef.h>

struct heap_node {
    struct heap_node *child;    /* first child; each comes after this node */
    struct heap_node *next;     /* sibling */
    struct heap_node *previous; /* sibling before, or the parent of a first child */
};

/* A strict order: whether a leaves the queue before b. It must not change while both are in. */
typedef bool (*heap_before)(const struct heap_node *a, const struct heap_node *b);

struct heap {
    struct heap_node *first; /* NULL when empty */
    heap_before before;
};

/* The struct that a node is a member of. */
#define heap_entry(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

void heap_init(struct heap *heap, heap_before before);
void heap_insert(struct heap *heap, struct heap_node *node); /* not in any heap */
void heap_remove(struct heap *heap, struct heap_node *node); /* in this heap */

#endif
