/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/http/h2.h"
#include "tests/unit/daemon/http_fixture.h"

#define MIB (1024u * 1024u)

struct h2_state {
    struct http_fixture fixture;
    struct h2_client client;
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct h2_state));
    return *state == NULL;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void open_both(struct h2_state *test, const struct listener_limits *limits)
{
    http_fixture_open(&test->fixture, limits, NULL);
    h2_client_open(&test->client, &test->fixture, 0, false);
}

static void close_both(struct h2_state *test)
{
    h2_client_close(&test->client);
    http_fixture_close(&test->fixture);
}

static void concurrent_streams_each_get_their_own_answer(void **state)
{
    struct h2_state *test = *state;
    open_both(test, NULL);
    int32_t ids[100];
    char bodies[100][16];
    for (int i = 0; i < 100; i++) {
        (void)snprintf(bodies[i], sizeof bodies[i], "body %d", i);
        ids[i] = h2_client_request(&test->client, "/echo", bodies[i], strlen(bodies[i]), false);
    }
    for (int i = 0; i < 100; i++) {
        h2_client_await_closed(&test->client, ids[i]);
        const struct h2_client_stream *stream = h2_client_stream(&test->client, ids[i]);
        assert_int_equal(stream->status, 200);
        assert_int_equal(stream->error_code, NGHTTP2_NO_ERROR);
        assert_string_equal(stream->body, bodies[i]);
    }
    int32_t missing = h2_client_request(&test->client, "/nowhere?q", NULL, 0, false);
    h2_client_await_closed(&test->client, missing);
    assert_int_equal(h2_client_stream(&test->client, missing)->status, 404);
    struct listener_stats stats;
    listener_stats(test->fixture.listener, &stats);
    assert_int_equal(stats.requests_h2, 101);
    assert_int_equal(stats.exchanges, 0);
    close_both(test);
}

static void a_request_reads_alike_in_both_protocols(void **state)
{
    struct h2_state *test = *state;
    open_both(test, NULL);
    (void)h2_client_request(&test->client, "/keep?a=b?c", "xy", 2, false);
    h2_client_await_seen(&test->client, 1);
    struct http_seen *seen = &test->fixture.seen[0];
    for (int i = 0; seen->requests == 0 && i < 1000; i++)
        h2_client_pump(&test->client);
    const struct exchange *exchange = seen->exchange;
    assert_string_equal(exchange_method(exchange), "POST");
    assert_string_equal(exchange_path(exchange), "/keep");
    assert_string_equal(exchange_query(exchange), "a=b?c");
    assert_string_equal(exchange_header(exchange, "host"), "localhost");
    assert_null(exchange_header(exchange, "x-missing"));
    assert_string_equal(exchange_client(exchange), "127.0.0.1");
    assert_int_equal(exchange_version(exchange), HTTP_2);
    assert_false(exchange_is_tls(exchange));
    assert_false(exchange_answered(exchange));
    assert_true(exchange_started_us(exchange) > 0);
    http_seen_respond(&test->fixture, seen, "");
    h2_client_await_closed(&test->client, 1);
    assert_int_equal(h2_client_stream(&test->client, 1)->status, 200);
    close_both(test);
}

static void a_slow_reader_holds_its_own_stream_alone(void **state)
{
    struct h2_state *test = *state;
    struct h2_client *client = &test->client;
    http_fixture_open(&test->fixture, NULL, NULL);
    h2_client_open(client, &test->fixture, 16384, true); /* no stream's window opens by itself */
    int32_t slow = h2_client_request(client, "/stream", NULL, 0, false);
    h2_client_await_seen(client, 1);
    struct http_seen *seen = &test->fixture.seen[0];
    char *block = calloc(1, EXCHANGE_BUFFER_HIGH);
    size_t waiting = http_seen_write(&test->fixture, seen, block, EXCHANGE_BUFFER_HIGH);
    assert_int_equal(waiting, EXCHANGE_BUFFER_HIGH);
    int32_t quick = h2_client_request(client, "/echo", NULL, 0, false);
    h2_client_await_closed(client, quick);
    assert_string_equal(h2_client_stream(client, quick)->body, "GET");
    assert_int_equal(h2_client_stream(client, slow)->body_bytes, 16384);
    assert_int_equal(seen->writables, 0);
    assert_int_equal(http_seen_write(&test->fixture, seen, "x", 1),
                     EXCHANGE_BUFFER_HIGH - 16384 + 1);
    /* It reads on: once, below the low mark, on_writable. */
    const struct h2_client_stream *stream = h2_client_stream(client, slow);
    size_t consumed = 0;
    while (stream->body_bytes < EXCHANGE_BUFFER_HIGH + 1) {
        size_t fresh = stream->body_bytes - consumed;
        consumed = stream->body_bytes;
        assert_int_equal(nghttp2_session_consume(client->frames, slow, fresh), 0);
        h2_client_pump(client);
    }
    assert_int_equal(seen->writables, 1);
    http_seen_end(&test->fixture, seen);
    h2_client_await_closed(client, slow);
    assert_int_equal(stream->body_bytes, EXCHANGE_BUFFER_HIGH + 1);
    free(block);
    close_both(test);
}

