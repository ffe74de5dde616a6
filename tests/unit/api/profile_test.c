/* SPDX-License-Identifier: Apache-2.0 */
/* What a profile is asked for by; and its exchange, which waits for a real profiler. The clock of
 * these tests stands, so that a profile ends when it is told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon/api/call.h"
#include "daemon/api/profile_query.h"
#include "daemon/profile/profiler.h"
#include "daemon/worker.h"
#include "tests/unit/api/doubles.h"

#define ADMIN "Bearer sk-admin-0123456789"
#define CPU   "/admin/v1/profile/cpu"
#define HEAP  "/admin/v1/profile/heap"

static void numbers_have_defaults_and_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        uint32_t seconds, hz;
    } sound[] = {{"", 10, 99},
                 {"seconds=1", 1, 99},
                 {"hz=1000", 10, 1000},
                 {"hz=1&seconds=300", 300, 1},
                 {"seconds=007&", 7, 99}};
    static const struct {
        const char *query, *param, *what;
    } wrong[] = {{"seconds=0", "seconds", "from 1 to 300"},
                 {"seconds=301", "seconds", "from 1 to 300"},
                 {"hz=0", "hz", "from 1 to 1000"},
                 {"hz=1001", "hz", "from 1 to 1000"},
                 {"hz=-1", "hz", "number"},
                 {"hz=1e2", "hz", "number"},
                 {"hz= 9", "hz", "number"},
                 {"hz=", "hz", "number"},
                 {"hz", "hz", "number"},
                 {"hz=4294967297", "hz", "number"},
                 {"seconds=1&seconds=1", "seconds", "once"},
                 {"second=1", "", "'second' is no parameter"},
                 {"&", "", "no parameter"},
                 {"=1", "", "no parameter"},
                 {"hzz=1", "", "no parameter"},
                 {"h=1", "", "no parameter"},
                 {"format=json", "", "no parameter"}};
    struct fault fault;
    uint32_t seconds, hz;
    for (size_t i = 0; i < sizeof sound / sizeof sound[0]; i++) {
        assert_int_equal(profile_query_cpu(sound[i].query, &seconds, &hz, &fault), 0);
        assert_int_equal(seconds, sound[i].seconds);
        assert_int_equal(hz, sound[i].hz);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        seconds = hz = 77;
        assert_int_equal(profile_query_cpu(wrong[i].query, &seconds, &hz, &fault), -1);
        assert_int_equal(fault.status, 400);
        assert_string_equal(fault.param, wrong[i].param);
        assert_non_null(strstr(fault.message, wrong[i].what));
        assert_true(seconds == 77 && hz == 77);
    }
}

static void a_heap_has_two_formats(void **state)
{
    (void)state;
    static const char *const wrong[] = {"format=", "format=JSON", "format=jeprofx", "format=j",
                                        "seconds=1"};
    struct fault fault;
    bool jeprof;
    assert_int_equal(profile_query_heap("", &jeprof, &fault), 0);
    assert_false(jeprof);
    assert_int_equal(profile_query_heap("format=json", &jeprof, &fault), 0);
    assert_false(jeprof);
    assert_int_equal(profile_query_heap("format=jeprof", &jeprof, &fault), 0);
    assert_true(jeprof);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(profile_query_heap(wrong[i], &jeprof, &fault), -1);
}

/* -- The exchange -- */

struct fixture {
    struct world world;
    struct worker worker;
    struct exchange other;
};

static int setup(void **state)
{
    struct error err = {0};
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    world_init(&fixture->world, true);
    world_open_admin(&fixture->world);
    fixture->worker.bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    fixture->world.server.workers = &fixture->worker;
    fixture->world.server.profiler = profiler_new(&err);
    assert_non_null(fixture->world.server.profiler);
    exchange_double_init(&fixture->other, "", "");
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    profiler_free(fixture->world.server.profiler);
    world_destroy(&fixture->world);
    exchange_double_destroy(&fixture->other);
    assert_int_equal(close(fixture->worker.bell_fd), 0);
    free(fixture);
    return 0;
}

