/* SPDX-License-Identifier: Apache-2.0 */
/* license_log.h -- an assessment in the log: a line a model, a line a condition that asks
 * something. Any thread. */
#ifndef WEIR_DAEMON_LICENSE_LOG_H
#define WEIR_DAEMON_LICENSE_LOG_H

#include "base/log.h"
#include "policy/license/assessment.h"

#include <stdbool.h>

/* `model_license` of a model that is about to be served, and its conditions. */
void license_log(struct log *log, const struct assessment *assessment);
/* `model_refused`. reason: as policy_model_add() told it. */
void license_log_refusal(struct log *log, const struct assessment *assessment, const char *reason);
/* `license_changed`, and the conditions as they are now. served: else it was refused at start. */
void license_log_change(struct log *log, const struct assessment *before,
                        const struct assessment *after, bool served);

#endif
