/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/api.h"

#include "base/clock.h"
#include "daemon/api/call.h"
#include "daemon/api/generation.h"
#include "daemon/api/handlers.h"
#include "daemon/api/router.h"

#include <assert.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

struct api *api_new(struct server *server, uint32_t worker, struct error *err)
{
    struct api *api = calloc(1, sizeof *api);
    if (api == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    api->server = server;
    api->worker = worker;
    api->handler = (struct exchange_handler){
        .on_headers = router_on_headers,
        .on_request = router_on_request,
        .on_gone = router_on_gone,
        .on_refused = router_on_refused,
        .application = api,
    };
    api->live = shelf_newest(&server->live);
    assert(api->live != NULL); /* made before the workers */
    return api;
}

void api_set_live(struct api *api, struct live *live)
{
    struct live *before = api->live;
    api->live = live_ref(live);
    memset(&api->tokens, 0, sizeof api->tokens); /* they point into the one before */
    live_unref(before);
}

void api_free(struct api *api)
{
    if (api == NULL)
        return;
    if (api->open_generations > 0)
        api_wake(api); /* the engines' last events */
    assert(api->open_generations == 0);
    assert(api->feed_count == 0); /* their exchanges went with the listener */
    assert(api->profile == NULL);
    live_unref(api->live);
    free(api);
}

const struct exchange_handler *api_handler(const struct api *api)
{
    return &api->handler;
}

void api_tick(struct api *api)
{
    uint64_t now_us = clock_monotonic_us();
    generation_expire(api, now_us);
    generation_receive(api, now_us);
    admin_profile_wake(api, now_us); /* the drain may have begun, which rings late */
}

void api_wake(struct api *api)
{
    uint64_t now_us = clock_monotonic_us();
    generation_receive(api, now_us);
    admin_users_wake(api, now_us);
    admin_profile_wake(api, now_us);
}

uint32_t api_open_generations(const struct api *api)
{
    return api->open_generations;
}

uint64_t api_random_u64(struct api *api)
{
    uint64_t number;
    if (api->entropy_left < sizeof number) {
        int drawn = RAND_bytes(api->entropy, sizeof api->entropy);
        assert(drawn == 1); /* the system's generator, seeded since long before we serve */
        api->entropy_left = sizeof api->entropy;
    }
    api->entropy_left -= sizeof number;
    memcpy(&number, api->entropy + api->entropy_left, sizeof number);
    return number;
}
