/* SPDX-License-Identifier: Apache-2.0 */
/* state_dump.h -- what the daemon is busy with, written down on SIGUSR1. Main thread.
 *
 * One line a part: the process, each engine, each worker, the fleet. Numbers only: no user, no key,
 * no request, no address. Bounded, for so are workers and models. */
#ifndef WEIR_DAEMON_STATE_DUMP_H
#define WEIR_DAEMON_STATE_DUMP_H

#include "base/error.h"
#include "base/text.h"

#include <stdint.h>

#define STATE_DUMP_FILE "state.json"

struct server;

/* The parts as a JSON array, each an object as the log has it in JSON. */
void state_dump_json(const struct server *server, uint64_t now_us, int64_t now_unix_us,
                     struct text *out);
/* Into STATE_DUMP_FILE of $RUNTIME_DIRECTORY (systemd), whole or not at all; without one, into the
 * log at level info. The log says where, and what went wrong. */
void state_dump(const struct server *server, uint64_t now_us, int64_t now_unix_us);

#endif
