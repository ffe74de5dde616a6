/* SPDX-License-Identifier: Apache-2.0 */
/* The fleet's thread, and usage's counters as its store, against a real server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <hiredis.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "policy/fleet/fleet_redis.h"
#include "policy/fleet/fleet_registry.h"
#include "policy/policy_fleet.h"
#include "policy/policy_fleet_inner.h"
#include "policy/policy_inner.h"
#include "policy/users/calendar.h"
#include "policy/users/usage_fleet.h"
#include "policy/users/usage_inner.h"
#include "redis_server.h"
#include "world.h"

#define SYNC_MS   50u
#define PATIENT_S 60

struct replica {
    char folder[96];
    struct policy *policy;
    struct usage_scope *scope;
};
struct fixture {
    struct redis_server server;
    char key_file[96];
    struct replica replicas[3];
};

static void pause_a_little(void)
{
    (void)usleep(2000); /* between two looks at a condition */
}

static struct policy_config config_of(const struct fixture *fixture)
{
    return (struct policy_config){.key_file = fixture->key_file,
                                  .fleet = {.redis = fixture->server.socket, .sync_ms = SYNC_MS}};
}

static void replica_begin(struct fixture *fixture, uint32_t index, const char *product,
                          const char *model)
{
    struct replica *replica = &fixture->replicas[index];
    const struct policy_config config = config_of(fixture);
    const struct usage_scope_name name = {.product = product, .model = model, .family = "weirs"};
    struct policy *policy = calloc(1, sizeof *policy);
    assert_non_null(policy);
    policy->folder = replica->folder;
    assert_int_equal(secret_open(replica->folder, fixture->key_file, &policy->secret, NULL), 0);
    const struct usage_config usage = {
        .folder = replica->folder, .secret = &policy->secret, .trust_asserted = true};
    policy->usage = usage_new(&usage, NULL);
    assert_non_null(policy->usage);
    assert_int_equal(usage_scope_add(policy->usage, &name, &replica->scope, NULL), 0);
    usage_tick(policy->usage, clock_unix_us());
    assert_int_equal(policy_fleet_open(policy, &config, &policy->fleet, NULL), 0);
    assert_int_equal(policy_fleet_start(policy->fleet, NULL), 0);
    replica->policy = policy;
}

static void replica_end(struct replica *replica)
{
    policy_fleet_close(replica->policy->fleet);
    usage_free(replica->policy->usage);
    free(replica->policy);
    replica->policy = NULL;
}

static void count(struct replica *replica, uint64_t first, uint64_t users)
{
    for (uint64_t user = first; user < first + users; user++) {
        uint64_t hash = (user + 1) * UINT64_C(0x9e3779b97f4a7c15);
        const struct usage_sight sight = {.class = IDENTITY_ASSERTED, .hashes = {hash, hash}};
        (void)usage_count(replica->scope, calendar_day(clock_unix_us()), &sight);
    }
}

static double users_of(struct replica *replica, enum usage_group_kind kind, const char *name)
{
    struct usage_figures figures;
    int64_t now_us = clock_unix_us();
    const struct usage_question question = {
        .group = usage_group_find(replica->policy->usage, kind, name),
        .window = USAGE_WINDOW_ROLLING_31,
        .day = calendar_day(now_us),
        .now_unix_us = now_us};
    if (question.group == NULL)
        return 0;
    assert_int_equal(usage_ask(replica->policy->usage, &question, &figures, NULL), 0);
    return figures.best.users;
}

static void wait_users(struct replica *replica, enum usage_group_kind kind, const char *name,
                       double users)
{
    uint64_t end_us = clock_monotonic_us() + PATIENT_S * UINT64_C(1000000);
    while (users_of(replica, kind, name) != users) {
        if (clock_monotonic_us() > end_us)
            fail_msg("%s: %.0f users, not %.0f", name, users_of(replica, kind, name), users);
        pause_a_little();
    }
}

static struct policy_fleet_status status_of(const struct replica *replica)
{
    struct policy_fleet_status status;
    policy_fleet_status(replica->policy, clock_unix_us(), &status);
    return status;
}

