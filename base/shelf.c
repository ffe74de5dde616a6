/* SPDX-License-Identifier: Apache-2.0 */
/* shelf.c -- why there is a lock.
 *
 * A reader that loads the pointer and then counts itself may count into a set that went in between;
 * hazard pointers or epochs would close that gap, at the cost of a structure for each reader. The
 * lock closes it too, and a reader takes it only when the number says that there is another set: a
 * few times a day. */
#include "base/shelf.h"

#include <assert.h>
#include <stddef.h>

void shelved_init(struct shelved *shelved, void (*free_set)(void *set))
{
    shelved->number = 0;
    atomic_init(&shelved->references, 1);
    shelved->free = free_set;
}

void *shelved_ref(void *set)
{
    struct shelved *shelved = set;
    uint32_t before = atomic_fetch_add_explicit(&shelved->references, 1, memory_order_relaxed);
    assert(before > 0);
    return set;
}

void shelved_unref(void *set)
{
    struct shelved *shelved = set;
    if (shelved == NULL)
        return;
    /* What others did with the set comes before it goes. */
    uint32_t before = atomic_fetch_sub_explicit(&shelved->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1)
        shelved->free(set);
}

void shelf_init(struct shelf *shelf)
{
    *shelf = (struct shelf){0};
    int failed = pthread_mutex_init(&shelf->lock, NULL);
    assert(failed == 0); /* the default kind takes nothing that could run out */
}

void shelf_destroy(struct shelf *shelf)
{
    shelved_unref(shelf->newest);
    shelf->newest = NULL;
    (void)pthread_mutex_destroy(&shelf->lock);
}

void shelf_put(struct shelf *shelf, void *set)
{
    struct shelved *shelved = set;
    assert(shelved->number == 0);
    (void)pthread_mutex_lock(&shelf->lock);
    struct shelved *before = shelf->newest;
    shelved->number = before == NULL ? 1 : before->number + 1;
    shelf->newest = shelved;
    atomic_store_explicit(&shelf->number, shelved->number, memory_order_release);
    (void)pthread_mutex_unlock(&shelf->lock);
    shelved_unref(before);
}

void *shelf_newest(struct shelf *shelf)
{
    (void)pthread_mutex_lock(&shelf->lock);
    void *newest = shelf->newest == NULL ? NULL : shelved_ref(shelf->newest);
    (void)pthread_mutex_unlock(&shelf->lock);
    return newest;
}

void *shelf_renew(struct shelf *shelf, void *held, bool *ret_changed)
{
    const struct shelved *shelved = held;
    uint64_t number = shelved == NULL ? 0 : shelved->number;
    *ret_changed = atomic_load_explicit(&shelf->number, memory_order_acquire) != number;
    if (!*ret_changed)
        return held;
    shelved_unref(held);
    return shelf_newest(shelf);
}
