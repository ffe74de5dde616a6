/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "policy/fleet/fleet_delta.h"
#include "world.h"

#define TODAY    20485u
#define PEERS    3u
#define P_LOW    10u
#define NOON_US  ((int64_t)TODAY * DAY_SECONDS * SECOND_US + 43200 * SECOND_US)
#define KEY_ID   7u
#define STRANGER 99u /* a replica that only sends what a test makes it send */

static const uint8_t key[FLEET_KEY_BYTES] = {1, 2, 3};
static const struct fleet_name name = {.scope = 0x5c09e, .day = TODAY, .class = 1};

struct peer {
    struct memory_store store;
    struct shared_line line;
    struct fleet *fleet;
};
struct world {
    struct shared shared;
    struct peer peers[PEERS];
    int64_t now_us;
    uint64_t users; /* the state that next_hash() makes users of */
};

static struct fleet *fleet_with(struct peer *peer, uint64_t replica, uint64_t key_id,
                                size_t view_bytes)
{
    struct fleet_config config = {.key = key,
                                  .key_id = key_id,
                                  .replica = replica,
                                  .store = memory_store_face(&peer->store),
                                  .transport = shared_line_face(&peer->line),
                                  .p = peer->store.p,
                                  .jump_users = peer->store.p == P_LOW ? 10000 : 1e6,
                                  .view_bytes = view_bytes,
                                  .days = 5};
    struct fleet *fleet = fleet_new(&config, NULL);
    assert_non_null(fleet);
    return fleet;
}

static struct fleet *fleet_of(struct peer *peer, uint64_t replica, uint64_t key_id)
{
    return fleet_with(peer, replica, key_id, 0);
}

static struct world *world_new(uint32_t p)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->now_us = NOON_US;
    for (uint32_t i = 0; i < PEERS; i++) {
        memory_store_init(&world->peers[i].store, p);
        world->peers[i].line.shared = &world->shared;
        world->peers[i].fleet = fleet_of(&world->peers[i], i + 1, KEY_ID);
    }
    return world;
}

static void world_free(struct world *world)
{
    for (uint32_t i = 0; i < PEERS; i++) {
        fleet_free(world->peers[i].fleet);
        memory_store_destroy(&world->peers[i].store);
    }
    shared_empty(&world->shared);
    free(world);
}

static void users_come(struct world *world, uint32_t peer, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        memory_store_count(&world->peers[peer].store, &name, next_hash(&world->users));
}

/* Seven seconds pass: an exchange is due at each. */
static void pass(struct world *world, uint32_t rounds)
{
    for (uint32_t i = 0; i < rounds; i++) {
        world->now_us += 7 * SECOND_US;
        for (uint32_t j = 0; j < PEERS; j++)
            (void)fleet_tick(world->peers[j].fleet, world->now_us, NULL);
    }
}

static double users_at(const struct world *world, uint32_t peer)
{
    const struct sketch *sketch = memory_store_find(&world->peers[peer].store, &name);
    struct sketch_count count = {0};
    if (sketch != NULL)
        sketch_count(sketch, &count);
    return count.value;
}

static void assert_agree(struct world *world, double users)
{
    for (uint32_t i = 0; i < PEERS; i++) {
        assert_true(users_at(world, i) == users);
        assert_true(memory_store_is(&world->peers[i].store, &name,
                                    memory_store_find(&world->peers[0].store, &name)));
    }
}

static struct fleet_status status_of(const struct world *world, uint32_t peer)
{
    struct fleet_status status;
    fleet_status(world->peers[peer].fleet, &status);
    return status;
}

/* -- */

static void users_are_the_union_and_never_the_sum(void **state)
{
    (void)state;
    struct world *world = world_new(P_LOW);
    for (uint64_t user = 1; user <= 100; user++)
        for (uint32_t i = 0; i < PEERS; i++)
            memory_store_count(&world->peers[i].store, &name, user * 0x9e3779b97f4a7c15);
    pass(world, 3);
    assert_agree(world, 100);
    world_free(world);
}

