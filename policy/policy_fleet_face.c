/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy_fleet_state.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NOTE_BYTES          1024
#define STALE_GRACE_SECONDS 3u

void policy_fleet_note(struct policy_fleet *fleet, const char *format, ...)
{
    char line[NOTE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    usage_add_note(fleet->policy->usage, line);
}

struct wanted_scope {
    uint64_t scope;
    char *ret;
    size_t ret_bytes;
};

static int on_name(void *argument, uint64_t scope, const struct usage_scope_name *name,
                   struct error *err)
{
    const struct wanted_scope *wanted = argument;
    (void)err;
    if (scope == wanted->scope)
        (void)snprintf(wanted->ret, wanted->ret_bytes, "%s", name->model);
    return 0;
}

void policy_fleet_model(const struct policy_fleet *fleet, uint64_t scope, char *ret,
                        size_t ret_bytes)
{
    struct wanted_scope wanted = {.scope = scope, .ret = ret, .ret_bytes = ret_bytes};
    ret[0] = '\0';
    (void)usage_fleet_each_name(fleet->counters, on_name, &wanted, NULL);
}

/* -- Telling -- */

void policy_fleet_tell(struct policy_fleet *fleet)
{
    struct fleet_status status;
    fleet_status(fleet->fleet, &status);
    (void)pthread_mutex_lock(&fleet->lock);
    struct fleet_told *told = &fleet->told;
    told->status.complete = status.complete;
    told->status.published = status.published;
    told->status.received = status.received;
    told->status.refused = status.refused + fleet_registry_refused(fleet->members.registry);
    told->status.replicas = fleet->members.replicas;
    told->status.replicas_current = fleet->members.current;
    if (fleet->members.offset_us != INT64_MIN)
        told->status.clock_offset_seconds = (double)fleet->members.offset_us / 1e6;
    told->heard_unix_us = fleet->members.heard_us;
    told->status.set_aside = status.set_aside;
    told->status.left_out = status.left_out + usage_fleet_unnamed(fleet->counters);
    told->status.suspects = told->suspect_count = fleet_suspects(fleet->fleet);
    for (uint32_t i = 0; i < told->suspect_count; i++)
        told->suspects[i] = *fleet_suspect_peek(fleet->fleet, i);
    told->synced_unix_us = status.synced_unix_us;
    (void)pthread_mutex_unlock(&fleet->lock);
}

void policy_fleet_status(const struct policy *policy, int64_t now_unix_us,
                         struct policy_fleet_status *ret)
{
    struct policy_fleet *fleet = policy->fleet;
    *ret = (struct policy_fleet_status){.complete = true, .clock_offset_seconds = (double)NAN};
    if (fleet == NULL)
        return;
    (void)pthread_mutex_lock(&fleet->lock);
    *ret = fleet->told.status;
    int64_t synced_us = fleet->told.synced_unix_us;
    (void)pthread_mutex_unlock(&fleet->lock);
    ret->together = true;
    ret->stale_seconds = synced_us == 0            ? UINT64_MAX
                         : now_unix_us > synced_us ? (uint64_t)(now_unix_us - synced_us) / 1000000
                                                   : 0;
    if (ret->stale_seconds > (3 * (uint64_t)fleet->sync_ms) / 1000 + STALE_GRACE_SECONDS)
        ret->replicas_current = 0; /* who is cut off hears nobody */
    ret->complete = ret->complete && ret->replicas > 0 && ret->replicas_current == ret->replicas;
}

bool policy_fleet_heard_past(const struct policy *policy, int64_t unix_us)
{
    struct policy_fleet *fleet = policy->fleet;
    if (fleet == NULL)
        return true;
    (void)pthread_mutex_lock(&fleet->lock);
    bool heard = fleet->told.heard_unix_us > unix_us;
    (void)pthread_mutex_unlock(&fleet->lock);
    return heard;
}

uint32_t policy_fleet_replicas(const struct policy_fleet *fleet)
{
    if (fleet == NULL)
        return 1;
    struct policy_fleet *shared = (struct policy_fleet *)(uintptr_t)fleet;
    (void)pthread_mutex_lock(&shared->lock);
    uint32_t count = fleet->told.status.replicas;
    (void)pthread_mutex_unlock(&shared->lock);
    return count > 0 ? count : 1;
}

uint32_t policy_fleet_suspects(const struct policy *policy, struct policy_suspect *ret,
                               uint32_t capacity)
{
    struct policy_fleet *fleet = policy->fleet;
    if (fleet == NULL)
        return 0;
    (void)pthread_mutex_lock(&fleet->lock);
    uint32_t count = fleet->told.suspect_count < capacity ? fleet->told.suspect_count : capacity;
    for (uint32_t i = 0; i < count; i++) {
        const struct fleet_suspect *from = &fleet->told.suspects[i];
        ret[i] = (struct policy_suspect){.number = from->number,
                                         .day = from->name.day,
                                         .class = from->name.class,
                                         .sender = from->sender,
                                         .users_before = from->users_before,
                                         .users_after = from->users_after};
        policy_fleet_model(fleet, from->name.scope, ret[i].model, sizeof ret[i].model);
    }
    (void)pthread_mutex_unlock(&fleet->lock);
    return count;
}

/* -- Settling -- */

static bool is_told(const struct fleet_told *told, uint64_t number)
{
    for (uint32_t i = 0; i < told->suspect_count; i++)
        if (told->suspects[i].number == number)
            return true;
    return false;
}

int policy_fleet_settle(struct policy *policy, uint64_t number, bool accept, struct error *err)
{
    struct policy_fleet *fleet = policy->fleet;
    if (fleet == NULL)
        return error_set(err, ERROR_NOT_FOUND, "this daemon counts alone: nothing is set aside");
    int result = 0;
    (void)pthread_mutex_lock(&fleet->lock);
    if (!is_told(&fleet->told, number))
        result = error_set(err, ERROR_NOT_FOUND, "nothing is set aside under number %llu",
                           (unsigned long long)number);
    else if (fleet->order_count == FLEET_ORDERS_MAX)
        result = error_set(err, ERROR_BUSY, "%u orders wait already", FLEET_ORDERS_MAX);
    else
        fleet->orders[fleet->order_count++] =
            (struct fleet_order){.number = number, .accept = accept};
    (void)pthread_cond_signal(&fleet->bell);
    (void)pthread_mutex_unlock(&fleet->lock);
    return result;
}

static void settle(struct policy_fleet *fleet, const struct fleet_order *order)
{
    struct error err = {0};
    char model[128];
    uint32_t index = 0, count = fleet_suspects(fleet->fleet);
    while (index < count && fleet_suspect_peek(fleet->fleet, index)->number != order->number)
        index++;
    if (index == count) /* two said so, or newer bytes came, which nobody has seen */
        return;
    struct fleet_suspect suspect = *fleet_suspect_peek(fleet->fleet, index);
    policy_fleet_model(fleet, suspect.name.scope, model, sizeof model);
    if (fleet_suspect_settle(fleet->fleet, index, order->accept, &err) != 0)
        policy_fleet_note(fleet, "fleet: suspect %llu stays set aside: %s",
                          (unsigned long long)order->number, err.text);
    else
        policy_fleet_note(fleet, "fleet: suspect %llu, '%s' from %.0f to %.0f users, was %s",
                          (unsigned long long)order->number, model, suspect.users_before,
                          suspect.users_after, order->accept ? "accepted" : "dropped");
}

void policy_fleet_settle_orders(struct policy_fleet *fleet)
{
    struct fleet_order orders[FLEET_ORDERS_MAX];
    (void)pthread_mutex_lock(&fleet->lock);
    uint32_t count = fleet->order_count;
    memcpy(orders, fleet->orders, sizeof orders);
    fleet->order_count = 0;
    (void)pthread_mutex_unlock(&fleet->lock);
    for (uint32_t i = 0; i < count; i++)
        settle(fleet, &orders[i]);
}
