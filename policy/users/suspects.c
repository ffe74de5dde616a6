/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/users/suspects.h"

#include "policy/users/calendar.h"

#include <assert.h>
#include <stdatomic.h>

#define DAY_BITS 16u
#define DAY_MASK ((UINT64_C(1) << DAY_BITS) - 1)
static_assert(CALENDAR_DAY_MAX <= DAY_MASK, "a day fits");

static const _Atomic uint64_t *line_of(const struct suspects *suspects, uint64_t key)
{
    static_assert((SUSPECTS_LINES & (SUSPECTS_LINES - 1)) == 0, "a power of two");
    return suspects->lines[key & (SUSPECTS_LINES - 1)].slots;
}

static bool is_of(uint64_t slot, uint64_t key)
{
    return slot != 0 && ((slot ^ key) & ~DAY_MASK) == 0;
}

/* The key's slot, else one that is free or over; SUSPECTS_SLOTS: none. */
static uint32_t place_of(const _Atomic uint64_t *slots, uint64_t key, uint32_t today)
{
    uint32_t place = SUSPECTS_SLOTS;
    for (uint32_t i = 0; i < SUSPECTS_SLOTS; i++) {
        uint64_t slot = atomic_load_explicit(&slots[i], memory_order_relaxed);
        if (is_of(slot, key))
            return i;
        if ((slot & DAY_MASK) < today)
            place = i;
    }
    return place;
}

bool suspects_raise(struct suspects *suspects, uint64_t key, uint32_t today, uint32_t last_day)
{
    _Atomic uint64_t *slots = suspects->lines[key & (SUSPECTS_LINES - 1)].slots;
    assert(last_day >= today);
    if (last_day > CALENDAR_DAY_MAX)
        last_day = CALENDAR_DAY_MAX;
    uint64_t wanted = (key & ~DAY_MASK) | last_day;
    for (;;) {
        uint32_t place = place_of(slots, key, today);
        if (place == SUSPECTS_SLOTS)
            return false;
        uint64_t slot = atomic_load_explicit(&slots[place], memory_order_relaxed);
        if (is_of(slot, key) && slot >= wanted)
            break;
        if (!is_of(slot, key) && (slot & DAY_MASK) >= today)
            continue; /* another took it meanwhile */
        if (atomic_compare_exchange_strong(&slots[place], &slot, wanted))
            break;
    }
    uint32_t last = atomic_load(&suspects->last_day);
    while (last < last_day && !atomic_compare_exchange_weak(&suspects->last_day, &last, last_day))
        continue;
    return true;
}

bool suspects_have(const struct suspects *suspects, uint64_t key, uint32_t today)
{
    if (atomic_load_explicit(&suspects->last_day, memory_order_relaxed) < today)
        return false;
    const _Atomic uint64_t *slots = line_of(suspects, key);
    for (uint32_t i = 0; i < SUSPECTS_SLOTS; i++) {
        uint64_t slot = atomic_load_explicit(&slots[i], memory_order_relaxed);
        if (is_of(slot, key) && (slot & DAY_MASK) >= today)
            return true;
    }
    return false;
}
