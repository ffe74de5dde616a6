/* SPDX-License-Identifier: Apache-2.0 */
/* policy_fleet.c -- the thread that talks to the fleet's store, and what it makes of it. */
#include "base/clock.h"
#include "base/thread.h"
#include "policy/policy_fleet_state.h"
#include "policy/users/private_file.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define TICK_US            1000000u
#define SYNC_MS            5000u
#define BUSY_US            20000u   /* between ticks while counters wait to be compared */
#define END_US             1000000u /* for what is still to be told when the daemon ends */
#define TURN_MS_LEAST      5u
#define KEEP_DAYS          100u /* of a day's keys in the store */
#define PASSWORD_BYTES_MAX 512u
#define KEY_PURPOSE        "weir fleet 1"

static_assert(FLEET_KEY_BYTES == SECRET_HMAC_BYTES, "one is derived for the other");

/* -- The log -- */

static void note_suspects(struct policy_fleet *fleet)
{
    uint64_t newest = fleet->suspect_noted;
    for (uint32_t i = 0; i < fleet_suspects(fleet->fleet); i++) {
        const struct fleet_suspect *suspect = fleet_suspect_peek(fleet->fleet, i);
        char model[128];
        if (suspect->number <= fleet->suspect_noted)
            continue;
        policy_fleet_model(fleet, suspect->name.scope, model, sizeof model);
        policy_fleet_note(fleet,
                          "fleet: suspect %llu is set aside: replica %016llx would have '%s' jump "
                          "from %.0f to %.0f users; it is in no figure until somebody settles it",
                          (unsigned long long)suspect->number, (unsigned long long)suspect->sender,
                          model, suspect->users_before, suspect->users_after);
        newest = suspect->number > newest ? suspect->number : newest;
    }
    fleet->suspect_noted = newest;
}

static void note_refusal(struct policy_fleet *fleet, const char *refusal)
{
    if (refusal[0] == '\0' || strcmp(refusal, fleet->refusal_noted) == 0)
        return;
    (void)snprintf(fleet->refusal_noted, sizeof fleet->refusal_noted, "%s", refusal);
    policy_fleet_note(fleet, "fleet: refused: %s", refusal);
}

static void note_changes(struct policy_fleet *fleet)
{
    struct fleet_status status;
    fleet_status(fleet->fleet, &status);
    note_refusal(fleet, status.last_refusal);
    note_refusal(fleet, fleet_registry_last_refusal(fleet->members.registry));
    if (status.epoch_changes > fleet->seen.epoch_changes)
        policy_fleet_note(fleet, "fleet: the store was emptied; it is filled again from here");
    if (status.left_out > 0 && fleet->seen.left_out == 0)
        policy_fleet_note(fleet, "fleet: more than %u counters; the rest is not followed",
                          FLEET_NAMES_MAX);
    if (usage_fleet_unnamed(fleet->counters) > 0 && fleet->unnamed_noted == 0) {
        fleet->unnamed_noted = usage_fleet_unnamed(fleet->counters);
        policy_fleet_note(fleet, "fleet: others count a model whose name is not known yet; its "
                                 "users are taken up when it is");
    }
    fleet->seen = status;
    note_suspects(fleet);
}

static void note_outcome(struct policy_fleet *fleet, int result, const struct error *err)
{
    struct fleet_status status;
    fleet_status(fleet->fleet, &status);
    if (result != 0 && !fleet->failing) {
        policy_fleet_note(fleet, "%s; counted alone meanwhile, and tried again", err->text);
        fleet->failing = true;
    } else if (fleet->failing && status.synced_unix_us > fleet->seen.synced_unix_us) {
        policy_fleet_note(fleet, "fleet: all is exchanged again");
        fleet->failing = false;
    }
}

/* -- The thread -- */

/* Until the time, until an order comes, or the end. False: it ends. */
static bool sleep_until(struct policy_fleet *fleet, uint64_t until_us)
{
    const struct timespec at = {.tv_sec = (time_t)(until_us / 1000000),
                                .tv_nsec = (long)(until_us % 1000000) * 1000};
    (void)pthread_mutex_lock(&fleet->lock);
    while (!fleet->ending && fleet->order_count == 0 && clock_monotonic_us() < until_us)
        (void)pthread_cond_timedwait(&fleet->bell, &fleet->lock, &at);
    bool ending = fleet->ending;
    (void)pthread_mutex_unlock(&fleet->lock);
    return !ending;
}

