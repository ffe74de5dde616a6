/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api/admin_users_body.h"
#include "daemon/api/call.h"
#include "tests/unit/api/doubles.h"

#define TODAY 20782u /* 2026-11-25 */
#define USERS "/admin/v1/users"
#define USAGE "/admin/v1/usage"
#define FEED  "{\"product\":\"chat\",\"users\":[\"alice\",\"bob\"]}"

static int setup(void **state)
{
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    world_init(world, true);
    world_open_admin(world);
    world->policy.feed_pieces = 1;
    world->policy.durable = 1000;
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    assert_int_equal(world->policy.feeds_open, 0);
    world_destroy(world);
    free(world);
    return 0;
}

static void ask(struct world *world, const char *method, const char *path, const char *key,
                const char *json)
{
    exchange_double_destroy(&world->exchange);
    exchange_double_init(&world->exchange, method, path);
    exchange_double_header(&world->exchange, "content-type", "application/json");
    if (key != NULL)
        exchange_double_header(&world->exchange, "authorization", key);
    exchange_double_ask(world->api, &world->exchange, json);
}

#define ADMIN "Bearer sk-admin-0123456789"

static void the_door_opens_to_admin_keys_alone_and_theirs_open_no_other(void **state)
{
    struct world *world = *state;
    const char *const wrong[] = {NULL, "Bearer ", "Basic sk-admin-0123456789",
                                 "Bearer sk-admin-012345678", "Bearer sk-admin-01234567890"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ask(world, "POST", USERS, wrong[i], FEED);
        assert_int_equal(world->exchange.status, 401);
        ask(world, "GET", USAGE, wrong[i], NULL);
        assert_int_equal(world->exchange.status, 401);
    }
    ask(world, "POST", USERS, "Bearer sk-one", FEED); /* known, and for something else */
    assert_int_equal(world->exchange.status, 403);
    assert_non_null(strstr(text_string(&world->exchange.headers),
                           "www-authenticate: Bearer error=\"insufficient_scope\", "
                           "scope=\"admin\"\n"));
    assert_int_equal(world->policy.feed_steps, 0);
    ask(world, "POST", USERS, ADMIN, FEED);
    assert_int_equal(world->exchange.status, 200);
    ask(world, "GET", "/v1/models", ADMIN, NULL);
    assert_int_equal(world->exchange.status, 403);
    ask(world, "GET", USERS, ADMIN, NULL);
    assert_int_equal(world->exchange.status, 405);
}

static void without_an_admin_key_there_is_no_such_path(void **state)
{
    struct world *world = *state;
    world->config.admin_key_count = 0;
    world_renew(world);
    ask(world, "POST", USERS, ADMIN, FEED);
    assert_int_equal(world->exchange.status, 404);
    world_expect_body(world, "{\"error\":{\"message\":\"no such path: /admin/v1/users\",\"type\":"
                             "\"invalid_request_error\",\"param\":null,\"code\":\"not_found\"}}");
    ask(world, "DELETE", USAGE, NULL, NULL); /* nor a method that would tell */
    assert_int_equal(world->exchange.status, 404);
}

static void at_a_public_door_there_is_no_such_path(void **state)
{
    struct world *world = *state;
    const unsigned doors[] = {EXCHANGE_DOOR_PUBLIC, EXCHANGE_DOOR_ADMIN};
    const uint32_t statuses[] = {404, 405};
    for (int i = 0; i < 2; i++) {
        exchange_double_destroy(&world->exchange);
        exchange_double_init(&world->exchange, "GET", USERS);
        exchange_double_header(&world->exchange, "authorization", ADMIN);
        world->exchange.door = doors[i];
        exchange_double_ask(world->api, &world->exchange, NULL);
        assert_int_equal(world->exchange.status, statuses[i]);
    }
}

