/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/license_log.h"

#include <stdint.h>

static uint32_t count_of(const struct assessment *assessment, enum verdict verdict)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < assessment->condition_count; i++)
        count += assessment->conditions[i].verdict == verdict;
    return count;
}

static const char *recognised_by(const struct recognition *recognition)
{
    return recognised_by_name(recognition->license_count == 0 ? BY_NOTHING
                                                              : recognition->licenses[0].by);
}

static const char *disagreement(const struct recognition *recognition)
{
    return recognition->disagreement_count == 0 ? "" : recognition->disagreements[0];
}

static enum log_level level_of(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_BREACH:
        return LOG_LEVEL_ERROR;
    case VERDICT_REVIEW:
        return LOG_LEVEL_WARN;
    default:
        return LOG_LEVEL_INFO;
    }
}

/* What is met or only watched is in /v1/models/{id}/license, unless it was taken on by name. */
static void log_conditions(struct log *log, const struct assessment *assessment)
{
    for (uint32_t i = 0; i < assessment->condition_count; i++) {
        const struct assessed_condition *condition = &assessment->conditions[i];
        bool acknowledged = condition->acknowledged[0] != '\0';
        if (condition->verdict < VERDICT_OBLIGATION && !acknowledged)
            continue;
        enum log_level level = acknowledged ? LOG_LEVEL_WARN : level_of(condition->verdict);
        log_event(log, level, "license_condition", LOG_STRING("model", assessment->model),
                  LOG_STRING("condition", condition->id), LOG_STRING("clause", condition->clause),
                  LOG_STRING("verdict", verdict_name(condition->verdict)),
                  LOG_STRING("literal", verdict_name(condition->literal)),
                  LOG_STRING("conservative", verdict_name(condition->conservative)),
                  LOG_STRING("reason", condition->reason), LOG_STRING("remedy", condition->remedy),
                  LOG_STRING("acknowledged", condition->acknowledged));
    }
}

void license_log(struct log *log, const struct assessment *assessment)
{
    const struct recognition *recognition = assessment->recognition;
    log_event(log, level_of(assessment->verdict), "model_license",
              LOG_STRING("model", assessment->model), LOG_STRING("license", assessment->license),
              LOG_STRING("verdict", verdict_name(assessment->verdict)),
              LOG_STRING("literal", verdict_name(assessment->literal)),
              LOG_STRING("conservative", verdict_name(assessment->conservative)),
              LOG_STRING("recognised_by", recognised_by(recognition)),
              LOG_STRING("disagreement", disagreement(recognition)),
              LOG_U64("obligations", count_of(assessment, VERDICT_OBLIGATION)),
              LOG_U64("reviews", count_of(assessment, VERDICT_REVIEW)));
    log_conditions(log, assessment);
}

void license_log_refusal(struct log *log, const struct assessment *assessment, const char *reason)
{
    log_event(log, LOG_LEVEL_ERROR, "model_refused", LOG_STRING("model", assessment->model),
              LOG_STRING("license", assessment->license),
              LOG_U64("breaches", count_of(assessment, VERDICT_BREACH)),
              LOG_STRING("reason", reason));
}

void license_log_change(struct log *log, const struct assessment *before,
                        const struct assessment *after, bool served)
{
    bool breached = after->verdict == VERDICT_BREACH;
    const char *remedy = "";
    if (served && breached)
        remedy = "it goes on being served until weir is restarted: settle the breach before";
    else if (!served && !breached)
        remedy = "it is no more refused: restart weir to serve it";
    log_event(log, level_of(after->verdict), "license_changed", LOG_STRING("model", after->model),
              LOG_STRING("license", after->license),
              LOG_STRING("verdict", verdict_name(after->verdict)),
              LOG_STRING("before", verdict_name(before->verdict)),
              LOG_STRING("served", served ? "yes" : "no"), LOG_STRING("remedy", remedy));
    log_conditions(log, after);
}
