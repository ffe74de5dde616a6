/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/live.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

static_assert(offsetof(struct live, shelved) == 0, "it lies on a shelf");

static void free_live(void *set)
{
    struct live *live = set;
    auth_free(live->auth);
    claim_names_destroy(&live->claims);
    config_free(live->config);
    free(live);
}

struct live *live_new(struct config *config, struct error *err)
{
    struct live *live = calloc(1, sizeof *live);
    if (live == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    shelved_init(&live->shelved, free_live);
    live->config = config_ref(config);
    live->auth = auth_new(config, err);
    if (live->auth == NULL || claim_names_init(&live->claims, config, err) != 0) {
        live_unref(live);
        return NULL;
    }
    return live;
}

struct live *live_ref(struct live *live)
{
    return shelved_ref(live);
}

void live_unref(struct live *live)
{
    shelved_unref(live);
}