/* Returns after how many microseconds it wants to go on. */
static uint64_t tick(struct policy_fleet *fleet)
{
    struct error err = {0};
    struct fleet_status status;
    int result = fleet->failing ? 0 : policy_fleet_names_step(fleet, &err);
    if (result == 0)
        result = fleet_tick(fleet->fleet, clock_unix_us(), &err);
    if (result == 0)
        result = policy_fleet_members_step(fleet, &err);
    note_outcome(fleet, result, &err);
    note_changes(fleet);
    fleet_status(fleet->fleet, &status);
    if (result == 0 && status.due > 0)
        return BUSY_US;
    return fleet->sync_ms < TICK_US / 1000 ? fleet->sync_ms * UINT64_C(1000) : TICK_US;
}

static uint64_t take_turn(struct policy_fleet *fleet, bool last)
{
    if (fleet->turn == NULL)
        return UINT64_MAX / 2;
    uint64_t wait_ms = fleet->turn(fleet->turn_argument, fleet->redis, clock_unix_us(), last);
    return (wait_ms < TURN_MS_LEAST ? TURN_MS_LEAST : wait_ms) * 1000;
}

/* What the others would lack without us. */
static void tell_last(struct policy_fleet *fleet)
{
    struct error err = {0};
    struct fleet_status status;
    int64_t now_us = clock_unix_us();
    (void)take_turn(fleet, true);
    fleet_hurry(fleet->fleet);
    int result = fleet->failing ? 0 : fleet_tick(fleet->fleet, now_us, &err);
    fleet_status(fleet->fleet, &status);
    if (status.synced_unix_us == now_us)
        policy_fleet_members_leave(fleet); /* nobody has to wait for us */
    if (result != 0)
        policy_fleet_note(fleet,
                          "%s: the others lack what was counted since the last exchange "
                          "until this daemon begins again",
                          err.text);
}

static void *fleet_main(void *argument)
{
    struct policy_fleet *fleet = argument;
    uint64_t tick_us = clock_monotonic_us(), turn_us = tick_us;
    while (sleep_until(fleet, tick_us < turn_us ? tick_us : turn_us)) {
        policy_fleet_settle_orders(fleet);
        if (clock_monotonic_us() >= tick_us)
            tick_us = tick(fleet) + clock_monotonic_us();
        if (clock_monotonic_us() >= turn_us)
            turn_us = take_turn(fleet, false) + clock_monotonic_us();
        policy_fleet_tell(fleet);
    }
    tell_last(fleet);
    return NULL;
}

int policy_fleet_start(struct policy_fleet *fleet, struct error *err)
{
    if (fleet == NULL)
        return 0;
    int failed = thread_start(&fleet->thread, "fleet", 0, fleet_main, fleet);
    if (failed != 0)
        return error_set_errno(err, failed, "fleet: thread");
    fleet->runs = true;
    return 0;
}

void policy_fleet_stop(struct policy_fleet *fleet)
{
    if (fleet == NULL || !fleet->runs)
        return;
    fleet_redis_end_at(fleet->redis, clock_monotonic_us() + END_US);
    (void)pthread_mutex_lock(&fleet->lock);
    fleet->ending = true;
    (void)pthread_cond_signal(&fleet->bell);
    (void)pthread_mutex_unlock(&fleet->lock);
    (void)pthread_join(fleet->thread, NULL);
    fleet->runs = false;
}

void policy_fleet_set_turn(struct policy_fleet *fleet, policy_fleet_turn turn, void *argument)
{
    if (fleet == NULL)
        return;
    fleet->turn = turn;
    fleet->turn_argument = argument;
}

uint64_t policy_fleet_replica(const struct policy_fleet *fleet)
{
    return fleet == NULL ? 0 : fleet->replica;
}

/* -- Life -- */

/* A last line's end does not count. */
static int read_password(const char *path, char ret[PASSWORD_BYTES_MAX + 1], struct error *err)
{
    const struct private_file_rules rules = {
        .bytes_min = 1, .bytes_max = PASSWORD_BYTES_MAX, .forbidden = 077};
    size_t count = 0;
    int result = private_file_read(path, &rules, (uint8_t *)ret, &count, NULL, err);
    if (result != 0)
        return error_wrap(err, "fleet.redis_password_file");
    if (count > 0 && ret[count - 1] == '\n')
        count--;
    ret[count] = '\0';
    if (count == 0 || strlen(ret) != count)
        return error_set(err, ERROR_INVALID,
                         "fleet.redis_password_file: %s: no password, or one with a zero byte",
                         path);
    return 0;
}

