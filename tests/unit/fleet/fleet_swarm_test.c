/* SPDX-License-Identifier: Apache-2.0 */
/* A thousand replicas at the turn of a month, over lines that lose, double, mix up and break. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define REPLICAS       1000u
#define CUT_OFF        300u /* of them, for a while */
#define SKETCH_BITS    10u
#define ROUNDS         8u
#define USERS_A_ROUND  1500u
#define SIGHTS         2u /* of each user, at replicas that know nothing of each other */
#define SKEW_SECONDS   5
#define QUIET_ROUNDS   12u
#define FIRST_OF_MONTH 20485u /* 2026-02-01 */

struct replica {
    struct memory_store store;
    struct shared_line line;
    struct fleet *fleet;
    int64_t skew_us;
};

struct swarm {
    struct replica replicas[REPLICAS];
    struct shared shared;
    struct memory_store truth; /* each user on the day that the replica who saw it had */
    uint64_t random;
};

static const uint8_t key[FLEET_KEY_BYTES] = {1, 2, 3};

static struct fleet_name name_of(uint32_t day)
{
    return (struct fleet_name){.scope = 0x5c09e, .day = day, .class = 1};
}

static struct swarm *swarm_new(uint64_t seed)
{
    struct swarm *swarm = calloc(1, sizeof *swarm);
    assert_non_null(swarm);
    swarm->random = seed;
    swarm->shared.random = seed + 1;
    memory_store_init(&swarm->truth, SKETCH_BITS);
    for (uint32_t i = 0; i < REPLICAS; i++) {
        struct replica *replica = &swarm->replicas[i];
        memory_store_init(&replica->store, SKETCH_BITS);
        replica->line.shared = &swarm->shared;
        replica->skew_us =
            (int64_t)(next_hash(&swarm->random) % (2 * SKEW_SECONDS * SECOND_US + 1)) -
            SKEW_SECONDS * SECOND_US;
        struct fleet_config config = {.key = key,
                                      .key_id = 7,
                                      .replica = next_hash(&swarm->random) | 1,
                                      .store = memory_store_face(&replica->store),
                                      .transport = shared_line_face(&replica->line),
                                      .p = SKETCH_BITS,
                                      .days = 2};
        replica->fleet = fleet_new(&config, NULL);
        assert_non_null(replica->fleet);
    }
    return swarm;
}

static void swarm_free(struct swarm *swarm)
{
    for (uint32_t i = 0; i < REPLICAS; i++) {
        fleet_free(swarm->replicas[i].fleet);
        memory_store_destroy(&swarm->replicas[i].store);
    }
    memory_store_destroy(&swarm->truth);
    shared_empty(&swarm->shared);
    free(swarm);
}

static void users_come(struct swarm *swarm, int64_t now_us)
{
    for (uint32_t i = 0; i < USERS_A_ROUND; i++) {
        uint64_t user = next_hash(&swarm->random);
        for (uint32_t j = 0; j < SIGHTS; j++) {
            struct replica *replica = &swarm->replicas[next_hash(&swarm->random) % REPLICAS];
            struct fleet_name name =
                name_of((uint32_t)((now_us + replica->skew_us) / SECOND_US / DAY_SECONDS));
            memory_store_count(&replica->store, &name, user);
            memory_store_count(&swarm->truth, &name, user);
        }
    }
}

static uint32_t agreeing(struct swarm *swarm)
{
    struct fleet_name last = name_of(FIRST_OF_MONTH - 1), first = name_of(FIRST_OF_MONTH);
    uint32_t count = 0;
    for (uint32_t i = 0; i < REPLICAS; i++)
        count += memory_store_is(&swarm->replicas[i].store, &last,
                                 memory_store_find(&swarm->truth, &last)) &&
                 memory_store_is(&swarm->replicas[i].store, &first,
                                 memory_store_find(&swarm->truth, &first));
    return count;
}

static void tick_all(struct swarm *swarm, int64_t now_us)
{
    for (uint32_t i = 0; i < REPLICAS; i++) {
        struct replica *replica = &swarm->replicas[i];
        for (uint32_t j = 0; j < 4; j++)
            (void)fleet_tick(replica->fleet, now_us + replica->skew_us, NULL);
    }
}

static void run(uint64_t seed)
{
    int64_t now_us = (int64_t)FIRST_OF_MONTH * DAY_SECONDS * SECOND_US - 17 * SECOND_US;
    struct swarm *swarm = swarm_new(seed);
    swarm->shared.faults_percent = 3;
    for (uint32_t round = 0; round < ROUNDS; round++, now_us += 5 * SECOND_US) {
        for (uint32_t i = 0; i < CUT_OFF; i++)
            swarm->replicas[i].line.cut = round >= 2 && round < 6;
        users_come(swarm, now_us);
        tick_all(swarm, now_us);
    }
    assert_true(swarm->shared.faults > 1000);
    assert_true(agreeing(swarm) < REPLICAS); /* too early */

    swarm->shared.faults_percent = 0;
    uint32_t quiet = 0;
    for (; quiet < QUIET_ROUNDS && agreeing(swarm) < REPLICAS; quiet++) {
        now_us += 200 * SECOND_US;
        tick_all(swarm, now_us);
    }
    assert_int_equal(agreeing(swarm), REPLICAS);

    struct fleet_status status;
    uint64_t received = 0, suppressed = 0, published = 0, races = 0;
    for (uint32_t i = 0; i < REPLICAS; i++) {
        fleet_status(swarm->replicas[i].fleet, &status);
        assert_true(status.complete);
        assert_int_equal(status.refused, 0);
        assert_int_equal(status.set_aside, 0);
        received += status.received;
        suppressed += status.suppressed;
        published += status.published;
        races += status.races_lost;
    }
    assert_true(received > published && suppressed > 0 && races > 0);
    swarm_free(swarm);
}

static void a_thousand_replicas_agree_byte_for_byte(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        run(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_thousand_replicas_agree_byte_for_byte)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
