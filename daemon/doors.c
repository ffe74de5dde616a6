/* SPDX-License-Identifier: Apache-2.0 */
/* doors.c -- from what the configuration says of listeners to sockets.
 *
 * One queue for many workers (a unix socket, a socket of systemd's) wakes every idle worker for a
 * connection, and all but one find nothing: some microseconds each, once a connection, and
 * connections here live for many requests. The road not taken is EPOLLEXCLUSIVE: libevent does not
 * offer it, an epoll set within the loop's own loses it, and it tends to wake the same worker again
 * and again. Each worker takes a few connections a turn of such a queue (listener.c), so that a
 * burst is shared. TCP sockets of our own have a queue a worker and none of this. */
#include "daemon/doors.h"

#include "daemon/activation.h"
#include "daemon/http/unix_socket.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NAME_BYTES 300u

struct doors_place {
    const struct config_listener *config; /* borrowed: the configuration */
    char name[NAME_BYTES];                /* "127.0.0.1:8080", "unix:/run/weir/weir.sock" */
    struct listener_door is;              /* but for the socket */
    uint16_t port;                        /* 0 for a unix socket */
    char unix_path[UNIX_SOCKET_PATH_MAX + 1];
    bool bound; /* there, and to be removed from there */
    struct unix_place unix_place;
    int *fds; /* of each worker; -1 once taken */
};

struct doors {
    uint32_t worker_count, count;
    struct config_listener first; /* of server.listen and port; strings borrowed: config */
    struct activation activation;
    bool activation_used[ACTIVATION_FDS_MAX];
    struct doors_place places[LISTENER_DOORS_MAX];
};

static struct doors_place *add_place(struct doors *doors, const struct config_listener *listener,
                                     struct error *err)
{
    struct doors_place *place = &doors->places[doors->count];
    if (doors->count == LISTENER_DOORS_MAX) {
        (void)error_set(err, ERROR_INVALID, "server.listeners: more than %u sockets",
                        LISTENER_DOORS_MAX);
        return NULL;
    }
    place->fds = malloc(doors->worker_count * sizeof *place->fds);
    if (place->fds == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    for (uint32_t i = 0; i < doors->worker_count; i++)
        place->fds[i] = -1;
    place->config = listener;
    doors->count++;
    return place;
}

/* One queue for all: each worker closes its own descriptor of it when it drains. */
static int share(const struct doors *doors, struct doors_place *place, int fd, struct error *err)
{
    place->is.shared = doors->worker_count > 1;
    for (uint32_t i = 0; i < doors->worker_count; i++) {
        place->fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, ACTIVATION_FIRST_FD);
        if (place->fds[i] < 0)
            return error_set_errno(err, errno, "listener '%s'", place->name);
    }
    return 0;
}

/* Whether someone else listens on the address already. Our sockets share their port among the
 * workers (SO_REUSEPORT), and the kernel would share it with another weir of the same user as
 * well: half of the requests would go to the one that was forgotten. A socket that does not offer
 * to share is told. Answers 0 for what listener_bind() will explain better. */
static int check_port_free(const struct config_listener *listener, struct error *err)
{
    char service[8];
    const int one = 1;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    (void)snprintf(service, sizeof service, "%u", listener->port);
    if (listener->port == 0 || getaddrinfo(listener->address, service, &hints, &found) != 0)
        return 0;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool taken = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
                 bind(fd, found->ai_addr, found->ai_addrlen) != 0 && errno == EADDRINUSE;
    if (fd >= 0)
        close(fd);
    freeaddrinfo(found);
    if (!taken)
        return 0;
    return error_set(err, ERROR_BUSY,
                     "port %u of '%s' is in use: stop its owner, or choose another (--port)",
                     listener->port, listener->address);
}

static void name_port(struct doors_place *place, const char *address)
{
    bool v6 = strchr(address, ':') != NULL;
    (void)snprintf(place->name, sizeof place->name, "%s%s%s:%u", v6 ? "[" : "", address,
                   v6 ? "]" : "", place->port);
}

static int open_tcp(struct doors *doors, const struct config_listener *listener, struct error *err)
{
    int result = check_port_free(listener, err);
    struct doors_place *place = result == 0 ? add_place(doors, listener, err) : NULL;
    if (place == NULL)
        return err->code;
    place->port = listener->port;
    for (uint32_t i = 0; i < doors->worker_count; i++) {
        place->fds[i] = listener_bind(listener->address, place->port, &place->port, err);
        if (place->fds[i] < 0)
            return err->code;
    }
    name_port(place, listener->address);
    return 0;
}

