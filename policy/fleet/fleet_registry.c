/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/fleet/fleet_registry.h"

#include "base/clock.h"
#include "base/little_endian.h"
#include "policy/fleet/fleet_blob.h"
#include "policy/fleet/fleet_redis_line.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_AT         32u
#define SCOPE_BYTES_MAX 4096u /* of three names */
#define FIELD_BYTES     17u

struct fleet_registry {
    struct fleet_redis *redis; /* borrowed */
    struct fleet_key *key;
    uint64_t replica, refused;
    char last_refusal[ERROR_TEXT_MAX];
};

struct fleet_registry *fleet_registry_new(const struct fleet_registry_config *config,
                                          struct error *err)
{
    struct fleet_registry *registry = calloc(1, sizeof *registry);
    if (registry == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    registry->redis = config->redis;
    registry->replica = config->replica;
    registry->key = fleet_key_new(config->key, config->key_id, err);
    if (registry->key != NULL)
        return registry;
    fleet_registry_free(registry);
    return NULL;
}

void fleet_registry_free(struct fleet_registry *registry)
{
    if (registry == NULL)
        return;
    fleet_key_free(registry->key);
    free(registry);
}

uint64_t fleet_registry_refused(const struct fleet_registry *registry)
{
    return registry->refused;
}

const char *fleet_registry_last_refusal(const struct fleet_registry *registry)
{
    return registry->last_refusal;
}

/* -- One hash and one entry of it -- */

static void field_of(uint64_t id, char ret[FIELD_BYTES])
{
    (void)snprintf(ret, FIELD_BYTES, "%016" PRIx64, id);
}

static int write_field(struct fleet_registry *registry, const char *what,
                       const struct fleet_blob *blob, uint64_t id, struct error *err)
{
    char key[FLEET_KEY_NAME_BYTES], field[FIELD_BYTES];
    struct fleet_command command = {0};
    struct text sealed;
    redisReply *reply = NULL;
    fleet_redis_key(registry->redis, what, key);
    field_of(id, field);
    text_init(&sealed);
    int result = fleet_blob_seal(registry->key, blob, &sealed, err);
    if (result == 0) {
        fleet_command_string(&command, "HSET");
        fleet_command_string(&command, key);
        fleet_command_string(&command, field);
        fleet_command_add(&command, sealed.bytes, sealed.count);
        result = fleet_redis_call(registry->redis, &command, &reply, err);
    }
    if (result == 0)
        freeReplyObject(reply);
    text_destroy(&sealed);
    return result;
}

/* ERROR_INVALID and ERROR_REFUSED were counted. */
static int open_field(struct fleet_registry *registry, const redisReply *value,
                      enum fleet_blob_kind kind, struct fleet_blob *ret, struct error *err)
{
    struct error why = {0};
    int result = value->type != REDIS_REPLY_STRING
                     ? error_set(&why, ERROR_INVALID, "an entry of the fleet is none")
                     : fleet_blob_open(registry->key, value->str, (size_t)value->len, ret, &why);
    if (result == 0 && ret->kind != kind)
        result = error_set(&why, ERROR_INVALID, "an entry of the fleet is of another kind");
    if (result == ERROR_NO_MEMORY)
        return error_no_memory(err);
    if (result != 0) {
        registry->refused++;
        memcpy(registry->last_refusal, why.text, sizeof registry->last_refusal);
    }
    return result;
}

static int read_all(struct fleet_registry *registry, const char *what, redisReply **ret,
                    struct error *err)
{
    char key[FLEET_KEY_NAME_BYTES];
    struct fleet_command command = {0};
    fleet_redis_key(registry->redis, what, key);
    fleet_command_string(&command, "HGETALL");
    fleet_command_string(&command, key);
    int result = fleet_redis_call(registry->redis, &command, ret, err);
    if (result != 0 || (*ret)->type == REDIS_REPLY_ARRAY)
        return result;
    freeReplyObject(*ret);
    return fleet_redis_confused(registry->redis, "its hash is none", err);
}

/* -- The clock -- */

int fleet_registry_clock(struct fleet_registry *registry, int64_t *ret_unix_us, struct error *err)
{
    struct fleet_command command = {0};
    redisReply *reply = NULL;
    char *end = NULL, *end_us = NULL;
    fleet_command_string(&command, "TIME");
    uint64_t asked_us = clock_monotonic_us();
    int result = fleet_redis_call(registry->redis, &command, &reply, err);
    if (result != 0)
        return result;
    int64_t way_us = (int64_t)(clock_monotonic_us() - asked_us) / 2;
    bool good = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
                reply->element[0]->type == REDIS_REPLY_STRING &&
                reply->element[1]->type == REDIS_REPLY_STRING;
    errno = 0;
    long long seconds = good ? strtoll(reply->element[0]->str, &end, 10) : 0;
    long long micros = good ? strtoll(reply->element[1]->str, &end_us, 10) : 0;
    good = good && errno == 0 && *end == '\0' && *end_us == '\0' && seconds > 0 &&
           seconds < INT64_MAX / 2000000 && micros >= 0 && micros < 1000000;
    freeReplyObject(reply);
    if (!good)
        return fleet_redis_confused(registry->redis, "its clock is none", err);
    *ret_unix_us = (int64_t)seconds * 1000000 + micros + way_us;
    return 0;
}

/* -- Replicas -- */

int fleet_registry_write(struct fleet_registry *registry, const struct fleet_replica *replica,
                         struct error *err)
{
    uint8_t body[HOST_AT + FLEET_HOST_BYTES];
    size_t host_count = strnlen(replica->host, FLEET_HOST_BYTES - 1);
    assert(replica->id != 0);
    put_u64(body, replica->process);
    put_u64(body + 8, (uint64_t)replica->first_seen_unix_us);
    put_u64(body + 16, (uint64_t)replica->counted_unix_us);
    put_u64(body + 24, (uint64_t)replica->seen_unix_us);
    memcpy(body + HOST_AT, replica->host, host_count);
    const struct fleet_blob blob = {.kind = FLEET_REPLICA,
                                    .name = {.scope = replica->id},
                                    .sender = registry->replica,
                                    .body = body,
                                    .body_count = HOST_AT + host_count};
    return write_field(registry, "replicas", &blob, replica->id, err);
}

int fleet_registry_remove(struct fleet_registry *registry, uint64_t id, struct error *err)
{
    char key[FLEET_KEY_NAME_BYTES], field[FIELD_BYTES];
    struct fleet_command command = {0};
    redisReply *reply = NULL;
    fleet_redis_key(registry->redis, "replicas", key);
    field_of(id, field);
    fleet_command_string(&command, "HDEL");
    fleet_command_string(&command, key);
    fleet_command_string(&command, field);
    int result = fleet_redis_call(registry->redis, &command, &reply, err);
    if (result == 0)
        freeReplyObject(reply);
    return result;
}

/* A log and a terminal see it. */
static void read_host(const struct fleet_blob *blob, char ret[FLEET_HOST_BYTES])
{
    const char *host = (const char *)blob->body + HOST_AT;
    size_t count = blob->body_count - HOST_AT;
    for (size_t i = 0; i < count; i++)
        ret[i] = (char)(host[i] > ' ' && host[i] < 127 && host[i] != '"' ? host[i] : '?');
    ret[count] = '\0';
}

static bool read_replica(const struct fleet_blob *blob, struct fleet_replica *ret)
{
    const uint8_t *body = blob->body;
    if (blob->body_count < HOST_AT || blob->body_count >= HOST_AT + FLEET_HOST_BYTES ||
        blob->name.scope == 0)
        return false;
    *ret = (struct fleet_replica){.id = blob->name.scope,
                                  .process = get_u64(body),
                                  .first_seen_unix_us = (int64_t)get_u64(body + 8),
                                  .counted_unix_us = (int64_t)get_u64(body + 16),
                                  .seen_unix_us = (int64_t)get_u64(body + 24)};
    read_host(blob, ret->host);
    return true;
}

int fleet_registry_read(struct fleet_registry *registry,
                        int (*on_replica)(void *argument, const struct fleet_replica *replica,
                                          struct error *err),
                        void *argument, struct error *err)
{
    redisReply *reply = NULL;
    int result = read_all(registry, "replicas", &reply, err);
    if (result != 0)
        return result;
    for (size_t i = 1; i < reply->elements && i < 2 * FLEET_REPLICAS_MAX && result == 0; i += 2) {
        struct fleet_blob blob;
        struct fleet_replica replica;
        result = open_field(registry, reply->element[i], FLEET_REPLICA, &blob, err);
        if (result == 0 && read_replica(&blob, &replica))
            result = on_replica(argument, &replica, err);
        else if (result == ERROR_INVALID || result == ERROR_REFUSED)
            result = 0;
    }
    freeReplyObject(reply);
    return result;
}

/* -- Scopes -- */

int fleet_scope_write(struct fleet_registry *registry, const struct fleet_scope *scope,
                      struct error *err)
{
    struct text body;
    text_init(&body);
    text_append(&body, scope->product, strlen(scope->product) + 1);
    text_append(&body, scope->model, strlen(scope->model) + 1);
    text_append_string(&body, scope->family);
    const struct fleet_blob blob = {.kind = FLEET_SCOPE,
                                    .name = {.scope = scope->id},
                                    .sender = registry->replica,
                                    .body = body.bytes,
                                    .body_count = body.count};
    int result =
        body.failed ? error_no_memory(err) : write_field(registry, "scopes", &blob, scope->id, err);
    text_destroy(&body);
    return result;
}

/* Three strings of which the last ends with the body, copied so that it ends with a zero too. */
static int take_scope(struct fleet_registry *registry, const redisReply *value,
                      fleet_on_scope on_scope, void *argument, struct error *err)
{
    char names[SCOPE_BYTES_MAX + 1];
    struct fleet_blob blob;
    int result = open_field(registry, value, FLEET_SCOPE, &blob, err);
    if (result == ERROR_INVALID || result == ERROR_REFUSED)
        return 0;
    if (result != 0 || blob.body_count > SCOPE_BYTES_MAX)
        return result;
    memcpy(names, blob.body, blob.body_count);
    names[blob.body_count] = '\0';
    const char *end = names + blob.body_count;
    const char *model = names + strlen(names) + 1;
    const char *family = model <= end ? model + strlen(model) + 1 : end + 1;
    if (family > end)
        return 0;
    const struct fleet_scope scope = {
        .id = blob.name.scope, .product = names, .model = model, .family = family};
    return on_scope(argument, &scope, err);
}

int fleet_scopes_read(struct fleet_registry *registry, fleet_on_scope on_scope, void *argument,
                      struct error *err)
{
    redisReply *reply = NULL;
    int result = read_all(registry, "scopes", &reply, err);
    if (result != 0)
        return result;
    for (size_t i = 1; i < reply->elements && i < 2 * FLEET_SCOPES_MAX && result == 0; i += 2)
        result = take_scope(registry, reply->element[i], on_scope, argument, err);
    freeReplyObject(reply);
    return result;
}

int fleet_scope_read(struct fleet_registry *registry, uint64_t id, fleet_on_scope on_scope,
                     void *argument, struct error *err)
{
    char key[FLEET_KEY_NAME_BYTES], field[FIELD_BYTES];
    struct fleet_command command = {0};
    redisReply *reply = NULL;
    fleet_redis_key(registry->redis, "scopes", key);
    field_of(id, field);
    fleet_command_string(&command, "HGET");
    fleet_command_string(&command, key);
    fleet_command_string(&command, field);
    int result = fleet_redis_call(registry->redis, &command, &reply, err);
    if (result != 0)
        return result;
    if (reply->type == REDIS_REPLY_STRING)
        result = take_scope(registry, reply, on_scope, argument, err);
    freeReplyObject(reply);
    return result;
}
