/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_license.c -- what licences say, as series: a verdict a model and a condition, and the
 * line of every threshold, so that a rule can hold a measured figure against it. Refused models
 * are here too. Labels say what was found; a value of 1 says that it is so. */
#include "daemon/metrics_state.h"
#include "daemon/server.h"
#include "policy/license/assessment.h"

#include <math.h>
#include <stdlib.h>

static const char *currency_of(const struct threshold_limb *limb)
{
    if (limb->metric != METRIC_REVENUE)
        return "";
    return limb->currency == CURRENCY_CNY ? "CNY" : "USD";
}

static void append_next_label(struct text *out, const char *name, const char *value)
{
    text_append_char(out, ',');
    render_label(out, name, value);
}

static void open_condition(struct text *out, const char *series,
                           const struct assessment *assessment,
                           const struct assessed_condition *condition)
{
    text_append_format(out, "%s{", series);
    render_label(out, "model", assessment->model);
    append_next_label(out, "license", condition->license);
    append_next_label(out, "condition", condition->id);
}

static void render_verdict(const struct assessment *assessment, struct text *out)
{
    text_append_string(out, "weir_license_verdict{");
    render_label(out, "model", assessment->model);
    append_next_label(out, "license", assessment->license);
    append_next_label(out, "verdict", verdict_name(assessment->verdict));
    text_append_string(out, "} 1\n");
}

static void render_conditions(const struct assessment *assessment, struct text *out)
{
    for (uint32_t i = 0; i < assessment->condition_count; i++) {
        const struct assessed_condition *condition = &assessment->conditions[i];
        open_condition(out, "weir_license_condition", assessment, condition);
        append_next_label(out, "verdict", verdict_name(condition->verdict));
        text_append_string(out, "} 1\n");
    }
}

/* A second limb of the same labels would be the same series again. */
static bool is_repeated(const struct license_condition *condition, uint32_t index)
{
    const struct threshold_limb *limb = &condition->any_of[index];
    for (uint32_t i = 0; i < index; i++)
        if (condition->any_of[i].metric == limb->metric &&
            condition->any_of[i].window == limb->window &&
            condition->any_of[i].currency == limb->currency)
            return true;
    return false;
}

static void render_thresholds(const struct assessment *assessment, struct text *out)
{
    for (uint32_t i = 0; i < assessment->condition_count; i++) {
        const struct assessed_condition *condition = &assessment->conditions[i];
        const struct license_condition *source = condition->condition;
        for (uint32_t j = 0; source != NULL && j < source->any_of_count; j++) {
            const struct threshold_limb *limb = &source->any_of[j];
            if (is_repeated(source, j))
                continue;
            open_condition(out, "weir_license_threshold", assessment, condition);
            append_next_label(out, "metric", threshold_metric_name(limb->metric));
            append_next_label(out, "window", threshold_window_name(limb->window));
            append_next_label(out, "currency", currency_of(limb));
            text_append_string(out, "} ");
            text_append_u64(out, limb->value);
            text_append_char(out, '\n');
        }
    }
}

static void render_all(const struct server *server, struct text *out,
                       void (*render)(const struct assessment *assessment, struct text *out))
{
    for (uint32_t i = 0; i < server->model_count; i++)
        if (server_model_state(&server->models[i]) != MODEL_ABSENT)
            render(policy_model_assessment(server->models[i].policy), out);
}

/* -- How near -- */

#define LINES_MODEL_MAX 32u

struct near { /* the lines of one model */
    const struct assessment *assessment;
    uint32_t count;
    struct policy_line lines[LINES_MODEL_MAX];
};

static void open_line(struct text *out, const char *series, const struct near *near,
                      const struct policy_line *line)
{
    text_append_format(out, "%s{", series);
    render_label(out, "model", near->assessment->model);
    append_next_label(out, "license", line->license);
    append_next_label(out, "condition", line->condition);
}

static void render_headroom(const struct near *near, struct text *out)
{
    for (uint32_t i = 0; i < near->count; i++) {
        open_line(out, "weir_license_headroom_ratio", near, &near->lines[i]);
        text_append_string(out, "} ");
        text_append_json_double(out, 1 - near->lines[i].upper / near->lines[i].threshold);
        text_append_char(out, '\n');
    }
}

/* An edge that never gets there has no series. */
static void render_crossing(const struct near *near, struct text *out)
{
    for (uint32_t i = 0; i < near->count; i++) {
        const struct policy_line *line = &near->lines[i];
        const struct {
            const char *name;
            double days;
        } bounds[] = {
            {"early", line->days_early}, {"central", line->days}, {"late", line->days_late}};
        for (size_t b = 0; b < sizeof bounds / sizeof bounds[0]; b++) {
            if (!isfinite(bounds[b].days))
                continue;
            open_line(out, "weir_license_crossing_days", near, line);
            append_next_label(out, "bound", bounds[b].name);
            text_append_string(out, "} ");
            text_append_json_double(out, bounds[b].days);
            text_append_char(out, '\n');
        }
    }
}

void render_near(const struct scrape *scrape, int64_t now_unix_us, struct text *out)
{
    const struct server *server = scrape->server;
    struct policy_messages messages;
    struct near *near = calloc(scrape->model_count == 0 ? 1 : scrape->model_count, sizeof *near);
    for (uint32_t i = 0; near != NULL && i < scrape->model_count; i++) {
        struct policy_model *model = scrape->models[i].served->policy;
        near[i].assessment = policy_model_assessment(model);
        near[i].count =
            policy_lines(server->policy, model, now_unix_us, near[i].lines, LINES_MODEL_MAX);
    }
    render_family(
        out, "weir_license_headroom_ratio", "gauge",
        "What is left of a user threshold above the upper bound of users; below 0: over.");
    for (uint32_t i = 0; near != NULL && i < scrape->model_count; i++)
        render_headroom(&near[i], out);
    render_family(out, "weir_license_crossing_days", "gauge",
                  "Days until a user threshold is crossed, as of the last day that is over.");
    for (uint32_t i = 0; near != NULL && i < scrape->model_count; i++)
        render_crossing(&near[i], out);
    free(near);
    policy_messages(server->policy, &messages);
    render_family(out, "weir_alert_messages", "gauge",
                  "Alerts that wait to be delivered, were, or were given up.");
    text_append_format(out,
                       "weir_alert_messages{state=\"pending\"} %llu\n"
                       "weir_alert_messages{state=\"delivered\"} %llu\n"
                       "weir_alert_messages{state=\"dead\"} %llu\n",
                       (unsigned long long)messages.pending, (unsigned long long)messages.delivered,
                       (unsigned long long)messages.dead);
}

void render_licenses(const struct server *server, struct text *out)
{
    render_family(out, "weir_license_verdict", "gauge",
                  "1 for what a model's licences come to: met, watch, obligation, review, breach.");
    render_all(server, out, render_verdict);
    render_family(out, "weir_license_condition", "gauge",
                  "1 for what each condition of a model's licences comes to.");
    render_all(server, out, render_conditions);
    render_family(
        out, "weir_license_threshold", "gauge",
        "The number beyond which a condition takes hold: users, or whole currency units.");
    render_all(server, out, render_thresholds);
}
