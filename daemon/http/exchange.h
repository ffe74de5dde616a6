/* SPDX-License-Identifier: Apache-2.0 */
/* exchange.h -- one request and its answer, the same over HTTP/1.1 and HTTP/2.
 *
 * An exchange belongs to its worker's thread. The protocol (h1.c, h2.c) fills the request and
 * sends the answer; the application (daemon/api) reads the one and gives the other:
 *
 *     on_headers   the head is complete. The application may answer here, before any body is
 *                  read (wrong route, no key, queue full), and is not called again.
 *     on_request   the body is complete: answer now, or keep the exchange and answer later.
 *     on_writable  a stream's client took what was buffered: below EXCHANGE_BUFFER_LOW again.
 *     on_gone      the client reset the stream or the connection broke before the answer was
 *                  complete. After it, or after the answer's last byte was taken, the exchange is
 *                  freed by the protocol: `application` must not name it any more.
 *
 * exchange_respond*() and exchange_stream_*() may be called in callbacks or from the worker's
 * event loop at any later time. The answer is complete, for on_gone, when exchange_respond(),
 * exchange_stream_end() or exchange_abort() is called, sent or not: from then on no callback
 * comes, and the exchange lives until control is back in the event loop, no longer. on_gone comes
 * for every exchange that on_headers or on_request has shown and that is not complete, whatever
 * its owner; never from inside an exchange_*() call. */
#ifndef WEIR_DAEMON_HTTP_EXCHANGE_H
#define WEIR_DAEMON_HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXCHANGE_HEADERS_MAX      100u
#define EXCHANGE_HEADER_BYTES_MAX (32u * 1024u) /* names and values of one head, together */
#define EXCHANGE_PATH_BYTES_MAX   (8u * 1024u)
#define EXCHANGE_BUFFER_HIGH      (256u * 1024u) /* stream bytes waiting: the client is slow */
#define EXCHANGE_BUFFER_LOW       (64u * 1024u)

struct exchange;
struct tls_client;

enum http_version { HTTP_1_0, HTTP_1_1, HTTP_2 };

enum exchange_door {
    EXCHANGE_DOOR_PUBLIC = 1, /* requests of clients */
    EXCHANGE_DOOR_ADMIN = 2,  /* what operators look at and change */
};

struct http_header {
    const char *name; /* lower case in requests and answers alike */
    const char *value;
};

/* What the application gives to every connection. `application` is the server's, not the
 * exchange's; exchange_set_owner() keeps the per-request pointer. */
struct exchange_handler {
    void (*on_headers)(void *application, struct exchange *exchange); /* may be NULL */
    void (*on_request)(void *application, struct exchange *exchange);
    void (*on_writable)(void *application, struct exchange *exchange); /* may be NULL */
    void (*on_gone)(void *application, struct exchange *exchange);
    /* The protocol refuses a request that was never shown (exchange_refusal()): to be noted, and
     * nothing else. Of its head there is what was sound. May be NULL. */
    void (*on_refused)(void *application, struct exchange *exchange);
    void *application;
};

/* -- The request; strings are borrowed and live as long as the exchange -- */
const char *exchange_method(const struct exchange *exchange);
const char *exchange_path(const struct exchange *exchange);  /* decoded of nothing, no query */
const char *exchange_query(const struct exchange *exchange); /* after '?', "" when none */
/* The first of that name, or NULL. What several lines of a name mean is for the caller to say: a
 * list in several lines is one list, and two words on who somebody is are none. */
const char *exchange_header(const struct exchange *exchange, const char *name);
/* All of that name in the order that they came: the next from *at on, which is 0 at first and then
 * behind it; NULL when there is none. */
const char *exchange_header_next(const struct exchange *exchange, const char *name, uint32_t *at);
/* Whether two lines of that name say different things. */
bool exchange_header_differs(const struct exchange *exchange, const char *name);
const char *exchange_body(const struct exchange *exchange, size_t *ret_count);
/* Textual address: the peer's, or whom its PROXY header, or a trusted proxy's header, names. "" for
 * the client of a unix socket whom nobody names. */
const char *exchange_client(const struct exchange *exchange);
/* What the door serves that it came through: flags of enum exchange_door. */
unsigned exchange_door(const struct exchange *exchange);
enum http_version exchange_version(const struct exchange *exchange);
bool exchange_is_tls(const struct exchange *exchange);
/* Of the certificate that the client proved to hold (tls_client.h); NULL for none. */
const struct tls_client *exchange_tls_client(const struct exchange *exchange);
uint64_t exchange_started_us(const struct exchange *exchange); /* monotonic: head complete */

void exchange_set_owner(struct exchange *exchange, void *owner);
void *exchange_owner(const struct exchange *exchange);

/* -- The answer -- */
bool exchange_answered(const struct exchange *exchange);   /* a head was given */
uint32_t exchange_status(const struct exchange *exchange); /* of the given head, else 0 */
/* In on_gone and on_refused: the status by which the protocol itself refuses the request (a body
 * too large or too late), 0 when the client went. */
uint32_t exchange_refusal(const struct exchange *exchange);
uint64_t exchange_answer_bytes(const struct exchange *exchange); /* of its body, given so far */

/* Whole answer; content-length is added. headers may be NULL when header_count is 0; bytes are
 * copied. */
void exchange_respond(struct exchange *exchange, uint32_t status, const struct http_header *headers,
                      size_t header_count, const void *body, size_t body_count);

/* Streamed answer: head first, then bytes as they come, then the end. Bytes are copied. write()
 * returns how many bytes now wait for the client. */
void exchange_stream_begin(struct exchange *exchange, uint32_t status,
                           const struct http_header *headers, size_t header_count);
size_t exchange_stream_write(struct exchange *exchange, const void *bytes, size_t count);
void exchange_stream_end(struct exchange *exchange);
/* Breaks off a stream that cannot go on: RST_STREAM, or the connection closed. on_gone follows
 * not. */
void exchange_abort(struct exchange *exchange);

#endif
