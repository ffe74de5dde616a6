/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_users.c -- how many people are served, as series. Over replicas take max, never sum: they
 * serve the same people. A model whose figures cannot be had just now has no series, for 0 would be
 * a figure. */
#include "daemon/metrics_state.h"

#include <stdio.h>

#define LABEL_BYTES 64

static void render_month(const struct scrape *scrape, struct text *out)
{
    render_family(out, "weir_monthly_active_users", "gauge",
                  "Distinct users of the UTC month so far; take max, never sum, over replicas.");
    for (uint32_t i = 0; i < scrape->model_count; i++) {
        const struct scrape_model *model = &scrape->models[i];
        if (model->usage.known)
            render_sample(out, "weir_monthly_active_users", text_string(&model->model),
                          model->usage.windows[USAGE_WINDOW_MONTH].best.users);
    }
    render_family(out, "weir_monthly_active_users_by_class", "gauge",
                  "Distinct users of the month in each class; who is in two is in both.");
    for (uint32_t i = 0; i < scrape->model_count; i++) {
        const struct scrape_model *model = &scrape->models[i];
        for (uint32_t c = 0; c < IDENTITY_NONE && model->usage.known; c++) {
            char label[LABEL_BYTES];
            (void)snprintf(label, sizeof label, "class=\"%s\"",
                           identity_class_name((enum identity_class)c));
            render_labelled(out, model, "weir_monthly_active_users_by_class", label,
                            model->usage.windows[USAGE_WINDOW_MONTH].users_by_class[c]);
        }
    }
    render_family(out, "weir_monthly_anonymous_requests", "gauge",
                  "Requests of the month that named nobody.");
    for (uint32_t i = 0; i < scrape->model_count; i++) {
        const struct scrape_model *model = &scrape->models[i];
        const struct usage_figures *month = &model->usage.windows[USAGE_WINDOW_MONTH];
        if (model->usage.known)
            render_sample(out, "weir_monthly_anonymous_requests", text_string(&model->model),
                          (double)month->requests[IDENTITY_NONE]);
    }
}

static void render_windows(const struct scrape *scrape, struct text *out)
{
    render_family(
        out, "weir_mau", "gauge",
        "Distinct users over a window of days: surely no fewer, probably, surely no more.");
    for (uint32_t i = 0; i < scrape->model_count; i++) {
        const struct scrape_model *model = &scrape->models[i];
        for (uint32_t w = 0; w < USAGE_WINDOW_COUNT && model->usage.known; w++) {
            const struct usage_figures *figures = &model->usage.windows[w];
            const struct {
                const char *name;
                double value;
            } bounds[] = {{"lower", figures->lower.low},
                          {"best", figures->best.users},
                          {"upper", figures->upper.high}};
            for (size_t b = 0; b < sizeof bounds / sizeof bounds[0]; b++) {
                char label[LABEL_BYTES];
                (void)snprintf(label, sizeof label, "window=\"%s\",bound=\"%s\"",
                               usage_window_name((enum usage_window)w), bounds[b].name);
                render_labelled(out, model, "weir_mau", label, bounds[b].value);
            }
        }
    }
}

void render_users(const struct scrape *scrape, struct text *out)
{
    render_month(scrape, out);
    render_windows(scrape, out);
    render_family(out, "weir_identity_coverage_ratio", "gauge",
                  "Requests of the month with a verified or asserted user, of all.");
    for (uint32_t i = 0; i < scrape->model_count; i++)
        if (scrape->models[i].usage.known)
            render_sample(out, "weir_identity_coverage_ratio",
                          text_string(&scrape->models[i].model),
                          scrape->models[i].usage.windows[USAGE_WINDOW_MONTH].coverage);
    if (scrape->model_count == 0)
        return;
    /* Of all models: they share a journal. */
    render_family(out, "weir_users_unsaved", "gauge", "Counted, and not on disk yet.");
    text_append_format(out, "weir_users_unsaved %llu\n",
                       (unsigned long long)scrape->models[0].usage.unsaved);
    render_family(out, "weir_users_left_out_total", "counter",
                  "Sights of users for whom there was neither memory nor disk.");
    text_append_format(out, "weir_users_left_out_total %llu\n",
                       (unsigned long long)scrape->models[0].usage.left_out);
    render_fleet(scrape->server, out);
}
