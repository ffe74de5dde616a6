/* SPDX-License-Identifier: Apache-2.0 */
/* fleet_registry.h -- who counts along, up to when each was heard, and what scopes are called.
 *
 *     PREFIX:replicas   a hash: a replica's id, 16 hexadecimal digits -> a sealed FLEET_REPLICA
 *                         0 process   8 first seen   16 counted   24 seen   32 host, to the end
 *     PREFIX:scopes     a hash: a scope, likewise -> a sealed FLEET_SCOPE
 *                         product \0 model \0 family
 *
 * Little endian. A scope's name can be checked by who holds the key of names; a replica's entry is
 * replaced by itself alone, or removed when nobody expects it any more. What is not sealed under
 * our key is counted as refused and left. The fleet's thread. */
#ifndef WEIR_POLICY_FLEET_FLEET_REGISTRY_H
#define WEIR_POLICY_FLEET_FLEET_REGISTRY_H

#include "base/error.h"
#include "policy/fleet/fleet_redis.h"

#include <stdint.h>

#define FLEET_HOST_BYTES   64u
#define FLEET_REPLICAS_MAX 4096u
#define FLEET_SCOPES_MAX   4096u

struct fleet_registry_config {
    const uint8_t *key; /* FLEET_KEY_BYTES */
    uint64_t key_id;
    uint64_t replica;          /* of this process: the sender of what it writes */
    struct fleet_redis *redis; /* borrowed */
};

struct fleet_registry;

struct fleet_registry *fleet_registry_new(const struct fleet_registry_config *config,
                                          struct error *err);
void fleet_registry_free(struct fleet_registry *registry); /* NULL is fine */

uint64_t fleet_registry_refused(const struct fleet_registry *registry);
const char *fleet_registry_last_refusal(const struct fleet_registry *registry); /* "": none */

/* What time it is for the store, halfway between asking and hearing. */
int fleet_registry_clock(struct fleet_registry *registry, int64_t *ret_unix_us, struct error *err);

struct fleet_replica {
    uint64_t id;                 /* of its state folder: a restart does not change it; not 0 */
    uint64_t process;            /* random at each start */
    int64_t first_seen_unix_us;  /* by the store's clock */
    int64_t counted_unix_us;     /* all that it counted before that, by its own clock, was told */
    int64_t seen_unix_us;        /* when it said so, by the store's clock */
    char host[FLEET_HOST_BYTES]; /* for people; printable */
};
int fleet_registry_write(struct fleet_registry *registry, const struct fleet_replica *replica,
                         struct error *err);
int fleet_registry_remove(struct fleet_registry *registry, uint64_t id, struct error *err);
/* Each, up to FLEET_REPLICAS_MAX of them. Stops at the first error of on_replica's. */
int fleet_registry_read(struct fleet_registry *registry,
                        int (*on_replica)(void *argument, const struct fleet_replica *replica,
                                          struct error *err),
                        void *argument, struct error *err);

struct fleet_scope {
    uint64_t id;
    const char *product, *model, *family;
};
typedef int (*fleet_on_scope)(void *argument, const struct fleet_scope *scope, struct error *err);
int fleet_scope_write(struct fleet_registry *registry, const struct fleet_scope *scope,
                      struct error *err);
int fleet_scopes_read(struct fleet_registry *registry, fleet_on_scope on_scope, void *argument,
                      struct error *err);
/* One of them, if it is there. */
int fleet_scope_read(struct fleet_registry *registry, uint64_t id, fleet_on_scope on_scope,
                     void *argument, struct error *err);

#endif
