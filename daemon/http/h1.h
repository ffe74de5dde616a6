/* SPDX-License-Identifier: Apache-2.0 */
/* h1.h -- HTTP/1.0 and 1.1 on a connection (RFC 9112). Worker's thread. */
#ifndef WEIR_DAEMON_HTTP_H1_H
#define WEIR_DAEMON_HTTP_H1_H

#include <stdbool.h>

struct connection;
struct protocol;

extern const struct protocol h1_protocol;

/* Makes connection->session; false when there is no memory. */
bool h1_start(struct connection *connection);

#endif
