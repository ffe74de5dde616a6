/* SPDX-License-Identifier: Apache-2.0 */
/* models.h -- what is said of a model that is not served. Worker's thread. */
#ifndef WEIR_DAEMON_API_MODELS_H
#define WEIR_DAEMON_API_MODELS_H

#include "daemon/api/fault.h"
#include "daemon/server.h"

/* Fills fault with a 404 and returns -1; says so where the model's licence refuses it. */
int models_not_found(const struct server *server, const char *id, struct fault *fault);

#endif