static void a_stream_that_takes_nothing_is_reset_and_the_rest_goes_on(void **state)
{
    struct h2_state *test = *state;
    struct listener_limits limits;
    listener_limits_default(&limits);
    limits.write_timeout_ms = 30;
    http_fixture_open(&test->fixture, &limits, NULL);
    h2_client_open(&test->client, &test->fixture, 16384, true);
    int32_t stuck = h2_client_request(&test->client, "/stream", NULL, 0, false);
    h2_client_await_seen(&test->client, 1);
    char *block = calloc(1, MIB);
    (void)http_seen_write(&test->fixture, &test->fixture.seen[0], block, MIB);
    free(block);
    h2_client_await_closed(&test->client, stuck);
    assert_int_equal(h2_client_stream(&test->client, stuck)->error_code, NGHTTP2_CANCEL);
    http_fixture_await_gone(&test->fixture, 1);
    int32_t other = h2_client_request(&test->client, "/echo", NULL, 0, false);
    h2_client_await_closed(&test->client, other);
    assert_int_equal(h2_client_stream(&test->client, other)->status, 200);
    close_both(test);
}

static void a_large_body_passes_through_the_windows(void **state)
{
    struct h2_state *test = *state;
    open_both(test, NULL);
    char *body = malloc(5 * MIB);
    memset(body, 'b', 5 * MIB);
    int32_t id = h2_client_request(&test->client, "/echo", body, 5 * MIB, false);
    h2_client_await_closed(&test->client, id);
    assert_int_equal(h2_client_stream(&test->client, id)->body_bytes, 5 * MIB);
    free(body);
    close_both(test);
}

static void a_body_too_large_is_413_then_reset_without_error(void **state)
{
    struct h2_state *test = *state;
    struct listener_limits limits;
    listener_limits_default(&limits);
    limits.body_bytes_max = 100000;
    open_both(test, &limits);
    char *body = calloc(1, MIB);
    int32_t id = h2_client_request(&test->client, "/echo", body, MIB, true);
    h2_client_await_closed(&test->client, id);
    const struct h2_client_stream *stream = h2_client_stream(&test->client, id);
    assert_int_equal(stream->status, 413);
    assert_int_equal(stream->error_code, NGHTTP2_NO_ERROR);
    assert_non_null(strstr(stream->body, "invalid_request_error"));
    assert_int_equal(test->fixture.gone, 1); /* it had seen the head */
    int32_t next = h2_client_request(&test->client, "/echo", "ok", 2, false);
    h2_client_await_closed(&test->client, next);
    assert_string_equal(h2_client_stream(&test->client, next)->body, "ok");
    free(body);
    close_both(test);
}

static void bodies_of_a_connection_have_a_limit_together(void **state)
{
    struct h2_state *test = *state;
    struct listener_limits limits;
    listener_limits_default(&limits);
    limits.body_bytes_max = 10000;
    open_both(test, &limits);
    char body[10000] = {0};
    for (unsigned i = 0; i < H2_BODIES_PER_MAX; i++)
        (void)h2_client_request(&test->client, "/keep", body, sizeof body, false);
    int32_t over = h2_client_request(&test->client, "/keep", "x", 1, false);
    h2_client_await_closed(&test->client, over);
    assert_int_equal(h2_client_stream(&test->client, over)->status, 503);
    close_both(test);
}

static void early_answers_end_the_stream_without_its_body(void **state)
{
    struct h2_state *test = *state;
    open_both(test, NULL);
    int32_t id = h2_client_request(&test->client, "/early", "begin", 5, true);
    h2_client_await_closed(&test->client, id);
    assert_int_equal(h2_client_stream(&test->client, id)->status, 401);
    assert_int_equal(h2_client_stream(&test->client, id)->error_code, NGHTTP2_NO_ERROR);
    assert_int_equal(test->fixture.seen[0].requests, 0);
    close_both(test);
}

