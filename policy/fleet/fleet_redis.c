/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/fleet/fleet_redis.h"

#include "base/clock.h"
#include "policy/fleet/fleet_redis_line.h"

#include <assert.h>
#include <hiredis.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REPLY_BYTES_MAX (64u << 20) /* of one call: more is no answer of ours */
#define KEY_BYTES       FLEET_KEY_NAME_BYTES
#define PREFIX_BYTES    64u
#define DAY_SECONDS     86400u

struct fleet_redis {
    char *host; /* or the socket's path */
    int port;   /* 0: a socket */
    char *user, *password;
    char prefix[PREFIX_BYTES];
    uint32_t keep_seconds;
    redisContext *connection; /* NULL: none now */
    uint64_t deadline_us;     /* of the call that runs */
    size_t received;          /* bytes, by the call that runs */
    _Atomic uint64_t end_us;  /* any thread's: no call goes on after; 0: none said so */
};

void fleet_command_add(struct fleet_command *command, const void *bytes, size_t count)
{
    assert(command->count < (int)FLEET_ARGUMENTS_MAX);
    command->arguments[command->count] = bytes;
    command->lengths[command->count++] = count;
}

void fleet_command_string(struct fleet_command *command, const char *string)
{
    fleet_command_add(command, string, strlen(string));
}

/* -- The object -- */

static int take_address(struct fleet_redis *redis, const char *address, struct error *err)
{
    const char *colon = strrchr(address, ':');
    char *end = NULL;
    if (address[0] == '/') {
        redis->host = strdup(address);
        return redis->host == NULL ? error_no_memory(err) : 0;
    }
    long port = colon == NULL || colon == address ? 0 : strtol(colon + 1, &end, 10);
    if (port < 1 || port > 65535 || *end != '\0')
        return error_set(err, ERROR_INVALID, "'%.200s' is neither /path/of/socket nor host:port",
                         address);
    redis->host = strndup(address, (size_t)(colon - address));
    redis->port = (int)port;
    return redis->host == NULL ? error_no_memory(err) : 0;
}

static int take_config(struct fleet_redis *redis, const struct fleet_redis_config *config,
                       struct error *err)
{
    const char *prefix = config->prefix != NULL ? config->prefix : "weir";
    if (strlen(prefix) >= sizeof redis->prefix || strpbrk(prefix, "{}") != NULL)
        return error_set(err, ERROR_INVALID, "a prefix of keys of more than %u bytes, or with { }",
                         PREFIX_BYTES - 1);
    (void)snprintf(redis->prefix, sizeof redis->prefix, "%s", prefix);
    redis->keep_seconds = config->keep_days * DAY_SECONDS;
    redis->user = config->user != NULL ? strdup(config->user) : NULL;
    redis->password = config->password != NULL ? strdup(config->password) : NULL;
    if ((config->user != NULL && redis->user == NULL) ||
        (config->password != NULL && redis->password == NULL))
        return error_no_memory(err);
    return take_address(redis, config->address, err);
}

