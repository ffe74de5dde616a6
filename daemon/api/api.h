/* SPDX-License-Identifier: Apache-2.0 */
/* api.h -- a worker's application: exchanges become generations, tokens become answers.
 *
 * All of it belongs to the worker's thread. */
#ifndef WEIR_DAEMON_API_API_H
#define WEIR_DAEMON_API_API_H

#include "base/error.h"
#include "daemon/http/exchange.h"
#include "daemon/server.h"

#include <stdint.h>

struct api;

/* server: borrowed, outlives it. worker: the index of its outbox in every engine. */
/* What it goes by from the next callback on, in place of the server's newest as it was made. */
void api_set_live(struct api *api, struct live *live);
struct api *api_new(struct server *server, uint32_t worker, struct error *err);
/* After the listener is freed and the engines are stopped. NULL is fine. */
void api_free(struct api *api);

const struct exchange_handler *api_handler(const struct api *api); /* lives as long as the api */
/* An engine left events for this worker: take and deliver them. */
void api_wake(struct api *api);
/* A few times a second: ends what has waited too long. */
void api_tick(struct api *api);
/* Generations whose last event has not come yet. */
uint32_t api_open_generations(const struct api *api);

#endif
