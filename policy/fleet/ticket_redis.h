/* SPDX-License-Identifier: Apache-2.0 */
/* ticket_redis.h -- a cap's month in the fleet's store: whose tickets are whose, and who came in.
 *
 *     PREFIX:{cap-CAP-MONTH}:tickets  a hash: born, spendable, held; an account a replica, "a:ID"
 *     PREFIX:{cap-CAP-MONTH}:users    a stream of sealed FLEET_USERS: 8 bytes for each who came in
 *
 * The rule is ticket_store_rule() itself, run here between WATCH and EXEC: whoever changed the hash
 * meanwhile makes ours void, and the lease asks again. Both keys expire after the month. The stream
 * keeps all of the month, for whoever comes late: 8 bytes a user and the seals; tickets bound it.
 *
 * Totals are not sealed: who can write to the store can make tickets, and can as well drop what
 * replicas count. The fleet's thread. */
#ifndef WEIR_POLICY_FLEET_TICKET_REDIS_H
#define WEIR_POLICY_FLEET_TICKET_REDIS_H

#include "base/error.h"
#include "policy/fleet/fleet_blob.h"
#include "policy/fleet/fleet_transport.h"
#include "policy/users/ticket_lease.h"

#include <stdint.h>

struct fleet_redis;

#define TICKET_NEWS_MAX 4096u /* hashes in a message */

struct ticket_question {
    uint64_t cap;                         /* which */
    const struct ticket_request *request; /* of its month */
    uint64_t spendable;                   /* what there is to give, where the month has no hash */
    uint64_t born;                        /* random, names such a hash; not 0 */
};
/* 1 and *ret: answered. 0: by the rule there is no answer, or somebody else was quicker. *known is
 * the hash's name, 0 where it is not known yet: another one there than was known means that the
 * store has lost all accounts: *known is the new one then, nothing changes, and ERROR_NOT_FOUND. */
int ticket_redis_ask(struct fleet_redis *redis, const struct ticket_question *question,
                     uint64_t *known, struct ticket_answer *ret, struct error *err);

/* Appends hashes of who came in; at most TICKET_NEWS_MAX. sender: this process, not 0. */
struct ticket_news {
    uint64_t cap;
    uint32_t month;
    uint64_t sender;
    const uint64_t *hashes;
    uint32_t count;
};
int ticket_redis_tell(struct fleet_redis *redis, struct fleet_key *key,
                      const struct ticket_news *news, struct error *err);
/* What was appended after the position, some messages of it; those that are damaged or forged are
 * counted in *refused and left out. Returns how many messages there were, or an error. */
struct ticket_ear {
    uint64_t cap;
    uint32_t month;
    struct fleet_position *position;
    void (*learn)(void *argument, uint64_t hash);
    void *argument;
    uint64_t *refused;
};
int ticket_redis_hear(struct fleet_redis *redis, struct fleet_key *key,
                      const struct ticket_ear *ear, struct error *err);

#endif
