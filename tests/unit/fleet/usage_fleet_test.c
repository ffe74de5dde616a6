/* SPDX-License-Identifier: Apache-2.0 */
/* usage's counters as the fleet lists, reads and joins them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/users/usage_fleet.h"
#include "policy/users/usage_inner.h"
#include "world.h"

#define TODAY   20485u
#define NOON_US ((int64_t)TODAY * DAY_SECONDS * SECOND_US + 43200 * SECOND_US)

struct fixture {
    char folder[64];
    struct secret secret;
    struct usage *usage;
    struct usage_scope *scope;
    struct usage_fleet *fleet;
    struct fleet_store store;
    uint32_t lookups;
    uint64_t teaches; /* the scope that a lookup learns of; 0: none */
};

static const struct usage_scope_name elsewhere = {
    .product = "search", .model = "large", .family = "weirs"};

static void find_name(void *argument, uint64_t scope)
{
    struct fixture *fixture = argument;
    fixture->lookups++;
    if (scope == fixture->teaches)
        assert_int_equal(usage_fleet_learn(fixture->fleet, scope, &elsewhere, NULL), 0);
}

static void begin(struct fixture *fixture)
{
    const struct usage_scope_name name = {.product = "chat", .model = "small", .family = ""};
    const struct usage_config config = {.folder = fixture->folder, .secret = &fixture->secret};
    fixture->usage = usage_new(&config, NULL);
    assert_non_null(fixture->usage);
    assert_int_equal(usage_scope_add(fixture->usage, &name, &fixture->scope, NULL), 0);
    usage_tick(fixture->usage, NOON_US);
    const struct usage_fleet_config fleet = {
        .usage = fixture->usage, .find_name = find_name, .argument = fixture};
    fixture->fleet = usage_fleet_new(&fleet, NULL);
    assert_non_null(fixture->fleet);
    fixture->store = usage_fleet_store(fixture->fleet);
}

static void end(struct fixture *fixture)
{
    usage_fleet_free(fixture->fleet);
    usage_free(fixture->usage);
}

