/* SPDX-License-Identifier: Apache-2.0 */
/* connection.h -- one socket: bytes in, bytes out, TLS or not, and when it has waited too long.
 *
 * What the bytes mean is the protocol's: h1.c or h2.c behind struct protocol. Worker's thread. */
#ifndef WEIR_DAEMON_HTTP_CONNECTION_H
#define WEIR_DAEMON_HTTP_CONNECTION_H

#include "base/text.h"
#include "daemon/http/address.h"
#include "daemon/http/exchange_inner.h"
#include "daemon/http/listener.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONNECTION_READ_BYTES   (64u * 1024u)   /* of one read */
#define CONNECTION_OUT_BYTES    (64u * 1024u)   /* built before one write */
#define CONNECTION_WRITES_MAX   8u              /* a turn: then others have theirs */
#define CONNECTION_LINGER_MS    1000u           /* unread input is dropped before the close ... */
#define CONNECTION_LINGER_BYTES (1024u * 1024u) /* ... but not more of it than this */
#define CONNECTION_UNBORN_MS    1000u           /* while draining, for the first bytes to come */
#define CONNECTION_PREFACE      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

struct connection;
struct door;
struct listener;
struct tls;

/* What a protocol does for a connection. None of these frees the connection. */
struct protocol {
    void (*receive)(struct connection *connection, const char *bytes, size_t count);
    void (*end_of_input)(struct connection *connection);
    /* Appends what there is to send until out has CONNECTION_OUT_BYTES or nothing is left. */
    void (*produce)(struct connection *connection, struct text *out);
    void (*drain)(struct connection *connection);
    void (*cut)(struct connection *connection); /* refuses each request that is not all there */
    /* The earliest moment at which something has waited too long; expire() then acts and counts. */
    uint64_t (*deadline)(const struct connection *connection);
    void (*expire)(struct connection *connection, uint64_t now_us);
    void (*free)(struct connection *connection);

    /* The application gave a head, bytes, the end; or gave up. No callback is made from here. */
    void (*answer_begin)(struct exchange *exchange, const struct answer_head *head);
    void (*answer_write)(struct exchange *exchange, const void *bytes, size_t count);
    void (*answer_end)(struct exchange *exchange);
    void (*answer_abort)(struct exchange *exchange);
};

enum connection_state {
    CONNECTION_OPEN,
    CONNECTION_FINISHING, /* nothing more is read; closes when `out` is sent */
    CONNECTION_LINGERING, /* our side is shut; input is dropped for a moment */
    CONNECTION_BROKEN,    /* freed by the next flush */
};

struct connection {
    /* fixed at start */
    struct listener *listener; /* borrowed: it owns this */
    const struct door *door;   /* borrowed: the listener; came through it */
    int fd;
    uint64_t opened_us;
    char client[ADDRESS_TEXT_BYTES]; /* "" for a unix socket's; the PROXY header may change it */

    /* owned state */
    enum connection_state state;
    const struct protocol *protocol; /* NULL until the first bytes or ALPN chose */
    void *session;                   /* the protocol's own */
    struct tls *tls;                 /* NULL for clear text */
    bool counted;                    /* in listener->addresses, as ... */
    struct address counted_as;
    bool trusted;             /* what it says of a request's client is believed */
    uint64_t unborn_since_us; /* draining began and nothing had come; 0 else */
    bool proxy_awaited;       /* the PROXY header comes first, before TLS */
    struct text proxy_bytes;  /* what came of it, while it is not complete */
    struct event readable, writable, timer;
    bool reading_paused;
    bool input_ended;
    bool blocked; /* the socket takes no more: `writable` is pending */
    struct text out;
    size_t out_sent;
    uint64_t blocked_since_us; /* 0 while not blocked; restarts with every byte taken */
    uint64_t lingering_since_us;
    size_t linger_bytes;
    char first_bytes[sizeof CONNECTION_PREFACE]; /* while they could still be the preface */
    size_t first_count;

    /* links */
    struct exchange *exchanges;     /* open on this connection */
    struct exchange *writable_head; /* on_writable due */
    uint32_t exchange_count;
    bool dirty;
    struct connection *dirty_next;
    struct connection *previous, *next; /* of the listener */
};

/* Takes the socket (non-blocking). On failure the socket is closed and NULL returned. */
struct connection *connection_new(struct door *door, int fd, const struct sockaddr_storage *from);
/* on_gone for what is open, then everything goes. Only from the listener. */
void connection_free(struct connection *connection);
/* Counts it, and lets the client's address wait; the caller ends the connection. */
void connection_abused(struct connection *connection, enum http_abuse kind);

/* Marks it for this turn's flush: all that is said by then leaves in one write. */
void connection_touch(struct connection *connection);
/* From the listener's flush: call what is due, build, write, close. May free the connection. */
void connection_flush(struct connection *connection);
void connection_finish(struct connection *connection); /* closes once `out` is sent */
void connection_break(struct connection *connection);  /* closes at the next flush, unsent */
void connection_pause_reading(struct connection *connection, bool pause);
void connection_drain(struct connection *connection);
void connection_cut(struct connection *connection);

/* since + ms, or UINT64_MAX when ms is 0: no limit. */
uint64_t deadline_after(uint64_t since_us, uint32_t ms);

#endif
