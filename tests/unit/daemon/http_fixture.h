/* SPDX-License-Identifier: Apache-2.0 */
/* http_fixture.h -- a listener on loopback, an application that answers by path, and clients that
 * share its event loop, so that a test is one thread and waits for events, never for time.
 *
 *     /echo    the body (or the method, when there is none)
 *     /early   401 from on_headers
 *     /keep    kept for the test to answer: fixture.seen[]
 *     /stream  begun, kept
 *     /abort   begun, then aborted
 *     else     404 */
#ifndef WEIR_TESTS_HTTP_FIXTURE_H
#define WEIR_TESTS_HTTP_FIXTURE_H

#include "base/text.h"
#include "daemon/http/listener.h"
#include "daemon/http/tls_set.h"

#include <event2/event.h>
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>

#define HTTP_FIXTURE_SEEN_MAX 2048

/* What the application knows of one exchange. */
struct http_seen {
    struct exchange *exchange; /* NULL when it may not be named any more */
    unsigned headers, requests, writables, gone;
    bool complete; /* answered in full: on_gone would be wrong from here on */
};

struct http_fixture {
    struct event_base *base;
    struct event *tick;
    struct listener *listener;
    struct listener_limits limits;
    struct exchange_handler handler;
    struct tls_set *tls;
    uint16_t port;
    struct http_seen seen[HTTP_FIXTURE_SEEN_MAX];
    unsigned seen_count, gone, refused;
    bool inside_call; /* the test or application is in an exchange_*() call: no callback may come */
};

/* limits NULL: the defaults. tls may be NULL; borrowed. */
void http_fixture_open(struct http_fixture *fixture, const struct listener_limits *limits,
                       struct tls_set *tls);
/* As above, with `is` for all of the door but its socket. */
void http_fixture_open_door(struct http_fixture *fixture, const struct listener_limits *limits,
                            struct tls_set *tls, const struct listener_door *is);
void http_fixture_close(struct http_fixture *fixture);
void http_fixture_turn(struct http_fixture *fixture); /* waits for an event, at most a tick */

/* A kept exchange's answers, with the checks of `inside_call` around them. */
void http_seen_respond(struct http_fixture *fixture, struct http_seen *seen, const char *body);
size_t http_seen_write(struct http_fixture *fixture, struct http_seen *seen, const void *bytes,
                       size_t count);
void http_seen_end(struct http_fixture *fixture, struct http_seen *seen);
void http_seen_abort(struct http_fixture *fixture, struct http_seen *seen);

struct http_client {
    struct http_fixture *fixture;
    int fd;
    SSL *ssl; /* NULL for clear text */
    struct text in;
    bool closed, reset; /* by the server */
};
void http_client_open(struct http_client *client, struct http_fixture *fixture);
void http_client_close(struct http_client *client);
void http_client_send(struct http_client *client, const void *bytes, size_t count);
void http_client_say(struct http_client *client, const char *string);
void http_client_pump(struct http_client *client); /* a turn, then whatever came */
/* Until `in` has the string, or the connection is closed: true when it has. */
bool http_client_await(struct http_client *client, const char *string);
bool http_client_await_close(struct http_client *client);
void http_fixture_await_seen(struct http_client *client, unsigned count);
void http_fixture_await_gone(struct http_fixture *fixture, unsigned count);

#define H2_CLIENT_STREAMS_MAX 4096
struct h2_client_stream {
    uint32_t status, error_code;
    size_t body_bytes;
    char body[256]; /* its beginning */
    bool closed;
    const char *upload; /* request body still to send; borrowed */
    size_t upload_bytes;
    bool upload_held; /* END_STREAM is not sent */
};
struct h2_client {
    struct http_client wire;
    nghttp2_session *frames;
    struct h2_client_stream streams[H2_CLIENT_STREAMS_MAX]; /* by stream id / 2 */
    unsigned goaways;
    uint32_t goaway_error;
    int32_t goaway_last;
};
/* window: of each stream; 0 for the default. manual: windows are not opened again. */
void h2_client_open(struct h2_client *client, struct http_fixture *fixture, uint32_t window,
                    bool manual);
void h2_client_close(struct h2_client *client);
/* GET, or POST when body is given; hold leaves the request unfinished. Returns the stream id. */
int32_t h2_client_request(struct h2_client *client, const char *path, const char *body,
                          size_t body_bytes, bool hold);
void h2_client_pump(struct h2_client *client);
struct h2_client_stream *h2_client_stream(struct h2_client *client, int32_t id);
void h2_client_await_closed(struct h2_client *client, int32_t id); /* a stream */
void h2_client_await_seen(struct h2_client *client, unsigned count);

/* A self-signed certificate for localhost, new each time: server and client context. */
void http_fixture_tls(struct tls_set **ret_server, SSL_CTX **ret_client);

#endif
