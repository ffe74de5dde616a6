/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/reload.h"

#include "daemon/rules.h"
#include "daemon/server.h"
#include "daemon/worker.h"
#include "policy/policy_identity.h"

/* All that can fail comes before the first thing that is taken up: the rules, which are the last to
 * fail and change nothing then, and after them the set of live.h, which cannot. */
static int take_up(struct server *server, int64_t now_unix, struct error *err)
{
    struct config *config;
    int result = config_parse_again(server->config, &config, err);
    if (result != 0)
        return result;
    struct live *live = live_new(config, err);
    result = live == NULL ? err->code : rules_take_up(server, config, now_unix, err);
    config_free(config);
    if (result != 0) {
        live_unref(live);
        return result;
    }
    live_shelf_put(&server->live, live);
    for (uint32_t i = 0; i < server->worker_count; i++)
        worker_ring(&server->workers[i]);
    return 0;
}

void reload(struct server *server, int64_t now_unix)
{
    struct error err = {0};
    policy_identity_reload(server->policy);
    if (take_up(server, now_unix, &err) != 0)
        log_event(server->log, LOG_LEVEL_ERROR, "reload_refused", LOG_STRING("error", err.text),
                  LOG_STRING("remedy", "all is as it was; put it right and send SIGHUP again"));
    else
        log_event(server->log, LOG_LEVEL_INFO, "reloaded",
                  LOG_STRING("config", server->config->path));
}
