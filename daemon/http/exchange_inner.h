/* SPDX-License-Identifier: Apache-2.0 */
/* exchange_inner.h -- an exchange as the protocols see it. Worker's thread only.
 *
 * The application never includes this: its side of an exchange is exchange.h. */
#ifndef WEIR_DAEMON_HTTP_EXCHANGE_INNER_H
#define WEIR_DAEMON_HTTP_EXCHANGE_INNER_H

#include "base/text.h"
#include "daemon/http/address.h"
#include "daemon/http/exchange.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connection;
struct listener;

#define EXCHANGE_ANSWER_HEADERS_MAX 32u                   /* that an application may give */
#define EXCHANGE_WAITING_BYTES_MAX  (16u * 1024u * 1024u) /* a stream written past it breaks */
#define EXCHANGE_PROGRESS_BYTES     1024u /* within write_timeout_ms, or all: else it is stalled */
#define EXCHANGE_SPARES_MAX         256u  /* kept by a listener for the next requests */
#define EXCHANGE_SPARE_BYTES_MAX    (8u * 1024u) /* memory a spare may keep in each text */

/* How far the application has come with the answer. Moves forward only. */
enum answer_state {
    ANSWER_NONE,
    ANSWER_STREAMING, /* head given */
    ANSWER_COMPLETE,  /* all given (or given up): the application is never called again */
};

#define EXCHANGE_CUT_TEXT "the server is shutting down, and the request was not all there in time"

/* Offsets into `head`, which moves as it grows. */
struct exchange_field {
    uint32_t name, value;
};

struct exchange {
    /* fixed once the head is complete */
    struct connection *connection; /* borrowed: it owns this */
    struct text head;              /* every string of the request's head, each with its NUL */
    uint32_t method, path, query;  /* offsets into head */
    struct exchange_field fields[EXCHANGE_HEADERS_MAX];
    uint32_t field_count, field_bytes;
    enum http_version version;
    int32_t stream_id; /* HTTP/2 */
    uint64_t started_us;
    char client[ADDRESS_TEXT_BYTES]; /* "": the connection's */

    /* state */
    void *owner; /* borrowed: the application */
    struct text body;
    uint32_t head_fault; /* status that refuses the head, 0 while it is fine */
    bool request_complete;
    bool owed;         /* the application saw it: on_gone is owed until the answer is whole */
    bool broken;       /* what the application still says is dropped */
    bool chunked;      /* the answer, on HTTP/1.1 */
    bool bodyless;     /* the answer has no body: HEAD, 204, 304 */
    bool deferred;     /* HTTP/2: the stream sleeps until there are bytes */
    bool writable_due; /* on_writable is to be called */
    bool request_due;  /* HTTP/2: on_request is to be called */
    enum answer_state answer_state;
    uint32_t status;
    uint32_t refusal;      /* of our own, which the application hears of as on_gone; or 0 */
    uint64_t answer_given; /* bytes of its body, waiting or sent */
    struct text answer;    /* bytes waiting for the client ... */
    size_t answer_taken;   /* ... from here on */
    uint64_t progress_us;  /* bytes began to wait, or EXCHANGE_PROGRESS_BYTES were taken last */
    size_t progress_bytes; /* taken since */

    struct exchange *previous, *next; /* in the connection */
    struct exchange *writable_next;   /* among those whose on_writable is due */
    struct exchange *request_next;    /* likewise on_request */
};

/* The head of an answer on its way to a protocol. */
struct answer_head {
    uint32_t status;
    const struct http_header *headers;
    size_t header_count;
    bool whole; /* body_count is known, and all of it follows at once */
    size_t body_count;
};

/* Takes a spare or a new one and links it to the connection; NULL when there is no memory. */
struct exchange *exchange_open(struct connection *connection);
/* Unlinks and frees (or spares) it. on_gone must not be owed any more. */
void exchange_close(struct exchange *exchange);
void exchange_spares_free(struct listener *listener);

/* -- The request, as the protocol reads it -- */
/* Offset of a copy of bytes in head; *failed is set when there is no memory. */
uint32_t exchange_keep(struct exchange *exchange, const char *bytes, size_t count);
/* One field more; beyond the limits of exchange.h head_fault becomes 431 and it is dropped. */
void exchange_add_field(struct exchange *exchange, const char *name, size_t name_count,
                        const char *value, size_t value_count);
/* Splits a request target at '?' (and drops the scheme and authority of an absolute one); sets
 * head_fault to 414 when it is too long. */
void exchange_set_target(struct exchange *exchange, const char *target, size_t count);

/* -- What the protocol tells the application -- */
void exchange_tell_headers(struct exchange *exchange);
void exchange_tell_request(struct exchange *exchange);
/* The client is gone: on_gone if it is owed. Never within the application's call. */
void exchange_vanish(struct exchange *exchange);

/* -- The answer, as the protocol sends it -- */
/* The protocol's own answer, in the shape of OpenAI's errors. on_gone is called first if it is
 * owed; an answer that has begun is aborted instead. */
void exchange_refuse(struct exchange *exchange, uint32_t status, const char *message);
size_t exchange_waiting(const struct exchange *exchange);
/* Up to count bytes move to `to`; notes when on_writable is due. Returns how many. */
size_t exchange_take(struct exchange *exchange, void *to, size_t count);
/* Whether an answer's header may go out: no control bytes, none that the protocol itself writes. */
bool exchange_header_may_pass(const struct http_header *header);
const char *exchange_reason(uint32_t status); /* "Not Found"; "" for a status we do not know */

#endif
