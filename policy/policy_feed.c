/* SPDX-License-Identifier: Apache-2.0 */
/* policy_feed.c -- from ids, hashes or a sketch to values of one counter.
 *
 * A join cannot be undone. A sketch is a quarter of a megabyte that stands for any number of
 * people, so one that is damaged or made up could end a licence's headroom for a month. What guards
 * against it: only its own bytes are believed in (sketch_read), under our key, by the holder of an
 * admin key; and one of more than POLICY_FEED_PLAIN_USERS must come with the number that its maker
 * expects. The fleet sets such a jump aside for a person to look at; here a person's program is
 * asking, and can be told. */
#include "policy/policy_feed.h"

#include "policy/license/assessment.h"
#include "policy/policy_inner.h"
#include "policy/users/calendar.h"
#include "policy/users/identity.h"

#include <assert.h>
#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SKETCH_HEADER 16u /* sketch.h: bytes before hashes or registers */
#define SKETCH_FORM   4u
#define FORM_HASHES   1

struct policy_feed {
    struct policy *policy; /* borrowed */
    struct usage_scope *scope;
    enum usage_class class;
    struct usage_values values; /* day, kind; the rest is of each step */
    uint64_t *all;              /* year by year */
    struct {
        uint32_t year, count;
    } parts[YEARS_MAX];
    uint32_t part_count, part; /* the one that goes in */
    uint32_t begun, done;      /* of `all`: where the part begins; what of it is in */
    uint32_t ignored;
    char product[POLICY_FEED_PRODUCT_MAX + 1];
};

uint64_t policy_key_id(const struct policy *policy, uint32_t year)
{
    return year_keys_peek(usage_year_keys(policy->usage), year)->id;
}

/* -- Where to -- */

static int check_day(const struct policy *policy, uint32_t day, int64_t now_us, struct error *err)
{
    uint32_t today = calendar_day(now_us), kept = usage_keep_days(policy->usage);
    if (day > today + 1)
        return error_set(err, ERROR_INVALID,
                         "the day is still to come: tomorrow, where another "
                         "clock may be ahead, is the latest");
    if (day + kept <= today)
        return error_set(err, ERROR_UNSUPPORTED,
                         "days before the last %u cannot be told apart any more (users.keep_days)",
                         kept);
    return 0;
}

static const struct policy_model *find_model(const struct policy *policy, const char *id)
{
    const struct policy_model *model = policy->models;
    while (model != NULL && (model->scope == NULL || strcmp(model->facts->id, id) != 0))
        model = model->next;
    return model;
}

static int find_scope(struct policy *policy, const struct policy_feed_request *request,
                      struct policy_feed *feed, const char **member, struct error *err)
{
    const struct policy_model *model = NULL;
    const char *product = request->product;
    *member = "model";
    if (request->model[0] != '\0') {
        model = find_model(policy, request->model);
        if (model == NULL)
            return error_set(err, ERROR_NOT_FOUND,
                             "no model of that name is served here; leave it out for users of the "
                             "product whatever they use");
        if (product[0] == '\0')
            product = model->facts->product;
    }
    *member = "product";
    if (model == NULL && product[0] == '\0')
        return error_set(err, ERROR_INVALID, "a product must be named, or a model");
    if (strlen(product) > POLICY_FEED_PRODUCT_MAX)
        return error_set(err, ERROR_INVALID, "a name of more than %u bytes",
                         POLICY_FEED_PRODUCT_MAX);
    memcpy(feed->product, product, strlen(product) + 1);
    if (model != NULL && strcmp(product, model->facts->product) == 0) {
        feed->scope = model->scope;
        return 0;
    }
    const struct recognition *found =
        model == NULL ? NULL : policy_model_assessment(model)->recognition;
    const struct license_record *license =
        found == NULL || found->license_count == 0 ? NULL : found->licenses[0].record;
    const struct usage_scope_name name = {.product = product,
                                          .model = request->model,
                                          .family = license == NULL ? "" : license->family};
    return usage_scope_add(policy->usage, &name, &feed->scope, err);
}

