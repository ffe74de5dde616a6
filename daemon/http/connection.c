/* SPDX-License-Identifier: Apache-2.0 */
/* connection.c -- from readiness to bytes and back, one connection at a time.
 *
 * A turn of the event loop has two halves:
 *
 *     readable ->  recv -> [PROXY] -> [TLS] -> preface? -> protocol -> application  (reads, says)
 *     flush    ->  protocol builds -> [TLS] -> one send                           (writes, closes)
 *
 * The first half only fills buffers and marks connections dirty; the flush event is activated by
 * the first mark, so it runs behind what made the turn. 32 streams answered in a turn, or a batch
 * of tokens from the engine, therefore leave in one system call. When LISTENER_DIRTY_MAX readable
 * connections are dirty they are flushed there and then: what they have to say is still in the
 * processor's cache (a third of a small request's cost), and their clients have work while we go
 * on.
 *
 * A connection is freed in one place, connection_flush(), never under a protocol's or the
 * application's feet: connection_break() only marks it.
 *
 * Time limits cost nothing per request. Whatever begins to wait now is due at the earliest after
 * the shortest limit (listener->shortest_us), so a timer that fires at least that often and then
 * asks for the earliest deadline misses none and is exact, though nobody re-arms it in between.
 *
 * Memory: what is being written lives in a buffer that the listener lends for the flush, and
 * only a connection whose socket is full keeps it. Reads go through the listener's one buffer.
 *
 * Not libevent's bufferevents: they cost an evbuffer chain and a callback a write, have no place
 * to build "everything of this turn" in, and their TLS filter makes one send a record. */
#include "daemon/http/connection.h"

#include "daemon/http/h1.h"
#include "daemon/http/h2.h"
#include "daemon/http/listener_inner.h"
#include "daemon/http/proxy_protocol.h"
#include "daemon/http/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PREFACE_BYTES (sizeof CONNECTION_PREFACE - 1)

uint64_t deadline_after(uint64_t since_us, uint32_t ms)
{
    return ms == 0 ? UINT64_MAX : since_us + (uint64_t)ms * 1000u;
}

static size_t out_pending(const struct connection *connection)
{
    return connection->out.count - connection->out_sent;
}

void connection_touch(struct connection *connection)
{
    struct listener *listener = connection->listener;
    if (connection->dirty)
        return;
    connection->dirty = true;
    connection->dirty_next = NULL;
    if (listener->dirty_tail != NULL)
        listener->dirty_tail->dirty_next = connection;
    else
        listener->dirty_head = connection;
    listener->dirty_tail = connection;
    listener->dirty_count++;
    if (!listener->flushing)
        event_active(&listener->flush, EV_TIMEOUT, 0);
}

void connection_break(struct connection *connection)
{
    connection->state = CONNECTION_BROKEN;
    connection_touch(connection);
}

void connection_finish(struct connection *connection)
{
    if (connection->state == CONNECTION_OPEN)
        connection->state = CONNECTION_FINISHING;
    connection_touch(connection);
}

void connection_pause_reading(struct connection *connection, bool pause)
{
    if (pause == connection->reading_paused || connection->input_ended)
        return;
    connection->reading_paused = pause;
    if (pause)
        (void)event_del(&connection->readable);
    else if (event_add(&connection->readable, NULL) != 0)
        connection_break(connection);
}

/* -- Reading -- */

static void end_input(struct connection *connection)
{
    if (connection->input_ended)
        return;
    connection->input_ended = true; /* readable for ever now: the event would spin */
    (void)event_del(&connection->readable);
    if (connection->state == CONNECTION_OPEN && connection->protocol != NULL)
        connection->protocol->end_of_input(connection);
    else if (connection->state != CONNECTION_FINISHING)
        connection_break(connection);
}

static void start_protocol(struct connection *connection, bool h2)
{
    if (h2 ? !h2_start(connection) : !h1_start(connection)) {
        connection_break(connection);
        return;
    }
    connection->protocol = h2 ? &h2_protocol : &h1_protocol;
    connection->unborn_since_us = 0;
    if (connection->listener->draining && h2) /* HTTP/1.1 says `close` in its first answer */
        connection->protocol->drain(connection);
}

