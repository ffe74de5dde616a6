/* SPDX-License-Identifier: Apache-2.0 */
/* listener.h -- a worker's side of the network: listening socket, connections, protocols.
 *
 * Each worker has its own listener on the same port (SO_REUSEPORT) and its own event_base; all of
 * it belongs to the worker's thread. TLS by ALPN or clear text by preface picks HTTP/2 or
 * HTTP/1.1. */
#ifndef WEIR_DAEMON_HTTP_LISTENER_H
#define WEIR_DAEMON_HTTP_LISTENER_H

#include "base/error.h"
#include "daemon/http/exchange.h"
#include "daemon/http/tls.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct listener;
struct tls_set;

struct listener_limits {
    uint32_t connections_max;   /* of this worker; beyond, accepted and closed at once */
    uint32_t streams_max;       /* HTTP/2 streams at once on a connection */
    size_t body_bytes_max;      /* 413 beyond */
    uint32_t header_timeout_ms; /* connection start or keep-alive to complete head: 408 */
    uint32_t body_timeout_ms;   /* head to complete body: 408 */
    uint32_t idle_timeout_ms;   /* no exchange open: closed */
    uint32_t write_timeout_ms;  /* a client that takes nothing for so long: closed */
};
void listener_limits_default(struct listener_limits *ret);

/* Opens a listening socket; port 0 lets the system choose. -1 and err on failure (ERROR_BUSY and a
 * remedy when the port is in use). */
int listener_bind(const char *address, uint16_t port, uint16_t *ret_port, struct error *err);

struct listener_config {
    struct event_base *base; /* borrowed: the worker */
    int fd;                  /* from listener_bind(); the listener closes it */
    struct tls_set *tls;     /* the listener takes a reference; NULL for clear text */
    struct listener_limits limits;
    const struct exchange_handler *handler; /* borrowed */
};
/* From the next connection, request and deadline on; streams_max: from the next connection. */
void listener_set_limits(struct listener *listener, const struct listener_limits *limits);
/* From the next connection on; the listener has one already, and takes a reference of this. */
void listener_set_tls(struct listener *listener, struct tls_set *set);
struct listener *listener_new(const struct listener_config *config, struct error *err);
/* Stops accepting; HTTP/2 connections get GOAWAY, HTTP/1.1 answers say close; open exchanges go
 * on. Idempotent. */
void listener_drain(struct listener *listener);
/* Breaks what is left: on_gone for each open exchange. NULL is fine. */
void listener_free(struct listener *listener);

struct listener_stats {
    uint32_t connections, exchanges; /* open now */
    uint64_t accepted, refused, requests_h1, requests_h2, protocol_errors, timeouts;
    uint64_t handshakes[TLS_RESULT_COUNT];
};
/* The worker's thread; counters may be read torn-free from others (atomics inside). */
void listener_stats(const struct listener *listener, struct listener_stats *ret);

#endif
