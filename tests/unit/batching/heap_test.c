/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "batching/heap.h"

struct item {
    uint32_t key;
    bool queued;
    struct heap_node node;
};

static bool before(const struct heap_node *a, const struct heap_node *b)
{
    return heap_entry(a, struct item, node)->key < heap_entry(b, struct item, node)->key;
}

static void first_is_least_after_any_insert_and_remove(void **state)
{
    (void)state;
    enum { ITEMS = 200 };
    struct item items[ITEMS] = {{0}};
    struct heap heap;
    heap_init(&heap, before);
    uint64_t random = 99;
    for (uint32_t round = 0; round < 20000; round++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        struct item *item = &items[(random >> 33) % ITEMS];
        if (item->queued) {
            heap_remove(&heap, &item->node);
        } else {
            item->key = (uint32_t)(random >> 40) % 1000 * ITEMS + (uint32_t)(item - items);
            heap_insert(&heap, &item->node);
        }
        item->queued = !item->queued;
        const struct item *least = NULL;
        for (uint32_t i = 0; i < ITEMS; i++)
            if (items[i].queued && (least == NULL || items[i].key < least->key))
                least = &items[i];
        if (least == NULL)
            assert_null(heap.first);
        else
            assert_ptr_equal(heap.first, &least->node);
    }
}

static void long_queue_drains_in_order(void **state)
{
    (void)state;
    enum { ITEMS = 20000 };
    static struct item items[ITEMS];
    struct heap heap;
    heap_init(&heap, before);
    for (uint32_t i = 0; i < ITEMS; i++) {
        items[i].key = i * 7919u % ITEMS;
        heap_insert(&heap, &items[i].node);
    }
    for (uint32_t i = 0; i < ITEMS; i++) {
        struct item *item = heap_entry(heap.first, struct item, node);
        assert_int_equal(item->key, i);
        heap_remove(&heap, &item->node);
    }
    assert_null(heap.first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_is_least_after_any_insert_and_remove),
        cmocka_unit_test(long_queue_drains_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