struct fleet_redis *fleet_redis_new(const struct fleet_redis_config *config, struct error *err)
{
    assert(config->keep_days > 0 && config->keep_days < 20000);
    struct fleet_redis *redis = calloc(1, sizeof *redis);
    if (redis == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    if (take_config(redis, config, err) == 0)
        return redis;
    fleet_redis_free(redis);
    return NULL;
}

static void hang_up(struct fleet_redis *redis)
{
    if (redis->connection != NULL)
        redisFree(redis->connection);
    redis->connection = NULL;
}

void fleet_redis_free(struct fleet_redis *redis)
{
    if (redis == NULL)
        return;
    hang_up(redis);
    if (redis->password != NULL)
        OPENSSL_cleanse(redis->password, strlen(redis->password));
    free(redis->password);
    free(redis->user);
    free(redis->host);
    free(redis);
}

/* -- The line -- */

static int fail(struct fleet_redis *redis, const char *what, struct error *err)
{
    int result = error_set(err, ERROR_IO, "redis %s: %s", redis->host, what);
    hang_up(redis);
    return result;
}

/* What hiredis has found wrong: a silence shows as EAGAIN. */
static int fail_line(struct fleet_redis *redis, struct error *err)
{
    char what[sizeof redis->connection->errstr];
    (void)snprintf(what, sizeof what, "%s", redis->connection->errstr);
    return fail(redis, what, err);
}

static int send_command(struct fleet_redis *redis, const struct fleet_command *command,
                        struct error *err)
{
    if (redisAppendCommandArgv(redis->connection, command->count,
                               (const char **)(uintptr_t)command->arguments,
                               command->lengths) == REDIS_OK)
        return 0;
    return fail_line(redis, err);
}

static bool is_late(const struct fleet_redis *redis)
{
    uint64_t now_us = clock_monotonic_us(), end_us = atomic_load(&redis->end_us);
    return now_us > redis->deadline_us || (end_us != 0 && now_us > end_us);
}

void fleet_redis_end_at(struct fleet_redis *redis, uint64_t monotonic_us)
{
    atomic_store(&redis->end_us, monotonic_us);
}

static int flush(struct fleet_redis *redis, struct error *err)
{
    int done = 0;
    while (!done) {
        if (redisBufferWrite(redis->connection, &done) != REDIS_OK)
            return fail_line(redis, err);
        if (is_late(redis))
            return fail(redis, "takes too long", err);
    }
    return 0;
}

/* The next answer, the caller's to free; what the server calls an error is one. The loop is our own
 * because redisGetReply() waits while a byte comes now and then, and takes as much as comes. */
static int receive(struct fleet_redis *redis, redisReply **ret, struct error *err)
{
    redisReader *reader = redis->connection->reader;
    void *reply = NULL;
    for (;;) {
        if (redisGetReplyFromReader(redis->connection, &reply) != REDIS_OK)
            return fail_line(redis, err);
        if (reply != NULL)
            break;
        size_t before = reader->len;
        if (redisBufferRead(redis->connection) != REDIS_OK)
            return fail_line(redis, err);
        redis->received += reader->len - before;
        if (redis->received > REPLY_BYTES_MAX)
            return fail(redis, "says more than it was asked for", err);
        if (is_late(redis))
            return fail(redis, "takes too long", err);
    }
    *ret = reply;
    if ((*ret)->type != REDIS_REPLY_ERROR)
        return 0;
    int result = fail(redis, (*ret)->str, err);
    freeReplyObject(reply);
    return result;
}

static int call(struct fleet_redis *redis, const struct fleet_command *command, redisReply **ret,
                struct error *err)
{
    int result = send_command(redis, command, err);
    if (result == 0)
        result = flush(redis, err);
    return result == 0 ? receive(redis, ret, err) : result;
}

/* For commands of which only success matters. */
static int call_plainly(struct fleet_redis *redis, const struct fleet_command *command,
                        struct error *err)
{
    redisReply *reply = NULL;
    int result = call(redis, command, &reply, err);
    if (result == 0)
        freeReplyObject(reply);
    return result;
}

static int log_in(struct fleet_redis *redis, struct error *err)
{
    struct fleet_command command = {0};
    fleet_command_string(&command, "AUTH");
    if (redis->user != NULL)
        fleet_command_string(&command, redis->user);
    fleet_command_string(&command, redis->password);
    return call_plainly(redis, &command, err);
}

/* Begins a call: its clock runs, and there is a connection. */
static int begin(struct fleet_redis *redis, struct error *err)
{
    const struct timeval silence = {.tv_usec = FLEET_REDIS_SILENCE_MS * 1000};
    redis->deadline_us = clock_monotonic_us() + FLEET_REDIS_CALL_MS * UINT64_C(1000);
    redis->received = 0;
    if (is_late(redis))
        return fail(redis, "is not asked any more: this replica ends", err);
    if (redis->connection != NULL)
        return 0;
    redis->connection = redis->port == 0
                            ? redisConnectUnixWithTimeout(redis->host, silence)
                            : redisConnectWithTimeout(redis->host, redis->port, silence);
    if (redis->connection == NULL)
        return error_no_memory(err);
    if (redis->connection->err != 0 || redisSetTimeout(redis->connection, silence) != REDIS_OK)
        return fail_line(redis, err);
    return redis->password != NULL ? log_in(redis, err) : 0;
}

int fleet_redis_call(struct fleet_redis *redis, const struct fleet_command *command,
                     redisReply **ret, struct error *err)
{
    int result = begin(redis, err);
    return result == 0 ? call(redis, command, ret, err) : result;
}

int fleet_redis_confused(struct fleet_redis *redis, const char *what, struct error *err)
{
    return fail(redis, what, err);
}

void fleet_redis_key(const struct fleet_redis *redis, const char *what,
                     char ret[FLEET_KEY_NAME_BYTES])
{
    (void)snprintf(ret, FLEET_KEY_NAME_BYTES, "%s:%s", redis->prefix, what);
}

/* -- Keys -- */

static void day_key(const struct fleet_redis *redis, uint32_t day, const char *what,
                    char ret[KEY_BYTES])
{
    (void)snprintf(ret, KEY_BYTES, "%s:{%" PRIu32 "}:%s", redis->prefix, day, what);
}

#define MEMBER_BYTES 19u /* 16 digits, '-', one digit, NUL */

static void member_of(const struct fleet_name *name, char ret[MEMBER_BYTES])
{
    (void)snprintf(ret, MEMBER_BYTES, "%016" PRIx64 "-%x", name->scope, name->class & 15u);
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* False for what member_of() does not write. */
static bool read_member(const redisReply *reply, uint32_t day, struct fleet_name *ret)
{
    static_assert(FLEET_CLASS_COUNT == 16, "a class is one hexadecimal digit");
    if (reply->type != REDIS_REPLY_STRING || (size_t)reply->len != MEMBER_BYTES - 1 ||
        reply->str[16] != '-' || digit_of(reply->str[17]) < 0)
        return false;
    *ret = (struct fleet_name){.day = day, .class = (uint8_t)digit_of(reply->str[17])};
    for (int i = 0; i < 16; i++) {
        int digit = digit_of(reply->str[i]);
        if (digit < 0)
            return false;
        ret->scope = ret->scope << 4 | (uint64_t)digit;
    }
    return true;
}

static int send_expiry(struct fleet_redis *redis, const char *key, struct error *err)
{
    char seconds[16];
    struct fleet_command command = {0};
    (void)snprintf(seconds, sizeof seconds, "%" PRIu32, redis->keep_seconds);
    fleet_command_string(&command, "EXPIRE");
    fleet_command_string(&command, key);
    fleet_command_string(&command, seconds);
    return send_command(redis, &command, err);
}

/* Takes answers of which only success matters. */
static int receive_plainly(struct fleet_redis *redis, int count, struct error *err)
{
    int result = 0;
    for (int i = 0; i < count && result == 0; i++) {
        redisReply *reply = NULL;
        result = receive(redis, &reply, err);
        if (result == 0)
            freeReplyObject(reply);
    }
    return result;
}

/* -- The transport -- */

static int redis_epoch(void *self, uint64_t candidate, uint64_t *ret, struct error *err)
{
    struct fleet_redis *redis = self;
    char key[KEY_BYTES], number[17];
    redisReply *reply = NULL;
    struct fleet_command set = {0}, get = {0};
    (void)snprintf(key, sizeof key, "%s:epoch", redis->prefix);
    (void)snprintf(number, sizeof number, "%016" PRIx64, candidate);
    fleet_command_string(&set, "SETNX");
    fleet_command_string(&set, key);
    fleet_command_string(&set, number);
    fleet_command_string(&get, "GET");
    fleet_command_string(&get, key);
    int result = begin(redis, err);
    if (result == 0)
        result = send_command(redis, &set, err);
    if (result == 0)
        result = send_command(redis, &get, err);
    if (result == 0)
        result = flush(redis, err);
    if (result == 0)
        result = receive_plainly(redis, 1, err);
    if (result == 0)
        result = receive(redis, &reply, err);
    if (result != 0)
        return result;
    uint64_t epoch = 0;
    bool good = reply->type == REDIS_REPLY_STRING && reply->len == 16;
    for (int i = 0; good && i < 16; i++) {
        good = digit_of(reply->str[i]) >= 0;
        epoch = epoch << 4 | (uint64_t)digit_of(reply->str[i]);
    }
    freeReplyObject(reply);
    if (!good || epoch == 0)
        return fail(redis, "its epoch is none of ours", err);
    *ret = epoch;
    return 0;
}

static int redis_append(void *self, uint32_t day, const void *bytes, size_t count,
                        struct error *err)
{
    struct fleet_redis *redis = self;
    char key[KEY_BYTES], entries[16];
    struct fleet_command command = {0};
    day_key(redis, day, "deltas", key);
    (void)snprintf(entries, sizeof entries, "%u", FLEET_REDIS_ENTRIES);
    fleet_command_string(&command, "XADD");
    fleet_command_string(&command, key);
    fleet_command_string(&command, "MAXLEN");
    fleet_command_string(&command, "~");
    fleet_command_string(&command, entries);
    fleet_command_string(&command, "*");
    fleet_command_string(&command, "b");
    fleet_command_add(&command, bytes, count);
    int result = begin(redis, err);
    if (result == 0)
        result = send_command(redis, &command, err);
    if (result == 0)
        result = send_expiry(redis, key, err);
    if (result == 0)
        result = flush(redis, err);
    return result == 0 ? receive_plainly(redis, 2, err) : result;
}

/* [id, [field, bytes]]; bytes is NULL where the entry is none of ours. False: no entry at all. */
static bool read_entry(const redisReply *entry, struct fleet_position *position,
                       const redisReply **ret)
{
    *ret = NULL;
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
        entry->element[0]->type != REDIS_REPLY_STRING ||
        (size_t)entry->element[0]->len >= sizeof position->id)
        return false;
    (void)snprintf(position->id, sizeof position->id, "%s", entry->element[0]->str);
    const redisReply *fields = entry->element[1];
    if (fields->type == REDIS_REPLY_ARRAY && fields->elements == 2 &&
        fields->element[1]->type == REDIS_REPLY_STRING)
        *ret = fields->element[1];
    return true;
}

/* [[key, entries]], or nil when there are none. */
static int take_entries(struct fleet_redis *redis, const redisReply *reply,
                        const struct fleet_read *read, struct error *err)
{
    if (reply->type == REDIS_REPLY_NIL)
        return 0;
    const redisReply *stream =
        reply->type == REDIS_REPLY_ARRAY && reply->elements == 1 ? reply->element[0] : NULL;
    const redisReply *entries =
        stream != NULL && stream->type == REDIS_REPLY_ARRAY && stream->elements == 2
            ? stream->element[1]
            : NULL;
    if (entries == NULL || entries->type != REDIS_REPLY_ARRAY ||
        entries->elements > read->entries_max)
        return fail(redis, "its stream is none", err);
    for (size_t i = 0; i < entries->elements; i++) {
        const redisReply *bytes;
        if (!read_entry(entries->element[i], read->position, &bytes))
            return fail(redis, "its stream is none", err);
        int result = read->on_entry(read->argument, bytes != NULL ? bytes->str : "",
                                    bytes != NULL ? (size_t)bytes->len : 0, err);
        if (result != 0)
            return result;
    }
    return (int)entries->elements;
}

static int redis_read(void *self, const struct fleet_read *read, struct error *err)
{
    struct fleet_redis *redis = self;
    char key[KEY_BYTES], entries[16];
    struct fleet_command command = {0};
    redisReply *reply = NULL;
    day_key(redis, read->day, "deltas", key);
    (void)snprintf(entries, sizeof entries, "%" PRIu32, read->entries_max);
    fleet_command_string(&command, "XREAD");
    fleet_command_string(&command, "COUNT");
    fleet_command_string(&command, entries);
    fleet_command_string(&command, "STREAMS");
    fleet_command_string(&command, key);
    fleet_command_string(&command, read->position->id[0] != '\0' ? read->position->id : "0-0");
    int result = begin(redis, err);
    if (result == 0)
        result = call(redis, &command, &reply, err);
    if (result != 0)
        return result;
    result = take_entries(redis, reply, read, err);
    freeReplyObject(reply);
    return result;
}

static int redis_names(void *self, uint32_t day, fleet_on_name on_name, void *argument,
                       struct error *err)
{
    struct fleet_redis *redis = self;
    char key[KEY_BYTES];
    struct fleet_command command = {0};
    struct fleet_name name;
    redisReply *reply = NULL;
    day_key(redis, day, "names", key);
    fleet_command_string(&command, "SMEMBERS");
    fleet_command_string(&command, key);
    int result = begin(redis, err);
    if (result == 0)
        result = call(redis, &command, &reply, err);
    if (result != 0)
        return result;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements && result == 0; i++)
        if (read_member(reply->element[i], day, &name))
            result = on_name(argument, &name, err);
    freeReplyObject(reply);
    return result;
}

