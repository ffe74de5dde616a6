/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/refusals.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>

#define MINUTE_US UINT64_C(60000000)
#define SECOND_US UINT64_C(1000000)

static_assert(REFUSALS_SLOTS % REFUSALS_WAYS == 0, "slots are in groups");

/* The asker's own slot, else the one that is missed the least. */
static struct refusals_slot *slot_of(struct refusals *refusals, uint64_t asker)
{
    struct refusals_slot *group =
        &refusals->slots[asker % (REFUSALS_SLOTS / REFUSALS_WAYS) * REFUSALS_WAYS];
    struct refusals_slot *oldest = &group[0];
    for (uint32_t i = 0; i < REFUSALS_WAYS; i++) {
        if (group[i].asker == asker)
            return &group[i];
        if (group[i].began_us < oldest->began_us)
            oldest = &group[i];
    }
    return oldest;
}

uint32_t refusals_note(struct refusals *refusals, const char *asker, uint64_t now_us)
{
    uint64_t hash = asker == NULL ? 1 : XXH3_64bits(asker, strlen(asker)) | 1;
    struct refusals_slot *slot = slot_of(refusals, hash);
    if (slot->asker != hash || now_us - slot->began_us >= MINUTE_US)
        *slot = (struct refusals_slot){.asker = hash, .began_us = now_us};
    if (slot->count < REFUSALS_A_MINUTE) {
        slot->count++;
        return 0;
    }
    return (uint32_t)((slot->began_us + MINUTE_US - now_us + SECOND_US - 1) / SECOND_US);
}