static void accepted_is_said_once_all_pieces_are_on_disk(void **state)
{
    struct world *world = *state;
    world->policy.feed_pieces = 3;
    world->policy.durable = 0;
    ask(world, "POST", USERS, ADMIN, FEED);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(world->exchange.status, 0);
        assert_int_equal(world->policy.feed_steps, i + 1);
        assert_int_equal(atomic_load(&world->server.held), 1);
        api_wake(world->api); /* of another's commit: nothing moves */
        assert_int_equal(world->policy.feed_steps, i + 1);
        world->policy.durable = i + 1;
        api_wake(world->api);
    }
    assert_int_equal(world->exchange.status, 200);
    assert_int_equal(atomic_load(&world->server.held), 0);
    world_expect_body(world, "{\"object\":\"users.accepted\",\"product\":\"chat\",\"day\":"
                             "\"2023-11-14\",\"class\":\"asserted\",\"accepted\":1,\"ignored\":1}");
}

static void who_goes_away_meanwhile_leaves_nothing_behind(void **state)
{
    struct world *world = *state;
    world->policy.durable = 0;
    ask(world, "POST", USERS, ADMIN, FEED);
    assert_int_equal(world->policy.feeds_open, 1);
    exchange_double_go(world->api, &world->exchange);
    assert_int_equal(world->policy.feeds_open, 0);
    assert_int_equal(atomic_load(&world->server.held), 0);
    assert_int_equal(world->metrics.status, 499);
}

static void what_policy_refuses_has_a_status_of_its_own(void **state)
{
    struct world *world = *state;
    const struct {
        int error;
        uint32_t status;
    } cases[] = {{ERROR_INVALID, 400}, {ERROR_UNSUPPORTED, 400}, {ERROR_NOT_FOUND, 404},
                 {ERROR_REFUSED, 409}, {ERROR_BUSY, 507},        {ERROR_NO_MEMORY, 500},
                 {ERROR_IO, 500}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        world->policy.feed_error = cases[i].error;
        ask(world, "POST", USERS, ADMIN, FEED);
        assert_int_equal(world->exchange.status, cases[i].status);
        assert_non_null(strstr(text_string(&world->exchange.bytes), "\"param\":\"product\""));
        assert_int_equal(atomic_load(&world->server.held), 0);
    }
}

static void usage_is_of_this_month_or_of_one_before(void **state)
{
    struct world *world = *state;
    ask(world, "GET", USAGE, ADMIN, NULL);
    assert_int_equal(world->exchange.status, 200);
    const char *body = text_string(&world->exchange.bytes);
    assert_non_null(strstr(
        body, "\"month\":\"2023-11\",\"keys\":[{\"year\":2023,\"id\":\"0000000000c107d5\"}]"));
    assert_non_null(strstr(body, "\"headroom_ratio\":0.75,\"crossing_days_early\":30,\"crossing_"
                                 "days_early_date\":\"2023-12-14\",\"crossing_days\":null,"
                                 "\"crossing_days_date\":null,\"crossing_days_late\":\"never\""));
}

/* -- The body -- */

static int parse(const char *json, struct admin_users *users, struct fault *fault)
{
    return admin_users_parse(json, strlen(json), TODAY, users, fault);
}

static void each_form_is_read_with_its_own_members(void **state)
{
    (void)state;
    struct admin_users users;
    struct fault fault;
    assert_int_equal(parse("{\"product\":\"chat\",\"users\":[\" a \",\"\"],\"tenant\":\"acme\","
                           "\"issuer\":\"i\",\"class\":\"verified\",\"day\":\"2026-11-24\"}",
                           &users, &fault),
                     0);
    assert_int_equal(users.request.form, POLICY_FEED_USERS);
    assert_int_equal(users.request.count, 2);
    assert_int_equal(users.request.day, TODAY - 1);
    assert_int_equal(users.request.class, IDENTITY_VERIFIED);
    assert_string_equal(users.request.tenant, "acme");
    admin_users_destroy(&users);
    assert_int_equal(parse("{\"model\":\"m\",\"hashes\":[\"00c0ffee00c0ffee\"],"
                           "\"key_id\":\"000000000000004d\"}",
                           &users, &fault),
                     0);
    assert_true(users.request.hashes[0] == UINT64_C(0x00c0ffee00c0ffee));
    assert_true(users.request.key_id == 77);
    assert_int_equal(users.request.day, TODAY);
    assert_int_equal(users.request.class, IDENTITY_ASSERTED);
    admin_users_destroy(&users);
    assert_int_equal(parse("{\"product\":\"c\",\"sketch\":\"V1NLMQ+/\",\"key_id\":"
                           "\"000000000000004d\",\"sketch_users\":12}",
                           &users, &fault),
                     0);
    assert_int_equal(users.request.sketch_bytes, 6);
    assert_memory_equal(users.request.sketch, "WSK1\x0f\xbf", 6);
    assert_true(users.request.sketch_users == 12);
    admin_users_destroy(&users);
}

