/* SPDX-License-Identifier: Apache-2.0 */
/* policy_caps.c -- caps by whose users they hold: a model's, a product's, all. Models of one
 * product share a cap, for its users are counted once.
 *
 * Alone, tickets are settled against the count every few seconds: limit - counted. So a ticket that
 * was taken for somebody who was counted before the cap was armed comes back, and a false positive
 * of the filter costs one. In a fleet they come by leases (policy_tickets.c). */
#include "base/ring.h"
#include "policy/policy_enforce_inner.h"
#include "policy/policy_fleet_inner.h"
#include "policy/users/calendar.h"
#include "policy/users/cap.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES   4096u
#define NAME_BYTES   1200u
#define NEWS_MAX     65536u
#define SKETCH_ERROR 0.00149 /* standard error of p = 18, measured */

/* -- Making one -- */

/* One key a year, of the years to come too, so that requests find them without a lock. */
static int make_keys(struct policy *policy, int64_t now_us, struct error *err)
{
    struct enforce *enforce = policy->enforce;
    struct secret_epoch epoch;
    int result = 0;
    if (enforce->keyed)
        return 0;
    enforce->first_year = calendar_month(calendar_day(now_us)) / 12;
    for (uint32_t i = 0; i < ENFORCE_YEARS && result == 0; i++) {
        result = secret_epoch(&policy->secret, enforce->first_year + i, &epoch, err);
        if (result == 0)
            memcpy(enforce->keys[i], epoch.cap, sizeof epoch.cap);
    }
    explicit_bzero(&epoch, sizeof epoch);
    enforce->keyed = result == 0;
    return result;
}

uint64_t enforce_cap_hash(const struct enforce *enforce, uint32_t month, uint64_t user_hash)
{
    uint32_t year = month / 12;
    uint32_t index = year <= enforce->first_year ? 0 : year - enforce->first_year;
    if (index >= ENFORCE_YEARS)
        index = ENFORCE_YEARS - 1;
    uint64_t hash = siphash(enforce->keys[index], &user_hash, sizeof user_hash);
    return hash == 0 ? 1 : hash;
}

static void cap_free(struct enforce_cap *cap)
{
    if (cap == NULL)
        return;
    user_cap_free(cap->users);
    ring_free(cap->news);
    free(cap->name);
    free(cap);
}

void enforce_caps_free(struct enforce *enforce)
{
    struct enforce_cap *cap = atomic_load(&enforce->caps);
    while (cap != NULL) {
        struct enforce_cap *next = cap->next;
        cap_free(cap);
        cap = next;
    }
}

static int open_users(struct policy *policy, struct enforce_cap *cap, uint32_t month,
                      struct error *err)
{
    char path[PATH_BYTES], name[NAME_BYTES];
    int count = snprintf(name, sizeof name, "cap %u %s", (unsigned)cap->scope, cap->name);
    if (count < 0 || (size_t)count >= sizeof name)
        return error_set(err, ERROR_INVALID, "a name of more than %u bytes", NAME_BYTES - 16);
    cap->id = siphash(policy->secret.files_key, name, (size_t)count);
    count = snprintf(path, sizeof path, "%s/cap-%016" PRIx64, policy->folder, cap->id);
    if (count < 0 || (size_t)count >= sizeof path)
        return error_set(err, ERROR_INVALID, "%.100s...: the path is too long", policy->folder);
    const struct user_cap_config config = {
        .users_cap = cap->users_max,
        .leased = policy->fleet != NULL,
        .open_max = policy->fleet != NULL ? policy->enforce->cap_open : 0,
        .path = path,
        .key_id = policy->secret.key_id,
        .month = month};
    cap->users = user_cap_new(&config, err);
    return cap->users == NULL ? err->code : 0;
}

static void note_made(struct policy *policy, const struct enforce_cap *cap, bool went_on)
{
    char line[NAME_BYTES];
    (void)snprintf(line, sizeof line,
                   "a cap on users of %s %.200s knows who is in by %" PRIu64
                   " bytes on disk, twice%s",
                   line_kind_name(cap->scope), cap->name, user_cap_bytes(cap->users),
                   went_on ? ""
                           : "; who was counted before in this month is not known to it, and "
                             "takes a ticket again");
    usage_add_note(policy->usage, line);
}

