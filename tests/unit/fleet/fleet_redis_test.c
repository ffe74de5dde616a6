/* SPDX-License-Identifier: Apache-2.0 */
/* Against a real server, on a socket in a folder of its own; and against one that lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/fleet/fleet_redis.h"
#include "redis_server.h"
#include "world.h"

#define TODAY       20485u
#define NOON_US     ((int64_t)TODAY * DAY_SECONDS * SECOND_US + 43200 * SECOND_US)
#define PEERS       3u
#define KNOWN_USERS 20000u
#define KEY_ID      7u

static const uint8_t key[FLEET_KEY_BYTES] = {1, 2, 3};
static const struct fleet_name name = {.scope = 0xabcdef0123456789, .day = TODAY, .class = 1};

static struct fleet_redis *connect_to(const struct redis_server *server, const char *password)
{
    const struct fleet_redis_config config = {
        .address = server->socket, .password = password, .keep_days = 40};
    struct fleet_redis *redis = fleet_redis_new(&config, NULL);
    assert_non_null(redis);
    return redis;
}

/* -- Three peers -- */

struct peer {
    struct memory_store store;
    struct fleet_redis *redis;
    struct fleet *fleet;
};

static void peers_begin(struct peer peers[PEERS], const struct redis_server *server)
{
    for (uint32_t i = 0; i < PEERS; i++) {
        memory_store_init(&peers[i].store, SKETCH_P);
        peers[i].redis = connect_to(server, NULL);
        const struct fleet_config config = {.key = key,
                                            .key_id = KEY_ID,
                                            .replica = i + 1,
                                            .store = memory_store_face(&peers[i].store),
                                            .transport = fleet_redis_transport(peers[i].redis)};
        peers[i].fleet = fleet_new(&config, NULL);
        assert_non_null(peers[i].fleet);
    }
}

static void peers_end(struct peer peers[PEERS])
{
    for (uint32_t i = 0; i < PEERS; i++) {
        fleet_free(peers[i].fleet);
        fleet_redis_free(peers[i].redis);
        memory_store_destroy(&peers[i].store);
    }
}

/* Returns how many ticks failed. */
static uint32_t pass(struct peer peers[PEERS], int64_t *now_us, uint32_t rounds)
{
    uint32_t failed = 0;
    for (uint32_t i = 0; i < rounds; i++) {
        *now_us += 7 * SECOND_US;
        for (uint32_t j = 0; j < PEERS; j++)
            failed += fleet_tick(peers[j].fleet, *now_us, NULL) != 0;
    }
    return failed;
}

/* Each known user comes to two of the three. */
static void users_come(struct peer peers[PEERS], uint64_t *user, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t hash = next_hash(user);
        memory_store_count(&peers[hash % 3].store, &name, hash);
        memory_store_count(&peers[(hash + 1) % 3].store, &name, hash);
    }
}

static double users_at(const struct peer *peer)
{
    struct sketch_count count;
    sketch_count(memory_store_find(&peer->store, &name), &count);
    return count.value;
}

static double sum(const struct peer peers[PEERS])
{
    return users_at(&peers[0]) + users_at(&peers[1]) + users_at(&peers[2]);
}

/* Whatever is kept expires, and the server's keys and values hold no more than hashes. */
static void assert_keys_expire(const struct redis_server *server)
{
    redisContext *line = redisConnectUnix(server->socket);
    assert_non_null(line);
    redisReply *keys = redisCommand(line, "KEYS *");
    assert_true(keys != NULL && keys->type == REDIS_REPLY_ARRAY && keys->elements == 4);
    for (size_t i = 0; i < keys->elements; i++) {
        redisReply *left = redisCommand(line, "TTL %s", keys->element[i]->str);
        assert_non_null(left);
        bool expires = left->integer > 39 * DAY_SECONDS && left->integer <= 40 * DAY_SECONDS;
        assert_true(expires == (strcmp(keys->element[i]->str, "weir:epoch") != 0));
        freeReplyObject(left);
    }
    freeReplyObject(keys);
    redisFree(line);
}

