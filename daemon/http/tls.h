/* SPDX-License-Identifier: Apache-2.0 */
/* tls.h -- TLS as a filter between bytes and bytes: it touches no socket. Worker's thread.
 *
 * By what hands are shaken is tls_set.h's. */
#ifndef WEIR_DAEMON_HTTP_TLS_H
#define WEIR_DAEMON_HTTP_TLS_H

#include "base/text.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tls;
struct tls_client;
struct tls_set;

/* What came of a handshake. */
enum tls_result { TLS_FULL, TLS_RESUMED, TLS_FAILED, TLS_UNFINISHED };
#define TLS_RESULT_COUNT 4

/* Server side; NULL when there is no memory. counts: of the worker, which outlives it; one of them
 * rises when the result is there. */
struct tls *tls_new(struct tls_set *set, _Atomic uint64_t counts[TLS_RESULT_COUNT]);
void tls_free(struct tls *tls); /* NULL is fine */

/* Bytes from the wire. False when there is no memory. */
bool tls_receive(struct tls *tls, const void *cipher, size_t count);
/* Up to `count` decrypted bytes; 0 when more must be received first; -1 when the client said
 * close or the session is broken. Also performs the handshake. */
ssize_t tls_read(struct tls *tls, void *plain, size_t count);
/* Encrypts all of plain; false when the session is broken. */
bool tls_write(struct tls *tls, const void *plain, size_t count);
/* Moves what is to go on the wire (records, handshake, alerts) to out. */
void tls_collect(struct tls *tls, struct text *out);
void tls_close(struct tls *tls); /* close_notify, once, for tls_collect() to find */

/* Whom the client's certificate names, NULL where it showed none; once hands are shaken. */
const struct tls_client *tls_client_of(struct tls *tls);

bool tls_chose_h2(const struct tls *tls); /* by ALPN */

#endif
