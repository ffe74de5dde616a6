/* SPDX-License-Identifier: Apache-2.0 */
/* ticket_lease.c -- why no lost message can spend a ticket twice.
 *
 * For each replica and month there are three totals that only grow: granted, returned, spent. The
 * store knows granted exactly and returned late; the replica the other way round:
 *
 *     store     granted   >=  granted    as the replica has heard
 *     store     returned  <=  returned   as the replica has done
 *     replica   spent      =  granted - returned - left in its pool
 *     hence     spent     <=  granted - returned   by the store's own books
 *
 * and the store grants only while the sum of the right side stays within the month's tickets. So
 * the sum of what is spent does too, with any message lost, doubled or late: nowhere is a
 * difference sent that could be added twice.
 *
 * A request names the total it would like to reach, `granted + wanted`, not an amount: asking again
 * because the answer was lost reaches the same total. A replica that is never answered therefore
 * ties up one batch, not one batch a try.
 *
 * A lease is counted from when its request was first sent, which is before the store granted it,
 * so it never outlives the grant by anybody's clock; repetitions keep number and moment. When it
 * has run out the pool is emptied into `returned`, which the store learns when it can be reached.
 * The store itself never takes a lease back on time alone: it cannot tell a replica that is dead
 * from one that is cut off and has spent. That is the choice of undershoot over overshoot; a dead
 * replica's batch comes back when the merged count, which knows its users, replaces its account.
 *
 * The batch is remaining / 2R: if all replicas ask at once, half of what there is goes out, and the
 * batches shrink with the rest. Held beyond the batch is given back, so idle replicas let go of
 * theirs as the cap comes near. */
#include "policy/users/ticket_lease.h"

#include <stdlib.h>

struct ticket_lease {
    struct ticket_lease_config config;
    struct ticket_port port;
    uint32_t month;    /* 0 before the first turn */
    uint64_t granted;  /* heard of */
    uint64_t returned; /* done */
    uint64_t batch;    /* to be held at once */
    bool dry;          /* the store had nothing left when it last answered */

    uint64_t number; /* of the newest request */
    bool asking;     /* it has no answer yet */
    uint64_t asked_us, repeat_us;
    bool leased;
    uint64_t leased_us, expires_us;
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool ticket_store_rule(const struct ticket_request *request, uint64_t spendable,
                       struct ticket_account *account, uint64_t *held, struct ticket_answer *ret)
{
    if (request->number < account->number)
        return false;
    /* What no replica sends: more given back than it was given, or totals past any cap. */
    if (request->returned > request->granted || request->granted > TICKETS_MAX ||
        request->wanted > TICKETS_MAX)
        return false;
    uint64_t held_before = account->granted - account->returned;
    if (account->granted < request->granted)
        account->granted = request->granted; /* this store has forgotten */
    if (account->returned < request->returned)
        account->returned = request->returned;
    account->number = request->number;
    *held = *held - held_before + (account->granted - account->returned);

