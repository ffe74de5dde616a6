/* SPDX-License-Identifier: Apache-2.0 */
/* listener_inner.h -- what the connections of one worker share. Worker's thread only, but for the
 * counters, which others may read. */
#ifndef WEIR_DAEMON_HTTP_LISTENER_INNER_H
#define WEIR_DAEMON_HTTP_LISTENER_INNER_H

#include "base/text.h"
#include "daemon/http/listener.h"

#include <event2/event_struct.h>
#include <nghttp2/nghttp2.h>
#include <stdatomic.h>

#define LISTENER_DIRTY_MAX          2u   /* touched and readable: flushed without waiting */
#define LISTENER_ACCEPTS_MAX        64u  /* a turn ... */
#define LISTENER_SHARED_ACCEPTS_MAX 4u   /* ... and of a queue that other workers take from too */
#define LISTENER_OPERATORS_MAX      64u  /* connections beyond connections_max, by admin doors */
#define LISTENER_ACCEPT_PAUSE_MS    100u /* after the process ran out of descriptors */
#define LISTENER_DATE_BYTES         30u  /* "Sun, 06 Nov 1994 08:49:37 GMT" and its NUL */

/* One writer: the worker. Relaxed atomics keep readers free of torn values, nothing more. */
struct listener_counters {
    _Atomic uint32_t connections, exchanges;
    _Atomic uint64_t addresses_refused, paused, heads_refused, bodies_refused;
    _Atomic uint64_t accepted, refused, requests_h1, requests_h2, protocol_errors, timeouts;
    _Atomic uint64_t proxy_errors, forwarded_errors;
    _Atomic uint64_t abuse[HTTP_ABUSE_COUNT];
    _Atomic uint64_t handshakes[TLS_RESULT_COUNT];
};

/* A plain load, add and store: the worker is the only writer, so no locked instruction. */
#define COUNTER_ADD(counter, amount)                                                               \
    atomic_store_explicit(&(counter),                                                              \
                          atomic_load_explicit(&(counter), memory_order_relaxed) + (amount),       \
                          memory_order_relaxed)

/* A socket that is accepted from. It outlives every connection that came through it. */
struct door {
    struct listener *listener; /* borrowed: it owns this */
    struct listener_door is;   /* fd: -1 once draining */
    struct event accepting, accept_again;
};

/* And no client's. */
static inline bool door_is_operators(const struct door *door)
{
    return door->is.serves == EXCHANGE_DOOR_ADMIN;
}

struct listener {
    /* fixed at start */
    struct event_base *base; /* borrowed: the worker */
    struct door *doors;
    uint32_t door_count;
    struct address_table *addresses; /* borrowed: the server, may be NULL */
    struct tls_set *tls;             /* a reference, of the newest; NULL when no door speaks it */
    struct listener_limits limits;
    struct listener_trust trust;            /* its networks: borrowed, the worker */
    const struct exchange_handler *handler; /* borrowed */
    uint64_t shortest_us; /* no deadline that begins now falls due before this has passed */
    nghttp2_session_callbacks *h2_callbacks;
    nghttp2_option *h2_option;
    char *read_bytes;  /* CONNECTION_READ_BYTES, for one read at a time */
    char *plain_bytes; /* as many: what TLS made of them */

    /* owned state */
    struct event flush, flush_later;
    bool draining;
    bool cut; /* and whoever still uploads was told */
    bool flushing;
    uint64_t now_us; /* of this turn; listener_tick() */
    int64_t date_second;
    char date[LISTENER_DATE_BYTES];
    struct text spare_out; /* lent to whichever connection writes: idle ones hold no memory */
    struct text plain_out; /* what TLS is about to encrypt */
    struct exchange *spares;
    uint32_t spare_count;

    /* shared */
    struct listener_counters counters;

    /* links */
    struct connection *connections;
    struct connection *dirty_head, *dirty_tail;
    uint32_t dirty_count;
};

/* Flushes every connection that was touched; some are freed. */
void listener_flush(struct listener *listener);

/* Reads the clocks; at the start of every event's callback. */
void listener_tick(struct listener *listener);

#endif