static void a_fault_names_the_member_and_the_index(void **state)
{
    (void)state;
    static const struct {
        const char *json, *param;
    } cases[] = {
        {"{}", "users"},
        {"{\"product\":\"c\",\"users\":[\"a\"],\"hashes\":[]}", "users"},
        {"{\"users\":[\"a\"]}", "product"},
        {"{\"product\":\"c\",\"users\":[]}", "users"},
        {"{\"product\":\"c\",\"users\":\"a\"}", "users"},
        {"{\"product\":\"c\",\"users\":[\"a\",\"b\",7]}", "users[2]"},
        {"{\"product\":\"c\",\"users\":[\"a\\u0000b\"]}", "users[0]"},
        {"{\"product\":\"c\",\"users\":[\"a\"],\"clas\":\"verified\"}", "clas"},
        {"{\"product\":\"c\",\"users\":[\"a\"],\"key_id\":\"0\"}", "key_id"},
        {"{\"product\":\"c\",\"users\":[\"a\"],\"class\":\"weak\"}", "class"},
        {"{\"product\":\"c\",\"users\":[\"a\"],\"day\":\"2026-02-30\"}", "day"},
        {"{\"product\":\"c\",\"users\":[\"a\"],\"day\":20260230}", "day"},
        {"{\"product\":\"c\\n\",\"users\":[\"a\"]}", "product"},
        {"{\"product\":7,\"users\":[\"a\"]}", "product"},
        {"{\"product\":\"c\",\"hashes\":[\"00c0ffee00c0ffee\"]}", "key_id"},
        {"{\"product\":\"c\",\"key_id\":\"000000000000004d\",\"hashes\":[\"00c0ffee00c0ffee\","
         "\"00C0FFEE00C0FFEE\"]}",
         "hashes[1]"},
        {"{\"product\":\"c\",\"key_id\":\"000000000000004d\",\"hashes\":[\"0000000000000000\"]}",
         "hashes[0]"},
        {"{\"product\":\"c\",\"key_id\":\"000000000000004d\",\"sketch\":\"!\"}", "sketch"},
        {"{\"product\":\"c\",\"key_id\":\"000000000000004d\",\"sketch\":\"V1NL\","
         "\"sketch_users\":-1}",
         "sketch_users"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct admin_users users;
        struct fault fault = {0};
        assert_int_equal(parse(cases[i].json, &users, &fault), -1);
        assert_int_equal(fault.status, 400);
        assert_string_equal(fault.param, cases[i].param);
    }
}

static void an_id_that_is_too_long_is_told_without_saying_it(void **state)
{
    (void)state;
    char json[700];
    struct admin_users users;
    struct fault fault;
    (void)snprintf(json, sizeof json, "{\"product\":\"c\",\"users\":[\"%0513d\"]}", 7);
    assert_int_equal(parse(json, &users, &fault), -1);
    assert_string_equal(fault.param, "users[0]");
    assert_null(strstr(fault.message, "0000"));
    (void)snprintf(json, sizeof json, "{\"product\":\"c\",\"users\":[\"  %0512d  \"]}", 7);
    assert_int_equal(parse(json, &users, &fault), 0);
    admin_users_destroy(&users);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_door_opens_to_admin_keys_alone_and_theirs_open_no_other,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(at_a_public_door_there_is_no_such_path, setup, teardown),
        cmocka_unit_test_setup_teardown(without_an_admin_key_there_is_no_such_path, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(accepted_is_said_once_all_pieces_are_on_disk, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(who_goes_away_meanwhile_leaves_nothing_behind, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_policy_refuses_has_a_status_of_its_own, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(usage_is_of_this_month_or_of_one_before, setup, teardown),
        cmocka_unit_test(each_form_is_read_with_its_own_members),
        cmocka_unit_test(a_fault_names_the_member_and_the_index),
        cmocka_unit_test(an_id_that_is_too_long_is_told_without_saying_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