static void what_others_told_is_not_told_again(void **state)
{
    (void)state;
    struct world *world = world_new(P_LOW);
    pass(world, 1);
    users_come(world, 0, 50);
    pass(world, 3);
    assert_agree(world, 50);
    assert_int_equal(status_of(world, 0).published, 1);
    users_come(world, 0, 20); /* which now come by a delta */
    pass(world, 3);
    assert_agree(world, 70);
    assert_int_equal(status_of(world, 0).published, 2);
    assert_int_equal(status_of(world, 1).published, 0);
    assert_true(status_of(world, 1).suppressed > 0);
    uint64_t appends = world->peers[0].line.appends;
    pass(world, 10);
    assert_int_equal(world->peers[0].line.appends, appends);
    world_free(world);
}

static void a_new_replica_takes_snapshots_then_the_stream(void **state)
{
    (void)state;
    struct world *world = world_new(P_LOW);
    struct peer late = {.line = {.shared = &world->shared}};
    struct fleet_status status;
    users_come(world, 0, 40);
    pass(world, 2); /* in the snapshot */
    users_come(world, 1, 40);
    pass(world, 2); /* in the stream alone: a comparison is minutes away */
    memory_store_init(&late.store, P_LOW);
    late.fleet = fleet_of(&late, 50, KEY_ID);
    while (fleet_status(late.fleet, &status), !status.complete)
        assert_int_equal(fleet_tick(late.fleet, world->now_us, NULL), 0);
    assert_true(
        memory_store_is(&late.store, &name, memory_store_find(&world->peers[0].store, &name)));
    fleet_free(late.fleet);
    memory_store_destroy(&late.store);
    world_free(world);
}

static void an_emptied_store_is_filled_by_any_one(void **state)
{
    (void)state;
    for (uint32_t survivor = 0; survivor < PEERS; survivor++) {
        struct world *world = world_new(P_LOW);
        for (uint32_t i = 0; i < PEERS; i++)
            users_come(world, i, 30);
        pass(world, 3);
        assert_agree(world, 30 * PEERS);
        shared_empty(&world->shared);
        for (uint32_t i = 0; i < PEERS; i++)
            world->peers[i].line.cut = i != survivor;
        pass(world, 2);
        assert_int_equal(status_of(world, survivor).epoch_changes, 1);

        struct peer late = {.line = {.shared = &world->shared}};
        memory_store_init(&late.store, P_LOW);
        late.fleet = fleet_of(&late, 50, KEY_ID);
        assert_int_equal(fleet_tick(late.fleet, world->now_us, NULL), 0);
        assert_true(
            memory_store_is(&late.store, &name, memory_store_find(&world->peers[0].store, &name)));
        fleet_free(late.fleet);
        memory_store_destroy(&late.store);
        world_free(world);
    }
}

static void a_replica_cut_off_goes_on_counting_and_says_how_old_its_view_is(void **state)
{
    (void)state;
    struct world *world = world_new(P_LOW);
    struct error err = {0};
    assert_true(fleet_stale_seconds(world->peers[0].fleet, world->now_us) == UINT64_MAX);
    users_come(world, 0, 10);
    pass(world, 2);
    assert_true(fleet_stale_seconds(world->peers[0].fleet, world->now_us) == 0);
    world->peers[0].line.cut = true;
    users_come(world, 0, 10);
    users_come(world, 1, 10);
    world->now_us += 10 * SECOND_US;
    assert_int_equal(fleet_tick(world->peers[0].fleet, world->now_us, &err), ERROR_IO);
    assert_non_null(strstr(err.text, "fleet: the line is cut"));
    pass(world, 20);
    assert_in_range(fleet_stale_seconds(world->peers[0].fleet, world->now_us), 140, 160);
    assert_true(users_at(world, 0) == 20 && users_at(world, 1) == 20);
    world->peers[0].line.cut = false;
    pass(world, 12);
    assert_agree(world, 30);
    world_free(world);
}

