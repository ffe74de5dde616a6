/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/config.h"
#include "daemon/config_keys.h"

static struct config *parse(const char *yaml)
{
    struct config *config = NULL;
    struct error err = {0};
    int result = config_parse_yaml("weir.yaml", yaml, strlen(yaml), &config, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(result, 0);
    return config;
}

static void expect_error(const char *yaml, const char *message)
{
    struct config *config = NULL;
    struct error err = {0};
    assert_int_equal(config_parse_yaml("weir.yaml", yaml, strlen(yaml), &config, &err),
                     ERROR_INVALID);
    assert_null(config);
    assert_string_equal(err.text, message);
}

#define ARGUMENTS_MAX 16
static int parse_arguments(const char *const *arguments, struct config **ret,
                           enum config_command *ret_command, struct error *err)
{
    char *argv[ARGUMENTS_MAX + 1] = {(char *)"weir"};
    int argc = 1;
    for (; arguments[argc - 1] != NULL; argc++)
        argv[argc] = (char *)arguments[argc - 1];
    return config_parse(argc, argv, ret, ret_command, err);
}
#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void empty_file_gives_the_defaults(void **state)
{
    (void)state;
    static const char *const empties[] = {"", "# nothing but words\n"};
    for (size_t i = 0; i < 2; i++) {
        struct config *config = parse(empties[i]);
        assert_string_equal(config->listen, "127.0.0.1");
        assert_int_equal(config->port, 8080);
        assert_int_equal(config->workers, 0);
        assert_int_equal(config->drain_timeout_ms, 30000);
        assert_int_equal(config->limits.body_bytes_max, 16u << 20);
        assert_true(config->prefix_cache);
        assert_false(config->share_prefixes);
        assert_string_equal(config->user_header, "x-user-id");
        assert_string_equal(config->user_headers, "");
        assert_string_equal(config->jwt_keys_file, "");
        assert_string_equal(config->jwt_claim, "sub");
        assert_string_equal(config->jwt_header, "authorization");
        assert_string_equal(config->gateway_header, "x-weir-user");
        assert_string_equal(config->gateway_secret_file, "");
        assert_string_equal(config->state_folder, "");
        assert_int_equal(config->log_level, LOG_LEVEL_INFO);
        config_free(config);
    }
}

static void every_kind_of_value_is_read(void **state)
{
    (void)state;
    struct config *config = parse("server:\n"
                                  "  listen: '::1'\n"
                                  "  port: 0\n"
                                  "  drain_timeout: 5m\n"
                                  "  stall_timeout: 1500ms\n"
                                  "  tls: {certificate: c.pem, key: k.pem}\n"
                                  "  limits:\n"
                                  "    body: 2MB\n"
                                  "models:\n"
                                  "  - path: /m/a.b.gguf\n"
                                  "  - {id: other, path: b.bin, license: mit}\n"
                                  "engine:\n"
                                  "  kv_memory: 2GiB\n"
                                  "  context: auto\n"
                                  "  prefix_cache: false\n"
                                  "  prefix_sharing: all\n"
                                  "access:\n"
                                  "  api_keys:\n"
                                  "    - {key: sk-0123456789, tenant: acme}\n"
                                  "    - key: sk-abcdefgh\n"
                                  "log: {level: debug, format: json}\n");
    assert_string_equal(config->listen, "::1");
    assert_int_equal(config->port, 0);
    assert_int_equal(config->drain_timeout_ms, 300000);
    assert_int_equal(config->stall_timeout_ms, 1500);
    assert_string_equal(config->tls.certificate, "c.pem");
    assert_string_equal(config->tls.key, "k.pem");
    assert_int_equal(config->limits.body_bytes_max, 2000000);
    assert_int_equal(config->model_count, 2);
    assert_string_equal(config->models[0].id, "a.b");
    assert_string_equal(config->models[0].path, "/m/a.b.gguf");
    assert_string_equal(config->models[0].license, "");
    assert_string_equal(config->models[1].id, "other");
    assert_string_equal(config->models[1].license, "mit");
    assert_true(config->kv_memory_bytes == UINT64_C(2) << 30);
    assert_int_equal(config->context, 0);
    assert_false(config->prefix_cache);
    assert_true(config->share_prefixes);
    assert_int_equal(config->api_key_count, 2);
    assert_string_equal(config->api_keys[0].tenant, "acme");
    assert_string_equal(config->api_keys[1].tenant, "");
    assert_int_equal(config->log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(config->log_format, LOG_FORMAT_JSON);
    config_free(config);
}

static void trusted_proxies_are_networks(void **state)
{
    (void)state;
    struct config *config = parse("server:\n"
                                  "  proxy_protocol: on\n"
                                  "  trusted_header: forwarded\n"
                                  "  trusted_proxies: [10.0.0.0/8, unix, '2001:db8::7']\n");
    assert_true(config->proxy_protocol);
    assert_int_equal(config->trust.by, FORWARDED_BY_RFC);
    assert_int_equal(config->trust.proxies.count, 2);
    assert_int_equal(config->trust.proxies.networks[0].prefix, 104);
    assert_int_equal(config->trust.proxies.networks[1].prefix, 128);
    assert_true(config->trust.proxies.unix_too);
    config_free(config);
    expect_error("server:\n  trusted_proxies:\n    - 10.0.0.0/8\n    - 10.0.0.1/8\n",
                 "weir.yaml:4: server.trusted_proxies[1]: '10.0.0.1/8' has bits set behind its "
                 "first 8: give the network's own address, or fewer bits");
    expect_error("server:\n  proxy_protocol: yes\n",
                 "weir.yaml:2: server.proxy_protocol: expected one of off, on, got 'yes'");
}

static void listeners_are_of_three_kinds(void **state)
{
    (void)state;
    struct config *config = parse("server:\n"
                                  "  listeners:\n"
                                  "    - port: 9090\n"
                                  "    - {address: '::', port: 0, tls: yes, proxy_protocol: on}\n"
                                  "    - {unix: /run/weir/weir.sock, mode: 0600}\n"
                                  "    - {activation: weir, tls: no}\n");
    assert_int_equal(config->listener_count, 4);
    const struct config_listener *listener = config->listeners;
    assert_string_equal(listener[0].address, "127.0.0.1");
    assert_int_equal(listener[0].port, 9090);
    assert_string_equal(listener[0].unix_path, "");
    assert_string_equal(listener[0].activation, "");
    assert_int_equal(listener[0].tls, CONFIG_DOOR_AUTO);
    assert_false(listener[0].proxy_protocol);
    assert_string_equal(listener[1].address, "::");
    assert_int_equal(listener[1].tls, CONFIG_DOOR_YES);
    assert_true(listener[1].proxy_protocol);
    assert_string_equal(listener[2].address, "");
    assert_string_equal(listener[2].unix_path, "/run/weir/weir.sock");
    assert_int_equal(listener[2].mode, 0600);
    assert_string_equal(listener[3].activation, "weir");
    assert_int_equal(listener[3].mode, 0660);
    assert_int_equal(listener[3].tls, CONFIG_DOOR_NO);
    config_free(config);
}

static void a_listener_is_of_one_kind(void **state)
{
    static const char *const cases[][2] = {
        {"{tls: no}", "expected one of port (with or without address), unix and activation"},
        {"{port: 1, unix: /a}", "expected one of port"},
        {"{unix: /a, activation: b}", "expected one of port"},
        {"{address: '::1'}", "an address needs a port beside it"},
        {"{port: 1, mode: 0600}", "mode: is of a unix socket alone"},
        {"{unix: /a, mode: 1777}", "mode: expected permissions such as 0660, got '1777'"},
        {"{unix: /a, mode: rw}", "mode: expected permissions"},
        {"{unix: ''}", "unix: must not be empty"},
        {"{port: 65536}", "port: expected an integer from 0 to 65535"},
        {"{port: 1, tls: maybe}", "tls: expected one of auto, yes, no, got 'maybe'"},
        {"{port: 1, proxy: on}", "unknown key"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char yaml[256];
        struct config *config = NULL;
        struct error err = {0};
        int count = snprintf(yaml, sizeof yaml, "server:\n  listeners:\n    - %s\n", cases[i][0]);
        assert_int_equal(config_parse_yaml("weir.yaml", yaml, (size_t)count, &config, &err),
                         ERROR_INVALID);
        assert_non_null(strstr(err.text, "weir.yaml:3: server.listeners[0]"));
        if (strstr(err.text, cases[i][1]) == NULL)
            fail_msg("'%s' does not say '%s'", err.text, cases[i][1]);
    }
}

static void listeners_are_at_different_places(void **state)
{
    static const char *const cases[][2] = {
        {"{listen: ''}", "server.listen: is empty, and server.listeners too"},
        {"{port: 9, listeners: [{port: 9}]}", "server.listeners[0]: a listener before it"},
        {"{listeners: [{unix: a}, {unix: a}]}", "server.listeners[1]: a listener before it"},
        {"{listeners: [{activation: a}, {activation: a}]}", "server.listeners[1]: a listener"},
        {"{listeners: [{port: 1, tls: yes}]}", "server.listeners[0].tls: needs server.tls"},
        {"{port: 0, listeners: [{port: 0}, {port: 0}, {unix: a}, {activation: a}]}", ""},
        {"{listen: '', listeners: [{activation: a}]}", ""},
        {"{admin: yes}", "all are 'admin: yes'"},
        {"{listen: '', listeners: [{port: 1, admin: yes}]}", "all are 'admin: yes'"},
        {"{admin: also}", ""},
        {"{admin: yes, listeners: [{port: 1}]}", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char yaml[256];
        struct error err = {0};
        (void)snprintf(yaml, sizeof yaml, "server: %s\n", cases[i][0]);
        struct config *config = parse(yaml);
        assert_int_equal(config_check_listeners(config, &err), cases[i][1][0] == '\0' ? 0 : -1);
        if (strstr(err.text, cases[i][1]) == NULL)
            fail_msg("'%s' does not say '%s'", err.text, cases[i][1]);
        config_free(config);
    }
}

static void value_error_names_file_line_key_and_remedy(void **state)
{
    (void)state;
    expect_error("engine:\n  threads: 2\n  max_step_tokens: lots\n",
                 "weir.yaml:3: engine.max_step_tokens: expected an integer from 16 to 65536, got "
                 "'lots'");
    expect_error("server:\n  port: 65536\n",
                 "weir.yaml:2: server.port: expected an integer from 0 to 65535, got '65536'");
    expect_error("\n\nserver:\n  limits:\n    header_timeout: 5 s\n",
                 "weir.yaml:5: server.limits.header_timeout: expected a duration such as 30s from "
                 "100ms to 1h, got '5 s'");
    expect_error("engine: {kv_memory: 12}\n",
                 "weir.yaml:1: engine.kv_memory: expected a size such as 512MiB from 1MiB to "
                 "64TiB or auto, got '12'");
    expect_error("engine: {kv_memory: 99999999999999999999}\n",
                 "weir.yaml:1: engine.kv_memory: expected a size such as 512MiB from 1MiB to "
                 "64TiB or auto, got '99999999999999999999'");
    expect_error("log:\n  level: loud\n",
                 "weir.yaml:2: log.level: expected one of debug, info, warn, error, got 'loud'");
    expect_error("engine:\n  device: ''\n", "weir.yaml:2: engine.device: must not be empty");
    expect_error("engine:\n  threads: -1\n", "weir.yaml:2: engine.threads: expected an integer "
                                             "from 1 to 1024 or auto, got '-1'");
}

static void shape_error_names_file_line_key_and_remedy(void **state)
{
    (void)state;
    expect_error("server:\n  listen: a\n  prot: 1\n",
                 "weir.yaml:3: server.prot: unknown key; did you mean 'port'?");
    expect_error("sever:\n  port: 1\n", "weir.yaml:1: sever: unknown key; did you mean 'server'?");
    expect_error("server:\n  port: 1\n  banana: 1\n",
                 "weir.yaml:3: server.banana: unknown key; config/weir.yaml lists all keys");
    expect_error("models:\n  - path: a\n  - pth: b\n",
                 "weir.yaml:3: models[1].pth: unknown key; did you mean 'path'?");
    expect_error("models:\n  - path: a\n  - id: b\n",
                 "weir.yaml:3: models[1]: 'path' is missing; add it");
    expect_error("server:\n  port: 1\n  port: 2\n",
                 "weir.yaml:3: server.port: given twice; keep one");
    expect_error("server: 8080\n", "weir.yaml:1: server: expected keys and values below it");
    expect_error("server:\n  port: [1, 2]\n", "weir.yaml:2: server.port: expected a single value");
    expect_error("models: m.gguf\n",
                 "weir.yaml:1: models: expected a list, each entry after a '- '");
    expect_error("- a\n", "weir.yaml:1: expected keys and values below it");
    expect_error("server:\n  listen: &a x\n  port: *a\n",
                 "weir.yaml:3: server.port: aliases (*name) are not taken; write the value out");
}

static void broken_yaml_names_its_line(void **state)
{
    (void)state;
    expect_error("server:\n\tport: 1\n",
                 "weir.yaml:2: not YAML: found character that cannot start any token");
    struct config *config = NULL;
    struct error err = {0};
    const char *open = "server:\n  port: 1\n  listen: 'x\n";
    assert_int_equal(config_parse_yaml("w", open, strlen(open), &config, &err), ERROR_INVALID);
    assert_non_null(strstr(err.text, "not YAML"));
}

static void lists_refuse_doubles(void **state)
{
    (void)state;
    expect_error("models:\n  - path: /a/m.gguf\n  - path: /b/m.gguf\n",
                 "weir.yaml:3: models[1]: the id 'm' is taken; give each model its own");
    expect_error("access:\n  api_keys:\n    - key: sk-01234567\n    - key: sk-01234567\n",
                 "weir.yaml:4: access.api_keys[1]: the same key is listed twice");
    expect_error("access:\n  api_keys:\n    - key: short\n",
                 "weir.yaml:3: access.api_keys[0]: expected a key of 8 to 512 bytes, got 5");
}

static void admin_keys_are_longer_and_no_clients(void **state)
{
    (void)state;
    struct config *config = parse("access:\n  admin_keys:\n    - key: an-admin-key-0123\n"
                                  "    - {key: an-admin-key-4567, name: ops}\n");
    assert_int_equal(config->admin_key_count, 2);
    assert_string_equal(config->admin_keys[0].name, "admin-1");
    assert_string_equal(config->admin_keys[1].name, "ops");
    config_free(config);
    expect_error("access:\n  admin_keys:\n    - key: long-0123456789ab\n      name: a b\n",
                 "weir.yaml:3: access.admin_keys[0]: expected a name of 1 to 64 letters, digits, - "
                 "or _");
    expect_error("access:\n  admin_keys:\n    - key: sk-01234567\n",
                 "weir.yaml:3: access.admin_keys[0]: expected a key of 16 to 512 bytes, got 11");
    expect_error("access:\n  admin_keys:\n    - key: sk-0123456789abcdef\n  api_keys:\n"
                 "    - key: sk-0123456789abcdef\n",
                 "weir.yaml:3: access.admin_keys[0]: the key is in access.api_keys too, so that a "
                 "client could open the admin door; give it one of its own");
    expect_error("access:\n  admin_keys:\n    - key: an-admin-key-0123\n"
                 "    - key: an-admin-key-0123\n",
                 "weir.yaml:4: access.admin_keys[1]: the same key is listed twice");
}

static void webhooks_and_products_are_read(void **state)
{
    (void)state;
    struct config *config =
        parse("models:\n  - {path: a.gguf, product: chat}\n  - path: b.gguf\n"
              "users: {trust_asserted: true, keep_days: 120, final_hours: 72}\n"
              "alerts:\n  webhooks:\n    - {url: 'https://example.com/a', secret_file: s}\n"
              "    - {url: 'http://127.0.0.1:9/b', secret_file: t, name: counsel}\n");
    assert_string_equal(config->models[0].product, "chat");
    assert_string_equal(config->models[1].product, "");
    assert_true(config->trust_asserted);
    assert_int_equal(config->keep_days, 120);
    assert_int_equal(config->final_hours, 72);
    assert_int_equal(config->webhook_count, 2);
    assert_string_equal(config->webhooks[0].name, "webhook-1");
    assert_string_equal(config->webhooks[0].url, "https://example.com/a");
    assert_string_equal(config->webhooks[1].name, "counsel");
    assert_string_equal(config->webhooks[1].secret_file, "t");
    config_free(config);
}

static void tenants_are_found_by_name_and_others_by_a_star(void **state)
{
    (void)state;
    struct config *config = parse("tenants:\n  - {name: zoo, priority: -7, weight: 2.5}\n"
                                  "  - {name: acme, models: [a, b]}\n  - name: mill\n");
    assert_int_equal(config->tenant_count, 3);
    const struct config_tenant *acme = config_tenant(config, "acme");
    assert_string_equal(acme->name, "acme");
    assert_true(config_tenant_may_use(acme, "b"));
    assert_false(config_tenant_may_use(acme, "c"));
    assert_true(acme->weight == 1.0f && acme->priority == 0);
    assert_int_equal(config_tenant(config, "zoo")->priority, -7);
    assert_true(config_tenant(config, "zoo")->weight == 2.5f);
    assert_true(config_tenant_may_use(config_tenant(config, "zoo"), "c"));
    assert_string_equal(config_tenant(config, "else")->name, "");
    config_free(config);
    config = parse("tenants:\n  - {name: '*', priority: 3}\n  - {name: acme}\n");
    assert_int_equal(config_tenant(config, "")->priority, 3);
    assert_int_equal(config_tenant(config, "acme")->priority, 0);
    config_free(config);
}

static void a_tenant_has_its_own_limits_or_those_of_all(void **state)
{
    (void)state;
    struct config *config =
        parse("limits: {requests_per_minute: 60, concurrent_requests: 4}\n"
              "tenants:\n  - {name: acme, requests_per_minute: 0, tokens_per_minute: 200000000}\n");
    struct tenant_rates acme = config_tenant_rates(config, config_tenant(config, "acme"));
    assert_int_equal(acme.requests, 0);
    assert_int_equal(acme.tokens, 200000000);
    assert_int_equal(acme.concurrent, 4);
    struct tenant_rates other = config_tenant_rates(config, config_tenant(config, "other"));
    assert_int_equal(other.requests, 60);
    assert_int_equal(other.tokens, 0);
    config_free(config);
    expect_error("tenants:\n  - {name: a, tokens_per_minute: 200000001}\n",
                 "weir.yaml:2: tenants[0]: tokens_per_minute: expected an integer from 0 to "
                 "200000000, got '200000001'");
}

static void tenant_error_names_its_line(void **state)
{
    (void)state;
    expect_error("tenants:\n  - name: a\n  - name: a\n",
                 "weir.yaml:3: tenants[1]: the tenant 'a' is listed twice; keep one");
    expect_error("tenants:\n  - {name: a, priority: 1001}\n",
                 "weir.yaml:2: tenants[0]: priority: expected an integer from -1000 to 1000, got "
                 "'1001'");
    expect_error("tenants:\n  - {name: a, priority: 1.5}\n",
                 "weir.yaml:2: tenants[0]: priority: expected an integer from -1000 to 1000, got "
                 "'1.5'");
    expect_error("tenants:\n  - {name: a, weight: 0}\n",
                 "weir.yaml:2: tenants[0]: weight: expected a number from 0.01 to 1000, got '0'");
    expect_error("tenants:\n  - {name: a, weight: nan}\n",
                 "weir.yaml:2: tenants[0]: weight: expected a number from 0.01 to 1000, got 'nan'");
    expect_error("tenants:\n  - {name: ''}\n",
                 "weir.yaml:2: tenants[0]: name: expected 1 to 128 bytes without control "
                 "characters");
    expect_error("tenants:\n  - models: [a]\n",
                 "weir.yaml:2: tenants[0]: 'name' is missing; add it");
    expect_error("tenants:\n  - {name: a, models: ['']}\n",
                 "weir.yaml:2: tenants[0]: models: expected the ids of models");
}

static void clock_skew_is_a_minute_at_most(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        uint32_t ms;
    } good[] = {{"log: {level: info}\n", 2000},
                {"users: {clock_skew: 0s}\n", 0},
                {"users: {clock_skew: 250ms}\n", 250},
                {"users: {clock_skew: 60s}\n", 60000}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct config *config = parse(good[i].yaml);
        assert_int_equal(config->clock_skew_ms, good[i].ms);
        config_free(config);
    }
    expect_error("users:\n  clock_skew: 61s\n",
                 "weir.yaml:2: users.clock_skew: expected a duration such as 30s from 0ms to 1m, "
                 "got '61s'");
}

static void a_fleet_is_read_and_off_by_default(void **state)
{
    (void)state;
    struct config *config = parse("{}\n");
    assert_string_equal(config->fleet_redis, "");
    assert_string_equal(config->fleet_prefix, "weir");
    assert_int_equal(config->fleet_sync_ms, 5000);
    config_free(config);
    config = parse("fleet: {redis: '127.0.0.1:6379', redis_user: weir, prefix: a, sync: 500ms,\n"
                   "        redis_password_file: /etc/weir/redis}\n");
    assert_string_equal(config->fleet_redis, "127.0.0.1:6379");
    assert_string_equal(config->fleet_redis_user, "weir");
    assert_string_equal(config->fleet_redis_password_file, "/etc/weir/redis");
    assert_string_equal(config->fleet_prefix, "a");
    assert_int_equal(config->fleet_sync_ms, 500);
    config_free(config);
    expect_error("fleet:\n  sync: 1ms\n",
                 "weir.yaml:2: fleet.sync: expected a duration such as 30s "
                 "from 100ms to 1h, got '1ms'");
}

static void webhook_error_names_its_line(void **state)
{
    (void)state;
#define HOOKS "alerts:\n  webhooks:\n"
    expect_error(HOOKS "    - url: https://example.com/a\n",
                 "weir.yaml:3: alerts.webhooks[0]: 'secret_file' is missing; add it");
    expect_error(HOOKS "    - {url: 'https://a.example', secret_file: ''}\n",
                 "weir.yaml:3: alerts.webhooks[0]: expected the path of a secret_file");
    expect_error(HOOKS "    - {url: 'http://a.example', secret_file: s}\n",
                 "weir.yaml:3: alerts.webhooks[0]: url: http to another machine is read by all "
                 "between; use https");
    expect_error(HOOKS "    - {url: 'https://a.example', secret_file: s, name: a}\n"
                       "    - {url: 'https://b.example', secret_file: s, name: a}\n",
                 "weir.yaml:4: alerts.webhooks[1]: the name 'a' is taken; give each its own");
    expect_error(HOOKS "    - {url: 'https://a.example', secret_file: s, name: a b}\n",
                 "weir.yaml:3: alerts.webhooks[0]: expected a name of 1 to 64 letters, digits, - "
                 "or _");
}

static void left_out_declaration_is_undeclared(void **state)
{
    (void)state;
    static const char *const sections[] = {"", "operator:\n", "operator: {}\n",
                                           "operator: {name: Acme}\n"};
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        struct config *config = parse(sections[i]);
        assert_non_null(config->declaration);
        assert_int_equal(config->declaration->production, UNDECLARED);
        assert_int_equal(config->declaration->business_types, 0);
        assert_int_equal(config->declaration->organisation_mau_count, 0);
        assert_int_equal(config->declaration->interpretation, INTERPRETATION_CONSERVATIVE);
        assert_string_equal(config->declaration->domicile, "");
        assert_string_equal(config->declaration->name, i == 3 ? "Acme" : "");
        config_free(config);
    }
}

static void declaration_is_read_and_outlives_the_file(void **state)
{
    (void)state;
    struct config *config = parse("licenses: {folder: /etc/weir/licenses}\n"
                                  "operator:\n"
                                  "  domicile: DE\n"
                                  "  production: yes\n"
                                  "  business_types: [model_as_a_service]\n"
                                  "  user_regions: [EU, KR]\n"
                                  "  organisation_mau:\n"
                                  "    - {month: 2026-10, users: 120000}\n"
                                  "  interpretation: literal\n"
                                  "  acknowledge:\n"
                                  "    - {condition: mrl-0.1/research-only, reference: C-7}\n");
    const struct declaration *declaration = config->declaration;
    assert_string_equal(config->licenses_folder, "/etc/weir/licenses");
    assert_string_equal(declaration->domicile, "DE");
    assert_int_equal(declaration->production, DECLARED_YES);
    assert_int_equal(declaration->commercial, UNDECLARED);
    assert_int_equal(declaration->business_types, BUSINESS_MODEL_AS_A_SERVICE);
    assert_int_equal(declaration->user_region_count, 2);
    assert_string_equal(declaration->user_regions[1], "KR");
    assert_int_equal(declaration->organisation_mau[0].users, 120000);
    assert_int_equal(declaration->interpretation, INTERPRETATION_LITERAL);
    assert_string_equal(declaration->acknowledge[0].reference, "C-7");
    assert_string_equal(declaration->acknowledge[0].signer, "");
    config_free(config);
}

static void declaration_error_names_its_line(void **state)
{
    (void)state;
    struct config *config = NULL;
    struct error err = {0};
    static const struct {
        const char *yaml, *start;
    } rows[] = {
        {"operator:\n  domicle: DE\n",
         "weir.yaml:2: operator.domicle: unknown key; did you mean 'domicile'?"},
        {"operator:\n  domicile: Germany\n", "weir.yaml:2: operator.domicile: "},
        {"operator:\n  organisation_mau:\n    - {month: 2026-10, users: 5}\n"
         "    - {month: 2026-13, users: 5}\n",
         "weir.yaml:4: operator.organisation_mau[1].month: "},
        {"operator:\n  acknowledge:\n    - condition: a/b\n      reference: ' '\n",
         "weir.yaml:4: operator.acknowledge[0].reference: "},
        {"operator: yes\n", "weir.yaml:1: operator: expected keys and values below it"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(
            config_parse_yaml("weir.yaml", rows[i].yaml, strlen(rows[i].yaml), &config, &err),
            ERROR_INVALID);
        if (strncmp(err.text, rows[i].start, strlen(rows[i].start)) != 0)
            fail_msg("'%s' does not begin '%s'", err.text, rows[i].start);
    }
}

static void file_that_is_only_read_needs_no_model(void **state)
{
    (void)state;
    char path[] = "/tmp/weir-config-XXXXXX";
    static const char yaml[] = "operator: {production: no}\n";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, yaml, sizeof yaml - 1), sizeof yaml - 1);
    close(fd);
    struct config *config = NULL;
    struct error err = {0};
    assert_int_equal(config_read(path, &config, &err), 0);
    assert_int_equal(config->model_count, 0);
    assert_string_equal(config->path, path);
    assert_int_equal(config->declaration->production, DECLARED_NO);
    config_free(config);
    unlink(path);
    config = NULL;
    assert_int_equal(config_read(path, &config, &err), ERROR_NOT_FOUND);
    assert_null(config);
}

static void flags_win_over_the_file(void **state)
{
    (void)state;
    char path[] = "/tmp/weir-config-XXXXXX";
    static const char yaml[] = "server: {port: 1, listen: 0.0.0.0}\nmodels: [{path: a.gguf}]\n";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, yaml, sizeof yaml - 1), sizeof yaml - 1);
    close(fd);
    struct config *config = NULL;
    struct error err = {0};
    enum config_command command;
    assert_int_equal(
        parse_arguments(ARGUMENTS("serve", "--port=2", "--config", path, "--context", "512"),
                        &config, &command, &err),
        0);
    assert_int_equal(config->port, 2);
    assert_string_equal(config->listen, "0.0.0.0");
    assert_int_equal(config->context, 512);
    assert_string_equal(config->models[0].id, "a");
    config_free(config);
    assert_int_equal(parse_arguments(ARGUMENTS("--config", path, "--model", "x/b.gguf", "--model",
                                               "c=/d=e/f.gguf"),
                                     &config, &command, &err),
                     0);
    assert_int_equal(config->model_count, 2);
    assert_string_equal(config->models[0].id, "b");
    assert_string_equal(config->models[1].id, "c");
    assert_string_equal(config->models[1].path, "/d=e/f.gguf");
    config_free(config);
    unlink(path);
}

