/* SPDX-License-Identifier: Apache-2.0 */
/* tenants.c -- a fair share of tokens, by virtual token counters (Sheng et al. 2024).
 *
 * Each tenant has a counter of what it was served, divided by its weight. The next turn belongs to
 * the smallest counter among tenants that wait:
 *
 *     turns (heap)            queue of a tenant (heap)
 *     priority 0, 310.5  -->  arrival 17, 23, 24
 *     priority 0, 312.0  -->  arrival 18
 *     priority 5,  12.0  -->  arrival 3        a later class waits, whatever its counter
 *
 * One that comes back to an empty queue is lifted to the counter of the tenant whose turn it is, or
 * was last: idle time earns nothing. Counters never go down, so leaving and coming back clears no
 * debt either; an entry whose counter is at or below that mark is worth nothing and may be
 * dropped. A waiting tenant's counter stands still while those that are served move past it, so
 * within a class every tenant gets its turn.
 *
 * Round robin between tenants would be simpler, but counts requests; these differ in tokens by a
 * factor of a thousand. */
#include "batching/tenants.h"

#include <assert.h>
#include <stdlib.h>

#define IDLE_TENANTS_MAX 1024u /* whose debt is remembered, at least */
#define TENANT_NONE      UINT32_MAX

struct tenant {
    uint64_t id;
    double served; /* tokens / weight */
    float weight;
    uint32_t generation_count; /* joined and not left */
    bool known;                /* the entry is in use */
    struct heap queue;         /* of sequences */
    struct heap_node turn_node;
    uint32_t bucket_next; /* also links unused entries */
};

struct tenants {
    uint32_t count, bucket_mask;
    struct tenant *entries;
    uint32_t *buckets;
    uint32_t unused;
    struct heap turns;   /* tenants whose queue is not empty */
    struct tenant *last; /* borrowed: the entry that had the last turn; NULL before any */
    double mark;         /* its counter, never going down */
};

static struct sequence *first_of(const struct tenant *tenant)
{
    if (tenant->queue.first == NULL)
        return NULL;
    return heap_entry(tenant->queue.first, struct sequence, queue_node);
}

static bool queued_before(const struct heap_node *a, const struct heap_node *b)
{
    return sequence_before(heap_entry(a, const struct sequence, queue_node),
                           heap_entry(b, const struct sequence, queue_node));
}

static bool turn_before(const struct heap_node *a, const struct heap_node *b)
{
    const struct tenant *left = heap_entry(a, const struct tenant, turn_node);
    const struct tenant *right = heap_entry(b, const struct tenant, turn_node);
    const struct sequence *left_first = first_of(left), *right_first = first_of(right);
    int32_t left_priority = left_first->generation->request.priority;
    int32_t right_priority = right_first->generation->request.priority;
    if (left_priority != right_priority)
        return left_priority < right_priority;
    if (left->served != right->served)
        return left->served < right->served;
    return sequence_before(left_first, right_first);
}

struct tenants *tenants_new(uint32_t generations_max)
{
    struct tenants *tenants = calloc(1, sizeof *tenants);
    if (tenants == NULL)
        return NULL;
    tenants->count = generations_max + IDLE_TENANTS_MAX;
    uint32_t bucket_count = 1;
    while (bucket_count < tenants->count)
        bucket_count *= 2;
    tenants->bucket_mask = bucket_count - 1;
    tenants->entries = calloc(tenants->count, sizeof *tenants->entries);
    tenants->buckets = malloc(bucket_count * sizeof *tenants->buckets);
    if (tenants->entries == NULL || tenants->buckets == NULL) {
        tenants_free(tenants);
        return NULL;
    }
    for (uint32_t i = 0; i < bucket_count; i++)
        tenants->buckets[i] = TENANT_NONE;
    for (uint32_t i = 0; i < tenants->count; i++)
        tenants->entries[i].bucket_next = i + 1 < tenants->count ? i + 1 : TENANT_NONE;
    heap_init(&tenants->turns, turn_before);
    return tenants;
}

void tenants_free(struct tenants *tenants)
{
    if (tenants == NULL)
        return;
    free(tenants->entries);
    free(tenants->buckets);
    free(tenants);
}

/* -- the table -- */

static uint32_t *bucket_of(const struct tenants *tenants, uint64_t id)
{
    uint64_t spread = id * 0x9e3779b97f4a7c15u;
    return &tenants->buckets[(spread >> 32) & tenants->bucket_mask];
}

static struct tenant *find(const struct tenants *tenants, uint64_t id)
{
    uint32_t index = *bucket_of(tenants, id);
    while (index != TENANT_NONE && tenants->entries[index].id != id)
        index = tenants->entries[index].bucket_next;
    return index == TENANT_NONE ? NULL : &tenants->entries[index];
}