static void failures_are_tried_again_more_and_more_seldom(void **state)
{
    (void)state;
    struct world *world = world_new(P_LOW);
    uint32_t tried = 0;
    world->peers[0].line.cut = true;
    for (uint32_t i = 0; i < 600; i++, world->now_us += SECOND_US)
        tried += fleet_tick(world->peers[0].fleet, world->now_us, NULL) != 0;
    assert_in_range(tried, 10, 25);
    world_free(world);
}

static void another_key_is_refused_on_both_sides(void **state)
{
    (void)state;
    struct world *world = world_new(P_LOW);
    fleet_free(world->peers[2].fleet);
    world->peers[2].fleet = fleet_of(&world->peers[2], 3, KEY_ID + 1);
    users_come(world, 0, 20);
    pass(world, 2);
    users_come(world, 2, 20);
    pass(world, 200);
    assert_true(users_at(world, 1) == 20 && users_at(world, 2) == 20);
    assert_true(status_of(world, 1).refused > 0 && status_of(world, 2).refused > 0);
    assert_non_null(strstr(status_of(world, 2).last_refusal, "same key"));
    world_free(world);
}

static void a_damaged_snapshot_is_written_over(void **state)
{
    (void)state;
    struct world *world = world_new(P_LOW);
    users_come(world, 0, 20);
    pass(world, 2);
    struct shared_snapshot *snapshot = shared_snapshot_find(&world->shared, &name);
    assert_non_null(snapshot);
    char before = snapshot->bytes.bytes[80];
    snapshot->bytes.bytes[80] = (char)(before ^ 1);
    snapshot->bytes.bytes[44] = (char)(snapshot->bytes.bytes[44] ^ 1);
    pass(world, 150); /* a comparison comes */
    assert_int_equal(snapshot->bytes.bytes[80], before);
    assert_true(status_of(world, 0).refused + status_of(world, 1).refused +
                    status_of(world, 2).refused >
                0);
    assert_agree(world, 20);
    world_free(world);
}

static void users_of_a_closed_day_arrive_by_its_snapshot(void **state)
{
    (void)state;
    struct world *world = world_new(P_LOW);
    const struct fleet_name closed = {.scope = 3, .day = TODAY - 3, .class = 0};
    pass(world, 1);
    memory_store_count(&world->peers[0].store, &closed, 12345);
    pass(world, 250);
    assert_int_equal(world->peers[0].line.appends, 0);
    assert_true(memory_store_is(&world->peers[2].store, &closed,
                                memory_store_find(&world->peers[0].store, &closed)));
    world_free(world);
}

static void a_store_that_cannot_take_users_gets_them_again(void **state)
{
    (void)state;
    struct world *world = world_new(P_LOW);
    users_come(world, 0, 20);
    pass(world, 3);
    assert_agree(world, 20);
    world->peers[1].store.full = true;
    users_come(world, 0, 20);
    pass(world, 3);
    assert_true(users_at(world, 1) == 20);
    world->peers[1].store.full = false;
    pass(world, 4); /* long before a comparison */
    assert_agree(world, 40);
    world_free(world);
}

/* -- Steps that nobody makes -- */

static void send(struct world *world, enum fleet_blob_kind kind, const struct text *body)
{
    struct fleet_key *sealing = fleet_key_new(key, KEY_ID, NULL);
    struct shared_line line = {.shared = &world->shared};
    struct fleet_transport transport = shared_line_face(&line);
    struct fleet_blob blob = {.kind = kind,
                              .name = name,
                              .sender = STRANGER,
                              .body = body->bytes,
                              .body_count = body->count};
    struct text sealed;
    text_init(&sealed);
    assert_non_null(sealing);
    if (kind == FLEET_SNAPSHOT)
        blob.sender = 0;
    assert_int_equal(fleet_blob_seal(sealing, &blob, &sealed, NULL), 0);
    if (kind == FLEET_DELTA) {
        assert_int_equal(transport.append(&line, TODAY, sealed.bytes, sealed.count, NULL), 0);
    } else {
        struct shared_snapshot *snapshot = shared_snapshot_find(&world->shared, &name);
        assert_non_null(snapshot);
        text_reset(&snapshot->bytes);
        text_append(&snapshot->bytes, sealed.bytes, sealed.count);
    }
    text_destroy(&sealed);
    fleet_key_free(sealing);
}

