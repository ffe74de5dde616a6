/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/http/listener.h"

#include "base/clock.h"
#include "daemon/http/connection.h"
#include "daemon/http/h2.h"
#include "daemon/http/h2_guard.h"
#include "daemon/http/listener_inner.h"
#include "daemon/http/tls_set.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LISTENER_BACKLOG 4096

void listener_limits_default(struct listener_limits *ret)
{
    *ret = (struct listener_limits){
        .connections_max = 10000,
        .streams_max = 128,
        .body_bytes_max = 16u * 1024u * 1024u,
        .headers_max = EXCHANGE_HEADERS_MAX,
        .header_bytes_max = EXCHANGE_HEADER_BYTES_MAX,
        .header_timeout_ms = 10000,
        .body_timeout_ms = 60000,
        .idle_timeout_ms = 120000,
        .write_timeout_ms = 60000,
        .resets_max = 512,
        .control_frames_max = 1000,
        .abuse_pause_ms = H2_GUARD_WINDOW_MS,
    };
}

/* -- Binding -- */

static int bind_one(const struct addrinfo *found)
{
    int fd = socket(found->ai_family, found->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    found->ai_protocol);
    if (fd < 0)
        return -1;
    int one = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0 &&
        bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, LISTENER_BACKLOG) == 0)
        return fd;
    int saved = errno;
    (void)close(fd);
    errno = saved;
    return -1;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t count = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &count) != 0)
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

int listener_bind(const char *address, uint16_t port, uint16_t *ret_port, struct error *err)
{
    char service[8];
    (void)snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(address, service, &hints, &found);
    if (failed != 0) {
        (void)error_set(err, ERROR_INVALID,
                        "listen address '%s': %s (give an address of this machine)", address,
                        gai_strerror(failed));
        return -1;
    }
    int fd = -1, saved = EADDRNOTAVAIL;
    for (const struct addrinfo *each = found; each != NULL && fd < 0; each = each->ai_next) {
        fd = bind_one(each);
        if (fd < 0)
            saved = errno;
    }
    freeaddrinfo(found);
    if (fd >= 0) {
        if (ret_port != NULL)
            *ret_port = port_of(fd);
        return fd;
    }
    if (saved == EADDRINUSE)
        (void)error_set(err, ERROR_BUSY,
                        "port %u of '%s' is in use (stop its owner or choose another port)", port,
                        address);
    else
        (void)error_set_errno(err, saved, "port %u of '%s'", port, address);
    return -1;
}

/* -- Time -- */

void listener_tick(struct listener *listener)
{
    listener->now_us = clock_monotonic_us();
    time_t second = (time_t)(clock_unix_us() / 1000000);
    if (second == listener->date_second)
        return;
    listener->date_second = second;
    struct tm broken;
    if (gmtime_r(&second, &broken) == NULL)
        return;
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    /* Not strftime(): its names are the locale's. */
    (void)snprintf(listener->date, sizeof listener->date, "%s, %02d %s %04d %02d:%02d:%02d GMT",
                   days[broken.tm_wday], broken.tm_mday, months[broken.tm_mon],
                   broken.tm_year + 1900, broken.tm_hour, broken.tm_min, broken.tm_sec);
}

static uint64_t shortest_limit(const struct listener_limits *limits)
{
    const uint32_t all[] = {limits->header_timeout_ms, limits->body_timeout_ms,
                            limits->idle_timeout_ms,   limits->write_timeout_ms,
                            CONNECTION_LINGER_MS,      CONNECTION_UNBORN_MS,
                            H2_DRAIN_NOTICE_MS};
    uint32_t shortest = UINT32_MAX;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] != 0 && all[i] < shortest)
            shortest = all[i];
    return (uint64_t)shortest * 1000u;
}

/* -- The flush: the end of every turn -- */

void listener_flush(struct listener *listener)
{
    struct connection *connection = listener->dirty_head;
    listener->dirty_head = listener->dirty_tail = NULL;
    listener->dirty_count = 0;
    listener->flushing = true;
    while (connection != NULL) {
        struct connection *next = connection->dirty_next;
        connection_flush(connection);
        connection = next;
    }
    listener->flushing = false;
    /* What was touched meanwhile waits for the next turn, behind whoever is readable by then. */
    const struct timeval at_once = {0, 0};
    if (listener->dirty_head != NULL && event_add(&listener->flush_later, &at_once) != 0)
        event_active(&listener->flush, EV_TIMEOUT, 0);
}

static void on_flush(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct listener *listener = argument;
    listener_tick(listener);
    listener_flush(listener);
}

/* -- Accepting -- */

/* Out of descriptors: the queue stays readable, so a loop that tried on would spin. */
static void pause_accepting(struct door *door)
{
    const struct timeval pause = {0, LISTENER_ACCEPT_PAUSE_MS * 1000};
    if (event_add(&door->accept_again, &pause) == 0)
        (void)event_del(&door->accepting);
}

static void on_accept_again(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct door *door = argument;
    if (!door->listener->draining && event_add(&door->accepting, NULL) != 0)
        pause_accepting(door);
}

