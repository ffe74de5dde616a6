/* SPDX-License-Identifier: Apache-2.0 */
/* tls_keeper.h -- sees to it that new connections have certificates that hold.
 *
 * Main thread, but for the shelf and what says otherwise. */
#ifndef WEIR_DAEMON_TLS_KEEPER_H
#define WEIR_DAEMON_TLS_KEEPER_H

#include "base/error.h"
#include "base/log.h"
#include "base/shelf.h"
#include "daemon/config.h"
#include "daemon/http/tls_set.h"

#include <stdbool.h>
#include <stdint.h>

#define TLS_KEEPER_GRACE_US 10000000u /* files that do not fit together may be half renewed */

/* What a configuration asks for, read and checked, with what the files looked like before. */
struct tls_reading;
struct tls_keeper;
/* config has TLS; takes a reference of it. Errors begin with "server.tls: ". keeper: whose keys for
 * tickets it is made with, where config names none; NULL for none that others know. */
struct tls_reading *tls_reading_new(struct config *config, const struct tls_keeper *keeper,
                                    struct error *err);
void tls_reading_free(struct tls_reading *reading); /* NULL is fine */

/* Reads, and lays it on the shelf. */
struct tls_keeper *tls_keeper_new(struct config *config, struct error *err);
void tls_keeper_free(struct tls_keeper *keeper); /* NULL is fine */

/* On the shelf with it, for all connections from now on. Takes the reading. */
void tls_keeper_take(struct tls_keeper *keeper, struct tls_reading *reading);

/* Where workers find the newest. Borrowed: keeper. */
struct shelf *tls_keeper_shelf(struct tls_keeper *keeper);

/* What expires when, in the log; a warning where it is soon. */
void tls_keeper_tell(struct tls_keeper *keeper, struct log *log, int64_t now_unix);

/* About once a second: changes the key of tickets when it is time, and reads files that have
 * changed. While they do not hold, what was read before
 * stays, and the log says so after TLS_KEEPER_GRACE_US, once. True: the workers are to be rung. */
bool tls_keeper_watch(struct tls_keeper *keeper, struct log *log, uint64_t now_us,
                      int64_t now_unix);

/* Sets of files that were taken up since the start, and that were refused. */
enum tls_reload { TLS_RELOAD_DONE, TLS_RELOAD_REFUSED };
#define TLS_RELOAD_COUNT 2
void tls_keeper_count(struct tls_keeper *keeper, enum tls_reload result);
uint64_t tls_keeper_reloads(const struct tls_keeper *keeper,
                            enum tls_reload result); /* any thread */

#endif
