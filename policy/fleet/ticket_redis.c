/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/fleet/ticket_redis.h"

#include "base/little_endian.h"
#include "policy/fleet/fleet_redis_line.h"

#include <assert.h>
#include <hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_SECONDS  "8640000" /* 100 days: longer than a month and what looks back at it */
#define MESSAGES_EACH "16"
#define NUMBER_BYTES  72u

static void key_of(const struct fleet_redis *redis, uint64_t cap, uint32_t month, const char *what,
                   char ret[FLEET_KEY_NAME_BYTES])
{
    char tail[96];
    (void)snprintf(tail, sizeof tail, "{cap-%016" PRIx64 "-%" PRIu32 "}:%s", cap, month, what);
    fleet_redis_key(redis, tail, ret);
}

/* A command of strings, ended by NULL, of which only success matters. */
static int plainly(struct fleet_redis *redis, const char *const *words, struct error *err)
{
    struct fleet_command command = {0};
    redisReply *reply = NULL;
    for (; *words != NULL; words++)
        fleet_command_string(&command, *words);
    int result = fleet_redis_call(redis, &command, &reply, err);
    if (result == 0)
        freeReplyObject(reply);
    return result;
}

/* -- Accounts -- */

struct book { /* what of a month's hash concerns a replica */
    uint64_t born, spendable, held;
    struct ticket_account account;
};

static bool read_numbers(const redisReply *reply, uint64_t *ret, uint32_t count)
{
    if (reply->type != REDIS_REPLY_STRING)
        return false;
    const char *at = reply->str;
    for (uint32_t i = 0; i < count; i++) {
        char *end = NULL;
        ret[i] = strtoull(at, &end, 10);
        if (end == at || *end != (i + 1 < count ? ' ' : '\0'))
            return false;
        at = end + 1;
    }
    return true;
}

/* False for what we would not have written: then there is no telling what is whose. */
static bool read_book(const redisReply *reply, const struct ticket_question *question,
                      struct book *ret)
{
    uint64_t account[3] = {0};
    struct book book = {.born = question->born, .spendable = question->spendable};
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4)
        return false;
    bool fresh = reply->element[0]->type == REDIS_REPLY_NIL;
    if (!fresh && (!read_numbers(reply->element[0], &book.born, 1) ||
                   !read_numbers(reply->element[1], &book.spendable, 1) ||
                   !read_numbers(reply->element[2], &book.held, 1)))
        return false;
    if (reply->element[3]->type != REDIS_REPLY_NIL && !read_numbers(reply->element[3], account, 3))
        return false;
    book.account = (struct ticket_account){
        .number = account[0], .granted = account[1], .returned = account[2]};
    if (book.born == 0 || book.spendable > TICKETS_MAX || account[1] > TICKETS_MAX ||
        account[2] > account[1] || book.held < account[1] - account[2])
        return false;
    *ret = book;
    return true;
}

static int watch_book(struct fleet_redis *redis, const char *key, const char *account,
                      redisReply **ret, struct error *err)
{
    const char *const watch[] = {"WATCH", key, NULL};
    const char *const words[] = {"HMGET", key, "born", "spendable", "held", account};
    struct fleet_command command = {0};
    int result = plainly(redis, watch, err);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        fleet_command_string(&command, words[i]);
    return result == 0 ? fleet_redis_call(redis, &command, ret, err) : result;
}

/* 1: written; 0: somebody else was quicker. */
static int write_book(struct fleet_redis *redis, const char *key, const char *account,
                      const struct book *book, struct error *err)
{
    char born[NUMBER_BYTES], spendable[NUMBER_BYTES], held[NUMBER_BYTES], totals[NUMBER_BYTES];
    (void)snprintf(born, sizeof born, "%" PRIu64, book->born);
    (void)snprintf(spendable, sizeof spendable, "%" PRIu64, book->spendable);
    (void)snprintf(held, sizeof held, "%" PRIu64, book->held);
    (void)snprintf(totals, sizeof totals, "%" PRIu64 " %" PRIu64 " %" PRIu64, book->account.number,
                   book->account.granted, book->account.returned);
    const char *const multi[] = {"MULTI", NULL};
    const char *const set[] = {"HSET", key,  "born",  born,   "spendable", spendable,
                               "held", held, account, totals, NULL};
    const char *const expire[] = {"EXPIRE", key, KEEP_SECONDS, NULL};
    struct fleet_command exec = {0};
    redisReply *reply = NULL;
    fleet_command_string(&exec, "EXEC");
    int result = plainly(redis, multi, err);
    if (result == 0)
        result = plainly(redis, set, err);
    if (result == 0)
        result = plainly(redis, expire, err);
    if (result == 0)
        result = fleet_redis_call(redis, &exec, &reply, err);
    if (result != 0)
        return result;
    result = reply->type == REDIS_REPLY_NIL ? 0
             : reply->type == REDIS_REPLY_ARRAY && reply->elements == 2
                 ? 1
                 : fleet_redis_confused(redis, "did not write tickets", err);
    freeReplyObject(reply);
    return result;
}