/* -- What of -- */

/* Under each year of the day. */
static void take_users(const struct policy_feed_request *request, const struct year_keys *keys,
                       struct policy_feed *feed)
{
    uint32_t years[YEARS_MAX], used = 0;
    feed->part_count = years_of_day(request->day, years);
    for (uint32_t y = 0; y < feed->part_count; y++) {
        uint32_t begun = used;
        for (uint32_t i = 0; i < request->count; i++) {
            const struct identity_user user = {
                .tenant = request->tenant, .issuer = request->issuer, .id = request->users[i]};
            used +=
                identity_user_hash(&user, year_keys_peek(keys, years[y])->users, &feed->all[used]);
        }
        feed->parts[y].year = years[y];
        feed->parts[y].count = used - begun;
        feed->ignored = request->count - feed->parts[y].count;
    }
}

/* Registers that are 0 say nothing. */
static uint32_t take_registers(const uint8_t *registers, size_t count, uint64_t *ret)
{
    uint32_t used = 0;
    for (size_t i = 0; i < count; i++)
        if (registers[i] != 0)
            ret[used++] = (uint64_t)i << 8 | registers[i];
    return used;
}

static int take_bytes(const struct text *bytes, struct policy_feed *feed, struct error *err)
{
    const uint8_t *body = (const uint8_t *)bytes->bytes + SKETCH_HEADER;
    size_t body_bytes = bytes->count - SKETCH_HEADER;
    bool hashes = bytes->bytes[SKETCH_FORM] == FORM_HASHES;
    size_t count = hashes ? body_bytes / sizeof(uint64_t) : body_bytes;
    feed->values.kind = hashes ? JOURNAL_HASH : JOURNAL_REGISTER;
    feed->all = calloc(count + 1, sizeof *feed->all);
    if (feed->all == NULL)
        return error_no_memory(err);
    if (!hashes) {
        feed->parts[0].count = take_registers(body, count, feed->all);
        return 0;
    }
    memcpy(feed->all, body, body_bytes);
    for (size_t i = 0; i < count; i++)
        feed->all[i] = le64toh(feed->all[i]);
    feed->parts[0].count = (uint32_t)count;
    return 0;
}

static int judge_sketch(const struct sketch *sketch, double expected, struct error *err)
{
    struct sketch_count users;
    sketch_count(sketch, &users);
    if (!sketch_is_exact(sketch) && sketch_p(sketch) < SKETCH_P)
        return error_set(err, ERROR_UNSUPPORTED, "a sketch of 2^%u registers, not 2^%u",
                         sketch_p(sketch), SKETCH_P);
    if (!(users.value <= POLICY_FEED_PEOPLE))
        return error_set(err, ERROR_INVALID, "it stands for more people than there are");
    if (expected > 0 && fabs(users.value - expected) > POLICY_FEED_TOLERANCE * expected)
        return error_set(err, ERROR_INVALID, "it stands for %.0f users, not for %.0f", users.value,
                         expected);
    if (!(expected > 0) && users.value > POLICY_FEED_PLAIN_USERS)
        return error_set(err, ERROR_INVALID,
                         "it stands for %.0f users: a join cannot be undone, so above %.0f say in "
                         "sketch_users how many are meant",
                         users.value, POLICY_FEED_PLAIN_USERS);
    return 0;
}

static int take_sketch(const struct policy_feed_request *request, struct policy_feed *feed,
                       struct error *err)
{
    struct sketch *sketch = NULL;
    struct text bytes;
    text_init(&bytes);
    int result = sketch_read(request->sketch, request->sketch_bytes, &sketch, err);
    if (result == 0)
        result = judge_sketch(sketch, request->sketch_users, err);
    if (result == 0 && sketch_p(sketch) > SKETCH_P)
        result = sketch_downsize(sketch, SKETCH_P, err);
    if (result == 0) {
        sketch_write(sketch, &bytes);
        result = bytes.failed ? error_no_memory(err) : take_bytes(&bytes, feed, err);
    }
    text_destroy(&bytes);
    sketch_free(sketch);
    return result;
}

