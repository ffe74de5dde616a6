/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/exchange_inner.h"
#include "tests/unit/daemon/http_fixture.h"

/* The fixture fails a test when a callback comes from inside an exchange_*() call, when on_gone
 * comes twice or after completion, and (at its close) when an exchange was neither. */

#define GET(path) "GET " path " HTTP/1.1\r\nhost: a\r\n\r\n"

struct life_state {
    struct http_fixture fixture;
    struct h2_client client;
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct life_state));
    return *state == NULL;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void a_reset_stream_is_gone_and_its_neighbour_is_not(void **state)
{
    struct life_state *test = *state;
    struct h2_client *client = &test->client;
    http_fixture_open(&test->fixture, NULL, NULL);
    h2_client_open(client, &test->fixture, 0, false);
    int32_t first = h2_client_request(client, "/stream", NULL, 0, false);
    int32_t second = h2_client_request(client, "/keep", NULL, 0, false);
    h2_client_await_seen(client, 2);
    (void)nghttp2_submit_rst_stream(client->frames, 0, first, NGHTTP2_CANCEL);
    for (int i = 0; test->fixture.gone == 0 && i < 1000; i++)
        h2_client_pump(client);
    assert_int_equal(test->fixture.seen[0].gone, 1);
    assert_int_equal(test->fixture.seen[1].gone, 0);
    http_seen_respond(&test->fixture, &test->fixture.seen[1], "x");
    h2_client_await_closed(client, second);
    h2_client_close(client);
    http_fixture_close(&test->fixture);
}

static void a_dropped_connection_is_gone_for_every_exchange_not_complete(void **state)
{
    struct life_state *test = *state;
    struct h2_client *client = &test->client;
    http_fixture_open(&test->fixture, NULL, NULL);
    h2_client_open(client, &test->fixture, 16384, true);
    for (int i = 0; i < 5; i++)
        (void)h2_client_request(client, i % 2 == 0 ? "/stream" : "/keep", NULL, 0, false);
    (void)h2_client_request(client, "/keep", "half", 4, true); /* its body never ends */
    h2_client_await_seen(client, 6);
    char body[100000] = {0}; /* complete, though most of it still waits for the window */
    (void)http_seen_write(&test->fixture, &test->fixture.seen[0], body, sizeof body);
    http_seen_end(&test->fixture, &test->fixture.seen[0]);
    h2_client_close(client);
    http_fixture_await_gone(&test->fixture, 5);
    http_fixture_close(&test->fixture);
}

static void a_client_that_leaves_is_noticed_over_http_1_1(void **state)
{
    struct life_state *test = *state;
    struct http_client *wire = &test->client.wire;
    const char *const requests[] = {
        GET("/keep"),
        GET("/stream"),
        "POST /keep HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf",
    };
    http_fixture_open(&test->fixture, NULL, NULL);
    for (unsigned i = 0; i < 3; i++) {
        http_client_open(wire, &test->fixture);
        http_client_say(wire, requests[i]);
        http_fixture_await_seen(wire, i + 1);
        http_client_close(wire);
        http_fixture_await_gone(&test->fixture, i + 1);
    }
    http_client_open(wire, &test->fixture); /* whole before it left: never gone */
    http_client_say(wire, GET("/echo"));
    http_fixture_await_seen(wire, 4);
    http_client_close(wire);
    for (int i = 0; i < 10; i++)
        http_fixture_turn(&test->fixture);
    assert_int_equal(test->fixture.gone, 3);
    http_fixture_close(&test->fixture);
}

static void freeing_the_listener_is_gone_for_all(void **state)
{
    struct life_state *test = *state;
    struct h2_client *client = &test->client;
    struct http_client other;
    http_fixture_open(&test->fixture, NULL, NULL);
    h2_client_open(client, &test->fixture, 0, false);
    (void)h2_client_request(client, "/stream", NULL, 0, false);
    (void)h2_client_request(client, "/keep", NULL, 0, false);
    h2_client_await_seen(client, 2);
    http_client_open(&other, &test->fixture);
    http_client_say(&other, GET("/keep"));
    http_fixture_await_seen(&other, 3);
    http_fixture_close(&test->fixture);
    assert_int_equal(test->fixture.gone, 3);
    http_client_close(&other);
    h2_client_close(client);
}

static void an_aborted_stream_is_reset_and_never_gone(void **state)
{
    struct life_state *test = *state;
    struct h2_client *client = &test->client;
    struct http_client other;
    http_fixture_open(&test->fixture, NULL, NULL);
    h2_client_open(client, &test->fixture, 0, false);
    int32_t id = h2_client_request(client, "/abort", NULL, 0, false);
    h2_client_await_closed(client, id);
    assert_int_equal(h2_client_stream(client, id)->error_code, NGHTTP2_INTERNAL_ERROR);
    id = h2_client_request(client, "/keep", NULL, 0, false);
    h2_client_await_seen(client, 2);
    http_seen_abort(&test->fixture, &test->fixture.seen[1]); /* before any head */
    h2_client_await_closed(client, id);
    http_client_open(&other, &test->fixture);
    http_client_say(&other, GET("/stream"));
    assert_true(http_client_await(&other, "\r\n\r\n"));
    http_seen_abort(&test->fixture, &test->fixture.seen[2]);
    assert_true(http_client_await_close(&other));
    assert_null(strstr(text_string(&other.in), "\r\n0\r\n\r\n"));
    assert_int_equal(test->fixture.gone, 0);
    http_client_close(&other);
    h2_client_close(client);
    http_fixture_close(&test->fixture);
}