int ticket_redis_ask(struct fleet_redis *redis, const struct ticket_question *question,
                     uint64_t *known, struct ticket_answer *ret, struct error *err)
{
    static const char *const unwatch[] = {"UNWATCH", NULL};
    char key[FLEET_KEY_NAME_BYTES], account[NUMBER_BYTES];
    redisReply *reply = NULL;
    struct ticket_answer answer;
    struct book book;
    assert(question->born != 0);
    key_of(redis, question->cap, question->request->month, "tickets", key);
    (void)snprintf(account, sizeof account, "a:%016" PRIx64, question->request->replica);
    int result = watch_book(redis, key, account, &reply, err);
    if (result != 0)
        return result;
    bool sound = read_book(reply, question, &book);
    freeReplyObject(reply);
    if (!sound)
        return fleet_redis_confused(redis, "its tickets are none that a replica wrote", err);
    bool lost = *known != 0 && book.born != *known;
    if (lost ||
        !ticket_store_rule(question->request, book.spendable, &book.account, &book.held, &answer)) {
        result = plainly(redis, unwatch, err);
        if (result != 0 || !lost)
            return result;
        *known = book.born == question->born ? 0 : book.born;
        return error_set(err, ERROR_NOT_FOUND, "the store has lost who holds which tickets");
    }
    result = write_book(redis, key, account, &book, err);
    if (result == 1) {
        *known = book.born;
        *ret = answer;
    }
    return result;
}

/* -- Who came in -- */

int ticket_redis_tell(struct fleet_redis *redis, struct fleet_key *key,
                      const struct ticket_news *news, struct error *err)
{
    char name[FLEET_KEY_NAME_BYTES];
    struct text body, sealed;
    redisReply *reply = NULL;
    assert(news->count > 0 && news->count <= TICKET_NEWS_MAX);
    key_of(redis, news->cap, news->month, "users", name);
    text_init(&body);
    text_init(&sealed);
    for (uint32_t i = 0; i < news->count; i++) {
        uint8_t hash[8];
        put_u64(hash, news->hashes[i]);
        text_append(&body, hash, sizeof hash);
    }
    const struct fleet_blob blob = {.kind = FLEET_USERS,
                                    .name = {.scope = news->cap, .day = news->month},
                                    .sender = news->sender,
                                    .body = body.bytes,
                                    .body_count = body.count};
    int result = body.failed ? error_no_memory(err) : fleet_blob_seal(key, &blob, &sealed, err);
    if (result == 0) {
        const char *const expire[] = {"EXPIRE", name, KEEP_SECONDS, NULL};
        struct fleet_command command = {0};
        fleet_command_string(&command, "XADD");
        fleet_command_string(&command, name);
        fleet_command_string(&command, "*");
        fleet_command_string(&command, "b");
        fleet_command_add(&command, sealed.bytes, sealed.count);
        result = fleet_redis_call(redis, &command, &reply, err);
        if (result == 0) {
            freeReplyObject(reply);
            result = plainly(redis, expire, err);
        }
    }
    text_destroy(&body);
    text_destroy(&sealed);
    return result;
}

/* One entry: [id, ["b", bytes]]. False where it has no id: then there is no going on. */
static bool take_entry(const redisReply *entry, struct fleet_key *key, const struct ticket_ear *ear)
{
    struct fleet_blob blob;
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
        entry->element[0]->type != REDIS_REPLY_STRING ||
        (size_t)entry->element[0]->len >= sizeof ear->position->id)
        return false;
    memcpy(ear->position->id, entry->element[0]->str, (size_t)entry->element[0]->len + 1);
    const redisReply *fields = entry->element[1];
    bool has_bytes = fields->type == REDIS_REPLY_ARRAY && fields->elements == 2 &&
                     fields->element[1]->type == REDIS_REPLY_STRING;
    if (!has_bytes ||
        fleet_blob_open(key, fields->element[1]->str, (size_t)fields->element[1]->len, &blob,
                        NULL) != 0 ||
        blob.kind != FLEET_USERS || blob.name.scope != ear->cap || blob.name.day != ear->month ||
        blob.body_count % 8 != 0 || blob.body_count > (size_t)TICKET_NEWS_MAX * 8) {
        ++*ear->refused;
        return true;
    }
    for (size_t at = 0; at < blob.body_count; at += 8)
        ear->learn(ear->argument, get_u64((const uint8_t *)blob.body + at));
    return true;
}

/* Nothing, or [[key, entries]]. */
static int take_entries(struct fleet_redis *redis, const redisReply *reply, struct fleet_key *key,
                        const struct ticket_ear *ear, struct error *err)
{
    if (reply->type == REDIS_REPLY_NIL)
        return 0;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1 ||
        reply->element[0]->type != REDIS_REPLY_ARRAY || reply->element[0]->elements != 2 ||
        reply->element[0]->element[1]->type != REDIS_REPLY_ARRAY)
        return fleet_redis_confused(redis, "its stream of users is none", err);
    const redisReply *entries = reply->element[0]->element[1];
    for (size_t i = 0; i < entries->elements; i++)
        if (!take_entry(entries->element[i], key, ear))
            return fleet_redis_confused(redis, "its stream of users is none", err);
    return (int)entries->elements;
}

int ticket_redis_hear(struct fleet_redis *redis, struct fleet_key *key,
                      const struct ticket_ear *ear, struct error *err)
{
    char name[FLEET_KEY_NAME_BYTES];
    struct fleet_command command = {0};
    redisReply *reply = NULL;
    key_of(redis, ear->cap, ear->month, "users", name);
    fleet_command_string(&command, "XREAD");
    fleet_command_string(&command, "COUNT");
    fleet_command_string(&command, MESSAGES_EACH);
    fleet_command_string(&command, "STREAMS");
    fleet_command_string(&command, name);
    fleet_command_string(&command, ear->position->id[0] != '\0' ? ear->position->id : "0-0");
    int result = fleet_redis_call(redis, &command, &reply, err);
    if (result != 0)
        return result;
    result = take_entries(redis, reply, key, ear, err);
    freeReplyObject(reply);
    return result;
}
