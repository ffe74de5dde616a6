/* SPDX-License-Identifier: Apache-2.0 */
/* tenant_limits.h -- what each tenant may ask for: requests and tokens a minute, requests at once.
 *
 * One table for all workers; it outlives every set of live.h, so a reload neither forgives nor
 * forgets: what a tenant has used stays used. Takes the clock. Any thread. */
#ifndef WEIR_DAEMON_API_TENANT_LIMITS_H
#define WEIR_DAEMON_API_TENANT_LIMITS_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Tenants remembered at once. One whose buckets are full and who has nothing running is forgotten
 * when its place is wanted, which changes nothing: a new one begins just so. */
#define TENANT_SLOTS 4096u

/* 0: no such limit. */
struct tenant_rates {
    uint32_t requests, tokens; /* a minute */
    uint32_t concurrent;
};

enum tenant_limit {
    TENANT_MAY, /* no limit is in the way */
    TENANT_REQUESTS,
    TENANT_TOKENS,
    TENANT_TOKENS_NEVER, /* more than the limit at once: waiting does not help */
    TENANT_CONCURRENT,
    TENANT_UNKNOWN, /* all places are taken by others */
};

/* How a tenant stands: what x-ratelimit-* says. */
struct tenant_view {
    struct tenant_rates rates;
    uint32_t requests_left, tokens_left;
    uint64_t requests_full_us, tokens_full_us; /* from now */
};

struct tenant_limits;
struct tenant_slot;

/* A request that runs, from tenant_limits_enter() to tenant_limits_leave(). All zero: none. */
struct tenant_lease {
    struct tenant_slot *slot; /* borrowed: the table */
    uint32_t tokens;          /* reserved ... */
    uint32_t tokens_rate;     /* ... at this rate; 0: none */
};

struct tenant_question {
    uint64_t tenant; /* auth_identity's id; 0: all who have none, together */
    struct tenant_rates rates;
    uint64_t now_us;
};

struct tenant_limits *tenant_limits_new(struct error *err);
void tenant_limits_free(struct tenant_limits *limits); /* NULL is fine; no lease is out */

/* How the tenant stands; takes nothing. */
void tenant_limits_look(struct tenant_limits *limits, const struct tenant_question *question,
                        struct tenant_view *ret);
/* A request arrives: it costs one, unless it is refused. *ret as it stands then; *ret_wait_us:
 * after which it may be asked again. */
enum tenant_limit tenant_limits_ask(struct tenant_limits *limits,
                                    const struct tenant_question *question, struct tenant_view *ret,
                                    uint64_t *ret_wait_us);
/* It is about to run, and may use so many tokens: reserves them, or changes nothing. `lease` is
 * empty before, and filled by TENANT_MAY alone. */
enum tenant_limit tenant_limits_enter(struct tenant_limits *limits,
                                      const struct tenant_question *question, uint64_t tokens,
                                      struct tenant_lease *lease, struct tenant_view *ret,
                                      uint64_t *ret_wait_us);
/* It has ended, and used so many: the rest goes back. Empties the lease; an empty one is fine. */
void tenant_limits_leave(struct tenant_lease *lease, uint64_t used_tokens);

/* Requests that run under a limit, of all tenants. */
uint32_t tenant_limits_running(const struct tenant_limits *limits);

static inline bool tenant_rates_any(const struct tenant_rates *rates)
{
    return rates->requests != 0 || rates->tokens != 0 || rates->concurrent != 0;
}

#endif
