/* SPDX-License-Identifier: Apache-2.0 */
/* Who gets on and who does not, and when the service manager hears that all do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/notify.h"
#include "daemon/watch.h"
#include "daemon/worker.h"
#include "tests/unit/server/stage.h"

#define SECOND_US  UINT64_C(1000000)
#define TIMEOUT_MS 2000u

static void a_counter_that_moves_gets_on(void **state)
{
    (void)state;
    struct watch_pulse pulse = {0};
    assert_int_equal(watch_pulse_still_us(&pulse, 0, 50 * SECOND_US), 0); /* the first look */
    assert_int_equal(watch_pulse_still_us(&pulse, 0, 53 * SECOND_US), 3 * SECOND_US);
    assert_int_equal(watch_pulse_still_us(&pulse, 1, 54 * SECOND_US), 0);
    assert_int_equal(watch_pulse_still_us(&pulse, 1, 55 * SECOND_US), SECOND_US);
    assert_int_equal(watch_pulse_still_us(&pulse, 1, 54 * SECOND_US), 0); /* no clock goes back */
}

static void await_turns(struct server *server, uint64_t count)
{
    for (uint32_t i = 0; i < server->worker_count; i++)
        while (atomic_load(&server->workers[i].turns) < count)
            sched_yield();
}

/* The worker's thread waits in api_wake(), as it would in a loop without an end. */
static void a_worker_that_hangs_is_told_and_so_is_its_return(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = stage_start(fixture);
    assert_true(watch_all(server, TIMEOUT_MS, 10 * SECOND_US)); /* rings all */
    await_turns(server, 1);
    assert_true(watch_all(server, TIMEOUT_MS, 20 * SECOND_US));
    while (atomic_load(&stage.wakes) < 2 * WORKERS)
        sched_yield(); /* nobody else is on the way in */
    atomic_store(&stage.hang, true);
    worker_ring(&server->workers[1]);
    while (!atomic_load(&stage.hanging))
        sched_yield();
    (void)watch_all(server, TIMEOUT_MS, 30 * SECOND_US);
    struct worker *others[] = {&server->workers[0], &server->workers[2]};
    for (uint64_t i = 0; i < 2; i++) {
        uint64_t before = atomic_load(&others[i]->turns);
        worker_ring(others[i]);
        while (atomic_load(&others[i]->turns) == before)
            sched_yield();
    }
    assert_false(watch_all(server, TIMEOUT_MS, 33 * SECOND_US));
    assert_true(atomic_load(&server->workers[1].stalled));
    assert_int_equal(stage_logged(fixture, "level=error event=stall worker=1 still_ms=3000"), 1);
    uint64_t before = atomic_load(&server->workers[1].turns);
    atomic_store(&stage.hanging, false);
    while (atomic_load(&server->workers[1].turns) == before)
        sched_yield();
    (void)watch_all(server, TIMEOUT_MS, 34 * SECOND_US);
    assert_false(atomic_load(&server->workers[1].stalled));
    assert_int_equal(stage_logged(fixture, "event=stall_over worker=1"), 1);
    server_stop(server);
}

static int manager_open(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static uint32_t fed(int manager)
{
    char lines[NOTIFY_BYTES_MAX];
    uint32_t count = 0;
    for (ssize_t got; (got = recv(manager, lines, sizeof lines - 1, 0)) > 0;) {
        lines[got] = '\0';
        count += strcmp(lines, "WATCHDOG=1") == 0;
    }
    return count;
}

static void a_stalled_engine_is_not_reported_alive(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    stage_path(fixture, "manager", path);
    int manager = manager_open(path);
    assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
    assert_int_equal(setenv("WATCHDOG_USEC", "3000000", 1), 0);
    struct server *server = stage_start(fixture);
    const int64_t unix_s = 1800000000;
    stage.stats = (struct engine_stats){.busy = true, .last_progress_us = 10 * SECOND_US};
    server_watch(server, 11 * SECOND_US, unix_s);
    assert_int_equal(fed(manager), 1);
    await_turns(server, 1);
    server_watch(server, 13 * SECOND_US, unix_s); /* past stall_timeout, which is 2 s here */
    await_turns(server, 2);
    server_watch(server, 15 * SECOND_US, unix_s);
    assert_int_equal(fed(manager), 0);
    stage.stats.last_progress_us = 16 * SECOND_US;
    await_turns(server, 3);
    server_watch(server, 17 * SECOND_US, unix_s);
    assert_int_equal(fed(manager), 1);
    server_stop(server);
    close(manager);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_counter_that_moves_gets_on),
        STAGE_TEST(a_worker_that_hangs_is_told_and_so_is_its_return),
        STAGE_TEST(a_stalled_engine_is_not_reported_alive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
