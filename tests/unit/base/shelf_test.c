/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "base/shelf.h"

#define READERS 4u
#define CHANGES 2000u

struct set {
    struct shelved shelved;
    uint64_t value, twice; /* of one set, both or neither */
    _Atomic uint32_t *alive;
};

static void free_set(void *argument)
{
    struct set *set = argument;
    atomic_fetch_sub(set->alive, 1);
    set->value = 1; /* whoever still reads it sees that */
    set->twice = 0;
    free(set);
}

static struct set *make(uint64_t value, _Atomic uint32_t *alive)
{
    struct set *set = calloc(1, sizeof *set);
    assert_non_null(set);
    shelved_init(&set->shelved, free_set);
    set->value = value;
    set->twice = 2 * value;
    set->alive = alive;
    atomic_fetch_add(alive, 1);
    return set;
}

static void an_empty_shelf_has_nothing_and_nothing_new(void **state)
{
    (void)state;
    struct shelf shelf, untouched = {.newest = NULL};
    bool changed = true;
    shelf_init(&shelf);
    assert_null(shelf_newest(&shelf));
    assert_null(shelf_renew(&shelf, NULL, &changed));
    assert_false(changed);
    shelf_destroy(&shelf);
    shelf_destroy(&untouched);
    shelved_unref(NULL);
}

static void nothing_new_is_nothing_to_do(void **state)
{
    (void)state;
    struct shelf shelf;
    bool changed = false;
    _Atomic uint32_t alive = 0;
    shelf_init(&shelf);
    shelf_put(&shelf, make(1, &alive));
    struct set *held = shelf_renew(&shelf, NULL, &changed);
    assert_true(changed);
    assert_int_equal(held->shelved.number, 1);
    assert_ptr_equal(shelf_renew(&shelf, held, &changed), held);
    assert_false(changed);
    assert_int_equal(held->shelved.references, 2);
    shelved_unref(held);
    shelf_destroy(&shelf);
    assert_int_equal(alive, 0);
}

static void a_set_goes_with_the_last_who_began_under_it(void **state)
{
    (void)state;
    struct shelf shelf;
    bool changed;
    _Atomic uint32_t alive = 0;
    shelf_init(&shelf);
    shelf_put(&shelf, make(1, &alive));
    struct set *held = shelf_newest(&shelf);
    struct set *began = shelved_ref(held);
    shelf_put(&shelf, make(2, &alive));
    shelf_put(&shelf, make(3, &alive)); /* the second was nobody's */
    assert_int_equal(alive, 2);
    held = shelf_renew(&shelf, held, &changed);
    assert_true(changed);
    assert_int_equal(held->value, 3);
    assert_int_equal(held->shelved.number, 3);
    assert_int_equal(began->twice, 2);
    shelved_unref(began);
    assert_int_equal(alive, 1);
    shelf_destroy(&shelf);
    assert_int_equal(alive, 1); /* who has it may read on */
    assert_int_equal(held->value, 3);
    shelved_unref(held);
    assert_int_equal(alive, 0);
}

/* Some look between turns, as workers do; others fetch the newest anew, as a scrape does. */
static void *read_on(void *argument)
{
    struct shelf *shelf = argument;
    struct set *held = NULL;
    uint64_t before = 0;
    while (before < CHANGES) {
        bool changed;
        held = shelf_renew(shelf, held, &changed);
        struct set *other = shelf_newest(shelf);
        if (held == NULL || other == NULL) {
            assert_null(held);
            shelved_unref(other);
            continue;
        }
        assert_true(changed ? held->shelved.number > before : held->shelved.number == before);
        assert_true(other->shelved.number >= held->shelved.number);
        assert_int_equal(held->twice, 2 * held->value);
        assert_int_equal(other->twice, 2 * other->value);
        before = held->shelved.number;
        shelved_unref(other);
    }
    shelved_unref(held);
    return NULL;
}

static void readers_see_whole_sets_in_order(void **state)
{
    (void)state;
    struct shelf shelf;
    pthread_t readers[READERS];
    _Atomic uint32_t alive = 0;
    shelf_init(&shelf);
    for (uint32_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, &shelf), 0);
    for (uint32_t i = 1; i <= CHANGES; i++) {
        shelf_put(&shelf, make(i, &alive));
        assert_true(alive <= READERS * 2 + 2);
        if (i % 16 == 0)
            sched_yield();
    }
    for (uint32_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    assert_int_equal(alive, 1);
    shelf_destroy(&shelf);
    assert_int_equal(alive, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_shelf_has_nothing_and_nothing_new),
        cmocka_unit_test(nothing_new_is_nothing_to_do),
        cmocka_unit_test(a_set_goes_with_the_last_who_began_under_it),
        cmocka_unit_test(readers_see_whole_sets_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
