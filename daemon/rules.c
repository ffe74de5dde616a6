/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/rules.h"

#include "daemon/license_log.h"
#include "daemon/server.h"
#include "policy/license/catalogue.h"
#include "policy/license/month.h"

#include <limits.h>
#include <stdlib.h>

#define RETRY_S 3600

struct rules {
    struct rules *older;
    struct config *config; /* one reference */
    struct catalogue *catalogue;
    struct policy_rules policy;
    uint32_t older_count;
};

static void release(struct rules *rules)
{
    catalogue_free(rules->catalogue);
    config_free(rules->config);
    free(rules);
}

struct rules *rules_new(struct config *config, struct error *err)
{
    char storage[PATH_MAX];
    const char *folders[2];
    struct rules *rules = calloc(1, sizeof *rules);
    if (rules == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    rules->config = config_ref(config);
    uint32_t count = catalogue_folders(config->licenses_folder, storage, sizeof storage, folders);
    rules->catalogue = catalogue_load(folders, count, err);
    if (rules->catalogue == NULL) {
        (void)error_wrap(err, "licenses");
        release(rules);
        return NULL;
    }
    rules->policy =
        (struct policy_rules){.catalogue = rules->catalogue, .declaration = config->declaration};
    return rules;
}

void rules_free(struct rules *rules)
{
    while (rules != NULL) {
        struct rules *older = rules->older;
        release(rules);
        rules = older;
    }
}

const struct policy_rules *rules_for_policy(const struct rules *rules)
{
    return &rules->policy;
}

/* -- Weighing -- */

/* NULL while it is absent: nobody has read its licence. */
static const struct assessment *assessment_at(const struct server *server, uint32_t index)
{
    const struct served_model *model = &server->models[index];
    return server_model_state(model) == MODEL_ABSENT ? NULL
                                                     : policy_model_assessment(model->policy);
}

static void log_change(const struct server *server, uint32_t index, const struct assessment *before)
{
    const struct assessment *after = assessment_at(server, index);
    if (before != NULL && after != before) /* one that came meanwhile was told by who loaded it */
        license_log_change(server->log, before, after, server_model(server, index) != NULL);
}

static int weigh(struct server *server, const struct policy_rules *rules, int64_t now_unix,
                 uint32_t *ret_changed, struct error *err)
{
    uint32_t count = server->model_count;
    const struct assessment **before = calloc(count, sizeof *before);
    if (before == NULL)
        return error_no_memory(err);
    for (uint32_t i = 0; i < count; i++)
        before[i] = assessment_at(server, i);
    int result = policy_reassess(server->policy, rules, now_unix, ret_changed, err);
    for (uint32_t i = 0; result == 0 && i < count; i++)
        log_change(server, i, before[i]);
    free(before);
    return result;
}

int rules_take_up(struct server *server, struct config *config, int64_t now_unix, struct error *err)
{
    uint32_t changed = 0;
    if (server->rules->older_count >= RULES_KEPT_MAX)
        return error_set(err, ERROR_BUSY, "changed %u times since the start: restart weir",
                         RULES_KEPT_MAX);
    struct rules *rules = rules_new(config, err);
    if (rules == NULL)
        return err->code;
    int result = weigh(server, &rules->policy, now_unix, &changed, err);
    if (result != 0) {
        release(rules);
        return result;
    }
    log_event(server->log, LOG_LEVEL_INFO, "weighed",
              LOG_U64("licenses", catalogue_count(rules->catalogue)),
              LOG_U64("models_changed", changed));
    if (changed == 0) { /* nobody points into them */
        release(rules);
        return 0;
    }
    rules->older = server->rules;
    rules->older_count = server->rules->older_count + 1;
    server->rules = rules;
    return 0;
}

void rules_watch(struct server *server, int64_t now_unix)
{
    int32_t month = month_of_unix(now_unix);
    struct error err = {0};
    uint32_t changed = 0;
    if (month == server->weighed_month || now_unix < server->weigh_again_unix)
        return;
    if (weigh(server, &server->rules->policy, now_unix, &changed, &err) != 0) {
        server->weigh_again_unix = now_unix + RETRY_S;
        log_event(server->log, LOG_LEVEL_ERROR, "month_not_weighed", LOG_STRING("error", err.text),
                  LOG_U64("retry_s", RETRY_S));
        return;
    }
    server->weighed_month = month;
    log_event(server->log, LOG_LEVEL_INFO, "month_weighed", LOG_U64("models_changed", changed));
}
