/* SPDX-License-Identifier: Apache-2.0 */
/* load.h -- a configured model becomes a served one: licence, weights, KV memory, engine.
 *
 * Main thread before the workers run, then the loader's (loader.h). A model in a state other than
 * absent is not touched any more. */
#ifndef WEIR_DAEMON_LOAD_H
#define WEIR_DAEMON_LOAD_H

#include "base/error.h"
#include "daemon/server.h"

#include <stdint.h>

/* RFC 8288; the caller frees it. NULL: no memory. */
char *load_license_link(const char *id);
/* By the file's header alone: ERROR_REFUSED for one whose licence does not allow it, which is
 * logged and makes the model refused. So it costs no memory. */
int load_screen(struct server *server, struct served_model *served, int64_t now_unix,
                struct error *err);
/* How long load_model() may take at most, by the size of the file: what a start is given. */
uint64_t load_needs_us(const struct served_model *served);
/* Loads it, has the licence of that very file weighed, and makes the model served; or refused, with
 * ERROR_REFUSED. Logs what was found. On any other failure it is absent as before. ERROR_CLOSED:
 * given up, for server->loads_end. */
int load_model(struct server *server, struct served_model *served, struct error *err);
void unload_model(struct served_model *served); /* its engine stopped; half-built is fine */

#endif
