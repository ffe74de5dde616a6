/* SPDX-License-Identifier: Apache-2.0 */
/* merger.c -- a heap of pairs over a chain of symbols.
 *
 *     symbols   [l]<->[o]<->[w]<->[e]<->[r]
 *     heap      (rank 12, l+o)  (rank 40, e+r)  ...
 *
 * The best pair is taken from the heap; the left symbol swallows the right one and is linked to
 * what came after it; the two pairs it now forms with its neighbours enter the heap. Pairs that
 * the join made obsolete stay in the heap and are recognised when they come up: symbols only grow,
 * so a pair is as it was exactly when its left symbol still lives and both together still have
 * the number of bytes noted then.
 *
 * Equal ranks go left to right, as the trainers count. n symbols take at most n - 1 joins and
 * 3n pairs, so a text costs O(n log n) however it looks: a megabyte of one letter is no worse
 * than prose. Scanning for the best pair at each step, as reference code does, is O(n^2). */
#include "models/merger.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void merger_init(struct merger *merger)
{
    memset(merger, 0, sizeof *merger);
}

void merger_destroy(struct merger *merger)
{
    free(merger->symbols);
    free(merger->heap);
    merger_init(merger);
}

bool merger_start(struct merger *merger, const char *text, size_t count)
{
    assert(count < MERGER_NONE / 4);
    merger->text = text;
    merger->symbol_count = 0;
    merger->heap_count = 0;
    if (count <= merger->symbol_capacity)
        return true;
    size_t capacity = count < 256 ? 256 : count;
    free(merger->symbols);
    free(merger->heap);
    merger->symbols = malloc(capacity * sizeof *merger->symbols);
    merger->heap = malloc(3 * capacity * sizeof *merger->heap);
    merger->symbol_capacity = capacity;
    merger->heap_capacity = 3 * capacity;
    if (merger->symbols != NULL && merger->heap != NULL)
        return true;
    merger_destroy(merger);
    return false;
}

void merger_add(struct merger *merger, size_t count, uint32_t token)
{
    assert(merger->symbol_count < merger->symbol_capacity);
    uint32_t index = (uint32_t)merger->symbol_count++;
    struct merger_symbol *symbol = &merger->symbols[index];
    *symbol = (struct merger_symbol){
        .count = (uint32_t)count, .token = token, .previous = MERGER_NONE, .next = MERGER_NONE};
    if (index == 0)
        return;
    struct merger_symbol *previous = symbol - 1;
    symbol->start = previous->start + previous->count;
    symbol->previous = index - 1;
    previous->next = index;
}

static void heap_push(struct merger *merger, struct merger_pair pair)
{
    assert(merger->heap_count < merger->heap_capacity);
    struct merger_pair *heap = merger->heap;
    size_t at = merger->heap_count++;
    while (at > 0 && heap[(at - 1) / 2].order > pair.order) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = pair;
}

static struct merger_pair heap_pop(struct merger *merger)
{
    struct merger_pair *heap = merger->heap;
    struct merger_pair least = heap[0], last = heap[--merger->heap_count];
    size_t at = 0, count = merger->heap_count;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count)
            break;
        if (child + 1 < count && heap[child + 1].order < heap[child].order)
            child++;
        if (heap[child].order >= last.order)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return least;
}

static void consider(struct merger *merger, uint32_t left, merger_rule rule, const void *rules)
{
    if (left == MERGER_NONE || merger->symbols[left].next == MERGER_NONE)
        return;
    const struct merger_symbol *a = &merger->symbols[left], *b = &merger->symbols[a->next];
    uint32_t rank, token;
    if (rule(rules, merger->text, a, b, &rank, &token))
        heap_push(merger, (struct merger_pair){.order = (uint64_t)rank << 32 | left,
                                               .count = a->count + b->count,
                                               .token = token});
}

void merger_run(struct merger *merger, merger_rule rule, const void *rules)
{
    for (uint32_t i = 0; i + 1 < merger->symbol_count; i++)
        consider(merger, i, rule, rules);
    while (merger->heap_count > 0) {
        struct merger_pair pair = heap_pop(merger);
        uint32_t index = (uint32_t)pair.order;
        struct merger_symbol *left = &merger->symbols[index];
        if (left->count == 0 || left->next == MERGER_NONE)
            continue;
        struct merger_symbol *right = &merger->symbols[left->next];
        if (left->count + right->count != pair.count)
            continue;
        left->count = pair.count;
        left->token = pair.token;
        left->next = right->next;
        right->count = 0;
        if (left->next != MERGER_NONE)
            merger->symbols[left->next].previous = index;
        consider(merger, left->previous, rule, rules);
        consider(merger, index, rule, rules);
    }
}