/* Clear text: the preface of RFC 9113, section 3.4, or HTTP/1.1. "PR" could still be either. */
static void choose_by_preface(struct connection *connection, const char *bytes, size_t count)
{
    size_t held = connection->first_count;
    size_t compared = PREFACE_BYTES - held < count ? PREFACE_BYTES - held : count;
    bool same = memcmp(&CONNECTION_PREFACE[held], bytes, compared) == 0;
    if (same && held + compared < PREFACE_BYTES) {
        memcpy(connection->first_bytes + held, bytes, compared);
        connection->first_count += compared;
        return;
    }
    start_protocol(connection, same);
    if (held > 0 && connection->state == CONNECTION_OPEN)
        connection->protocol->receive(connection, connection->first_bytes, held);
}

static void receive_plain(struct connection *connection, const char *bytes, size_t count)
{
    if (connection->protocol == NULL && connection->tls != NULL)
        start_protocol(connection, tls_chose_h2(connection->tls));
    else if (connection->protocol == NULL)
        choose_by_preface(connection, bytes, count);
    if (connection->protocol != NULL && connection->state == CONNECTION_OPEN)
        connection->protocol->receive(connection, bytes, count);
}

static void receive_cipher(struct connection *connection, const char *bytes, size_t count)
{
    char *plain = connection->listener->plain_bytes;
    if (!tls_receive(connection->tls, bytes, count)) {
        connection_break(connection);
        return;
    }
    connection_touch(connection); /* the handshake answers */
    while (connection->state == CONNECTION_OPEN) {
        ssize_t got = tls_read(connection->tls, plain, CONNECTION_READ_BYTES);
        if (got == 0)
            return;
        if (got < 0 && connection->protocol == NULL) {
            connection_finish(connection); /* no handshake: the alert says why, if they read on */
            return;
        }
        if (got < 0) {
            end_input(connection);
            return;
        }
        receive_plain(connection, plain, (size_t)got);
    }
}

static void receive(struct connection *connection, const char *bytes, size_t count)
{
    if (connection->tls != NULL)
        receive_cipher(connection, bytes, count);
    else
        receive_plain(connection, bytes, count);
}

/* Whether this client may have one connection more. A proxy that speaks for others may, for they
 * are many and it keeps them in order; so may operators, by a door of their own. */
static bool count_address(struct connection *connection, const struct address *client)
{
    struct listener *listener = connection->listener;
    uint32_t most = listener->limits.connections_per_address;
    if (listener->addresses == NULL || connection->trusted || most == 0 ||
        door_is_operators(connection->door))
        return true;
    if (listener->limits.abuse_pause_ms > 0 &&
        address_table_paused(listener->addresses, client, listener->now_us)) {
        COUNTER_ADD(listener->counters.paused, 1);
        return false;
    }
    if (!address_table_add(listener->addresses, client, most)) {
        COUNTER_ADD(listener->counters.addresses_refused, 1);
        return false;
    }
    connection->counted = true;
    connection->counted_as = *client;
    return true;
}

void connection_abused(struct connection *connection, enum http_abuse kind)
{
    struct listener *listener = connection->listener;
    COUNTER_ADD(listener->counters.abuse[kind], 1);
    if (connection->counted && listener->limits.abuse_pause_ms > 0)
        address_table_pause(listener->addresses, &connection->counted_as,
                            listener->now_us + (uint64_t)listener->limits.abuse_pause_ms * 1000u);
}

static void uncount_address(struct connection *connection)
{
    if (connection->counted)
        address_table_remove(connection->listener->addresses, &connection->counted_as);
    connection->counted = false;
}

/* Where trusted proxies are listed nobody else may send a PROXY header. */
static bool may_speak_for_others(const struct connection *connection)
{
    const struct trusted_networks *proxies = &connection->listener->trust.proxies;
    return connection->trusted || (proxies->count == 0 && !proxies->unix_too);
}

