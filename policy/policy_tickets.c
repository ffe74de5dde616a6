/* SPDX-License-Identifier: Apache-2.0 */
/* policy_tickets.c -- what a replica does for a cap that it shares, some five times a second:
 *
 *     the month turned?   arm, forget the lease and the place in the stream
 *     lease               ask for tickets, spend none that has run out, give back what is too much
 *     tell                the hashes of who came in here since the last step
 *     hear                those of who came in elsewhere: known here, without a ticket
 *
 * A store that lost its accounts makes new ones, of what is missing from the merged count to the
 * limit; every replica then gives up what it holds and begins as a new one, so that nothing that
 * was spent, and is counted, is held against the month twice. Users who came in within the last
 * exchange are counted by nobody else yet: so many more may come in.
 *
 * Who came in and was not told before a kill -9 is known here alone, a stranger elsewhere. */
#include "policy/policy_tickets.h"

#include "base/clock.h"
#include "base/ring.h"
#include "policy/fleet/ticket_redis.h"
#include "policy/policy_enforce_inner.h"
#include "policy/policy_fleet_inner.h"
#include "policy/users/calendar.h"
#include "policy/users/cap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define TTL_US         UINT64_C(60000000)
#define RETRY_US       UINT64_C(150000) /* less than a turn: an answer comes within its call */
#define TURN_MS        200u
#define BUSY_MS        20u    /* while there is more to hear, or tickets are low */
#define BATCH_MAX      10000u /* tickets that die with a process that is killed */
#define HEAR_EACH      8u     /* reads of the stream a step */
#define REPLICAS_LEAST 4u     /* so that the first to ask does not take half of all there is */
#define KEY_PURPOSE    "weir cap users 1"
#define LINE_BYTES     800u

struct tickets {
    struct enforce_cap *cap;
    struct ticket_lease *lease; /* NULL: to be made */
    struct ticket_request asked;
    bool has_asked, more;
    uint64_t known; /* the store's accounts; 0: not yet */
    struct fleet_position position;
    uint64_t refused;
    uint64_t unsent[TICKET_NEWS_MAX];
    uint32_t unsent_count;
};

static uint64_t draw(void)
{
    uint64_t number = 0;
    (void)getrandom(&number, sizeof number, 0); /* eight bytes do not fail once there is entropy */
    return number >> 24 | 1;                    /* as digits of a double, wherever it is read */
}

