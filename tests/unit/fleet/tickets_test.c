/* SPDX-License-Identifier: Apache-2.0 */
/* A cap that a fleet shares, over a real server: the store's side does what ticket_store_rule()
 * says, and replicas together let in no more than the cap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ring.h"
#include "policy/fleet/fleet_redis.h"
#include "policy/fleet/ticket_redis.h"
#include "policy/policy_enforce_inner.h"
#include "policy/policy_tickets.h"
#include "policy/users/calendar.h"
#include "policy/users/cap.h"
#include "tests/unit/fleet/redis_server.h"

#define REPLICAS 3u
#define LIMIT    300u
#define MONTH    (2026u * 12 + 10)
#define NOON_US  ((int64_t)20785 * CALENDAR_DAY_US + INT64_C(43200000000)) /* 2026-11-28 */
#define TURN_US  ((int64_t)20788 * CALENDAR_DAY_US)
#define ROUNDS   3000u

static const uint8_t key[FLEET_KEY_BYTES] = {4, 5, 6};

static struct fleet_redis *connect_to(const struct redis_server *server)
{
    const struct fleet_redis_config config = {.address = server->socket, .keep_days = 40};
    struct fleet_redis *redis = fleet_redis_new(&config, NULL);
    assert_non_null(redis);
    return redis;
}

static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static void the_store_does_what_the_rule_says(void **state)
{
    struct redis_server *server = *state;
    struct fleet_redis *redis = connect_to(server);
    struct ticket_account accounts[REPLICAS] = {{0}};
    uint64_t held = 0, known = 0, seed = 1;
    uint32_t answered = 0;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t r = (uint32_t)(next(&seed) % REPLICAS);
        const struct ticket_account *account = &accounts[r];
        uint64_t granted = account->granted - next(&seed) % (account->granted / 4 + 1);
        const struct ticket_request request = {.replica = r + 1,
                                               .month = MONTH,
                                               .number = account->number + next(&seed) % 4 -
                                                         (account->number > 2 ? 1 : 0),
                                               .granted = granted + (next(&seed) % 50 == 0 ? 3 : 0),
                                               .returned = next(&seed) % (granted + 2),
                                               .wanted = next(&seed) % 40};
        const struct ticket_question question = {
            .cap = 9, .request = &request, .spendable = LIMIT, .born = 1 + i};
        struct ticket_answer expected, given;
        bool answers = ticket_store_rule(&request, LIMIT, &accounts[r], &held, &expected);
        struct error err = {0};
        int result = ticket_redis_ask(redis, &question, &known, &given, &err);
        assert_string_equal(err.text, "");
        assert_int_equal(result, answers);
        if (answers) {
            assert_int_equal(given.replica, expected.replica);
            assert_int_equal(given.month, expected.month);
            assert_int_equal(given.number, expected.number);
            assert_int_equal(given.granted, expected.granted);
            assert_int_equal(given.remaining, expected.remaining);
        }
        answered += answers;
    }
    assert_true(answered > ROUNDS / 4);
    fleet_redis_free(redis);
}

/* -- Replicas -- */

struct replica {
    struct enforce_cap cap;
    struct tickets *tickets;
    struct tickets_turn turn;
};

static void replica_begin(struct replica *replica, const struct redis_server *server,
                          uint32_t index)
{
    const struct user_cap_config config = {.users_cap = LIMIT, .leased = true};
    *replica = (struct replica){.cap = {.name = "", .id = 7, .users_max = LIMIT}};
    atomic_store(&replica->cap.limit, LIMIT);
    atomic_store(&replica->cap.counted_month, MONTH);
    replica->cap.users = user_cap_new(&config, NULL);
    replica->cap.news = ring_new(1024);
    replica->tickets = tickets_new(&replica->cap, NULL);
    replica->turn = (struct tickets_turn){.redis = connect_to(server),
                                          .key = fleet_key_new(key, 3, NULL),
                                          .sender = index + 1,
                                          .replicas = REPLICAS,
                                          .now_unix_us = NOON_US,
                                          .now_us = 1000000};
    assert_true(replica->tickets != NULL && replica->cap.users != NULL &&
                replica->cap.news != NULL);
}

static void replica_end(struct replica *replica)
{
    tickets_free(replica->tickets);
    user_cap_free(replica->cap.users);
    ring_free(replica->cap.news);
    fleet_redis_free(replica->turn.redis);
    fleet_key_free(replica->turn.key);
}

/* Users are numbers here; a filter wants hashes. */
static bool admit(struct replica *replica, uint64_t user)
{
    uint64_t hash = next(&user);
    enum user_cap_answer answer = user_cap_admit(replica->cap.users, hash);
    if (answer == USER_CAP_TAKEN || answer == USER_CAP_OPEN)
        assert_true(ring_push(replica->cap.news, (void *)(uintptr_t)hash));
    return answer != USER_CAP_REFUSED;
}

static void step_all(struct replica *replicas, uint32_t times)
{
    struct error err = {0};
    for (uint32_t t = 0; t < times; t++)
        for (uint32_t i = 0; i < REPLICAS; i++) {
            replicas[i].turn.now_us += 200000;
            int result = tickets_step(replicas[i].tickets, &replicas[i].turn, &err);
            if (result != 0)
                fail_msg("%s", err.text);
        }
}

