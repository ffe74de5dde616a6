/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "base/ring.h"

#define PRODUCERS 3
#define ITEMS     20000u

static void full_ring_refuses_and_empty_ring_answers_null(void **state)
{
    (void)state;
    struct ring *ring = ring_new(4);
    int items[5];
    assert_null(ring_pop(ring));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++)
            assert_true(ring_push(ring, &items[i]));
        assert_false(ring_push(ring, &items[4]));
        for (int i = 0; i < 4; i++)
            assert_ptr_equal(ring_pop(ring), &items[i]);
        assert_null(ring_pop(ring));
    }
    ring_free(ring);
}

struct producer {
    struct ring *ring; /* borrowed: the test */
    uintptr_t number;
};

static void *produce(void *argument)
{
    struct producer *producer = argument;
    for (uintptr_t i = 1; i <= ITEMS; i++)
        while (!ring_push(producer->ring, (void *)(producer->number << 32 | i)))
            sched_yield();
    return NULL;
}

static void every_item_arrives_once_and_in_each_producers_order(void **state)
{
    (void)state;
    struct ring *ring = ring_new(64);
    pthread_t threads[PRODUCERS];
    struct producer producers[PRODUCERS];
    for (uintptr_t i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){ring, i};
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    uintptr_t last[PRODUCERS] = {0};
    for (unsigned received = 0; received < PRODUCERS * ITEMS;) {
        uintptr_t item = (uintptr_t)ring_pop(ring);
        if (item == 0) {
            sched_yield();
            continue;
        }
        uintptr_t producer = item >> 32, sequence = item & 0xffffffffu;
        assert_int_equal(sequence, last[producer] + 1);
        last[producer] = sequence;
        received++;
    }
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    assert_null(ring_pop(ring));
    ring_free(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_ring_refuses_and_empty_ring_answers_null),
        cmocka_unit_test(every_item_arrives_once_and_in_each_producers_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
