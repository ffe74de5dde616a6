/* SPDX-License-Identifier: Apache-2.0 */
/* doors.h -- the sockets of server.listen and server.listeners, opened once, a set for each worker.
 *
 * A TCP door is bound by every worker for itself (SO_REUSEPORT: the kernel spreads connections). A
 * unix socket, and one that systemd opened, is a single queue, of which every worker accepts.
 * Main thread. */
#ifndef WEIR_DAEMON_DOORS_H
#define WEIR_DAEMON_DOORS_H

#include "base/error.h"
#include "base/log.h"
#include "daemon/config.h"
#include "daemon/http/listener.h"

#include <stdbool.h>
#include <stdint.h>

struct doors;

#define DOORS_URL_BYTES 320u

/* config: borrowed, outlives it. NULL and err on failure: ERROR_BUSY where somebody else listens
 * there. */
struct doors *doors_open(const struct config *config, uint32_t worker_count, struct error *err);
/* Closes what no worker took, and removes unix sockets that are ours. NULL is fine. */
void doors_close(struct doors *doors);

/* The sockets of one worker, whose they then are; returns how many. Once a worker. */
uint32_t doors_take(struct doors *doors, uint32_t worker,
                    struct listener_door ret[LISTENER_DOORS_MAX]);

uint16_t doors_port(const struct doors *doors); /* of the first TCP door; 0 where there is none */
void doors_log(const struct doors *doors, struct log *log);

/* How to get to the first door that is for requests. */
struct doors_way {
    char url[DOORS_URL_BYTES]; /* without a path */
    const char *unix_path;     /* NULL for TCP; borrowed: the configuration */
    bool proxy_protocol;
};
void doors_way(const struct doors *doors, struct doors_way *ret);

#endif
