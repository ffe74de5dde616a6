/* SPDX-License-Identifier: Apache-2.0 */
/* identity_watch.h -- API keys whose ids cannot be people: one id for everybody, or a new one for
 * every request.
 *
 * The first makes a thousand users one, an undercount; the second makes one user a thousand. Both
 * are told, never corrected: who they are is the tenant's to say.
 *
 * Any thread adds, to an instance that it should have to itself; any thread reads, which takes all
 * instances together. No lock and no system call to add: a sighting that meets a reader, or
 * another thread in the same instance, is left out. Memory is fixed: IDENTITY_WATCH_BYTES each. */
#ifndef WEIR_POLICY_USERS_IDENTITY_WATCH_H
#define WEIR_POLICY_USERS_IDENTITY_WATCH_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define IDENTITY_WATCH_INSTANCES_MAX 256u
#define IDENTITY_WATCH_KEYS          4096u /* of an instance; the least recently seen makes room */
#define IDENTITY_WATCH_IDS           8u    /* the most frequent of a key */
#define IDENTITY_WATCH_BYTES         (1u << 20) /* of an instance, at most */
#define IDENTITY_WATCH_EVIDENCE      40u /* a window is not over before so many could be found */
#define IDENTITY_TENANT_BYTES        32u

struct identity_watch;

struct identity_watch_config {
    uint32_t instances;    /* 1 to IDENTITY_WATCH_INSTANCES_MAX */
    double shared_share;   /* of a key's requests of a day: above, an id is shared; > 1/8 */
    uint32_t requests_min; /* of a key in a day, before one of its ids is called shared */
    double sprayed_share;  /* of a key's latest requests with ids never seen: above, it sprays */
    uint32_t window;       /* how many requests are "latest", at least */
};
#define IDENTITY_WATCH_DEFAULTS(count)                                                             \
    {                                                                                              \
        .instances = (count), .shared_share = 0.20, .requests_min = 100, .sprayed_share = 0.50,    \
        .window = 1000                                                                             \
    }

struct identity_watch *identity_watch_new(const struct identity_watch_config *config,
                                          struct error *err);
void identity_watch_free(struct identity_watch *watch); /* NULL is fine */

struct identity_sighting {
    uint64_t key;    /* identity_key_hash() */
    uint64_t id;     /* identity.hash of a verified or asserted user; 0 when nobody was named */
    bool first_seen; /* it came never before, for sure (identity_known.h) ... */
    float chance;    /* ... and how likely that is found of one that did not; 0: it is not asked */
    bool is_person;  /* the key is an address, where one id is one person at home: none is shared */
    uint32_t day;    /* since 1970, UTC: another day than the key's last begins anew */
    const char *tenant; /* for the finding; cut to IDENTITY_TENANT_BYTES - 1; NULL for none */
};
/* True when a window of this instance ended in which the key sprayed: time to read. */
bool identity_watch_add(struct identity_watch *watch, uint32_t instance,
                        const struct identity_sighting *sighting);

enum identity_finding_kind { IDENTITY_SHARED, IDENTITY_SPRAYED };
struct identity_finding {
    enum identity_finding_kind kind;
    uint64_t key;
    uint64_t id;       /* 0 for IDENTITY_SPRAYED */
    uint64_t requests; /* of the key in the day */
    /* IDENTITY_SHARED: of those, what is sure to be the id's. IDENTITY_SPRAYED: the share of ids
     * never seen among the latest requests, or in the window of the day where it was highest. */
    double share;
    char tenant[IDENTITY_TENANT_BYTES]; /* "" for none */
};
/* Of the day, in the order of keys; at most `capacity`, *ret_count how many. ERROR_NO_MEMORY. */
int identity_watch_read(struct identity_watch *watch, uint32_t day, struct identity_finding *ret,
                        uint32_t capacity, uint32_t *ret_count, struct error *err);

#endif