static int open_unix(struct doors *doors, const struct config_listener *listener, struct error *err)
{
    struct doors_place *place = add_place(doors, listener, err);
    if (place == NULL)
        return err->code;
    (void)snprintf(place->name, sizeof place->name, "unix:%s", listener->unix_path);
    int fd = unix_socket_listen(listener->unix_path, listener->mode, &place->unix_place, err);
    if (fd < 0)
        return err->code;
    place->bound = true;
    (void)snprintf(place->unix_path, sizeof place->unix_path, "%s", listener->unix_path);
    int result = share(doors, place, fd, err);
    close(fd);
    return result;
}

/* Where systemd bound it, as names of logs have it. */
static void name_inherited(struct doors_place *place, int fd)
{
    struct sockaddr_storage storage = {0};
    socklen_t count = sizeof storage - 1; /* a path may fill all of its own */
    struct address address;
    char text[ADDRESS_TEXT_BYTES];
    (void)snprintf(place->name, sizeof place->name, "activation:%s", place->config->activation);
    if (getsockname(fd, (struct sockaddr *)&storage, &count) != 0)
        return;
    if (storage.ss_family == AF_UNIX) {
        const struct sockaddr_un *path = (const struct sockaddr_un *)&storage;
        (void)snprintf(place->unix_path, sizeof place->unix_path, "%s", path->sun_path);
        (void)snprintf(place->name, sizeof place->name, "unix:%s", place->unix_path);
    }
    if (!address_of_socket(&storage, &address))
        return;
    place->port =
        ntohs(storage.ss_family == AF_INET ? ((const struct sockaddr_in *)&storage)->sin_port
                                           : ((const struct sockaddr_in6 *)&storage)->sin6_port);
    address_format(&address, text);
    name_port(place, text);
}

static int open_inherited(struct doors *doors, const struct config_listener *listener,
                          struct error *err)
{
    bool found = false;
    for (uint32_t i = 0; i < doors->activation.count; i++) {
        if (strcmp(doors->activation.names[i], listener->activation) != 0)
            continue;
        found = doors->activation_used[i] = true;
        struct doors_place *place = add_place(doors, listener, err);
        if (place == NULL)
            return err->code;
        int fd = ACTIVATION_FIRST_FD + (int)i;
        place->is.inherited = true;
        name_inherited(place, fd);
        int result = share(doors, place, fd, err);
        close(fd);
        if (result != 0)
            return result;
    }
    if (found)
        return 0;
    return error_set(err, ERROR_NOT_FOUND,
                     "server.listeners: systemd passed no socket '%s' (FileDescriptorName= of its "
                     "unit, which is to be started first)",
                     listener->activation);
}

static int check_all_used(const struct doors *doors, struct error *err)
{
    for (uint32_t i = 0; i < doors->activation.count; i++)
        if (!doors->activation_used[i])
            return error_set(err, ERROR_INVALID,
                             "systemd passes the socket '%s', which nobody would answer: add "
                             "'- activation: %s' to server.listeners",
                             doors->activation.names[i], doors->activation.names[i]);
    return 0;
}

static int open_listener(struct doors *doors, const struct config_listener *listener,
                         struct error *err)
{
    if (listener->unix_path[0] != '\0')
        return open_unix(doors, listener, err);
    if (listener->activation[0] != '\0')
        return open_inherited(doors, listener, err);
    return open_tcp(doors, listener, err);
}

static bool is_for_admin(const struct config_listener *listener)
{
    return listener->admin == CONFIG_ADMIN_YES || listener->admin == CONFIG_ADMIN_ALSO;
}

static unsigned serves(const struct config_listener *listener, bool any_for_admin)
{
    switch (listener->admin) {
    case CONFIG_ADMIN_YES:
        return EXCHANGE_DOOR_ADMIN;
    case CONFIG_ADMIN_NO:
        return EXCHANGE_DOOR_PUBLIC;
    case CONFIG_ADMIN_ALSO:
        break;
    case CONFIG_ADMIN_AUTO:
        if (any_for_admin)
            return EXCHANGE_DOOR_PUBLIC;
    }
    return EXCHANGE_DOOR_PUBLIC | EXCHANGE_DOOR_ADMIN;
}