static void expect_arguments_error(const char *const *arguments, int code, const char *message)
{
    struct config *config = NULL;
    struct error err = {0};
    enum config_command command;
    assert_int_equal(parse_arguments(arguments, &config, &command, &err), code);
    assert_null(config);
    assert_string_equal(err.text, message);
}

static void command_line_errors_say_whose_fault_it_is(void **state)
{
    (void)state;
    expect_arguments_error(ARGUMENTS("--prot", "1"), ERROR_UNSUPPORTED,
                           "--prot: unknown; weir --help lists the flags");
    expect_arguments_error(ARGUMENTS("--port"), ERROR_UNSUPPORTED,
                           "--port: expected a value after it");
    expect_arguments_error(ARGUMENTS("--port", "x", "--model", "m"), ERROR_UNSUPPORTED,
                           "--port: expected an integer from 0 to 65535, got 'x'");
    expect_arguments_error(ARGUMENTS("serve"), ERROR_UNSUPPORTED,
                           "command line: no model: give --model PATH, or a list under models:");
    expect_arguments_error(ARGUMENTS("--config", "/nonexistent.yaml"), ERROR_NOT_FOUND,
                           "/nonexistent.yaml: No such file or directory");
    expect_arguments_error(ARGUMENTS("--model", "folder/"), ERROR_UNSUPPORTED,
                           "--model: expected the path of a GGUF file, got 'folder/'");
}

