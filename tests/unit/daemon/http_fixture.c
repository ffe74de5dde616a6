/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/daemon/http_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS_MAX 20000 /* of a tick each: a wait that is not answered fails */

/* -- The application -- */

static struct http_seen *seen_of(struct http_fixture *fixture, struct exchange *exchange)
{
    struct http_seen *seen = exchange_owner(exchange);
    if (seen != NULL)
        return seen;
    assert_true(fixture->seen_count < HTTP_FIXTURE_SEEN_MAX);
    seen = &fixture->seen[fixture->seen_count++];
    seen->exchange = exchange;
    exchange_set_owner(exchange, seen);
    return seen;
}

static void complete(struct http_seen *seen)
{
    seen->complete = true;
    seen->exchange = NULL;
}

static void on_headers(void *application, struct exchange *exchange)
{
    struct http_fixture *fixture = application;
    assert_false(fixture->inside_call);
    struct http_seen *seen = seen_of(fixture, exchange);
    seen->headers++;
    if (strcmp(exchange_path(exchange), "/early") != 0)
        return;
    exchange_respond(exchange, 401, NULL, 0, "no", 2);
    assert_int_equal(exchange_status(exchange), 401); /* it outlives the call */
    complete(seen);
}

static void on_request(void *application, struct exchange *exchange)
{
    struct http_fixture *fixture = application;
    assert_false(fixture->inside_call);
    struct http_seen *seen = seen_of(fixture, exchange);
    assert_false(seen->complete);
    seen->requests++;
    const char *path = exchange_path(exchange);
    size_t count;
    const char *body = exchange_body(exchange, &count);
    fixture->inside_call = true;
    if (strcmp(path, "/echo") == 0) {
        const char *method = exchange_method(exchange);
        exchange_respond(exchange, 200, NULL, 0, count > 0 ? body : method,
                         count > 0 ? count : strlen(method));
        complete(seen);
    } else if (strcmp(path, "/stream") == 0 || strcmp(path, "/abort") == 0) {
        const struct http_header type = {"content-type", "text/event-stream"};
        exchange_stream_begin(exchange, 200, &type, 1);
        if (path[1] == 'a') {
            exchange_abort(exchange);
            complete(seen);
        }
    } else if (strcmp(path, "/keep") != 0) {
        exchange_respond(exchange, 404, NULL, 0, NULL, 0);
        complete(seen);
    }
    fixture->inside_call = false;
}

static void on_writable(void *application, struct exchange *exchange)
{
    struct http_fixture *fixture = application;
    assert_false(fixture->inside_call);
    seen_of(fixture, exchange)->writables++;
}

static void on_gone(void *application, struct exchange *exchange)
{
    struct http_fixture *fixture = application;
    assert_false(fixture->inside_call);
    struct http_seen *seen = exchange_owner(exchange);
    assert_non_null(seen);
    assert_false(seen->complete);
    assert_int_equal(seen->gone, 0);
    seen->gone++;
    seen->exchange = NULL;
    fixture->gone++;
}

/* Only of what was never shown, and with a status. */
static void on_refused(void *application, struct exchange *exchange)
{
    struct http_fixture *fixture = application;
    assert_false(fixture->inside_call);
    assert_null(exchange_owner(exchange));
    assert_true(exchange_refusal(exchange) >= 400);
    fixture->refused++;
}

void http_seen_respond(struct http_fixture *fixture, struct http_seen *seen, const char *body)
{
    fixture->inside_call = true;
    exchange_respond(seen->exchange, 200, NULL, 0, body, strlen(body));
    fixture->inside_call = false;
    complete(seen);
}

size_t http_seen_write(struct http_fixture *fixture, struct http_seen *seen, const void *bytes,
                       size_t count)
{
    fixture->inside_call = true;
    size_t waiting = exchange_stream_write(seen->exchange, bytes, count);
    fixture->inside_call = false;
    return waiting;
}

void http_seen_end(struct http_fixture *fixture, struct http_seen *seen)
{
    fixture->inside_call = true;
    exchange_stream_end(seen->exchange);
    fixture->inside_call = false;
    complete(seen);
}

void http_seen_abort(struct http_fixture *fixture, struct http_seen *seen)
{
    fixture->inside_call = true;
    exchange_abort(seen->exchange);
    fixture->inside_call = false;
    complete(seen);
}

/* -- The loop -- */

static void on_tick(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    (void)argument; /* it only ends the wait */
}

void http_fixture_open(struct http_fixture *fixture, const struct listener_limits *limits,
                       struct tls_set *tls)
{
    http_fixture_open_door(fixture, limits, tls, &(struct listener_door){.tls = tls != NULL});
}