static int redis_head(void *self, const struct fleet_name *name, struct text *out,
                      struct error *err)
{
    struct fleet_redis *redis = self;
    char key[KEY_BYTES], member[MEMBER_BYTES], last[16];
    struct fleet_command command = {0};
    redisReply *reply = NULL;
    member_of(name, member);
    day_key(redis, name->day, member, key);
    (void)snprintf(last, sizeof last, "%u", FLEET_HEADER_BYTES - 1);
    fleet_command_string(&command, "GETRANGE");
    fleet_command_string(&command, key);
    fleet_command_string(&command, "0");
    fleet_command_string(&command, last);
    int result = begin(redis, err);
    if (result == 0)
        result = call(redis, &command, &reply, err);
    if (result != 0)
        return result;
    if (reply->type != REDIS_REPLY_STRING || reply->len == 0)
        result = error_set(err, ERROR_NOT_FOUND, "no snapshot");
    else
        text_append(out, reply->str, (size_t)reply->len);
    freeReplyObject(reply);
    return result;
}

/* MULTI, SET, SADD, EXPIRE, EXEC: one way there and back. */
static int write_snapshot(struct fleet_redis *redis, const struct fleet_name *name, const char *key,
                          const struct text *bytes, struct error *err)
{
    char names[KEY_BYTES], member[MEMBER_BYTES], seconds[16];
    struct fleet_command multi = {0}, set = {0}, join = {0}, exec = {0};
    redisReply *reply = NULL;
    member_of(name, member);
    day_key(redis, name->day, "names", names);
    (void)snprintf(seconds, sizeof seconds, "%" PRIu32, redis->keep_seconds);
    fleet_command_string(&multi, "MULTI");
    fleet_command_string(&set, "SET");
    fleet_command_string(&set, key);
    fleet_command_add(&set, bytes->bytes, bytes->count);
    fleet_command_string(&set, "EX");
    fleet_command_string(&set, seconds);
    fleet_command_string(&join, "SADD");
    fleet_command_string(&join, names);
    fleet_command_string(&join, member);
    fleet_command_string(&exec, "EXEC");
    int result = send_command(redis, &multi, err);
    if (result == 0)
        result = send_command(redis, &set, err);
    if (result == 0)
        result = send_command(redis, &join, err);
    if (result == 0)
        result = send_expiry(redis, names, err);
    if (result == 0)
        result = send_command(redis, &exec, err);
    if (result == 0)
        result = flush(redis, err);
    if (result == 0)
        result = receive_plainly(redis, 4, err);
    if (result == 0)
        result = receive(redis, &reply, err);
    if (result != 0)
        return result;
    if (reply->type == REDIS_REPLY_NIL)
        result = error_set(err, ERROR_BUSY, "another replica wrote the snapshot");
    else if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
             reply->element[0]->type != REDIS_REPLY_STATUS)
        result = fail(redis, "did not write a snapshot", err);
    freeReplyObject(reply);
    return result;
}

