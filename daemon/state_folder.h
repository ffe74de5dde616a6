/* SPDX-License-Identifier: Apache-2.0 */
/* state_folder.h -- where user counts and the ledger live when several could be meant: the
 * configured folder, then systemd's ($STATE_DIRECTORY), then $XDG_STATE_HOME/weir, then
 * ~/.local/state/weir. Main thread. */
#ifndef WEIR_DAEMON_STATE_FOLDER_H
#define WEIR_DAEMON_STATE_FOLDER_H

#include "base/error.h"

#include <stddef.h>

#define STATE_PATH_MAX 4096

/* configured: "" for none. ERROR_INVALID when there is none, or its path is too long. */
int state_folder_find(const char *configured, char *ret, size_t ret_bytes, struct error *err);

#endif