/* Whose year's key it is; of the day's years. */
static int find_year(const struct policy *policy, const struct policy_feed_request *request,
                     struct policy_feed *feed, struct error *err)
{
    uint32_t years[YEARS_MAX], count = years_of_day(request->day, years);
    feed->part_count = 1;
    for (uint32_t i = 0; i < count; i++) {
        feed->parts[0].year = years[i];
        if (request->key_id == policy_key_id(policy, years[i]))
            return 0;
    }
    return error_set(
        err, ERROR_REFUSED,
        "hashed under the key %016llx, and users of that day are counted under %016llx: "
        "the same person would be two",
        (unsigned long long)request->key_id, (unsigned long long)policy_key_id(policy, years[0]));
}

static int take_values(struct policy *policy, const struct policy_feed_request *request,
                       struct policy_feed *feed, const char **member, struct error *err)
{
    static const char *const members[] = {
        [POLICY_FEED_USERS] = "users", [POLICY_FEED_HASHES] = "hashes", "sketch"};
    *member = "key_id";
    int result = request->form == POLICY_FEED_USERS ? 0 : find_year(policy, request, feed, err);
    if (result != 0)
        return result;
    *member = members[request->form];
    feed->values.kind = JOURNAL_HASH;
    if (request->form == POLICY_FEED_SKETCH)
        return take_sketch(request, feed, err);
    assert(request->count <= POLICY_FEED_USERS_MAX);
    feed->all = calloc((size_t)request->count * YEARS_MAX + 1, sizeof *feed->all);
    if (feed->all == NULL)
        return error_no_memory(err);
    if (request->form == POLICY_FEED_USERS) {
        take_users(request, usage_year_keys(policy->usage), feed);
        return 0;
    }
    memcpy(feed->all, request->hashes, request->count * sizeof *feed->all);
    feed->parts[0].count = request->count;
    return 0;
}

/* -- Life -- */

int policy_feed_new(struct policy *policy, const struct policy_feed_request *request,
                    int64_t now_us, struct policy_feed **ret, const char **ret_member,
                    struct error *err)
{
    assert(request->class == IDENTITY_VERIFIED || request->class == IDENTITY_ASSERTED);
    *ret_member = "";
    struct policy_feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL)
        return error_no_memory(err);
    feed->policy = policy;
    feed->values.day = request->day;
    feed->class = request->class == IDENTITY_VERIFIED ? USAGE_VERIFIED : USAGE_ASSERTED;
    *ret_member = "day";
    int result = check_day(policy, request->day, now_us, err);
    if (result == 0)
        result = take_values(policy, request, feed, ret_member, err);
    if (result == 0) /* last, for it makes a scope that stays */
        result = find_scope(policy, request, feed, ret_member, err);
    if (result != 0) {
        policy_feed_free(feed);
        return result;
    }
    *ret = feed;
    return 0;
}

void policy_feed_free(struct policy_feed *feed)
{
    if (feed == NULL)
        return;
    free(feed->all);
    free(feed);
}

uint32_t policy_feed_ignored(const struct policy_feed *feed)
{
    return feed->ignored;
}

const char *policy_feed_product(const struct policy_feed *feed)
{
    return feed->product;
}

int policy_feed_step(struct policy_feed *feed, uint64_t *ret_sequence, struct error *err)
{
    uint32_t left = feed->parts[feed->part].count - feed->done;
    feed->values.class = usage_keyed_class(feed->class, feed->parts[feed->part].year);
    feed->values.values = feed->all + feed->begun + feed->done;
    feed->values.count = left < USAGE_PUT_MAX ? left : USAGE_PUT_MAX;
    int result = usage_put(feed->scope, &feed->values, ret_sequence, err);
    if (feed->policy->thread != NULL)
        policy_thread_poke(feed->policy->thread);
    if (result != 0)
        return result;
    feed->done += feed->values.count;
    if (feed->done < feed->parts[feed->part].count)
        return 1;
    feed->begun += feed->done;
    feed->done = 0;
    return ++feed->part < feed->part_count ? 1 : 0;
}