static int32_t request_with(struct h2_client *client, const nghttp2_nv *extra, size_t count)
{
    nghttp2_nv headers[200] = {
        {(uint8_t *)":method", (uint8_t *)"GET", 7, 3, 0},
        {(uint8_t *)":scheme", (uint8_t *)"http", 7, 4, 0},
        {(uint8_t *)":path", (uint8_t *)"/echo", 5, 5, 0},
        {(uint8_t *)":authority", (uint8_t *)"a", 10, 1, 0},
    };
    memcpy(headers + 4, extra, count * sizeof *extra);
    return nghttp2_submit_request(client->frames, NULL, headers, count + 4, NULL, NULL);
}

static void too_many_or_too_large_headers_are_431_and_the_connection_lives(void **state)
{
    struct h2_state *test = *state;
    struct h2_client *client = &test->client;
    open_both(test, NULL);
    nghttp2_nv many[EXCHANGE_HEADERS_MAX + 1];
    for (unsigned i = 0; i <= EXCHANGE_HEADERS_MAX; i++)
        many[i] = (nghttp2_nv){(uint8_t *)"x", (uint8_t *)"y", 1, 1, 0};
    int32_t id = request_with(client, many, EXCHANGE_HEADERS_MAX + 1);
    h2_client_await_closed(client, id);
    assert_int_equal(h2_client_stream(client, id)->status, 431);

    char *value = malloc(EXCHANGE_HEADER_BYTES_MAX);
    memset(value, 'v', EXCHANGE_HEADER_BYTES_MAX);
    nghttp2_nv large = {(uint8_t *)"x", (uint8_t *)value, 1, EXCHANGE_HEADER_BYTES_MAX, 0};
    id = request_with(client, &large, 1);
    h2_client_await_closed(client, id);
    assert_int_equal(h2_client_stream(client, id)->status, 431);
    free(value);

    id = request_with(client, many, EXCHANGE_HEADERS_MAX - 1); /* and :authority */
    h2_client_await_closed(client, id);
    assert_int_equal(h2_client_stream(client, id)->status, 200);
    assert_int_equal(test->fixture.seen_count, 1); /* the application saw only the last */
    close_both(test);
}