static void the_union_is_exact_though_redis_dies_and_is_emptied(void **state)
{
    struct redis_server *server = *state;
    struct peer peers[PEERS];
    uint64_t user = 1;
    int64_t now_us = NOON_US;
    redis_server_begin(server, "");
    peers_begin(peers, server);
    assert_int_equal(pass(peers, &now_us, 1), 0);
    users_come(peers, &user, KNOWN_USERS / 2);
    assert_true(sum(peers) == KNOWN_USERS); /* twice as many as there are */
    assert_int_equal(pass(peers, &now_us, 3), 0);
    for (uint32_t i = 0; i < PEERS; i++)
        assert_true(users_at(&peers[i]) == KNOWN_USERS / 2);
    assert_keys_expire(server);

    redis_server_kill(server);
    users_come(peers, &user, KNOWN_USERS / 4);
    assert_true(pass(peers, &now_us, 3) > 0);
    redis_server_begin(server, ""); /* it has kept nothing */
    users_come(peers, &user, KNOWN_USERS / 4);
    (void)pass(peers, &now_us, 12);
    struct memory_store truth;
    memory_store_init(&truth, SKETCH_P);
    user = 1;
    for (uint32_t i = 0; i < KNOWN_USERS; i++)
        memory_store_count(&truth, &name, next_hash(&user));
    for (uint32_t i = 0; i < PEERS; i++) {
        struct fleet_status status;
        fleet_status(peers[i].fleet, &status);
        assert_true(users_at(&peers[i]) == KNOWN_USERS);
        assert_true(memory_store_is(&peers[i].store, &name, memory_store_find(&truth, &name)));
        assert_true(status.complete && status.epoch_changes == 1 && status.refused == 0);
    }
    assert_true(sum(peers) == 3.0 * KNOWN_USERS); /* a sum of gauges is no count of people */
    memory_store_destroy(&truth);
    peers_end(peers);
    redis_server_kill(server);
}

static void registers_go_through_redis_too(void **state)
{
    struct redis_server *server = *state;
    struct peer peers[PEERS];
    uint64_t user = 1;
    int64_t now_us = NOON_US;
    redis_server_begin(server, "");
    peers_begin(peers, server);
    users_come(peers, &user, 100000);
    assert_int_equal(pass(peers, &now_us, 5), 0);
    users_come(peers, &user, 500); /* by a delta */
    assert_int_equal(pass(peers, &now_us, 3), 0);
    struct memory_store truth;
    memory_store_init(&truth, SKETCH_P);
    user = 1;
    for (uint32_t i = 0; i < 100500; i++)
        memory_store_count(&truth, &name, next_hash(&user));
    for (uint32_t i = 0; i < PEERS; i++)
        assert_true(memory_store_is(&peers[i].store, &name, memory_store_find(&truth, &name)));
    memory_store_destroy(&truth);
    peers_end(peers);
    redis_server_kill(server);
}

/* -- Single calls -- */

static int write_one(void *argument, const void *bytes, size_t count, struct text *out,
                     struct error *err)
{
    struct fleet_transport *other = argument;
    (void)bytes, (void)count;
    if (other != NULL) /* somebody writes between our reading and our writing */
        assert_int_equal(other->update(other->self, &name, write_one, NULL, err), 0);
    text_append(out, other != NULL ? "late" : "early", other != NULL ? 4 : 5);
    return 1;
}

static void a_lost_race_changes_nothing_and_is_told(void **state)
{
    struct redis_server *server = *state;
    redis_server_begin(server, "");
    struct fleet_redis *one = connect_to(server, NULL), *two = connect_to(server, NULL);
    struct fleet_transport first = fleet_redis_transport(one), second = fleet_redis_transport(two);
    struct text head;
    text_init(&head);
    assert_int_equal(first.head(one, &name, &head, NULL), ERROR_NOT_FOUND);
    assert_int_equal(first.update(one, &name, write_one, &second, NULL), ERROR_BUSY);
    assert_int_equal(first.head(one, &name, &head, NULL), 0);
    assert_string_equal(text_string(&head), "early");
    text_destroy(&head);
    fleet_redis_free(one);
    fleet_redis_free(two);
    redis_server_kill(server);
}

static void a_password_is_given(void **state)
{
    struct redis_server *server = *state;
    struct error err = {0};
    uint64_t epoch = 0;
    redis_server_begin(server, "open sesame");
    struct fleet_redis *good = connect_to(server, "open sesame"), *bad = connect_to(server, "no");
    assert_int_equal(fleet_redis_transport(good).epoch(good, 5, &epoch, &err), 0);
    assert_true(epoch == 5);
    assert_int_equal(fleet_redis_transport(bad).epoch(bad, 6, &epoch, &err), ERROR_IO);
    assert_non_null(strstr(err.text, "WRONGPASS"));
    assert_null(strstr(err.text, "no:"));
    fleet_redis_free(good);
    fleet_redis_free(bad);
    redis_server_kill(server);
}