/* Operators find room when clients have taken all that is theirs. */
static bool may_open(const struct door *door)
{
    const struct listener *listener = door->listener;
    uint32_t open = atomic_load_explicit(&listener->counters.connections, memory_order_relaxed);
    uint32_t most = listener->limits.connections_max;
    if (door_is_operators(door))
        most += LISTENER_OPERATORS_MAX;
    return listener->addresses != NULL ? address_table_open(listener->addresses, most)
                                       : open < most;
}

static void welcome(struct door *door, int fd, const struct sockaddr_storage *from)
{
    struct listener *listener = door->listener;
    if (!may_open(door)) {
        COUNTER_ADD(listener->counters.refused, 1);
        (void)close(fd);
        return;
    }
    const int one = 1;
    if (from->ss_family != AF_UNIX) /* costs latency, if at all */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connection_new(door, fd, from) != NULL)
        COUNTER_ADD(listener->counters.accepted, 1);
    else {
        COUNTER_ADD(listener->counters.refused, 1);
        if (listener->addresses != NULL)
            address_table_close(listener->addresses);
    }
}

/* Whether accept(2) failed for what the client, or its way here, did: the next one may be well. */
static bool client_changed_its_mind(int number)
{
    return number == ECONNABORTED || number == EINTR || number == EPROTO || number == EPERM ||
           number == ENETDOWN || number == ENETUNREACH || number == EHOSTDOWN ||
           number == EHOSTUNREACH || number == ENONET || number == ENOPROTOOPT;
}

static void accept_some(struct door *door, unsigned most)
{
    for (unsigned accepts = 0; accepts < most; accepts++) {
        struct sockaddr_storage address = {0};
        socklen_t count = sizeof address;
        int fd =
            accept4(door->is.fd, (struct sockaddr *)&address, &count, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            welcome(door, fd, &address);
        } else if (errno == EAGAIN) {
            return;
        } else if (!client_changed_its_mind(errno)) { /* no descriptor, no memory */
            pause_accepting(door);
            return;
        }
    }
}

static void on_accept(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct door *door = argument;
    listener_tick(door->listener);
    accept_some(door, door->is.shared ? LISTENER_SHARED_ACCEPTS_MAX : LISTENER_ACCEPTS_MAX);
}

/* -- Life -- */

/* Takes over the sockets of config, so that listener_free() closes them. */
static void add_doors(struct listener *listener, const struct listener_config *config)
{
    for (uint32_t i = 0; i < config->door_count; i++) {
        struct door *door = &listener->doors[i];
        door->listener = listener;
        door->is = config->doors[i];
        assert(!door->is.tls || config->tls != NULL);
        (void)event_assign(&door->accepting, config->base, door->is.fd, EV_READ | EV_PERSIST,
                           on_accept, door);
        (void)evtimer_assign(&door->accept_again, config->base, on_accept_again, door);
    }
    listener->door_count = config->door_count;
}

static int open_doors(struct listener *listener, struct error *err)
{
    for (uint32_t i = 0; i < listener->door_count; i++)
        if (event_add(&listener->doors[i].accepting, NULL) != 0)
            return error_set_errno(err, errno, "listening socket");
    return 0;
}

/* The kernel sends newcomers to the other sockets of the port, or lets them wait for whoever holds
 * the socket too: it is closed, never shut down. */
static void close_doors(struct listener *listener)
{
    for (uint32_t i = 0; i < listener->door_count; i++) {
        struct door *door = &listener->doors[i];
        (void)event_del(&door->accepting);
        (void)event_del(&door->accept_again);
        if (door->is.fd >= 0)
            (void)close(door->is.fd);
        door->is.fd = -1;
    }
}

struct listener *listener_new(const struct listener_config *config, struct error *err)
{
    assert(config->door_count > 0 && config->door_count <= LISTENER_DOORS_MAX);
    struct listener *listener = calloc(1, sizeof *listener);
    struct door *doors = calloc(config->door_count, sizeof *doors);
    if (listener == NULL || doors == NULL) {
        (void)error_no_memory(err);
        for (uint32_t i = 0; i < config->door_count; i++)
            (void)close(config->doors[i].fd);
        free(listener);
        free(doors);
        return NULL;
    }
    listener->base = config->base;
    listener->doors = doors;
    listener->addresses = config->addresses;
    listener->tls = config->tls == NULL ? NULL : tls_set_ref(config->tls);
    listener->limits = config->limits;
    listener->trust = config->trust;
    listener->handler = config->handler;
    listener->shortest_us = shortest_limit(&config->limits);
    add_doors(listener, config);
    (void)evtimer_assign(&listener->flush, config->base, on_flush, listener);
    (void)evtimer_assign(&listener->flush_later, config->base, on_flush, listener);
    listener_tick(listener);
    listener->read_bytes = malloc(CONNECTION_READ_BYTES);
    listener->plain_bytes = malloc(CONNECTION_READ_BYTES);
    if (listener->read_bytes == NULL || listener->plain_bytes == NULL) {
        (void)error_no_memory(err);
        goto fail;
    }
    if (h2_prepare(listener, err) != 0 || open_doors(listener, err) != 0)
        goto fail;
    return listener;

fail:
    listener_free(listener);
    return NULL;
}