static void a_header_flood_ends_the_connection(void **state)
{
    struct h2_state *test = *state;
    struct http_client *wire = &test->client.wire;
    http_fixture_open(&test->fixture, NULL, NULL);
    http_client_open(wire, &test->fixture);
    http_client_say(wire, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    http_client_send(wire, "\0\0\0\4\0\0\0\0\0", 9);      /* SETTINGS */
    http_client_send(wire, "\0\0\1\1\0\0\0\0\1\x82", 10); /* HEADERS, no END_HEADERS */
    for (int i = 0; i < 1000 && !wire->closed; i++)       /* CONTINUATION for ever */
        http_client_send(wire, "\0\0\1\t\0\0\0\0\1\x84", 10);
    assert_true(http_client_await_close(wire));
    assert_int_equal(test->fixture.seen_count, 0);
    http_client_close(wire);
    http_fixture_close(&test->fixture);
}

static void malformed_requests_are_reset_unseen(void **state)
{
    struct h2_state *test = *state;
    open_both(test, NULL);
    const nghttp2_nv bad[] = {
        {(uint8_t *)"connection", (uint8_t *)"close", 10, 5, 0},
        {(uint8_t *)"te", (uint8_t *)"gzip", 2, 4, 0},
        {(uint8_t *)"x", (uint8_t *)"a\r\nb", 1, 4, 0},
        {(uint8_t *)"X(", (uint8_t *)"a", 2, 1, 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int32_t id = request_with(&test->client, &bad[i], 1);
        h2_client_await_closed(&test->client, id);
        assert_int_equal(h2_client_stream(&test->client, id)->status, 0);
        assert_int_not_equal(h2_client_stream(&test->client, id)->error_code, NGHTTP2_NO_ERROR);
    }
    assert_int_equal(test->fixture.seen_count, 0);
    int32_t good = request_with(&test->client, bad, 0);
    h2_client_await_closed(&test->client, good);
    assert_int_equal(h2_client_stream(&test->client, good)->status, 200);
    close_both(test);
}

static void rapid_reset_is_told_to_calm_down(void **state)
{
    struct h2_state *test = *state;
    struct h2_client *client = &test->client;
    const unsigned max = 64;
    struct listener_limits limits;
    listener_limits_default(&limits);
    limits.resets_max = max;
    open_both(test, &limits);
    for (unsigned i = 0; i < 2 * max && !client->wire.closed; i++) {
        int32_t id = h2_client_request(client, "/keep", NULL, 0, false);
        h2_client_pump(client);
        (void)nghttp2_submit_rst_stream(client->frames, 0, id, NGHTTP2_CANCEL);
        if (client->goaways > 0)
            break;
    }
    for (int i = 0; client->goaways == 0 && i < 1000; i++)
        h2_client_pump(client);
    assert_int_equal(client->goaway_error, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_true(http_client_await_close(&client->wire));
    assert_true(test->fixture.seen_count >= max);
    assert_true(test->fixture.seen_count <= max + 2);
    close_both(test);
}

static void a_limit_lowered_by_a_reload_holds_for_open_connections(void **state)
{
    struct h2_state *test = *state;
    struct h2_client *client = &test->client;
    struct listener_limits limits;
    listener_limits_default(&limits);
    open_both(test, &limits);
    limits.resets_max = 2;
    listener_set_limits(test->fixture.listener, &limits);
    for (unsigned i = 0; i < 10 && client->goaways == 0; i++) {
        int32_t id = h2_client_request(client, "/keep", NULL, 0, false);
        h2_client_pump(client);
        (void)nghttp2_submit_rst_stream(client->frames, 0, id, NGHTTP2_CANCEL);
    }
    for (int i = 0; client->goaways == 0 && i < 1000; i++)
        h2_client_pump(client);
    assert_int_equal(client->goaway_error, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_true(http_client_await_close(&client->wire));
    close_both(test);
}

static void a_request_reset_in_the_same_read_is_never_begun(void **state)
{
    struct h2_state *test = *state;
    struct h2_client *client = &test->client;
    open_both(test, NULL);
    for (int i = 0; i < 10; i++)
        h2_client_pump(client);
    const char head[] = "\0\0\x0c\1\5\0\0\0\1\x82\x86\x04\5/keep\x41\1a";
    const char calm[] = "\0\0\4\3\0\0\0\0\1\0\0\0\x8";         /* RST_STREAM */
    const char past[] = "\0\0\4\x8\0\0\0\0\3\x7f\xff\xff\xff"; /* its window past the end */
    char bytes[sizeof head + sizeof past];
    for (int way = 0; way < 2; way++) {
        memcpy(bytes, head, sizeof head - 1);
        bytes[8] = (char)(1 + 2 * way);
        memcpy(bytes + sizeof head - 1, way == 0 ? calm : past, sizeof past - 1);
        http_client_send(&client->wire, bytes, sizeof head + sizeof past - 2);
        http_fixture_await_gone(&test->fixture, (unsigned)way + 1);
        assert_int_equal(test->fixture.seen[way].requests, 0);
    }
    assert_int_equal(test->fixture.seen_count, 2);
    h2_client_close(client);
    http_fixture_close(&test->fixture);
}

static void streams_beyond_the_limit_are_not_opened(void **state)
{
    struct h2_state *test = *state;
    struct listener_limits limits;
    listener_limits_default(&limits);
    limits.streams_max = 4;
    open_both(test, &limits);
    for (int i = 0; i < 10; i++)
        h2_client_pump(&test->client); /* our settings arrive */
    for (int i = 0; i < 6; i++)
        (void)h2_client_request(&test->client, "/keep", NULL, 0, false);
    h2_client_await_seen(&test->client, 4);
    for (int i = 0; i < 10; i++)
        h2_client_pump(&test->client);
    assert_int_equal(test->fixture.seen_count, 4);
    http_seen_respond(&test->fixture, &test->fixture.seen[0], "");
    h2_client_await_seen(&test->client, 5);
    close_both(test);
}

static void a_stream_not_all_there_when_the_drain_ends_is_told_so(void **state)
{
    struct h2_state *test = *state;
    struct h2_client *client = &test->client;
    open_both(test, NULL);
    int32_t half = h2_client_request(client, "/echo", "half", 4, true);
    int32_t kept = h2_client_request(client, "/keep", NULL, 0, false);
    h2_client_await_seen(client, 2);
    listener_drain(test->fixture.listener);
    listener_cut(test->fixture.listener);
    h2_client_await_closed(client, half);
    assert_int_equal(h2_client_stream(client, half)->status, 503);
    assert_non_null(strstr(h2_client_stream(client, half)->body, "\"code\":\"shutting_down\""));
    assert_int_equal(test->fixture.gone, 1);
    http_seen_respond(&test->fixture, &test->fixture.seen[1], "late");
    h2_client_await_closed(client, kept);
    assert_string_equal(h2_client_stream(client, kept)->body, "late");
    assert_true(http_client_await_close(&client->wire));
    assert_int_equal(client->goaways, 2);
    assert_int_equal(client->goaway_last, kept);
    close_both(test);
}

static void drain_tells_twice_and_lets_open_streams_end(void **state)
{
    struct h2_state *test = *state;
    struct h2_client *client = &test->client;
    open_both(test, NULL);
    int32_t id = h2_client_request(client, "/keep", NULL, 0, false);
    h2_client_await_seen(client, 1);
    listener_drain(test->fixture.listener);
    for (int i = 0; client->goaways < 2 && i < 5000; i++)
        h2_client_pump(client);
    assert_int_equal(client->goaways, 2);
    assert_int_equal(client->goaway_last, id);
    assert_int_equal(client->goaway_error, NGHTTP2_NO_ERROR);
    assert_false(client->wire.closed);
    http_seen_respond(&test->fixture, &test->fixture.seen[0], "late");
    h2_client_await_closed(client, id);
    assert_string_equal(h2_client_stream(client, id)->body, "late");
    assert_true(http_client_await_close(&client->wire));
    close_both(test);
}

static void time_limits_hold_for_heads_bodies_and_idle_connections(void **state)
{
    struct h2_state *test = *state;
    struct h2_client *client = &test->client;
    struct listener_limits limits;
    listener_limits_default(&limits);
    limits.body_timeout_ms = 20;
    limits.idle_timeout_ms = 60;
    open_both(test, &limits);
    int32_t id = h2_client_request(client, "/echo", "part", 4, true);
    h2_client_await_closed(client, id);
    assert_int_equal(h2_client_stream(client, id)->status, 408);
    assert_int_equal(test->fixture.gone, 1);
    for (int i = 0; client->goaways == 0 && i < 5000; i++)
        h2_client_pump(client);
    assert_int_equal(client->goaway_error, NGHTTP2_NO_ERROR);
    assert_true(http_client_await_close(&client->wire));
    close_both(test);

    memset(test, 0, sizeof *test);
    listener_limits_default(&limits);
    limits.header_timeout_ms = 20;
    struct http_client *wire = &client->wire;
    http_fixture_open(&test->fixture, &limits, NULL);
    for (int i = 0; i < 2; i++) {
        http_client_open(wire, &test->fixture);
        http_client_say(wire, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        if (i == 1) { /* settings, then a header block that does not end */
            http_client_send(wire, "\0\0\0\4\0\0\0\0\0", 9);
            http_client_send(wire, "\0\0\1\1\0\0\0\0\1\x82", 10);
        }
        assert_true(http_client_await_close(wire));
        http_client_close(wire);
    }
    http_fixture_close(&test->fixture);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(concurrent_streams_each_get_their_own_answer),
        TEST(a_request_reads_alike_in_both_protocols),
        TEST(a_slow_reader_holds_its_own_stream_alone),
        TEST(a_stream_that_takes_nothing_is_reset_and_the_rest_goes_on),
        TEST(a_large_body_passes_through_the_windows),
        TEST(a_body_too_large_is_413_then_reset_without_error),
        TEST(bodies_of_a_connection_have_a_limit_together),
        TEST(early_answers_end_the_stream_without_its_body),
        TEST(too_many_or_too_large_headers_are_431_and_the_connection_lives),
        TEST(a_header_flood_ends_the_connection),
        TEST(malformed_requests_are_reset_unseen),
        TEST(rapid_reset_is_told_to_calm_down),
        TEST(a_limit_lowered_by_a_reload_holds_for_open_connections),
        TEST(a_request_reset_in_the_same_read_is_never_begun),
        TEST(streams_beyond_the_limit_are_not_opened),
        TEST(a_stream_not_all_there_when_the_drain_ends_is_told_so),
        TEST(drain_tells_twice_and_lets_open_streams_end),
        TEST(time_limits_hold_for_heads_bodies_and_idle_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
