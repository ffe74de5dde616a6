/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_fleet.c -- the replicas that count together, as series. A daemon that counts alone shows
 * itself as a whole fleet, so that a rule holds for both. */
#include "base/clock.h"
#include "daemon/metrics_state.h"
#include "daemon/server.h"
#include "policy/policy_fleet.h"

#include <math.h>

static void render_number(struct text *out, const char *name, const char *type, const char *help,
                          uint64_t value)
{
    render_family(out, name, type, help);
    text_append_format(out, "%s ", name);
    text_append_u64(out, value);
    text_append_char(out, '\n');
}

static void render_stale(const struct policy_fleet_status *status, struct text *out)
{
    render_family(out, "weir_mau_stale_seconds", "gauge",
                  "Since the view of the whole fleet was last whole; alone it always is.");
    if (status->stale_seconds == UINT64_MAX)
        text_append_string(out, "weir_mau_stale_seconds +Inf\n");
    else
        text_append_format(out, "weir_mau_stale_seconds %llu\n",
                           (unsigned long long)status->stale_seconds);
}

void render_fleet(const struct server *server, struct text *out)
{
    struct policy_fleet_status status;
    policy_fleet_status(server->policy, clock_unix_us(), &status);
    render_stale(&status, out);
    render_number(out, "weir_fleet_complete", "gauge",
                  "1 when all counters were compared and no replica is missing.",
                  status.complete ? 1 : 0);
    render_number(out, "weir_fleet_replicas", "gauge", "Replicas that are expected, with this one.",
                  status.together ? status.replicas : 1);
    render_number(out, "weir_fleet_replicas_current", "gauge",
                  "Of these, heard within the last three exchanges.",
                  status.together ? status.replicas_current : 1);
    if (!status.together)
        return;
    render_number(out, "weir_fleet_published_total", "counter", "Messages to the other replicas.",
                  status.published);
    render_number(out, "weir_fleet_received_total", "counter", "Messages of other replicas.",
                  status.received);
    render_number(out, "weir_fleet_refused_total", "counter",
                  "Messages that are damaged, or under another key.", status.refused);
    render_number(out, "weir_fleet_quarantined_total", "counter",
                  "Messages that would make a counter jump, set aside.", status.set_aside);
    render_number(out, "weir_fleet_suspects", "gauge", "Of these, waiting to be settled.",
                  status.suspects);
    render_number(out, "weir_fleet_left_out_total", "counter",
                  "Counters without room, and what came for scopes without a name.",
                  status.left_out);
    if (isnan(status.clock_offset_seconds))
        return;
    render_family(out, "weir_clock_offset_seconds", "gauge",
                  "This machine's clock less that of the fleet's store.");
    text_append_string(out, "weir_clock_offset_seconds ");
    text_append_json_double(out, status.clock_offset_seconds);
    text_append_char(out, '\n');
}