struct tickets *tickets_new(struct enforce_cap *cap, struct error *err)
{
    struct tickets *tickets = calloc(1, sizeof *tickets);
    if (tickets == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    tickets->cap = cap;
    return tickets;
}

void tickets_free(struct tickets *tickets)
{
    if (tickets == NULL)
        return;
    ticket_lease_free(tickets->lease);
    free(tickets);
}

uint64_t tickets_refused(const struct tickets *tickets)
{
    return tickets->refused;
}

/* -- The lease's world -- */

static void on_ask(void *argument, const struct ticket_request *request)
{
    struct tickets *tickets = argument;
    tickets->asked = *request;
    tickets->has_asked = true;
}

static void on_grant(void *argument, uint64_t count)
{
    struct tickets *tickets = argument;
    user_cap_grant(tickets->cap->users, count);
}

static uint64_t on_take_back(void *argument, uint64_t keep)
{
    struct tickets *tickets = argument;
    return user_cap_return(tickets->cap->users, keep);
}

/* A new account each time: what the one before spent is in the count, or its own. */
static int make_lease(struct tickets *tickets, const struct tickets_turn *turn, struct error *err)
{
    uint64_t limit = atomic_load(&tickets->cap->limit);
    uint32_t replicas = turn->replicas > REPLICAS_LEAST ? turn->replicas : REPLICAS_LEAST;
    uint64_t batch = limit / replicas / 2;
    batch = batch < BATCH_MAX ? batch : BATCH_MAX;
    const struct ticket_lease_config config = {.replica = draw(),
                                               .replicas = replicas,
                                               .batch_max = batch == 0 ? 1 : batch,
                                               .ttl_us = TTL_US,
                                               .retry_us = RETRY_US};
    const struct ticket_port port = {
        .argument = tickets, .ask = on_ask, .grant = on_grant, .take_back = on_take_back};
    (void)user_cap_return(tickets->cap->users, 0);
    ticket_lease_free(tickets->lease);
    tickets->has_asked = false;
    tickets->lease = ticket_lease_new(&config, &port, err);
    if (tickets->lease == NULL)
        return ERROR_NO_MEMORY;
    ticket_lease_turn(tickets->lease, user_cap_month(tickets->cap->users));
    return 0;
}

static int ask(struct tickets *tickets, const struct tickets_turn *turn, struct error *err)
{
    struct enforce_cap *cap = tickets->cap;
    struct ticket_answer answer;
    if (!tickets->has_asked)
        return 0;
    tickets->has_asked = false;
    if (atomic_load(&cap->counted_month) != tickets->asked.month)
        return 0; /* what is left of the month cannot be told before the first count */
    uint64_t limit = atomic_load(&cap->limit), counted = atomic_load(&cap->counted);
    const struct ticket_question question = {.cap = cap->id,
                                             .request = &tickets->asked,
                                             .spendable = counted < limit ? limit - counted : 0,
                                             .born = draw()};
    int result = ticket_redis_ask(turn->redis, &question, &tickets->known, &answer, err);
    if (result == ERROR_NOT_FOUND)
        return make_lease(tickets, turn, err);
    if (result == 1)
        return ticket_lease_answered(tickets->lease, &answer, turn->now_us, err);
    return result;
}

/* -- Who came in -- */

static int tell(struct tickets *tickets, const struct tickets_turn *turn, uint32_t month,
                struct error *err)
{
    while (tickets->unsent_count < TICKET_NEWS_MAX) {
        void *item = ring_pop(tickets->cap->news);
        if (item == NULL)
            break;
        tickets->unsent[tickets->unsent_count++] = (uintptr_t)item;
    }
    if (tickets->unsent_count == 0)
        return 0;
    const struct ticket_news news = {.cap = tickets->cap->id,
                                     .month = month,
                                     .sender = turn->sender,
                                     .hashes = tickets->unsent,
                                     .count = tickets->unsent_count};
    int result = ticket_redis_tell(turn->redis, turn->key, &news, err);
    if (result != 0)
        return result;
    tickets->more = tickets->more || tickets->unsent_count == TICKET_NEWS_MAX;
    tickets->unsent_count = 0;
    return 0;
}

static void on_learn(void *argument, uint64_t hash)
{
    struct tickets *tickets = argument;
    (void)user_cap_learn(tickets->cap->users, hash);
}

static int hear(struct tickets *tickets, const struct tickets_turn *turn, uint32_t month,
                struct error *err)
{
    const struct ticket_ear ear = {.cap = tickets->cap->id,
                                   .month = month,
                                   .position = &tickets->position,
                                   .learn = on_learn,
                                   .argument = tickets,
                                   .refused = &tickets->refused};
    int heard = 1;
    for (uint32_t i = 0; i < HEAR_EACH && heard > 0; i++)
        heard = ticket_redis_hear(turn->redis, turn->key, &ear, err);
    tickets->more = tickets->more || heard > 0;
    return heard < 0 ? heard : 0;
}

/* -- A step -- */

static int turn_month(struct tickets *tickets, const struct tickets_turn *turn, struct error *err)
{
    struct enforce_cap *cap = tickets->cap;
    uint32_t month = calendar_month(calendar_day(turn->now_unix_us));
    bool turns = user_cap_arm(cap->users, month, 0);
    if (!turns && tickets->lease != NULL)
        return 0;
    if (turns) { /* who came in last month is a stranger now, everywhere */
        atomic_store(&cap->full_since_unix, 0);
        tickets->unsent_count = 0;
        while (ring_pop(cap->news) != NULL)
            ;
    }
    tickets->known = 0;
    tickets->position = (struct fleet_position){.id = ""};
    return make_lease(tickets, turn, err);
}

int tickets_step(struct tickets *tickets, const struct tickets_turn *turn, struct error *err)
{
    struct user_cap *users = tickets->cap->users;
    tickets->more = false;
    int result = turn_month(tickets, turn, err);
    if (result != 0)
        return result;
    uint32_t month = user_cap_month(users);
    /* Before tickets: who is known by now needs none. */
    result = hear(tickets, turn, month, err);
    if (turn->last)
        ticket_lease_close(tickets->lease, turn->now_us);
    else
        ticket_lease_step(tickets->lease, turn->now_us, user_cap_tickets(users));
    if (result == 0)
        result = ask(tickets, turn, err);
    if (result == 0)
        result = tell(tickets, turn, month, err);
    user_cap_cut_off(users, ticket_lease_cut_off(tickets->lease, turn->now_us));
    return result;
}

/* -- All caps -- */

struct policy_tickets {
    struct policy *policy;
    struct fleet_key *key;
    struct tickets *each[ENFORCE_CAPS_MAX];
    uint32_t count;
    bool failing;
};

static struct tickets *tickets_of(struct policy_tickets *all, struct enforce_cap *cap)
{
    for (uint32_t i = 0; i < all->count; i++)
        if (all->each[i]->cap == cap)
            return all->each[i];
    struct tickets *made = all->count < ENFORCE_CAPS_MAX ? tickets_new(cap, NULL) : NULL;
    if (made != NULL)
        all->each[all->count++] = made;
    return made;
}

static void note(struct policy_tickets *all, int result, const struct error *err)
{
    char line[LINE_BYTES];
    if ((result != 0) == all->failing)
        return;
    all->failing = result != 0;
    if (all->failing)
        (void)snprintf(line, sizeof line,
                       "caps: %.500s; new users pass by the tickets that are here, then by "
                       "users.cap_open",
                       err->text);
    else
        (void)snprintf(line, sizeof line, "caps: tickets are leased again");
    usage_add_note(all->policy->usage, line);
}

static uint32_t on_turn(void *argument, struct fleet_redis *redis, int64_t now_us, bool last)
{
    struct policy_tickets *all = argument;
    const struct tickets_turn turn = {.redis = redis,
                                      .key = all->key,
                                      .sender = policy_fleet_replica(all->policy->fleet),
                                      .replicas = policy_fleet_replicas(all->policy->fleet),
                                      .now_unix_us = now_us,
                                      .now_us = clock_monotonic_us(),
                                      .last = last};
    struct error err = {0};
    int result = 0;
    bool more = false;
    for (struct enforce_cap *cap = atomic_load(&all->policy->enforce->caps); cap != NULL;
         cap = cap->next) {
        struct tickets *tickets =
            atomic_load(&cap->limit) == UINT64_MAX ? NULL : tickets_of(all, cap);
        if (tickets == NULL)
            continue;
        /* All of them, whatever fails: leases run out without the store, and months turn. */
        int failed = tickets_step(tickets, &turn, &err);
        result = failed != 0 ? failed : result;
        more = more || tickets->more ||
               (tickets->lease != NULL && atomic_load(&cap->full_since_unix) == 0 &&
                user_cap_tickets(cap->users) * 2 <= ticket_lease_batch(tickets->lease));
    }
    note(all, result, &err);
    return result == 0 && more ? BUSY_MS : TURN_MS;
}

int policy_tickets_open(struct policy *policy, struct error *err)
{
    uint8_t key[SECRET_HMAC_BYTES];
    if (policy->fleet == NULL)
        return 0;
    struct policy_tickets *all = calloc(1, sizeof *all);
    if (all == NULL)
        return error_no_memory(err);
    all->policy = policy;
    policy->tickets = all;
    int result = secret_purpose(&policy->secret, KEY_PURPOSE, key, err);
    if (result == 0)
        all->key = fleet_key_new(key, policy->secret.key_id, err);
    explicit_bzero(key, sizeof key);
    if (result == 0 && all->key == NULL)
        result = ERROR_NO_MEMORY;
    if (result == 0)
        policy_fleet_set_turn(policy->fleet, on_turn, all);
    return result;
}

void policy_tickets_close(struct policy_tickets *all)
{
    if (all == NULL)
        return;
    for (uint32_t i = 0; i < all->count; i++)
        tickets_free(all->each[i]);
    fleet_key_free(all->key);
    free(all);
}
