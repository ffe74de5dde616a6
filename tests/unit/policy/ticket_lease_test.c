/* SPDX-License-Identifier: Apache-2.0 */
/* Leases of tickets: one by one, and a thousand replicas over a network that loses, doubles, delays
 * and cuts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "policy/users/cap.h"
#include "policy/users/ticket_lease.h"

#define MONTH     (2026u * 12 + 10)
#define TTL_US    UINT64_C(60000000)
#define RETRY_US  UINT64_C(1000000)
#define BATCH_MAX 100u

/* -- One replica, by hand -- */

struct hand {
    struct ticket_lease *lease;
    struct ticket_request asked; /* the newest */
    uint32_t asked_count;
    uint64_t pool;
    struct ticket_account account;
    uint64_t held;
};

static void on_ask(void *argument, const struct ticket_request *request)
{
    struct hand *hand = argument;
    hand->asked = *request;
    hand->asked_count++;
}

static void on_grant(void *argument, uint64_t tickets)
{
    struct hand *hand = argument;
    hand->pool += tickets;
}

static uint64_t on_take_back(void *argument, uint64_t keep)
{
    struct hand *hand = argument;
    uint64_t taken = hand->pool > keep ? hand->pool - keep : 0;
    hand->pool -= taken;
    return taken;
}

static void hand_init(struct hand *hand)
{
    *hand = (struct hand){0};
    const struct ticket_lease_config config = {.replica = 1,
                                               .replicas = 10,
                                               .batch_max = BATCH_MAX,
                                               .ttl_us = TTL_US,
                                               .retry_us = RETRY_US};
    const struct ticket_port port = {
        .argument = hand, .ask = on_ask, .grant = on_grant, .take_back = on_take_back};
    hand->lease = ticket_lease_new(&config, &port, NULL);
    assert_non_null(hand->lease);
    ticket_lease_turn(hand->lease, MONTH);
}

/* The store takes the newest request; its answer arrives when `hears`. */
static void hand_store(struct hand *hand, uint64_t spendable, uint64_t now_us, bool hears)
{
    struct ticket_answer answer;
    assert_true(ticket_store_rule(&hand->asked, spendable, &hand->account, &hand->held, &answer));
    assert_true(hand->held <= spendable);
    if (hears)
        assert_int_equal(ticket_lease_answered(hand->lease, &answer, now_us, NULL), 0);
}

/* Asks and is answered until it holds a whole batch. */
static void hand_fill(struct hand *hand, uint64_t spendable, uint64_t now_us)
{
    for (int i = 0; i < 4; i++) {
        uint32_t before = hand->asked_count;
        ticket_lease_step(hand->lease, now_us, hand->pool);
        if (hand->asked_count > before)
            hand_store(hand, spendable, now_us, true);
    }
}

static void tickets_come_in_batches(void **state)
{
    (void)state;
    struct hand hand;
    hand_init(&hand);
    assert_true(ticket_lease_cut_off(hand.lease, 0));
    ticket_lease_step(hand.lease, 0, 0);
    assert_int_equal(hand.asked.wanted, 1); /* what remains is not known yet */
    hand_store(&hand, 1000000, 0, true);
    hand_fill(&hand, 1000000, 0);
    assert_false(ticket_lease_cut_off(hand.lease, 0));
    assert_int_equal(ticket_lease_batch(hand.lease), BATCH_MAX);
    hand_fill(&hand, 1000000, 1);
    assert_int_equal(hand.held, hand.pool);
    uint32_t asked_count = hand.asked_count;
    hand.pool = BATCH_MAX / 2 + 1;
    ticket_lease_step(hand.lease, 2, hand.pool); /* not low, not late: nothing to say */
    assert_int_equal(hand.asked_count, asked_count);
    hand.pool = BATCH_MAX / 2;
    ticket_lease_step(hand.lease, 3, hand.pool);
    assert_int_equal(hand.asked_count, asked_count + 1);
    assert_int_equal(hand.asked.wanted, BATCH_MAX / 2);
    ticket_lease_free(hand.lease);
}

