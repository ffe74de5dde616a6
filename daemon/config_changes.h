/* SPDX-License-Identifier: Apache-2.0 */
/* config_changes.h -- what differs between two configurations and waits for a restart.
 *
 * Whatever the table of keys has waits, unless it is among those that somebody takes up while weir
 * runs: config_is_live(). A key that is added waits until it is listed there. */
#ifndef WEIR_DAEMON_CONFIG_CHANGES_H
#define WEIR_DAEMON_CONFIG_CHANGES_H

#include "base/text.h"
#include "daemon/config.h"

#include <stdbool.h>

/* Whether a change of the key is taken up by a reload. */
bool config_is_live(const char *section, const char *name);
/* Appends "server.port,models": keys that differ and are not live. */
void config_restart_keys(const struct config *runs, const struct config *read, struct text *out);

#endif
