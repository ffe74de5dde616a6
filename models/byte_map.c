/* SPDX-License-Identifier: Apache-2.0 */
#include "models/byte_map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

struct byte_map_slot {
    const char *bytes; /* borrowed */
    uint32_t count;
    uint32_t value; /* BYTE_MAP_NONE: the slot is free */
};

struct byte_map {
    uint64_t seed;
    uint64_t mask; /* slots - 1; slots are a power of two */
    uint32_t capacity;
    uint32_t used;
    struct byte_map_slot slots[];
};

struct byte_map *byte_map_new(uint32_t capacity)
{
    uint64_t slots = 8;
    while (slots < (uint64_t)capacity * 2)
        slots *= 2;
    struct byte_map *map = malloc(sizeof *map + slots * sizeof map->slots[0]);
    if (map == NULL)
        return NULL;
    map->mask = slots - 1;
    map->capacity = capacity;
    map->used = 0;
    for (uint64_t i = 0; i < slots; i++)
        map->slots[i] = (struct byte_map_slot){.value = BYTE_MAP_NONE};
    /* Without entropy (an early boot) the map still works, only its collisions can be guessed. */
    if (getrandom(&map->seed, sizeof map->seed, GRND_NONBLOCK) != (ssize_t)sizeof map->seed)
        map->seed = (uint64_t)(uintptr_t)map;
    return map;
}

void byte_map_free(struct byte_map *map)
{
    free(map);
}

/* The slot that holds the string, or the free one where it belongs. Ends, for at least half of
 * the slots are free. */
static uint64_t slot_of(const struct byte_map *map, const char *bytes, size_t count)
{
    uint64_t at = XXH3_64bits_withSeed(bytes, count, map->seed) & map->mask;
    for (;; at = (at + 1) & map->mask) {
        const struct byte_map_slot *slot = &map->slots[at];
        if (slot->value == BYTE_MAP_NONE)
            return at;
        if (slot->count == count && (count == 0 || memcmp(slot->bytes, bytes, count) == 0))
            return at;
    }
}

uint32_t byte_map_add(struct byte_map *map, const char *bytes, size_t count, uint32_t value)
{
    assert(count < UINT32_MAX);
    assert(value != BYTE_MAP_NONE);
    struct byte_map_slot *slot = &map->slots[slot_of(map, bytes, count)];
    if (slot->value != BYTE_MAP_NONE)
        return slot->value;
    assert(map->used < map->capacity);
    map->used++;
    *slot = (struct byte_map_slot){.bytes = bytes, .count = (uint32_t)count, .value = value};
    return value;
}

uint32_t byte_map_find(const struct byte_map *map, const char *bytes, size_t count)
{
    return map->slots[slot_of(map, bytes, count)].value;
}