/* The header may come in pieces, and the client's own bytes behind it in the same read. */
static void receive_proxy(struct connection *connection, const char *bytes, size_t count)
{
    struct text *held = &connection->proxy_bytes;
    size_t before = held->count, room = PROXY_BYTES_MAX - before;
    const uint8_t *header_bytes = (const uint8_t *)bytes;
    size_t header_count = count;
    if (before > 0) {
        text_append(held, bytes, count < room ? count : room);
        header_bytes = (const uint8_t *)held->bytes;
        header_count = held->count;
    }
    struct proxy_header header;
    const char *fault;
    enum proxy_result result = proxy_parse(header_bytes, header_count, &header, &fault);
    if (result == PROXY_MORE && before == 0)
        text_append(held, bytes, count); /* fewer than PROXY_BYTES_MAX, or it were not MORE */
    if (held->failed) {
        connection_break(connection);
        return;
    }
    if (result == PROXY_MORE)
        return;
    if (result == PROXY_WRONG || !may_speak_for_others(connection)) {
        COUNTER_ADD(connection->listener->counters.proxy_errors, 1);
        connection_break(connection);
        return;
    }
    if (header.has_client) {
        address_format(&header.client, connection->client);
        connection->trusted = trusted_holds(&connection->listener->trust.proxies, &header.client);
        if (!count_address(connection, &header.client)) {
            COUNTER_ADD(connection->listener->counters.refused, 1);
            connection_break(connection);
            return;
        }
    }
    connection->proxy_awaited = false;
    size_t used = header.bytes - before;
    text_destroy(held);
    if (count > used)
        receive(connection, bytes + used, count - used);
}

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
    (void)what;
    struct connection *connection = argument;
    struct listener *listener = connection->listener;
    listener_tick(listener);
    ssize_t got = recv(fd, listener->read_bytes, CONNECTION_READ_BYTES, 0);
    if (got == 0) {
        end_input(connection);
    } else if (got < 0) {
        if (errno != EAGAIN && errno != EINTR)
            connection_break(connection);
    } else if (connection->state == CONNECTION_OPEN) {
        if (connection->proxy_awaited)
            receive_proxy(connection, listener->read_bytes, (size_t)got);
        else
            receive(connection, listener->read_bytes, (size_t)got);
    } else {
        connection->linger_bytes += (size_t)got;
        if (connection->linger_bytes > CONNECTION_LINGER_BYTES)
            connection_break(connection);
    }
    if (listener->dirty_count >= LISTENER_DIRTY_MAX)
        listener_flush(listener); /* may free this one */
}

/* -- Writing -- */

static void on_writable(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct connection *connection = argument;
    listener_tick(connection->listener);
    connection->blocked = false;
    connection_touch(connection);
}

static void await_writable(struct connection *connection)
{
    connection->blocked = true;
    if (connection->blocked_since_us == 0)
        connection->blocked_since_us = connection->listener->now_us;
    if (event_add(&connection->writable, NULL) != 0)
        connection->state = CONNECTION_BROKEN;
}

/* One send; false when there is no point in another now. */
static bool send_out(struct connection *connection)
{
    ssize_t sent = send(connection->fd, connection->out.bytes + connection->out_sent,
                        out_pending(connection), MSG_NOSIGNAL);
    if (sent >= 0) {
        connection->out_sent += (size_t)sent;
        connection->blocked_since_us = 0;
        return true;
    }
    if (errno == EINTR)
        return true;
    if (errno == EAGAIN)
        await_writable(connection);
    else
        connection->state = CONNECTION_BROKEN;
    return false;
}

/* Fills the empty `out` with what the protocol has to say. */
static void produce(struct connection *connection)
{
    struct listener *listener = connection->listener;
    text_reset(&connection->out);
    connection->out_sent = 0;
    bool open = connection->state == CONNECTION_OPEN && connection->protocol != NULL;
    if (connection->tls == NULL) {
        if (open)
            connection->protocol->produce(connection, &connection->out);
    } else {
        text_reset(&listener->plain_out);
        if (open)
            connection->protocol->produce(connection, &listener->plain_out);
        if (listener->plain_out.failed ||
            !tls_write(connection->tls, listener->plain_out.bytes, listener->plain_out.count))
            connection_finish(connection); /* what is left to send is an alert */
        if (connection->state == CONNECTION_FINISHING && listener->plain_out.count == 0)
            tls_close(connection->tls);
        tls_collect(connection->tls, &connection->out);
    }
    if (connection->out.failed)
        connection->state = CONNECTION_BROKEN;
}

