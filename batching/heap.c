/* SPDX-License-Identifier: Apache-2.0 */
#include "batching/heap.h"

#include <assert.h>

void heap_init(struct heap *heap, heap_before before)
{
    *heap = (struct heap){.before = before};
}

/* Joins two trees: the root that comes later becomes the other's first child. */
static struct heap_node *join(const struct heap *heap, struct heap_node *a, struct heap_node *b)
{
    if (a == NULL)
        return b;
    if (b == NULL)
        return a;
    struct heap_node *parent = heap->before(b, a) ? b : a;
    struct heap_node *child = parent == a ? b : a;
    child->previous = parent;
    child->next = parent->child;
    if (child->next != NULL)
        child->next->previous = child;
    parent->child = child;
    parent->next = parent->previous = NULL;
    return parent;
}

/* Makes one tree of siblings: in pairs from the left, then the pairs from the right. Both passes
 * matter for the bound; neither recurses, for a list may be as long as the queue. */
static struct heap_node *join_siblings(const struct heap *heap, struct heap_node *first)
{
    struct heap_node *pairs = NULL; /* linked by next, rightmost first */
    while (first != NULL) {
        struct heap_node *a = first, *b = a->next;
        first = b != NULL ? b->next : NULL;
        a->next = a->previous = NULL;
        if (b != NULL)
            b->next = b->previous = NULL;
        struct heap_node *pair = join(heap, a, b);
        pair->next = pairs;
        pairs = pair;
    }
    struct heap_node *root = NULL;
    while (pairs != NULL) {
        struct heap_node *pair = pairs;
        pairs = pair->next;
        pair->next = NULL;
        root = join(heap, root, pair);
    }
    return root;
}

void heap_insert(struct heap *heap, struct heap_node *node)
{
    *node = (struct heap_node){0};
    heap->first = join(heap, heap->first, node);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    if (node != heap->first) {
        assert(node->previous != NULL);
        if (node->previous->child == node)
            node->previous->child = node->next;
        else
            node->previous->next = node->next;
        if (node->next != NULL)
            node->next->previous = node->previous;
    }
    struct heap_node *rest = join_siblings(heap, node->child);
    heap->first = node == heap->first ? rest : join(heap, heap->first, rest);
    *node = (struct heap_node){0};
}
