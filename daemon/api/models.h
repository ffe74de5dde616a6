/* SPDX-License-Identifier: Apache-2.0 */
/* models.h -- which models there are for whoever asks. Worker's thread.
 *
 * One that its tenant may not use is not there: neither served, nor listed, nor refused. */
#ifndef WEIR_DAEMON_API_MODELS_H
#define WEIR_DAEMON_API_MODELS_H

#include "daemon/api/call.h"
#include "daemon/api/fault.h"
#include "daemon/server.h"

/* NULL when it is not there. An empty id names the only one that is. */
struct served_model *models_find(const struct call *call, const char *id);
/* In how many seconds to ask again for one that is not there yet. */
uint32_t models_retry_after_s(const struct served_model *model, uint64_t now_us);
/* Why models_find() found none: fills fault and returns -1. 404, which says so where the model's
 * licence refuses it; 503 for one that did not load yet; 400 where none was named. */
int models_not_found(const struct call *call, const char *id, struct fault *fault);

#endif
