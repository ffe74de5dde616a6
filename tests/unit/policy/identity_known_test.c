/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "policy/users/calendar.h"
#include "policy/users/identity_known.h"
#include "tests/unit/policy/scratch.h"

#define NOV_28 20785u /* 2026-11-28 */

struct fixture {
    char folder[SCRATCH_PATH_BYTES];
    struct identity_known *known;
};

/* Keyed hashes look like this. */
static uint64_t hash_of(uint64_t number)
{
    uint64_t z = (number + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static void open_at(struct fixture *fixture, uint64_t key_id, uint32_t day)
{
    struct error err = {0};
    fixture->known = identity_known_new(fixture->folder, key_id, &err);
    assert_non_null(fixture->known);
    assert_int_equal(identity_known_turn(fixture->known, day, &err), 0);
    assert_string_equal(err.text, "");
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    scratch_make(fixture->folder);
    open_at(fixture, 1, NOV_28);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    identity_known_free(fixture->known);
    scratch_remove(fixture->folder);
    free(fixture);
    return 0;
}

static void turn(struct fixture *fixture, uint32_t day)
{
    assert_int_equal(identity_known_turn(fixture->known, day, NULL), 0);
}

static uint32_t add(struct fixture *fixture, uint64_t first, uint32_t count)
{
    uint32_t found = 0;
    for (uint64_t i = first; i < first + count; i++)
        found += identity_known_add(fixture->known, hash_of(i));
    return found;
}

static bool exists(const struct fixture *fixture, const char *name)
{
    char path[SCRATCH_PATH_BYTES + 32];
    struct stat status;
    (void)snprintf(path, sizeof path, "%s/%s", fixture->folder, name);
    return stat(path, &status) == 0;
}

static void id_is_new_once_over_days_months_and_restarts(void **state)
{
    struct fixture *fixture = *state;
    assert_true(identity_known_chance(fixture->known) == 1.0F);
    assert_int_equal(add(fixture, 0, 1000), 1000);
    assert_int_equal(add(fixture, 0, 1000), 0);
    turn(fixture, NOV_28 + 1);
    assert_int_equal(add(fixture, 0, 1000), 0);
    turn(fixture, NOV_28 + 3); /* December */
    assert_int_equal(add(fixture, 0, 1000), 0);
    identity_known_free(fixture->known);
    open_at(fixture, 1, NOV_28 + 3);
    assert_int_equal(add(fixture, 0, 1001), 1);
}

static void what_two_months_did_not_see_is_new_again(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(add(fixture, 0, 100), 100);
    turn(fixture, NOV_28 + 3);
    assert_int_equal(add(fixture, 0, 50), 0); /* and so they are December's too */
    turn(fixture, NOV_28 + 34);               /* January */
    assert_int_equal(add(fixture, 0, 100), 50);
    assert_false(exists(fixture, "known-202611.wcn"));
    assert_true(exists(fixture, "known-202612.wcn"));
    assert_true(exists(fixture, "known-202701.wcn"));
}

static void clock_that_goes_back_over_midnight_turns_nothing(void **state)
{
    struct fixture *fixture = *state;
    turn(fixture, NOV_28 + 3);
    assert_int_equal(add(fixture, 0, 100), 100);
    turn(fixture, NOV_28 + 2);
    assert_int_equal(add(fixture, 0, 100), 0);
}

static void another_key_knows_nobody(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(add(fixture, 0, 100), 100);
    identity_known_free(fixture->known);
    open_at(fixture, 2, NOV_28);
    assert_int_equal(add(fixture, 0, 100), 100);
}

/* Each that is found stands for 1/chance: of new ids all are accounted for, of old ones none. */
static void chance_accounts_for_those_that_registers_miss(void **state)
{
    struct fixture *fixture = *state;
    double expected = 0;
    uint32_t found = 0;
    (void)add(fixture, 0, 1000000);
    turn(fixture, NOV_28);
    assert_true(identity_known_chance(fixture->known) < 0.6F);
    for (uint32_t i = 0; i < 100; i++) {
        expected += 1000 * (double)identity_known_chance(fixture->known);
        found += add(fixture, 2000000 + 1000 * i, 1000);
        turn(fixture, NOV_28);
    }
    assert_true(fabs(found - expected) < 4 * sqrt(expected));
    assert_int_equal(add(fixture, 0, 1000000), 0);
    turn(fixture, NOV_28 + 3); /* the same ids, now those of the month before */
    assert_int_equal(add(fixture, 0, 10000), 0);
    assert_true(identity_known_chance(fixture->known) < 0.6F);
}

static void joined_ids_are_known(void **state)
{
    struct fixture *fixture = *state;
    struct sketch *others = sketch_new(SKETCH_P);
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(sketch_add(others, hash_of(i), NULL, NULL), 0);
    assert_int_equal(identity_known_join(fixture->known, others, NULL), 0);
    assert_int_equal(add(fixture, 50, 100), 50);
    sketch_free(others);
}

static void without_a_file_nothing_is_asked(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct identity_known *known = identity_known_new("/nonexistent/folder", 1, &err);
    assert_non_null(known);
    assert_int_not_equal(identity_known_turn(known, NOV_28, &err), 0);
    assert_true(identity_known_chance(known) == 0.0F);
    assert_false(identity_known_add(known, hash_of(1)));
    identity_known_free(known);
    (void)fixture;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(id_is_new_once_over_days_months_and_restarts, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_two_months_did_not_see_is_new_again, setup, teardown),
        cmocka_unit_test_setup_teardown(clock_that_goes_back_over_midnight_turns_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(another_key_knows_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(chance_accounts_for_those_that_registers_miss, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(joined_ids_are_known, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_file_nothing_is_asked, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