/* Strangers come at replicas by turns; returns how many of `count` are in at last. */
static uint32_t fill(struct replica *replicas, uint64_t first, uint32_t count, bool *in)
{
    uint32_t passed = 0;
    for (uint32_t t = 0; t < 40; t++) {
        for (uint32_t i = 0; i < count; i++)
            if (!in[i] && admit(&replicas[(i + t) % REPLICAS], first + i)) {
                in[i] = true;
                passed++;
            }
        step_all(replicas, 1);
    }
    step_all(replicas, 2);
    return passed;
}

static void all_known_everywhere(struct replica *replicas, uint64_t first, uint32_t count,
                                 const bool *in)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t r = 0; r < REPLICAS; r++)
            if (in[i])
                assert_true(admit(&replicas[r], first + i));
}

static void replicas_fill_a_cap_together_and_know_each_other_s_users(void **state)
{
    const struct redis_server *server = *state;
    struct replica replicas[REPLICAS];
    bool in[600] = {false}, later[400] = {false};
    uint64_t first = UINT64_C(1) << 40;
    for (uint32_t i = 0; i < REPLICAS; i++)
        replica_begin(&replicas[i], server, i);
    step_all(replicas, 3);
    assert_int_equal(fill(replicas, first, 600, in), LIMIT);
    all_known_everywhere(replicas, first, 600, in);
    for (uint32_t r = 0; r < REPLICAS; r++)
        assert_false(admit(&replicas[r], 12345));
    /* One that begins only now learns who is in, and lets in nobody new. */
    replica_end(&replicas[2]);
    replica_begin(&replicas[2], server, 5);
    step_all(replicas, 4);
    all_known_everywhere(replicas, first, 600, in);
    assert_false(admit(&replicas[2], 12345));
    /* The month turns: everybody is new. */
    for (uint32_t r = 0; r < REPLICAS; r++) {
        replicas[r].turn.now_unix_us = TURN_US;
        atomic_store(&replicas[r].cap.counted_month, MONTH + 1);
    }
    step_all(replicas, 3);
    assert_int_equal(fill(replicas, first << 1, 400, later), LIMIT);
    for (uint32_t r = 0; r < REPLICAS; r++) {
        assert_int_equal(tickets_refused(replicas[r].tickets), 0);
        replica_end(&replicas[r]);
    }
}

static void empty(const struct redis_server *server)
{
    redisContext *context = redisConnectUnix(server->socket);
    assert_non_null(context);
    redisReply *reply = redisCommand(context, "FLUSHALL");
    assert_non_null(reply);
    freeReplyObject(reply);
    redisFree(context);
}

static void a_store_that_lost_all_gives_out_what_the_count_says_is_left(void **state)
{
    const struct redis_server *server = *state;
    struct replica replicas[REPLICAS];
    bool in[200] = {false}, more[600] = {false};
    for (uint32_t i = 0; i < REPLICAS; i++)
        replica_begin(&replicas[i], server, i);
    step_all(replicas, 3);
    assert_int_equal(fill(replicas, 1u << 20, 200, in), 200);
    empty(server);
    for (uint32_t r = 0; r < REPLICAS; r++)
        atomic_store(&replicas[r].cap.counted, 200);
    for (uint32_t r = 0; r < REPLICAS; r++)
        replicas[r].turn.now_us += UINT64_C(40000000); /* so that each asks again */
    step_all(replicas, 4);
    for (uint32_t r = 0; r < REPLICAS; r++) /* what each lets in from now on is not counted yet */
        assert_true(user_cap_tickets(replicas[r].cap.users) > 0);
    assert_int_equal(fill(replicas, 1u << 30, 600, more), LIMIT - 200);
    for (uint32_t i = 0; i < 200; i++) /* where each was let in, or had been heard of: everywhere */
        assert_true(admit(&replicas[i % REPLICAS], (1u << 20) + i));
    for (uint32_t r = 0; r < REPLICAS; r++)
        replica_end(&replicas[r]);
}

static void who_ends_gives_its_tickets_back(void **state)
{
    const struct redis_server *server = *state;
    struct replica replicas[REPLICAS];
    bool in[600] = {false};
    for (uint32_t i = 0; i < REPLICAS; i++)
        replica_begin(&replicas[i], server, i);
    step_all(replicas, 3);
    assert_true(user_cap_tickets(replicas[2].cap.users) > 1);
    replicas[2].turn.last = true;
    assert_int_equal(tickets_step(replicas[2].tickets, &replicas[2].turn, NULL), 0);
    replica_end(&replicas[2]);
    replica_begin(&replicas[2], server, 8);
    step_all(replicas, 2);
    assert_int_equal(fill(replicas, 1u << 20, 600, in), LIMIT);
    for (uint32_t r = 0; r < REPLICAS; r++)
        replica_end(&replicas[r]);
}

static int setup(void **state)
{
    struct redis_server *server = calloc(1, sizeof *server);
    redis_server_folder(server);
    redis_server_begin(server, "");
    *state = server;
    return 0;
}

static int teardown(void **state)
{
    struct redis_server *server = *state;
    redis_server_kill(server);
    assert_int_equal(rmdir(server->folder), 0);
    free(server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_store_does_what_the_rule_says, setup, teardown),
        cmocka_unit_test_setup_teardown(replicas_fill_a_cap_together_and_know_each_other_s_users,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_that_lost_all_gives_out_what_the_count_says_is_left,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(who_ends_gives_its_tickets_back, setup, teardown),
    };
    if (redis_server_program() == NULL) {
        puts("no server of Redis or Valkey here: skipped");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
