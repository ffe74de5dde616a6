/* SPDX-License-Identifier: Apache-2.0 */
/* tls_keeper.h -- sees to it that new connections have certificates that hold.
 *
 * Main thread, but for the shelf and what says otherwise. */
#ifndef WEIR_DAEMON_TLS_KEEPER_H
#define WEIR_DAEMON_TLS_KEEPER_H

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/config.h"
#include "daemon/http/tls_set.h"

#include <stdint.h>

struct server;
struct tls_keeper;

/* What config asks for, read and checked; errors begin with "server.tls: ". config has TLS. */
struct tls_set *tls_keeper_read(const struct config *config, struct error *err);

/* Reads it and lays it on the shelf; takes a reference of config. */
struct tls_keeper *tls_keeper_new(struct config *config, struct error *err);
void tls_keeper_free(struct tls_keeper *keeper); /* NULL is fine */

/* Where workers find the newest. Borrowed: keeper. */
struct tls_shelf *tls_keeper_shelf(struct tls_keeper *keeper);

/* What expires when, in the log: a warning where it is soon. */
void tls_keeper_tell(struct tls_keeper *keeper, struct log *log, int64_t now_unix);

#endif