static void wait_replicas(const struct replica *replica, uint32_t replicas)
{
    uint64_t end_us = clock_monotonic_us() + PATIENT_S * UINT64_C(1000000);
    while (status_of(replica).replicas != replicas || !status_of(replica).complete) {
        if (clock_monotonic_us() > end_us)
            fail_msg("%u replicas, not %u", status_of(replica).replicas, replicas);
        pause_a_little();
    }
}

/* -- */

static void a_model_served_elsewhere_counts_in_family_and_organisation(void **state)
{
    struct fixture *fixture = *state;
    struct replica *replicas = fixture->replicas;
    replica_begin(fixture, 0, "chat", "small");
    count(&replicas[0], 0, 1000);
    replica_begin(fixture, 1, "search", "large");
    count(&replicas[1], 500, 1000);
    for (uint32_t i = 0; i < 2; i++) {
        wait_users(&replicas[i], USAGE_GROUP_ORGANISATION, "", 1500);
        wait_users(&replicas[i], USAGE_GROUP_FAMILY, "weirs", 1500);
        wait_users(&replicas[i], USAGE_GROUP_MODEL, "small", 1000);
        wait_users(&replicas[i], USAGE_GROUP_PRODUCT, "search", 1000);
        wait_replicas(&replicas[i], 2);
    }
    count(&replicas[1], 1500, 200); /* now by deltas */
    wait_users(&replicas[0], USAGE_GROUP_ORGANISATION, "", 1700);
    replica_end(&replicas[1]);
    wait_replicas(&replicas[0], 1); /* who leaves as one should is not missed */
    replica_end(&replicas[0]);
    replica_begin(fixture, 0, "chat", "small"); /* it has kept what it was told */
    assert_true(users_of(&replicas[0], USAGE_GROUP_ORGANISATION, "") == 1700);
    replica_end(&replicas[0]);
}

struct ticker { /* stands for the policy thread */
    struct usage *usage;
    pthread_t thread;
    _Atomic bool ending;
};

static void *tick_and_commit(void *argument)
{
    struct ticker *ticker = argument;
    while (!ticker->ending) {
        usage_tick(ticker->usage, clock_unix_us());
        (void)usage_commit(ticker->usage, NULL);
        pause_a_little();
    }
    return NULL;
}

static void two_count_and_commit_while_each_takes_up_what_the_other_serves(void **state)
{
    struct fixture *fixture = *state;
    struct replica *replicas = fixture->replicas;
    struct ticker tickers[2] = {0};
    replica_begin(fixture, 0, "chat", "small");
    replica_begin(fixture, 1, "search", "large");
    for (uint32_t i = 0; i < 2; i++) {
        tickers[i].usage = replicas[i].policy->usage;
        assert_int_equal(pthread_create(&tickers[i].thread, NULL, tick_and_commit, &tickers[i]), 0);
    }
    for (uint64_t round = 0; round < 40; round++) {
        count(&replicas[0], round * 100, 100);
        count(&replicas[1], round * 100 + 50, 100);
        (void)users_of(&replicas[round % 2], USAGE_GROUP_ORGANISATION, "");
        pause_a_little();
    }
    for (uint32_t i = 0; i < 2; i++)
        wait_users(&replicas[i], USAGE_GROUP_ORGANISATION, "", 4050);
    for (uint32_t i = 0; i < 2; i++) {
        tickers[i].ending = true;
        assert_int_equal(pthread_join(tickers[i].thread, NULL), 0);
        replica_end(&replicas[i]);
    }
}

static void all_are_heard_past_a_moment_only_when_all_have_told(void **state)
{
    struct fixture *fixture = *state;
    struct replica *replicas = fixture->replicas;
    int64_t moment_us = clock_unix_us();
    replica_begin(fixture, 0, "", "small");
    replica_begin(fixture, 1, "", "small");
    assert_false(policy_fleet_heard_past(replicas[0].policy, clock_unix_us()));
    for (uint32_t i = 0; i < 2; i++)
        while (!policy_fleet_heard_past(replicas[i].policy, moment_us))
            pause_a_little();
    assert_false(policy_fleet_heard_past(replicas[0].policy, clock_unix_us() + 1000000));
    replica_end(&replicas[1]);
    replica_end(&replicas[0]);
}