static int before(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    (void)snprintf(fixture->folder, sizeof fixture->folder, "/tmp/weir-usage-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    assert_int_equal(secret_open(fixture->folder, NULL, &fixture->secret, NULL), 0);
    begin(fixture);
    *state = fixture;
    return 0;
}

static int after(void **state)
{
    struct fixture *fixture = *state;
    char command[128];
    end(fixture);
    (void)snprintf(command, sizeof command, "rm -r %s", fixture->folder);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

static void count(struct fixture *fixture, uint32_t day, uint64_t user)
{
    const struct usage_sight sight = {.class = IDENTITY_VERIFIED, .hashes = {user, user}};
    (void)usage_count(fixture->scope, day, &sight);
}

static struct sketch *crowd(uint64_t first, uint32_t users)
{
    struct sketch *sketch = sketch_new(SKETCH_P);
    assert_non_null(sketch);
    for (uint32_t i = 0; i < users; i++)
        assert_int_equal(sketch_add(sketch, first + i, NULL, NULL), 0);
    return sketch;
}

struct listed {
    uint32_t count;
    struct fleet_name names[8];
    uint64_t changes[8];
};

static int on_counter(void *argument, const struct fleet_name *name, uint64_t changes,
                      struct error *err)
{
    struct listed *listed = argument;
    uint32_t at = 0;
    (void)err;
    while (at < listed->count && listed->names[at].day != name->day)
        at++;
    assert_true(at < 8);
    listed->names[at] = *name;
    listed->changes[at] = changes;
    listed->count += at == listed->count ? 1 : 0;
    return 0;
}

static struct listed list(struct fixture *fixture)
{
    struct listed listed = {0};
    assert_int_equal(
        fixture->store.list(fixture->store.self, TODAY - 31, TODAY + 1, on_counter, &listed, NULL),
        0);
    return listed;
}

static double users_of(struct fixture *fixture, const struct fleet_name *name)
{
    struct sketch *sketch = NULL;
    struct sketch_count users = {0};
    int result = fixture->store.sketch(fixture->store.self, name, &sketch, NULL);
    assert_true(result == 0 || result == ERROR_NOT_FOUND);
    if (result == 0)
        sketch_count(sketch, &users);
    sketch_free(sketch);
    return users.value;
}

/* -- */

static void a_counter_that_changed_has_another_number(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(list(fixture).count, 0);
    count(fixture, TODAY, 1);
    struct listed first = list(fixture);
    assert_int_equal(first.count, 1);
    assert_true(first.names[0].day == TODAY && first.names[0].class == USAGE_VERIFIED);
    assert_true(list(fixture).changes[0] == first.changes[0]);
    count(fixture, TODAY, 2);
    assert_true(list(fixture).changes[0] > first.changes[0]);
    assert_true(users_of(fixture, &first.names[0]) == 2);
}

static void a_closed_day_takes_users_and_live_days_stay_where_they_are(void **state)
{
    struct fixture *fixture = *state;
    struct sketch *users = crowd(10, 5);
    count(fixture, TODAY, 1);
    const struct usage_day *live = usage_live_day(fixture->scope, TODAY);
    assert_non_null(live);
    struct fleet_name name = {.scope = fixture->scope->id, .class = USAGE_VERIFIED};
    for (name.day = TODAY - 1; name.day > TODAY - 9; name.day--)
        assert_int_equal(fixture->store.join(fixture->store.self, &name, users, NULL), 0);
    assert_true(usage_live_day(fixture->scope, TODAY) == live);
    for (name.day = TODAY - 1; name.day > TODAY - 9; name.day--) {
        assert_true(users_of(fixture, &name) == 5);
        assert_null(usage_open_day(fixture->scope, name.day));
    }
    sketch_free(users);
}

static void what_others_serve_is_kept_once_it_has_a_name(void **state)
{
    struct fixture *fixture = *state;
    struct sketch *users = crowd(10, 5);
    const uint64_t scope = usage_scope_id(fixture->usage, elsewhere.product, elsewhere.model);
    const struct fleet_name name = {.scope = scope, .day = TODAY, .class = USAGE_ASSERTED};
    assert_int_equal(fixture->store.join(fixture->store.self, &name, users, NULL), 0);
    assert_true(users_of(fixture, &name) == 0 && usage_fleet_unnamed(fixture->fleet) == 1);
    assert_int_equal(fixture->lookups, 1);
    assert_int_equal(usage_fleet_learn(fixture->fleet, scope + 1, &elsewhere, NULL), ERROR_INVALID);
    fixture->teaches = scope;
    assert_int_equal(fixture->store.join(fixture->store.self, &name, users, NULL), 0);
    assert_true(users_of(fixture, &name) == 5);
    end(fixture);
    begin(fixture); /* name and users are on disk */
    assert_true(users_of(fixture, &name) == 5);
    assert_int_equal(fixture->lookups, 2);
    sketch_free(users);
}

static void names_that_make_no_sense_change_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct sketch *users = crowd(10, 5);
    struct fleet_name name = {.scope = fixture->scope->id, .day = TODAY, .class = 15};
    assert_int_equal(fixture->store.join(fixture->store.self, &name, users, NULL), 0);
    assert_true(users_of(fixture, &name) == 0);
    name = (struct fleet_name){.scope = fixture->scope->id, .day = UINT32_MAX};
    assert_int_equal(fixture->store.join(fixture->store.self, &name, users, NULL), 0);
    assert_true(users_of(fixture, &name) == 0);
    assert_int_equal(list(fixture).count, 0);
    sketch_free(users);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_counter_that_changed_has_another_number, before, after),
        cmocka_unit_test_setup_teardown(a_closed_day_takes_users_and_live_days_stay_where_they_are,
                                        before, after),
        cmocka_unit_test_setup_teardown(what_others_serve_is_kept_once_it_has_a_name, before,
                                        after),
        cmocka_unit_test_setup_teardown(names_that_make_no_sense_change_nothing, before, after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
