/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "daemon/config_changes.h"
#include "daemon/config_keys.h"

static struct config *parse(const char *yaml)
{
    struct config *config = NULL;
    struct error err = {0};
    int result = config_parse_yaml("weir.yaml", yaml, strlen(yaml), &config, &err);
    if (result != 0)
        fail_msg("%s", err.text);
    return config;
}

static void expect(const char *runs, const char *read, const char *keys)
{
    struct config *before = parse(runs), *after = parse(read);
    struct text out;
    text_init(&out);
    config_restart_keys(before, after, &out);
    assert_string_equal(text_string(&out), keys);
    text_destroy(&out);
    config_free(before);
    config_free(after);
}

static void nothing_else_is_nothing_to_restart_for(void **state)
{
    (void)state;
    const char *all = "models: [{path: a.gguf, license: mit}, {path: b.gguf}]\n"
                      "server: {listeners: [{unix: /run/x}]}\n"
                      "alerts: {webhooks: [{url: 'https://a/', secret_file: /s}]}\n";
    expect("", "", "");
    expect(all, all, "");
}

static void what_is_live_waits_for_nothing(void **state)
{
    (void)state;
    expect("",
           "server: {drain_timeout: 1s, stall_timeout: 1s, limits: {connections: 7}}\n"
           "limits: {requests_per_minute: 9}\n"
           "log: {level: debug, format: json}\n"
           "users: {header: x-me, certificate: san}\n"
           "access: {api_keys: [{key: sk-0123456789, tenant: a}]}\n"
           "operator: {production: true}\n",
           "");
    expect("server: {tls: {certificate: a, key: b}}",
           "server: {tls: {certificates: [{certificate: c, key: d}], client_auth: optional}}", "");
}

static void what_waits_is_named_in_the_tables_order(void **state)
{
    (void)state;
    expect("", "engine: {device: cpu, prefix_cache: false}\nserver: {port: 9, workers: 3}\n",
           "server.port,server.workers,engine.device,engine.prefix_cache");
    expect("", "server: {tls: {certificate: a, key: b}}", "server.tls");
    expect("users: {jwt_issuer: a}", "users: {jwt_issuer: b}", "users.jwt_issuer");
    expect("models: [{path: a.gguf}]", "models: [{path: a.gguf}, {path: b.gguf}]", "models");
    expect("models: [{path: a.gguf}]", "models: [{path: a.gguf, license: mit}]", "models");
    expect("models: [{path: a.gguf}]", "models: [{path: a.gguf, on_failure: retry}]", "models");
    expect("server: {listeners: [{unix: /run/x}]}", "server: {listeners: [{unix: /run/y}]}",
           "server.listeners");
    expect("", "server: {tls: {certificate: a, key: b}}", "server.tls");
    expect("", "alerts: {webhooks: [{url: 'https://a/', secret_file: /s}]}", "alerts.webhooks");
}

/* One that changes is told, whatever its kind: at least the text, and each width of a number. */
static void every_key_of_the_table_is_compared(void **state)
{
    (void)state;
    const char *tls = "server: {tls: {certificate: a, key: b}}"; /* to begin it is another change */
    uint32_t named = 0;
    for (uint32_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        struct config *before = parse(tls), *after = parse(tls);
        char *place = (char *)after + key->offset;
        if (key->kind == CONFIG_TEXT)
            assert_int_equal(config_key_set(after, key, "else", NULL), 0);
        else if (key->kind == CONFIG_SWITCH || key->kind == CONFIG_ON_OFF ||
                 key->kind == CONFIG_SHARING)
            *(bool *)place = !*(bool *)place;
        else
            *place ^= 1;
        char expected[128] = "";
        if (!config_is_live(key->section, key->name))
            (void)snprintf(expected, sizeof expected, "%s.%s", key->section, key->name);
        named += expected[0] != '\0';
        struct text out;
        text_init(&out);
        config_restart_keys(before, after, &out);
        assert_string_equal(text_string(&out), expected);
        text_destroy(&out);
        config_free(before);
        config_free(after);
    }
    assert_in_range(named, 10, config_key_count - 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_else_is_nothing_to_restart_for),
        cmocka_unit_test(what_is_live_waits_for_nothing),
        cmocka_unit_test(what_waits_is_named_in_the_tables_order),
        cmocka_unit_test(every_key_of_the_table_is_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