/* More people than there are, sealed with the fleet's key. */
static int write_crowd(void *argument, const void *bytes, size_t count_before, struct text *out,
                       struct error *err)
{
    const struct replica *replica = argument;
    const struct secret *secret = &replica->policy->secret;
    uint8_t key[FLEET_KEY_BYTES];
    char registers[16 + (1u << SKETCH_P)] = {'W', 'S', 'K', '1', 2, SKETCH_P};
    (void)bytes, (void)count_before;
    memset(registers + 16, 4 * 45, sizeof registers - 16);
    assert_int_equal(secret_purpose(secret, "weir fleet 1", key, err), 0);
    struct fleet_key *sealing = fleet_key_new(key, secret->key_id, err);
    const struct fleet_blob blob = {.kind = FLEET_SNAPSHOT,
                                    .name = {.scope = replica->scope->id,
                                             .day = calendar_day(clock_unix_us()),
                                             .class = USAGE_ASSERTED},
                                    .body = registers,
                                    .body_count = sizeof registers};
    assert_int_equal(fleet_blob_seal(sealing, &blob, out, err), 0);
    fleet_key_free(sealing);
    return 1;
}

static void what_is_set_aside_is_told_and_dropped_on_order(void **state)
{
    struct fixture *fixture = *state;
    struct replica *replica = &fixture->replicas[0];
    struct policy_suspect suspect;
    struct text notes;
    const struct fleet_redis_config config = {.address = fixture->server.socket, .keep_days = 40};
    struct fleet_redis *redis = fleet_redis_new(&config, NULL);
    struct fleet_transport transport = fleet_redis_transport(redis);
    replica_begin(fixture, 0, "", "small"); /* not yet counted: nothing to overwrite */
    const struct fleet_name name = {
        .scope = replica->scope->id, .day = calendar_day(clock_unix_us()), .class = USAGE_ASSERTED};
    assert_int_equal(transport.update(redis, &name, write_crowd, replica, NULL), 0);
    count(replica, 0, 10); /* a counter that moves is compared */
    while (policy_fleet_suspects(replica->policy, &suspect, 1) == 0)
        pause_a_little();
    assert_string_equal(suspect.model, "small");
    assert_true(suspect.users_after > 1e10);
    assert_true(users_of(replica, USAGE_GROUP_MODEL, "small") == 10);
    assert_int_equal(policy_fleet_settle(replica->policy, suspect.number + 7, true, NULL),
                     ERROR_NOT_FOUND);
    assert_int_equal(policy_fleet_settle(replica->policy, suspect.number, false, NULL), 0);
    while (status_of(replica).suspects != 0)
        pause_a_little();
    assert_true(users_of(replica, USAGE_GROUP_MODEL, "small") == 10);
    text_init(&notes);
    usage_take_notes(replica->policy->usage, &notes);
    assert_non_null(strstr(text_string(&notes), "is set aside"));
    assert_non_null(strstr(text_string(&notes), "was dropped"));
    text_destroy(&notes);
    replica_end(replica);
    fleet_redis_free(redis);
}

static void the_end_does_not_wait_for_a_store_that_hangs(void **state)
{
    struct fixture *fixture = *state;
    replica_begin(fixture, 0, "", "small");
    wait_replicas(&fixture->replicas[0], 1);
    assert_int_equal(kill(fixture->server.pid, SIGSTOP), 0);
    count(&fixture->replicas[0], 0, 10);
    uint64_t began_us = clock_monotonic_us();
    replica_end(&fixture->replicas[0]);
    uint64_t took_us = clock_monotonic_us() - began_us;
    assert_int_equal(kill(fixture->server.pid, SIGCONT), 0);
    assert_true(took_us < 5000000); /* a second and a silence; the rest is this machine's */
}

struct turns {
    _Atomic uint32_t count, last;
};

static uint32_t on_turn(void *argument, struct fleet_redis *redis, int64_t now_unix_us, bool last)
{
    struct turns *turns = argument;
    assert_non_null(redis);
    assert_true(now_unix_us > 0 && turns->last == 0);
    turns->last += last ? 1 : 0;
    turns->count++;
    return 5;
}