static void ask(struct fixture *fixture, struct exchange *exchange, const char *path,
                const char *query)
{
    exchange_double_destroy(exchange);
    exchange_double_init(exchange, "GET", path);
    exchange->query = query;
    exchange_double_header(exchange, "authorization", ADMIN);
    exchange_double_ask(fixture->world.api, exchange, "");
}

static void wait_for_ring(const struct fixture *fixture)
{
    struct pollfd bell = {.fd = fixture->worker.bell_fd, .events = POLLIN};
    eventfd_t rings;
    while (poll(&bell, 1, -1) != 1)
        ;
    assert_int_equal(eventfd_read(bell.fd, &rings), 0);
}

static void a_profile_waits_and_the_drain_ends_it(void **state)
{
    struct fixture *fixture = *state;
    struct exchange *exchange = &fixture->world.exchange;
    ask(fixture, exchange, CPU, "seconds=300&hz=50");
    api_wake(fixture->world.api);
    api_tick(fixture->world.api);
    assert_int_equal(exchange->status, 0);
    ask(fixture, &fixture->other, CPU, "");
    assert_int_equal(fixture->other.status, 409);
    assert_non_null(strstr(text_string(&fixture->other.bytes), "profile_running"));
    assert_non_null(strstr(text_string(&fixture->other.headers), "retry-after: "));
    fixture->world.server.draining = true;
    api_tick(fixture->world.api);
    wait_for_ring(fixture);
    api_wake(fixture->world.api);
    assert_int_equal(exchange->status, 200);
    assert_non_null(strstr(text_string(&exchange->headers), "x-profile-hz: 50"));
    ask(fixture, &fixture->other, CPU, ""); /* it would be hurried before it began */
    assert_int_equal(fixture->other.status, 503);
    assert_non_null(strstr(text_string(&fixture->other.bytes), "shutting_down"));
}

static void a_client_that_goes_takes_its_profile_with_it(void **state)
{
    struct fixture *fixture = *state;
    ask(fixture, &fixture->world.exchange, CPU, "");
    exchange_double_go(fixture->world.api, &fixture->world.exchange);
    assert_int_equal(fixture->world.metrics.status, 499);
    api_wake(fixture->world.api);
    do
        ask(fixture, &fixture->other, CPU, "");
    while (fixture->other.status == 409); /* it winds down */
    assert_int_equal(fixture->other.status, 0);
    exchange_double_go(fixture->world.api, &fixture->other);
}

static void a_heap_dump_waits_too(void **state)
{
    struct fixture *fixture = *state;
    struct exchange *exchange = &fixture->world.exchange;
    ask(fixture, exchange, HEAP, "format=jeprof");
    wait_for_ring(fixture);
    api_wake(fixture->world.api);
    assert_true(exchange->status == 409 || exchange->status == 501);
    assert_non_null(strstr(text_string(&exchange->bytes), "heap_profile_"));
    ask(fixture, exchange, HEAP, "");
    assert_true(exchange->status == 200 || exchange->status == 501);
}

static void what_is_wrong_begins_no_profile(void **state)
{
    struct fixture *fixture = *state;
    struct exchange *exchange = &fixture->world.exchange;
    struct profiler_stats stats;
    ask(fixture, exchange, CPU, "seconds=0");
    assert_int_equal(exchange->status, 400);
    ask(fixture, exchange, HEAP, "format=pprof");
    assert_int_equal(exchange->status, 400);
    world_get(&fixture->world, CPU); /* without a key */
    assert_int_equal(exchange->status, 401);
    profiler_stats(fixture->world.server.profiler, &stats);
    assert_false(stats.running);
    assert_int_equal(stats.profiles[PROFILE_CPU] + stats.profiles[PROFILE_HEAP], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_have_defaults_and_bounds),
        cmocka_unit_test(a_heap_has_two_formats),
        cmocka_unit_test_setup_teardown(a_profile_waits_and_the_drain_ends_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_client_that_goes_takes_its_profile_with_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_heap_dump_waits_too, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_wrong_begins_no_profile, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
