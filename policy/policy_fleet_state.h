/* SPDX-License-Identifier: Apache-2.0 */
/* policy_fleet_state.h -- what policy_fleet.c (the thread) and policy_fleet_face.c (what others are
 * told of it, and ask of it) share. Internal to them. */
#ifndef WEIR_POLICY_POLICY_FLEET_STATE_H
#define WEIR_POLICY_POLICY_FLEET_STATE_H

#include "policy/fleet/fleet.h"
#include "policy/fleet/fleet_redis.h"
#include "policy/fleet/fleet_registry.h"
#include "policy/policy_fleet.h"
#include "policy/policy_fleet_inner.h"
#include "policy/policy_inner.h"
#include "policy/users/usage_fleet.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#define FLEET_ORDERS_MAX  16u
#define FLEET_MISSING_MAX 64u

static_assert(POLICY_SUSPECTS_MAX == FLEET_QUARANTINE_MAX, "all are told");

struct fleet_order { /* of somebody who settles a suspect */
    uint64_t number;
    bool accept;
};

/* What others are told. */
struct fleet_told {
    struct policy_fleet_status status; /* but for stale_seconds */
    int64_t synced_unix_us;
    int64_t heard_unix_us; /* all that any registered replica counted before it is here */
    uint32_t suspect_count;
    struct fleet_suspect suspects[FLEET_QUARANTINE_MAX];
};

/* Who is there; the thread's own. */
struct fleet_members {
    struct fleet_registry *registry;
    struct fleet_replica self; /* counted_unix_us: as last told */
    uint64_t read_us;          /* when the others are read next, on the monotonic clock */
    uint32_t replicas, current;
    int64_t promised_us, promised_at_us; /* what all had told when they were read, and when */
    int64_t heard_us;                    /* of that, what is here */
    int64_t offset_us;                   /* of our clock to the store's; INT64_MIN: not measured */
    bool offset_noted, twin_noted;       /* the log was told */
    uint32_t missing_count;              /* the same */
    uint64_t missing[FLEET_MISSING_MAX];
    /* what scopes are called */
    uint64_t names_us, names_epoch; /* when they are read next, and of which store they were */
    uint64_t lookup_second, lookups;
    uint32_t there_count; /* in the store */
    uint64_t there[FLEET_SCOPES_MAX];
    char name_noted[ERROR_TEXT_MAX];
};

struct policy_fleet {
    /* fixed at start */
    struct policy *policy; /* borrowed: its owner */
    struct usage_fleet *counters;
    struct fleet_redis *redis;
    struct fleet *fleet;
    uint64_t replica;
    uint32_t sync_ms;
    policy_fleet_turn turn;
    void *turn_argument;
    pthread_t thread;
    bool runs;

    /* the thread's own */
    struct fleet_members members;
    struct fleet_status seen; /* when the log was last told */
    uint64_t suspect_noted;   /* up to this number the log knows them */
    uint64_t unnamed_noted;
    bool failing; /* the log was told */
    char refusal_noted[ERROR_TEXT_MAX];

    /* shared, under the lock */
    pthread_mutex_t lock;
    pthread_cond_t bell; /* on the monotonic clock */
    bool ending;
    struct fleet_told told;
    struct fleet_order orders[FLEET_ORDERS_MAX];
    uint32_t order_count;
};

/* policy_fleet_face.c. The fleet's thread: what it has to say is there for others to read. */
void policy_fleet_tell(struct policy_fleet *fleet);
/* The fleet's thread: does what was ordered. */
void policy_fleet_settle_orders(struct policy_fleet *fleet);
/* policy_fleet_members.c. Borrows the key for the call. */
int policy_fleet_members_open(struct policy_fleet *fleet, const uint8_t *key, struct error *err);
void policy_fleet_members_close(struct policy_fleet *fleet);
/* The fleet's thread. Before counters are told: tells what they are called, and hears it. */
int policy_fleet_names_step(struct policy_fleet *fleet, struct error *err);
/* After: says up to when, and looks who else is there. */
int policy_fleet_members_step(struct policy_fleet *fleet, struct error *err);
void policy_fleet_members_leave(struct policy_fleet *fleet);
/* For usage_fleet_config.find_name. */
void policy_fleet_find_name(void *fleet, uint64_t scope);

/* A line for the log. */
void policy_fleet_note(struct policy_fleet *fleet, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The model of a scope, as far as it is known here, cut; "" else. */
void policy_fleet_model(const struct policy_fleet *fleet, uint64_t scope, char *ret,
                        size_t ret_bytes);

#endif
