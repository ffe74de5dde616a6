/* SPDX-License-Identifier: Apache-2.0 */
/* address.h -- addresses and networks of IPv4 and IPv6 as one kind of value. Pure; any thread.
 *
 * An IPv4 address is kept as IPv6 maps it (::ffff:192.0.2.1), which is also what a socket bound to
 * "::" calls its IPv4 clients: one client has one value and one spelling on every listener. */
#ifndef WEIR_DAEMON_HTTP_ADDRESS_H
#define WEIR_DAEMON_HTTP_ADDRESS_H

#include "base/error.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESS_TEXT_BYTES INET6_ADDRSTRLEN /* with its NUL */

struct address {
    uint8_t bytes[16];
};

void address_set_v4(struct address *ret, const uint8_t bytes[4]);
void address_set_v6(struct address *ret, const uint8_t bytes[16]);
bool address_is_v4(const struct address *address);
/* False for a family that has no such address: a unix socket. */
bool address_of_socket(const struct sockaddr_storage *from, struct address *ret);
/* "192.0.2.1" or "2001:db8::1", `count` bytes of text; no brackets, port or zone. False (and *ret
 * untouched) for anything else. */
bool address_parse(const char *text, size_t count, struct address *ret);
/* The canonical spelling (RFC 5952); IPv4 in dots. */
void address_format(const struct address *address, char ret[ADDRESS_TEXT_BYTES]);

/* All addresses that begin with `prefix` bits of `base`. */
struct network {
    struct address base;
    uint8_t prefix; /* of the 128: an IPv4 network has 96 more than it is written with */
    bool v4;        /* so that ::/0 is no IPv4 network */
};

/* "10.0.0.0/8", "2001:db8::/32", or one address. Bits behind the prefix must be zero. */
int network_parse(const char *text, struct network *ret, struct error *err);
bool network_holds(const struct network *network, const struct address *address);

/* Whose word counts for somebody else's address: `server.trusted_proxies`. */
struct trusted_networks {
    const struct network *networks; /* borrowed */
    uint32_t count;
    bool unix_too; /* who comes by a unix socket */
};
bool trusted_holds(const struct trusted_networks *trusted, const struct address *address);

#endif