static void batch_shrinks_with_what_remains(void **state)
{
    (void)state;
    struct hand hand;
    hand_init(&hand);
    hand_fill(&hand, 1000, 0); /* a batch of about 1000 / (2 * 10) */
    assert_in_range(ticket_lease_batch(hand.lease), 40, 50);
    uint64_t pool = hand.pool;
    assert_in_range(pool, 1, 50);
    /* Others have taken nearly all: the excess goes back with the renewals. */
    for (uint64_t half = 1; half <= 3; half++) {
        ticket_lease_step(hand.lease, half * TTL_US / 2, hand.pool);
        hand_store(&hand, pool, half * TTL_US / 2, true);
    }
    assert_in_range(hand.pool, 1, 2);
    assert_in_range(ticket_lease_batch(hand.lease), 1, 2);
    assert_int_equal(hand.held, hand.pool);
    ticket_lease_free(hand.lease);
}

static void lost_answers_tie_up_one_batch(void **state)
{
    (void)state;
    struct hand hand;
    hand_init(&hand);
    hand_fill(&hand, 1000000, 0);
    hand.pool = 0; /* spent */
    uint64_t held = hand.held, now_us = 1;
    for (int i = 0; i < 500; i++, now_us += RETRY_US) {
        ticket_lease_step(hand.lease, now_us, hand.pool);
        hand_store(&hand, 1000000, now_us, false);
        assert_int_equal(hand.held, held + BATCH_MAX);
    }
    ticket_lease_step(hand.lease, now_us, hand.pool);
    hand_store(&hand, 1000000, now_us, true);
    assert_int_equal(hand.pool, BATCH_MAX);
    assert_int_equal(hand.held, held + BATCH_MAX);
    ticket_lease_free(hand.lease);
}

static void a_repetition_keeps_its_number_until_it_is_too_old(void **state)
{
    (void)state;
    struct hand hand;
    hand_init(&hand);
    ticket_lease_step(hand.lease, 0, 0);
    uint64_t number = hand.asked.number;
    ticket_lease_step(hand.lease, RETRY_US - 1, 0);
    assert_int_equal(hand.asked_count, 1);
    ticket_lease_step(hand.lease, RETRY_US, 0);
    assert_int_equal(hand.asked_count, 2);
    assert_int_equal(hand.asked.number, number);
    ticket_lease_step(hand.lease, TTL_US, 0);
    assert_int_equal(hand.asked.number, number + 1);
    ticket_lease_free(hand.lease);
}

static void cut_off_it_holds_no_ticket_and_gives_them_back_after(void **state)
{
    (void)state;
    struct hand hand;
    hand_init(&hand);
    hand_fill(&hand, 1000000, 0);
    hand.pool -= 10;
    uint64_t spent = hand.held - hand.pool;
    uint64_t now_us = 0;
    for (; now_us < TTL_US; now_us += RETRY_US) {
        assert_false(ticket_lease_cut_off(hand.lease, now_us));
        ticket_lease_step(hand.lease, now_us, hand.pool);
    }
    assert_true(ticket_lease_cut_off(hand.lease, now_us));
    ticket_lease_step(hand.lease, now_us, hand.pool);
    assert_int_equal(hand.pool, 0);
    uint64_t wanted = hand.asked.wanted;
    now_us += TTL_US;
    ticket_lease_step(hand.lease, now_us, hand.pool);
    hand_store(&hand, 1000000, now_us, true);
    assert_false(ticket_lease_cut_off(hand.lease, now_us));
    assert_int_equal(hand.pool, wanted);
    assert_int_equal(hand.held, spent + hand.pool);
    ticket_lease_free(hand.lease);
}

static void an_answer_after_its_lease_ran_out_grants_nothing(void **state)
{
    (void)state;
    struct hand hand;
    hand_init(&hand);
    ticket_lease_step(hand.lease, 0, 0);
    hand_store(&hand, 1000000, TTL_US, true);
    assert_int_equal(hand.pool, 0);
    assert_true(ticket_lease_cut_off(hand.lease, TTL_US));
    ticket_lease_step(hand.lease, TTL_US, 0);
    assert_int_equal(hand.asked.granted, 1);
    assert_int_equal(hand.asked.returned, 1);
    ticket_lease_free(hand.lease);
}

static void a_dry_store_is_not_asked_at_every_tick(void **state)
{
    (void)state;
    struct hand hand;
    hand_init(&hand);
    hand_fill(&hand, 0, 0);
    uint32_t asked_count = hand.asked_count;
    ticket_lease_step(hand.lease, TTL_US / 8 - 1, 0);
    assert_int_equal(hand.asked_count, asked_count);
    ticket_lease_step(hand.lease, TTL_US / 8, 0);
    assert_int_equal(hand.asked_count, asked_count + 1);
    assert_false(ticket_lease_cut_off(hand.lease, TTL_US / 8)); /* heard: closed, not open */
    ticket_lease_free(hand.lease);
}

