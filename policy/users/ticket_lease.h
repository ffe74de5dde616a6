/* SPDX-License-Identifier: Apache-2.0 */
/* ticket_lease.h -- a replica's share of a cap's tickets, leased from the fleet's store. Pure: the
 * clock is an argument, the world is three callbacks. One thread.
 *
 * Messages may be lost, doubled, late and out of order, for every figure in them is a total that
 * only grows. What the store must do with a request, at one stroke, is ticket_store_rule() below.
 *
 * Promises:
 * 1. Over the fleet never more tickets are spent than the store had, whatever messages are lost:
 *    overshoot 0, but for a store that lost its accounts and grants before it has them again.
 * 2. What R replicas hold unspent, and the store cannot give out, is at most R batches, and within
 *    ttl_us the batch follows what remains, down to 1 ticket. A replica that dies takes at most a
 *    batch_max with it: the store cannot know that it was not spent.
 * 3. A replica that hears nothing for ttl_us holds no ticket, and gives them back when it is heard.
 * 4. A replica whose answers are lost ties up one batch_max, however often it asks. */
#ifndef WEIR_POLICY_USERS_TICKET_LEASE_H
#define WEIR_POLICY_USERS_TICKET_LEASE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define TICKETS_MAX (UINT64_C(1) << 40) /* of any total: 2^24 accounts of it can be summed */

/* -- What replica and store say to each other -- */

struct ticket_request {
    uint64_t replica; /* the account: drawn anew at each start, for a start forgets what it spent */
    uint32_t month;
    uint64_t number;   /* of the request; a repetition has the same number and newer totals */
    uint64_t granted;  /* this month, as far as the replica has heard */
    uint64_t returned; /* this month: of these, given back */
    uint64_t wanted;   /* more than `granted` */
};

struct ticket_answer {
    uint64_t replica; /* these three are the request's */
    uint32_t month;
    uint64_t number;
    uint64_t granted;   /* this month, to this replica */
    uint64_t remaining; /* with the store, after this */
};

/* One replica's month at the store; all zeros before its first request. */
struct ticket_account {
    uint64_t number, granted, returned;
};
/* The store's side, to be run at one stroke. `spendable`: the tickets of the month, users_cap less
 * those counted when it began. `held`: the sum over all accounts of granted - returned. Changes
 * both and the answer; false for an old or impossible one, which changes nothing and gets none.
 * A store that lost its accounts learns them again from the requests. Until it has heard every
 * replica it must add to `held` what else it knows was spent (the merged count), or grant none. */
bool ticket_store_rule(const struct ticket_request *request, uint64_t spendable,
                       struct ticket_account *account, uint64_t *held, struct ticket_answer *ret);

/* -- The replica -- */

struct ticket_port {
    void *argument;
    void (*ask)(void *argument, const struct ticket_request *request); /* send; may be lost */
    void (*grant)(void *argument, uint64_t tickets);                   /* user_cap_grant() */
    uint64_t (*take_back)(void *argument, uint64_t keep);              /* user_cap_return() */
};

struct ticket_lease_config {
    uint64_t replica;
    uint32_t replicas;  /* R: how many share the store, about; at least 1 */
    uint64_t batch_max; /* tickets held at once; 1 to TICKETS_MAX */
    uint64_t ttl_us;    /* 60 s */
    uint64_t retry_us;  /* an answer takes no longer, mostly; less than half of ttl_us */
};

struct ticket_lease;

struct ticket_lease *ticket_lease_new(const struct ticket_lease_config *config,
                                      const struct ticket_port *port, struct error *err);
void ticket_lease_free(struct ticket_lease *lease); /* NULL is fine; what is held is not returned */

/* At a month's turn, after user_cap_arm(): nothing is granted, nothing is held. */
void ticket_lease_turn(struct ticket_lease *lease, uint32_t month);
/* Every tick, several in retry_us. `left`: user_cap_tickets(). Asks, repeats, gives back what is
 * more than a batch, and all of it when the lease has run out. */
void ticket_lease_step(struct ticket_lease *lease, uint64_t now_us, uint64_t left);
/* From the store. One that answers another request than that under way is dropped. ERROR_INVALID:
 * ticket_store_rule() would not have given it; nothing changes. */
int ticket_lease_answered(struct ticket_lease *lease, const struct ticket_answer *answer,
                          uint64_t now_us, struct error *err);
/* Before a planned end: takes all back and tells the store. */
void ticket_lease_close(struct ticket_lease *lease, uint64_t now_us);

/* No lease is running: the store has not been heard for ttl_us, or never (user_cap_cut_off()). */
bool ticket_lease_cut_off(const struct ticket_lease *lease, uint64_t now_us);
uint64_t ticket_lease_batch(const struct ticket_lease *lease); /* what it may hold at once, now */

#endif
