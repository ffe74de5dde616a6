/* SPDX-License-Identifier: Apache-2.0 */
/* tls_tickets.h -- the keys under which clients keep their sessions, so that any worker, or any
 * replica, may take a session up again without remembering it (RFC 5077; RFC 8446, section 2.2).
 *
 * A key is 80 bytes, as nginx has them in a file:
 *
 *     0          16                48                80
 *     |   name   |  HMAC-SHA-256   |   AES-256-CBC   |
 *
 * The first is the one that tickets are made with; the others are known still. Whoever has a key
 * can read what was said in sessions that began with its tickets, but for TLS 1.3, where every
 * session has a secret of its own as well: hence keys change, and old ones are wiped. */
#ifndef WEIR_DAEMON_HTTP_TLS_TICKETS_H
#define WEIR_DAEMON_HTTP_TLS_TICKETS_H

#include "base/error.h"

#include <openssl/ssl.h>
#include <stdint.h>

#define TLS_TICKET_KEY_BYTES 80u
#define TLS_TICKET_KEYS_MAX  8u
#define TLS_TICKET_OWN_KEYS  2u /* the current one, and the one before */

struct tls_tickets { /* all zero is none */
    uint32_t count;
    uint8_t keys[TLS_TICKET_KEYS_MAX][TLS_TICKET_KEY_BYTES];
};

/* A new key in front; of those before, one stays. ERROR_IO where there is no randomness: unchanged.
 */
int tls_tickets_rotate(struct tls_tickets *tickets, struct error *err);
/* One to TLS_TICKET_KEYS_MAX keys, one after the other. The file is nobody else's to read. */
int tls_tickets_read(const char *path, struct tls_tickets *ret, struct error *err);
void tls_tickets_wipe(struct tls_tickets *tickets);

/* What SSL_CTX_set_tlsext_ticket_key_evp_cb() wants to know: see there for the result. */
int tls_tickets_use(const struct tls_tickets *tickets, unsigned char name[16], unsigned char *iv,
                    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int making);

#endif