static void the_turn_forgets_the_month(void **state)
{
    (void)state;
    struct hand hand;
    hand_init(&hand);
    hand_fill(&hand, 1000000, 0);
    hand.pool = 0;
    ticket_lease_step(hand.lease, 1, 0);
    struct ticket_request november = hand.asked;
    struct ticket_answer late;
    assert_true(ticket_store_rule(&november, 1000000, &hand.account, &hand.held, &late));
    ticket_lease_turn(hand.lease, MONTH + 1);
    assert_true(ticket_lease_cut_off(hand.lease, 1));
    assert_int_equal(ticket_lease_answered(hand.lease, &late, 2, NULL), 0);
    assert_int_equal(hand.pool, 0);
    ticket_lease_step(hand.lease, 3, 0);
    assert_int_equal(ticket_lease_answered(hand.lease, &late, 4, NULL), 0);
    assert_int_equal(hand.pool, 0);
    late.number = hand.asked.number; /* the month tells them apart, and so does the replica */
    assert_int_equal(ticket_lease_answered(hand.lease, &late, 4, NULL), 0);
    assert_int_equal(hand.pool, 0);
    late.month = MONTH + 1;
    late.replica = 2;
    late.granted = 1;
    assert_int_equal(ticket_lease_answered(hand.lease, &late, 4, NULL), 0);
    assert_int_equal(hand.pool, 0);
    assert_int_equal(hand.asked.month, MONTH + 1);
    assert_int_equal(hand.asked.granted, 0);
    assert_true(hand.asked.number > november.number);
    ticket_lease_free(hand.lease);
}

static void answers_no_store_would_give_are_refused(void **state)
{
    (void)state;
    struct hand hand;
    struct error err = {0};
    hand_init(&hand);
    hand_fill(&hand, 1000000, 0);
    hand.pool = 0;
    ticket_lease_step(hand.lease, 1, 0);
    struct ticket_answer answer = {.replica = 1, .month = MONTH, .number = hand.asked.number};
    assert_int_equal(ticket_lease_answered(hand.lease, &answer, 2, &err), ERROR_INVALID);
    answer.granted = hand.asked.granted + BATCH_MAX + 1;
    assert_int_equal(ticket_lease_answered(hand.lease, &answer, 2, &err), ERROR_INVALID);
    answer.granted = UINT64_MAX;
    assert_int_equal(ticket_lease_answered(hand.lease, &answer, 2, &err), ERROR_INVALID);
    assert_int_equal(hand.pool, 0);
    hand_store(&hand, 1000000, 3, true); /* and the right one still counts */
    assert_int_equal(hand.pool, BATCH_MAX);
    ticket_lease_free(hand.lease);
}

static void a_planned_end_gives_all_back(void **state)
{
    (void)state;
    struct hand hand;
    hand_init(&hand);
    hand_fill(&hand, 1000000, 0);
    hand.pool -= 3;
    uint64_t spent = hand.held - hand.pool;
    ticket_lease_close(hand.lease, 1);
    hand_store(&hand, 1000000, 1, true);
    assert_int_equal(hand.pool, 0);
    assert_int_equal(hand.held, spent);
    ticket_lease_free(hand.lease);
}

static void settings_that_cannot_work_are_refused(void **state)
{
    (void)state;
    const struct ticket_lease_config bad[] = {
        {.replicas = 0, .batch_max = 1, .ttl_us = 60, .retry_us = 1},
        {.replicas = 1, .batch_max = 0, .ttl_us = 60, .retry_us = 1},
        {.replicas = 1, .batch_max = 1, .ttl_us = 60, .retry_us = 0},
        {.replicas = 1, .batch_max = 1, .ttl_us = 60, .retry_us = 30},
        {.replicas = 1, .batch_max = TICKETS_MAX + 1, .ttl_us = 60, .retry_us = 1},
    };
    const struct ticket_port port = {.ask = on_ask, .grant = on_grant, .take_back = on_take_back};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct error err = {0};
        assert_null(ticket_lease_new(&bad[i], &port, &err));
        assert_int_equal(err.code, ERROR_INVALID);
    }
    ticket_lease_free(NULL);
}

