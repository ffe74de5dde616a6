/* SPDX-License-Identifier: Apache-2.0 */
/* tls_set.h -- what new connections shake hands by: certificates, each by its names, and the
 * keys of tickets.
 *
 * The main thread makes a set and puts it on the keeper's shelf (shelf.h), from which workers take
 * it up; a connection keeps the one that it began with until hands are shaken. So no connection is
 * cut by a change. */
#ifndef WEIR_DAEMON_HTTP_TLS_SET_H
#define WEIR_DAEMON_HTTP_TLS_SET_H

#include "base/error.h"
#include "daemon/http/tls_certificate.h"
#include "daemon/http/tls_clients.h"
#include "daemon/http/tls_tickets.h"

#include <openssl/ssl.h>
#include <stdint.h>

#define TLS_CERTIFICATES_MAX 64u

enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };

struct tls_settings {
    const struct tls_pair *pairs; /* the first is for whoever asks for no name that we have */
    uint32_t pair_count;          /* 1 to TLS_CERTIFICATES_MAX */
    enum tls_version version_min;
    struct tls_client_rules clients;
    const struct tls_tickets *tickets; /* copied; NULL: a key that nobody else has */
};

struct tls_set; /* begins with a struct shelved */

/* One reference, the caller's; settings: borrowed for the call. NULL and err, which names the file
 * at fault, on failure. */
struct tls_set *tls_set_new(const struct tls_settings *settings, struct error *err);
/* The same with other keys for tickets, which are copied. NULL when there is no memory. */
struct tls_set *tls_set_with_tickets(const struct tls_set *set, const struct tls_tickets *tickets);
struct tls_set *tls_set_ref(struct tls_set *set); /* returns set; any thread */
void tls_set_unref(struct tls_set *set);          /* NULL is fine; any thread */

/* A new server side; NULL when there is no memory. It looks into the set while hands are shaken:
 * the caller keeps a reference until tls_set_part(), after which it looks no more. */
SSL *tls_set_meet(struct tls_set *set);
void tls_set_part(SSL *ssl);

uint32_t tls_set_count(const struct tls_set *set);
/* Borrowed: set. */
const struct tls_certificate *tls_set_certificate(const struct tls_set *set, uint32_t index);

#endif
