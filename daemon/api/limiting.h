/* SPDX-License-Identifier: Apache-2.0 */
/* limiting.h -- a call and its tenant's limits: asked, refused, written into headers. Worker's
 * thread. */
#ifndef WEIR_DAEMON_API_LIMITING_H
#define WEIR_DAEMON_API_LIMITING_H

#include "daemon/api/call.h"
#include "daemon/api/fault.h"

#include <stdint.h>

#define LIMITING_VALUE_BYTES 24u

/* What the call's tenant may do. */
struct tenant_rates limiting_rates(const struct call *call);
/* Fills call->limits; takes nothing. */
void limiting_look(struct call *call);
/* The head of a request came: it costs one. 0, or -1 and 429. */
int limiting_ask(struct call *call, struct fault *fault);
/* It is about to run. 0 and a lease (empty where there are no limits), or -1 and 429, or 400 where
 * it asks for more than there ever is. */
int limiting_enter(struct call *call, uint64_t tokens, struct tenant_lease *lease,
                   struct fault *fault);

void limiting_write_number(uint32_t number, char ret[LIMITING_VALUE_BYTES]);
/* "20ms", "1s", "6m0s": rounded up, as OpenAI has them in x-ratelimit-reset-*. */
void limiting_write_duration(uint64_t us, char ret[LIMITING_VALUE_BYTES]);

#endif
