/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/daemon/http_fixture.h"

struct tls_state {
    struct http_fixture fixture;
    struct h2_client client;
    struct tls_set *server_tls;
    SSL_CTX *client_tls;
};

static int setup(void **state)
{
    struct tls_state *test = calloc(1, sizeof *test);
    if (test == NULL)
        return 1;
    http_fixture_tls(&test->server_tls, &test->client_tls);
    *state = test;
    return 0;
}

static int teardown(void **state)
{
    struct tls_state *test = *state;
    tls_set_unref(test->server_tls);
    SSL_CTX_free(test->client_tls);
    free(test);
    return 0;
}

/* Shakes hands, offering these protocols; false when the server would not. */
static bool shake_hands(struct http_client *client, SSL_CTX *context, const char *alpn)
{
    client->ssl = SSL_new(context);
    assert_non_null(client->ssl);
    assert_int_equal(SSL_set_fd(client->ssl, client->fd), 1);
    if (alpn != NULL)
        assert_int_equal(
            SSL_set_alpn_protos(client->ssl, (const unsigned char *)alpn, (unsigned)strlen(alpn)),
            0);
    for (int turns = 0; turns < 20000; turns++) {
        int answer = SSL_connect(client->ssl);
        if (answer == 1)
            return true;
        if (SSL_get_error(client->ssl, answer) != SSL_ERROR_WANT_READ)
            return false;
        http_fixture_turn(client->fixture);
    }
    return false;
}

static void alpn_chooses_http_2(void **state)
{
    struct tls_state *test = *state;
    struct h2_client *client = &test->client;
    http_fixture_open(&test->fixture, NULL, test->server_tls);
    h2_client_open(client, &test->fixture, 0, false);
    assert_true(shake_hands(&client->wire, test->client_tls, "\x08http/1.1\x02h2"));
    const unsigned char *chosen;
    unsigned count;
    SSL_get0_alpn_selected(client->wire.ssl, &chosen, &count);
    assert_int_equal(count, 2);
    assert_memory_equal(chosen, "h2", 2);
    char *body = malloc(1024 * 1024);
    memset(body, 's', 1024 * 1024);
    int32_t id = h2_client_request(client, "/echo", body, 1024 * 1024, false);
    int32_t kept = h2_client_request(client, "/keep", NULL, 0, false);
    h2_client_await_closed(client, id);
    assert_int_equal(h2_client_stream(client, id)->body_bytes, 1024 * 1024);
    h2_client_await_seen(client, 2);
    struct http_seen *seen = &test->fixture.seen[0];
    if (seen->exchange == NULL)
        seen = &test->fixture.seen[1];
    assert_true(exchange_is_tls(seen->exchange));
    http_seen_respond(&test->fixture, seen, "secret");
    h2_client_await_closed(client, kept);
    assert_string_equal(h2_client_stream(client, kept)->body, "secret");
    free(body);
    h2_client_close(client);
    http_fixture_close(&test->fixture);
}

static void without_alpn_or_with_http_1_1_it_is_http_1_1(void **state)
{
    struct tls_state *test = *state;
    struct http_client *client = &test->client.wire;
    const char *const offers[] = {NULL, "\x08http/1.1"};
    http_fixture_open(&test->fixture, NULL, test->server_tls);
    for (int i = 0; i < 2; i++) {
        http_client_open(client, &test->fixture);
        assert_true(shake_hands(client, test->client_tls, offers[i]));
        http_client_say(client, "GET /echo HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_true(http_client_await(client, "\r\n\r\nGET"));
        http_client_say(client, "GET /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        assert_true(http_client_await_close(client));
        /* A close_notify: the client knows that nothing was cut off. */
        assert_int_equal(SSL_get_shutdown(client->ssl) & SSL_RECEIVED_SHUTDOWN,
                         SSL_RECEIVED_SHUTDOWN);
        http_client_close(client);
    }
    http_fixture_close(&test->fixture);
}

static void strangers_and_old_versions_are_turned_away(void **state)
{
    struct tls_state *test = *state;
    struct http_client *client = &test->client.wire;
    http_fixture_open(&test->fixture, NULL, test->server_tls);
    http_client_open(client, &test->fixture); /* a protocol that we do not speak */
    assert_false(shake_hands(client, test->client_tls, "\x04smtp"));
    /* The client is told why, before the close. */
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
    http_client_close(client);
    http_client_open(client, &test->fixture); /* no TLS at all */
    http_client_say(client, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_true(http_client_await_close(client));
    assert_null(strstr(text_string(&client->in), "HTTP/1.1"));
    http_client_close(client);
    (void)SSL_CTX_set_max_proto_version(test->client_tls, TLS1_1_VERSION);
    http_client_open(client, &test->fixture);
    assert_false(shake_hands(client, test->client_tls, NULL));
    http_client_close(client);
    (void)SSL_CTX_set_max_proto_version(test->client_tls, TLS1_2_VERSION);
    http_client_open(client, &test->fixture);
    assert_true(shake_hands(client, test->client_tls, NULL));
    http_client_say(client, "GET /keep HTTP/1.1\r\nhost: a\r\n\r\n");
    http_fixture_await_seen(client, 1);
    http_client_close(client);
    http_fixture_await_gone(&test->fixture, 1);
    http_fixture_close(&test->fixture);
}

static void a_handshake_that_stalls_is_closed(void **state)
{
    struct tls_state *test = *state;
    struct http_client *client = &test->client.wire;
    struct listener_limits limits;
    listener_limits_default(&limits);
    limits.header_timeout_ms = 20;
    http_fixture_open(&test->fixture, &limits, test->server_tls);
    http_client_open(client, &test->fixture);
    http_client_send(client, "\x16\x03\x01", 3);
    assert_true(http_client_await_close(client));
    http_client_close(client);
    http_fixture_close(&test->fixture);
}

static void missing_files_are_named(void **state)
{
    (void)state;
    struct error err = {0};
    const struct tls_pair pair = {(char *)"/nonexistent/cert.pem", (char *)"/nonexistent/key.pem",
                                  NULL, 0};
    const struct tls_settings settings = {.pairs = &pair, .pair_count = 1};
    assert_null(tls_set_new(&settings, &err));
    assert_int_equal(err.code, ERROR_INVALID);
    assert_non_null(strstr(err.text, "/nonexistent/cert.pem"));
    assert_int_equal(listener_bind("not an address", 0, NULL, &err), -1);
    assert_non_null(strstr(err.text, "not an address"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(alpn_chooses_http_2),
        TEST(without_alpn_or_with_http_1_1_it_is_http_1_1),
        TEST(strangers_and_old_versions_are_turned_away),
        TEST(a_handshake_that_stalls_is_closed),
        TEST(missing_files_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
