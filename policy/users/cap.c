/* SPDX-License-Identifier: Apache-2.0 */
/* cap.c -- the decision at the cap, and how a month turns under it.
 *
 *     known? ---- yes ---------------------------------> pass
 *        no  ---- a ticket? ---- yes -- write down ----> pass
 *                     no ------- store gone, opens left? pass, else refuse
 *
 * A month is a filter and its tickets. There are two of them and the spare one is empty, so the
 * turn is one pointer: whoever found the old month before it takes an old ticket into the old
 * filter, and no new ticket is ever written into a filter that is about to be wiped. The old month
 * is emptied after, and gives its pages back; so two filters cost the memory of one. A thread that
 * slept through a whole month would wake up in a filter that is in use again: its user is known
 * without a ticket, and nothing worse.
 *
 * Two threads with one new user both miss it and may both hold a ticket. Adding tells the later of
 * them that the user is known, mostly, and it puts its ticket back; when the two add bit by bit at
 * the same moment each is told `new`, and two tickets are gone for one user: the safe side. */
#include "policy/users/cap.h"

#include "policy/users/cap_filter.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define STRIPES    16u  /* of counts: threads meet on a cache line one time in so many */
#define Z_LIMIT    3.09 /* standard errors that leave 0.1% above */
#define PATH_BYTES 4096u
#define Z_DISCRETE 3.0 /* users on top, where a few are expected and a Poisson tail is heavier */

struct cap_month {
    struct cap_filter *filter;
    _Atomic uint32_t number; /* 0 before the first arming */
    _Alignas(64) _Atomic uint64_t tickets;
    _Atomic uint64_t opens; /* left to pass open */
};

struct stripe {
    _Alignas(64) _Atomic uint64_t answers[USER_CAP_REFUSED + 1];
};

struct user_cap {
    struct user_cap_config config;
    _Atomic(struct cap_month *) current; /* one of months[]; moved by the arming thread */
    _Atomic bool cut_off;
    struct cap_month months[2];
    struct stripe stripes[STRIPES];
};

static struct cap_month *current_month(const struct user_cap *cap)
{
    return atomic_load_explicit(&cap->current, memory_order_acquire);
}

static struct cap_filter *open_filter(const struct user_cap_config *config, const char *suffix,
                                      struct error *err)
{
    char path[PATH_BYTES];
    uint64_t users = config->users_cap + config->open_max;
    if (config->path == NULL)
        return cap_filter_new(users, err);
    const struct cap_filter_file file = {
        .path = path, .key_id = config->key_id, .label = config->month};
    int count = snprintf(path, sizeof path, "%s%s", config->path, suffix);
    if (count > 0 && (size_t)count < sizeof path)
        return cap_filter_open(&file, users, err);
    error_set(err, ERROR_INVALID, "%.100s...: the path is too long", config->path);
    return NULL;
}

/* The month that a file was left in goes on. */
static void take_up(struct user_cap *cap)
{
    for (size_t i = 0; i < 2; i++) {
        uint32_t label = cap_filter_label(cap->months[i].filter);
        if (label == 0 || label != cap->config.month)
            continue;
        cap->months[i].number = label;
        atomic_store(&cap->months[i].opens, cap->config.open_max);
        atomic_store(&cap->current, &cap->months[i]);
        return;
    }
}

struct user_cap *user_cap_new(const struct user_cap_config *config, struct error *err)
{
    if (config->users_cap > CAP_USERS_MAX || config->open_max > CAP_USERS_MAX) {
        error_set(err, ERROR_INVALID, "a cap knows %llu users at most",
                  (unsigned long long)CAP_USERS_MAX);
        return NULL;
    }
    struct user_cap *cap = aligned_alloc(_Alignof(struct user_cap), sizeof *cap);
    if (cap == NULL) {
        error_no_memory(err);
        return NULL;
    }
    *cap = (struct user_cap){.config = *config};
    for (size_t i = 0; i < 2; i++) {
        cap->months[i].filter = open_filter(config, i == 0 ? ".a" : ".b", err);
        if (cap->months[i].filter == NULL) {
            user_cap_free(cap);
            return NULL;
        }
    }
    atomic_store(&cap->current, &cap->months[0]);
    take_up(cap);
    cap->config.path = NULL; /* the caller's */
    return cap;
}

void user_cap_free(struct user_cap *cap)
{
    if (cap == NULL)
        return;
    for (size_t i = 0; i < 2; i++)
        cap_filter_free(cap->months[i].filter);
    free(cap);
}

bool user_cap_arm(struct user_cap *cap, uint32_t month, uint64_t counted)
{
    struct cap_month *old = current_month(cap);
    if (month <= old->number)
        return false;
    struct cap_month *turned = old == &cap->months[0] ? &cap->months[1] : &cap->months[0];
    cap_filter_reset(turned->filter); /* what a straggler left after the turn before */
    uint64_t users_cap = cap->config.users_cap;
    uint64_t tickets = cap->config.leased || counted >= users_cap ? 0 : users_cap - counted;
    turned->number = month;
    cap_filter_set_label(turned->filter, month);
    atomic_store_explicit(&turned->tickets, tickets, memory_order_relaxed);
    atomic_store_explicit(&turned->opens, cap->config.open_max, memory_order_relaxed);
    atomic_store_explicit(&cap->current, turned, memory_order_release);
    cap_filter_reset(old->filter);
    return true;
}

