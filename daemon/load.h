/* SPDX-License-Identifier: Apache-2.0 */
/* load.h -- a configured model becomes a served one: licence, weights, KV memory, engine.
 * Main thread, before the workers run. */
#ifndef WEIR_DAEMON_LOAD_H
#define WEIR_DAEMON_LOAD_H

#include "base/error.h"
#include "daemon/server.h"

#include <stdint.h>

/* Reads the file's header alone, and has the licence weighed and logged: the model becomes the next
 * of server->models, or on ERROR_REFUSED of server->refused. */
int load_license(struct server *server, const struct config_model *model, int64_t now_unix,
                 struct error *err);
/* How long load_model() may take at most, by the size of the file: what a start is given. */
uint64_t load_needs_us(const struct served_model *served);
/* Fills what is missing of server->models[index] and logs what was found. On failure
 * unload_model() frees what there is. */
int load_model(struct server *server, uint32_t index, struct error *err);
void unload_model(struct served_model *served); /* its engine stopped; half-built is fine */

#endif