static void commands_are_recognised(void **state)
{
    (void)state;
    static const struct {
        const char *flag;
        enum config_command command;
    } rows[] = {{"--help", CONFIG_HELP}, {"-h", CONFIG_HELP}, {"--version", CONFIG_VERSION}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct config *config = NULL;
        enum config_command command = CONFIG_SERVE;
        assert_int_equal(parse_arguments(ARGUMENTS(rows[i].flag), &config, &command, NULL), 0);
        assert_int_equal(command, rows[i].command);
        config_free(config);
    }
}

/* The example is the documentation of the keys: it must load, hold the defaults, and name all. */
static void example_holds_every_key_and_its_default(void **state)
{
    (void)state;
    struct config *example = NULL;
    struct error err = {0};
    enum config_command command;
    int result = parse_arguments(ARGUMENTS("--config", "config/weir.yaml", "--check"), &example,
                                 &command, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(result, 0);
    struct config *defaults = parse("");
    for (uint32_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        const char *a = (const char *)example + key->offset;
        const char *b = (const char *)defaults + key->offset;
        if (key->kind == CONFIG_TEXT)
            assert_string_equal(*(char *const *)a, *(char *const *)b);
        else
            assert_memory_equal(a, b,
                                key->kind == CONFIG_BYTES ? 8
                                : key->kind == CONFIG_U16 ? 2
                                : key->kind == CONFIG_SWITCH || key->kind == CONFIG_SHARING ||
                                        key->kind == CONFIG_ON_OFF
                                    ? 1
                                    : 4);
    }
    config_free(defaults);
    config_free(example);
    FILE *file = fopen("config/weir.yaml", "re");
    static char text[65536];
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    (void)fclose(file);
    for (uint32_t i = 0; i < config_key_count; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, " %s: ", config_keys[i].name);
        if (strstr(text, line) == NULL)
            fail_msg("config/weir.yaml says nothing of %s", config_keys[i].name);
    }
    for (const cyaml_schema_field_t *field = declaration_fields(); field->key != NULL; field++) {
        char line[64];
        (void)snprintf(line, sizeof line, "\n  %s: ", field->key);
        if (strstr(text, line) == NULL)
            fail_msg("config/weir.yaml says nothing of operator.%s", field->key);
    }
}

