/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "daemon/live.h"

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
    struct shelf shelf;
    bool changed;
    struct auth_identity identity;
    shelf_init(&shelf);
    shelf_put(&shelf, make("access: {api_keys: [{key: sk-first-key, tenant: one}]}"));
    struct live *held = shelf_newest(&shelf);
    assert_int_equal(ask_for(held->auth, "Bearer sk-first-key", &identity), AUTH_GRANTED);
    struct live *generation = live_ref(held);
    shelf_put(&shelf, make("access: {api_keys: [{key: sk-other-key, tenant: two}]}"));
    held = shelf_renew(&shelf, held, &changed);
    assert_true(changed);
    struct auth_identity other;
    assert_int_equal(ask_for(held->auth, "Bearer sk-first-key", &other), AUTH_UNKNOWN);
    assert_string_equal(identity.tenant, "one"); /* ASan watches */
    live_unref(generation);
    live_unref(held);
    shelf_destroy(&shelf);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_began_under_a_set_keeps_it),
        cmocka_unit_test(unsound_names_make_no_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
