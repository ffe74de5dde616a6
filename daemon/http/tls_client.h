/* SPDX-License-Identifier: Apache-2.0 */
/* tls_client.h -- what a client's certificate calls it. Immutable once made. */
#ifndef WEIR_DAEMON_HTTP_TLS_CLIENT_H
#define WEIR_DAEMON_HTTP_TLS_CLIENT_H

#include <openssl/x509.h>

/* "" where it has none; never with a NUL inside. */
struct tls_client {
    char *subject;     /* "CN=alice,O=Acme", as RFC 4514 spells it */
    char *issuer;      /* likewise: who signed it */
    char *alternative; /* of its subjectAltName the first e-mail address, else DNS name, else URI */
    char *spiffe;      /* its SPIFFE id, where it has that one URI and no other */
    char *trust_domain; /* of the SPIFFE id */
};

struct tls_client *tls_client_new(const X509 *certificate); /* NULL: no memory */
void tls_client_free(struct tls_client *client);            /* NULL is fine */

#endif
