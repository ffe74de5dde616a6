/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/unit/daemon/http_fixture.h"

#define HOST "host: a\r\n"

/* One fixture a test, too large for the stack. */
static int setup(void **state)
{
    *state = calloc(1, sizeof(struct http_fixture));
    return *state == NULL;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static unsigned count_of(const struct text *text, const char *string)
{
    unsigned count = 0;
    for (const char *at = text_string(text); (at = strstr(at, string)) != NULL; at++)
        count++;
    return count;
}

static void a_whole_answer_has_date_and_length_and_the_connection_lives_on(void **state)
{
    struct http_fixture *fixture = *state;
    struct http_client client;
    http_fixture_open(fixture, NULL, NULL);
    http_client_open(&client, fixture);
    for (int i = 0; i < 2; i++) {
        text_reset(&client.in);
        http_client_say(&client, "GET /echo?q=1 HTTP/1.1\r\n" HOST "\r\n");
        assert_true(http_client_await(&client, "\r\n\r\nGET"));
        assert_true(http_client_await(&client, "HTTP/1.1 200 OK\r\ndate: "));
        assert_true(http_client_await(&client, " GMT\r\n"));
        assert_true(http_client_await(&client, "content-length: 3\r\n"));
        assert_null(strstr(text_string(&client.in), "connection:"));
    }
    struct listener_stats stats;
    listener_stats(fixture->listener, &stats);
    assert_int_equal(stats.requests_h1, 2);
    assert_int_equal(stats.accepted, 1);
    assert_int_equal(stats.connections, 1);
    assert_int_equal(stats.exchanges, 0);
    http_client_close(&client);
    http_fixture_close(fixture);
}

static void a_request_may_come_byte_by_byte(void **state)
{
    struct http_fixture *fixture = *state;
    struct http_client client;
    http_fixture_open(fixture, NULL, NULL);
    http_client_open(&client, fixture);
    const char *request =
        "PUT /echo HTTP/1.1\r\n" HOST "transfer-encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n2;x\r\nde\r\n0\r\nt: v\r\n\r\nPROP /echo HTTP/1.1\r\n" HOST "\r\n";
    for (; *request != '\0'; request++) {
        http_client_send(&client, request, 1);
        http_client_pump(&client);
    }
    assert_true(http_client_await(&client, "\r\n\r\nabcde"));
    assert_true(http_client_await(&client, "\r\n\r\nPROP"));
    http_client_close(&client);
    http_fixture_close(fixture);
}

static void pipelined_requests_are_answered_in_order_one_at_a_time(void **state)
{
    struct http_fixture *fixture = *state;
    struct http_client client;
    http_fixture_open(fixture, NULL, NULL);
    http_client_open(&client, fixture);
    http_client_say(&client, "GET /keep HTTP/1.1\r\n" HOST "\r\n"
                             "POST /echo HTTP/1.1\r\n" HOST "content-length: 6\r\n\r\nsecond"
                             "GET /keep HTTP/1.1\r\n" HOST "\r\n");
    http_fixture_await_seen(&client, 1);
    for (int i = 0; i < 5; i++)
        http_client_pump(&client);
    assert_int_equal(fixture->seen_count, 1); /* the second waits for the first */
    assert_int_equal(client.in.count, 0);
    http_seen_respond(fixture, &fixture->seen[0], "first");
    http_fixture_await_seen(&client, 3);
    http_seen_respond(fixture, &fixture->seen[2], "third");
    assert_true(http_client_await(&client, "\r\n\r\nthird"));
    const char *in = text_string(&client.in);
    assert_true(strstr(in, "first") < strstr(in, "second"));
    assert_true(strstr(in, "second") < strstr(in, "third"));
    http_client_close(&client);
    http_fixture_close(fixture);
}

static void pipelining_without_end_waits_in_the_kernel(void **state)
{
    struct http_fixture *fixture = *state;
    struct http_client client;
    http_fixture_open(fixture, NULL, NULL);
    http_client_open(&client, fixture);
    http_client_say(&client, "GET /keep HTTP/1.1\r\n" HOST "\r\n");
    http_fixture_await_seen(&client, 1);
    const char next[] = "GET /echo HTTP/1.1\r\n" HOST "x: some more bytes\r\n\r\n";
    const unsigned flood = 2000; /* 64 KiB and more: beyond what is read ahead */
    for (unsigned i = 0; i < flood; i++)
        http_client_send(&client, next, sizeof next - 1);
    http_seen_respond(fixture, &fixture->seen[0], "first");
    for (unsigned turns = 0; count_of(&client.in, "\r\n\r\nGET") < flood && turns < 5000; turns++)
        http_client_pump(&client);
    assert_int_equal(count_of(&client.in, "\r\n\r\nGET"), flood);
    http_client_close(&client);
    http_fixture_close(fixture);
}

static void refusals_have_a_json_body_and_close(void **state)
{
    struct http_fixture *fixture = *state;
    static const struct {
        const char *request, *status;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/3.0\r\n" HOST "\r\n", "HTTP/1.1 505 "},
        {"POST /echo HTTP/1.1\r\n" HOST "content-length: 99\r\n\r\n", "HTTP/1.1 413 "},
        {"POST /echo HTTP/1.1\r\n" HOST "transfer-encoding: chunked\r\n\r\n"
         "21\r\n0123456789abcdef0123456789abcdefX\r\n",
         "HTTP/1.1 413 "},
        {"POST /echo HTTP/1.1\r\n" HOST "transfer-encoding: chunked\r\n\r\nzz\r\n",
         "HTTP/1.1 400 "},
        {"POST /echo HTTP/1.1\r\n" HOST "expect: magic\r\ncontent-length: 1\r\n\r\n",
         "HTTP/1.1 417 "},
    };
    struct listener_limits limits;
    listener_limits_default(&limits);
    limits.body_bytes_max = 32;
    http_fixture_open(fixture, &limits, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_client client;
        http_client_open(&client, fixture);
        http_client_say(&client, cases[i].request);
        assert_true(http_client_await_close(&client));
        assert_false(client.reset);
        const char *in = text_string(&client.in);
        assert_int_equal(strncmp(in, cases[i].status, strlen(cases[i].status)), 0);
        assert_non_null(strstr(in, "connection: close\r\n"));
        assert_non_null(strstr(in, "content-type: application/json\r\n"));
        assert_non_null(strstr(in, "\r\n\r\n{\"error\":{\"message\":\""));
        assert_non_null(strstr(in, "\"type\":\"invalid_request_error\",\"param\":null,\"code\":"));
        http_client_close(&client);
    }
    /* each is told once: as refused where it was never shown, else as gone */
    assert_int_equal(fixture->refused + fixture->gone, sizeof cases / sizeof *cases);
    assert_int_equal(fixture->gone, 2);
    http_fixture_close(fixture);
}

static void endless_heads_are_cut_off(void **state)
{
    struct http_fixture *fixture = *state;
    http_fixture_open(fixture, NULL, NULL);
    const char *const begins[] = {"GET /", "GET / HTTP/1.1\r\n" HOST "x: "};
    const char *const statuses[] = {"HTTP/1.1 414 ", "HTTP/1.1 431 "};
    char block[4096];
    memset(block, 'a', sizeof block);
    for (int i = 0; i < 2; i++) {
        struct http_client client;
        http_client_open(&client, fixture);
        http_client_say(&client, begins[i]);
        for (int j = 0; j < 64; j++)
            http_client_send(&client, block, sizeof block);
        assert_true(http_client_await_close(&client));
        assert_int_equal(strncmp(text_string(&client.in), statuses[i], strlen(statuses[i])), 0);
        http_client_close(&client);
    }
    http_fixture_close(fixture);
}

static void heads_past_the_set_limits_are_431_and_counted(void **state)
{
    struct http_fixture *fixture = *state;
    struct listener_limits limits;
    struct listener_stats stats;
    listener_limits_default(&limits);
    limits.headers_max = 3;
    limits.header_bytes_max = 64;
    http_fixture_open(fixture, &limits, NULL);
    static const char *const heads[] = {
        "GET /echo HTTP/1.1\r\n" HOST "a: 1\r\nb: 2\r\n\r\n",
        "GET /echo HTTP/1.1\r\n" HOST "a: 1\r\nb: 2\r\nc: 3\r\n\r\n",
        "GET /echo HTTP/1.1\r\n" HOST
        "a: 0123456789012345678901234567890123456789012345678901234567890123\r\n\r\n"};
    for (int i = 0; i < 3; i++) {
        struct http_client client;
        http_client_open(&client, fixture);
        http_client_say(&client, heads[i]);
        assert_true(http_client_await(&client, i == 0 ? "HTTP/1.1 200 " : "HTTP/1.1 431 "));
        assert_true(i == 0 || http_client_await(&client, "\"code\":\"headers_too_large\""));
        http_client_close(&client);
    }
    listener_stats(fixture->listener, &stats);
    assert_int_equal(stats.heads_refused, 2);
    http_fixture_close(fixture);
}

static void streams_are_chunked_and_end_by_close_for_http_1_0(void **state)
{
    struct http_fixture *fixture = *state;
    struct http_client client;
    http_fixture_open(fixture, NULL, NULL);
    http_client_open(&client, fixture);
    http_client_say(&client, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
    assert_true(http_client_await(&client, "transfer-encoding: chunked\r\n\r\n"));
    http_seen_write(fixture, &fixture->seen[0], "0123456789abcdef", 16);
    assert_true(http_client_await(&client, "\r\n\r\n10\r\n0123456789abcdef\r\n"));
    http_seen_end(fixture, &fixture->seen[0]);
    assert_true(http_client_await(&client, "abcdef\r\n0\r\n\r\n"));
    http_client_say(&client, "GET /echo HTTP/1.1\r\n" HOST "\r\n");
    assert_true(http_client_await(&client, "\r\n\r\nGET"));
    http_client_close(&client);

    http_client_open(&client, fixture);
    http_client_say(&client, "GET /stream HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
    assert_true(http_client_await(&client, "connection: close\r\n\r\n"));
    http_seen_write(fixture, &fixture->seen[2], "plain", 5);
    assert_true(http_client_await(&client, "\r\n\r\nplain"));
    http_seen_end(fixture, &fixture->seen[2]);
    assert_true(http_client_await_close(&client));
    assert_null(strstr(text_string(&client.in), "chunked"));
    http_client_close(&client);
    http_fixture_close(fixture);
}

static void http_1_0_stays_open_only_when_asked(void **state)
{
    struct http_fixture *fixture = *state;
    struct http_client client;
    http_fixture_open(fixture, NULL, NULL);
    http_client_open(&client, fixture);
    http_client_say(&client, "GET /echo HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    assert_true(http_client_await(&client, "connection: keep-alive\r\n\r\nGET"));
    http_client_say(&client, "GET /echo HTTP/1.0\r\n\r\n");
    assert_true(http_client_await(&client, "connection: close\r\n\r\nGET"));
    assert_true(http_client_await_close(&client));
    http_client_close(&client);
    http_fixture_close(fixture);
}

static void head_has_the_length_but_no_body(void **state)
{
    struct http_fixture *fixture = *state;
    struct http_client client;
    http_fixture_open(fixture, NULL, NULL);
    http_client_open(&client, fixture);
    http_client_say(&client, "HEAD /echo HTTP/1.1\r\n" HOST "\r\n"
                             "GET /echo HTTP/1.1\r\n" HOST "connection: close\r\n\r\n");
    assert_true(http_client_await_close(&client));
    assert_true(http_client_await(&client, "content-length: 4\r\n\r\nHTTP/1.1 200 OK"));
    http_client_close(&client);
    http_fixture_close(fixture);
}

static void expect_100_continue_is_answered_before_the_body(void **state)
{
    struct http_fixture *fixture = *state;
    struct http_client client;
    http_fixture_open(fixture, NULL, NULL);
    http_client_open(&client, fixture);
    const char head[] = HOST "expect: 100-continue\r\ncontent-length: 3\r\n\r\n";
    http_client_say(&client, "POST /echo HTTP/1.1\r\n");
    http_client_say(&client, head);
    assert_true(http_client_await(&client, "HTTP/1.1 100 Continue\r\n\r\n"));
    http_client_say(&client, "abc");
    assert_true(http_client_await(&client, "\r\n\r\nabc"));
    /* Answered instead: nobody knows whether the body will come, so this is the end. */
    text_reset(&client.in);
    http_client_say(&client, "POST /early HTTP/1.1\r\n");
    http_client_say(&client, head);
    assert_true(http_client_await_close(&client));
    assert_null(strstr(text_string(&client.in), "100 Continue"));
    assert_non_null(strstr(text_string(&client.in), "401 Unauthorized\r\n"));
    http_client_close(&client);
    http_fixture_close(fixture);
}

static void an_early_answer_lets_the_rest_of_the_body_pass(void **state)
{
    struct http_fixture *fixture = *state;
    struct http_client client;
    http_fixture_open(fixture, NULL, NULL);
    http_client_open(&client, fixture);
    http_client_say(&client, "POST /early HTTP/1.1\r\n" HOST "content-length: 10\r\n\r\n01234");
    assert_true(http_client_await(&client, "\r\n\r\nno"));
    http_client_say(&client, "56789POST /early HTTP/1.1\r\n" HOST
                             "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                             "GET /echo HTTP/1.1\r\n" HOST "\r\n");
    assert_true(http_client_await(&client, "\r\n\r\nGET"));
    assert_int_equal(fixture->seen_count, 3);
    assert_int_equal(fixture->seen[0].requests + fixture->seen[1].requests, 0);
    http_client_close(&client);
    http_fixture_close(fixture);
}

static void upgrade_to_h2c_is_ignored(void **state)
{
    struct http_fixture *fixture = *state;
    struct http_client client;
    http_fixture_open(fixture, NULL, NULL);
    http_client_open(&client, fixture);
    http_client_say(&client, "PRI /echo HTTP/1.1\r\n" HOST "connection: upgrade, http2-settings\r\n"
                             "upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n");
    assert_true(http_client_await(&client, "HTTP/1.1 200 OK"));
    assert_true(http_client_await(&client, "\r\n\r\nPRI"));
    http_client_close(&client);
    http_fixture_close(fixture);
}

static void time_limits_answer_408_or_close(void **state)
{
    struct http_fixture *fixture = *state;
    static const struct {
        const char *says;
        bool answered;
    } cases[] = {
        {"", false},
        {"PRI", false}, /* could still be either protocol */
        {"GET / HT", true},
        {"POST /echo HTTP/1.1\r\n" HOST "content-length: 5\r\n\r\nab", true},
        {"POST /echo HTTP/1.1\r\n" HOST "transfer-encoding: chunked\r\n\r\n5\r\nab", true},
    };
    struct listener_limits limits;
    listener_limits_default(&limits);
    limits.header_timeout_ms = limits.body_timeout_ms = limits.idle_timeout_ms = 20;
    http_fixture_open(fixture, &limits, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_client client;
        http_client_open(&client, fixture);
        http_client_say(&client, cases[i].says);
        assert_true(http_client_await_close(&client));
        if (cases[i].answered)
            assert_int_equal(strncmp(text_string(&client.in), "HTTP/1.1 408 ", 13), 0);
        else
            assert_int_equal(client.in.count, 0);
        http_client_close(&client);
    }
    struct http_client client; /* idle after a request: closed without a word */
    http_client_open(&client, fixture);
    http_client_say(&client, "GET /echo HTTP/1.1\r\n" HOST "\r\n");
    assert_true(http_client_await_close(&client));
    assert_non_null(strstr(text_string(&client.in), "\r\n\r\nGET"));
    assert_int_equal(count_of(&client.in, "HTTP/1.1 "), 1);
    http_client_close(&client);
    struct listener_stats stats;
    listener_stats(fixture->listener, &stats);
    assert_int_equal(stats.timeouts, 6);
    assert_int_equal(fixture->gone, 2); /* the two bodies that never came */
    http_fixture_close(fixture);
}

static void a_client_that_takes_nothing_is_closed(void **state)
{
    struct http_fixture *fixture = *state;
    struct http_client client;
    struct listener_limits limits;
    listener_limits_default(&limits);
    limits.write_timeout_ms = 30;
    http_fixture_open(fixture, &limits, NULL);
    http_client_open(&client, fixture);
    http_client_say(&client, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
    http_fixture_await_seen(&client, 1);
    char *block = calloc(1, 1024 * 1024);
    for (int i = 0; i < 15; i++)
        (void)http_seen_write(fixture, &fixture->seen[0], block, 1024 * 1024);
    free(block);
    http_fixture_await_gone(fixture, 1); /* turns without the client reading */
    http_client_close(&client);
    http_fixture_close(fixture);
}

static void connections_beyond_the_limit_are_closed_at_once(void **state)
{
    struct http_fixture *fixture = *state;
    struct http_client first, second;
    struct listener_limits limits;
    listener_limits_default(&limits);
    limits.connections_max = 1;
    http_fixture_open(fixture, &limits, NULL);
    http_client_open(&first, fixture);
    http_client_say(&first, "GET /echo HTTP/1.1\r\n" HOST "\r\n");
    assert_true(http_client_await(&first, "\r\n\r\nGET"));
    http_client_open(&second, fixture);
    assert_true(http_client_await_close(&second));
    struct listener_stats stats;
    listener_stats(fixture->listener, &stats);
    assert_int_equal(stats.refused, 1);
    http_client_close(&first);
    http_client_close(&second);
    http_fixture_close(fixture);
}

static void running_out_of_descriptors_pauses_accepting_without_spinning(void **state)
{
    struct http_fixture *fixture = *state;
    struct http_client client;
    http_fixture_open(fixture, NULL, NULL);
    http_client_open(&client, fixture);
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0; /* open ones stay, new ones fail with EMFILE */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 10; i++)
        http_client_pump(&client);
    /* Only the tick and the pause's timer are left: nothing that could be ready at once. */
    assert_int_equal(event_base_get_num_events(fixture->base, EVENT_BASE_COUNT_ADDED), 2);
    struct listener_stats stats;
    listener_stats(fixture->listener, &stats);
    assert_int_equal(stats.accepted, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    http_client_say(&client, "GET /echo HTTP/1.1\r\n" HOST "\r\n");
    assert_true(http_client_await(&client, "\r\n\r\nGET"));
    http_client_close(&client);
    http_fixture_close(fixture);
}

static void drain_closes_idle_connections_and_says_close_on_busy_ones(void **state)
{
    struct http_fixture *fixture = *state;
    struct http_client idle, busy;
    http_fixture_open(fixture, NULL, NULL);
    http_client_open(&idle, fixture);
    http_client_say(&idle, "GET /echo HTTP/1.1\r\n" HOST "\r\n");
    assert_true(http_client_await(&idle, "\r\n\r\nGET"));
    http_client_open(&busy, fixture);
    http_client_say(&busy, "GET /keep HTTP/1.1\r\n" HOST "\r\n");
    http_fixture_await_seen(&busy, 2);
    listener_drain(fixture->listener);
    listener_drain(fixture->listener);
    assert_true(http_client_await_close(&idle));
    http_seen_respond(fixture, &fixture->seen[1], "done");
    assert_true(http_client_await_close(&busy));
    assert_non_null(strstr(text_string(&busy.in), "connection: close\r\n\r\ndone"));
    http_client_close(&idle);
    http_client_close(&busy);
    http_fixture_close(fixture);
}

static void expect_cut(struct http_client *client)
{
    assert_true(http_client_await_close(client));
    assert_int_equal(strncmp(text_string(&client->in), "HTTP/1.1 503 ", 13), 0);
    assert_non_null(strstr(text_string(&client->in), "connection: close\r\n"));
    assert_non_null(strstr(text_string(&client->in), "\"code\":\"shutting_down\""));
    assert_false(client->reset);
}

static void what_is_not_all_there_when_the_drain_ends_is_told_so(void **state)
{
    struct http_fixture *fixture = *state;
    struct http_client body, chunked, head, kept;
    struct listener_stats stats;
    http_fixture_open(fixture, NULL, NULL);
    http_client_open(&body, fixture);
    http_client_say(&body, "POST /echo HTTP/1.1\r\n" HOST "content-length: 9\r\n\r\nhalf");
    http_fixture_await_seen(&body, 1);
    http_client_open(&chunked, fixture);
    http_client_say(&chunked,
                    "POST /echo HTTP/1.1\r\n" HOST "transfer-encoding: chunked\r\n\r\n4\r\nha");
    http_fixture_await_seen(&chunked, 2);
    http_client_open(&kept, fixture);
    http_client_say(&kept, "GET /keep HTTP/1.1\r\n" HOST "\r\n");
    http_fixture_await_seen(&kept, 3);
    http_client_open(&head, fixture);
    http_client_say(&head, "GET /echo HTTP/1.1\r\nho");
    for (int i = 0; i < 10; i++)
        http_fixture_turn(fixture);
    listener_drain(fixture->listener);
    listener_cut(fixture->listener);
    listener_cut(fixture->listener); /* said once */
    expect_cut(&body);
    expect_cut(&chunked);
    expect_cut(&head);
    assert_int_equal(fixture->gone, 2); /* of those that it was shown; the third is its to answer */
    http_seen_respond(fixture, &fixture->seen[2], "done");
    assert_true(http_client_await_close(&kept));
    assert_non_null(strstr(text_string(&kept.in), "connection: close\r\n\r\ndone"));
    listener_stats(fixture->listener, &stats);
    assert_int_equal(stats.protocol_errors, 0); /* nobody did wrong */
    http_client_close(&body);
    http_client_close(&chunked);
    http_client_close(&head);
    http_client_close(&kept);
    http_fixture_close(fixture);
}

static void a_first_request_on_its_way_is_served_while_draining(void **state)
{
    struct http_fixture *fixture = *state;
    struct http_client accepted, queued;
    http_fixture_open(fixture, NULL, NULL);
    http_client_open(&accepted, fixture);
    http_fixture_turn(fixture);
    http_client_open(&queued, fixture); /* the kernel has it, we have not */
    listener_drain(fixture->listener);
    http_client_say(&queued, "GET /echo HTTP/1.1\r\n" HOST "\r\n");
    http_client_say(&accepted, "GET /echo HTTP/1.1\r\n" HOST "\r\n");
    assert_true(http_client_await_close(&accepted));
    assert_true(http_client_await_close(&queued));
    assert_non_null(strstr(text_string(&accepted.in), "connection: close\r\n\r\nGET"));
    assert_non_null(strstr(text_string(&queued.in), "connection: close\r\n\r\nGET"));
    assert_false(accepted.reset || queued.reset);
    http_client_close(&accepted);
    http_client_close(&queued);
    http_fixture_close(fixture);
}

static void who_says_nothing_does_not_hold_up_a_drain(void **state)
{
    struct http_fixture *fixture = *state;
    struct http_client client;
    struct listener_stats stats;
    http_fixture_open(fixture, NULL, NULL);
    http_client_open(&client, fixture);
    listener_drain(fixture->listener);
    assert_true(http_client_await_close(&client));
    assert_false(client.reset);
    listener_stats(fixture->listener, &stats);
    assert_int_equal(stats.timeouts, 0); /* nobody was slow */
    http_client_close(&client);
    http_fixture_close(fixture);
}

/* The answer is complete, and more of it than the kernel takes waits for its reader. */
static void a_drain_waits_for_slow_readers(void **state)
{
    struct http_fixture *fixture = *state;
    struct http_client client;
    struct listener_stats stats;
    const size_t bytes = 8u << 20;
    char *body = calloc(1, bytes);
    assert_non_null(body);
    http_fixture_open(fixture, NULL, NULL);
    http_client_open(&client, fixture);
    http_client_say(&client, "GET /stream HTTP/1.0\r\n\r\n");
    http_fixture_await_seen(&client, 1);
    (void)http_seen_write(fixture, &fixture->seen[0], body, bytes);
    http_seen_end(fixture, &fixture->seen[0]);
    listener_drain(fixture->listener);
    for (int turns = 0; turns < 20; turns++) {
        http_fixture_turn(fixture);
        listener_stats(fixture->listener, &stats);
        assert_int_equal(stats.connections, 1);
    }
    assert_true(http_client_await_close(&client));
    assert_true(client.in.count > bytes);
    http_client_close(&client);
    http_fixture_close(fixture);
    free(body);
}

static void an_answers_headers_cannot_split_it(void **state)
{
    struct http_fixture *fixture = *state;
    struct http_client client;
    http_fixture_open(fixture, NULL, NULL);
    http_client_open(&client, fixture);
    http_client_say(&client, "GET /keep HTTP/1.1\r\n" HOST "\r\n");
    http_fixture_await_seen(&client, 1);
    const struct http_header headers[] = {
        {"x-model", "a\r\nset-cookie: b"}, {"content-length", "99"}, {"x-fine", "yes"}};
    exchange_respond(fixture->seen[0].exchange, 200, headers, 3, "ok", 2);
    fixture->seen[0].complete = true;
    assert_true(http_client_await(&client, "\r\n\r\nok"));
    assert_null(strstr(text_string(&client.in), "set-cookie"));
    assert_null(strstr(text_string(&client.in), "99"));
    assert_non_null(strstr(text_string(&client.in), "x-fine: yes\r\n"));
    http_client_close(&client);
    http_fixture_close(fixture);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_whole_answer_has_date_and_length_and_the_connection_lives_on),
        TEST(a_request_may_come_byte_by_byte),
        TEST(pipelined_requests_are_answered_in_order_one_at_a_time),
        TEST(pipelining_without_end_waits_in_the_kernel),
        TEST(refusals_have_a_json_body_and_close),
        TEST(endless_heads_are_cut_off),
        TEST(heads_past_the_set_limits_are_431_and_counted),
        TEST(streams_are_chunked_and_end_by_close_for_http_1_0),
        TEST(http_1_0_stays_open_only_when_asked),
        TEST(head_has_the_length_but_no_body),
        TEST(expect_100_continue_is_answered_before_the_body),
        TEST(an_early_answer_lets_the_rest_of_the_body_pass),
        TEST(upgrade_to_h2c_is_ignored),
        TEST(time_limits_answer_408_or_close),
        TEST(a_client_that_takes_nothing_is_closed),
        TEST(connections_beyond_the_limit_are_closed_at_once),
        TEST(running_out_of_descriptors_pauses_accepting_without_spinning),
        TEST(what_is_not_all_there_when_the_drain_ends_is_told_so),
        TEST(a_first_request_on_its_way_is_served_while_draining),
        TEST(who_says_nothing_does_not_hold_up_a_drain),
        TEST(a_drain_waits_for_slow_readers),
        TEST(drain_closes_idle_connections_and_says_close_on_busy_ones),
        TEST(an_answers_headers_cannot_split_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