    uint64_t free_count = *held < spendable ? spendable - *held : 0;
    uint64_t target = request->granted + request->wanted;
    uint64_t more = account->granted < target ? min_u64(target - account->granted, free_count) : 0;
    account->granted += more;
    *held += more;
    *ret = (struct ticket_answer){.replica = request->replica,
                                  .month = request->month,
                                  .number = request->number,
                                  .granted = account->granted,
                                  .remaining = free_count - more};
    return true;
}

struct ticket_lease *ticket_lease_new(const struct ticket_lease_config *config,
                                      const struct ticket_port *port, struct error *err)
{
    if (config->replicas == 0 || config->batch_max == 0 || config->batch_max > TICKETS_MAX ||
        config->retry_us == 0 || config->retry_us >= config->ttl_us / 2) {
        error_set(err, ERROR_INVALID,
                  "a ticket lease needs a replica, a ticket, and time for two tries at least");
        return NULL;
    }
    struct ticket_lease *lease = calloc(1, sizeof *lease);
    if (lease == NULL) {
        error_no_memory(err);
        return NULL;
    }
    lease->config = *config;
    lease->port = *port;
    lease->batch = 1; /* until the store has told what remains */
    return lease;
}

void ticket_lease_free(struct ticket_lease *lease)
{
    free(lease);
}

void ticket_lease_turn(struct ticket_lease *lease, uint32_t month)
{
    if (month == lease->month)
        return;
    lease->month = month;
    lease->granted = lease->returned = 0;
    lease->batch = 1;
    lease->asking = lease->leased = lease->dry = false;
}

static void take_back(struct ticket_lease *lease, uint64_t keep)
{
    lease->returned += lease->port.take_back(lease->port.argument, keep);
    /* A pool with more than it was granted is not ours to explain; we give back what we had. */
    lease->returned = min_u64(lease->returned, lease->granted);
}

static void send(struct ticket_lease *lease, uint64_t now_us, uint64_t wanted)
{
    bool repeats = lease->asking && now_us - lease->asked_us < lease->config.ttl_us;
    if (!repeats) { /* an answer to a request that old would be a lease that has run out */
        lease->number++;
        lease->asked_us = now_us;
    }
    lease->asking = true;
    lease->repeat_us = now_us + lease->config.retry_us;
    const struct ticket_request request = {.replica = lease->config.replica,
                                           .month = lease->month,
                                           .number = lease->number,
                                           .granted = lease->granted,
                                           .returned = lease->returned,
                                           .wanted = wanted};
    lease->port.ask(lease->port.argument, &request);
}

/* Whether there is something to say to a store that has answered all we said. */
static bool is_due(const struct ticket_lease *lease, uint64_t now_us, uint64_t left)
{
    if (!lease->leased)
        return true;
    uint64_t since_us = now_us - lease->leased_us;
    if (since_us >= lease->config.ttl_us / 2)
        return true;
    if (left > lease->batch / 2)
        return false;
    /* Low. A store that had none is not asked at every tick. */
    return !lease->dry || since_us >= lease->config.ttl_us / 8;
}

void ticket_lease_step(struct ticket_lease *lease, uint64_t now_us, uint64_t left)
{
    if (lease->month == 0)
        return;
    if (lease->leased && now_us >= lease->expires_us) {
        lease->leased = false;
        take_back(lease, 0);
        left = 0;
    }
    if (lease->asking ? now_us < lease->repeat_us : !is_due(lease, now_us, left))
        return;
    /* What is too much goes back with a message that is sent anyway: the batch changes by a little
     * with every answer, and a message for each change would be an avalanche. */
    if (left > lease->batch) {
        take_back(lease, lease->batch);
        left = lease->batch;
    }
    send(lease, now_us, lease->batch - left);
}

int ticket_lease_answered(struct ticket_lease *lease, const struct ticket_answer *answer,
                          uint64_t now_us, struct error *err)
{
    if (!lease->asking || answer->number != lease->number || answer->month != lease->month ||
        answer->replica != lease->config.replica)
        return 0; /* late or doubled: what it said is in the totals of the answer to come */
    if (answer->granted < lease->granted ||
        answer->granted - lease->granted > lease->config.batch_max)
        return error_set(err, ERROR_INVALID,
                         "the store of tickets says %llu granted, after %llu and at most %llu more",
                         (unsigned long long)answer->granted, (unsigned long long)lease->granted,
                         (unsigned long long)lease->config.batch_max);
    uint64_t more = answer->granted - lease->granted;
    lease->granted = answer->granted;
    lease->batch = answer->remaining / lease->config.replicas / 2;
    lease->batch = min_u64(lease->batch == 0 ? 1 : lease->batch, lease->config.batch_max);
    lease->dry = answer->remaining == 0;
    lease->asking = false;
    lease->leased = true;
    lease->leased_us = lease->asked_us;
    lease->expires_us = lease->asked_us + lease->config.ttl_us;
    if (now_us >= lease->expires_us) /* too late to spend: counted, and given back */
        lease->returned += more;
    else if (more > 0)
        lease->port.grant(lease->port.argument, more);
    return 0;
}

void ticket_lease_close(struct ticket_lease *lease, uint64_t now_us)
{
    if (lease->month == 0)
        return;
    take_back(lease, 0);
    lease->leased = false;
    send(lease, now_us, 0);
}

bool ticket_lease_cut_off(const struct ticket_lease *lease, uint64_t now_us)
{
    return !lease->leased || now_us >= lease->expires_us;
}

uint64_t ticket_lease_batch(const struct ticket_lease *lease)
{
    return lease->batch;
}
