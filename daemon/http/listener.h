/* SPDX-License-Identifier: Apache-2.0 */
/* listener.h -- a worker's side of the network: its doors, connections, protocols.
 *
 * Each worker has its own listener and its own event_base; all of it belongs to the worker's
 * thread. A door is a listening socket and what holds of whoever comes through it. TLS by ALPN or
 * clear text by preface picks HTTP/2 or HTTP/1.1. */
#ifndef WEIR_DAEMON_HTTP_LISTENER_H
#define WEIR_DAEMON_HTTP_LISTENER_H

#include "base/error.h"
#include "daemon/http/address_table.h"
#include "daemon/http/exchange.h"
#include "daemon/http/forwarded.h"
#include "daemon/http/tls.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct listener;
struct tls_set;

#define LISTENER_DOORS_MAX 64u

/* What clients do that hurts others; h2_guard.c says what each is. */
enum http_abuse {
    HTTP_ABUSE_NONE,
    HTTP_ABUSE_RESET,
    HTTP_ABUSE_PROVOKED_RESET,
    HTTP_ABUSE_CONTINUATION,
    HTTP_ABUSE_HEADER_BOMB,
    HTTP_ABUSE_SETTINGS,
    HTTP_ABUSE_PING,
    HTTP_ABUSE_PRIORITY,
    HTTP_ABUSE_WINDOW_UPDATE,
    HTTP_ABUSE_EMPTY_FRAME,
    HTTP_ABUSE_UNKNOWN_FRAME,
    HTTP_ABUSE_TINY_WINDOW,
    HTTP_ABUSE_STALLED_WINDOW, /* an answer waits, and its window stays shut */
    HTTP_ABUSE_UNREAD,         /* asks on and on, and reads no answer */
    HTTP_ABUSE_SLOW_REQUEST,   /* a head or a body past its time limit: "slowloris" */
    HTTP_ABUSE_AMBIGUOUS,      /* a request that two readers could end differently: "smuggling" */
    HTTP_ABUSE_COUNT,
};
const char *http_abuse_name(enum http_abuse kind); /* as in metrics: "provoked_reset" */

struct listener_limits {
    uint32_t connections_max;         /* of all; beyond, accepted and closed at once */
    uint32_t connections_per_address; /* likewise; 0: no limit */
    uint32_t streams_max;             /* HTTP/2 streams at once on a connection */
    size_t body_bytes_max;            /* 413 beyond */
    uint32_t headers_max;             /* 431 beyond; at most EXCHANGE_HEADERS_MAX */
    size_t header_bytes_max;          /* the same; EXCHANGE_HEADER_BYTES_MAX */
    uint32_t header_timeout_ms;       /* connection start or keep-alive to complete head: 408 */
    uint32_t body_timeout_ms;         /* head to complete body: 408 */
    uint32_t idle_timeout_ms;         /* no exchange open: closed */
    uint32_t write_timeout_ms;        /* a client that takes nothing for so long: closed */
    /* of an HTTP/2 connection, in H2_GUARD_WINDOW_MS: streams reset, by either side; frames of one
     * kind that ask for nothing */
    uint32_t resets_max, control_frames_max;
    uint32_t abuse_pause_ms; /* whose connection was ended for abuse opens none so long; 0: none */
};
void listener_limits_default(struct listener_limits *ret);

/* Opens a listening socket; port 0 lets the system choose. -1 and err on failure (ERROR_BUSY and a
 * remedy when the port is in use). */
int listener_bind(const char *address, uint16_t port, uint16_t *ret_port, struct error *err);

struct listener_door {
    unsigned serves;     /* flags of enum exchange_door */
    int fd;              /* listening, non-blocking; the listener closes it, whatever happens */
    bool tls;            /* spoken here; listener_config.tls is not NULL then */
    bool proxy_protocol; /* a connection begins with a PROXY header, or is refused */
    bool inherited;      /* somebody else holds the queue and will answer who waits in it */
    bool shared;         /* a queue of other workers too: few are taken from it at once */
};

/* Whose word counts for a client's address, and in which header. */
struct listener_trust {
    struct trusted_networks proxies;
    enum forwarded_by by;
};

struct listener_config {
    struct event_base *base;           /* borrowed: the worker */
    const struct listener_door *doors; /* borrowed for the call */
    uint32_t door_count;               /* 1 to LISTENER_DOORS_MAX */
    struct address_table *addresses;   /* borrowed, shared; NULL: its own connections are all */
    struct tls_set *tls; /* the listener takes a reference; NULL when no door speaks it */
    struct listener_limits limits;
    struct listener_trust trust;            /* its networks are borrowed, and so below */
    const struct exchange_handler *handler; /* borrowed */
};
/* At once, for open connections too; time limits from their next deadline on, streams_max from the
 * next connection. */
void listener_set_limits(struct listener *listener, const struct listener_limits *limits);
/* From the next connection on; the listener has one already, and takes a reference of this. */
void listener_set_tls(struct listener *listener, struct tls_set *set);
/* From the next connection on, but for `by`: from the next request. */
void listener_set_trust(struct listener *listener, const struct listener_trust *trust);
struct listener *listener_new(const struct listener_config *config, struct error *err);
/* Stops accepting, once who waits in a queue of ours is let in; HTTP/2 connections get GOAWAY,
 * HTTP/1.1 answers say close; open exchanges go on, and connections end within a second of their
 * last. Idempotent. */
void listener_drain(struct listener *listener);
/* After listener_drain(), when its time is over: a request that is not all there gets 503
 * `shutting_down`. What was told to the application is for it to end. */
void listener_cut(struct listener *listener);
/* Breaks what is left: on_gone for each open exchange. NULL is fine. */
void listener_free(struct listener *listener);

struct listener_stats {
    uint32_t connections, exchanges; /* open now */
    uint64_t addresses_refused;      /* of `refused`: connections of an address that has many, */
    uint64_t paused;                 /* ... of one that must wait */
    uint64_t heads_refused, bodies_refused; /* too many or too large: 414 and 431, and 413 */
    uint64_t accepted, refused, requests_h1, requests_h2, protocol_errors, timeouts;
    uint64_t proxy_errors;     /* connections refused for their PROXY header, or for having none */
    uint64_t forwarded_errors; /* requests whose X-Forwarded-For or Forwarded is not believed */
    uint64_t abuse[HTTP_ABUSE_COUNT];
    uint64_t handshakes[TLS_RESULT_COUNT];
};
/* The worker's thread; counters may be read torn-free from others (atomics inside). */
void listener_stats(const struct listener *listener, struct listener_stats *ret);

#endif
