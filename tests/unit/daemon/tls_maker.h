/* SPDX-License-Identifier: Apache-2.0 */
/* tls_maker.h -- keys, certificates and files of them for tests, and hands shaken in memory. */
#ifndef WEIR_TESTS_UNIT_DAEMON_TLS_MAKER_H
#define WEIR_TESTS_UNIT_DAEMON_TLS_MAKER_H

#include "daemon/http/tls.h"
#include "daemon/http/tls_set.h"

#include <openssl/ssl.h>

#define TLS_MAKER_PATH_BYTES 96

/* A certificate with its key. */
struct tls_made {
    X509 *certificate;
    EVP_PKEY *key;
};
struct tls_make {
    const char *common_name;       /* NULL for none */
    const char *names;             /* "DNS:a.example,URI:spiffe://..."; NULL for none */
    const struct tls_made *issuer; /* NULL: signed by itself */
    bool authority;
    long seconds; /* until it expires, from an hour ago; 0: a day */
};
struct tls_made tls_make(const struct tls_make *make);
void tls_made_release(struct tls_made *made);

/* Writes folder/name, over what is there: the certificate, or the key, or both. */
void tls_write_file(const char *folder, const char *name, const X509 *certificate,
                    const EVP_PKEY *key, char ret_path[TLS_MAKER_PATH_BYTES]);

/* A client and a server's side in one process. */
struct tls_pair_of_hands {
    struct tls *server;
    SSL *client;
    _Atomic uint64_t counts[TLS_RESULT_COUNT];
};
/* name: the server name asked for; NULL for none. session: to resume; NULL for none. */
struct tls_greeting {
    SSL_CTX *context;
    const char *name;
    SSL_SESSION *session;
};
/* Whether hands were shaken, and a byte went over. */
bool tls_shake(struct tls_pair_of_hands *hands, struct tls_set *set,
               const struct tls_greeting *greeting);
void tls_let_go(struct tls_pair_of_hands *hands);

/* Trusts whatever comes. */
SSL_CTX *tls_client_context(void);

#endif