static void addresses_of_another_form_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",       "host",       "host:",  ":6379",
                                      "host:0", "host:65536", "host:6x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct fleet_redis_config config = {.address = bad[i], .keep_days = 1};
        assert_null(fleet_redis_new(&config, NULL));
    }
    const struct fleet_redis_config good = {.address = "[::1]:6379", .keep_days = 1};
    struct fleet_redis *redis = fleet_redis_new(&good, NULL);
    assert_non_null(redis);
    fleet_redis_free(redis);
}

/* -- A server that lies -- */

/* Says the same to whoever comes, until killed; nothing, when it is empty. */
static void liar_begin(struct redis_server *server, const char *says)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", server->socket);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 16), 0);
    pid_t parent = getpid();
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)signal(SIGPIPE, SIG_IGN);
        while (getppid() == parent) {
            int line = accept(listener, NULL, NULL);
            for (int i = 0; line >= 0 && i < 8; i++)
                (void)!write(line, says, strlen(says));
        }
        _exit(0);
    }
    close(listener);
}

/* An id of 50 bytes ends, and its entry. */
#define LONG_END "5555555555\r\n*0\r\n"

static int ignore_entry(void *argument, const void *bytes, size_t count, struct error *err)
{
    (void)argument, (void)bytes, (void)count, (void)err;
    return 0;
}

static int ignore_name(void *argument, const struct fleet_name *told, struct error *err)
{
    (void)argument, (void)told, (void)err;
    return 0;
}

static void a_server_that_lies_is_an_error_at_most(void **state)
{
    struct redis_server *server = *state;
    static const char *const lies[] = {
        "+OK\r\n",
        ":5\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "*0\r\n",
        "-ERR no\r\n",
        "nonsense\r\n",
        "$3\r\nabc\r\n",
        "*1\r\n*0\r\n",
        "*1\r\n*2\r\n$1\r\nk\r\n*1\r\n:1\r\n",
        "*1\r\n*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*-1\r\n",
        "*1\r\n*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$"
        "50\r\n1111111111222222222233333333334444444444" LONG_END,
        "*3\r\n$18\r\n0123456789abcdef-1\r\n$18\r\n0123456789abcdeX-1\r\n:1\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"};
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        liar_begin(server, lies[i]);
        struct fleet_redis *redis = connect_to(server, NULL);
        struct fleet_transport face = fleet_redis_transport(redis);
        struct fleet_position position = {""};
        struct fleet_read read = {
            .day = TODAY, .entries_max = 4, .position = &position, .on_entry = ignore_entry};
        struct text head;
        uint64_t epoch;
        text_init(&head);
        assert_int_equal(face.epoch(redis, 1, &epoch, NULL), ERROR_IO);
        (void)face.append(redis, TODAY, "x", 1, NULL);
        (void)face.read(redis, &read, NULL);
        (void)face.names(redis, TODAY, ignore_name, NULL, NULL);
        (void)face.head(redis, &name, &head, NULL);
        (void)face.update(redis, &name, write_one, NULL, NULL);
        text_destroy(&head);
        fleet_redis_free(redis);
        redis_server_kill(server);
    }
}

static void a_silent_server_is_not_waited_for(void **state)
{
    struct redis_server *server = *state;
    struct error err = {0};
    uint64_t epoch;
    liar_begin(server, "");
    struct fleet_redis *redis = connect_to(server, NULL);
    assert_int_equal(fleet_redis_transport(redis).epoch(redis, 1, &epoch, &err), ERROR_IO);
    fleet_redis_free(redis);
    redis_server_kill(server);
}

static int before(void **state)
{
    static struct redis_server server;
    redis_server_folder(&server);
    *state = &server;
    return 0;
}

static int after(void **state)
{
    const struct redis_server *server = *state;
    return rmdir(server->folder);
}

int main(void)
{
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(addresses_of_another_form_are_refused),
        cmocka_unit_test(a_server_that_lies_is_an_error_at_most),
        cmocka_unit_test(a_silent_server_is_not_waited_for),
    };
    const struct CMUnitTest real[] = {
        cmocka_unit_test(the_union_is_exact_though_redis_dies_and_is_emptied),
        cmocka_unit_test(registers_go_through_redis_too),
        cmocka_unit_test(a_lost_race_changes_nothing_and_is_told),
        cmocka_unit_test(a_password_is_given),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* as the daemon does */
    int failed = cmocka_run_group_tests(plain, before, after);
    if (redis_server_program() == NULL) {
        print_message("no redis-server here: make deps-test\n");
        return failed;
    }
    return failed + cmocka_run_group_tests(real, before, after);
}