void listener_set_limits(struct listener *listener, const struct listener_limits *limits)
{
    listener->limits = *limits;
    listener->shortest_us = shortest_limit(limits);
}

void listener_set_tls(struct listener *listener, struct tls_set *set)
{
    assert(listener->tls != NULL);
    tls_set_unref(listener->tls);
    listener->tls = tls_set_ref(set);
}

void listener_set_trust(struct listener *listener, const struct listener_trust *trust)
{
    listener->trust = *trust;
}

void listener_drain(struct listener *listener)
{
    if (listener->draining)
        return;
    listener->draining = true;
    listener_tick(listener);
    for (uint32_t i = 0; i < listener->door_count; i++)
        if (!listener->doors[i].is.inherited) /* closing would reset them */
            accept_some(&listener->doors[i], LISTENER_BACKLOG);
    close_doors(listener);
    for (struct connection *each = listener->connections; each != NULL; each = each->next)
        connection_drain(each);
}

void listener_cut(struct listener *listener)
{
    assert(listener->draining);
    listener->cut = true;
    listener_tick(listener);
    for (struct connection *each = listener->connections; each != NULL; each = each->next)
        connection_cut(each);
}

void listener_free(struct listener *listener)
{
    if (listener == NULL)
        return;
    while (listener->connections != NULL)
        connection_free(listener->connections);
    exchange_spares_free(listener);
    h2_unprepare(listener);
    close_doors(listener);
    (void)event_del(&listener->flush);
    (void)event_del(&listener->flush_later);
    tls_set_unref(listener->tls);
    text_destroy(&listener->spare_out);
    text_destroy(&listener->plain_out);
    free(listener->read_bytes);
    free(listener->plain_bytes);
    free(listener->doors);
    free(listener);
}

void listener_stats(const struct listener *listener, struct listener_stats *ret)
{
    const struct listener_counters *from = &listener->counters;
    *ret = (struct listener_stats){
        .connections = atomic_load_explicit(&from->connections, memory_order_relaxed),
        .exchanges = atomic_load_explicit(&from->exchanges, memory_order_relaxed),
        .addresses_refused = atomic_load_explicit(&from->addresses_refused, memory_order_relaxed),
        .paused = atomic_load_explicit(&from->paused, memory_order_relaxed),
        .heads_refused = atomic_load_explicit(&from->heads_refused, memory_order_relaxed),
        .bodies_refused = atomic_load_explicit(&from->bodies_refused, memory_order_relaxed),
        .accepted = atomic_load_explicit(&from->accepted, memory_order_relaxed),
        .refused = atomic_load_explicit(&from->refused, memory_order_relaxed),
        .requests_h1 = atomic_load_explicit(&from->requests_h1, memory_order_relaxed),
        .requests_h2 = atomic_load_explicit(&from->requests_h2, memory_order_relaxed),
        .protocol_errors = atomic_load_explicit(&from->protocol_errors, memory_order_relaxed),
        .timeouts = atomic_load_explicit(&from->timeouts, memory_order_relaxed),
        .proxy_errors = atomic_load_explicit(&from->proxy_errors, memory_order_relaxed),
        .forwarded_errors = atomic_load_explicit(&from->forwarded_errors, memory_order_relaxed),
    };
    for (uint32_t i = 0; i < TLS_RESULT_COUNT; i++)
        ret->handshakes[i] = atomic_load_explicit(&from->handshakes[i], memory_order_relaxed);
    for (unsigned kind = 0; kind < HTTP_ABUSE_COUNT; kind++)
        ret->abuse[kind] = atomic_load_explicit(&from->abuse[kind], memory_order_relaxed);
}

const char *http_abuse_name(enum http_abuse kind)
{
    static const char *const names[HTTP_ABUSE_COUNT] = {
        [HTTP_ABUSE_NONE] = "none",
        [HTTP_ABUSE_RESET] = "reset",
        [HTTP_ABUSE_PROVOKED_RESET] = "provoked_reset",
        [HTTP_ABUSE_CONTINUATION] = "continuation",
        [HTTP_ABUSE_HEADER_BOMB] = "header_bomb",
        [HTTP_ABUSE_SETTINGS] = "settings",
        [HTTP_ABUSE_PING] = "ping",
        [HTTP_ABUSE_PRIORITY] = "priority",
        [HTTP_ABUSE_WINDOW_UPDATE] = "window_update",
        [HTTP_ABUSE_EMPTY_FRAME] = "empty_frame",
        [HTTP_ABUSE_UNKNOWN_FRAME] = "unknown_frame",
        [HTTP_ABUSE_TINY_WINDOW] = "tiny_window",
        [HTTP_ABUSE_STALLED_WINDOW] = "stalled_window",
        [HTTP_ABUSE_UNREAD] = "unread",
        [HTTP_ABUSE_SLOW_REQUEST] = "slow_request",
        [HTTP_ABUSE_AMBIGUOUS] = "ambiguous",
    };
    assert(kind < HTTP_ABUSE_COUNT);
    return names[kind];
}
