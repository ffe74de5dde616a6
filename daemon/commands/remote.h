/* SPDX-License-Identifier: Apache-2.0 */
/* remote.h -- a running daemon, for commands that ask it: where it is, the key to it, what it says.
 *
 * A command sets its name and REMOTE_URL_DEFAULT, offers each argument to remote_take_flag(), opens
 * the remote, asks, and closes it. */
#ifndef WEIR_DAEMON_COMMANDS_REMOTE_H
#define WEIR_DAEMON_COMMANDS_REMOTE_H

#include "base/error.h"
#include "base/text.h"
#include "daemon/commands/screen.h"

#include <stdbool.h>

#define REMOTE_URL_DEFAULT   "http://127.0.0.1:8080"
#define REMOTE_KEY_VARIABLE  "WEIR_ADMIN_KEY"
#define REMOTE_KEY_BYTES_MAX 513u        /* with a line's end */
#define REMOTE_ANSWER_MAX    (64u << 20) /* bytes */

struct remote {
    const char *command;                /* in whose name is complained: "usage" */
    const char *url;                    /* scheme, host, port */
    const char *key_file;               /* NULL: from REMOTE_KEY_VARIABLE */
    const char *ca_file;                /* NULL: the system's authorities */
    struct screen *screen;              /* whose signals end a wait; NULL: they end the process */
    char key[REMOTE_KEY_BYTES_MAX + 1]; /* "": none */
};

/* Whether argv[*at] is --url, --key-file or --cacert, with a value; see flag_value(). */
bool remote_take_flag(struct remote *remote, int argc, char **argv, int *at);
/* Checks the address, for the key goes over the line: in clear text no further than to this
 * machine; finds the key, whose absence is an error only if needed; starts libcurl. 0, or the exit
 * status, explained on stderr. */
int remote_open(struct remote *remote, bool key_needed);
void remote_close(struct remote *remote); /* wipes the key */

/* GET path, whatever the status that comes back; the body is the caller's. Otherwise ERROR_CLOSED
 * when a signal came, ERROR_BUSY when nobody answers, ERROR_INVALID for too long an answer. */
int remote_get(const struct remote *remote, const char *path, struct text *ret_body,
               long *ret_status, struct error *err);

/* Explains on stderr what failed, and returns the exit status for it. What was ended by a signal
 * (ERROR_CLOSED) did not fail. */
int remote_complain(const struct remote *remote, const struct error *err);

#endif
