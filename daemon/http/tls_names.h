/* SPDX-License-Identifier: Apache-2.0 */
/* tls_names.h -- which of several certificates a client's server name asks for. Pure.
 *
 * "a.example.com" is that name; "*.example.com" is one label before ".example.com", no more and no
 * fewer (RFC 6125, section 6.4.3, and no other kind of wildcard). A name itself wins over a
 * wildcard, and what was added first wins over its like. */
#ifndef WEIR_DAEMON_HTTP_TLS_NAMES_H
#define WEIR_DAEMON_HTTP_TLS_NAMES_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define TLS_NAME_BYTES_MAX 253u /* of a DNS name, as text */
#define TLS_NAMES_MAX      4096u

struct tls_name;
struct tls_names { /* all zero is empty */
    struct tls_name *entries;
    uint32_t count;
};

/* Whether it is a DNS name or a wildcard as above. */
bool tls_name_is_valid(const char *name);

/* name: valid; copied. ERROR_BUSY beyond TLS_NAMES_MAX. */
int tls_names_add(struct tls_names *names, const char *name, uint32_t certificate,
                  struct error *err);
/* The name that was added as number `place`, before they are sorted. */
const char *tls_names_added(const struct tls_names *names, uint32_t place);
void tls_names_sort(struct tls_names *names); /* once all are there, before the first find */
/* False when no certificate has the name. asked: as the client sent it, any bytes. */
bool tls_names_find(const struct tls_names *names, const char *asked, uint32_t *ret);
bool tls_names_copy(const struct tls_names *names, struct tls_names *ret); /* false: no memory */
void tls_names_destroy(struct tls_names *names);

#endif
