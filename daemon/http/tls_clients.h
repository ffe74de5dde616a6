/* SPDX-License-Identifier: Apache-2.0 */
/* tls_clients.h -- whose certificates are believed, as one set of rules for all contexts.
 *
 * Made and used by the main thread; what the contexts keep of it is OpenSSL's own, and counted. */
#ifndef WEIR_DAEMON_HTTP_TLS_CLIENTS_H
#define WEIR_DAEMON_HTTP_TLS_CLIENTS_H

#include "base/error.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

enum tls_client_auth { TLS_CLIENT_AUTH_OFF, TLS_CLIENT_AUTH_OPTIONAL, TLS_CLIENT_AUTH_REQUIRED };

struct tls_client_rules {
    enum tls_client_auth auth;
    const char *authorities; /* PEM file; not "" unless auth is off */
    const char *revoked;     /* PEM file of lists of revoked certificates; "" for none */
    uint32_t depth_max;      /* authorities between a client's certificate and one of ours */
};

struct tls_clients {
    enum tls_client_auth auth;
    X509_STORE *store;
    STACK_OF(X509_NAME) * names; /* which authorities a client is asked for */
    int depth_max;
    /* Of all of the above: a session is taken up only under the rules that it began by. */
    uint8_t digest[SSL_MAX_SID_CTX_LENGTH];
};

/* ERROR_INVALID names the file at fault, and what to do. */
int tls_clients_init(struct tls_clients *clients, const struct tls_client_rules *rules,
                     struct error *err);
/* False: no memory. */
bool tls_clients_set_up(const struct tls_clients *clients, SSL_CTX *context);
void tls_clients_destroy(struct tls_clients *clients); /* all zero is fine */

#endif