static void the_store_takes_no_impossible_request(void **state)
{
    (void)state;
    const struct ticket_request bad[] = {
        {.number = 4, .granted = 10},                     /* older than the account's */
        {.number = 6, .granted = 10, .returned = 11},     /* more given back than given */
        {.number = 6, .granted = TICKETS_MAX + 1},        /* past any cap */
        {.number = 6, .wanted = UINT64_MAX, .granted = 1} /* would wrap */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ticket_account account = {.number = 5, .granted = 10, .returned = 2};
        struct ticket_answer answer;
        uint64_t held = 8;
        assert_false(ticket_store_rule(&bad[i], 100, &account, &held, &answer));
        assert_int_equal(account.number, 5);
        assert_int_equal(account.granted, 10);
        assert_int_equal(account.returned, 2);
        assert_int_equal(held, 8);
    }
}

static void a_store_that_forgot_learns_from_the_replicas(void **state)
{
    (void)state;
    struct hand hand;
    hand_init(&hand);
    hand_fill(&hand, 150, 0);
    hand.pool = 0;
    uint64_t spent = hand.held;
    hand.account = (struct ticket_account){0};
    hand.held = 0;
    ticket_lease_step(hand.lease, 1, 0);
    hand_store(&hand, 150, 1, true);
    assert_int_equal(hand.held, spent + hand.pool);
    ticket_lease_free(hand.lease);
}

static void a_granted_ticket_lets_a_user_in(void **state)
{
    (void)state;
    struct hand hand;
    hand_init(&hand);
    const struct user_cap_config config = {.users_cap = 1000, .leased = true};
    struct user_cap *cap = user_cap_new(&config, NULL);
    assert_non_null(cap);
    assert_true(user_cap_arm(cap, MONTH, 0));
    assert_int_equal(user_cap_admit(cap, 11), USER_CAP_REFUSED);
    hand_fill(&hand, 1000, 0);
    user_cap_grant(cap, on_take_back(&hand, 0));
    assert_int_equal(user_cap_admit(cap, 11), USER_CAP_TAKEN);
    uint64_t left = user_cap_tickets(cap);
    assert_int_equal(user_cap_return(cap, 0), left);
    assert_int_equal(left + 1, hand.held);
    user_cap_free(cap);
    ticket_lease_free(hand.lease);
}

/* -- A thousand replicas -- */

#define REPLICAS     1000u
#define SPENDABLE    200000u
#define DEATHS       100u
#define ACCOUNTS_MAX (REPLICAS + DEATHS)
#define TICK_US      UINT64_C(100000)
#define DELAYS       64u /* ticks that a message takes at most: over six tries */
#define TTL_TICKS    (TTL_US / TICK_US)
#define STORM_TICKS  4000u
#define CALM_TICKS   (4 * TTL_TICKS)

struct message {
    struct message *next;
    bool is_answer;
    uint32_t replica;
    struct ticket_request request;
    struct ticket_answer answer;
};

struct replica {
    struct fleet *fleet;
    struct ticket_lease *lease;
    uint64_t pool;
    uint32_t demand;    /* of 300 ticks in so many some new users come */
    uint64_t cut_ticks; /* until when nothing goes in or out */
};

struct fleet {
    uint64_t seed, tick;
    uint64_t held;  /* the store's */
    uint64_t spent; /* the truth */
    bool storm;
    uint32_t deaths, account_count;
    struct ticket_account accounts[ACCOUNTS_MAX + 1]; /* the store's, by replica's id */
    struct message *arriving[DELAYS];
    struct replica replicas[REPLICAS];
};

static uint32_t fleet_random(struct fleet *fleet, uint32_t below)
{
    fleet->seed = fleet->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((fleet->seed >> 32) * below >> 32);
}

/* A tenth is lost, a tenth doubled, all of it late and in any order; in a calm, only late. */
static void fleet_send(struct fleet *fleet, const struct message *message)
{
    uint32_t dice = fleet->storm ? fleet_random(fleet, 10) : 5;
    for (uint32_t copies = dice == 0 ? 0 : dice == 1 ? 2 : 1; copies > 0; copies--) {
        struct message *copy = malloc(sizeof *copy);
        assert_non_null(copy);
        uint32_t delay = fleet_random(fleet, 4) == 0 ? fleet_random(fleet, DELAYS - 1) : 0;
        struct message **bucket = &fleet->arriving[(fleet->tick + 1 + delay) % DELAYS];
        *copy = *message;
        copy->next = *bucket;
        *bucket = copy;
    }
}