static void somebody_else_gets_turns_and_is_told_of_the_last(void **state)
{
    struct fixture *fixture = *state;
    struct turns turns = {0};
    replica_begin(fixture, 0, "", "small");
    struct policy_fleet *fleet = fixture->replicas[0].policy->fleet;
    policy_fleet_stop(fleet);
    policy_fleet_set_turn(fleet, on_turn, &turns);
    assert_true(policy_fleet_replica(fleet) != 0);
    policy_fleet_close(fleet);
    fixture->replicas[0].policy->fleet = NULL;
    const struct policy_config config = config_of(fixture);
    struct policy *policy = fixture->replicas[0].policy;
    assert_int_equal(policy_fleet_open(policy, &config, &policy->fleet, NULL), 0);
    policy_fleet_set_turn(policy->fleet, on_turn, &turns);
    assert_int_equal(policy_fleet_start(policy->fleet, NULL), 0);
    while (turns.count < 3)
        pause_a_little();
    replica_end(&fixture->replicas[0]);
    assert_int_equal(turns.last, 1);
}

static void order(const struct fixture *fixture, const char *format, const char *argument)
{
    redisContext *line = redisConnectUnix(fixture->server.socket);
    assert_non_null(line);
    redisReply *reply = redisCommand(line, format, argument);
    assert_true(reply != NULL && reply->type != REDIS_REPLY_ERROR);
    freeReplyObject(reply);
    redisFree(line);
}

static void entries_that_are_not_ours_are_refused_and_told(void **state)
{
    struct fixture *fixture = *state;
    struct replica *replica = &fixture->replicas[0];
    char key[FLEET_HEADER_BYTES * 2];
    (void)snprintf(key, sizeof key, "WFB1%060d", 0);
    order(fixture, "HSET weir:replicas 0000000000000007 %s", key);
    order(fixture, "HSET weir:scopes 0000000000000007 %s", "");
    replica_begin(fixture, 0, "", "small");
    wait_replicas(replica, 1);
    while (status_of(replica).refused < 3) /* again at each reading */
        pause_a_little();
    struct text notes;
    text_init(&notes);
    usage_take_notes(replica->policy->usage, &notes);
    assert_non_null(strstr(text_string(&notes), "fleet: refused: "));
    text_destroy(&notes);
    order(fixture, "DEL %s", "weir:replicas");
    order(fixture, "SET %s 1", "weir:replicas"); /* no hash at all: an error of the line */
    text_init(&notes);
    while (strstr(text_string(&notes), "WRONGTYPE") == NULL) {
        usage_take_notes(replica->policy->usage, &notes);
        pause_a_little();
    }
    text_destroy(&notes);
    order(fixture, "DEL %s", "weir:replicas");
    while (status_of(replica).stale_seconds > 0 || !status_of(replica).complete)
        pause_a_little();
    replica_end(replica);
}

static void wait_note(const struct replica *replica, struct text *notes, const char *words)
{
    uint64_t end_us = clock_monotonic_us() + PATIENT_S * UINT64_C(1000000);
    while (strstr(text_string(notes), words) == NULL) {
        usage_take_notes(replica->policy->usage, notes);
        if (clock_monotonic_us() > end_us)
            fail_msg("'%s' is not in: %s", words, text_string(notes));
        pause_a_little();
    }
}