static void write_out(struct connection *connection)
{
    for (unsigned writes = 0; connection->state != CONNECTION_BROKEN; writes++) {
        if (out_pending(connection) == 0)
            produce(connection);
        if (out_pending(connection) == 0)
            return;
        if (writes == CONNECTION_WRITES_MAX) {
            await_writable(connection);
            return;
        }
        if (!send_out(connection))
            return;
    }
}

static void tell_writable(struct connection *connection)
{
    const struct exchange_handler *handler = connection->listener->handler;
    while (connection->writable_head != NULL) {
        struct exchange *exchange = connection->writable_head;
        connection->writable_head = exchange->writable_next;
        exchange->writable_due = false;
        if (exchange->answer_state == ANSWER_STREAMING && !exchange->broken)
            handler->on_writable(handler->application, exchange);
    }
}

/* Closing with unread input would reset the connection and could take the answer with it before
 * the client has read it. So our side is shut, and the rest of theirs is dropped for a moment. */
static void linger(struct connection *connection)
{
    if (connection->input_ended || shutdown(connection->fd, SHUT_WR) != 0) {
        connection->state = CONNECTION_BROKEN;
        return;
    }
    connection->state = CONNECTION_LINGERING;
    connection->lingering_since_us = connection->listener->now_us;
    connection_pause_reading(connection, false);
}

/* `dirty` stays set throughout: what is said meanwhile is seen by the building that goes on until
 * nothing is left, and a connection about to be freed cannot enter the next turn's list. */
void connection_flush(struct connection *connection)
{
    struct listener *listener = connection->listener;
    tell_writable(connection);
    if (connection->state != CONNECTION_BROKEN && !connection->blocked) {
        if (connection->out.bytes == NULL) {
            connection->out = listener->spare_out;
            text_init(&listener->spare_out);
        }
        write_out(connection);
        if (out_pending(connection) == 0) {
            if (listener->spare_out.bytes == NULL)
                listener->spare_out = connection->out;
            else
                text_destroy(&connection->out);
            text_init(&connection->out);
            connection->out_sent = 0;
            if (connection->state == CONNECTION_FINISHING)
                linger(connection);
        }
    }
    if (connection->state == CONNECTION_BROKEN) {
        connection_free(connection);
        return;
    }
    connection->dirty = false;
    if (connection->writable_head != NULL)
        connection_touch(connection);
}

/* -- Time -- */

static uint64_t first_bytes_deadline(const struct connection *connection)
{
    uint64_t next =
        deadline_after(connection->opened_us, connection->listener->limits.header_timeout_ms);
    uint64_t unborn = connection->unborn_since_us == 0
                          ? UINT64_MAX
                          : deadline_after(connection->unborn_since_us, CONNECTION_UNBORN_MS);
    return unborn < next ? unborn : next;
}

static uint64_t next_deadline(const struct connection *connection)
{
    const struct listener_limits *limits = &connection->listener->limits;
    uint64_t next = UINT64_MAX;
    if (connection->blocked)
        next = deadline_after(connection->blocked_since_us, limits->write_timeout_ms);
    uint64_t other = UINT64_MAX;
    if (connection->state == CONNECTION_LINGERING)
        other = deadline_after(connection->lingering_since_us, CONNECTION_LINGER_MS);
    else if (connection->protocol == NULL)
        other = first_bytes_deadline(connection);
    else if (connection->state == CONNECTION_OPEN)
        other = connection->protocol->deadline(connection);
    return other < next ? other : next;
}

