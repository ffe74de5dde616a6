/* SPDX-License-Identifier: Apache-2.0 */
/* Users who made no request: where they count, that they are the same people, and that no thread
 * is kept long by them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy_feed.h"
#include "policy/policy_groups.h"
#include "policy/policy_inner.h"
#include "policy/users/calendar.h"
#include "policy/users/identity.h"
#include "policy/users/usage_inner.h"
#include "tests/unit/policy/few_licenses.h"
#include "tests/unit/policy/scratch.h"

#define TODAY  20782u /* 2026-11-25 */
#define YEAR   2026u
#define NOW_US ((int64_t)TODAY * CALENDAR_DAY_US + CALENDAR_DAY_US / 2)

struct fixture {
    char folder[SCRATCH_PATH_BYTES];
    struct catalogue *catalogue;
    struct policy *policy;
    struct policy_model *model; /* q, of product chat */
};

static void open_policy(struct fixture *fixture)
{
    struct error err = {0};
    const struct policy_config config = {.state_folder = fixture->folder,
                                         .rules = {.catalogue = fixture->catalogue}};
    const struct policy_model_facts facts = {
        .id = "q", .path = fixture->folder, .chosen_license = "free-1", .product = "chat"};
    fixture->policy = policy_new(&config, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(policy_model_add(fixture->policy, &facts, 0, &fixture->model, &err), 0);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    scratch_make(fixture->folder);
    fixture->catalogue = few_licenses();
    open_policy(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    policy_free(fixture->policy);
    catalogue_free(fixture->catalogue);
    scratch_remove(fixture->folder);
    free(fixture);
    return 0;
}

static struct policy_feed_request request_of(const char *product, const char *const *users,
                                             uint32_t count)
{
    return (struct policy_feed_request){.product = product,
                                        .model = "",
                                        .day = TODAY,
                                        .class = IDENTITY_ASSERTED,
                                        .form = POLICY_FEED_USERS,
                                        .tenant = "",
                                        .issuer = "",
                                        .users = users,
                                        .count = count};
}

/* All of it; how many pieces it took. */
static uint32_t feed(struct fixture *fixture, const struct policy_feed_request *request)
{
    struct policy_feed *made = NULL;
    struct error err = {0};
    const char *member = NULL;
    uint64_t sequence = 0;
    uint32_t pieces = 0;
    (void)policy_feed_new(fixture->policy, request, NOW_US, &made, &member, &err);
    assert_string_equal(err.text, "");
    for (int more = 1; more == 1; pieces++) {
        more = policy_feed_step(made, &sequence, &err);
        assert_true(more >= 0);
        assert_int_equal(sequence, journal_appended(fixture->policy->usage->journal));
    }
    policy_feed_free(made);
    return pieces;
}

static void refuse(struct fixture *fixture, const struct policy_feed_request *request, int code,
                   const char *member)
{
    struct policy_feed *made = NULL;
    struct error err = {0};
    const char *at = NULL;
    assert_int_equal(policy_feed_new(fixture->policy, request, NOW_US, &made, &at, &err), code);
    assert_string_equal(at, member);
    assert_null(made);
}

struct wanted {
    const char *kind, *name;
    double users;
    uint64_t requests;
    bool found;
};

static void on_group(void *argument, const struct policy_group *group)
{
    struct wanted *wanted = argument;
    assert_true(group->known);
    if (strcmp(group->kind, wanted->kind) != 0 || strcmp(group->name, wanted->name) != 0)
        return;
    assert_false(wanted->found);
    wanted->found = true;
    for (uint32_t w = 0; w < group->window_count; w++)
        if (group->windows[w].window == USAGE_WINDOW_MONTH) {
            wanted->users = group->windows[w].best.users;
            for (uint32_t c = 0; c < IDENTITY_CLASS_COUNT; c++)
                wanted->requests += group->windows[w].requests[c];
        }
}

/* -1 for a group that there is not. */
static double users_of(struct fixture *fixture, const char *kind, const char *name)
{
    struct wanted wanted = {.kind = kind, .name = name, .users = -1};
    (void)policy_groups_each(fixture->policy, calendar_month(TODAY), NOW_US, on_group, &wanted);
    assert_int_equal(wanted.requests, 0);
    return wanted.users;
}

static uint64_t hash_of(struct fixture *fixture, const char *id)
{
    const struct identity_user user = {.tenant = "", .issuer = "", .id = id};
    uint64_t hash;
    assert_true(identity_user_hash(
        &user, year_keys_peek(usage_year_keys(fixture->policy->usage), YEAR)->users, &hash));
    return hash;
}

static void logins_are_of_their_product_and_of_no_model(void **state)
{
    struct fixture *fixture = *state;
    const char *const users[] = {"alice", " bob ", "bob", "anonymous", ""};
    struct policy_feed_request request = request_of("chat", users, 5);
    assert_int_equal(feed(fixture, &request), 1);
    request.product = "shop";
    request.count = 1;
    (void)feed(fixture, &request);
    assert_true(users_of(fixture, "product", "chat") == 2);
    assert_true(users_of(fixture, "product", "shop") == 1);
    assert_true(users_of(fixture, "organisation", "") == 2);
    assert_true(users_of(fixture, "model", "q") == 0);
    assert_true(users_of(fixture, "model", "") == -1);
    request.product = "";
    request.model = "q"; /* by another way than through us */
    (void)feed(fixture, &request);
    assert_true(users_of(fixture, "model", "q") == 1);
    assert_true(users_of(fixture, "family", "test") == 1);
    policy_free(fixture->policy); /* and all of it is there when weir comes back */
    open_policy(fixture);
    assert_true(users_of(fixture, "product", "shop") == 1);
    assert_true(users_of(fixture, "organisation", "") == 2);
    assert_true(users_of(fixture, "model", "") == -1);
}

static void a_person_is_one_by_request_id_hash_and_sketch(void **state)
{
    struct fixture *fixture = *state;
    struct policy_decision decision;
    const struct policy_claims claims = {.user = "alice"};
    policy_admit(fixture->policy, fixture->model, &claims, NOW_US, &decision);
    const char *const users[] = {"alice"};
    struct policy_feed_request request = request_of("chat", users, 1);
    (void)feed(fixture, &request);
    uint64_t hash = hash_of(fixture, "alice");
    request.form = POLICY_FEED_HASHES;
    request.hashes = &hash;
    request.key_id = policy_key_id(fixture->policy, YEAR);
    request.class = IDENTITY_VERIFIED;
    (void)feed(fixture, &request);
    struct sketch *sketch = sketch_new(20);
    struct text bytes;
    text_init(&bytes);
    assert_int_equal(sketch_add(sketch, hash, NULL, NULL), 0);
    sketch_write(sketch, &bytes);
    request.form = POLICY_FEED_SKETCH;
    request.sketch = bytes.bytes;
    request.sketch_bytes = bytes.count;
    request.count = 0;
    (void)feed(fixture, &request);
    sketch_free(sketch);
    text_destroy(&bytes);
    struct wanted wanted = {.kind = "organisation", .name = "", .users = -1};
    (void)policy_groups_each(fixture->policy, calendar_month(TODAY), NOW_US, on_group, &wanted);
    assert_true(wanted.users == 1);
    assert_int_equal(wanted.requests, 1); /* a login is none */
}

/* Spread as a keyed hash is: SplitMix64. */
static uint64_t mix(uint64_t number)
{
    uint64_t z = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* A sketch of many, of any p, as users from 0 on. */
static struct text sketch_of(uint32_t p, uint32_t users)
{
    struct sketch *sketch = sketch_new(p);
    struct text bytes;
    text_init(&bytes);
    for (uint64_t i = 0; i < users; i++)
        assert_int_equal(sketch_add(sketch, mix(i), NULL, NULL), 0);
    sketch_write(sketch, &bytes);
    sketch_free(sketch);
    assert_false(bytes.failed);
    return bytes;
}

static void registers_go_in_by_pieces_and_again_change_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct policy_feed_request request = request_of("chat", NULL, 0);
    struct text bytes = sketch_of(SKETCH_P, 300000), finer = sketch_of(19, 300000);
    request.form = POLICY_FEED_SKETCH;
    request.sketch = bytes.bytes;
    request.sketch_bytes = bytes.count;
    request.key_id = policy_key_id(fixture->policy, YEAR);
    uint32_t pieces = feed(fixture, &request);
    assert_true(pieces > 30 && pieces <= (1u << SKETCH_P) / USAGE_PUT_MAX);
    double users = users_of(fixture, "product", "chat");
    assert_true(users > 300000 * 0.99 && users < 300000 * 1.01);
    uint64_t appended = journal_appended(fixture->policy->usage->journal);
    (void)feed(fixture, &request);
    request.sketch = finer.bytes; /* cut down to ours it is the same */
    request.sketch_bytes = finer.count;
    (void)feed(fixture, &request);
    assert_int_equal(journal_appended(fixture->policy->usage->journal), appended);
    assert_true(users_of(fixture, "product", "chat") == users);
    text_destroy(&bytes);
    text_destroy(&finer);
}

static void what_cannot_be_joined_is_refused_whole_and_makes_no_product(void **state)
{
    struct fixture *fixture = *state;
    const char *const users[] = {"alice"};
    const uint64_t hash = 5;
    struct policy_feed_request request = request_of("", users, 1);
    refuse(fixture, &request, ERROR_INVALID, "product");
    request.model = "ghost";
    refuse(fixture, &request, ERROR_NOT_FOUND, "model");
    request = request_of("new", users, 1);
    request.day = TODAY + 2;
    refuse(fixture, &request, ERROR_INVALID, "day");
    request.day = TODAY - USAGE_KEEP_DAYS;
    refuse(fixture, &request, ERROR_UNSUPPORTED, "day");
    request.day = TODAY;
    request.form = POLICY_FEED_HASHES;
    request.hashes = &hash;
    request.key_id = policy_key_id(fixture->policy, YEAR) ^ 1;
    refuse(fixture, &request, ERROR_REFUSED, "key_id");
    request.form = POLICY_FEED_SKETCH;
    request.key_id ^= 1;
    struct text coarse = sketch_of(12, 30000);
    request.sketch = coarse.bytes;
    request.sketch_bytes = coarse.count;
    refuse(fixture, &request, ERROR_UNSUPPORTED, "sketch");
    request.sketch_bytes--;
    refuse(fixture, &request, ERROR_INVALID, "sketch");
    text_destroy(&coarse);
    assert_true(users_of(fixture, "product", "new") == -1);
}

static void a_sketch_of_many_must_say_how_many(void **state)
{
    struct fixture *fixture = *state;
    struct policy_feed_request request = request_of("chat", NULL, 0);
    struct text bytes = sketch_of(SKETCH_P, 30000);
    request.form = POLICY_FEED_SKETCH;
    request.sketch = bytes.bytes;
    request.sketch_bytes = bytes.count;
    request.key_id = policy_key_id(fixture->policy, YEAR);
    request.sketch_users = 40000;
    refuse(fixture, &request, ERROR_INVALID, "sketch");
    memset(bytes.bytes + 16, 4 * 24 + 3, bytes.count - 16);
    request.sketch_users = 0;
    refuse(fixture, &request, ERROR_INVALID, "sketch");
    memset(bytes.bytes + 16, 4 * 50 + 3, bytes.count - 16);
    request.sketch_users = 1e15;
    refuse(fixture, &request, ERROR_INVALID, "sketch");
    text_destroy(&bytes);
    assert_true(users_of(fixture, "organisation", "") == 0);
}

static void a_day_that_was_final_is_amended(void **state)
{
    struct fixture *fixture = *state;
    const char *const users[] = {"alice"};
    struct policy_feed_request request = request_of("chat", users, 1);
    usage_tick(fixture->policy->usage, NOW_US);
    request.day = TODAY - 10;
    (void)feed(fixture, &request);
    (void)feed(fixture, &request);
    struct usage_figures figures;
    const struct usage_question question = {.group = fixture->policy->all,
                                            .window = USAGE_WINDOW_MONTH,
                                            .day = TODAY,
                                            .now_unix_us = NOW_US};
    assert_int_equal(usage_ask(fixture->policy->usage, &question, &figures, NULL), 0);
    assert_true(figures.best.users == 1);
    assert_int_equal(figures.amended, 1);
}

/* Whoever is inside keeps the day from being closed, which would tell of the change as well. */
static void a_day_on_its_way_out_that_is_added_to_is_seen(void **state)
{
    struct fixture *fixture = *state;
    const char *const users[] = {"alice", "bob"};
    struct policy_feed_request request = request_of("chat", users, 1);
    uint32_t guard = usage_enter(fixture->policy->usage);
    request.day = TODAY - 2;
    for (uint32_t i = 1; i <= 2; i++) {
        request.count = i;
        (void)feed(fixture, &request);
        usage_tick(fixture->policy->usage, NOW_US + i);
        assert_true(users_of(fixture, "product", "chat") == i);
    }
    usage_leave(fixture->policy->usage, guard);
}

static void there_is_an_end_of_products(void **state)
{
    struct fixture *fixture = *state;
    const char *const users[] = {"alice"};
    char product[16];
    struct policy_feed_request request = request_of(product, users, 1);
    for (uint32_t i = 0; i < USAGE_LOGINS_MAX; i++) {
        struct usage_scope *scope;
        (void)snprintf(product, sizeof product, "p%u", i);
        const struct usage_scope_name name = {.product = product, .model = "", .family = ""};
        assert_int_equal(usage_scope_add(fixture->policy->usage, &name, &scope, NULL), 0);
    }
    (void)feed(fixture, &request); /* one that there is */
    (void)snprintf(product, sizeof product, "one more");
    refuse(fixture, &request, ERROR_BUSY, "product");
}

struct crowd {
    struct fixture *fixture;
    _Atomic bool *over;
};

static void *tick_and_ask(void *argument)
{
    struct crowd *crowd = argument;
    int64_t now_us = NOW_US;
    while (!atomic_load(crowd->over)) {
        (void)usage_commit(crowd->fixture->policy->usage, NULL);
        usage_tick(crowd->fixture->policy->usage, now_us += 1000000);
        (void)users_of(crowd->fixture, "organisation", "");
    }
    return NULL;
}

static void products_come_while_others_tick_and_ask(void **state)
{
    struct fixture *fixture = *state;
    _Atomic bool over = false;
    struct crowd crowd = {.fixture = fixture, .over = &over};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, tick_and_ask, &crowd), 0);
    for (uint32_t i = 0; i < 40; i++) {
        char product[16], user[16];
        const char *const users[] = {user, "everybody"};
        (void)snprintf(product, sizeof product, "p%u", i % 20);
        (void)snprintf(user, sizeof user, "u%u", i);
        struct policy_feed_request request = request_of(product, users, 2);
        struct policy_feed *made = NULL;
        const char *member;
        uint64_t sequence;
        request.day = TODAY - i % 5;
        assert_int_equal(policy_feed_new(fixture->policy, &request, NOW_US, &made, &member, NULL),
                         0);
        assert_int_equal(policy_feed_step(made, &sequence, NULL), 0);
        policy_feed_free(made);
    }
    atomic_store(&over, true);
    (void)pthread_join(thread, NULL);
    assert_true(users_of(fixture, "organisation", "") == 41);
    assert_true(users_of(fixture, "product", "p7") == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(logins_are_of_their_product_and_of_no_model),
        TEST(a_person_is_one_by_request_id_hash_and_sketch),
        TEST(registers_go_in_by_pieces_and_again_change_nothing),
        TEST(what_cannot_be_joined_is_refused_whole_and_makes_no_product),
        TEST(a_sketch_of_many_must_say_how_many),
        TEST(a_day_that_was_final_is_amended),
        TEST(a_day_on_its_way_out_that_is_added_to_is_seen),
        TEST(there_is_an_end_of_products),
        TEST(products_come_while_others_tick_and_ask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
