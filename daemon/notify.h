/* SPDX-License-Identifier: Apache-2.0 */
/* notify.h -- what the service manager is told, in sd_notify(3)'s protocol: lines in a datagram to
 * the socket that $NOTIFY_SOCKET names.
 *
 * A few lines of code, so no library for them. Without a socket everything here does nothing. Main
 * thread; never blocks: a manager that does not read loses what we say. */
#ifndef WEIR_DAEMON_NOTIFY_H
#define WEIR_DAEMON_NOTIFY_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define NOTIFY_BYTES_MAX  512u
#define NOTIFY_STATUS_MAX 256u

/* As the manager gave it; NULL or "" for what it did not. */
struct notify_environment {
    const char *socket;       /* NOTIFY_SOCKET: a path, or "@name" for an abstract one */
    const char *watchdog_us;  /* WATCHDOG_USEC */
    const char *watchdog_pid; /* WATCHDOG_PID */
    int64_t pid;              /* ours */
};

struct notify;

/* Reads the process's environment, and takes those variables out of it. */
void notify_environment(struct notify_environment *ret);
/* NULL and err when the socket's name cannot be one, or nothing can be sent at all. */
struct notify *notify_new(const struct notify_environment *environment, struct error *err);
void notify_free(struct notify *notify); /* NULL is fine */

/* So long may pass between two notify_alive() before the manager ends us; 0: it does not watch. */
uint64_t notify_watchdog_us(const struct notify *notify);

void notify_ready(struct notify *notify); /* also: reloading is over */
void notify_reloading(struct notify *notify, uint64_t now_us);
void notify_stopping(struct notify *notify, uint64_t needed_us);
/* What it may take from now on, where the manager's own limits are shorter. */
void notify_needs(struct notify *notify, uint64_t needed_us);
/* A line for `systemctl status`; said again only when it is another. */
void notify_status(struct notify *notify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* All is well. Sent about twice in the watchdog's time, however often it is called. */
void notify_alive(struct notify *notify, uint64_t now_us);

#endif