static void arm_timer(struct connection *connection)
{
    const struct listener *listener = connection->listener;
    uint64_t next = next_deadline(connection);
    uint64_t wait_us = next > listener->now_us ? next - listener->now_us : 1;
    if (wait_us > listener->shortest_us)
        wait_us = listener->shortest_us;
    struct timeval wait = {(time_t)(wait_us / 1000000u), (suseconds_t)(wait_us % 1000000u)};
    if (event_add(&connection->timer, &wait) != 0)
        connection_break(connection);
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct connection *connection = argument;
    struct listener *listener = connection->listener;
    listener_tick(listener);
    if (next_deadline(connection) <= listener->now_us) {
        bool stuck = connection->blocked &&
                     deadline_after(connection->blocked_since_us,
                                    listener->limits.write_timeout_ms) <= listener->now_us;
        if (connection->state == CONNECTION_LINGERING || connection->unborn_since_us != 0) {
            connection_break(connection);
        } else if (stuck || connection->state != CONNECTION_OPEN || connection->protocol == NULL) {
            COUNTER_ADD(listener->counters.timeouts, 1);
            connection_break(connection);
        } else {
            connection->protocol->expire(connection, listener->now_us);
        }
    }
    if (connection->state != CONNECTION_BROKEN)
        arm_timer(connection);
}

/* -- Life -- */

void connection_drain(struct connection *connection)
{
    if (connection->state != CONNECTION_OPEN)
        return;
    if (connection->protocol != NULL)
        connection->protocol->drain(connection);
    else /* its request may be on its way: it is answered, and the protocol drains as it starts */
        connection->unborn_since_us = connection->listener->now_us;
}

void connection_cut(struct connection *connection)
{
    if (connection->state == CONNECTION_OPEN && connection->protocol != NULL)
        connection->protocol->cut(connection);
}

struct connection *connection_new(struct door *door, int fd, const struct sockaddr_storage *from)
{
    struct listener *listener = door->listener;
    struct address address;
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        goto fail;
    connection->listener = listener;
    connection->door = door;
    connection->fd = fd;
    connection->opened_us = listener->now_us;
    connection->proxy_awaited = door->is.proxy_protocol;
    connection->trusted = listener->trust.proxies.unix_too;
    if (address_of_socket(from, &address)) {
        address_format(&address, connection->client);
        connection->trusted = trusted_holds(&listener->trust.proxies, &address);
        if (!connection->proxy_awaited && !count_address(connection, &address))
            goto fail;
    }
    if (door->is.tls) {
        connection->tls = tls_new(listener->tls, listener->counters.handshakes);
        if (connection->tls == NULL)
            goto fail;
    }
    struct event_base *base = listener->base;
    (void)event_assign(&connection->readable, base, fd, EV_READ | EV_PERSIST, on_readable,
                       connection);
    (void)event_assign(&connection->writable, base, fd, EV_WRITE, on_writable, connection);
    (void)evtimer_assign(&connection->timer, base, on_timer, connection);
    if (event_add(&connection->readable, NULL) != 0)
        goto fail;
    connection->next = listener->connections;
    if (connection->next != NULL)
        connection->next->previous = connection;
    listener->connections = connection;
    COUNTER_ADD(listener->counters.connections, 1);
    if (listener->draining)
        connection_drain(connection);
    arm_timer(connection);
    return connection;

fail:
    if (connection != NULL) {
        uncount_address(connection);
        tls_free(connection->tls);
    }
    free(connection);
    (void)close(fd);
    return NULL;
}

void connection_free(struct connection *connection)
{
    struct listener *listener = connection->listener;
    connection->state = CONNECTION_BROKEN;
    connection->dirty = true; /* on_gone may speak of its neighbours: too late to queue this */
    while (connection->exchanges != NULL) {
        struct exchange *exchange = connection->exchanges;
        exchange_vanish(exchange);
        exchange_close(exchange);
    }
    if (connection->protocol != NULL)
        connection->protocol->free(connection);
    tls_free(connection->tls);
    text_destroy(&connection->proxy_bytes);
    text_destroy(&connection->out);
    (void)event_del(&connection->readable);
    (void)event_del(&connection->writable);
    (void)event_del(&connection->timer);
    (void)close(connection->fd);
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        listener->connections = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    COUNTER_ADD(listener->counters.connections, -1u);
    uncount_address(connection);
    if (listener->addresses != NULL)
        address_table_close(listener->addresses);
    free(connection);
}
