/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <string.h>

#include "tests/unit/daemon/http_fixture.h"

static const char proxy_v2[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"
                               "\xcb\x00\x71\x09\x7f\x00\x00\x01\x12\x34\x01\xbb";
static const char local_v2[] = "\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

static void open_proxied(struct http_fixture *fixture, const struct listener_limits *limits,
                         struct tls_set *tls)
{
    http_fixture_open_door(fixture, limits, tls,
                           &(struct listener_door){.tls = tls != NULL, .proxy_protocol = true});
}

static void assert_kept_client(struct http_client *client, unsigned seen, const char *address)
{
    http_fixture_await_seen(client, seen);
    struct http_seen *last = &client->fixture->seen[seen - 1];
    assert_string_equal(exchange_client(last->exchange), address);
    http_seen_respond(client->fixture, last, "done");
    assert_true(http_client_await(client, "done"));
}

static void the_proxy_header_names_the_client(void **state)
{
    (void)state;
    struct http_fixture *fixture = test_calloc(1, sizeof *fixture);
    struct http_client client;
    open_proxied(fixture, NULL, NULL);
    http_client_open(&client, fixture);
    http_client_say(&client, "PROXY TCP4 192.0.2.7 127.0.0.1 5 443\r\n"
                             "GET /keep HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_kept_client(&client, 1, "192.0.2.7");
    http_client_say(&client, "GET /keep HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_kept_client(&client, 2, "192.0.2.7");
    http_client_close(&client);
    http_client_open(&client, fixture);
    http_client_send(&client, proxy_v2, sizeof proxy_v2 - 1);
    http_client_say(&client, "GET /keep HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_kept_client(&client, 3, "203.0.113.9");
    http_client_close(&client);
    http_client_open(&client, fixture); /* a health check keeps the socket's address */
    http_client_send(&client, local_v2, sizeof local_v2 - 1);
    http_client_say(&client, "GET /keep HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_kept_client(&client, 4, "127.0.0.1");
    http_client_close(&client);
    http_fixture_close(fixture);
    test_free(fixture);
}

static void the_proxy_header_may_come_in_pieces(void **state)
{
    (void)state;
    struct http_fixture *fixture = test_calloc(1, sizeof *fixture);
    struct http_client client;
    open_proxied(fixture, NULL, NULL);
    http_client_open(&client, fixture);
    for (size_t i = 0; i < sizeof proxy_v2 - 2; i++) {
        http_client_send(&client, proxy_v2 + i, 1);
        http_client_pump(&client);
    }
    http_client_send(&client, proxy_v2 + sizeof proxy_v2 - 2, 1);
    http_client_say(&client, "GET /keep HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_kept_client(&client, 1, "203.0.113.9");
    http_client_close(&client);
    http_fixture_close(fixture);
    test_free(fixture);
}

static void the_proxy_header_goes_before_tls(void **state)
{
    (void)state;
    struct tls_set *server_tls;
    SSL_CTX *client_tls;
    http_fixture_tls(&server_tls, &client_tls);
    struct http_fixture *fixture = test_calloc(1, sizeof *fixture);
    struct http_client client;
    open_proxied(fixture, NULL, server_tls);
    http_client_open(&client, fixture);
    http_client_send(&client, proxy_v2, sizeof proxy_v2 - 1);
    client.ssl = SSL_new(client_tls);
    assert_int_equal(SSL_set_fd(client.ssl, client.fd), 1);
    int answer;
    while ((answer = SSL_connect(client.ssl)) != 1) {
        assert_int_equal(SSL_get_error(client.ssl, answer), SSL_ERROR_WANT_READ);
        http_fixture_turn(fixture);
    }
    http_client_say(&client, "GET /keep HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_kept_client(&client, 1, "203.0.113.9");
    http_client_close(&client);
    http_fixture_close(fixture);
    test_free(fixture);
    tls_set_unref(server_tls);
    SSL_CTX_free(client_tls);
}

static void without_a_proxy_header_the_connection_is_refused(void **state)
{
    static const char *const cases[] = {
        "GET /echo HTTP/1.1\r\nhost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "PROXY TCP4 1.2.3 127.0.0.1 5 443\r\nGET /echo HTTP/1.1\r\nhost: a\r\n\r\n", "x"};
    (void)state;
    struct http_fixture *fixture = test_calloc(1, sizeof *fixture);
    struct http_client client;
    struct listener_stats stats;
    open_proxied(fixture, NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        http_client_open(&client, fixture);
        http_client_say(&client, cases[i]);
        assert_true(http_client_await_close(&client));
        assert_int_equal(client.in.count, 0);
        http_client_close(&client);
        listener_stats(fixture->listener, &stats);
        assert_int_equal(stats.proxy_errors, i + 1);
    }
    assert_int_equal(fixture->seen_count, 0);
    http_fixture_close(fixture);
    test_free(fixture);
}

static void a_proxy_header_that_does_not_come_ends_in_time(void **state)
{
    (void)state;
    struct http_fixture *fixture = test_calloc(1, sizeof *fixture);
    struct http_client client;
    struct listener_limits limits;
    struct listener_stats stats;
    listener_limits_default(&limits);
    limits.header_timeout_ms = 20;
    open_proxied(fixture, &limits, NULL);
    http_client_open(&client, fixture);
    http_client_say(&client, "PROXY TCP4 192.0.2.7 ");
    assert_true(http_client_await_close(&client));
    http_client_close(&client);
    listener_stats(fixture->listener, &stats);
    assert_int_equal(stats.timeouts, 1);
    assert_int_equal(stats.proxy_errors, 0);
    http_fixture_close(fixture);
    test_free(fixture);
}

/* The fixture's clients come from 127.0.0.1, which is a proxy of ours here. */
static void trust(struct http_fixture *fixture, struct network *network, const char *text)
{
    assert_int_equal(network_parse(text, network, NULL), 0);
    const struct listener_trust trusting = {.proxies = {.networks = network, .count = 1}};
    listener_set_trust(fixture->listener, &trusting);
}

static void a_trusted_proxy_names_the_client_of_each_request(void **state)
{
    (void)state;
    struct http_fixture *fixture = test_calloc(1, sizeof *fixture);
    struct http_client client;
    struct network network;
    struct listener_stats stats;
    http_fixture_open(fixture, NULL, NULL);
    trust(fixture, &network, "127.0.0.0/8");
    http_client_open(&client, fixture);
    http_client_say(&client, "GET /keep HTTP/1.1\r\nhost: a\r\nX-Forwarded-For: 198.51.100.1\r\n"
                             "x-forwarded-for: 203.0.113.9\r\n\r\n");
    assert_kept_client(&client, 1, "203.0.113.9");
    http_client_say(&client, "GET /keep HTTP/1.1\r\nhost: a\r\n"
                             "Forwarded: for=\"[2001:db8::7]:1\"\r\n\r\n");
    assert_kept_client(&client, 2, "2001:db8::7");
    http_client_say(&client, "GET /keep HTTP/1.1\r\nhost: a\r\n\r\n"); /* its own */
    assert_kept_client(&client, 3, "127.0.0.1");
    http_client_say(&client, "GET /keep HTTP/1.1\r\nhost: a\r\nx-forwarded-for: me\r\n\r\n");
    assert_kept_client(&client, 4, "127.0.0.1");
    listener_stats(fixture->listener, &stats);
    assert_int_equal(stats.forwarded_errors, 1);
    http_client_close(&client);
    http_fixture_close(fixture);
    test_free(fixture);
}

static void a_stranger_names_nobody(void **state)
{
    (void)state;
    struct http_fixture *fixture = test_calloc(1, sizeof *fixture);
    struct http_client client;
    struct network network;
    struct listener_stats stats;
    http_fixture_open(fixture, NULL, NULL);
    for (unsigned i = 0; i < 2; i++) { /* nobody is trusted; somebody else is */
        http_client_open(&client, fixture);
        http_client_say(&client, "GET /keep HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 1.2.3.4\r\n"
                                 "forwarded: for=1.2.3.4\r\n\r\n");
        assert_kept_client(&client, i + 1, "127.0.0.1");
        http_client_close(&client);
        trust(fixture, &network, "10.0.0.0/8");
    }
    listener_stats(fixture->listener, &stats);
    assert_int_equal(stats.forwarded_errors, 0);
    http_fixture_close(fixture);
    test_free(fixture);
}

/* Behind a balancer that speaks the PROXY protocol it is the address in there that must be
 * trusted, and the balancer itself for the header before it. */
static void trust_goes_with_the_proxy_header(void **state)
{
    (void)state;
    struct http_fixture *fixture = test_calloc(1, sizeof *fixture);
    struct http_client client;
    struct network network;
    struct listener_stats stats;
    open_proxied(fixture, NULL, NULL);
    trust(fixture, &network, "127.0.0.0/8");
    http_client_open(&client, fixture);
    http_client_say(&client, "PROXY TCP4 192.0.2.7 127.0.0.1 5 443\r\nGET /keep HTTP/1.1\r\n"
                             "host: a\r\nx-forwarded-for: 203.0.113.9\r\n\r\n");
    assert_kept_client(&client, 1, "192.0.2.7");
    http_client_close(&client);
    http_client_open(&client, fixture);
    http_client_say(&client, "PROXY TCP4 127.0.0.5 127.0.0.1 5 443\r\nGET /keep HTTP/1.1\r\n"
                             "host: a\r\nx-forwarded-for: 203.0.113.9\r\n\r\n");
    assert_kept_client(&client, 2, "203.0.113.9");
    http_client_close(&client);
    trust(fixture, &network, "10.0.0.0/8");
    http_client_open(&client, fixture);
    http_client_say(&client, "PROXY TCP4 10.0.0.5 127.0.0.1 5 443\r\n");
    assert_true(http_client_await_close(&client));
    http_client_close(&client);
    listener_stats(fixture->listener, &stats);
    assert_int_equal(stats.proxy_errors, 1);
    http_fixture_close(fixture);
    test_free(fixture);
}

/* A connection that waits in the queue, or whose request is on its way, is answered still. */
static void who_came_before_the_drain_is_answered(void **state)
{
    (void)state;
    struct http_fixture *fixture = test_calloc(1, sizeof *fixture);
    struct http_client accepted, waiting, silent;
    struct listener_stats stats;
    http_fixture_open(fixture, NULL, NULL);
    http_client_open(&accepted, fixture);
    http_client_open(&silent, fixture);
    for (stats.accepted = 0; stats.accepted < 2; listener_stats(fixture->listener, &stats))
        http_fixture_turn(fixture);
    http_client_open(&waiting, fixture);
    http_client_say(&waiting, "GET /echo HTTP/1.1\r\nhost: a\r\n\r\n");
    listener_drain(fixture->listener);
    http_client_say(&accepted, "GET /echo HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_true(http_client_await(&waiting, "connection: close\r\n\r\nGET"));
    assert_true(http_client_await(&accepted, "connection: close\r\n\r\nGET"));
    http_client_close(&waiting);
    http_client_close(&accepted);
    assert_true(http_client_await_close(&silent)); /* in a second at most, and it is no offence */
    http_client_close(&silent);
    listener_stats(fixture->listener, &stats);
    assert_int_equal(stats.accepted, 3);
    assert_int_equal(stats.timeouts, 0);
    http_fixture_close(fixture);
    test_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_proxy_header_names_the_client),
        cmocka_unit_test(the_proxy_header_may_come_in_pieces),
        cmocka_unit_test(the_proxy_header_goes_before_tls),
        cmocka_unit_test(without_a_proxy_header_the_connection_is_refused),
        cmocka_unit_test(a_proxy_header_that_does_not_come_ends_in_time),
        cmocka_unit_test(a_trusted_proxy_names_the_client_of_each_request),
        cmocka_unit_test(a_stranger_names_nobody),
        cmocka_unit_test(trust_goes_with_the_proxy_header),
        cmocka_unit_test(who_came_before_the_drain_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