static void replica_ask(void *argument, const struct ticket_request *request)
{
    struct replica *replica = argument;
    struct fleet *fleet = replica->fleet;
    if (fleet->tick < replica->cut_ticks)
        return;
    fleet_send(fleet, &(struct message){.replica = (uint32_t)(replica - fleet->replicas),
                                        .request = *request});
}

static void replica_grant(void *argument, uint64_t tickets)
{
    struct replica *replica = argument;
    replica->pool += tickets;
}

static uint64_t replica_take_back(void *argument, uint64_t keep)
{
    struct replica *replica = argument;
    uint64_t taken = replica->pool > keep ? replica->pool - keep : 0;
    replica->pool -= taken;
    return taken;
}

static void replica_start(struct fleet *fleet, struct replica *replica)
{
    assert_true(fleet->account_count < ACCOUNTS_MAX);
    const struct ticket_lease_config config = {.replica = ++fleet->account_count,
                                               .replicas = REPLICAS,
                                               .batch_max = BATCH_MAX,
                                               .ttl_us = TTL_US,
                                               .retry_us = RETRY_US};
    const struct ticket_port port = {.argument = replica,
                                     .ask = replica_ask,
                                     .grant = replica_grant,
                                     .take_back = replica_take_back};
    ticket_lease_free(replica->lease);
    replica->fleet = fleet;
    replica->pool = 0; /* what it held is in the store's `held` for ever */
    replica->lease = ticket_lease_new(&config, &port, NULL);
    assert_non_null(replica->lease);
    ticket_lease_turn(replica->lease, MONTH);
}

/* The network's end of a message. One of a replica that died since names its account. */
static void fleet_deliver(struct fleet *fleet, const struct message *message, uint64_t now_us)
{
    struct replica *replica = &fleet->replicas[message->replica];
    if (fleet->tick < replica->cut_ticks)
        return;
    if (message->is_answer) {
        assert_int_equal(ticket_lease_answered(replica->lease, &message->answer, now_us, NULL), 0);
        return;
    }
    struct message reply = {.is_answer = true, .replica = message->replica};
    if (ticket_store_rule(&message->request, SPENDABLE, &fleet->accounts[message->request.replica],
                          &fleet->held, &reply.answer))
        fleet_send(fleet, &reply);
    assert_true(fleet->held <= SPENDABLE);
}

static void replica_tick(struct fleet *fleet, struct replica *replica, uint64_t now_us)
{
    uint64_t new_users =
        fleet_random(fleet, 300) < replica->demand ? 1 + fleet_random(fleet, 3) : 0;
    uint64_t let_in = new_users < replica->pool ? new_users : replica->pool;
    replica->pool -= let_in;
    fleet->spent += let_in;
    if (fleet->storm && replica->cut_ticks <= fleet->tick && fleet_random(fleet, 2000) == 0)
        replica->cut_ticks = fleet->tick + fleet_random(fleet, 3 * TTL_TICKS);
    ticket_lease_step(replica->lease, now_us, replica->pool);
    if (ticket_lease_cut_off(replica->lease, now_us))
        assert_int_equal(replica->pool, 0);
}

static void fleet_run(struct fleet *fleet, uint64_t ticks)
{
    for (uint64_t end = fleet->tick + ticks; fleet->tick < end; fleet->tick++) {
        uint64_t now_us = fleet->tick * TICK_US;
        struct message *message = fleet->arriving[fleet->tick % DELAYS];
        fleet->arriving[fleet->tick % DELAYS] = NULL;
        while (message != NULL) {
            struct message *next = message->next;
            fleet_deliver(fleet, message, now_us);
            free(message);
            message = next;
        }
        for (uint32_t r = 0; r < REPLICAS; r++)
            replica_tick(fleet, &fleet->replicas[r], now_us);
        assert_true(fleet->spent <= SPENDABLE);
    }
}

static struct fleet *fleet_new(uint64_t seed)
{
    struct fleet *fleet = calloc(1, sizeof *fleet);
    assert_non_null(fleet);
    fleet->seed = seed * 0x9e3779b97f4a7c15 + 1;
    fleet->storm = true;
    for (uint32_t r = 0; r < REPLICAS; r++) {
        fleet->replicas[r].demand = 1 + fleet_random(fleet, 20);
        replica_start(fleet, &fleet->replicas[r]);
    }
    return fleet;
}