static void forget(struct tenants *tenants, uint32_t index)
{
    struct tenant *tenant = &tenants->entries[index];
    uint32_t *link = bucket_of(tenants, tenant->id);
    while (*link != index)
        link = &tenants->entries[*link].bucket_next;
    *link = tenant->bucket_next;
    tenant->known = false;
    if (tenants->last == tenant)
        tenants->last = NULL;
    tenant->bucket_next = tenants->unused;
    tenants->unused = index;
}

/* Forgets every idle tenant whose counter is worth nothing, or else the one with the least. */
static void forget_some(struct tenants *tenants)
{
    uint32_t least = TENANT_NONE;
    for (uint32_t i = 0; i < tenants->count; i++) {
        struct tenant *tenant = &tenants->entries[i];
        if (!tenant->known || tenant->generation_count > 0)
            continue;
        if (tenant->served <= tenants->mark)
            forget(tenants, i);
        else if (least == TENANT_NONE || tenant->served < tenants->entries[least].served)
            least = i;
    }
    if (tenants->unused == TENANT_NONE) {
        assert(least != TENANT_NONE); /* more entries than generations: one is idle */
        forget(tenants, least);
    }
}

static struct tenant *make(struct tenants *tenants, uint64_t id)
{
    if (tenants->unused == TENANT_NONE)
        forget_some(tenants);
    uint32_t index = tenants->unused;
    struct tenant *tenant = &tenants->entries[index];
    tenants->unused = tenant->bucket_next;
    uint32_t *bucket = bucket_of(tenants, id);
    *tenant = (struct tenant){.id = id, .known = true, .bucket_next = *bucket};
    heap_init(&tenant->queue, queued_before);
    *bucket = index;
    return tenant;
}

struct tenant *tenants_join(struct tenants *tenants, uint64_t id, float weight)
{
    assert(weight > 0.0f);
    struct tenant *tenant = find(tenants, id);
    if (tenant == NULL)
        tenant = make(tenants, id);
    tenant->weight = weight;
    tenant->generation_count++;
    if (tenant->queue.first != NULL)
        return tenant;
    double mark = tenants->mark;
    if (tenants->turns.first != NULL)
        mark = heap_entry(tenants->turns.first, struct tenant, turn_node)->served;
    if (tenant->served < mark)
        tenant->served = mark;
    return tenant;
}

void tenants_leave(struct tenant *tenant)
{
    assert(tenant->generation_count > 0);
    tenant->generation_count--; /* the entry stays: its counter is remembered */
}

/* -- turns -- */

/* A tenant leaves the heap of turns before what orders it changes, and comes back after. */
static void turn_leave(struct tenants *tenants, struct tenant *tenant)
{
    if (tenant->queue.first != NULL)
        heap_remove(&tenants->turns, &tenant->turn_node);
}

static void turn_enter(struct tenants *tenants, struct tenant *tenant)
{
    if (tenant->queue.first != NULL)
        heap_insert(&tenants->turns, &tenant->turn_node);
}

static void raise_mark(struct tenants *tenants, const struct tenant *tenant)
{
    if (tenant == tenants->last && tenant->served > tenants->mark)
        tenants->mark = tenant->served;
}

void tenants_enqueue(struct tenants *tenants, struct sequence *sequence)
{
    struct tenant *tenant = sequence->generation->tenant;
    turn_leave(tenants, tenant);
    heap_insert(&tenant->queue, &sequence->queue_node);
    turn_enter(tenants, tenant);
}

void tenants_dequeue(struct tenants *tenants, struct sequence *sequence)
{
    struct tenant *tenant = sequence->generation->tenant;
    turn_leave(tenants, tenant);
    heap_remove(&tenant->queue, &sequence->queue_node);
    turn_enter(tenants, tenant);
    tenants->last = tenant;
    raise_mark(tenants, tenant);
}

struct sequence *tenants_peek(const struct tenants *tenants)
{
    if (tenants->turns.first == NULL)
        return NULL;
    return first_of(heap_entry(tenants->turns.first, struct tenant, turn_node));
}

void tenants_charge(struct tenants *tenants, struct tenant *tenant, uint32_t tokens)
{
    turn_leave(tenants, tenant);
    tenant->served += (double)tokens / (double)tenant->weight;
    turn_enter(tenants, tenant);
    raise_mark(tenants, tenant);
}

double tenants_served(const struct tenants *tenants, uint64_t id)
{
    const struct tenant *tenant = find(tenants, id);
    return tenant == NULL ? 0.0 : tenant->served;
}
