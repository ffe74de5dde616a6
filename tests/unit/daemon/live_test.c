/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "daemon/live.h"

#define READERS 4u
#define CHANGES 200u

static struct config *parse(const char *yaml)
{
    struct config *config = NULL;
    struct error err = {0};
    assert_int_equal(config_parse_yaml("weir.yaml", yaml, strlen(yaml), &config, &err), 0);
    return config;
}

static struct live *make(const char *yaml)
{
    struct config *config = parse(yaml);
    struct live *live = live_new(config, NULL);
    assert_non_null(live);
    config_free(config); /* the set has a reference of its own */
    return live;
}

static enum auth_outcome ask_for(const struct auth *auth, const char *header,
                                 struct auth_identity *ret)
{
    const struct auth_question question = {
        .authorization = header, .scope = SCOPE_INFERENCE, .now_unix = 1};
    return auth_check(auth, NULL, &question, ret);
}

static void what_began_under_a_set_keeps_it(void **state)
{
    (void)state;
    struct live_shelf shelf;
    struct auth_identity identity;
    struct live *held = NULL;
    live_shelf_init(&shelf);
    live_shelf_put(&shelf, make("access: {api_keys: [{key: sk-first-key, tenant: one}]}"));
    assert_true(live_shelf_renew(&shelf, &held));
    assert_int_equal(ask_for(held->auth, "Bearer sk-first-key", &identity), AUTH_GRANTED);
    struct live *generation = live_ref(held);
    live_shelf_put(&shelf, make("access: {api_keys: [{key: sk-other-key, tenant: two}]}"));
    assert_true(live_shelf_renew(&shelf, &held));
    assert_int_equal(held->number, 2);
    struct auth_identity other;
    assert_int_equal(ask_for(held->auth, "Bearer sk-first-key", &other), AUTH_UNKNOWN);
    assert_string_equal(identity.tenant, "one"); /* ASan watches */
    live_unref(generation);
    live_unref(held);
    live_shelf_destroy(&shelf);
}

static void nothing_new_is_nothing_to_do(void **state)
{
    (void)state;
    struct live_shelf shelf;
    struct live *held = NULL;
    live_shelf_init(&shelf);
    assert_null(live_shelf_newest(&shelf));
    live_shelf_put(&shelf, make("server: {port: 1}"));
    assert_true(live_shelf_renew(&shelf, &held));
    assert_false(live_shelf_renew(&shelf, &held));
    live_unref(held);
    live_shelf_destroy(&shelf);
}

static void unsound_names_make_no_set(void **state)
{
    (void)state;
    struct error err = {0};
    struct config *config = parse("users: {headers: 'not a header'}");
    assert_null(live_new(config, &err));
    assert_int_equal(err.code, ERROR_INVALID);
    assert_int_equal(config->references, 1);
    config_free(config);
}

static void *read_on(void *argument)
{
    struct live_shelf *shelf = argument;
    struct live *held = NULL;
    uint64_t before = 0;
    while (before < CHANGES) {
        if (!live_shelf_renew(shelf, &held))
            continue;
        assert_true(held->number > before);
        before = held->number;
        assert_non_null(held->config->user_header);
    }
    live_unref(held);
    return NULL;
}

static void readers_see_whole_sets_in_order(void **state)
{
    (void)state;
    struct live_shelf shelf;
    pthread_t readers[READERS];
    live_shelf_init(&shelf);
    live_shelf_put(&shelf, make("server: {port: 1}"));
    for (uint32_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, &shelf), 0);
    for (uint32_t i = 1; i < CHANGES; i++)
        live_shelf_put(&shelf, make("server: {port: 2}"));
    for (uint32_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    live_shelf_destroy(&shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_began_under_a_set_keeps_it),
        cmocka_unit_test(nothing_new_is_nothing_to_do),
        cmocka_unit_test(unsound_names_make_no_set),
        cmocka_unit_test(readers_see_whole_sets_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
