/* SPDX-License-Identifier: Apache-2.0 */
/* Models that are not there when a server starts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/loader.h"
#include "daemon/reload.h"
#include "tests/unit/server/stage.h"

#define HEADER_OF_B (WORKERS + MODELS) /* steps: sockets, then headers */

/* "b" may come later; its file is n.gguf. */
static void configure(struct fixture *fixture, const char *license_b, const char *of_a)
{
    char yaml[2048];
    (void)snprintf(yaml, sizeof yaml,
                   "server: {port: 0, workers: %u}\n"
                   "users: {state: %s/state}\n"
                   "licenses: {folder: %s/licenses}\n"
                   "models:\n  - {id: a, path: %s/m.gguf, license: free-1%s}\n"
                   "  - {id: b, path: %s/n.gguf, license: %s, on_failure: retry}\n"
                   "operator: {production: yes}\n",
                   WORKERS, fixture->folder, fixture->folder, fixture->folder, of_a,
                   fixture->folder, license_b);
    stage_write_file(fixture, "weir.yaml", yaml);
    stage_read_config(fixture);
}

static void await_state(struct server *server, const char *id, enum model_state state)
{
    while (server_model_state(server_find_slot(server, id)) != state)
        sched_yield();
}

static void a_missing_file_is_waited_for_and_then_served(void **state)
{
    struct fixture *fixture = *state;
    configure(fixture, "free-1", "");
    struct server *server = stage_start(fixture);
    assert_true(atomic_load(&server->ready));
    assert_non_null(server_find_model(server, "a"));
    assert_null(server_find_model(server, "b"));
    assert_int_equal(stage_logged(fixture, "level=error event=model_not_loaded model=b"), 1);
    assert_int_equal(stage_logged(fixture, "n.gguf: No such file"), 1);
    assert_int_equal(stage_logged(fixture, "failures=1 next_try_s=5"), 1);
    server_watch(server, 1, clock_unix_us() / 1000000); /* an empty place trips nobody */
    reload(server, clock_unix_us() / 1000000);
    assert_int_equal(stage_logged(fixture, "event=reloaded"), 1);
    stage_write_file(fixture, "n.gguf", "");
    server_load_again(server);
    await_state(server, "b", MODEL_SERVED);
    assert_int_equal(stage_logged(fixture, "event=model_license model=b"), 1);
    assert_int_equal(stage_logged(fixture, "event=model_loaded model=b"), 1);
    server_watch(server, 2, clock_unix_us() / 1000000);
    server_stop(server);
    stage_expect_nothing_left();
    assert_int_equal(stage.engines_stopped, MODELS);
}

/* Of the header, the device, the weights, the engine. */
static void whatever_failed_is_tried_again(void **state)
{
    struct fixture *fixture = *state;
    static const uint32_t steps[] = {HEADER_OF_B, HEADER_OF_B + 4, HEADER_OF_B + 5,
                                     HEADER_OF_B + 6};
    configure(fixture, "free-1", "");
    stage_write_file(fixture, "n.gguf", "");
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        memset(&stage, 0, sizeof stage);
        stage.fail_at = steps[i];
        struct server *server = stage_start(fixture);
        assert_null(server_find_model(server, "b"));
        server_load_again(server);
        await_state(server, "b", MODEL_SERVED);
        assert_int_equal(atomic_load(&server->models[1].load_failures), 1);
        server_stop(server);
        stage_expect_nothing_left();
    }
}

static void a_breach_is_found_late_and_not_tried_again(void **state)
{
    struct fixture *fixture = *state;
    configure(fixture, "research-1", "");
    stage.fail_at = HEADER_OF_B;
    struct server *server = stage_start(fixture);
    assert_int_equal(stage_logged(fixture, "event=model_refused"), 0);
    server_load_again(server);
    await_state(server, "b", MODEL_REFUSED);
    assert_int_equal(stage_logged(fixture, "event=model_refused model=b"), 1);
    assert_true(loader_stop(server->loader, 60000)); /* there is nothing more to do */
    server_load_again(server);
    server_stop(server);
    stage_expect_nothing_left();
    assert_int_equal(stage.steps, 2 * WORKERS + WORKERS + MODELS + 3 + 1);
}

static void without_any_model_the_server_waits(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    configure(fixture, "free-1", ", on_failure: retry, retry_max: 1h");
    stage_path(fixture, "m.gguf", path);
    assert_int_equal(unlink(path), 0);
    struct server *server = stage_start(fixture);
    assert_null(server_first_model(server));
    assert_int_equal(server_count_models(server, MODEL_ABSENT), 2);
    stage_write_file(fixture, "m.gguf", "");
    server_load_again(server);
    await_state(server, "a", MODEL_SERVED);
    assert_ptr_equal(server_first_model(server), &server->models[0]);
    server_stop(server);
    stage_expect_nothing_left();
}

static struct server *start_loading(struct fixture *fixture)
{
    configure(fixture, "free-1", "");
    struct server *server = stage_start(fixture);
    atomic_store(&stage.load_hangs, true);
    stage_write_file(fixture, "n.gguf", "");
    server_load_again(server);
    while (!atomic_load(&stage.loading))
        sched_yield();
    return server;
}

static void a_load_is_given_up_at_the_end(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = start_loading(fixture);
    assert_true(server_end_loads(server));
    assert_null(server_find_model(server, "b"));
    assert_int_equal(stage_logged(fixture, "event=model_not_loaded"), 1); /* that of the start */
    server_stop(server);
    stage_expect_nothing_left();
}

static void a_load_that_does_not_end_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = start_loading(fixture);
    atomic_store(&stage.load_deaf, true);
    stage.cut = true;
    server_leave(server);
    assert_false(loader_stop(server->loader, 20));
    atomic_store(&stage.load_hangs, false);
    assert_true(loader_stop(server->loader, 60000));
    assert_null(server_find_model(server, "b")); /* it came too late */
    server_stop(server);
    stage_expect_nothing_left();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(a_missing_file_is_waited_for_and_then_served),
        STAGE_TEST(whatever_failed_is_tried_again),
        STAGE_TEST(a_breach_is_found_late_and_not_tried_again),
        STAGE_TEST(without_any_model_the_server_waits),
        STAGE_TEST(a_load_is_given_up_at_the_end),
        STAGE_TEST(a_load_that_does_not_end_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