void http_fixture_open_door(struct http_fixture *fixture, const struct listener_limits *limits,
                            struct tls_set *tls, const struct listener_door *is)
{
    memset(fixture, 0, sizeof *fixture);
    struct error err = {0};
    fixture->base = event_base_new();
    assert_non_null(fixture->base);
    if (limits != NULL)
        fixture->limits = *limits;
    else
        listener_limits_default(&fixture->limits);
    fixture->tls = tls;
    fixture->handler = (struct exchange_handler){.on_headers = on_headers,
                                                 .on_request = on_request,
                                                 .on_writable = on_writable,
                                                 .on_gone = on_gone,
                                                 .on_refused = on_refused,
                                                 .application = fixture};
    struct listener_door door = *is;
    door.fd = listener_bind("127.0.0.1", 0, &fixture->port, &err);
    assert_true(door.fd >= 0);
    struct listener_config config = {.base = fixture->base,
                                     .doors = &door,
                                     .door_count = 1,
                                     .tls = tls,
                                     .limits = fixture->limits,
                                     .handler = &fixture->handler};
    fixture->listener = listener_new(&config, &err);
    assert_non_null(fixture->listener);
    const struct timeval period = {0, 500};
    fixture->tick = event_new(fixture->base, -1, EV_PERSIST, on_tick, NULL);
    assert_int_equal(event_add(fixture->tick, &period), 0);
}

void http_fixture_close(struct http_fixture *fixture)
{
    listener_free(fixture->listener);
    event_free(fixture->tick);
    event_base_free(fixture->base);
    for (unsigned i = 0; i < fixture->seen_count; i++) /* each is complete or gone, never both */
        assert_int_equal(fixture->seen[i].gone + fixture->seen[i].complete, 1);
}

void http_fixture_turn(struct http_fixture *fixture)
{
    (void)event_base_loop(fixture->base, EVLOOP_ONCE);
}

void http_fixture_await_gone(struct http_fixture *fixture, unsigned count)
{
    for (unsigned turns = 0; fixture->gone < count && turns < TURNS_MAX; turns++)
        http_fixture_turn(fixture);
    assert_int_equal(fixture->gone, count);
}

/* -- A client of bytes -- */

void http_client_open(struct http_client *client, struct http_fixture *fixture)
{
    memset(client, 0, sizeof *client);
    client->fixture = fixture;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(client->fd >= 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(fixture->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(client->fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(fcntl(client->fd, F_SETFL, O_NONBLOCK), 0);
}

void http_client_close(struct http_client *client)
{
    SSL_free(client->ssl);
    client->ssl = NULL;
    if (client->fd >= 0)
        assert_int_equal(close(client->fd), 0);
    client->fd = -1;
    text_destroy(&client->in);
}

static ssize_t write_some(struct http_client *client, const char *bytes, size_t count)
{
    if (client->ssl == NULL)
        return send(client->fd, bytes, count, MSG_NOSIGNAL);
    int sent = SSL_write(client->ssl, bytes, (int)count);
    if (sent <= 0)
        errno = SSL_get_error(client->ssl, sent) == SSL_ERROR_SYSCALL ? EPIPE : EAGAIN;
    return sent <= 0 ? -1 : sent;
}

void http_client_send(struct http_client *client, const void *bytes, size_t count)
{
    const char *at = bytes;
    for (unsigned turns = 0; count > 0 && turns < TURNS_MAX && !client->closed; turns++) {
        ssize_t sent = write_some(client, at, count);
        if (sent < 0 && errno != EAGAIN)
            break; /* the server closed: the test looks at what it said */
        if (sent > 0) {
            at += sent;
            count -= (size_t)sent;
        } else {
            http_client_pump(client);
        }
    }
}

void http_client_say(struct http_client *client, const char *string)
{
    http_client_send(client, string, strlen(string));
}

void http_client_pump(struct http_client *client)
{
    http_fixture_turn(client->fixture);
    char bytes[16384];
    for (;;) {
        ssize_t got = client->ssl == NULL ? recv(client->fd, bytes, sizeof bytes, 0)
                                          : SSL_read(client->ssl, bytes, sizeof bytes);
        if (got > 0) {
            text_append(&client->in, bytes, (size_t)got);
            continue;
        }
        if (client->ssl != NULL)
            client->closed |= SSL_get_error(client->ssl, (int)got) != SSL_ERROR_WANT_READ;
        else if (got == 0 || errno != EAGAIN)
            client->closed = true;
        client->reset |= client->ssl == NULL && got < 0 && errno == ECONNRESET;
        return;
    }
}

bool http_client_await(struct http_client *client, const char *string)
{
    for (unsigned turns = 0; turns < TURNS_MAX; turns++) {
        const char *in = text_string(&client->in);
        if (memmem(in, client->in.count, string, strlen(string)) != NULL)
            return true;
        if (client->closed)
            return false;
        http_client_pump(client);
    }
    return false;
}

bool http_client_await_close(struct http_client *client)
{
    for (unsigned turns = 0; !client->closed && turns < TURNS_MAX; turns++)
        http_client_pump(client);
    return client->closed;
}

void http_fixture_await_seen(struct http_client *client, unsigned count)
{
    for (unsigned turns = 0; client->fixture->seen_count < count && turns < TURNS_MAX; turns++)
        http_client_pump(client);
    assert_int_equal(client->fixture->seen_count, count);
}
