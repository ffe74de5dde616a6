/* SPDX-License-Identifier: Apache-2.0 */
/* h2.h -- HTTP/2 on a connection (RFC 9113), by nghttp2. Worker's thread. */
#ifndef WEIR_DAEMON_HTTP_H2_H
#define WEIR_DAEMON_HTTP_H2_H

#include "base/error.h"

#include <stdbool.h>

struct connection;
struct listener;
struct protocol;

#define H2_STREAM_WINDOW     (256 * 1024)  /* request body bytes in flight on a stream */
#define H2_CONNECTION_WINDOW (1024 * 1024) /* ... on the connection */
#define H2_DRAIN_NOTICE_MS   1000u         /* from the shutdown notice to the last GOAWAY */
#define H2_OUTBOUND_MAX      4096u         /* control frames waiting: a flood beyond */
#define H2_BODIES_PER_MAX    4u            /* bodies of a connection, together, in body_bytes_max */

extern const struct protocol h2_protocol;

/* Makes connection->session; false when there is no memory. */
bool h2_start(struct connection *connection);

/* What every session of a listener shares. 0, or a code with err filled. */
int h2_prepare(struct listener *listener, struct error *err);
void h2_unprepare(struct listener *listener); /* half-prepared is fine */

#endif
