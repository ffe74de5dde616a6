/* SPDX-License-Identifier: Apache-2.0 */
/* loader.h -- models that did not load are tried again, on a thread that nobody waits for.
 *
 * Of models whose models[].on_failure is `retry`; load_retry.h says when. */
#ifndef WEIR_DAEMON_LOADER_H
#define WEIR_DAEMON_LOADER_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct loader;
struct server;
struct served_model;

/* server: borrowed, its models there. */
struct loader *loader_new(struct server *server, struct error *err);
/* One did not load: the log is told, and when it is tried again. Main, before loader_run(). */
void loader_failed(struct loader *loader, struct served_model *served, const struct error *why);
/* Starts the thread, where a model is absent. Once, after the workers. */
int loader_run(struct loader *loader, struct error *err);
/* All are tried again now. Any thread. */
void loader_hurry(struct loader *loader);
/* After server.loads_end: no load begins, and one that runs ends soon. False when it has not within
 * timeout_ms. Main thread. */
bool loader_stop(struct loader *loader, uint32_t timeout_ms);
/* After server.loads_end; waits for the thread. NULL is fine. */
void loader_free(struct loader *loader);

#endif
