/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/users/year_keys.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define YEAR_FIRST 1970u
#define YEAR_LAST  2149u /* of CALENDAR_DAY_MAX */
#define YEAR_COUNT (YEAR_LAST - YEAR_FIRST + 1)
#define YEAR_NONE  0u /* whose key hashes nobody, but has a name */

struct year_keys {
    uint64_t id;
    struct year_key years[YEAR_COUNT];
};

static int derive_all(const struct secret *secret, struct year_keys *keys, struct error *err)
{
    struct secret_epoch epoch;
    int result = secret_epoch(secret, YEAR_NONE, &epoch, err);
    if (result == 0)
        keys->id = epoch.key_id;
    for (uint32_t i = 0; i < YEAR_COUNT && result == 0; i++) {
        result = secret_epoch(secret, YEAR_FIRST + i, &epoch, err);
        if (result != 0)
            break;
        keys->years[i].id = epoch.key_id;
        memcpy(keys->years[i].users, epoch.users, sizeof epoch.users);
    }
    explicit_bzero(&epoch, sizeof epoch);
    return result;
}

struct year_keys *year_keys_new(const struct secret *secret, struct error *err)
{
    struct year_keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    if (derive_all(secret, keys, err) == 0)
        return keys;
    year_keys_free(keys);
    return NULL;
}

void year_keys_free(struct year_keys *keys)
{
    if (keys == NULL)
        return;
    explicit_bzero(keys, sizeof *keys);
    free(keys);
}

const struct year_key *year_keys_peek(const struct year_keys *keys, uint32_t year)
{
    assert(year >= YEAR_FIRST);
    assert(year <= YEAR_LAST);
    return &keys->years[year - YEAR_FIRST];
}

uint64_t year_keys_id(const struct year_keys *keys)
{
    return keys->id;
}
