/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/address_table.h"

static struct address of(const char *text)
{
    struct address address;
    assert_true(address_parse(text, strlen(text), &address));
    return address;
}

static struct address numbered(uint32_t number)
{
    struct address address;
    const uint8_t bytes[4] = {10, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number};
    address_set_v4(&address, bytes);
    return address;
}

static void each_address_has_as_many_as_may(void **state)
{
    (void)state;
    struct address_table *table = address_table_new(NULL);
    struct address one = of("192.0.2.1"), two = of("192.0.2.2");
    assert_true(address_table_add(table, &one, 2));
    assert_true(address_table_add(table, &one, 2));
    assert_false(address_table_add(table, &one, 2));
    assert_true(address_table_add(table, &two, 2));
    assert_int_equal(address_table_count(table), 2);
    address_table_remove(table, &one);
    assert_true(address_table_add(table, &one, 2));
    assert_true(address_table_add(table, &one, 3)); /* a reload may raise it */
    for (int i = 0; i < 3; i++)
        address_table_remove(table, &one);
    address_table_remove(table, &two);
    assert_int_equal(address_table_count(table), 0);
    address_table_free(table);
}

static void an_ipv6_client_is_its_slash_64_and_a_mapped_ipv4_itself(void **state)
{
    (void)state;
    struct address_table *table = address_table_new(NULL);
    struct address one = of("2001:db8:1:2::1"), neighbour = of("2001:db8:1:2:ffff::9");
    struct address other = of("2001:db8:1:3::1");
    struct address mapped = of("::ffff:192.0.2.1"), next = of("192.0.2.2");
    assert_true(address_table_add(table, &one, 1));
    assert_false(address_table_add(table, &neighbour, 1));
    assert_true(address_table_add(table, &other, 1));
    assert_true(address_table_add(table, &mapped, 1));
    assert_true(address_table_add(table, &next, 1));
    address_table_remove(table, &neighbour);
    assert_true(address_table_add(table, &one, 1));
    const struct address *const all[] = {&one, &other, &mapped, &next};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        address_table_remove(table, all[i]);
    address_table_free(table);
}

static void who_must_wait_waits_so_long(void **state)
{
    (void)state;
    struct address_table *table = address_table_new(NULL);
    struct address one = of("2001:db8:1:2::1"), neighbour = of("2001:db8:1:2:ffff::9");
    struct address other = of("2001:db8:1:3::1");
    assert_false(address_table_paused(table, &one, 0));
    address_table_pause(table, &one, 1000);
    assert_true(address_table_paused(table, &one, 999));
    assert_true(address_table_paused(table, &neighbour, 999));
    assert_false(address_table_paused(table, &other, 999));
    assert_false(address_table_paused(table, &one, 1000));
    address_table_free(table);
}

/* Each is remembered, or another has its place: nobody waits who was not told to. */
static void many_who_wait_push_each_other_out(void **state)
{
    (void)state;
    struct address_table *table = address_table_new(NULL);
    uint32_t remembered = 0;
    for (uint32_t i = 0; i < 2 * ADDRESS_PAUSES_MAX; i++) {
        struct address address = numbered(i);
        assert_false(address_table_paused(table, &address, 0));
        address_table_pause(table, &address, 1);
        assert_true(address_table_paused(table, &address, 0));
    }
    for (uint32_t i = 0; i < 2 * ADDRESS_PAUSES_MAX; i++) {
        struct address address = numbered(i);
        remembered += address_table_paused(table, &address, 0);
    }
    assert_in_range(remembered, ADDRESS_PAUSES_MAX / 2, ADDRESS_PAUSES_MAX);
    address_table_free(table);
}

static void all_together_have_as_many_as_may(void **state)
{
    (void)state;
    struct address_table *table = address_table_new(NULL);
    assert_true(address_table_open(table, 2));
    assert_true(address_table_open(table, 2));
    assert_false(address_table_open(table, 2));
    address_table_close(table);
    assert_true(address_table_open(table, 2));
    address_table_close(table);
    address_table_close(table);
    address_table_free(table);
}

#define ADDRESSES  3000u
#define OPERATIONS 60000u

/* Against plain counts, whatever is added and removed in whatever order. */
static void it_counts_as_an_array_would(void **state)
{
    (void)state;
    struct address_table *table = address_table_new(NULL);
    uint32_t *counts = calloc(ADDRESSES, sizeof *counts);
    uint64_t random = 88172645463325252u;
    assert_non_null(counts);
    for (uint32_t i = 0; i < OPERATIONS; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        uint32_t number = (uint32_t)(random % ADDRESSES);
        struct address address = numbered(number);
        bool adds = (random >> 40) % (i < OPERATIONS / 2 ? 3 : 4) > 1 || counts[number] == 0;
        if (!adds) {
            address_table_remove(table, &address);
            counts[number]--;
        } else {
            assert_int_equal(address_table_add(table, &address, 3), counts[number] < 3);
            counts[number] += counts[number] < 3;
        }
        if (i % 1000 == 0)
            address_table_check(table);
    }
    uint32_t used = 0;
    for (uint32_t i = 0; i < ADDRESSES; i++)
        used += counts[i] > 0;
    assert_int_equal(address_table_count(table), used);
    for (uint32_t i = 0; i < ADDRESSES; i++) {
        struct address address = numbered(i);
        while (counts[i]-- > 0)
            address_table_remove(table, &address);
    }
    address_table_check(table);
    free(counts);
    address_table_free(table);
}

#define THREADS 4

static void *race_main(void *argument)
{
    struct address_table *table = argument;
    for (uint32_t i = 0; i < 5000; i++) {
        struct address address = numbered(i % 97);
        if (!address_table_open(table, 3))
            continue;
        if (address_table_add(table, &address, 2))
            address_table_remove(table, &address);
        address_table_close(table);
    }
    return NULL;
}

static void after_a_race_of_workers_it_is_empty(void **state)
{
    (void)state;
    struct address_table *table = address_table_new(NULL);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, race_main, table), 0);
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    address_table_check(table);
    assert_int_equal(address_table_count(table), 0);
    address_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_address_has_as_many_as_may),
        cmocka_unit_test(an_ipv6_client_is_its_slash_64_and_a_mapped_ipv4_itself),
        cmocka_unit_test(who_must_wait_waits_so_long),
        cmocka_unit_test(many_who_wait_push_each_other_out),
        cmocka_unit_test(all_together_have_as_many_as_may),
        cmocka_unit_test(it_counts_as_an_array_would),
        cmocka_unit_test(after_a_race_of_workers_it_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
