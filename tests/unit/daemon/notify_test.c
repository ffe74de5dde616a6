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
#include <sys/un.h>
#include <unistd.h>

#include "daemon/notify.h"

/* A service manager: a datagram socket, by a path or by an abstract name. */
struct manager {
    int fd;
    char folder[32];
    char name[108];
};

static void manager_open(struct manager *manager, bool abstract)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(manager->folder, sizeof manager->folder, "/tmp/weir-notify-XXXXXX");
    assert_non_null(mkdtemp(manager->folder));
    (void)snprintf(manager->name, sizeof manager->name, "%s%s/socket", abstract ? "@" : "",
                   manager->folder);
    memcpy(address.sun_path, manager->name, strlen(manager->name));
    size_t count = offsetof(struct sockaddr_un, sun_path) + strlen(manager->name);
    if (abstract)
        address.sun_path[0] = '\0';
    manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(manager->fd, (struct sockaddr *)&address, (socklen_t)count), 0);
}

static void manager_close(struct manager *manager)
{
    (void)close(manager->fd);
    (void)unlink(manager->name);
    assert_int_equal(rmdir(manager->folder), 0);
}

/* The next message is this; NULL: there is none. */
static void expect(const struct manager *manager, const char *lines)
{
    char got[NOTIFY_BYTES_MAX + 1] = "";
    ssize_t count = recv(manager->fd, got, sizeof got - 1, 0);
    if (lines == NULL)
        assert_int_equal(count, -1);
    else
        assert_string_equal(got, lines);
}

static struct notify *open_notify(const struct manager *manager, const char *watchdog_us)
{
    const struct notify_environment environment = {
        .socket = manager->name, .watchdog_us = watchdog_us, .pid = 42};
    struct notify *notify = notify_new(&environment, NULL);
    assert_non_null(notify);
    return notify;
}

static void each_turn_of_life_is_told(void **state)
{
    (void)state;
    for (int abstract = 0; abstract < 2; abstract++) {
        struct manager manager;
        manager_open(&manager, abstract);
        struct notify *notify = open_notify(&manager, NULL);
        notify_needs(notify, 90000000);
        expect(&manager, "EXTEND_TIMEOUT_USEC=90000000");
        notify_ready(notify);
        expect(&manager, "READY=1");
        notify_reloading(notify, 123456);
        expect(&manager, "RELOADING=1\nMONOTONIC_USEC=123456");
        notify_stopping(notify, 50000000);
        expect(&manager, "STOPPING=1\nEXTEND_TIMEOUT_USEC=50000000");
        notify_alive(notify, 5);
        expect(&manager, NULL); /* nobody watches */
        assert_int_equal(notify_watchdog_us(notify), 0);
        notify_free(notify);
        manager_close(&manager);
    }
}

static void a_status_is_one_line_and_told_once(void **state)
{
    (void)state;
    struct manager manager;
    manager_open(&manager, false);
    struct notify *notify = open_notify(&manager, NULL);
    notify_status(notify, "loading model %u of 2: %s", 1, "a\nREADY=1");
    expect(&manager, "STATUS=loading model 1 of 2: a READY=1");
    notify_status(notify, "loading model %u of 2: %s", 1, "a\nREADY=1");
    expect(&manager, NULL);
    notify_status(notify, "serving");
    expect(&manager, "STATUS=serving");
    notify_free(notify);
    manager_close(&manager);
}

static void the_watchdog_is_fed_in_time_and_not_more(void **state)
{
    (void)state;
    struct manager manager;
    manager_open(&manager, false);
    struct notify *notify = open_notify(&manager, "9000000");
    assert_int_equal(notify_watchdog_us(notify), 9000000);
    notify_alive(notify, 100000000);
    expect(&manager, "WATCHDOG=1");
    notify_alive(notify, 102999999);
    expect(&manager, NULL);
    notify_alive(notify, 103000000);
    expect(&manager, "WATCHDOG=1");
    notify_free(notify);
    manager_close(&manager);
}

static void another_process_has_its_own_watchdog(void **state)
{
    (void)state;
    struct manager manager;
    manager_open(&manager, false);
    struct notify_environment environment = {
        .socket = manager.name, .watchdog_us = "9000000", .watchdog_pid = "41", .pid = 42};
    struct notify *notify = notify_new(&environment, NULL);
    assert_int_equal(notify_watchdog_us(notify), 0);
    notify_free(notify);
    environment.watchdog_pid = "42";
    notify = notify_new(&environment, NULL);
    assert_int_equal(notify_watchdog_us(notify), 9000000);
    notify_free(notify);
    manager_close(&manager);
}

static void without_a_manager_nothing_is_told(void **state)
{
    (void)state;
    struct notify *notify = notify_new(&(struct notify_environment){.socket = ""}, NULL);
    assert_non_null(notify);
    notify_ready(notify);
    notify_status(notify, "serving");
    notify_alive(notify, 1);
    notify_free(notify);
    notify_free(NULL);
}

static void a_manager_that_is_away_or_full_is_not_waited_for(void **state)
{
    (void)state;
    struct manager manager;
    manager_open(&manager, false);
    struct notify *notify = open_notify(&manager, NULL);
    for (int i = 0; i < 100000; i++) /* far more than a socket holds */
        notify_ready(notify);
    manager_close(&manager);
    notify_ready(notify);
    notify_free(notify);
}

static void an_environment_that_cannot_be_is_refused(void **state)
{
    (void)state;
    char lengthy[200];
    memset(lengthy, 'a', sizeof lengthy - 1);
    lengthy[0] = '/';
    lengthy[sizeof lengthy - 1] = '\0';
    const struct notify_environment environments[] = {
        {.socket = "relative"},
        {.socket = "vsock:2:1234"},
        {.socket = lengthy},
        {.socket = "/run/x", .watchdog_us = "soon"},
        {.socket = "/run/x", .watchdog_us = "-1"},
        {.socket = "/run/x", .watchdog_us = "99999999999999999999999"},
        {.socket = "/run/x", .watchdog_pid = "4x"},
    };
    for (size_t i = 0; i < sizeof environments / sizeof environments[0]; i++) {
        struct error err = {0};
        assert_null(notify_new(&environments[i], &err));
        assert_int_equal(err.code, ERROR_INVALID);
    }
}

static void the_environment_is_taken_so_that_no_child_speaks_for_us(void **state)
{
    (void)state;
    struct notify_environment environment;
    assert_int_equal(setenv("NOTIFY_SOCKET", "/run/x", 1), 0);
    assert_int_equal(setenv("WATCHDOG_USEC", "7", 1), 0);
    notify_environment(&environment);
    assert_string_equal(environment.socket, "/run/x");
    assert_string_equal(environment.watchdog_us, "7");
    assert_int_equal(environment.pid, getpid());
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_turn_of_life_is_told),
        cmocka_unit_test(a_status_is_one_line_and_told_once),
        cmocka_unit_test(the_watchdog_is_fed_in_time_and_not_more),
        cmocka_unit_test(another_process_has_its_own_watchdog),
        cmocka_unit_test(without_a_manager_nothing_is_told),
        cmocka_unit_test(a_manager_that_is_away_or_full_is_not_waited_for),
        cmocka_unit_test(an_environment_that_cannot_be_is_refused),
        cmocka_unit_test(the_environment_is_taken_so_that_no_child_speaks_for_us),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
