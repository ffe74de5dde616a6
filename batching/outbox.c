/* SPDX-License-Identifier: Apache-2.0 */
/* outbox.c -- a list of batches a worker, swapped out whole.
 *
 * One producer, one consumer and batches that are linked anyway: delivery is a compare-and-swap
 * that puts a batch before those not yet received, receiving is one exchange with NULL and a
 * reversal. It is never full, so a slow worker delays nobody. It is bounded all the same: a
 * generation has at most one event a token it asked for, and generations are bounded by slots. */
#include "batching/outbox.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#define CACHE_LINE_BYTES 64

struct box {
    _Alignas(CACHE_LINE_BYTES) struct generation_events *open; /* reserved room of this step */
    uint32_t open_capacity;
    struct generation_events *first, *last; /* of this step, ready to deliver */
    _Alignas(CACHE_LINE_BYTES) _Atomic(struct generation_events *) delivered; /* newest first */
};

struct outbox {
    uint32_t workers;
    struct box boxes[];
};

static void free_list(struct generation_events *batch)
{
    while (batch != NULL) {
        struct generation_events *next = batch->next;
        free(batch);
        batch = next;
    }
}

struct outbox *outbox_new(uint32_t workers)
{
    size_t bytes = sizeof(struct outbox) + workers * sizeof(struct box);
    bytes = (bytes + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    struct outbox *outbox = aligned_alloc(CACHE_LINE_BYTES, bytes);
    if (outbox == NULL)
        return NULL;
    outbox->workers = workers;
    for (uint32_t i = 0; i < workers; i++) {
        struct box *box = &outbox->boxes[i];
        box->open = box->first = box->last = NULL;
        box->open_capacity = 0;
        atomic_init(&box->delivered, NULL);
    }
    return outbox;
}

void outbox_free(struct outbox *outbox)
{
    if (outbox == NULL)
        return;
    for (uint32_t i = 0; i < outbox->workers; i++) {
        free(outbox->boxes[i].open);
        free_list(outbox->boxes[i].first);
        free_list(atomic_load(&outbox->boxes[i].delivered));
    }
    free(outbox);
}

static struct box *box_of(struct outbox *outbox, uint32_t worker)
{
    assert(worker < outbox->workers);
    return &outbox->boxes[worker];
}

bool outbox_reserve(struct outbox *outbox, uint32_t worker, uint32_t count)
{
    struct box *box = box_of(outbox, worker);
    assert(box->open == NULL || box->open->count == 0);
    if (box->open != NULL && box->open_capacity >= count)
        return true; /* of a step that was planned but not run */
    struct generation_events *open =
        malloc(sizeof *open + (size_t)count * sizeof(struct generation_event));
    if (open == NULL)
        return false;
    free(box->open);
    open->next = NULL;
    open->count = 0;
    box->open = open;
    box->open_capacity = count;
    return true;
}

struct generation_event *outbox_next(struct outbox *outbox, uint32_t worker)
{
    struct box *box = box_of(outbox, worker);
    assert(box->open != NULL);
    assert(box->open->count < box->open_capacity);
    struct generation_event *event = &box->open->events[box->open->count++];
    *event = (struct generation_event){0};
    return event;
}

static void link_batch(struct box *box, struct generation_events *batch)
{
    batch->next = NULL;
    if (box->last != NULL)
        box->last->next = batch;
    else
        box->first = batch;
    box->last = batch;
}

static void close_open(struct box *box)
{
    if (box->open == NULL || box->open->count == 0)
        return;
    link_batch(box, box->open);
    box->open = NULL;
    box->open_capacity = 0;
}

void outbox_append(struct outbox *outbox, uint32_t worker, struct generation_events *batch)
{
    struct box *box = box_of(outbox, worker);
    close_open(box);
    link_batch(box, batch);
}

static void push(struct box *box, struct generation_events *batch)
{
    batch->next = atomic_load_explicit(&box->delivered, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&box->delivered, &batch->next, batch,
                                                  memory_order_release, memory_order_relaxed))
        ;
}

void outbox_deliver(struct outbox *outbox, void (*wake)(void *wake_argument, uint32_t worker),
                    void *wake_argument)
{
    for (uint32_t i = 0; i < outbox->workers; i++) {
        struct box *box = &outbox->boxes[i];
        close_open(box);
        if (box->first == NULL)
            continue;
        while (box->first != NULL) {
            struct generation_events *batch = box->first;
            box->first = batch->next;
            push(box, batch);
        }
        box->last = NULL;
        wake(wake_argument, i);
    }
}

struct generation_events *outbox_receive(struct outbox *outbox, uint32_t worker)
{
    struct box *box = box_of(outbox, worker);
    struct generation_events *batch =
        atomic_exchange_explicit(&box->delivered, NULL, memory_order_acquire);
    struct generation_events *oldest = NULL;
    while (batch != NULL) {
        struct generation_events *older = batch->next;
        batch->next = oldest;
        oldest = batch;
        batch = older;
    }
    return oldest;
}