uint32_t user_cap_month(const struct user_cap *cap)
{
    return current_month(cap)->number;
}

/* One off the pool, unless it is empty. */
static bool take_one(_Atomic uint64_t *pool)
{
    uint64_t left = atomic_load_explicit(pool, memory_order_relaxed);
    while (left > 0)
        if (atomic_compare_exchange_weak_explicit(pool, &left, left - 1, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    return false;
}

static enum user_cap_answer decide(struct user_cap *cap, uint64_t hash)
{
    struct cap_month *month = current_month(cap);
    if (cap_filter_has(month->filter, hash))
        return USER_CAP_KNOWN;
    _Atomic uint64_t *pool = &month->tickets;
    enum user_cap_answer answer = USER_CAP_TAKEN;
    if (!take_one(pool)) {
        pool = &month->opens;
        answer = USER_CAP_OPEN;
        if (!atomic_load_explicit(&cap->cut_off, memory_order_relaxed) || !take_one(pool))
            /* Perhaps the last ticket went to this very user, on another thread. */
            return cap_filter_has(month->filter, hash) ? USER_CAP_KNOWN : USER_CAP_REFUSED;
    }
    if (cap_filter_add(month->filter, hash))
        return answer;
    (void)atomic_fetch_add_explicit(pool, 1, memory_order_relaxed);
    return USER_CAP_KNOWN;
}

enum user_cap_answer user_cap_admit(struct user_cap *cap, uint64_t hash)
{
    enum user_cap_answer answer = decide(cap, hash);
    /* By user, not by thread: the threads are not ours to number. */
    (void)atomic_fetch_add_explicit(&cap->stripes[hash % STRIPES].answers[answer], 1,
                                    memory_order_relaxed);
    return answer;
}

bool user_cap_would_refuse(const struct user_cap *cap, uint64_t hash)
{
    const struct cap_month *month = current_month(cap);
    bool opens = atomic_load_explicit(&cap->cut_off, memory_order_relaxed) &&
                 atomic_load_explicit(&month->opens, memory_order_relaxed) > 0;
    return !opens && atomic_load_explicit(&month->tickets, memory_order_relaxed) == 0 &&
           !cap_filter_has(month->filter, hash);
}

bool user_cap_learn(struct user_cap *cap, uint64_t hash)
{
    return cap_filter_add(current_month(cap)->filter, hash);
}

void user_cap_grant(struct user_cap *cap, uint64_t tickets)
{
    struct cap_month *month = current_month(cap);
    assert(month->number != 0); /* tickets are of a month, so arming comes first */
    (void)atomic_fetch_add_explicit(&month->tickets, tickets, memory_order_relaxed);
}

uint64_t user_cap_return(struct user_cap *cap, uint64_t keep)
{
    _Atomic uint64_t *pool = &current_month(cap)->tickets;
    uint64_t left = atomic_load_explicit(pool, memory_order_relaxed);
    while (left > keep)
        if (atomic_compare_exchange_weak_explicit(pool, &left, keep, memory_order_relaxed,
                                                  memory_order_relaxed))
            return left - keep;
    return 0;
}

void user_cap_settle(struct user_cap *cap, uint64_t users_cap, uint64_t counted, uint64_t left)
{
    uint64_t wanted = counted < users_cap ? users_cap - counted : 0;
    if (left < wanted)
        (void)atomic_fetch_add_explicit(&current_month(cap)->tickets, wanted - left,
                                        memory_order_relaxed);
    else
        (void)user_cap_return(cap, wanted); /* what came in meanwhile has taken its own */
}

uint64_t user_cap_tickets(const struct user_cap *cap)
{
    return atomic_load_explicit(&current_month(cap)->tickets, memory_order_relaxed);
}

void user_cap_cut_off(struct user_cap *cap, bool cut_off)
{
    atomic_store_explicit(&cap->cut_off, cut_off, memory_order_relaxed);
}

void user_cap_counts(const struct user_cap *cap, struct user_cap_counts *ret)
{
    uint64_t sums[USER_CAP_REFUSED + 1] = {0};
    for (uint32_t s = 0; s < STRIPES; s++)
        for (uint32_t a = 0; a <= USER_CAP_REFUSED; a++)
            sums[a] += atomic_load_explicit(&cap->stripes[s].answers[a], memory_order_relaxed);
    *ret = (struct user_cap_counts){.known = sums[USER_CAP_KNOWN],
                                    .taken = sums[USER_CAP_TAKEN],
                                    .open = sums[USER_CAP_OPEN],
                                    .refused = sums[USER_CAP_REFUSED]};
}

double user_cap_overshoot(const struct user_cap *cap, uint64_t new_users)
{
    uint64_t full = cap->config.users_cap + cap->config.open_max;
    double expected = cap_filter_error(cap->months[0].filter, full) * (double)new_users;
    return expected + Z_LIMIT * sqrt(expected) + Z_DISCRETE;
}

uint64_t user_cap_bytes(const struct user_cap *cap)
{
    return cap_filter_bytes(cap->months[0].filter);
}
