/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/reload.h"

#include "base/clock.h"
#include "daemon/config_changes.h"
#include "daemon/rules.h"
#include "daemon/server.h"
#include "daemon/tls_keeper.h"
#include "policy/policy_identity.h"

static void put(struct server *server, struct live *live)
{
    const struct auth_counts keys = auth_counts(live->auth);
    metrics_keys(server->metrics, &keys, false);
    server->keys_refused = false;
    shelf_put(&server->live, live);
    server_ring(server);
}

/* By what runs: a key that waits is named by every reload until the restart. */
static void name_what_waits(struct server *server, const struct config *config)
{
    struct text keys;
    text_init(&keys);
    config_restart_keys(server->config, config, &keys);
    if (keys.count > 0)
        log_event(server->log, LOG_LEVEL_WARN, "reload_needs_restart",
                  LOG_STRING("keys", text_string(&keys)));
    text_destroy(&keys);
}

/* Certificates, NULL where there are none to change: TLS is not begun or ended while weir runs. */
static int read_tls(struct server *server, struct config *config, struct tls_reading **ret,
                    struct error *err)
{
    *ret = NULL;
    if (server->tls == NULL || !config_has_tls(config))
        return 0;
    *ret = tls_reading_new(config, server->tls, err);
    if (*ret != NULL)
        return 0;
    tls_keeper_count(server->tls, TLS_RELOAD_REFUSED);
    return err->code;
}

static void take_tls(struct server *server, struct tls_reading *reading, int64_t now_unix)
{
    if (reading == NULL)
        return;
    tls_keeper_take(server->tls, reading);
    tls_keeper_count(server->tls, TLS_RELOAD_DONE);
    tls_keeper_tell(server->tls, server->log, now_unix);
}

/* All that can fail comes before the first thing that is taken up: the rules, which are the last to
 * fail and change nothing then, and after them certificates and the set of live.h, which cannot. */
static int take_up(struct server *server, int64_t now_unix, struct error *err)
{
    struct config *config;
    int result = config_parse_again(server->config, &config, err);
    if (result != 0)
        return result;
    struct tls_reading *tls = NULL;
    struct live *live = live_new(config, err);
    result = live == NULL ? err->code : read_tls(server, config, &tls, err);
    if (result == 0)
        result = rules_take_up(server, config, now_unix, err);
    if (result != 0) {
        tls_reading_free(tls);
        live_unref(live);
        config_free(config);
        return result;
    }
    log_set(server->log, config->log_level, config->log_format);
    name_what_waits(server, config);
    take_tls(server, tls, now_unix);
    put(server, live);
    config_free(config);
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
    struct live *newest = shelf_newest(&server->live);
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
    bool taken_up = take_up(server, now_unix, &err) == 0;
    metrics_reload(server->metrics, taken_up, clock_unix_us());
    if (!taken_up)
        log_event(server->log, LOG_LEVEL_ERROR, "reload_refused", LOG_STRING("error", err.text),
                  LOG_STRING("remedy", "all is as it was; put it right and send SIGHUP again"));
    else
        log_event(server->log, LOG_LEVEL_INFO, "reloaded",
                  LOG_STRING("config", server->config->path));
}