/* What holds of whoever comes in, once it is known what kind of socket it is. */
static void describe(struct doors *doors, const struct config *config)
{
    bool any_for_admin = false;
    for (uint32_t i = 0; i < doors->count; i++)
        any_for_admin = any_for_admin || is_for_admin(doors->places[i].config);
    for (uint32_t i = 0; i < doors->count; i++) {
        struct doors_place *place = &doors->places[i];
        const struct config_listener *listener = place->config;
        place->is.serves = serves(listener, any_for_admin);
        place->is.proxy_protocol = listener->proxy_protocol;
        place->is.tls =
            listener->tls == CONFIG_DOOR_YES ||
            (listener->tls == CONFIG_DOOR_AUTO && config_has_tls(config) && place->port != 0);
    }
}

struct doors *doors_open(const struct config *config, uint32_t worker_count, struct error *err)
{
    struct doors *doors = calloc(1, sizeof *doors);
    if (doors == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    doors->worker_count = worker_count;
    int result = activation_take(&doors->activation, err);
    config_first_listener(config, &doors->first);
    if (result == 0 && doors->first.address[0] != '\0')
        result = open_listener(doors, &doors->first, err);
    for (uint32_t i = 0; result == 0 && i < config->listener_count; i++)
        result = open_listener(doors, &config->listeners[i], err);
    if (result == 0)
        result = check_all_used(doors, err);
    if (result != 0) {
        doors_close(doors);
        return NULL;
    }
    describe(doors, config);
    return doors;
}

void doors_close(struct doors *doors)
{
    if (doors == NULL)
        return;
    for (uint32_t i = 0; i < doors->count; i++) {
        struct doors_place *place = &doors->places[i];
        for (uint32_t w = 0; w < doors->worker_count; w++)
            if (place->fds[w] >= 0)
                (void)close(place->fds[w]);
        if (place->bound)
            unix_socket_remove(place->unix_path, &place->unix_place);
        free(place->fds);
    }
    free(doors);
}

uint32_t doors_take(struct doors *doors, uint32_t worker,
                    struct listener_door ret[LISTENER_DOORS_MAX])
{
    assert(worker < doors->worker_count);
    for (uint32_t i = 0; i < doors->count; i++) {
        struct doors_place *place = &doors->places[i];
        assert(place->fds[worker] >= 0);
        ret[i] = place->is;
        ret[i].fd = place->fds[worker];
        place->fds[worker] = -1;
    }
    return doors->count;
}

uint16_t doors_port(const struct doors *doors)
{
    for (uint32_t i = 0; i < doors->count; i++)
        if (doors->places[i].port != 0)
            return doors->places[i].port;
    return 0;
}

void doors_log(const struct doors *doors, struct log *log)
{
    for (uint32_t i = 0; i < doors->count; i++) {
        const struct doors_place *place = &doors->places[i];
        log_event(log, LOG_LEVEL_INFO, "listening", LOG_STRING("at", place->name),
                  LOG_STRING("activation", place->config->activation),
                  LOG_STRING("tls", place->is.tls ? "yes" : "no"),
                  LOG_STRING("proxy_protocol", place->is.proxy_protocol ? "on" : "off"),
                  LOG_STRING("serves", place->is.serves == EXCHANGE_DOOR_PUBLIC  ? "requests"
                                       : place->is.serves == EXCHANGE_DOOR_ADMIN ? "admin"
                                                                                 : "all"));
    }
}

/* An address for "all" is none to go to. */
static const char *reachable(const char *name)
{
    if (strncmp(name, "0.0.0.0:", 8) == 0)
        return "127.0.0.1:";
    return strncmp(name, "[::]:", 5) == 0 ? "[::1]:" : "";
}

void doors_way(const struct doors *doors, struct doors_way *ret)
{
    const struct doors_place *place = &doors->places[0];
    while ((place->is.serves & EXCHANGE_DOOR_PUBLIC) == 0) {
        place++;
        assert(place < doors->places + doors->count); /* config_check_listeners() */
    }
    const char *scheme = place->is.tls ? "https" : "http", *host = reachable(place->name);
    ret->proxy_protocol = place->is.proxy_protocol;
    ret->unix_path = place->port == 0 ? place->unix_path : NULL;
    if (place->port == 0)
        (void)snprintf(ret->url, sizeof ret->url, "%s://localhost", scheme);
    else if (host[0] != '\0')
        (void)snprintf(ret->url, sizeof ret->url, "%s://%s%u", scheme, host, place->port);
    else
        (void)snprintf(ret->url, sizeof ret->url, "%s://%s", scheme, place->name);
}