static int open_store(struct policy_fleet *fleet, const struct policy_fleet_config *config,
                      struct error *err)
{
    char password[PASSWORD_BYTES_MAX + 1] = "";
    const char *file = config->redis_password_file, *user = config->redis_user;
    const char *prefix = config->prefix;
    int result = file == NULL || file[0] == '\0' ? 0 : read_password(file, password, err);
    if (result != 0)
        return result;
    const struct fleet_redis_config redis = {.address = config->redis,
                                             .user = user == NULL || user[0] == '\0' ? NULL : user,
                                             .password = password[0] == '\0' ? NULL : password,
                                             .prefix = prefix == NULL || prefix[0] == '\0' ? NULL
                                                                                           : prefix,
                                             .keep_days = KEEP_DAYS};
    fleet->redis = fleet_redis_new(&redis, err);
    OPENSSL_cleanse(password, sizeof password);
    return fleet->redis == NULL ? error_wrap(err, "fleet.redis") : 0;
}

static int open_fleet(struct policy_fleet *fleet, const struct policy_config *config,
                      struct error *err)
{
    const struct usage_fleet_config counters = {
        .usage = fleet->policy->usage, .find_name = policy_fleet_find_name, .argument = fleet};
    uint8_t key[FLEET_KEY_BYTES];
    if (!secret_is_shared(config->key_file))
        return error_set(err, ERROR_REFUSED,
                         "fleet.redis is set, but the key of users was made by this daemon for "
                         "itself, and what is counted under different keys cannot be joined: name "
                         "one file in users.key_file of all replicas (to go on with what was "
                         "counted here, that is users.key of this state folder)");
    int result = open_store(fleet, &config->fleet, err);
    if (result != 0)
        return result;
    fleet->counters = usage_fleet_new(&counters, err);
    if (fleet->counters == NULL)
        return ERROR_NO_MEMORY;
    result = secret_purpose(&fleet->policy->secret, KEY_PURPOSE, key, err);
    if (result != 0)
        return result;
    const struct fleet_config exchange = {.key = key,
                                          .key_id = fleet->policy->secret.key_id,
                                          .replica = fleet->replica,
                                          .store = usage_fleet_store(fleet->counters),
                                          .transport = fleet_redis_transport(fleet->redis),
                                          .sync_ms = fleet->sync_ms};
    fleet->fleet = fleet_new(&exchange, err);
    result = fleet->fleet == NULL ? ERROR_NO_MEMORY : policy_fleet_members_open(fleet, key, err);
    OPENSSL_cleanse(key, sizeof key);
    return result;
}

int policy_fleet_open(struct policy *policy, const struct policy_config *config,
                      struct policy_fleet **ret, struct error *err)
{
    pthread_condattr_t attributes;
    if (config->fleet.redis == NULL || config->fleet.redis[0] == '\0')
        return 0;
    struct policy_fleet *fleet = calloc(1, sizeof *fleet);
    if (fleet == NULL)
        return error_no_memory(err);
    fleet->policy = policy;
    fleet->sync_ms = config->fleet.sync_ms == 0 ? SYNC_MS : config->fleet.sync_ms;
    fleet->told.status.clock_offset_seconds = (double)NAN;
    (void)pthread_mutex_init(&fleet->lock, NULL); /* these cannot fail */
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&fleet->bell, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    int result = 0;
    if (getrandom(&fleet->replica, sizeof fleet->replica, 0) != (ssize_t)sizeof fleet->replica)
        result = error_set_errno(err, errno, "random bytes");
    fleet->replica |= 1;
    if (result == 0)
        result = open_fleet(fleet, config, err);
    if (result != 0) {
        policy_fleet_close(fleet);
        return result;
    }
    *ret = fleet;
    return 0;
}

void policy_fleet_close(struct policy_fleet *fleet)
{
    if (fleet == NULL)
        return;
    policy_fleet_stop(fleet);
    fleet_free(fleet->fleet);
    policy_fleet_members_close(fleet);
    usage_fleet_free(fleet->counters);
    fleet_redis_free(fleet->redis);
    (void)pthread_cond_destroy(&fleet->bell);
    (void)pthread_mutex_destroy(&fleet->lock);
    free(fleet);
}