static void who_is_silent_is_missed_by_name_and_after_a_week_no_more(void **state)
{
    struct fixture *fixture = *state;
    const struct replica *self = &fixture->replicas[0];
    const struct fleet_redis_config line = {.address = fixture->server.socket, .keep_days = 40};
    int64_t now_us = clock_unix_us();
    struct fleet_replica other = {.id = 77, .process = 1, .host = "rack-7"};
    uint8_t key[FLEET_KEY_BYTES];
    struct text notes;
    text_init(&notes);
    replica_begin(fixture, 0, "", "small");
    wait_replicas(self, 1);
    assert_int_equal(secret_purpose(&self->policy->secret, "weir fleet 1", key, NULL), 0);
    struct fleet_redis *redis = fleet_redis_new(&line, NULL);
    const struct fleet_registry_config config = {
        .key = key, .key_id = self->policy->secret.key_id, .replica = 1, .redis = redis};
    struct fleet_registry *registry = fleet_registry_new(&config, NULL);
    assert_non_null(registry);

    other.seen_unix_us = other.counted_unix_us = now_us - 120 * SECOND_US;
    assert_int_equal(fleet_registry_write(registry, &other, NULL), 0);
    wait_note(self, &notes, "(rack-7) is missing");
    while (status_of(self).replicas != 2)
        pause_a_little();
    assert_int_equal(status_of(self).replicas_current, 1);
    assert_false(status_of(self).complete);

    other.seen_unix_us = clock_unix_us();
    assert_int_equal(fleet_registry_write(registry, &other, NULL), 0);
    wait_note(self, &notes, "(rack-7) is heard again");

    other.seen_unix_us = now_us - 8 * DAY_SECONDS * SECOND_US;
    assert_int_equal(fleet_registry_write(registry, &other, NULL), 0);
    wait_note(self, &notes, "(rack-7) was not heard for a week");
    wait_replicas(self, 1);
    text_destroy(&notes);
    replica_end(&fixture->replicas[0]);
    fleet_registry_free(registry);
    fleet_redis_free(redis);
}

static void a_key_of_this_folder_alone_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct policy policy = {.folder = fixture->replicas[0].folder};
    struct policy_fleet *fleet = NULL;
    struct policy_config config = config_of(fixture);
    config.key_file = NULL;
    assert_int_equal(policy_fleet_open(&policy, &config, &fleet, &err), ERROR_REFUSED);
    assert_non_null(strstr(err.text, "users.key_file"));
    assert_null(fleet);
    config.fleet.redis = "";
    assert_int_equal(policy_fleet_open(&policy, &config, &fleet, &err), 0);
    assert_null(fleet);
    assert_true(policy_fleet_heard_past(&policy, INT64_MAX - 1));
    assert_int_equal(policy_fleet_replicas(NULL), 1);
}

/* -- */

static int before(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    redis_server_folder(&fixture->server);
    redis_server_begin(&fixture->server, "");
    (void)snprintf(fixture->key_file, sizeof fixture->key_file, "%s/key", fixture->server.folder);
    int fd = open(fixture->key_file, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0 && write(fd, "0123456789abcdef0123456789abcdef", 32) == 32);
    close(fd);
    for (uint32_t i = 0; i < 3; i++) {
        struct replica *replica = &fixture->replicas[i];
        (void)snprintf(replica->folder, sizeof replica->folder, "%s/replica-XXXXXX",
                       fixture->server.folder);
        assert_non_null(mkdtemp(replica->folder));
    }
    *state = fixture;
    return 0;
}

static int after(void **state)
{
    struct fixture *fixture = *state;
    char command[128];
    redis_server_kill(&fixture->server);
    (void)snprintf(command, sizeof command, "rm -r %s", fixture->server.folder);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_model_served_elsewhere_counts_in_family_and_organisation,
                                        before, after),
        cmocka_unit_test_setup_teardown(
            two_count_and_commit_while_each_takes_up_what_the_other_serves, before, after),
        cmocka_unit_test_setup_teardown(all_are_heard_past_a_moment_only_when_all_have_told, before,
                                        after),
        cmocka_unit_test_setup_teardown(what_is_set_aside_is_told_and_dropped_on_order, before,
                                        after),
        cmocka_unit_test_setup_teardown(the_end_does_not_wait_for_a_store_that_hangs, before,
                                        after),
        cmocka_unit_test_setup_teardown(somebody_else_gets_turns_and_is_told_of_the_last, before,
                                        after),
        cmocka_unit_test_setup_teardown(entries_that_are_not_ours_are_refused_and_told, before,
                                        after),
        cmocka_unit_test_setup_teardown(who_is_silent_is_missed_by_name_and_after_a_week_no_more,
                                        before, after),
        cmocka_unit_test_setup_teardown(a_key_of_this_folder_alone_is_refused, before, after),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* as the daemon does */
    if (redis_server_program() == NULL) {
        print_message("no redis-server here: make deps-test\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
