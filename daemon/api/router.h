/* SPDX-License-Identifier: Apache-2.0 */
/* router.h -- from method and path to the function that answers. Worker's thread. */
#ifndef WEIR_DAEMON_API_ROUTER_H
#define WEIR_DAEMON_API_ROUTER_H

#include "daemon/api/call.h"

/* exchange_handler's callbacks; application is the struct api. */
void router_on_headers(void *application, struct exchange *exchange);
void router_on_request(void *application, struct exchange *exchange);
void router_on_gone(void *application, struct exchange *exchange);
void router_on_refused(void *application, struct exchange *exchange);

bool router_is_probe(enum http_route route);          /* asked by machines, many times a minute */
const char *router_route_name(enum http_route route); /* "/v1/chat/completions" */

#endif
