/* SPDX-License-Identifier: Apache-2.0 */
/* admin_key.h -- what commands that ask a running daemon need: where it is, and the key to it. */
#ifndef WEIR_DAEMON_COMMANDS_ADMIN_KEY_H
#define WEIR_DAEMON_COMMANDS_ADMIN_KEY_H

#include <stdbool.h>

#define ADMIN_URL_DEFAULT   "http://127.0.0.1:8080"
#define ADMIN_KEY_VARIABLE  "WEIR_ADMIN_KEY"
#define ADMIN_KEY_BYTES_MAX 513u /* with a line's end */

/* All of these explain on stderr, in the name of `command` ("usage"), what is wrong, and return an
 * exit status, 0 for none. */

/* The key goes over the line: in clear text no further than to this machine. */
int admin_url_check(const char *command, const char *url);
/* From the file, else from $WEIR_ADMIN_KEY. Where neither is there: *ret is "", which is an error
 * only if `needed`. To be wiped by the caller. */
int admin_key_find(const char *command, const char *key_file, bool needed,
                   char ret[ADMIN_KEY_BYTES_MAX + 1]);

#endif
