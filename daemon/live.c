/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/live.h"

#include <assert.h>
#include <stdlib.h>

struct live *live_new(struct config *config, struct error *err)
{
    struct live *live = calloc(1, sizeof *live);
    if (live == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    atomic_init(&live->references, 1);
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
    uint32_t before = atomic_fetch_add_explicit(&live->references, 1, memory_order_relaxed);
    assert(before > 0);
    return live;
}

void live_unref(struct live *live)
{
    if (live == NULL)
        return;
    uint32_t before = atomic_fetch_sub_explicit(&live->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1)
        return;
    auth_free(live->auth);
    claim_names_destroy(&live->claims);
    config_free(live->config);
    free(live);
}

void live_shelf_init(struct live_shelf *shelf)
{
    *shelf = (struct live_shelf){0};
    int failed = pthread_mutex_init(&shelf->lock, NULL);
    assert(failed == 0); /* the default kind takes nothing that could run out */
}

void live_shelf_destroy(struct live_shelf *shelf)
{
    live_unref(shelf->newest);
    shelf->newest = NULL;
    (void)pthread_mutex_destroy(&shelf->lock);
}

void live_shelf_put(struct live_shelf *shelf, struct live *live)
{
    (void)pthread_mutex_lock(&shelf->lock);
    struct live *before = shelf->newest;
    live->number = before == NULL ? 1 : before->number + 1;
    shelf->newest = live;
    atomic_store_explicit(&shelf->number, live->number, memory_order_release);
    (void)pthread_mutex_unlock(&shelf->lock);
    live_unref(before);
}

struct live *live_shelf_newest(struct live_shelf *shelf)
{
    (void)pthread_mutex_lock(&shelf->lock);
    struct live *live = shelf->newest == NULL ? NULL : live_ref(shelf->newest);
    (void)pthread_mutex_unlock(&shelf->lock);
    return live;
}

bool live_shelf_renew(struct live_shelf *shelf, struct live **held)
{
    uint64_t number = atomic_load_explicit(&shelf->number, memory_order_acquire);
    if (*held != NULL && (*held)->number == number)
        return false;
    struct live *before = *held;
    *held = live_shelf_newest(shelf);
    live_unref(before);
    return *held != before;
}
