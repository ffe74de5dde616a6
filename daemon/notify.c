/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/notify.h"

#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct notify {
    int fd; /* -1: nobody listens */
    struct sockaddr_un address;
    socklen_t address_bytes;
    uint64_t watchdog_us;
    uint64_t alive_us; /* last told; 0: never */
    char status[NOTIFY_STATUS_MAX];
};

static bool is_said(const char *value)
{
    return value != NULL && value[0] != '\0';
}

/* An environment's strings live as long as it does; what is unset is only no longer found. */
static const char *take(const char *name)
{
    const char *value = getenv(name);
    (void)unsetenv(name);
    return value;
}

void notify_environment(struct notify_environment *ret)
{
    *ret = (struct notify_environment){
        .socket = take("NOTIFY_SOCKET"),
        .watchdog_us = take("WATCHDOG_USEC"),
        .watchdog_pid = take("WATCHDOG_PID"),
        .pid = getpid(),
    };
}

static int read_number(const char *name, const char *value, uint64_t *ret, struct error *err)
{
    char *end;
    errno = 0;
    uint64_t number = strtoull(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || value[0] == '-')
        return error_set(err, ERROR_INVALID, "%s: expected a number, got '%.64s'", name, value);
    *ret = number;
    return 0;
}

/* Another process's watchdog is none of ours. */
static int read_watchdog(struct notify *notify, const struct notify_environment *from,
                         struct error *err)
{
    uint64_t us = 0, pid = (uint64_t)from->pid;
    int result = 0;
    if (is_said(from->watchdog_us))
        result = read_number("WATCHDOG_USEC", from->watchdog_us, &us, err);
    if (result == 0 && is_said(from->watchdog_pid))
        result = read_number("WATCHDOG_PID", from->watchdog_pid, &pid, err);
    if (result == 0 && pid == (uint64_t)from->pid)
        notify->watchdog_us = us;
    return result;
}

static int open_socket(struct notify *notify, const char *name, struct error *err)
{
    size_t count = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || count >= sizeof notify->address.sun_path)
        return error_set(err, ERROR_INVALID,
                         "NOTIFY_SOCKET: expected '/path' or '@name' of at most %zu bytes, got "
                         "'%.128s'",
                         sizeof notify->address.sun_path - 1, name);
    notify->address.sun_family = AF_UNIX;
    memcpy(notify->address.sun_path, name, count);
    if (name[0] == '@')
        notify->address.sun_path[0] = '\0';
    notify->address_bytes =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + count + (name[0] == '/' ? 1 : 0));
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return notify->fd >= 0 ? 0 : error_set_errno(err, errno, "NOTIFY_SOCKET");
}

struct notify *notify_new(const struct notify_environment *environment, struct error *err)
{
    struct notify *notify = calloc(1, sizeof *notify);
    if (notify == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    notify->fd = -1;
    if (!is_said(environment->socket))
        return notify;
    if (read_watchdog(notify, environment, err) == 0 &&
        open_socket(notify, environment->socket, err) == 0)
        return notify;
    notify_free(notify);
    return NULL;
}

void notify_free(struct notify *notify)
{
    if (notify == NULL)
        return;
    if (notify->fd >= 0)
        (void)close(notify->fd);
    free(notify);
}

uint64_t notify_watchdog_us(const struct notify *notify)
{
    return notify->watchdog_us;
}

__attribute__((format(printf, 2, 3))) static void tell(struct notify *notify, const char *format,
                                                       ...)
{
    char lines[NOTIFY_BYTES_MAX];
    va_list arguments;
    if (notify->fd < 0)
        return;
    va_start(arguments, format);
    int count = vsnprintf(lines, sizeof lines, format, arguments);
    va_end(arguments);
    if (count <= 0 || (size_t)count >= sizeof lines)
        return;
    ssize_t sent = sendto(notify->fd, lines, (size_t)count, MSG_NOSIGNAL,
                          (const struct sockaddr *)&notify->address, notify->address_bytes);
    (void)sent; /* a manager that is away or full is not waited for */
}

void notify_ready(struct notify *notify)
{
    tell(notify, "READY=1");
}

void notify_reloading(struct notify *notify, uint64_t now_us)
{
    tell(notify, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, now_us);
}

void notify_stopping(struct notify *notify, uint64_t needed_us)
{
    tell(notify, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64, needed_us);
}

void notify_needs(struct notify *notify, uint64_t needed_us)
{
    tell(notify, "EXTEND_TIMEOUT_USEC=%" PRIu64, needed_us);
}

void notify_status(struct notify *notify, const char *format, ...)
{
    char status[NOTIFY_STATUS_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(status, sizeof status, format, arguments);
    va_end(arguments);
    for (char *at = status; *at != '\0'; at++)
        if (*at == '\n')
            *at = ' '; /* a line is a message */
    if (strcmp(status, notify->status) == 0)
        return;
    (void)snprintf(notify->status, sizeof notify->status, "%s", status);
    tell(notify, "STATUS=%s", status);
}

void notify_alive(struct notify *notify, uint64_t now_us)
{
    /* From a third on: a caller who comes every half of it is never late by a hair. */
    if (notify->watchdog_us == 0 ||
        (notify->alive_us != 0 && now_us - notify->alive_us < notify->watchdog_us / 3))
        return;
    notify->alive_us = now_us;
    tell(notify, "WATCHDOG=1");
}
