/* SPDX-License-Identifier: Apache-2.0 */
/* call.h -- a worker's api, and one exchange as all of api/ sees it. Worker's thread. */
#ifndef WEIR_DAEMON_API_CALL_H
#define WEIR_DAEMON_API_CALL_H

#include "daemon/api/api.h"
#include "daemon/api/auth.h"
#include "daemon/api/auth_tokens.h"
#include "daemon/api/claims.h"
#include "daemon/api/refusals.h"
#include "daemon/api/tenant_limits.h"
#include "daemon/api/trace_context.h"
#include "daemon/live.h"

#include <stdint.h>

#define REQUEST_ID_BYTES_MAX  128u
#define REQUEST_ID_DIGITS_MIN 32u /* of a client's own: 128 bits */
#define REQUEST_ID_PREFIX     "req_"

struct admin_profile;
struct generation;

struct api {
    struct server *server; /* borrowed */
    uint32_t worker;
    struct exchange_handler handler;
    struct live *live; /* one reference: what calls go by */
    struct refusals refusals;
    struct auth_cache tokens; /* that held, under live */
    /* random bytes, drawn many at a time */
    unsigned char entropy[512];
    size_t entropy_left;
    /* generations */
    uint32_t open_generations;
    struct generation *open;    /* all of those */
    struct generation *touched; /* got events in this wake-up: to be flushed */
    struct generation *held;    /* whose user is not on disk yet: not to be flushed */
    /* feeds of users */
    struct admin_feed *feeds; /* whose users are not on disk yet */
    uint32_t feed_count;
    struct admin_profile *profile; /* that the profiler takes for us; NULL for none */
};

uint64_t api_random_u64(struct api *api);

/* One exchange being answered; a plain value, made anew in each callback. */
struct call {
    struct api *api;           /* borrowed */
    struct exchange *exchange; /* borrowed: the protocol; NULL once answered or gone */
    struct live *live;         /* borrowed: the api; who keeps the call keeps a reference */
    enum http_route route;
    const char *method; /* a constant */
    struct auth_identity identity;
    struct tenant_view limits;   /* how the tenant stood; no rates: it has no limits */
    uint64_t started_us, now_us; /* monotonic; now: as the callback began */
    char request_id[REQUEST_ID_BYTES_MAX + 1];
    struct trace_parent trace; /* ours: whoever we ask, and whoever asked, knows us by it; its ids
                                  are "" for probes that came without one */
    char parent_span_id[SPAN_ID_DIGITS + 1]; /* of who asked; "" when the trace begins here */
};

#endif
