/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/http/listener.h"

#include "base/clock.h"
#include "daemon/http/connection.h"
#include "daemon/http/h2.h"
#include "daemon/http/listener_inner.h"
#include "daemon/http/tls_set.h"

#include <arpa/inet.h>
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
        .header_timeout_ms = 10000,
        .body_timeout_ms = 60000,
        .idle_timeout_ms = 120000,
        .write_timeout_ms = 60000,
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
                            CONNECTION_LINGER_MS,      H2_DRAIN_NOTICE_MS};
    uint32_t shortest = UINT32_MAX;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] != 0 && all[i] < shortest)
            shortest = all[i];
    return (uint64_t)shortest * 1000u;
}

/* -- The flush: the end of every turn -- */

static void on_flush(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct listener *listener = argument;
    listener_tick(listener);
    struct connection *connection = listener->dirty_head;
    listener->dirty_head = listener->dirty_tail = NULL;
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

/* -- Accepting -- */

/* Out of descriptors: the queue stays readable, so a loop that tried on would spin. */
static void pause_accepting(struct listener *listener)
{
    const struct timeval pause = {0, LISTENER_ACCEPT_PAUSE_MS * 1000};
    if (event_add(&listener->accept_again, &pause) == 0)
        (void)event_del(&listener->accepting);
}

static void on_accept_again(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct listener *listener = argument;
    if (!listener->draining && event_add(&listener->accepting, NULL) != 0)
        pause_accepting(listener);
}

static void welcome(struct listener *listener, int fd, const struct sockaddr_storage *address)
{
    uint32_t open = atomic_load_explicit(&listener->counters.connections, memory_order_relaxed);
    if (open >= listener->limits.connections_max) {
        COUNTER_ADD(listener->counters.refused, 1);
        (void)close(fd);
        return;
    }
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* costs latency, if at all */
    char client[INET6_ADDRSTRLEN] = "";
    if (address->ss_family == AF_INET6)
        (void)inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, client,
                        sizeof client);
    else if (address->ss_family == AF_INET)
        (void)inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, client,
                        sizeof client);
    if (connection_new(listener, fd, client) != NULL)
        COUNTER_ADD(listener->counters.accepted, 1);
    else
        COUNTER_ADD(listener->counters.refused, 1);
}

static void on_accept(evutil_socket_t listening, short what, void *argument)
{
    (void)what;
    struct listener *listener = argument;
    listener_tick(listener);
    for (unsigned accepts = 0; accepts < LISTENER_ACCEPTS_MAX; accepts++) {
        struct sockaddr_storage address = {0};
        socklen_t count = sizeof address;
        int fd =
            accept4(listening, (struct sockaddr *)&address, &count, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            welcome(listener, fd, &address);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(listener);
            return;
        } else if (errno == EAGAIN) {
            return;
        }
        /* else the client changed its mind in the queue: the next one */
    }
}

/* -- Life -- */

struct listener *listener_new(const struct listener_config *config, struct error *err)
{
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL) {
        (void)error_no_memory(err);
        (void)close(config->fd);
        return NULL;
    }
    listener->base = config->base;
    listener->fd = config->fd;
    listener->tls = config->tls == NULL ? NULL : tls_set_ref(config->tls);
    listener->limits = config->limits;
    listener->handler = config->handler;
    listener->shortest_us = shortest_limit(&config->limits);
    (void)event_assign(&listener->accepting, config->base, config->fd, EV_READ | EV_PERSIST,
                       on_accept, listener);
    (void)evtimer_assign(&listener->accept_again, config->base, on_accept_again, listener);
    (void)evtimer_assign(&listener->flush, config->base, on_flush, listener);
    (void)evtimer_assign(&listener->flush_later, config->base, on_flush, listener);
    listener_tick(listener);
    listener->read_bytes = malloc(CONNECTION_READ_BYTES);
    listener->plain_bytes = malloc(CONNECTION_READ_BYTES);
    if (listener->read_bytes == NULL || listener->plain_bytes == NULL) {
        (void)error_no_memory(err);
        goto fail;
    }
    if (h2_prepare(listener, err) != 0)
        goto fail;
    if (event_add(&listener->accepting, NULL) != 0) {
        (void)error_set_errno(err, errno, "listening socket");
        goto fail;
    }
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

void listener_drain(struct listener *listener)
{
    if (listener->draining)
        return;
    listener->draining = true;
    listener_tick(listener);
    (void)event_del(&listener->accepting);
    (void)event_del(&listener->accept_again);
    (void)close(listener->fd); /* the kernel sends newcomers to the other listeners of the port */
    listener->fd = -1;
    for (struct connection *each = listener->connections; each != NULL; each = each->next)
        connection_drain(each);
}

void listener_free(struct listener *listener)
{
    if (listener == NULL)
        return;
    while (listener->connections != NULL)
        connection_free(listener->connections);
    exchange_spares_free(listener);
    h2_unprepare(listener);
    (void)event_del(&listener->accepting);
    (void)event_del(&listener->accept_again);
    (void)event_del(&listener->flush);
    (void)event_del(&listener->flush_later);
    if (listener->fd >= 0)
        (void)close(listener->fd);
    tls_set_unref(listener->tls);
    text_destroy(&listener->spare_out);
    text_destroy(&listener->plain_out);
    free(listener->read_bytes);
    free(listener->plain_bytes);
    free(listener);
}

void listener_stats(const struct listener *listener, struct listener_stats *ret)
{
    const struct listener_counters *from = &listener->counters;
    *ret = (struct listener_stats){
        .connections = atomic_load_explicit(&from->connections, memory_order_relaxed),
        .exchanges = atomic_load_explicit(&from->exchanges, memory_order_relaxed),
        .accepted = atomic_load_explicit(&from->accepted, memory_order_relaxed),
        .refused = atomic_load_explicit(&from->refused, memory_order_relaxed),
        .requests_h1 = atomic_load_explicit(&from->requests_h1, memory_order_relaxed),
        .requests_h2 = atomic_load_explicit(&from->requests_h2, memory_order_relaxed),
        .protocol_errors = atomic_load_explicit(&from->protocol_errors, memory_order_relaxed),
        .timeouts = atomic_load_explicit(&from->timeouts, memory_order_relaxed),
    };
    for (uint32_t i = 0; i < TLS_RESULT_COUNT; i++)
        ret->handshakes[i] = atomic_load_explicit(&from->handshakes[i], memory_order_relaxed);
}