static int watch(struct fleet_redis *redis, const char *key, redisReply **ret, struct error *err)
{
    struct fleet_command command = {0}, get = {0};
    fleet_command_string(&command, "WATCH");
    fleet_command_string(&command, key);
    fleet_command_string(&get, "GET");
    fleet_command_string(&get, key);
    int result = send_command(redis, &command, err);
    if (result == 0)
        result = send_command(redis, &get, err);
    if (result == 0)
        result = flush(redis, err);
    if (result == 0)
        result = receive_plainly(redis, 1, err);
    return result == 0 ? receive(redis, ret, err) : result;
}

static int redis_update(void *self, const struct fleet_name *name, fleet_on_merge on_merge,
                        void *argument, struct error *err)
{
    struct fleet_redis *redis = self;
    char key[KEY_BYTES], member[MEMBER_BYTES];
    struct fleet_command unwatch = {0};
    struct text out;
    redisReply *reply = NULL;
    member_of(name, member);
    day_key(redis, name->day, member, key);
    fleet_command_string(&unwatch, "UNWATCH");
    int result = begin(redis, err);
    if (result == 0)
        result = watch(redis, key, &reply, err);
    if (result != 0)
        return result;
    text_init(&out);
    bool there = reply->type == REDIS_REPLY_STRING;
    int answer =
        on_merge(argument, there ? reply->str : NULL, there ? (size_t)reply->len : 0, &out, err);
    freeReplyObject(reply);
    if (answer > 0)
        result = write_snapshot(redis, name, key, &out, err);
    else if (answer == 0)
        result = call_plainly(redis, &unwatch, err);
    else
        hang_up(redis);
    text_destroy(&out);
    return answer < 0 ? answer : result;
}

struct fleet_transport fleet_redis_transport(struct fleet_redis *redis)
{
    return (struct fleet_transport){.self = redis,
                                    .epoch = redis_epoch,
                                    .append = redis_append,
                                    .read = redis_read,
                                    .names = redis_names,
                                    .head = redis_head,
                                    .update = redis_update};
}
