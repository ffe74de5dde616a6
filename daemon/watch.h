/* SPDX-License-Identifier: Apache-2.0 */
/* watch.h -- whether what works for us still does: each engine's step, each worker's loop.
 *
 * A process that lives is not a process that serves. An engine with something to do moves its
 * progress with every layer; a worker answers a ring of its bell once a turn of its loop. Who does
 * neither for server.stall_timeout has stalled: the log says so, /health is 503, a metric is 1, and
 * the service manager's watchdog is fed no more, so that it starts us anew. An engine whose device
 * is lost will never get on: the process drains and ends, for another to begin. */
#ifndef WEIR_DAEMON_WATCH_H
#define WEIR_DAEMON_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#define WATCH_STATUS_US 5000000u /* between two lines of status */

struct server;

/* A counter that ought to move, as it was seen last. All zero: never looked at. */
struct watch_pulse {
    uint64_t count, moved_us;
};

/* Pure. How long it has not moved by what we know; and from now on we know this, too. */
uint64_t watch_pulse_still_us(struct watch_pulse *pulse, uint64_t count, uint64_t now_us);

/* Main thread, about once a second, before which workers were running. Rings the workers, logs who
 * stalled and who no longer does. Whether all get on. */
bool watch_all(struct server *server, uint32_t timeout_ms, uint64_t now_us);
/* Main thread. Whether a device was found lost. */
bool watch_lost(const struct server *server);
/* The one line of what we do: for `systemctl status`. */
void watch_tell_status(struct server *server, uint64_t now_us);

#endif