static void delta_of(const struct sketch *sketch, struct text *out)
{
    struct sketch *nothing = sketch_new(sketch_p(sketch));
    uint32_t count;
    assert_non_null(nothing);
    text_init(out);
    assert_int_equal(fleet_delta_write(sketch, nothing, out, &count, NULL), 0);
    assert_true(out->count > 0);
    sketch_free(nothing);
}

static struct sketch *crowd(uint32_t users)
{
    struct sketch *sketch = sketch_new(P_LOW);
    uint64_t seed = 1000;
    assert_non_null(sketch);
    for (uint32_t i = 0; i < users; i++)
        assert_int_equal(sketch_add(sketch, next_hash(&seed), NULL, NULL), 0);
    return sketch;
}

static void one_sender_of_nonsense_is_set_aside_and_the_others_are_not(void **state)
{
    (void)state;
    struct world *world = world_new(P_LOW);
    struct sketch *many = crowd(40000);
    struct text delta;
    users_come(world, 0, 50);
    pass(world, 2);
    world->peers[1].line.cut = true;
    delta_of(many, &delta);
    send(world, FLEET_DELTA, &delta);
    users_come(world, 0, 20);
    pass(world, 1);
    world->peers[1].line.cut = false;
    pass(world, 3);
    assert_agree(world, 70);
    struct fleet *fleet = world->peers[1].fleet;
    assert_int_equal(fleet_suspects(fleet), 1);
    const struct fleet_suspect *suspect = fleet_suspect_peek(fleet, 0);
    assert_int_equal(suspect->sender, STRANGER);
    assert_int_equal(suspect->kind, FLEET_DELTA);
    assert_true(suspect->users_before < 100 && suspect->users_after > 30000);

    assert_int_equal(fleet_suspect_settle(fleet, 0, true, NULL), 0); /* it was true after all */
    assert_int_equal(fleet_suspects(fleet), 0);
    assert_true(users_at(world, 1) > 30000);
    assert_int_equal(fleet_suspect_settle(world->peers[2].fleet, 0, false, NULL), 0);
    assert_int_equal(fleet_suspects(world->peers[2].fleet), 0);
    assert_true(users_at(world, 2) == 70);
    text_destroy(&delta);
    sketch_free(many);
    world_free(world);
}

static void a_poisoned_snapshot_is_left_and_told_once(void **state)
{
    (void)state;
    struct world *world = world_new(P_LOW);
    struct sketch *many = crowd(40000);
    struct text body;
    users_come(world, 0, 50);
    pass(world, 2);
    text_init(&body);
    sketch_write(many, &body);
    send(world, FLEET_SNAPSHOT, &body);
    pass(world, 300); /* comparisons */
    assert_agree(world, 50);
    for (uint32_t i = 0; i < PEERS; i++) {
        assert_int_equal(fleet_suspects(world->peers[i].fleet), 1);
        assert_int_equal(status_of(world, i).set_aside, 1);
    }
    users_come(world, 0, 5); /* deltas still reach the others */
    pass(world, 2);
    assert_agree(world, 55);
    text_destroy(&body);
    sketch_free(many);
    world_free(world);
}

/* -- Memory -- */

