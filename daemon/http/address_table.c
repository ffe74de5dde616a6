/* SPDX-License-Identifier: Apache-2.0 */
/* address_table.c -- a hash table that is never larger than the connections ask for.
 *
 * Open addressing with linear probing, at most three quarters full, doubled when it is. An address
 * goes with its last connection: those behind it move up (Knuth 6.4, algorithm R), so there are no
 * tombstones, and a table that saw a million addresses is as quick as a new one. The hash is keyed,
 * for addresses of IPv6 are the client's to choose. One lock, held for some comparisons at each
 * accept and close; what a doubling costs is paid once.
 *
 * Who must wait is in a table of its own with a place for each hash and no search: an address that
 * falls on another's place takes it, so what an attacker with many addresses can do is let others
 * of them off early.
 *
 * Invariant (address_table_check): between an entry and where its hash points no place is empty;
 * every entry has a connection. */
#include "daemon/http/address_table.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#define CAPACITY_FIRST  64u
#define V6_CLIENT_BYTES 8u /* of the 16: a /64 */

struct entry {
    struct address address;
    uint32_t count; /* 0: empty */
};

struct pause {
    struct address address;
    uint64_t until_us; /* 0: none */
};

struct address_table {
    uint64_t seed;
    _Atomic uint32_t connections;
    pthread_mutex_t lock; /* of all below */
    struct entry *entries;
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t used;
    struct pause pauses[ADDRESS_PAUSES_MAX];
};

struct address_table *address_table_new(struct error *err)
{
    struct address_table *table = calloc(1, sizeof *table);
    if (table == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    if (getrandom(&table->seed, sizeof table->seed, 0) != (ssize_t)sizeof table->seed)
        table->seed = (uint64_t)(uintptr_t)table; /* early at boot: better than a known one */
    int failed = pthread_mutex_init(&table->lock, NULL);
    assert(failed == 0); /* the default kind takes nothing that could run out */
    return table;
}

void address_table_free(struct address_table *table)
{
    if (table == NULL)
        return;
    assert(table->connections == 0);
    assert(table->used == 0);
    (void)pthread_mutex_destroy(&table->lock);
    free(table->entries);
    free(table);
}

bool address_table_open(struct address_table *table, uint32_t most)
{
    uint32_t seen = atomic_load_explicit(&table->connections, memory_order_relaxed);
    do {
        if (seen >= most)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&table->connections, &seen, seen + 1,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

void address_table_close(struct address_table *table)
{
    uint32_t before = atomic_fetch_sub_explicit(&table->connections, 1, memory_order_relaxed);
    assert(before > 0);
}

static struct address client_of(const struct address *address)
{
    struct address client = *address;
    if (!address_is_v4(address))
        memset(client.bytes + V6_CLIENT_BYTES, 0, sizeof client.bytes - V6_CLIENT_BYTES);
    return client;
}

static uint32_t hash_of(const struct address_table *table, const struct address *address)
{
    return (uint32_t)XXH3_64bits_withSeed(address->bytes, sizeof address->bytes, table->seed);
}

static uint32_t home_of(const struct address_table *table, const struct address *address)
{
    return hash_of(table, address) & (table->capacity - 1);
}

/* The address's own entry, or the empty one where it would be. There is an empty one. */
static struct entry *find(const struct address_table *table, const struct address *address)
{
    uint32_t at = home_of(table, address);
    while (table->entries[at].count > 0 &&
           memcmp(&table->entries[at].address, address, sizeof *address) != 0)
        at = (at + 1) & (table->capacity - 1);
    return &table->entries[at];
}

/* Room for one more. */
static bool make_room(struct address_table *table)
{
    if (table->used + 1 <= table->capacity / 4 * 3)
        return true;
    struct entry *small = table->entries;
    uint32_t small_capacity = table->capacity;
    uint32_t capacity = small_capacity == 0 ? CAPACITY_FIRST : 2 * small_capacity;
    struct entry *large = calloc(capacity, sizeof *large);
    if (large == NULL)
        return false;
    table->entries = large;
    table->capacity = capacity;
    for (uint32_t i = 0; i < small_capacity; i++)
        if (small[i].count > 0)
            *find(table, &small[i].address) = small[i];
    free(small);
    return true;
}

static bool add(struct address_table *table, const struct address *client, uint32_t most)
{
    if (!make_room(table))
        return false;
    struct entry *entry = find(table, client);
    if (entry->count >= most)
        return false;
    if (entry->count == 0) {
        entry->address = *client;
        table->used++;
    }
    entry->count++;
    return true;
}

bool address_table_add(struct address_table *table, const struct address *address, uint32_t most)
{
    struct address client = client_of(address);
    (void)pthread_mutex_lock(&table->lock);
    bool added = add(table, &client, most);
    (void)pthread_mutex_unlock(&table->lock);
    return added;
}

/* The place is empty now: whoever probed past it moves up. */
static void close_gap(struct address_table *table, uint32_t gap)
{
    uint32_t mask = table->capacity - 1;
    for (uint32_t at = (gap + 1) & mask; table->entries[at].count > 0; at = (at + 1) & mask) {
        uint32_t home = home_of(table, &table->entries[at].address);
        if (((at - home) & mask) < ((at - gap) & mask))
            continue; /* its home lies behind the gap */
        table->entries[gap] = table->entries[at];
        table->entries[at].count = 0;
        gap = at;
    }
}

void address_table_remove(struct address_table *table, const struct address *address)
{
    struct address client = client_of(address);
    (void)pthread_mutex_lock(&table->lock);
    struct entry *entry = find(table, &client);
    assert(entry->count > 0);
    if (--entry->count == 0) {
        table->used--;
        close_gap(table, (uint32_t)(entry - table->entries));
    }
    (void)pthread_mutex_unlock(&table->lock);
}

void address_table_pause(struct address_table *table, const struct address *address,
                         uint64_t until_us)
{
    struct pause pause = {.address = client_of(address), .until_us = until_us};
    (void)pthread_mutex_lock(&table->lock);
    table->pauses[hash_of(table, &pause.address) % ADDRESS_PAUSES_MAX] = pause;
    (void)pthread_mutex_unlock(&table->lock);
}

bool address_table_paused(struct address_table *table, const struct address *address,
                          uint64_t now_us)
{
    struct address client = client_of(address);
    (void)pthread_mutex_lock(&table->lock);
    const struct pause *pause = &table->pauses[hash_of(table, &client) % ADDRESS_PAUSES_MAX];
    bool paused = now_us < pause->until_us && memcmp(&pause->address, &client, sizeof client) == 0;
    (void)pthread_mutex_unlock(&table->lock);
    return paused;
}

uint32_t address_table_count(struct address_table *table)
{
    (void)pthread_mutex_lock(&table->lock);
    uint32_t used = table->used;
    (void)pthread_mutex_unlock(&table->lock);
    return used;
}

void address_table_check(struct address_table *table)
{
    uint32_t used = 0;
    (void)pthread_mutex_lock(&table->lock);
    for (uint32_t i = 0; i < table->capacity; i++) {
        if (table->entries[i].count == 0)
            continue;
        used++;
        assert(find(table, &table->entries[i].address) == &table->entries[i]);
    }
    assert(used == table->used);
    assert(table->capacity == 0 || used <= table->capacity / 4 * 3);
    (void)pthread_mutex_unlock(&table->lock);
}
