/* SPDX-License-Identifier: Apache-2.0 */
/* reload.h -- SIGHUP: the configuration and what it names are read again, and taken up whole; keys
 * without a signal, too.
 *
 * Main thread. */
#ifndef WEIR_DAEMON_RELOAD_H
#define WEIR_DAEMON_RELOAD_H

#include <stdint.h>

struct server;

/* Takes up live.h's set, the declaration, the licences and the files that prove users. What is not
 * sound is refused with a line in the log, and all goes on as it was. */
void reload(struct server *server, int64_t now_unix);
/* About once a second: the same for the keys file alone, once it is another. */
void reload_watch(struct server *server);

#endif