static void views_keep_within_their_room_and_nothing_is_lost(void **state)
{
    (void)state;
    struct world *world = world_new(P_LOW);
    struct fleet_name names[COUNTERS_MAX];
    const size_t room = 3 * 2560; /* of eight counters, three views */
    for (uint32_t i = 0; i < PEERS; i++) {
        fleet_free(world->peers[i].fleet);
        world->peers[i].fleet = fleet_with(&world->peers[i], i + 1, KEY_ID, room);
    }
    for (uint32_t c = 0; c < COUNTERS_MAX; c++)
        names[c] = (struct fleet_name){.scope = c + 1, .day = TODAY, .class = 1};
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t n = 0; n < 40 * COUNTERS_MAX; n++)
            memory_store_count(&world->peers[(round + n) % PEERS].store, &names[n % COUNTERS_MAX],
                               next_hash(&world->users));
        pass(world, 1);
        for (uint32_t i = 0; i < PEERS; i++)
            assert_true(status_of(world, i).view_bytes <= room);
    }
    pass(world, 3);
    for (uint32_t c = 0; c < COUNTERS_MAX; c++) {
        struct sketch_count count;
        const struct sketch *first = memory_store_find(&world->peers[0].store, &names[c]);
        sketch_count(first, &count);
        assert_true(count.value > 700 && count.value < 900); /* of 800 */
        for (uint32_t i = 1; i < PEERS; i++)
            assert_true(memory_store_is(&world->peers[i].store, &names[c], first));
    }
    assert_true(status_of(world, 0).views_dropped > 0);
    assert_true(status_of(world, 0).views < COUNTERS_MAX);
    world_free(world);
}

static void an_idle_view_goes_and_what_jumps_after_is_still_set_aside(void **state)
{
    (void)state;
    struct world *world = world_new(P_LOW);
    struct sketch *many = crowd(40000);
    struct text body;
    users_come(world, 0, 50);
    pass(world, 2);
    assert_int_equal(status_of(world, 1).views, 1);
    pass(world, 100); /* over ten minutes */
    assert_int_equal(status_of(world, 1).views, 0);
    text_init(&body);
    sketch_write(many, &body);
    send(world, FLEET_SNAPSHOT, &body);
    pass(world, 300);
    assert_agree(world, 50);
    assert_int_equal(fleet_suspects(world->peers[1].fleet), 1);
    text_destroy(&body);
    sketch_free(many);
    world_free(world);
}

/* -- Full size -- */

static void too_much_for_a_delta_is_taken_from_the_snapshot(void **state)
{
    (void)state;
    struct world *world = world_new(SKETCH_P);
    pass(world, 1);
    users_come(world, 0, 20000);
    users_come(world, 1, 1000);
    pass(world, 3);
    assert_agree(world, 21000);
    users_come(world, 2, 60000); /* turns to registers, by tens of thousands of them */
    pass(world, 3);
    assert_agree(world, users_at(world, 2));
    assert_in_range(users_at(world, 0), 80000, 82000);
    for (uint32_t i = 0; i < world->shared.stream_count; i++)
        for (uint32_t j = 0; j < world->shared.streams[i].count; j++)
            assert_in_range(world->shared.streams[i].entries[j].count, FLEET_HEADER_BYTES,
                            FLEET_HEADER_BYTES + 8 + 8 * FLEET_DELTA_RECORDS_MAX);
    users_come(world, 1, 10); /* then again by deltas */
    uint64_t updates = world->peers[0].line.updates;
    pass(world, 2);
    assert_agree(world, users_at(world, 1));
    assert_int_equal(world->peers[0].line.updates, updates);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_are_the_union_and_never_the_sum),
        cmocka_unit_test(what_others_told_is_not_told_again),
        cmocka_unit_test(a_new_replica_takes_snapshots_then_the_stream),
        cmocka_unit_test(an_emptied_store_is_filled_by_any_one),
        cmocka_unit_test(a_replica_cut_off_goes_on_counting_and_says_how_old_its_view_is),
        cmocka_unit_test(failures_are_tried_again_more_and_more_seldom),
        cmocka_unit_test(another_key_is_refused_on_both_sides),
        cmocka_unit_test(a_damaged_snapshot_is_written_over),
        cmocka_unit_test(users_of_a_closed_day_arrive_by_its_snapshot),
        cmocka_unit_test(a_store_that_cannot_take_users_gets_them_again),
        cmocka_unit_test(one_sender_of_nonsense_is_set_aside_and_the_others_are_not),
        cmocka_unit_test(a_poisoned_snapshot_is_left_and_told_once),
        cmocka_unit_test(views_keep_within_their_room_and_nothing_is_lost),
        cmocka_unit_test(an_idle_view_goes_and_what_jumps_after_is_still_set_aside),
        cmocka_unit_test(too_much_for_a_delta_is_taken_from_the_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
