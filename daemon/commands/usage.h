/* SPDX-License-Identifier: Apache-2.0 */
/* usage.h -- what the files of `weir usage` share: asking the daemon, and drawing its answer. */
#ifndef WEIR_DAEMON_COMMANDS_USAGE_H
#define WEIR_DAEMON_COMMANDS_USAGE_H

#include "base/error.h"
#include "base/text.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define USAGE_ANSWER_MAX (64u << 20) /* bytes */

struct usage_source {
    const char *url;     /* of the daemon: scheme, host, port */
    const char *key;     /* an admin key; "" for what needs none */
    const char *ca_file; /* NULL: the system's authorities */
    const char *month;   /* NULL: the running one */
    /* Asked whenever a signal came meanwhile, which wakes signal_fd; true ends the wait. */
    int signal_fd;
    bool (*stop)(void *argument);
    void *argument;
};

/* The answer of GET /admin/v1/usage, checked to be of its kind; *ret_bytes: as it came. Otherwise
 * ERROR_CLOSED when told to stop, ERROR_BUSY when nobody answers, ERROR_REFUSED for the key,
 * ERROR_NOT_FOUND where there is no admin door, ERROR_UNSUPPORTED for what the daemon does not
 * take, ERROR_INVALID for what is no weir. curl_global_init() was called. */
int usage_fetch(const struct usage_source *source, json_t **ret, struct text *ret_bytes,
                struct error *err);

/* GET path of the daemon, whatever its status; the body is the caller's. Errors as above, but for
 * those that a status tells. */
int usage_get(const struct usage_source *source, const char *path, struct text *ret_body,
              long *ret_status, struct error *err);

struct usage_look {
    uint32_t columns, lines; /* of the terminal; 0: without bounds */
    bool color;
    const char *failure; /* the newest question failed so; NULL or "": it did not */
};
/* A table of who is counted and how near the next line is, rows ended by "\n". Pure. Names come
 * from afar: what of them is no printable UTF-8 is drawn as '?'. */
void usage_table(const json_t *usage, const struct usage_look *look, struct text *out);

#endif