static void a_share_is_a_decimal_from_0_to_1(void **state)
{
    (void)state;
    static const struct {
        const char *written;
        uint32_t millionths;
    } sound[] = {{"0", 0},        {"1", 1000000},   {"1.0", 1000000},    {"0.01", 10000},
                 {"0.000001", 1}, {"0.25", 250000}, {"0.999999", 999999}};
    static const char *const broken[] = {"-1",        "1.1",  "2", "0.",  ".5",
                                         "0.0000001", "0.5x", "",  "1e-3"};
    for (size_t i = 0; i < sizeof sound / sizeof sound[0]; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "access_log:\n  sample: %s\n", sound[i].written);
        struct config *config = parse(text);
        assert_int_equal(config->access_sample, sound[i].millionths);
        config_free(config);
    }
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        char text[64];
        struct config *config = NULL;
        struct error err = {0};
        (void)snprintf(text, sizeof text, "access_log:\n  sample: \"%s\"\n", broken[i]);
        assert_int_not_equal(config_parse_yaml("t", text, strlen(text), &config, &err), 0);
        assert_non_null(strstr(err.text, "sample"));
        assert_non_null(strstr(err.text, "a share from 0 to 1"));
    }
}

static void what_a_failed_load_does_is_read(void **state)
{
    (void)state;
    struct config *config = parse("models:\n  - {path: a.gguf, on_failure: retry, retry_max: 90s}\n"
                                  "  - {path: b.gguf, on_failure: retry}\n"
                                  "  - {path: d.gguf, on_failure: exit, retry_max: ''}\n");
    assert_true(config->models[0].retries);
    assert_int_equal(config->models[0].retry_max_ms, 90000);
    assert_int_equal(config->models[1].retry_max_ms, 300000);
    assert_false(config->models[2].retries);
    config_free(config);
    expect_error("models:\n  - {path: a.gguf, on_failure: again}\n",
                 "weir.yaml:2: models[0]: on_failure: expected one of exit, retry, got 'again'");
    expect_error("models:\n  - {path: a.gguf, on_failure: retry, retry_max: 25h}\n",
                 "weir.yaml:2: models[0]: retry_max: expected a duration such as 30s from 1s to "
                 "24h, got '25h'");
    expect_error("models:\n  - {path: a.gguf, retry_max: 1m}\n",
                 "weir.yaml:2: models[0]: retry_max: needs 'on_failure: retry' beside it");
}

