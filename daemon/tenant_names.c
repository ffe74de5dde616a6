/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tenant_names.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SLOTS 1024u /* a power of two, at most a quarter of it in use */

static_assert(4 * TENANT_NAMES_MAX <= SLOTS, "a search ends at an empty slot");

struct tenant_names {
    pthread_mutex_t lock; /* of those who add */
    /* shared: written under the lock, a name before its number */
    _Atomic uint16_t slots[SLOTS]; /* 0 is empty: the rest is in none */
    _Atomic uint32_t count;
    char names[TENANT_NAMES_MAX][TOKENS_TENANT_BYTES_MAX + 1];
};

struct tenant_names *tenant_names_new(void)
{
    struct tenant_names *names = calloc(1, sizeof *names);
    if (names == NULL)
        return NULL;
    (void)pthread_mutex_init(&names->lock, NULL); /* cannot fail with these attributes */
    memcpy(names->names[0], TENANT_NAMES_REST, sizeof TENANT_NAMES_REST);
    atomic_store(&names->count, 1);
    return names;
}

void tenant_names_free(struct tenant_names *names)
{
    if (names == NULL)
        return;
    (void)pthread_mutex_destroy(&names->lock);
    free(names);
}

/* The number, or 0 and the slot where it would stand. */
static uint32_t find(const struct tenant_names *names, const char *tenant, uint32_t *ret_slot)
{
    uint32_t at = (uint32_t)XXH3_64bits(tenant, strlen(tenant)) & (SLOTS - 1), number;
    for (;; at = (at + 1) & (SLOTS - 1)) {
        number = atomic_load_explicit(&names->slots[at], memory_order_acquire);
        if (number == 0 || strcmp(names->names[number], tenant) == 0)
            break;
    }
    *ret_slot = at;
    return number;
}

static uint32_t add(struct tenant_names *names, const char *tenant)
{
    uint32_t slot, number;
    (void)pthread_mutex_lock(&names->lock);
    number = find(names, tenant, &slot); /* somebody may have been faster */
    uint32_t count = atomic_load(&names->count);
    if (number == 0 && count < TENANT_NAMES_MAX) {
        number = count;
        memcpy(names->names[number], tenant, strlen(tenant) + 1);
        atomic_store_explicit(&names->slots[slot], (uint16_t)number, memory_order_release);
        atomic_store(&names->count, count + 1);
    }
    (void)pthread_mutex_unlock(&names->lock);
    return number;
}

uint32_t tenant_names_number(struct tenant_names *names, const char *tenant)
{
    uint32_t slot;
    if (strnlen(tenant, TOKENS_TENANT_BYTES_MAX + 1) > TOKENS_TENANT_BYTES_MAX ||
        strcmp(tenant, TENANT_NAMES_REST) == 0 || strcmp(tenant, TOKENS_REST) == 0)
        return 0;
    uint32_t number = find(names, tenant, &slot);
    if (number != 0 || atomic_load(&names->count) == TENANT_NAMES_MAX)
        return number;
    return add(names, tenant);
}

uint32_t tenant_names_count(const struct tenant_names *names)
{
    return atomic_load(&names->count);
}

const char *tenant_names_at(const struct tenant_names *names, uint32_t number)
{
    assert(number < tenant_names_count(names));
    return names->names[number];
}
