/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ring.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#define CACHE_LINE_BYTES 64

struct ring_slot {
    _Atomic size_t turn; /* position p may write at turn p, and read at turn p + 1 */
    void *item;
};

/* Head and tail on lines of their own: producers and consumers do not slow each other down. */
struct ring {
    struct ring_slot *slots;
    size_t mask;
    _Alignas(CACHE_LINE_BYTES) _Atomic size_t push_position;
    _Alignas(CACHE_LINE_BYTES) _Atomic size_t pop_position;
};

struct ring *ring_new(size_t capacity)
{
    assert(capacity >= 2 && (capacity & (capacity - 1)) == 0);
    struct ring *ring = aligned_alloc(CACHE_LINE_BYTES, sizeof *ring);
    if (ring == NULL)
        return NULL;
    ring->slots = calloc(capacity, sizeof *ring->slots);
    if (ring->slots == NULL) {
        free(ring);
        return NULL;
    }
    for (size_t i = 0; i < capacity; i++)
        atomic_init(&ring->slots[i].turn, i);
    ring->mask = capacity - 1;
    atomic_init(&ring->push_position, 0);
    atomic_init(&ring->pop_position, 0);
    return ring;
}

void ring_free(struct ring *ring)
{
    if (ring == NULL)
        return;
    free(ring->slots);
    free(ring);
}

bool ring_push(struct ring *ring, void *item)
{
    assert(item != NULL);
    size_t position = atomic_load_explicit(&ring->push_position, memory_order_relaxed);
    for (;;) {
        struct ring_slot *slot = &ring->slots[position & ring->mask];
        size_t turn = atomic_load_explicit(&slot->turn, memory_order_acquire);
        intptr_t lead = (intptr_t)turn - (intptr_t)position;
        if (lead < 0)
            return false;
        if (lead > 0) {
            position = atomic_load_explicit(&ring->push_position, memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(&ring->push_position, &position,
                                                         position + 1, memory_order_relaxed,
                                                         memory_order_relaxed)) {
            slot->item = item;
            atomic_store_explicit(&slot->turn, position + 1, memory_order_release);
            return true;
        }
    }
}

void *ring_pop(struct ring *ring)
{
    size_t position = atomic_load_explicit(&ring->pop_position, memory_order_relaxed);
    for (;;) {
        struct ring_slot *slot = &ring->slots[position & ring->mask];
        size_t turn = atomic_load_explicit(&slot->turn, memory_order_acquire);
        intptr_t lead = (intptr_t)turn - (intptr_t)(position + 1);
        if (lead < 0)
            return NULL;
        if (lead > 0) {
            position = atomic_load_explicit(&ring->pop_position, memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(&ring->pop_position, &position,
                                                         position + 1, memory_order_relaxed,
                                                         memory_order_relaxed)) {
            void *item = slot->item;
            atomic_store_explicit(&slot->turn, position + ring->mask + 1, memory_order_release);
            return item;
        }
    }
}
