/* SPDX-License-Identifier: Apache-2.0 */
/* usage.h -- what the files of `weir usage` share: asking the daemon, and drawing its answer. */
#ifndef WEIR_DAEMON_COMMANDS_USAGE_H
#define WEIR_DAEMON_COMMANDS_USAGE_H

#include "base/error.h"
#include "base/text.h"
#include "daemon/commands/remote.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The answer of GET /admin/v1/usage, checked to be of its kind; *ret_bytes: as it came. month: NULL
 * for the running one. Otherwise as remote_get(), or ERROR_REFUSED for the key, ERROR_NOT_FOUND
 * where there is no admin door, ERROR_UNSUPPORTED for what the daemon does not take, ERROR_INVALID
 * for what is no weir. */
int usage_fetch(const struct remote *remote, const char *month, json_t **ret,
                struct text *ret_bytes, struct error *err);

struct usage_look {
    uint32_t columns, lines; /* of the terminal; 0: without bounds */
    bool color;
    const char *failure; /* the newest question failed so; NULL or "": it did not */
};
/* A table of who is counted and how near the next line is, rows ended by "\n". Pure. Names come
 * from afar: what of them is no printable UTF-8 is drawn as '?'. */
void usage_table(const json_t *usage, const struct usage_look *look, struct text *out);

#endif