static void fleet_free(struct fleet *fleet)
{
    for (uint32_t d = 0; d < DELAYS; d++) {
        while (fleet->arriving[d] != NULL) {
            struct message *next = fleet->arriving[d]->next;
            free(fleet->arriving[d]);
            fleet->arriving[d] = next;
        }
    }
    for (uint32_t r = 0; r < REPLICAS; r++)
        ticket_lease_free(fleet->replicas[r].lease);
    free(fleet);
}

/* New users come everywhere. In the calm after the storm all tickets are spent, and no more. */
static void a_thousand_replicas_never_pass_the_cap(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct fleet *fleet = fleet_new(seed);
        fleet_run(fleet, STORM_TICKS);
        assert_true(SPENDABLE - fleet->spent <= REPLICAS * BATCH_MAX);
        fleet->storm = false;
        fleet_run(fleet, CALM_TICKS + 3 * TTL_TICKS);
        assert_int_equal(fleet->spent, SPENDABLE);
        fleet_free(fleet);
    }
}

/* Most replicas fall idle while they hold tickets: in a calm they keep one each at most. */
static void idle_replicas_let_go_of_their_tickets(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_new(7);
    fleet_run(fleet, 1000); /* less than the tickets last */
    assert_true(fleet->spent < SPENDABLE);
    for (uint32_t r = 0; r < REPLICAS; r++)
        fleet->replicas[r].demand = r < REPLICAS / 20 ? 300 : 0;
    fleet_run(fleet, STORM_TICKS);
    fleet->storm = false;
    fleet_run(fleet, CALM_TICKS + 3 * TTL_TICKS);
    assert_true(SPENDABLE - fleet->spent <= REPLICAS * 1);
    fleet_free(fleet);
}

/* What cannot be told from a replica that has spent is not given out again: at most a batch each
 * for those that are cut off for good, and one for each death. */
static void the_cut_off_and_the_dead_cost_a_batch_each(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_new(9);
    for (uint32_t part = 0; part < 20; part++) {
        fleet_run(fleet, STORM_TICKS / 20);
        for (uint32_t dying = 0; dying < DEATHS / 20; dying++, fleet->deaths++)
            replica_start(fleet, &fleet->replicas[REPLICAS / 10 + fleet->deaths]);
        if (part == 0)
            for (uint32_t r = 0; r < REPLICAS / 10; r++)
                fleet->replicas[r].cut_ticks = UINT64_MAX;
    }
    fleet->storm = false;
    fleet_run(fleet, CALM_TICKS + 3 * TTL_TICKS);
    uint64_t lost_max = (REPLICAS / 10 + fleet->deaths) * BATCH_MAX;
    assert_true(fleet->spent <= SPENDABLE);
    assert_true(SPENDABLE - fleet->spent <= lost_max);
    for (uint32_t r = 0; r < REPLICAS / 10; r++)
        assert_int_equal(fleet->replicas[r].pool, 0);
    fleet_free(fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tickets_come_in_batches),
        cmocka_unit_test(batch_shrinks_with_what_remains),
        cmocka_unit_test(lost_answers_tie_up_one_batch),
        cmocka_unit_test(a_repetition_keeps_its_number_until_it_is_too_old),
        cmocka_unit_test(cut_off_it_holds_no_ticket_and_gives_them_back_after),
        cmocka_unit_test(an_answer_after_its_lease_ran_out_grants_nothing),
        cmocka_unit_test(a_dry_store_is_not_asked_at_every_tick),
        cmocka_unit_test(the_turn_forgets_the_month),
        cmocka_unit_test(answers_no_store_would_give_are_refused),
        cmocka_unit_test(a_planned_end_gives_all_back),
        cmocka_unit_test(settings_that_cannot_work_are_refused),
        cmocka_unit_test(the_store_takes_no_impossible_request),
        cmocka_unit_test(a_store_that_forgot_learns_from_the_replicas),
        cmocka_unit_test(a_granted_ticket_lets_a_user_in),
        cmocka_unit_test(a_thousand_replicas_never_pass_the_cap),
        cmocka_unit_test(idle_replicas_let_go_of_their_tickets),
        cmocka_unit_test(the_cut_off_and_the_dead_cost_a_batch_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