static void enforcement_is_read_and_a_cap_needs_its_mode(void **state)
{
    (void)state;
    struct config *config = parse("users: {enforce: attribute, enforce_on: best, cap_open: 7}\n"
                                  "models:\n  - {path: a.gguf, enforce: cap, cap: 300}\n"
                                  "  - {path: b.gguf}\n");
    assert_int_equal(config->enforce, POLICY_ENFORCE_ATTRIBUTE);
    assert_int_equal(config->enforce_on, POLICY_VIEW_BEST);
    assert_int_equal(config->cap_open, 7);
    assert_true(config->models[0].has_enforcement);
    assert_int_equal(config->models[0].enforcement, POLICY_ENFORCE_CAP);
    assert_int_equal(config->models[0].cap_users, 300);
    assert_false(config->models[1].has_enforcement);
    config_free(config);
    static const char *const wrong[][2] = {
        {"models:\n  - {path: a.gguf, enforce: block}\n",
         "enforce: expected one of alert, attribute, cap, refuse, got 'block'"},
        {"models:\n  - {path: a.gguf, cap: 300}\n", "cap: needs 'enforce: cap' beside it"},
        {"models:\n  - {path: a.gguf, enforce: cap, cap: 0}\n", "cap: expected users from 1 to"},
        {"users: {enforce_on: most}\n", "expected one of lower, best, upper, got 'most'"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct error err = {0};
        struct config *none = NULL;
        assert_int_not_equal(
            config_parse_yaml("weir.yaml", wrong[i][0], strlen(wrong[i][0]), &none, &err), 0);
        if (strstr(err.text, wrong[i][1]) == NULL || strstr(err.text, "weir.yaml") == NULL)
            fail_msg("%s", err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listeners_are_of_three_kinds),
        cmocka_unit_test(a_listener_is_of_one_kind),
        cmocka_unit_test(listeners_are_at_different_places),
        cmocka_unit_test(trusted_proxies_are_networks),
        cmocka_unit_test(empty_file_gives_the_defaults),
        cmocka_unit_test(a_share_is_a_decimal_from_0_to_1),
        cmocka_unit_test(enforcement_is_read_and_a_cap_needs_its_mode),
        cmocka_unit_test(what_a_failed_load_does_is_read),
        cmocka_unit_test(every_kind_of_value_is_read),
        cmocka_unit_test(value_error_names_file_line_key_and_remedy),
        cmocka_unit_test(shape_error_names_file_line_key_and_remedy),
        cmocka_unit_test(broken_yaml_names_its_line),
        cmocka_unit_test(lists_refuse_doubles),
        cmocka_unit_test(admin_keys_are_longer_and_no_clients),
        cmocka_unit_test(webhooks_and_products_are_read),
        cmocka_unit_test(tenants_are_found_by_name_and_others_by_a_star),
        cmocka_unit_test(a_tenant_has_its_own_limits_or_those_of_all),
        cmocka_unit_test(tenant_error_names_its_line),
        cmocka_unit_test(clock_skew_is_a_minute_at_most),
        cmocka_unit_test(a_fleet_is_read_and_off_by_default),
        cmocka_unit_test(webhook_error_names_its_line),
        cmocka_unit_test(left_out_declaration_is_undeclared),
        cmocka_unit_test(declaration_is_read_and_outlives_the_file),
        cmocka_unit_test(declaration_error_names_its_line),
        cmocka_unit_test(file_that_is_only_read_needs_no_model),
        cmocka_unit_test(flags_win_over_the_file),
        cmocka_unit_test(command_line_errors_say_whose_fault_it_is),
        cmocka_unit_test(commands_are_recognised),
        cmocka_unit_test(example_holds_every_key_and_its_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
