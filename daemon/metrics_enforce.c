/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_enforce.c -- what was decided at thresholds, as series; of models that ask for more than
 * alerts. */
#include "daemon/metrics_state.h"
#include "daemon/server.h"
#include "policy/policy_enforce.h"

#include <stdio.h>

#define LABEL_BYTES 64

static void render_caps(const struct scrape *scrape, const char *name, const char *help,
                        uint64_t (*value)(const struct policy_cap *cap), struct text *out)
{
    render_family(out, name, "gauge", help);
    for (uint32_t i = 0; i < scrape->model_count; i++) {
        struct policy_enforcement enforcement;
        policy_enforcement(scrape->models[i].served->policy, &enforcement);
        for (uint32_t c = 0; c < enforcement.cap_count; c++) {
            char label[LABEL_BYTES];
            (void)snprintf(label, sizeof label, "scope=\"%s\"", enforcement.caps[c].scope);
            text_append_format(out, "%s{%s,%s} %llu\n", name, text_string(&scrape->models[i].model),
                               label, (unsigned long long)value(&enforcement.caps[c]));
        }
    }
}

static uint64_t users_of(const struct policy_cap *cap)
{
    return cap->counted;
}

static uint64_t tickets_of(const struct policy_cap *cap)
{
    return cap->tickets;
}

static uint64_t limit_of(const struct policy_cap *cap)
{
    return cap->limit;
}

void render_enforcement(const struct scrape *scrape, struct text *out)
{
    render_family(
        out, "weir_enforcement_decisions_total", "counter",
        "Requests by what was decided at thresholds, where more than alerts is asked for.");
    for (uint32_t i = 0; i < scrape->model_count; i++) {
        struct policy_enforcement enforcement;
        policy_enforcement(scrape->models[i].served->policy, &enforcement);
        for (uint32_t o = 0; o < POLICY_OUTCOME_COUNT && enforcement.mode != POLICY_ENFORCE_ALERT;
             o++)
            text_append_format(out, "weir_enforcement_decisions_total{%s,decision=\"%s\"} %llu\n",
                               text_string(&scrape->models[i].model),
                               policy_outcome_name((enum policy_outcome)o),
                               (unsigned long long)enforcement.outcomes[o]);
    }
    render_caps(scrape, "weir_cap_users",
                "Users of the month in a cap's scope, surely no more; take max over replicas.",
                users_of, out);
    render_caps(scrape, "weir_cap_tickets",
                "New users that this replica may still let in without asking.", tickets_of, out);
    render_caps(scrape, "weir_cap_limit", "Users of a month that a cap lets in.", limit_of, out);
}