int enforce_cap_find(struct policy *policy, const struct enforce_wish *wish, int64_t now_us,
                     struct enforce_cap **ret, struct error *err)
{
    struct enforce *enforce = policy->enforce;
    struct enforce_cap *first = atomic_load(&enforce->caps);
    const char *of = wish->scope == LINE_ORGANISATION ? "" : wish->name;
    for (struct enforce_cap *cap = first; cap != NULL; cap = cap->next)
        if (cap->scope == wish->scope && strcmp(cap->name, of) == 0) {
            *ret = cap;
            return 0;
        }
    if (enforce->cap_count == ENFORCE_CAPS_MAX)
        return error_set(err, ERROR_INVALID, "at most %u caps", ENFORCE_CAPS_MAX);
    int result = make_keys(policy, now_us, err);
    if (result != 0)
        return result;
    struct enforce_cap *cap = calloc(1, sizeof *cap);
    if (cap == NULL)
        return error_no_memory(err);
    cap->scope = wish->scope;
    cap->name = strdup(of);
    cap->users_max = wish->users_max;
    cap->wanted = UINT64_MAX;
    atomic_store(&cap->limit, UINT64_MAX);
    if (cap->name == NULL || (policy->fleet != NULL && (cap->news = ring_new(NEWS_MAX)) == NULL))
        result = error_no_memory(err);
    if (result == 0)
        result = open_users(policy, cap, calendar_month(calendar_day(now_us)), err);
    if (result != 0) {
        cap_free(cap);
        return result;
    }
    note_made(policy, cap, user_cap_month(cap->users) != 0);
    cap->next = first;
    atomic_store(&enforce->caps, cap);
    enforce->cap_count++;
    *ret = cap;
    return 0;
}

/* -- Its limit, and what is counted -- */

uint64_t enforce_cap_limit(const struct policy *policy, const struct enforce_cap *cap,
                           const struct line *line, bool at_least)
{
    double kept = line->outside + (at_least ? 1 : 0);
    if (line->threshold > SKETCH_EXACT_MAX)
        kept += SKETCH_Z_ENFORCE * SKETCH_ERROR * line->threshold;
    kept += user_cap_overshoot(cap->users, (uint64_t)line->threshold);
    if (policy->fleet != NULL)
        kept += (double)policy->enforce->cap_open * policy_fleet_replicas(policy->fleet);
    return kept >= line->threshold ? 0 : (uint64_t)floor(line->threshold - kept);
}

/* Surely no more than so many: everybody who can be told apart, by the month's days alone. */
static bool count(struct policy *policy, struct enforce_cap *cap, int64_t now_us)
{
    struct usage_figures figures;
    const struct usage_question question = {.group = policy_group_of(policy, cap->scope, cap->name),
                                            .window = USAGE_WINDOW_MONTH,
                                            .day = calendar_day(now_us),
                                            .now_unix_us = now_us};
    if (question.group == NULL || usage_ask(policy->usage, &question, &figures, NULL) != 0)
        return false;
    atomic_store(&cap->counted, (uint64_t)ceil(figures.best.high));
    atomic_store(&cap->counted_month, calendar_month(question.day)); /* after: it vouches for it */
    return true;
}

static void turn_one(struct policy *policy, struct enforce_cap *cap, int64_t now_us, bool counts)
{
    uint32_t month = calendar_month(calendar_day(now_us));
    uint64_t limit = atomic_load(&cap->limit);
    bool turns = policy->fleet == NULL && month > user_cap_month(cap->users);
    if (limit == UINT64_MAX)
        return; /* no plan has it yet */
    if (!turns && !counts)
        return;
    uint64_t left = user_cap_tickets(cap->users); /* before it is counted what they went to */
    bool counted = count(policy, cap, now_us);
    uint64_t users = atomic_load(&cap->counted);
    if (turns) {
        /* user_cap_arm() gives out what is missing to what the cap is sized for. */
        uint64_t kept = limit < cap->users_max ? cap->users_max - limit : 0;
        (void)user_cap_arm(cap->users, month, counted ? users + kept : cap->users_max);
        atomic_store(&cap->full_since_unix, 0);
    } else if (counted && policy->fleet == NULL) {
        user_cap_settle(cap->users, limit, users, left);
    }
}

void enforce_caps_turn(struct policy *policy, int64_t now_us, bool counts)
{
    for (struct enforce_cap *cap = atomic_load(&policy->enforce->caps); cap != NULL;
         cap = cap->next)
        turn_one(policy, cap, now_us, counts);
}
