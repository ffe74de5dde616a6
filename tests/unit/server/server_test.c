/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/watch.h"
#include "tests/unit/server/stage.h"

static void stop_takes_down_from_the_top(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = stage_start(fixture);
    assert_true(atomic_load(&server->ready));
    assert_int_equal(server->port, 4711);
    assert_int_equal(stage_logged(fixture, "event=model_loaded"), MODELS);
    assert_int_equal(stage_logged(fixture, "level=info event=model_license"), MODELS);
    assert_int_equal(stage_logged(fixture, "license=free-1 verdict=watch"), MODELS);
    assert_string_equal(server->models[0].license_link, "</v1/models/a/license>; rel=\"license\"");
    server_stop(server);
    stage_expect_nothing_left();
    assert_string_equal(stage.order, "lllssaaaemem");
}

static void failure_of_any_step_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t fail_at = 1;; fail_at++) {
        memset(&stage, 0, sizeof stage);
        stage.fail_at = fail_at;
        struct error err = {0};
        struct server *server = server_start(fixture->config, fixture->log, &err);
        if (server != NULL) {
            server_stop(server);
            assert_int_equal(fail_at, WORKERS + 4 * MODELS + 2 * WORKERS + 1);
            break;
        }
        assert_non_null(strstr(err.text, "failed"));
        stage_expect_nothing_left();
    }
    stage_expect_nothing_left();
}

static void missing_model_file_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    char path[128];
    stage_path(fixture, "m.gguf", path);
    assert_int_equal(unlink(path), 0);
    assert_null(server_start(fixture->config, fixture->log, &err));
    assert_int_equal(err.code, ERROR_NOT_FOUND);
    assert_non_null(strstr(err.text, "model 'a'"));
    assert_non_null(strstr(err.text, path));
    stage_expect_nothing_left();
}

static void port_of_another_listener_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t count = sizeof address;
    const int one = 1;
    struct error err = {0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &count), 0);
    fixture->config->port = ntohs(address.sin_port);
    assert_null(server_start(fixture->config, fixture->log, &err));
    assert_int_equal(err.code, ERROR_BUSY);
    assert_non_null(strstr(err.text, "in use"));
    assert_int_equal(stage.steps, 0); /* before anything was made */
    close(fd);
    server_stop(stage_start(fixture)); /* free again */
}

static void drain_waits_for_the_last_exchange(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = stage_start(fixture);
    int signals = 0;
    atomic_store(&stage.exchanges, 1);
    server_drain(server);
    assert_false(atomic_load(&server->ready));
    assert_false(server_wait_idle(server, 30, &signals));
    atomic_store(&stage.exchanges, 0);
    atomic_store(&stage.generations, 1);
    assert_false(server_wait_idle(server, 30, &signals));
    atomic_store(&stage.generations, 0);
    assert_true(server_wait_idle(server, 60000, &signals));
    assert_int_equal(atomic_load(&stage.drains), WORKERS);
    server_stop(server);
    stage_expect_nothing_left();
}

static void what_is_cut_ends_before_the_listeners(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = stage_start(fixture);
    stage.cut = true;
    server_drain(server);
    stage.stuck = true;
    assert_false(server_cut(server));
    assert_int_equal(stage.engines_stopped, 0);
    stage.stuck = false;
    assert_true(server_cut(server));
    assert_int_equal(stage.engines_stopped, MODELS);
    assert_int_equal(stage.listeners, WORKERS);
    server_stop(server);
    stage_expect_nothing_left();
    assert_string_equal(stage.order, "sslllssaaaemem"); /* the real one stops once */
}

static volatile int signals_seen;

static void on_alarm(int number)
{
    (void)number;
    signals_seen++;
}

static void second_signal_ends_the_wait(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = stage_start(fixture);
    const struct itimerval soon = {.it_value = {.tv_usec = 20000}};
    atomic_store(&stage.exchanges, 1);
    server_drain(server);
    signals_seen = 1;
    (void)signal(SIGALRM, on_alarm);
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    assert_false(server_wait_idle(server, 3600000, &signals_seen));
    assert_int_equal(signals_seen, 2);
    server_stop(server);
}

static void engine_wakes_reach_the_api(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = stage_start(fixture);
    stage.engine.wake(stage.engine.wake_argument, 1);
    while (atomic_load(&stage.wakes) == 0)
        sched_yield();
    server_stop(server);
}

static void stall_is_logged_once_and_so_is_its_end(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = stage_start(fixture);
    stage.stats = (struct engine_stats){.busy = true, .last_progress_us = 1000000};
    server_watch(server, 2900000, clock_unix_us() / 1000000);
    assert_int_equal(stage_logged(fixture, "event=stall model="), 0);
    server_watch(server, 3100000, clock_unix_us() / 1000000);
    server_watch(server, 9000000, clock_unix_us() / 1000000);
    assert_int_equal(stage_logged(fixture, "event=stall model="), MODELS);
    stage.stats.last_progress_us = 9100000;
    server_watch(server, 9200000, clock_unix_us() / 1000000);
    server_watch(server, 9300000, clock_unix_us() / 1000000);
    assert_int_equal(stage_logged(fixture, "event=stall_over model="), MODELS);
    stage.stats = (struct engine_stats){.busy = false, .last_progress_us = 1};
    server_watch(server, 90000000, clock_unix_us() / 1000000); /* an idle engine does not stall */
    assert_int_equal(stage_logged(fixture, "event=stall model="), MODELS);
    server_stop(server);
}

static void lost_device_is_logged_once_and_ends_the_process(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = stage_start(fixture);
    assert_true(watch_all(server, 2000, 1000000));
    assert_false(watch_lost(server));
    error_set(&stage.failure, ERROR_CLOSED, "the GPU is gone");
    assert_false(watch_all(server, 2000, 2000000));
    assert_false(watch_all(server, 2000, 3000000));
    assert_true(watch_lost(server));
    assert_int_equal(stage_logged(fixture, "level=error event=device_lost model=a "
                                           "error=\"the GPU is gone\""),
                     1);
    server_stop(server);
    stage_expect_nothing_left();
}

static void model_is_found_by_id(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = stage_start(fixture);
    assert_ptr_equal(server_find_model(server, "b"), &server->models[1]);
    assert_null(server_find_model(server, "c"));
    assert_null(server_find_model(server, "")); /* which of two? */
    server->model_count = 1;
    assert_ptr_equal(server_find_model(server, ""), &server->models[0]);
    server->model_count = MODELS;
    atomic_store(&server->models[1].state, MODEL_ABSENT);
    assert_null(server_find_model(server, "b"));
    assert_null(server_find_model(server, "")); /* there are two, wherever one may be */
    assert_ptr_equal(server_find_slot(server, "b"), &server->models[1]);
    atomic_store(&server->models[1].state, MODEL_SERVED);
    server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(stop_takes_down_from_the_top),
        STAGE_TEST(failure_of_any_step_leaves_nothing),
        STAGE_TEST(missing_model_file_is_named),
        STAGE_TEST(port_of_another_listener_is_refused),
        STAGE_TEST(drain_waits_for_the_last_exchange),
        STAGE_TEST(what_is_cut_ends_before_the_listeners),
        STAGE_TEST(second_signal_ends_the_wait),
        STAGE_TEST(engine_wakes_reach_the_api),
        STAGE_TEST(stall_is_logged_once_and_so_is_its_end),
        STAGE_TEST(lost_device_is_logged_once_and_ends_the_process),
        STAGE_TEST(model_is_found_by_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
