/* SPDX-License-Identifier: Apache-2.0 */
/* rules.h -- what models are weighed against: the catalogue of licences and what the operator
 * declares, as they were at the start, and as they are read again on SIGHUP.
 *
 * Rules that an assessment may point into stay until rules_free(); those that changed no answer
 * are dropped at once, so that a signal a day costs nothing. Main thread. */
#ifndef WEIR_DAEMON_RULES_H
#define WEIR_DAEMON_RULES_H

#include "base/error.h"
#include "daemon/config.h"
#include "policy/policy.h"

#include <stdint.h>

#define RULES_KEPT_MAX 256u /* changes of rules in the life of a process */

struct rules;
struct server;

/* Takes a reference of config. The catalogue that comes with weir, then config->licenses_folder. */
struct rules *rules_new(struct config *config, struct error *err);
void rules_free(struct rules *rules); /* and what they replaced; NULL is fine */

/* Borrowed, until rules_free(). */
const struct policy_rules *rules_for_policy(const struct rules *rules);

/* Reads the catalogue again, weighs all models by it and by config's declaration, and logs what
 * changed. On failure the old rules go on. */
int rules_take_up(struct server *server, struct config *config, int64_t now_unix,
                  struct error *err);

/* About once a second: weighs all models on the first of a UTC month, when figures that were
 * declared for the month before are due. A failure is logged and tried again within the hour. */
void rules_watch(struct server *server, int64_t now_unix);

#endif
