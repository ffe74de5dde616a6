/* SPDX-License-Identifier: Apache-2.0 */
/* tls_certificate.h -- a certificate with its key, read and checked, as OpenSSL's context.
 *
 * Immutable once loaded; read from any thread. */
#ifndef WEIR_DAEMON_HTTP_TLS_CERTIFICATE_H
#define WEIR_DAEMON_HTTP_TLS_CERTIFICATE_H

#include "base/error.h"
#include "daemon/http/tls_names.h"

#include <openssl/ssl.h>
#include <stdint.h>

/* What a certificate is read from, as the configuration has it. */
struct tls_pair {
    char *certificate;   /* PEM file, the chain behind it */
    char *key;           /* PEM file */
    char **names;        /* that it is for */
    uint32_t name_count; /* 0: those in the certificate */
};

struct tls_certificate {
    SSL_CTX *context;
    char name[TLS_NAME_BYTES_MAX + 1]; /* its first, for people */
    int64_t not_after_unix;
};

/* Reads both files and sees that they belong together; ERROR_INVALID names file and remedy. Adds
 * what it is for to names, as certificate number `index`. On failure nothing is left in ret. */
int tls_certificate_load(struct tls_certificate *ret, const struct tls_pair *pair, uint32_t index,
                         struct tls_names *names, struct error *err);
void tls_certificate_destroy(struct tls_certificate *certificate); /* all zero is fine */

/* A pem_password_cb: nobody is there to type one. */
int tls_no_passphrase(char *buffer, int bytes, int writing, void *argument);

/* "what 'file': why (remedy)" with the reason that OpenSSL's queue has for it, which is emptied. */
int tls_error(struct error *err, const char *what, const char *file, const char *remedy);

#endif
