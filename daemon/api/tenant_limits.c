/* SPDX-License-Identifier: Apache-2.0 */
/* tenant_limits.c -- a fixed table of tenants, found by the digest of their names.
 *
 * A tenant's place is the first with its id at or behind where its digest points; a place once
 * used is never empty again, so a search ends at the first that never was. A place is given to
 * another tenant when its buckets are full and nothing holds it (`running`), under the lock that
 * every search takes: some fifty nanoseconds a request, and a tenant's figures cannot change under
 * whoever looks at them. Leaving takes no lock: the tokens go back before `running` falls, so
 * whoever finds it 0 finds them returned.
 *
 * Not a table a worker: a limit of 60 would be 480 over eight of them. Not a place in the set of
 * live.h: a reload would hand everybody a full bucket. */
#include "daemon/api/tenant_limits.h"

#include "daemon/api/bucket.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct tenant_slot {
    /* under the table's lock */
    uint64_t tenant;
    bool used; /* ever */
    /* shared; each guards itself */
    struct bucket requests, tokens;
    _Atomic uint32_t running; /* rises under the lock, falls without */
};

struct tenant_limits {
    pthread_mutex_t lock;
    struct tenant_slot slots[TENANT_SLOTS];
};

struct tenant_limits *tenant_limits_new(struct error *err)
{
    struct tenant_limits *limits = calloc(1, sizeof *limits);
    if (limits == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    int failed = pthread_mutex_init(&limits->lock, NULL);
    assert(failed == 0); /* the default kind takes nothing that could run out */
    return limits;
}

void tenant_limits_free(struct tenant_limits *limits)
{
    if (limits == NULL)
        return;
    assert(tenant_limits_running(limits) == 0);
    (void)pthread_mutex_destroy(&limits->lock);
    free(limits);
}

static uint32_t running(const struct tenant_slot *slot)
{
    return atomic_load_explicit(&slot->running, memory_order_acquire);
}

static bool is_forgettable(const struct tenant_slot *slot, uint64_t now_us)
{
    return running(slot) == 0 && bucket_is_full(&slot->requests, now_us) &&
           bucket_is_full(&slot->tokens, now_us);
}

/* The tenant's place, its own or a new one, or NULL while there is none. Under the lock. */
static struct tenant_slot *find(struct tenant_limits *limits, uint64_t tenant, uint64_t now_us)
{
    struct tenant_slot *place = NULL;
    for (uint32_t i = 0; i < TENANT_SLOTS; i++) {
        struct tenant_slot *slot = &limits->slots[(tenant + i) % TENANT_SLOTS];
        if (slot->used && slot->tenant == tenant)
            return slot;
        if (place == NULL && (!slot->used || is_forgettable(slot, now_us)))
            place = slot;
        if (!slot->used)
            break;
    }
    if (place == NULL)
        return NULL;
    place->used = true;
    place->tenant = tenant;
    return place;
}

static void view_of(const struct tenant_slot *slot, const struct tenant_question *question,
                    struct tenant_view *ret)
{
    const struct tenant_rates *rates = &question->rates;
    *ret = (struct tenant_view){.rates = *rates};
    if (slot == NULL)
        return; /* nothing is left for who has no place */
    if (rates->requests > 0)
        ret->requests_left =
            bucket_left(&slot->requests, rates->requests, question->now_us, &ret->requests_full_us);
    if (rates->tokens > 0)
        ret->tokens_left =
            bucket_left(&slot->tokens, rates->tokens, question->now_us, &ret->tokens_full_us);
}

void tenant_limits_look(struct tenant_limits *limits, const struct tenant_question *question,
                        struct tenant_view *ret)
{
    (void)pthread_mutex_lock(&limits->lock);
    view_of(find(limits, question->tenant, question->now_us), question, ret);
    (void)pthread_mutex_unlock(&limits->lock);
}

static enum tenant_limit ask(struct tenant_slot *slot, const struct tenant_question *question,
                             uint64_t *ret_wait_us)
{
    const struct tenant_rates *rates = &question->rates;
    if (slot == NULL)
        return TENANT_UNKNOWN;
    if (rates->concurrent > 0 && running(slot) >= rates->concurrent)
        return TENANT_CONCURRENT;
    if (rates->requests > 0 &&
        !bucket_take(&slot->requests, rates->requests, 1, question->now_us, ret_wait_us))
        return TENANT_REQUESTS;
    return TENANT_MAY;
}

enum tenant_limit tenant_limits_ask(struct tenant_limits *limits,
                                    const struct tenant_question *question, struct tenant_view *ret,
                                    uint64_t *ret_wait_us)
{
    *ret_wait_us = 0;
    (void)pthread_mutex_lock(&limits->lock);
    struct tenant_slot *slot = find(limits, question->tenant, question->now_us);
    enum tenant_limit found = ask(slot, question, ret_wait_us);
    view_of(slot, question, ret);
    (void)pthread_mutex_unlock(&limits->lock);
    return found;
}

static enum tenant_limit enter(struct tenant_slot *slot, const struct tenant_question *question,
                               uint64_t tokens, struct tenant_lease *lease, uint64_t *ret_wait_us)
{
    const struct tenant_rates *rates = &question->rates;
    if (slot == NULL)
        return TENANT_UNKNOWN;
    if (rates->concurrent > 0 && running(slot) >= rates->concurrent)
        return TENANT_CONCURRENT;
    if (rates->tokens > 0 && tokens > rates->tokens)
        return TENANT_TOKENS_NEVER;
    if (rates->tokens > 0 &&
        !bucket_take(&slot->tokens, rates->tokens, tokens, question->now_us, ret_wait_us))
        return TENANT_TOKENS;
    (void)atomic_fetch_add_explicit(&slot->running, 1, memory_order_relaxed);
    *lease = (struct tenant_lease){.slot = slot,
                                   .tokens = rates->tokens > 0 ? (uint32_t)tokens : 0,
                                   .tokens_rate = rates->tokens};
    return TENANT_MAY;
}

enum tenant_limit tenant_limits_enter(struct tenant_limits *limits,
                                      const struct tenant_question *question, uint64_t tokens,
                                      struct tenant_lease *lease, struct tenant_view *ret,
                                      uint64_t *ret_wait_us)
{
    assert(lease->slot == NULL);
    *ret_wait_us = 0;
    (void)pthread_mutex_lock(&limits->lock);
    struct tenant_slot *slot = find(limits, question->tenant, question->now_us);
    enum tenant_limit found = enter(slot, question, tokens, lease, ret_wait_us);
    view_of(slot, question, ret);
    (void)pthread_mutex_unlock(&limits->lock);
    return found;
}

void tenant_limits_leave(struct tenant_lease *lease, uint64_t used_tokens)
{
    struct tenant_slot *slot = lease->slot;
    if (slot == NULL)
        return;
    if (lease->tokens > used_tokens)
        bucket_give(&slot->tokens, lease->tokens_rate, lease->tokens - used_tokens);
    uint32_t before = atomic_fetch_sub_explicit(&slot->running, 1, memory_order_release);
    assert(before > 0);
    *lease = (struct tenant_lease){0};
}

uint32_t tenant_limits_running(const struct tenant_limits *limits)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < TENANT_SLOTS; i++)
        count += running(&limits->slots[i]);
    return count;
}
