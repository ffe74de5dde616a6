/* SPDX-License-Identifier: Apache-2.0 */
/* device.h -- which device a model gets, and how much memory for its keys and values.
 * Whoever loads the model: main before the workers run, then the loader's thread. */
#ifndef WEIR_DAEMON_DEVICE_H
#define WEIR_DAEMON_DEVICE_H

#include "base/error.h"
#include "daemon/server.h"

#include <stdint.h>

/* Opens served->backend as engine.device asks. A GPU's memory is weighed against the file's header
 * first, and the log has what needs what. Where there is no GPU for it, `auto` takes the CPU and
 * the log says why, and `cuda` fails with that. */
int device_open(struct server *server, struct served_model *served, struct error *err);

/* After its weights were loaded: fills the engine's kv_memory_bytes and context. */
int device_plan_kv(struct server *server, const struct served_model *served,
                   struct engine_config *engine, struct error *err);

#endif
