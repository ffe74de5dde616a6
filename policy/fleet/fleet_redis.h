/* SPDX-License-Identifier: Apache-2.0 */
/* fleet_redis.h -- the fleet's store in Valkey or Redis (5 or newer), over one connection.
 *
 *     PREFIX:epoch              the store's number
 *     PREFIX:{DAY}:deltas       a stream of some 65,536 entries, one field "b"
 *     PREFIX:{DAY}:names        a set of SCOPE-CLASS
 *     PREFIX:{DAY}:SCOPE-CLASS  a snapshot
 *     PREFIX:replicas, :scopes  fleet_registry.h
 *
 * DAY is days since 1970, SCOPE 16 hexadecimal digits. The braces keep a day in one slot of a
 * cluster, whose redirections need a proxy: none is followed here. A day's keys expire.
 *
 * A call connects when there is no connection, gives up after FLEET_REDIS_SILENCE_MS without a byte
 * and FLEET_REDIS_CALL_MS in all, and closes after any error of the line or the server, for what
 * comes next may be a late answer. A host's name is looked up as the system does, which may take
 * longer: name an address. The process ignores SIGPIPE. In clear text: across a network that is not
 * trusted put a TLS tunnel before it; what is sealed cannot be forged, but a password can be read.
 * Policy thread. */
#ifndef WEIR_POLICY_FLEET_FLEET_REDIS_H
#define WEIR_POLICY_FLEET_FLEET_REDIS_H

#include "base/error.h"
#include "policy/fleet/fleet_transport.h"

#include <stdint.h>

#define FLEET_REDIS_SILENCE_MS 200u
#define FLEET_REDIS_CALL_MS    1000u
#define FLEET_REDIS_ENTRIES    65536u

struct fleet_redis;

struct fleet_redis_config {
    const char *address;  /* "/path/of/socket" or "host:port" */
    const char *user;     /* NULL: the default one */
    const char *password; /* NULL: none */
    const char *prefix;   /* NULL: "weir" */
    uint32_t keep_days;   /* a day's keys live so long */
};

/* Copies the strings; does not connect yet. ERROR_INVALID for an address of another form. */
struct fleet_redis *fleet_redis_new(const struct fleet_redis_config *config, struct error *err);
void fleet_redis_free(struct fleet_redis *redis);                        /* NULL is fine */
struct fleet_transport fleet_redis_transport(struct fleet_redis *redis); /* borrows it */
/* From then on (clock_monotonic_us()) calls fail, and one that is on its way gives up: whoever ends
 * a daemon does not wait for a store. Any thread. */
void fleet_redis_end_at(struct fleet_redis *redis, uint64_t monotonic_us);

#endif
