/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/metrics_state.h"

#include <assert.h>

static const char *const reasons[AUTH_OUTCOME_COUNT] = {
    [AUTH_ABSENT] = "absent",   [AUTH_UNKNOWN] = "unknown", [AUTH_EXPIRED] = "expired",
    [AUTH_REVOKED] = "revoked", [AUTH_TOKEN] = "token",     [AUTH_SCOPE] = "scope",
};

void metrics_key_refused(struct metrics *metrics, uint32_t outcome)
{
    assert(outcome > AUTH_GRANTED && outcome < AUTH_OUTCOME_COUNT);
    atomic_fetch_add_explicit(&metrics->keys_refused[outcome], 1, memory_order_relaxed);
}

void metrics_keys(struct metrics *metrics, const struct auth_counts *counts, bool stale)
{
    atomic_store_explicit(&metrics->keys_configured, counts->configured, memory_order_relaxed);
    atomic_store_explicit(&metrics->keys_filed, counts->filed - counts->revoked,
                          memory_order_relaxed);
    atomic_store_explicit(&metrics->keys_revoked, counts->revoked, memory_order_relaxed);
    atomic_store_explicit(&metrics->keys_stale, stale, memory_order_relaxed);
}

void render_access(const struct metrics *metrics, struct text *out)
{
    render_family(out, "weir_access_refused_total", "counter",
                  "Requests refused for their key, by what was wrong with it.");
    for (uint32_t i = AUTH_GRANTED + 1; i < AUTH_OUTCOME_COUNT; i++)
        text_append_format(out, "weir_access_refused_total{reason=\"%s\"} %llu\n", reasons[i],
                           (unsigned long long)atomic_load_explicit(&metrics->keys_refused[i],
                                                                    memory_order_relaxed));
    render_family(out, "weir_access_keys", "gauge", "Keys that are known, by where they are.");
    text_append_format(out,
                       "weir_access_keys{place=\"config\"} %u\n"
                       "weir_access_keys{place=\"file\"} %u\n"
                       "weir_access_keys{place=\"revoked\"} %u\n",
                       atomic_load_explicit(&metrics->keys_configured, memory_order_relaxed),
                       atomic_load_explicit(&metrics->keys_filed, memory_order_relaxed),
                       atomic_load_explicit(&metrics->keys_revoked, memory_order_relaxed));
    render_family(out, "weir_access_keys_stale", "gauge",
                  "1 while the keys file as it is now was refused, and older keys stay.");
    text_append_format(out, "weir_access_keys_stale %u\n",
                       atomic_load_explicit(&metrics->keys_stale, memory_order_relaxed) ? 1u : 0u);
}
