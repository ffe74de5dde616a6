/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/doors.h"

static char folder[64];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/weir-doors-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* The configuration of a server section; %s in it is the folder. */
static struct config *configured(const char *format)
{
    char yaml[1024];
    struct config *config = NULL;
    struct error err = {0};
    int count = snprintf(yaml, sizeof yaml, format, folder);
    int result = config_parse_yaml("weir.yaml", yaml, (size_t)count, &config, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(result, 0);
    return config;
}

static bool is_listening(int fd)
{
    int listening = 0;
    socklen_t count = sizeof listening;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &count) == 0 && listening;
}

static void every_worker_has_a_socket_of_every_door(void **state)
{
    (void)state;
    struct config *config = configured("server:\n"
                                       "  port: 0\n"
                                       "  tls: {certificate: c.pem, key: k.pem}\n"
                                       "  proxy_protocol: on\n"
                                       "  listeners:\n"
                                       "    - {port: 0, tls: no}\n"
                                       "    - {unix: %s/weir.sock}\n");
    struct error err = {0};
    struct doors *doors = doors_open(config, 2, &err);
    assert_string_equal(err.text, "");
    assert_non_null(doors);
    assert_int_not_equal(doors_port(doors), 0);
    struct doors_way way;
    doors_way(doors, &way);
    assert_int_equal(strncmp(way.url, "https://127.0.0.1:", 18), 0);
    assert_true(way.proxy_protocol);
    assert_null(way.unix_path);
    for (uint32_t worker = 0; worker < 2; worker++) {
        struct listener_door taken[LISTENER_DOORS_MAX];
        assert_int_equal(doors_take(doors, worker, taken), 3);
        const struct listener_door *first = &taken[0], *second = &taken[1], *local = &taken[2];
        assert_true(first->tls && first->proxy_protocol && !first->shared);
        assert_true(!second->tls && !second->proxy_protocol && !second->shared);
        assert_true(!local->tls && !local->proxy_protocol && local->shared);
        for (int i = 0; i < 3; i++) {
            assert_true(is_listening(taken[i].fd));
            close(taken[i].fd);
        }
    }
    char path[96];
    (void)snprintf(path, sizeof path, "%s/weir.sock", folder);
    assert_int_equal(access(path, F_OK), 0);
    doors_close(doors);
    assert_int_equal(access(path, F_OK), -1);
    config_free(config);
}

static void an_admin_door_takes_what_is_inside_from_the_others(void **state)
{
    static const struct {
        const char *yaml;
        unsigned serves[3];
    } cases[] = {
        {"{port: 0}", {EXCHANGE_DOOR_PUBLIC | EXCHANGE_DOOR_ADMIN}},
        {"{port: 0, admin: no}", {EXCHANGE_DOOR_PUBLIC}},
        {"{port: 0, listeners: [{port: 0, admin: yes}, {port: 0}]}",
         {EXCHANGE_DOOR_PUBLIC, EXCHANGE_DOOR_ADMIN, EXCHANGE_DOOR_PUBLIC}},
        {"{port: 0, admin: also, listeners: [{port: 0, admin: yes}, {port: 0, admin: no}]}",
         {EXCHANGE_DOOR_PUBLIC | EXCHANGE_DOOR_ADMIN, EXCHANGE_DOOR_ADMIN, EXCHANGE_DOOR_PUBLIC}},
        {"{port: 0, admin: yes, listeners: [{port: 0}]}",
         {EXCHANGE_DOOR_ADMIN, EXCHANGE_DOOR_PUBLIC}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char yaml[256];
        (void)snprintf(yaml, sizeof yaml, "server: %s\n#%%s\n", cases[i].yaml);
        struct config *config = configured(yaml);
        struct doors *doors = doors_open(config, 1, NULL);
        struct listener_door taken[LISTENER_DOORS_MAX];
        struct doors_way way;
        assert_non_null(doors);
        doors_way(doors, &way);
        uint32_t count = doors_take(doors, 0, taken);
        for (uint32_t d = 0; d < count; d++) {
            assert_int_equal(taken[d].serves, cases[i].serves[d]);
            close(taken[d].fd);
        }
        assert_int_equal(count, config->listener_count + 1);
        doors_close(doors);
        config_free(config);
    }
}

static void a_unix_socket_alone_is_a_way_in(void **state)
{
    (void)state;
    struct config *config = configured("server:\n  listen: ''\n  listeners:\n"
                                       "    - {unix: %s/weir.sock, mode: '0600'}\n");
    struct doors *doors = doors_open(config, 1, NULL);
    assert_non_null(doors);
    struct doors_way way;
    doors_way(doors, &way);
    assert_string_equal(way.url, "http://localhost");
    assert_non_null(strstr(way.unix_path, "/weir.sock"));
    assert_int_equal(doors_port(doors), 0);
    doors_close(doors); /* sockets that no worker took are closed */
    config_free(config);
}

static void what_cannot_be_opened_leaves_nothing_behind(void **state)
{
    (void)state;
    struct config *config = configured("server:\n  port: 0\n  listeners:\n"
                                       "    - {unix: %s/weir.sock}\n"
                                       "    - {activation: weir}\n");
    struct error err = {0};
    assert_null(doors_open(config, 2, &err));
    assert_non_null(strstr(err.text, "systemd passed no socket 'weir'"));
    config_free(config);
    char path[96];
    (void)snprintf(path, sizeof path, "%s/weir.sock", folder);
    assert_int_equal(access(path, F_OK), -1);
}

static void a_port_in_use_is_refused(void **state)
{
    (void)state;
    uint16_t port;
    int fd = listener_bind("127.0.0.1", 0, &port, NULL);
    char format[128];
    (void)snprintf(format, sizeof format, "server:\n  port: 0\n  listeners: [{port: %u}]\n#%%s\n",
                   port);
    struct config *config = configured(format);
    struct error err = {0};
    assert_null(doors_open(config, 1, &err));
    assert_int_equal(err.code, ERROR_BUSY);
    assert_non_null(strstr(err.text, "is in use"));
    config_free(config);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_worker_has_a_socket_of_every_door),
        cmocka_unit_test(an_admin_door_takes_what_is_inside_from_the_others),
        cmocka_unit_test(a_unix_socket_alone_is_a_way_in),
        cmocka_unit_test(what_cannot_be_opened_leaves_nothing_behind),
        cmocka_unit_test(a_port_in_use_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
