/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/reload.h"

#include "daemon/rules.h"
#include "daemon/server.h"
#include "daemon/worker.h"
#include "policy/policy_identity.h"

static void put(struct server *server, struct live *live)
{
    const struct auth_counts keys = auth_counts(live->auth);
    metrics_keys(server->metrics, &keys, false);
    server->keys_refused = false;
    live_shelf_put(&server->live, live);
    for (uint32_t i = 0; i < server->worker_count; i++)
        worker_ring(&server->workers[i]);
}

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
    put(server, live);
    return 0;
}

/* Everything but the keys is as it was: the configuration is not read again. */
static void take_up_keys(struct server *server, const struct live *before,
                         const struct auth_files *files)
{
    struct error err = {0};
    struct live *live = live_new(before->config, &err);
    if (live != NULL) {
        const struct auth_counts keys = auth_counts(live->auth);
        put(server, live);
        log_event(server->log, LOG_LEVEL_INFO, "keys_read", LOG_U64("keys", keys.filed),
                  LOG_U64("revoked", keys.revoked));
        return;
    }
    const struct auth_counts keys = auth_counts(before->auth);
    metrics_keys(server->metrics, &keys, true);
    server->refused_files = *files;
    server->keys_refused = true;
    log_event(server->log, LOG_LEVEL_ERROR, "keys_refused", LOG_STRING("error", err.text),
              LOG_STRING("remedy", "the keys from before stay; put the file right"));
}

void reload_watch(struct server *server)
{
    struct live *newest = live_shelf_newest(&server->live);
    const struct auth_files before = auth_files_read(newest->auth);
    const struct auth_files now = auth_files_now(newest->auth);
    if (!auth_files_same(&now, &before) &&
        !(server->keys_refused && auth_files_same(&now, &server->refused_files)))
        take_up_keys(server, newest, &now);
    live_unref(newest);
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
