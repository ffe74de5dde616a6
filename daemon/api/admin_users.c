/* SPDX-License-Identifier: Apache-2.0 */
/* admin_users.c -- POST /admin/v1/users: people who use a product and never reach a model here.
 *
 *     body -> feed -> a piece -> is it on disk? -> the next piece ... -> 200
 *                        ^              no: wait until the policy thread rings
 *
 * The answer is a promise as a model's is: what was accepted survives a power cut. It does not say
 * who was new, nor how many: that would be an oracle of who uses what (facts of adaptive attacks
 * are in policy/users/README.md), and whoever feeds has no need of it. */
#include "base/clock.h"
#include "daemon/api/admin_users_body.h"
#include "daemon/api/answer.h"
#include "daemon/api/handlers.h"
#include "policy/policy_feed.h"
#include "policy/render/json_writer.h"
#include "policy/users/calendar.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define FEEDS_MAX 16u /* of a worker at a time: a sketch's is two megabytes */

struct admin_feed {
    struct admin_feed *next;
    struct call call;
    struct policy_feed *feed;
    uint64_t sequence; /* what the next piece or the answer waits for */
    bool more;
    uint32_t day, accepted;
    enum policy_feed_form form;
    enum identity_class class;
};

static void feed_free(struct admin_feed *feed)
{
    (void)atomic_fetch_sub(&feed->call.api->server->held, 1);
    policy_feed_free(feed->feed);
    live_unref(feed->call.live);
    free(feed);
}

static void write_day(struct text *out, uint32_t day)
{
    char digits[CALENDAR_TEXT_BYTES];
    struct text date;
    text_init(&date);
    calendar_write(day, digits);
    text_append_format(&date, "%.4s-%.2s-%.2s", digits, digits + 4, digits + 6);
    json_write_take(out, "day", &date);
}

static void answer(struct admin_feed *feed)
{
    struct text body;
    text_init(&body);
    text_append_char(&body, '{');
    json_write_string(&body, "object", "users.accepted");
    json_write_string(&body, "product", policy_feed_product(feed->feed));
    write_day(&body, feed->day);
    json_write_string(&body, "class", identity_class_name(feed->class));
    if (feed->form != POLICY_FEED_SKETCH) {
        uint32_t ignored = policy_feed_ignored(feed->feed);
        json_write_u64(&body, "accepted", feed->accepted - ignored);
        json_write_u64(&body, "ignored", ignored);
    }
    json_write_close(&body, '}');
    answer_json(&feed->call, &body);
    text_destroy(&body);
}

static void fail(struct call *call, const struct error *err, const char *member)
{
    struct fault fault;
    (void)fault_from_error(&fault, err);
    if (err->code == ERROR_REFUSED) {
        fault.status = 409; /* the request is right, and contradicts what there is */
        fault.code = "key_mismatch";
    } else if (err->code == ERROR_BUSY) {
        fault.status = 507; /* no time will help, but an operator */
        fault.code = "too_many_products";
    }
    (void)snprintf(fault.param, sizeof fault.param, "%s", member);
    answer_fault(call, &fault, NULL);
}

/* As far as it goes without waiting; true when it is answered. */
static bool advance(struct admin_feed *feed)
{
    struct error err = {0};
    const struct policy *policy = feed->call.api->server->policy;
    while (policy_durable(policy, feed->sequence)) {
        if (!feed->more) {
            answer(feed);
            return true;
        }
        int result = policy_feed_step(feed->feed, &feed->sequence, &err);
        if (result < 0) {
            fail(&feed->call, &err, "day");
            return true;
        }
        feed->more = result == 1;
    }
    return false;
}

/* The server's count goes up before the policy is asked: either we see that it is on disk, or the
 * policy thread sees that somebody waits. */
static void start(struct call *call, const struct admin_users *users)
{
    struct api *api = call->api;
    const struct policy_feed_request *request = &users->request;
    struct error err = {0};
    const char *member;
    struct fault fault;
    struct admin_feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL) {
        (void)fault_no_memory(&fault);
        answer_fault(call, &fault, NULL);
        return;
    }
    (void)atomic_fetch_add(&api->server->held, 1);
    *feed = (struct admin_feed){.call = *call,
                                .more = true,
                                .day = request->day,
                                .accepted = request->count,
                                .form = request->form,
                                .class = request->class};
    (void)live_ref(feed->call.live);
    if (policy_feed_new(api->server->policy, request, clock_unix_us(), &feed->feed, &member,
                        &err) != 0) {
        fail(&feed->call, &err, member);
        feed_free(feed);
    } else if (advance(feed)) {
        feed_free(feed);
    } else {
        feed->next = api->feeds;
        api->feeds = feed;
        api->feed_count++;
    }
    call->exchange = NULL; /* answered, or the feed's to answer */
}

void admin_users_answer(struct call *call)
{
    size_t count;
    const char *body = exchange_body(call->exchange, &count);
    struct admin_users users;
    struct fault fault;
    int result = 0;
    if (call->api->feed_count == FEEDS_MAX) {
        result = fault_code(&fault, 429, "too_many_feeds",
                            "%u feeds are on their way to the disk; send one after the other",
                            FEEDS_MAX);
        fault.retry_after_s = 1;
    }
    if (result == 0)
        result = admin_users_parse(body, count, calendar_day(clock_unix_us()), &users, &fault);
    if (result != 0) {
        answer_fault(call, &fault, NULL);
        return;
    }
    start(call, &users);
    admin_users_destroy(&users);
}

static void forget(struct api *api, struct admin_feed **at)
{
    struct admin_feed *feed = *at;
    assert(api->feed_count > 0);
    *at = feed->next;
    api->feed_count--;
    feed_free(feed);
}

void admin_users_wake(struct api *api, uint64_t now_us)
{
    for (struct admin_feed **at = &api->feeds; *at != NULL;) {
        struct admin_feed *feed = *at;
        feed->call.now_us = now_us;
        if (advance(feed))
            forget(api, at);
        else
            at = &feed->next;
    }
}

/* What went in stays: it is true. */
void admin_users_gone(struct api *api, const struct exchange *exchange)
{
    for (struct admin_feed **at = &api->feeds; *at != NULL; at = &(*at)->next)
        if ((*at)->call.exchange == exchange) {
            forget(api, at);
            return;
        }
}