static void a_stream_past_its_limit_breaks_from_the_loop(void **state)
{
    struct life_state *test = *state;
    struct h2_client *client = &test->client;
    struct http_client other;
    http_fixture_open(&test->fixture, NULL, NULL);
    h2_client_open(client, &test->fixture, 16384, true);
    int32_t id = h2_client_request(client, "/stream", NULL, 0, false);
    h2_client_await_seen(client, 1);
    http_client_open(&other, &test->fixture);
    http_client_say(&other, GET("/stream"));
    http_fixture_await_seen(&other, 2);
    char *body = calloc(1, EXCHANGE_WAITING_BYTES_MAX);
    for (int i = 0; i < 2; i++) {
        struct http_seen *seen = &test->fixture.seen[i];
        (void)http_seen_write(&test->fixture, seen, body, EXCHANGE_WAITING_BYTES_MAX - 1024);
        assert_true(http_seen_write(&test->fixture, seen, body, 2048) > 0);
        assert_int_equal(http_seen_write(&test->fixture, seen, body, 1), 0); /* dropped */
        assert_int_equal(seen->gone, 0); /* not from inside the call */
    }
    free(body);
    http_fixture_await_gone(&test->fixture, 2);
    h2_client_await_closed(client, id);
    http_client_close(&other);
    h2_client_close(client);
    http_fixture_close(&test->fixture);
}

/* on_gone answers the neighbours, as an application does that gives up a whole group. */
static void on_gone_answers_the_others(void *application, struct exchange *exchange)
{
    struct http_fixture *fixture = application;
    struct http_seen *gone = exchange_owner(exchange);
    gone->gone++;
    gone->exchange = NULL;
    fixture->gone++;
    exchange_respond(exchange, 200, NULL, 0, "too late", 8); /* dropped */
    for (unsigned i = 0; i < fixture->seen_count; i++) {
        struct http_seen *seen = &fixture->seen[i];
        if (seen->exchange != NULL)
            http_seen_respond(fixture, seen, "your neighbour left");
    }
}

static void on_gone_may_answer_neighbours(void **state)
{
    struct life_state *test = *state;
    struct h2_client *client = &test->client;
    struct http_client other;
    http_fixture_open(&test->fixture, NULL, NULL);
    test->fixture.handler.on_gone = on_gone_answers_the_others;
    http_client_open(&other, &test->fixture);
    http_client_say(&other, GET("/keep"));
    http_fixture_await_seen(&other, 1);
    h2_client_open(client, &test->fixture, 0, false);
    for (int i = 0; i < 3; i++)
        (void)h2_client_request(client, "/keep", NULL, 0, false);
    h2_client_await_seen(client, 4);
    h2_client_close(client);
    assert_true(http_client_await(&other, "your neighbour left"));
    assert_int_equal(test->fixture.gone, 1);
    http_client_close(&other);
    http_fixture_close(&test->fixture);
}

static void a_stream_of_tokens_reaches_its_client_whole(void **state)
{
    struct life_state *test = *state;
    struct h2_client *client = &test->client;
    http_fixture_open(&test->fixture, NULL, NULL);
    h2_client_open(client, &test->fixture, 0, false);
    int32_t ids[32];
    for (int i = 0; i < 32; i++)
        ids[i] = h2_client_request(client, "/stream", NULL, 0, false);
    h2_client_await_seen(client, 32);
    for (int token = 0; token < 50; token++) {
        for (int i = 0; i < 32; i++)
            (void)http_seen_write(&test->fixture, &test->fixture.seen[i], "data: x\n\n", 9);
        h2_client_pump(client);
    }
    for (int i = 0; i < 32; i++)
        http_seen_end(&test->fixture, &test->fixture.seen[i]);
    for (int i = 0; i < 32; i++) {
        h2_client_await_closed(client, ids[i]);
        assert_int_equal(h2_client_stream(client, ids[i])->body_bytes, 450);
    }
    h2_client_close(client);
    http_fixture_close(&test->fixture);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reset_stream_is_gone_and_its_neighbour_is_not),
        TEST(a_dropped_connection_is_gone_for_every_exchange_not_complete),
        TEST(a_client_that_leaves_is_noticed_over_http_1_1),
        TEST(freeing_the_listener_is_gone_for_all),
        TEST(an_aborted_stream_is_reset_and_never_gone),
        TEST(a_stream_past_its_limit_breaks_from_the_loop),
        TEST(on_gone_may_answer_neighbours),
        TEST(a_stream_of_tokens_reaches_its_client_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
